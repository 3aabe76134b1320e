//! The experiment that Towpath comes from, over real sockets and a real link: two requests are in the local replica, and a third
//! event arrives. Whether it leaves depends on the link, the payload and the service time, and it is done sooner than by the
//! opposite choice.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;
use towpath_harness::manifest::{
    Object, channel_path, in_memory_channel, reference, service, subscription,
};
use towpath_harness::poll::{SOON, until, within};
use towpath_harness::replica::{Place, hop_policy, known, slice};
use towpath_harness::{
    Answer, Event, Gate, Gateway, Link, Peers, Sender, Subscriber, TestResult, Work,
};

const NODES: [&str; 2] = ["near", "far"];
const NEAR: usize = 0;
const FAR: usize = 1;
/// Bits per second.
const FAST: u64 = 2_000_000_000;
const SLOW: u64 = 16_000_000;
const KIB: usize = 1024;
const ROUNDS: u32 = 2;

/// Two replicas that serve one at a time, one on the node of each of two gateways. Channel `choice` leaves the choice to the gateway;
/// `near` and `far` know only the one replica, behind Services of their own.
struct Talk {
    gateways: Vec<Gateway>,
    replicas: Vec<Subscriber>,
    /// Of the near one.
    work: Work,
    _peers: Peers,
}

impl Talk {
    async fn start(bits_per_second: u64, takes: Duration) -> anyhow::Result<Option<Self>> {
        let Some(link) = Link::of(bits_per_second)? else {
            return Ok(None);
        };
        let (step, mut replicas) = (service("step", "http", 80), Vec::new());
        let works = NODES.map(|_| Work::new(1, takes));
        let mut objects: Vec<Object> = vec![
            step.clone(),
            hop_policy("all", None).spec("replicaConcurrency", 1),
        ];
        for (index, (node, place)) in NODES.into_iter().zip(&link.nodes).enumerate() {
            let replica = Subscriber::on(place.listener()?)?;
            replica.otherwise(Answer::status(202).after(&works[index]));
            replica.forget_requests();
            let place = Place {
                pod: node,
                node,
                zone: towpath_harness::peers::ZONE,
            };
            for service in ["step", node] {
                objects.push(slice(service, index, replica.address(), &place));
            }
            replicas.push(replica);
        }
        let pinned = NODES.map(|node| service(node, "http", 80));
        for (name, to) in [
            ("choice", &step),
            ("near", &pinned[NEAR]),
            ("far", &pinned[FAR]),
        ] {
            let channel = in_memory_channel(name);
            objects.push(subscription(name, &channel, reference(to)));
            objects.push(channel);
        }
        let back = in_memory_channel("back");
        let there = subscription("back", &back, reference(&pinned[FAR]));
        objects.extend([there.spec("reply", reference(&pinned[NEAR])), back]);
        objects.extend(pinned);
        let peers = Peers::on_link(link, NODES)?;
        Ok(Some(Self {
            gateways: peers.start(&objects).await?,
            replicas,
            work: works[NEAR].clone(),
            _peers: peers,
        }))
    }

    /// Sends one event of that size, and gives how long it took to be done.
    async fn post(&self, from: usize, channel: &str, size: usize) -> anyhow::Result<Duration> {
        let event = Event::numbered(1).data("text/plain", vec![b'x'; size]);
        let (began, mut sender) = (Instant::now(), Sender::new(self.gateways[from].listening));
        let answer = sender.post(&channel_path(channel), &event.binary()).await?;
        ensure!(answer.code() == 202, "{} {}", answer.status, answer.text());
        Ok(began.elapsed())
    }

    /// Lets the gateways learn how long a service takes.
    async fn learn_service(&self) -> TestResult {
        for _ in 0..8 {
            self.post(NEAR, "near", 100).await?;
            self.post(NEAR, "far", 100).await?;
        }
        Ok(())
    }

    /// Lets the near gateway learn how fast the link is, by replies of the far replica that end near.
    async fn learn_link(&self) -> TestResult {
        for _ in 0..3 {
            let bulky = Event::numbered(1).data("text/plain", vec![b'x'; 300 * KIB]);
            self.replicas[FAR].script([Answer::reply(&bulky)]);
            self.post(NEAR, "back", 100).await?;
        }
        Ok(())
    }

    /// Two requests are in the near replica or wait for it; a third event comes to `channel` of the gateway there. Gives whether it
    /// went far, and how long it took.
    async fn third(&self, channel: &str, size: usize) -> anyhow::Result<(bool, Duration)> {
        // The first of the two begins its service only when both are there.
        let gate = Gate::closed();
        let served = Answer::status(202).after(&self.work).behind(&gate);
        self.replicas[NEAR].script([served]);
        let two = async {
            let one = || self.post(NEAR, "near", 100);
            tokio::try_join!(one(), one())
        };
        let third = async {
            until("two requests near", SOON, async || {
                let near = known(&self.gateways[NEAR], self.replicas[NEAR].address()).await?;
                let of = |field: &str| near[field].as_u64().unwrap_or(0);
                ensure!(of("inFlight") + of("waiting") >= 2, "{near}");
                Ok(Some(()))
            })
            .await?;
            let before = self.replicas[FAR].count();
            gate.open();
            let took = self.post(NEAR, channel, size).await?;
            anyhow::Ok((self.replicas[FAR].count() > before, took))
        };
        let all = async { tokio::try_join!(two, third) };
        Ok(within("three events", 2 * SOON, Box::pin(all)).await??.1)
    }

    /// In every round the third event goes where it should, and on the average it is done sooner than where it should not.
    async fn cell(&self, what: &str, size: usize, leaves: bool) -> TestResult {
        let opposite = if leaves { "near" } else { "far" };
        let (mut chosen, mut other) = (Duration::ZERO, Duration::ZERO);
        let mut right = 0;
        for _ in 0..ROUNDS {
            let (went_far, took) = self.third("choice", size).await?;
            right += u32::from(went_far == leaves);
            chosen += took / ROUNDS;
            let (went_far, took) = self.third(opposite, size).await?;
            ensure!(went_far != leaves, "{what}: the opposite is no opposite");
            other += took / ROUNDS;
        }
        let way = if leaves { "leaves" } else { "stays" };
        eprintln!(
            "{what}, {} KiB: {way} in {right} of {ROUNDS}, done in {chosen:.1?}, by the opposite choice {other:.1?}",
            size / KIB
        );
        ensure!(right == ROUNDS, "{what}: {way} in {right} of {ROUNDS}");
        ensure!(chosen < other, "{what}: {chosen:?} against {other:?}");
        Ok(())
    }
}

/// Issue 6: with a fast link the third event goes to the idle replica, whatever its size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_fast_link_the_third_event_leaves() -> TestResult {
    let Some(talk) = Talk::start(FAST, Duration::from_millis(100)).await? else {
        return Ok(());
    };
    talk.learn_service().await?;
    for size in [1, 65, 2048] {
        talk.cell("fast link, service 100 ms", size * KIB, true)
            .await?;
    }
    Ok(())
}

/// Issue 6: with a slow link and short service it stays: the payload would be on its way for longer than the wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_slow_link_and_short_service_the_third_event_stays() -> TestResult {
    let Some(talk) = Talk::start(SLOW, Duration::from_millis(30)).await? else {
        return Ok(());
    };
    talk.learn_link().await?;
    talk.learn_service().await?;
    for size in [512, 2048] {
        talk.cell("slow link, service 30 ms", size * KIB, false)
            .await?;
    }
    Ok(())
}

/// With the same slow link and long service a payload that is not too large leaves, and a large one stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_slow_link_and_long_service_the_size_decides() -> TestResult {
    let Some(talk) = Talk::start(SLOW, Duration::from_millis(100)).await? else {
        return Ok(());
    };
    talk.learn_link().await?;
    talk.learn_service().await?;
    talk.cell("slow link, service 100 ms", 100 * KIB, true)
        .await?;
    talk.cell("slow link, service 100 ms", 1024 * KIB, false)
        .await
}

/// Nothing comes back over the link: how fast it is shows only in how long payloads took to get to the other node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_known_by_what_left_over_it() -> TestResult {
    let Some(talk) = Talk::start(SLOW, Duration::from_millis(100)).await? else {
        return Ok(());
    };
    for _ in 0..3 {
        talk.post(NEAR, "far", 300 * KIB).await?;
    }
    talk.learn_service().await?;
    talk.cell("slow link, nothing came back", 1024 * KIB, false)
        .await
}
