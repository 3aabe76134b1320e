//! Filters are edited while events flow through a broker: others lose nothing, and no event gets through that no version
//! of the filter lets through.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use towpath_harness::manifest::{Object, broker, broker_path, file, trigger, uri};
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Event, Gateway, Spec, Subscriber, TestResult};

use crate::load::Load;

/// Types by turns: `t0`, `t1`, `t2`.
fn numbered(id: u64) -> Event {
    Event::min(Spec::V10)
        .with("id", id.to_string())
        .with("type", format!("t{}", id % 3))
}

/// How often each id came, and the types that came.
fn seen(subscriber: &Subscriber) -> (BTreeMap<u64, usize>, Vec<String>) {
    let (mut ids, mut types) = (BTreeMap::new(), Vec::new());
    for request in subscriber.requests() {
        if let Ok(id) = request.header("ce-id").parse() {
            *ids.entry(id).or_default() += 1;
        }
        types.push(request.header("ce-type"));
    }
    types.sort();
    types.dedup();
    (ids, types)
}

#[tokio::test]
async fn edits_of_filters_under_load_disturb_nobody() -> TestResult {
    let (steady, edited, never) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let objects = |filters: Value| -> Vec<Object> {
        vec![
            broker("in"),
            trigger("steady", "in", uri(steady.url("/"))),
            trigger("edited", "in", uri(edited.url("/"))).spec("filters", filters),
            trigger("never", "in", uri(never.url("/")))
                .spec("filters", json!([{"exact": {"type": "t9"}}])),
        ]
    };
    let versions = [
        json!([{"exact": {"type": "t0"}}]),
        json!([{"cesql": "type = 't1'"}]),
        json!([{"any": [{"suffix": {"type": "0"}}, {"suffix": {"type": "1"}}]}]),
        json!([{"prefix": {"type": "t"}}, {"not": {"exact": {"type": "t2"}}}]),
    ];
    let gateway = Gateway::with(objects(versions[0].clone())).start().await?;
    let load = Load::of(gateway.listening, &broker_path("in"), 8, u64::MAX, numbered);
    for round in 1..=8 {
        let begun = load.begun();
        until("some load", SOON, async || {
            Ok((load.begun() > begun + 50).then_some(()))
        })
        .await?;
        if round == 4 {
            // Refused whole: the version before it stays, and nothing widens.
            let broken = file(objects(json!([{"exact": {"type": ""}}])));
            gateway.write("broken.yaml", &broken)?;
            until("the refusal", SOON, async || {
                Ok((!gateway.problems().await?.is_empty()).then_some(()))
            })
            .await?;
            std::fs::remove_file(gateway.manifests().join("broken.yaml"))?;
        }
        gateway
            .edit(objects(versions[round % versions.len()].clone()))
            .await?;
    }
    let sent = load.stop().await?;
    assert!(
        sent.refused.is_empty() && sent.broken.is_empty(),
        "{:?} {:?}",
        sent.refused,
        sent.broken
    );
    let (ids, _) = seen(&steady);
    assert_eq!(ids.len(), sent.acknowledged.len(), "each event came");
    assert!(ids.values().all(|count| *count == 1), "and came once");
    let (ids, types) = seen(&edited);
    assert_eq!(
        types,
        ["t0", "t1"],
        "both versions were in force, and no t2"
    );
    assert!(ids.values().all(|count| *count == 1));
    assert_eq!(never.count(), 0);
    Ok(())
}

/// An event is asked of one version of all filters: two Triggers that swap their filters get it once between them.
#[tokio::test]
async fn an_event_sees_one_version_of_all_filters() -> TestResult {
    let (left, right) = (Subscriber::start().await?, Subscriber::start().await?);
    let objects = |swapped: bool| {
        let (a, b) = if swapped { ("t0", "t1") } else { ("t1", "t0") };
        let of = |kind: &str| json!([{"exact": {"type": kind}}]);
        vec![
            broker("in"),
            trigger("left", "in", uri(left.url("/"))).spec("filters", of(a)),
            trigger("right", "in", uri(right.url("/"))).spec("filters", of(b)),
        ]
    };
    let gateway = Gateway::with(objects(false)).start().await?;
    let load = Load::of(gateway.listening, &broker_path("in"), 4, u64::MAX, |id| {
        numbered(id).with("type", "t0")
    });
    for round in 0..6 {
        let begun = load.begun();
        until("some load", SOON, async || {
            Ok((load.begun() > begun + 50).then_some(()))
        })
        .await?;
        gateway.edit(objects(round % 2 == 0)).await?;
    }
    let sent = load.stop().await?;
    assert!(sent.refused.is_empty() && sent.broken.is_empty());
    let (mut all, _) = seen(&left);
    assert!(!all.is_empty() && right.count() > 0, "both had their turn");
    for (id, count) in seen(&right).0 {
        *all.entry(id).or_default() += count;
    }
    assert_eq!(all.len(), sent.acknowledged.len());
    assert!(all.values().all(|count| *count == 1), "none by both");
    Ok(())
}
