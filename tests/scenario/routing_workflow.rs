//! A workflow stays in the pod that it began in, and leaves it when that pays: the experiment that Towpath comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;
use towpath_harness::manifest::{Object, channel_path, reference, sequence};
use towpath_harness::poll::{SOON, until, within};
use towpath_harness::replica::{Place, hop_policy};
use towpath_harness::{Answer, Event, Gate, Gateway, Pool, Sender, TestResult, Work};

use crate::routing_spread::channel_to;

/// Three pods, each on a node of its own.
const PODS: [Place; 3] = [
    pod("pod-0", "node-0"),
    pod("pod-1", "node-1"),
    pod("pod-2", "node-2"),
];

const fn pod(pod: &'static str, node: &'static str) -> Place {
    Place { pod, node, zone: "a" }
}

/// Where the gateway is, and where it is not.
const NEAR: Place = pod("near", "near");
const FAR: Place = Place { zone: "b", ..pod("far", "far") };

/// Without load every later step runs in the pod of the one before, whether the event is small or was set aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_later_hop_stays_in_the_pod_of_its_origin() -> TestResult {
    for (hops, size) in [(60, 100), (20, 300_000)] {
        let mut steps = Vec::new();
        for step in 0..3 {
            let pool = Pool::start(&format!("step-{step}"), PODS).await?;
            for replica in &pool.replicas {
                replica.otherwise(Answer::transform(|event| event));
            }
            steps.push(pool);
        }
        let references = steps.iter().map(|pool| reference(&pool.service));
        let mut objects = vec![sequence("flow", references)];
        objects.extend(steps.iter().flat_map(Pool::objects));
        let gateway = Gateway::with(objects).start().await?;
        let mut sender = gateway.sender();
        for id in 0..hops {
            let event = Event::numbered(id).data("text/plain", vec![b'x'; size]);
            let path = channel_path("flow-kn-sequence-0");
            assert_eq!(sender.post(&path, &event.binary()).await?.code(), 202);
        }
        // Of each event, the pods in the order of the steps.
        let mut pods: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for pool in &steps {
            for (pod, replica) in pool.replicas.iter().enumerate() {
                for request in replica.requests() {
                    pods.entry(request.header("ce-id")).or_default().push(pod);
                }
            }
        }
        assert_eq!(pods.len(), hops);
        for (id, pods) in &pods {
            assert!(pods.len() == 3 && pods.iter().all(|pod| pod == &pods[0]), "event {id}: {pods:?}");
        }
        let begun: Vec<usize> = steps[0].counts();
        eprintln!("{hops} events of {size} bytes: begun in {begun:?}, each ended where it began");
        assert!(begun.iter().all(|count| *count > 0), "{begun:?}");
        let metrics = gateway.metrics().await?;
        let total = |name, placement| metrics.sum(name, &[("placement", placement)]) as usize;
        assert_eq!(total("towpath_hops_total", "same_pod"), 2 * hops);
        assert_eq!(total("towpath_hops_total", "elsewhere"), hops);
        assert_eq!(total("towpath_hop_bytes_total", "same_pod"), 2 * hops * size);
    }
    Ok(())
}

/// Two replicas that serve one at a time, near and far, and two ways to them: channel `in` chooses, channel `pin` stays near.
struct Bench {
    gateway: Gateway,
    pool: Pool,
    works: Vec<Work>,
}

impl Bench {
    async fn start(takes: Duration) -> anyhow::Result<Self> {
        let pool = Pool::start("step", [NEAR, FAR]).await?;
        let works = pool.works(|_| Work::new(1, takes));
        let pin: Vec<Object> = channel_to("pin", &pool);
        let is_subscription = |object: &&Object| object.kind == "Subscription";
        let pinned = pin.iter().find(is_subscription).context("a Subscription")?;
        let policy = hop_policy("pin", Some(pinned)).spec("strategy", "LocalFirst");
        let mut objects = channel_to("in", &pool);
        objects.extend(pin.into_iter().filter(|object| {
            matches!(object.kind.as_str(), "InMemoryChannel" | "Subscription")
        }));
        objects.push(policy);
        let gateway = Gateway::with(objects).args(["--node", "near", "--zone", "a"]).start().await?;
        let bench = Bench { gateway, pool, works };
        // It learns how long service takes here and there.
        for _ in 0..12 {
            tokio::try_join!(bench.post("in", 100), bench.post("in", 100))?;
        }
        Ok(bench)
    }

    /// Sends one event of that size, and gives how long it took to be done.
    async fn post(&self, channel: &str, size: usize) -> anyhow::Result<Duration> {
        let event = Event::numbered(1).data("text/plain", vec![b'x'; size]);
        let began = Instant::now();
        let mut sender = Sender::new(self.gateway.listening);
        let answer = sender.post(&channel_path(channel), &event.binary()).await?;
        anyhow::ensure!(answer.code() == 202, "{} {}", answer.status, answer.text());
        Ok(began.elapsed())
    }

    /// Two requests are under way near; a third event comes to `channel`. Gives whether it went far, and how long it took.
    async fn third(&self, channel: &str, size: usize) -> anyhow::Result<(bool, Duration)> {
        let two = async { tokio::try_join!(self.post("pin", 100), self.post("pin", 100)) };
        let third = async {
            until("two requests near", SOON, async || {
                Ok((self.works[0].there() == 2).then_some(()))
            })
            .await?;
            let far = self.pool.replicas[1].count();
            let took = self.post(channel, size).await?;
            anyhow::Ok((self.pool.replicas[1].count() > far, took))
        };
        let (_, third) = within("three events", SOON, async { tokio::try_join!(two, third) }).await??;
        Ok(third)
    }
}

/// Service 50 ms, 1 KB: the third event goes to the far replica, and is done sooner than one that stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_event_leaves_the_busy_replica_and_is_done_sooner() -> TestResult {
    let bench = Bench::start(Duration::from_millis(50)).await?;
    let (mut left, mut stayed) = (Duration::ZERO, Duration::ZERO);
    let rounds = 8;
    for round in 0..rounds {
        let (far, took) = bench.third("in", 1024).await?;
        assert!(far, "round {round}: it stayed");
        left += took;
        let (far, took) = bench.third("pin", 1024).await?;
        assert!(!far, "round {round}: the opposite choice is no opposite");
        stayed += took;
    }
    eprintln!("the third event: {:.1?} far, {:.1?} near", left / rounds, stayed / rounds);
    assert!(left * 10 < stayed * 8, "{left:?} against {stayed:?} in {rounds} rounds");
    Ok(())
}

/// The same with service of 5 ms: a small event leaves, and one of 6 MiB stays, since to pull that into another zone is
/// thought to take 50 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_event_stays_where_service_is_short() -> TestResult {
    let bench = Bench::start(Duration::from_millis(5)).await?;
    let [near, far] = &bench.pool.replicas[..] else {
        unreachable!("two replicas");
    };
    for (size, leaves) in [(100, true), (6 << 20, false), (100, true), (6 << 20, false)] {
        let gate = Gate::closed();
        let answer = Answer::status(202).after(&bench.works[0]);
        near.script([answer.clone().behind(&gate), answer.behind(&gate)]);
        let before = (near.count(), far.count());
        let two = async { tokio::try_join!(bench.post("pin", 100), bench.post("pin", 100)) };
        let third = async {
            near.await_count(before.0 + 2, SOON).await?;
            bench.post("in", size).await
        };
        let arrival = async {
            until("the third event", SOON, async || {
                let came = near.count() - before.0 + far.count() - before.1;
                Ok((came == 3).then_some(()))
            })
            .await?;
            gate.open();
            Ok(())
        };
        tokio::try_join!(two, third, arrival)?;
        let left = far.count() > before.1;
        eprintln!("{size} bytes: {}", if left { "far" } else { "near" });
        assert_eq!(left, leaves, "{size} bytes");
    }
    Ok(())
}
