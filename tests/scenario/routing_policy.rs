//! A HopPolicy is edited while events flow: what it says takes effect on the next hop, and costs no event and no connection.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use towpath_harness::manifest::{Object, channel_path};
use towpath_harness::poll::{SOON, until, within};
use towpath_harness::replica::{Place, hop_policy};
use towpath_harness::{Answer, Event, Gateway, Pool, TestResult};

use crate::load::Load;
use crate::routing_spread::channel_to;

const PRODUCERS: usize = 8;

/// Pods `a`, `b` and `c`, of which the first is on the gateway's node.
const PODS: [Place; 3] = [pod("a", "near"), pod("b", "far"), pod("c", "far")];

const fn pod(pod: &'static str, node: &'static str) -> Place {
    Place {
        pod,
        node,
        zone: "",
    }
}

/// The bed, and a HopPolicy for its Service with that spec.
pub(crate) fn with_policy(pool: &Pool, spec: &Value) -> Vec<Object> {
    let mut objects = channel_to("in", pool);
    let target = hop_policy("policy", Some(&pool.service));
    let fields = spec.as_object().cloned().unwrap_or_default();
    let policy = fields
        .into_iter()
        .fold(target, |policy, (field, value)| policy.spec(&field, value));
    objects.push(policy);
    objects
}

/// The subscription with more in its spec.
pub(crate) fn subscription_with(mut objects: Vec<Object>, fields: &[(&str, Value)]) -> Vec<Object> {
    for object in objects
        .iter_mut()
        .filter(|object| object.kind == "Subscription")
    {
        for (field, value) in fields {
            *object = object.clone().spec(field, value.clone());
        }
    }
    objects
}

/// A gateway on node `near`.
pub(crate) async fn launched(objects: Vec<Object>) -> anyhow::Result<Gateway> {
    Gateway::with(objects)
        .args(["--node", "near"])
        .start()
        .await
}

/// Issue 6: from `LocalFirst` to 20/80 under traffic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_changes_the_next_hop_and_loses_nothing() -> TestResult {
    let pool = Pool::start("step", [PODS[0], PODS[1]]).await?;
    let [near, far] = &pool.replicas[..] else {
        unreachable!("two replicas");
    };
    let gateway = launched(with_policy(&pool, &json!({"strategy": "LocalFirst"}))).await?;
    let load = Load::start(gateway.listening, "in", PRODUCERS, u64::MAX);
    near.await_count(500, SOON).await?;
    assert_eq!(far.count(), 0, "all stay near");
    let weighted = json!({"strategy": "Weighted", "weights": {"local": 20, "remote": 80}});
    gateway.edit(with_policy(&pool, &weighted)).await?;
    let before = (near.count(), far.count());
    let hops = 1_000;
    until("hops under the new policy", SOON * 3, async || {
        let since = near.count() - before.0 + far.count() - before.1;
        Ok((since >= hops).then_some(()))
    })
    .await?;
    let (stayed, left) = (near.count() - before.0, far.count() - before.1);
    let sent = within("the producers", SOON, load.stop()).await??;
    let local = stayed as f64 * 100.0 / (stayed + left) as f64;
    eprintln!("after the edit {local:.1} % local of {}", stayed + left);
    assert!((local - 20.0).abs() < 5.0, "{local:.1} % local");
    assert!(
        sent.refused.is_empty() && sent.broken.is_empty(),
        "{:?} {:?}",
        sent.refused,
        sent.broken
    );
    let came: Vec<String> = [near, far]
        .iter()
        .flat_map(|replica| replica.requests())
        .map(|request| request.header("ce-id"))
        .collect();
    let ids: BTreeSet<&String> = came.iter().collect();
    let acknowledged = sent.acknowledged.len();
    assert_eq!(
        (ids.len(), came.len()),
        (acknowledged, acknowledged),
        "each came, and once"
    );
    // Connections to the near replica outlive the edit.
    let connections = |requests: std::ops::Range<usize>| -> BTreeSet<u64> {
        let all = near.requests();
        all[requests]
            .iter()
            .map(|request| request.connection)
            .collect()
    };
    let (old, new) = (
        connections(0..before.0),
        connections(before.0..near.count()),
    );
    assert!(
        new.is_subset(&old),
        "connections before {old:?}, after {new:?}"
    );
    Ok(())
}

/// Every strategy by a change of the file, with what it is known by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_strategy_takes_effect() -> TestResult {
    let pool = Pool::start("step", PODS).await?;
    let gateway = launched(channel_to("in", &pool)).await?;
    let weights = json!({"replicas": [{"name": "a", "weight": 1}, {"name": "c", "weight": 3}]});
    let tenth = json!({"local": 0, "remote": 10});
    // Least and most of 300 hops for each replica.
    let cases = [
        (json!({"strategy": "RoundRobin"}), [(100, 100); 3]),
        (
            json!({"strategy": "LocalFirst"}),
            [(300, 300), (0, 0), (0, 0)],
        ),
        (
            json!({"strategy": "Adaptive"}),
            [(300, 300), (0, 0), (0, 0)],
        ),
        (json!({"strategy": "LeastRequest"}), [(60, 140); 3]),
        (
            json!({"strategy": "Weighted", "weights": weights}),
            [(45, 105), (0, 0), (195, 255)],
        ),
        (
            json!({"strategy": "Weighted", "weights": tenth}),
            [(0, 0), (110, 190), (110, 190)],
        ),
    ];
    for (spec, expected) in cases {
        gateway.edit(with_policy(&pool, &spec)).await?;
        let before = pool.counts();
        let mut sender = gateway.sender();
        for id in 0..300 {
            let event = Event::numbered(id).binary();
            assert_eq!(sender.post(&channel_path("in"), &event).await?.code(), 202);
        }
        let hops: Vec<usize> = pool
            .counts()
            .iter()
            .zip(before)
            .map(|(now, before)| now - before)
            .collect();
        eprintln!("{spec}: {hops:?}");
        for (hops, (least, most)) in hops.iter().zip(expected) {
            assert!(
                (least..=most).contains(hops),
                "{spec}: {hops} of {least} to {most}"
            );
        }
    }
    Ok(())
}

/// How a payload is shown, and how long a retry waits at most.
#[tokio::test]
async fn presentation_and_back_off_take_effect_on_the_next_hop() -> TestResult {
    let pool = Pool::of("step", 1).await?;
    let replica = &pool.replicas[0];
    let store = tempfile::tempdir()?;
    let slow = [
        ("delivery.retry", json!(2)),
        ("delivery.backoffPolicy", json!("linear")),
        ("delivery.backoffDelay", json!("PT20S")),
    ];
    let objects = |spec: Value| subscription_with(with_policy(&pool, &spec), &slow);
    let gateway = Gateway::with(objects(json!({})))
        .set("store.node.directory", &store.path().to_string_lossy())
        .start()
        .await?;
    let event = Event::numbered(1).data("text/plain", vec![b'x'; 100_000]);
    for (presentation, whole) in [("Inline", true), ("Reference", false), ("Inline", true)] {
        gateway
            .edit(objects(json!({"presentation": presentation})))
            .await?;
        assert_eq!(gateway.post("in", &event.binary()).await?.code(), 202);
        let request = replica
            .requests()
            .pop()
            .unwrap_or_else(|| unreachable!("a request"));
        let shown = (
            request.body.len() == 100_000,
            request.header("ce-dataref").is_empty(),
        );
        assert_eq!(
            shown,
            (whole, whole),
            "{presentation}: {:?}",
            request.headers
        );
    }
    gateway
        .edit(objects(json!({"backoffMax": "PT0.05S"})))
        .await?;
    replica.script([Answer::status(500), Answer::status(500)]);
    let began = Instant::now();
    assert_eq!(gateway.post("in", &event.binary()).await?.code(), 202);
    eprintln!("two retries after {:.1?}", began.elapsed());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(replica.count(), 6);
    Ok(())
}
