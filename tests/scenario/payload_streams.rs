//! Bulky payloads in motion: cut-through and without it, many subscribers, equal ids, an async channel, many hops.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::Instant;
use towpath_harness::manifest::{
    Object, channel_path, in_memory_channel, reference, sequence, subscription, uri,
};
use towpath_harness::measure::{Measure, Pattern, Producer};
use towpath_harness::poll::{SOON, until, within};
use towpath_harness::{Answer, Gate, Meter, Subscriber, TestResult};

use crate::payload_flows::{Shelved, event};

const ENTRY: &str = "seq-kn-sequence-0";

/// A Sequence of two steps that reply as the bytes come, into a channel with a sink: a destination that is no channel
/// gets replies when they are whole.
struct TwoSteps {
    at: Shelved,
    steps: [Meter; 2],
    sink: Meter,
}

impl TwoSteps {
    async fn start(annotations: &[(&str, &str)]) -> Result<Self> {
        let steps = [Meter::echo().await?, Meter::echo().await?];
        let sink = Meter::sink().await?;
        let annotated = |out: Object, (name, value): &(&str, &str)| out.annotation(name, value);
        let out = in_memory_channel("out");
        let out = annotations.iter().fold(out, annotated);
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        let metadata = json!({"annotations": annotations});
        let flow = sequence("seq", steps.iter().map(|step| uri(step.url("/"))))
            .spec("channelTemplate.metadata", metadata)
            .spec("reply", reference(&out));
        let to = subscription("sub", &out, uri(sink.url("/")));
        Ok(TwoSteps {
            at: Shelved::start([flow, out, to], &[]).await?,
            steps,
            sink,
        })
    }

    async fn begin(&self, id: &str, length: u64) -> Result<Producer> {
        let path = channel_path(ENTRY);
        self.at.begin(&path, &event(id), Some(length)).await
    }
}

/// Sends every chunk that is left of the pattern, then waits for 202.
async fn finish(producer: Producer, rest: Pattern) -> TestResult {
    for chunk in rest {
        producer.send(chunk).await;
    }
    let response = producer.end(SOON).await?;
    assert_eq!(response.code(), 202, "{}", response.text());
    Ok(())
}

/// DESIGN section 12: the last party has what the producer has sent, which waits with the rest until it has. A size in
/// memory, and one that goes to disk.
#[tokio::test]
async fn the_sink_has_the_first_half_before_the_second_is_sent() -> TestResult {
    let flow = TwoSteps::start(&[]).await?;
    let mut before = 0;
    for size in [4 << 20, 24 << 20] {
        let producer = flow.begin(&size.to_string(), size).await?;
        let mut rest = Pattern::new(1, size);
        let mut sent = 0;
        while sent < size / 2 {
            let chunk = rest.next().context("no half")?;
            sent += chunk.len() as u64;
            producer.send(chunk).await;
        }
        for (place, party) in flow.steps.iter().chain([&flow.sink]).enumerate() {
            let half = party.await_bytes(before + sent, SOON).await;
            half.with_context(|| format!("half of {size} at place {place}"))?;
        }
        before += size;
        finish(producer, rest).await?;
        for party in flow.steps.iter().chain([&flow.sink]) {
            assert!(party.last()?.data == Pattern::new(1, size).measure());
        }
    }
    flow.at.at_rest().await
}

/// `towpath.dev/cut-through: "false"` on the channel and the channel template: each party hears of the event only when all bytes have
/// left the one before.
#[tokio::test]
async fn without_cut_through_each_hop_waits_for_the_whole() -> TestResult {
    let size = 4 << 20;
    let flow = TwoSteps::start(&[("towpath.dev/cut-through", "false")]).await?;
    let producer = flow.begin("whole", size).await?;
    let mut rest = Pattern::new(1, size);
    for chunk in rest.by_ref().take(32) {
        producer.send(chunk).await;
    }
    until("the first half to be in the gateway", SOON, async || {
        let held = flow.at.sum("towpath_bytes_in_flight").await?;
        Ok((held > 1e6).then_some(()))
    })
    .await?;
    let mut left = Instant::now();
    finish(producer, rest).await?;
    for party in flow.steps.iter().chain([&flow.sink]) {
        let came = party.last()?;
        assert!(came.began > left, "it came before all had been sent");
        assert!(came.data == Pattern::new(1, size).measure());
        left = came.ended;
    }
    flow.at.at_rest().await
}

/// C9.1: fifty subscribers, one payload; in each of the two stores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_subscribers_share_one_stored_copy() -> TestResult {
    const SUBSCRIBERS: usize = 50;
    let size = 8 << 20;
    for (tier, memory) in [("memory", "8Mi"), ("node", "0")] {
        let gate = Gate::closed();
        let sink = Meter::gated(&gate).await?;
        let channel = in_memory_channel("in");
        let subscriptions = (0..SUBSCRIBERS).map(|number| {
            let to = uri(sink.url(&format!("/{number}")));
            subscription(&format!("s{number}"), &channel, to)
        });
        let objects: Vec<_> = subscriptions.chain([channel.clone()]).collect();
        let at = Shelved::start(objects, &[("store.memory.maxPayload", memory)]).await?;
        let path = channel_path("in");
        let producer = at.begin(&path, &event("wide"), Some(size)).await?;
        let posted = tokio::spawn(finish(producer, Pattern::new(2, size)));
        let all = size * SUBSCRIBERS as u64;
        sink.await_bytes(all, SOON).await?;
        at.holds(tier, 1, size).await?;
        let copies = at.sum("towpath_payload_objects").await?;
        assert!((copies - 1.0).abs() < 0.5, "{copies} copies in all stores");
        gate.open();
        within("the response", SOON, posted).await???;
        let requests = sink.requests()?;
        let paths: BTreeSet<_> = requests.iter().map(|request| &request.path).collect();
        assert_eq!((requests.len(), paths.len()), (SUBSCRIBERS, SUBSCRIBERS));
        let sent = Pattern::new(2, size).measure();
        assert!(requests.iter().all(|request| request.data == sent));
        at.at_rest().await?;
    }
    Ok(())
}

/// Source and id are an event's identity: two producers that count alike share nothing.
#[tokio::test]
async fn one_id_from_two_sources_is_two_payloads() -> TestResult {
    let size = 2 << 20;
    let flow = TwoSteps::start(&[]).await?;
    let path = channel_path(ENTRY);
    let mut begun = Vec::new();
    for seed in [1, 2] {
        let event = event("1").with("source", format!("/{seed}"));
        let producer = flow.at.begin(&path, &event, Some(size)).await?;
        begun.push((producer, Pattern::new(seed, size)));
    }
    // Both are under way before either ends.
    let mut sent = 0;
    for (producer, rest) in &mut begun {
        let chunk = rest.next().context("no chunk")?;
        sent += chunk.len() as u64;
        producer.send(chunk).await;
    }
    flow.sink.await_bytes(sent, SOON).await?;
    for (producer, rest) in begun {
        finish(producer, rest).await?;
    }
    for party in flow.steps.iter().chain([&flow.sink]) {
        let requests = party.requests()?;
        let mut found: Vec<(String, Measure)> = requests
            .into_iter()
            .map(|request| (request.header("ce-source"), request.data))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let wanted = [1, 2].map(|seed| {
            let measure = Pattern::new(seed, size).measure();
            (format!("/{seed}"), measure)
        });
        assert!(found == wanted, "{found:?}");
    }
    flow.at.at_rest().await
}

/// A3.3: the producer has its 202 while the subscriber waits, and the payload stays until it is settled.
#[tokio::test]
async fn an_async_channel_keeps_payloads_until_they_are_settled() -> TestResult {
    let gate = Gate::closed();
    let sink = Meter::gated(&gate).await?;
    let channel = in_memory_channel("in").annotation("messaging.knative.dev/async-handler", "true");
    let to = subscription("sub", &channel, uri(sink.url("/")));
    let at = Shelved::start([channel, to], &[]).await?;
    // In memory, and on disk.
    let sizes = [(1, 2 << 20), (2, 16 << 20)];
    for (seed, size) in sizes {
        let path = channel_path("in");
        let event = event(&seed.to_string());
        let producer = at.begin(&path, &event, Some(size)).await?;
        finish(producer, Pattern::new(seed, size)).await?;
    }
    sink.await_bytes(18 << 20, SOON).await?;
    at.holds("memory", 1, 2 << 20).await?;
    at.holds("node", 1, 16 << 20).await?;
    gate.open();
    at.at_rest().await?;
    for request in sink.requests()? {
        let sent = sizes.map(|(seed, size)| (seed.to_string(), Pattern::new(seed, size).measure()));
        assert!(sent.contains(&(request.header("ce-id"), request.data)));
    }
    assert_eq!(sink.requests()?.len(), 2);
    Ok(())
}

/// Issue 5: by reference a hop costs its control bytes, and these do not grow with hops: 200 hops under `limits.hops`.
#[tokio::test]
async fn two_hundred_hops_by_reference_cost_the_same_each() -> TestResult {
    const HOPS: usize = 200;
    let size = (1 << 20) + 1;
    let (step, sink) = (Subscriber::start().await?, Meter::sink().await?);
    step.otherwise(Answer::transform(|event| event));
    let channels: Vec<_> = (0..HOPS)
        .map(|hop| in_memory_channel(&format!("c{hop:03}")))
        .collect();
    let mut objects = channels.clone();
    for (hop, channel) in channels.iter().enumerate() {
        let to = match channels.get(hop + 1) {
            Some(_) => uri(step.url(&format!("/{hop:03}"))),
            None => uri(sink.url("/")),
        };
        let mut object = subscription(&format!("s{hop:03}"), channel, to)
            .annotation("towpath.dev/payload", "Reference");
        if let Some(next) = channels.get(hop + 1) {
            object = object.spec("reply", reference(next));
        }
        objects.push(object);
    }
    let at = Shelved::start(objects, &[]).await?;
    let path = channel_path("c000");
    let producer = at.begin(&path, &event("far"), Some(size)).await?;
    finish(producer, Pattern::new(5, size)).await?;

    let requests = step.requests();
    assert_eq!(requests.len(), HOPS - 1);
    let mut costs = BTreeSet::new();
    let mut names = BTreeSet::new();
    for request in &requests {
        let headers = request.headers.iter();
        let head: usize = headers
            .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
            .sum();
        costs.insert(request.path.len() + head + request.body.len());
        names.insert(
            request
                .headers
                .keys()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        );
    }
    println!("bytes of one hop: {costs:?}");
    assert_eq!(costs.len(), 1, "they differ: {costs:?}, of {names:?}");
    assert!(costs.iter().all(|cost| *cost < 2048), "{costs:?}");
    // The last hop has no reply, so it has no place to upload one to.
    let last = sink.last()?;
    assert_eq!(last.header("towpath-upload"), "");
    assert!(last.data == Pattern::new(5, size).measure());
    at.at_rest().await
}
