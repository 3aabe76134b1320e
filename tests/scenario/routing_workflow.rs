//! A workflow stays in the pod that it began in, and leaves it when that pays: the experiment that Towpath comes from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use towpath_harness::manifest::{
    channel_path, in_memory_channel, reference, sequence, service, subscription,
};
use towpath_harness::poll::{SOON, until};
use towpath_harness::replica::{Place, hop_policy, known, slice};
use towpath_harness::{Answer, Event, Gate, Gateway, Pool, Sender, TestResult, Work};

use crate::routing_spread::channel_to;

/// Three pods, each on a node of its own.
const PODS: [Place; 3] = [
    pod("pod-0", "node-0"),
    pod("pod-1", "node-1"),
    pod("pod-2", "node-2"),
];

const fn pod(pod: &'static str, node: &'static str) -> Place {
    Place {
        pod,
        node,
        zone: "a",
    }
}

/// Where the gateway is, and where it is not.
const NEAR: Place = pod("near", "near");
const FAR: Place = Place {
    zone: "b",
    ..pod("far", "far")
};

/// Without load every later step runs in the pod of the one before, whether the event is small or was set aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_later_hop_stays_in_the_pod_of_its_origin() -> TestResult {
    // So long that the machine's own load does not make one replica look slower than the others.
    let service = Duration::from_millis(40);
    for (hops, size) in [(20, 100), (12, 300_000)] {
        let mut steps = Vec::new();
        for step in 0..3 {
            let pool = Pool::start(&format!("step-{step}"), PODS).await?;
            for replica in &pool.replicas {
                replica.otherwise(Answer::transform(|event| event).after(&Work::wide(service)));
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
            assert!(
                pods.len() == 3 && pods.iter().all(|pod| pod == &pods[0]),
                "event {id}: {pods:?}"
            );
        }
        let begun: Vec<usize> = steps[0].counts();
        eprintln!("{hops} events of {size} bytes: begun in {begun:?}, each ended where it began");
        assert!(begun.iter().all(|count| *count > 0), "{begun:?}");
        let metrics = gateway.metrics().await?;
        let total = |name, placement| metrics.sum(name, &[("placement", placement)]) as usize;
        assert_eq!(total("towpath_hops_total", "same_pod"), 2 * hops);
        assert_eq!(total("towpath_hops_total", "elsewhere"), hops);
        assert_eq!(
            total("towpath_hop_bytes_total", "same_pod"),
            2 * hops * size
        );
    }
    Ok(())
}

/// Two replicas that serve one at a time, near and far, and two ways to them: channel `in` chooses, channel `pin` knows only the near
/// one.
struct Bench {
    gateway: Gateway,
    pool: Pool,
    works: Vec<Work>,
}

/// Whether the gateway is told what a replica can serve at once, or has learned it, or has just begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    Told,
    Learned,
    Nothing,
}

impl Bench {
    async fn start(takes: Duration, knows: Knows) -> anyhow::Result<Self> {
        let pool = Pool::start("step", [NEAR, FAR]).await?;
        let works = pool.works(|_| Work::new(1, takes));
        let mut objects = channel_to("in", &pool);
        // The same pod and port behind another Service, so the same replica.
        let pinned = service("pinned", "http", 80);
        let channel = in_memory_channel("pin");
        objects.push(slice("pinned", 0, pool.replicas[0].address(), &NEAR));
        objects.push(subscription("pin", &channel, reference(&pinned)));
        objects.extend([pinned, channel]);
        if knows == Knows::Told {
            objects.push(hop_policy("all", None).spec("replicaConcurrency", 1));
        }
        let launch = Gateway::with(objects).args(["--node", "near", "--zone", "a"]);
        let bench = Bench {
            gateway: launch.start().await?,
            pool,
            works,
        };
        let rounds = match knows {
            Knows::Told => 4,
            Knows::Learned => 24,
            Knows::Nothing => 0,
        };
        for _ in 0..rounds {
            bench.two("in").await?;
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

    /// One event that stays near, and when it is there a second one to `channel`.
    async fn two(&self, channel: &str) -> anyhow::Result<()> {
        let near = &self.pool.replicas[0];
        let before = near.count();
        let second = async {
            near.await_count(before + 1, SOON).await?;
            self.post(channel, 100).await
        };
        tokio::try_join!(self.post("pin", 100), second).map(drop)
    }

    /// Whether two requests at least are at the near replica, or wait for it.
    async fn has_two_near(&self) -> anyhow::Result<bool> {
        let near = known(&self.gateway, self.pool.replicas[0].address()).await?;
        let of = |field: &str| near[field].as_u64().unwrap_or(0);
        Ok(of("inFlight") + of("waiting") >= 2)
    }

    /// Two requests are near; a third event comes to `channel`. Gives whether it went far, and how long it took; nothing when
    /// the two were done before the test saw them both.
    async fn try_third(&self, channel: &str) -> anyhow::Result<Option<(bool, Duration)>> {
        let done = AtomicBool::new(false);
        let two = async {
            self.two("pin").await?;
            done.store(true, Ordering::SeqCst);
            Ok(())
        };
        let far = &self.pool.replicas[1];
        let third = async {
            let seen = until("two requests near", SOON, async || {
                let seen = self.has_two_near().await?;
                Ok((seen || done.load(Ordering::SeqCst)).then_some(seen))
            });
            if !seen.await? {
                return Ok(None);
            }
            let before = far.count();
            let took = self.post(channel, 1024).await?;
            anyhow::Ok(Some((far.count() > before, took)))
        };
        let ((), third) = Box::pin(async { tokio::try_join!(two, third) }).await?;
        Ok(third)
    }

    /// The same, as often as it takes.
    async fn third(&self, channel: &str) -> anyhow::Result<(bool, Duration)> {
        until("a third event", SOON, async || {
            self.try_third(channel).await
        })
        .await
    }
}

/// Service 50 ms, 1 KB: the third event goes to the far replica, and is done sooner than one that stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_event_leaves_the_busy_replica_and_is_done_sooner() -> TestResult {
    let service = Duration::from_millis(50);
    for (knows, rounds) in [(Knows::Nothing, 1), (Knows::Told, 6), (Knows::Learned, 6)] {
        let bench = Bench::start(service, knows).await?;
        let (mut left, mut stayed, mut far) = (Duration::ZERO, Duration::ZERO, 0);
        for _ in 0..rounds {
            let (went_far, took) = bench.third("in").await?;
            far += u32::from(went_far);
            left += took;
            let (went_far, took) = bench.third("pin").await?;
            assert!(!went_far, "the opposite choice is no opposite");
            stayed += took;
        }
        eprintln!(
            "gateway knows {knows:?}: the third event went far in {far} of {rounds} rounds: {:.1?} against {:.1?} near",
            left / rounds,
            stayed / rounds
        );
        // One that learns tries now and then whether more fit in.
        let most_stay = if knows == Knows::Learned {
            rounds / 2
        } else {
            0
        };
        assert!(
            far >= rounds - most_stay,
            "gateway knows {knows:?}: {far} of {rounds}"
        );
        assert!(
            left * 10 < stayed * 8,
            "gateway knows {knows:?}: {left:?} against {stayed:?}"
        );
    }
    Ok(())
}

/// The same with service of 5 ms: a small event leaves, and one of 7 MiB stays, since to pull that into another zone is
/// thought to take 59 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_event_stays_where_service_is_short() -> TestResult {
    let bench = Bench::start(Duration::from_millis(5), Knows::Told).await?;
    let [near, far] = &bench.pool.replicas[..] else {
        unreachable!("two replicas");
    };
    let two_near = async || {
        until("two requests near", SOON, async || {
            Ok(bench.has_two_near().await?.then_some(()))
        })
        .await
    };
    for (size, leaves) in [(100, true), (7 << 20, false), (100, true), (7 << 20, false)] {
        let gate = Gate::closed();
        near.script([Answer::status(202).after(&bench.works[0]).behind(&gate)]);
        let before = far.count();
        let two = async { tokio::try_join!(bench.post("pin", 100), bench.post("pin", 100)) };
        let third = async {
            two_near().await?;
            bench.post("in", size).await
        };
        let choice = async {
            two_near().await?;
            until("the third event to be at one of them", SOON, async || {
                let near = known(&bench.gateway, near.address()).await?;
                Ok((far.count() > before || near["waiting"] == 2).then_some(()))
            })
            .await?;
            gate.open();
            Ok(())
        };
        Box::pin(async { tokio::try_join!(two, third, choice) }).await?;
        let left = far.count() > before;
        eprintln!("{size} bytes: {}", if left { "far" } else { "near" });
        assert_eq!(left, leaves, "{size} bytes");
    }
    Ok(())
}
