//! Gateways that die, and endpoints that flap, while others depend on them: an event fails only as its delivery spec says, and
//! nothing stays behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use towpath_harness::manifest::{
    Object, channel_path, in_memory_channel, reference, sequence, service, subscription, uri,
};
use towpath_harness::peers::ZONE;
use towpath_harness::poll::{SOON, until, within};
use towpath_harness::replica::{Place, hop_policy, known, slice};
use towpath_harness::{
    Answer, Event, Gate, Gateway, Peers, Pool, Response, Sender, Subscriber, Tap, TestResult, Work,
};

use crate::payload_kit::{BULKY, begun, bulky, pattern};

const fn on(node: &'static str) -> Place {
    Place {
        pod: node,
        node,
        zone: ZONE,
    }
}

/// A channel `in` with one Subscription to the Service, and its delivery spec.
fn channel_to(to: &Object, delivery: Value) -> [Object; 2] {
    let channel = in_memory_channel("in");
    let subscription = subscription("s", &channel, reference(to)).spec("delivery", delivery);
    [subscription, channel]
}

/// So many retries, one soon after the other.
fn retries(count: u32) -> Value {
    json!({"retry": count, "backoffPolicy": "linear", "backoffDelay": "PT0.05S"})
}

/// POSTs to channel `name` beside what the test does.
fn post(
    gateway: &Gateway,
    name: &str,
    id: usize,
    size: usize,
) -> JoinHandle<anyhow::Result<Response>> {
    let (to, path) = (gateway.listening, channel_path(name));
    let message = match size {
        0 => Event::numbered(id).binary(),
        size => bulky(&id.to_string(), size),
    };
    tokio::spawn(async move { Sender::new(to).post(&path, &message).await })
}

async fn answered(posted: JoinHandle<anyhow::Result<Response>>) -> anyhow::Result<Response> {
    within("an answer", SOON * 2, posted).await??
}

async fn total(gateway: &Gateway, name: &str) -> anyhow::Result<usize> {
    Ok(gateway.metrics().await?.sum(name, &[]) as usize)
}

/// Returns when the gateway has no payload and no byte of one.
async fn is_at_rest(gateway: &Gateway, deadline: Duration) -> TestResult {
    until("all payloads to be gone", deadline, async || {
        let left = [
            total(gateway, "towpath_bytes_in_flight").await?,
            total(gateway, "towpath_payload_objects").await?,
        ];
        ensure!(left == [0, 0], "bytes and objects left: {left:?}");
        Ok(Some(()))
    })
    .await
}

/// Two gateways, and a Service whose one replica is on the node of the second.
async fn two(delivery: Value) -> anyhow::Result<(Peers, Vec<Gateway>, Pool)> {
    let pool = Pool::start("step", [on("b")]).await?;
    let mut objects = pool.objects();
    objects.extend(channel_to(&pool.service, delivery));
    let peers = Peers::on_loopback(&["a", "b"])?;
    let gateways = peers.start(&objects).await?;
    Ok((peers, gateways, pool))
}

/// The owner of the only replica is gone before the hop: the decider sends it itself, small or large, and no retry is charged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_owner_a_replica_gets_its_hops_directly() -> TestResult {
    let (peers, mut gateways, pool) = two(json!({})).await?;
    answered(post(&gateways[0], "in", 0, 0)).await?;
    gateways[1].kill().await?;
    for (id, size) in [0, BULKY, 0, BULKY, 0].into_iter().enumerate() {
        let response = answered(post(&gateways[0], "in", id, size)).await?;
        assert_eq!(response.code(), 202, "{id}: {}", response.text());
    }
    assert_eq!(pool.counts(), [6]);
    let bodies = pool.replicas[0].requests();
    assert!(bodies.iter().all(|request| request.whole));
    assert!(bodies[2].body == pattern(BULKY) && bodies[4].body == pattern(BULKY));
    assert_eq!(total(&gateways[0], "towpath_retries_total").await?, 0);
    is_at_rest(&gateways[0], SOON).await?;
    // It comes back, and is found again.
    let mut objects = pool.objects();
    objects.extend(channel_to(&pool.service, json!({})));
    let back = peers
        .launch("b", peers.with_probes(&objects))?
        .start()
        .await?;
    peers.meet(&[&gateways[0], &back]).await?;
    let gate = Gate::closed();
    pool.replicas[0].script([Answer::status(202).behind(&gate)]);
    let posted = post(&gateways[0], "in", 9, BULKY);
    pool.replicas[0].await_count(7, SOON).await?;
    let replica = known(&back, pool.replicas[0].address()).await?;
    assert_eq!(replica["inFlight"], 1, "the owner makes the attempt");
    gate.open();
    assert_eq!(answered(posted).await?.code(), 202);
    Ok(())
}

/// The owner dies in the middle of an attempt: that attempt has failed, and the next one is made without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_owner_dies_is_made_again() -> TestResult {
    for size in [0, BULKY] {
        let (_peers, mut gateways, pool) = two(retries(2)).await?;
        let never = Gate::closed();
        pool.replicas[0].script([Answer::status(202).behind(&never)]);
        let posted = post(&gateways[0], "in", 1, size);
        pool.replicas[0].await_count(1, SOON).await?;
        gateways[1].kill().await?;
        let response = answered(posted).await?;
        assert_eq!(response.code(), 202, "{}", response.text());
        let requests = pool.replicas[0].requests();
        assert_eq!(requests.len(), 2);
        assert!(requests[0].body == requests[1].body, "the same bytes");
        assert_eq!(total(&gateways[0], "towpath_retries_total").await?, 1);
        is_at_rest(&gateways[0], SOON).await?;
    }
    Ok(())
}

/// The same without a retry: the event is not acknowledged, and its dead letter says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_owner_dies_counts_as_one() -> TestResult {
    let dead_letter = Subscriber::start().await?;
    let to = json!({"deadLetterSink": uri(dead_letter.url("/"))});
    let (_peers, mut gateways, pool) = two(to).await?;
    pool.replicas[0].otherwise(Answer::Hang);
    let posted = post(&gateways[0], "in", 1, BULKY);
    pool.replicas[0].await_count(1, SOON).await?;
    gateways[1].kill().await?;
    assert_eq!(answered(posted).await?.code(), 202, "the sink took it");
    assert_eq!(pool.counts(), [1]);
    assert!(dead_letter.only()?.body == pattern(BULKY));
    is_at_rest(&gateways[0], SOON).await
}

/// Load from one gateway while the other is killed and comes back, three times: nothing that was acknowledged is lost, and
/// nothing is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_come_and_go_under_load() -> TestResult {
    let pool = Pool::start("step", [on("a"), on("b")]).await?;
    for replica in &pool.replicas {
        replica.otherwise(Answer::status(202).after(&Work::wide(Duration::from_millis(2))));
    }
    let mut objects = pool.objects();
    objects.extend(channel_to(&pool.service, retries(4)));
    objects.push(hop_policy("turns", Some(&pool.service)).spec("strategy", "RoundRobin"));
    let peers = Peers::on_loopback(&["a", "b"])?;
    let mut gateways = peers.start(&objects).await?;
    let load = Load::start(&gateways[0]);
    for _ in 0..3 {
        load.goes_on(100).await?;
        gateways[1].kill().await?;
        load.goes_on(100).await?;
        let launch = peers.launch("b", peers.with_probes(&objects))?;
        gateways[1] = launch.start().await?;
    }
    load.goes_on(100).await?;
    let sent = load.stop().await?;
    let counts = pool.counts();
    let again = total(&gateways[0], "towpath_retries_total").await?;
    eprintln!("the owner died three times: {sent} events, {counts:?}, {again} retries");
    let came: usize = counts.iter().sum();
    assert!((sent..=sent + again).contains(&came), "{came} of {sent}");
    Ok(())
}

/// Endpoints of the owner's node flap in the manifests of both, now here first, now there: what the owner does not know
/// yet the decider sends itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_of_an_owner_flap() -> TestResult {
    let pool = Pool::start("step", [on("a"), on("b")]).await?;
    let peers = Peers::on_loopback(&["a", "b"])?;
    let with = |far: bool| {
        let mut objects = pool.with(|index| index == 0 || far);
        objects.extend(channel_to(&pool.service, json!({})));
        objects.push(hop_policy("turns", Some(&pool.service)).spec("strategy", "RoundRobin"));
        peers.with_probes(&objects)
    };
    let gateways = peers.start(&[]).await?;
    for gateway in &gateways {
        gateway.edit(with(true)).await?;
    }
    let load = Load::start(&gateways[0]);
    for round in 0..6 {
        let order = if round % 4 < 2 { [0, 1] } else { [1, 0] };
        for index in order {
            gateways[index].edit(with(round % 2 == 1)).await?;
            load.goes_on(30).await?;
        }
    }
    let sent = load.stop().await?;
    eprintln!("endpoints flapped: {sent} events, {:?}", pool.counts());
    assert_eq!(pool.counts().iter().sum::<usize>(), sent);
    assert!(pool.counts()[1] > 0);
    Ok(())
}

/// The holder of a payload is gone when the next step's owner wants it: the hop fails, nothing was acknowledged, and the
/// producer may try again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_whose_holder_is_gone_fails_its_hop() -> TestResult {
    let (first, second) = (
        Pool::start("first", [on("b")]).await?,
        Pool::start("second", [on("c")]).await?,
    );
    let reply = Event::numbered(2).data("text/plain", pattern(BULKY));
    first.replicas[0].otherwise(Answer::reply(&reply));
    // While one hop is there, the next waits with its payload still at the holder.
    let gate = Gate::closed();
    second.replicas[0].script([Answer::status(202).behind(&gate)]);
    let steps = [reference(&first.service), reference(&second.service)];
    let mut objects = vec![sequence("flow", steps)];
    objects.push(hop_policy("one", Some(&second.service)).spec("replicaConcurrency", 1));
    let pinned = in_memory_channel("second-only");
    objects.push(subscription(
        "second-only",
        &pinned,
        reference(&second.service),
    ));
    objects.push(pinned);
    objects.extend(first.objects());
    objects.extend(second.objects());
    let peers = Peers::on_loopback(&["a", "b", "c"])?;
    let mut gateways = peers.start(&objects).await?;
    let busy = post(&gateways[0], "second-only", 1, 0);
    second.replicas[0].await_count(1, SOON).await?;
    let flow = post(&gateways[0], "flow-kn-sequence-0", 2, 0);
    until("the second step to wait", SOON, async || {
        let replica = known(&gateways[0], second.replicas[0].address()).await?;
        Ok((replica["waiting"] == 1).then_some(()))
    })
    .await?;
    gateways[1].kill().await?;
    gate.open();
    assert_eq!(answered(busy).await?.code(), 202);
    let response = answered(flow).await?;
    assert!(
        response.code() >= 500,
        "{}: {}",
        response.code(),
        response.text()
    );
    // An attempt may have begun, and broke off.
    let begun = second.counts()[0];
    let broken = &second.replicas[0].requests()[1..];
    assert!(broken.iter().all(|request| !request.whole), "{broken:?}");
    for index in [0, 2] {
        is_at_rest(&gateways[index], SOON).await?;
    }
    // Again, when the holder is back and the others know.
    let launch = peers.launch("b", peers.with_probes(&objects))?;
    gateways[1] = launch.start().await?;
    let all: Vec<&Gateway> = gateways.iter().collect();
    peers.meet(&all).await?;
    let response = answered(post(&gateways[0], "flow-kn-sequence-0", 3, 0)).await?;
    assert_eq!(response.code(), 202, "{}", response.text());
    let requests = second.replicas[0].requests();
    assert!(requests.len() == begun + 1 && requests[begun].body == pattern(BULKY));
    Ok(())
}

/// The decider dies in the middle of an attempt: the owner gives it up, and what it pulled for it goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_decider_dies_is_given_up() -> TestResult {
    let tap = Tap::start()?;
    let step = service("step", "http", 80);
    let mut objects = vec![step.clone(), slice("step", 0, tap.address(), &on("b"))];
    objects.extend(channel_to(&step, json!({})));
    let peers = Peers::on_loopback(&["a", "b"])?;
    let mut gateways = peers.start(&objects).await?;
    let posted = post(&gateways[0], "in", 1, BULKY);
    let mut request = tap.next().await?;
    let half = request.read(BULKY / 2).await?;
    assert!(half == pattern(BULKY)[..BULKY / 2]);
    assert!(total(&gateways[1], "towpath_payload_objects").await? >= 1);
    gateways[0].kill().await?;
    assert!(request.ended(SOON).await?.reset, "a reset, never an end");
    answered(posted).await.unwrap_err();
    until("the owner to have nothing in flight", SOON, async || {
        let replica = known(&gateways[1], tap.address()).await?;
        Ok((replica["inFlight"] == 0).then_some(()))
    })
    .await?;
    is_at_rest(&gateways[1], SOON).await?;
    Ok(())
}

/// The decider dies while the owner keeps the payload of a reply for it: the lease ends within 65 s. With `TOWPATH_SOAK=1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_for_a_decider_that_died_goes() -> TestResult {
    if std::env::var_os("TOWPATH_SOAK").is_none_or(|value| value == "0") {
        return Ok(());
    }
    let (first, second) = (
        Pool::start("first", [on("b")]).await?,
        Pool::start("second", [on("a")]).await?,
    );
    let reply = Event::numbered(2).data("text/plain", pattern(BULKY));
    first.replicas[0].otherwise(Answer::reply(&reply));
    second.replicas[0].otherwise(Answer::Hang);
    let steps = [reference(&first.service), reference(&second.service)];
    let mut objects = vec![sequence("flow", steps)];
    objects.extend(first.objects());
    objects.extend(second.objects());
    let peers = Peers::on_loopback(&["a", "b"])?;
    let mut gateways = peers.start(&objects).await?;
    let posted = post(&gateways[0], "flow-kn-sequence-0", 1, 0);
    second.replicas[0].await_count(1, SOON).await?;
    assert!(total(&gateways[1], "towpath_payload_objects").await? >= 1);
    gateways[0].kill().await?;
    answered(posted).await.unwrap_err();
    is_at_rest(&gateways[1], Duration::from_secs(70)).await
}

/// The producer breaks off while its body goes through two gateways to the subscriber: that one sees a reset, and there was no
/// event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_a_reset_behind_two_gateways() -> TestResult {
    let (tap, dead_letter) = (Tap::start()?, Subscriber::start().await?);
    let step = service("step", "http", 80);
    let mut objects = vec![step.clone(), slice("step", 0, tap.address(), &on("b"))];
    let mut delivery = retries(3);
    delivery["deadLetterSink"] = uri(dead_letter.url("/"));
    objects.extend(channel_to(&step, delivery));
    let peers = Peers::on_loopback(&["a", "b"])?;
    let gateways = peers.start(&objects).await?;
    let producer = begun(&gateways[0], BULKY, BULKY / 2).await?;
    let mut request = tap.next().await?;
    assert_eq!(request.header("content-length"), BULKY.to_string());
    let half = request.read(BULKY / 2).await?;
    assert!(half == pattern(BULKY)[..BULKY / 2], "as it came");
    let owner = known(&gateways[1], tap.address()).await?;
    assert_eq!(owner["inFlight"], 1, "the owner makes the attempt");
    producer.reset()?;
    let ended = request.ended(SOON).await?;
    assert!(ended.reset, "a reset, never an end");
    for gateway in &gateways {
        is_at_rest(gateway, SOON).await?;
        assert_eq!(total(gateway, "towpath_retries_total").await?, 0);
    }
    assert_eq!(dead_letter.count(), 0);
    // The way is still good.
    let posted = post(&gateways[0], "in", 2, BULKY);
    assert!(tap.next().await?.take().await? == pattern(BULKY));
    assert_eq!(answered(posted).await?.code(), 202);
    Ok(())
}

/// Producers that post to channel `in` until they are stopped; every event must be taken.
struct Load {
    stop: Arc<AtomicBool>,
    sent: tokio::sync::watch::Sender<usize>,
    producers: JoinSet<TestResult>,
}

impl Load {
    fn start(gateway: &Gateway) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            sent: tokio::sync::watch::Sender::new(0),
            producers: JoinSet::new(),
        };
        for _ in 0..8 {
            let (to, stop, sent) = (gateway.listening, Arc::clone(&load.stop), load.sent.clone());
            load.producers.spawn(async move {
                let mut sender = Sender::new(to);
                while !stop.load(Ordering::SeqCst) {
                    let event = Event::numbered(*sent.borrow()).binary();
                    let response = sender.post(&channel_path("in"), &event).await?;
                    ensure!(response.code() == 202, "{}", response.text());
                    sent.send_modify(|sent| *sent += 1);
                }
                Ok(())
            });
        }
        load
    }

    /// Waits for that many more.
    async fn goes_on(&self, events: usize) -> TestResult {
        let (mut sent, wanted) = (self.sent.subscribe(), *self.sent.borrow() + events);
        let more = sent.wait_for(|sent| *sent >= wanted);
        within("more events", SOON, more)
            .await?
            .context("producers")?;
        Ok(())
    }

    /// How many were sent, all of them taken.
    async fn stop(mut self) -> anyhow::Result<usize> {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(producer) = within("producers", SOON, self.producers.join_next()).await? {
            producer??;
        }
        Ok(*self.sent.borrow())
    }
}
