//! Payloads of every size through every kind of flow: the same bytes at each party, and memory that does not grow with
//! them. The largest is 100 MiB, or 1 GiB with `TOWPATH_SOAK=1`.

use std::env;
use std::time::Duration;

use towpath_harness::manifest::{channel_path, in_memory_channel, reference, subscription, uri};
use towpath_harness::measure::Pattern;
use towpath_harness::memory::Watch;
use towpath_harness::poll::SOON;
use towpath_harness::{Meter, TestResult};

use crate::payload_flows::{Flows, Framing, Shelved, event};

const SIZES: [u64; 5] = [1, 64 * 1024, 64 * 1024 + 1, (1 << 20) - 1, (1 << 20) + 1];

/// Far over what an event in memory may have, so that it waits on disk.
const LARGE: u64 = 100 << 20;

/// Memory that a gateway may hold while a payload of any size passes, in bytes: its bound is that of bytes in flight (96
/// MiB), and the process itself.
const MEMORY: u64 = 128 << 20;

/// C9.1, in both framings.
#[tokio::test]
async fn every_size_passes_every_flow() -> TestResult {
    let Flows { at, flows } = Flows::start(&[]).await?;
    for flow in &flows {
        for size in SIZES {
            for framing in [Framing::ContentLength, Framing::Chunked] {
                flow.carries(&at, size, framing, SOON).await?;
            }
        }
    }
    at.at_rest().await
}

/// Steps that are shown a payload reply with what they were shown.
#[tokio::test]
async fn every_presentation_passes_every_flow() -> TestResult {
    let mut done = Vec::new();
    for (presentation, begins) in [("Reference", "http://"), ("File", "file:///")] {
        for memory in ["8Mi", "0"] {
            let settings = [
                ("payloads.present", presentation),
                ("store.memory.maxPayload", memory),
            ];
            let all = Flows::start(&settings).await?;
            for flow in &all.flows {
                for framing in [Framing::ContentLength, Framing::Chunked] {
                    let id = flow.carries(&all.at, (1 << 20) + 1, framing, SOON).await?;
                    assert!(
                        flow.shown(&id, begins)?,
                        "{}: not shown as {presentation}",
                        flow.name
                    );
                }
            }
            done.push(all);
        }
    }
    // At the end, since each is readable for some time after it was shown.
    for all in done {
        all.at.at_rest().await?;
    }
    Ok(())
}

/// A payload that is shown now one way, now another: each step sends on what it was shown, the one after gets it in its
/// own way.
#[tokio::test]
async fn presentations_follow_one_another() -> TestResult {
    let ways = [
        ("Reference", "http://"),
        ("File", "file:///"),
        ("Inline", ""),
        ("File", "file:///"),
        ("Reference", "http://"),
    ];
    let channels: Vec<_> = (0..=ways.len())
        .map(|hop| in_memory_channel(&format!("c{hop}")))
        .collect();
    let sink = Meter::sink().await?;
    let mut objects = channels.clone();
    let mut steps = Vec::new();
    for ((hop, between), (way, _)) in channels.windows(2).enumerate().zip(ways) {
        let step = Meter::echo().await?;
        let to = subscription(&format!("s{hop}"), &between[0], uri(step.url("/")));
        let to = to.annotation("towpath.dev/payload", way);
        objects.push(to.spec("reply", reference(&between[1])));
        steps.push(step);
    }
    objects.push(subscription(
        "end",
        &channels[ways.len()],
        uri(sink.url("/")),
    ));
    let at = Shelved::start(objects, &[]).await?;
    // In memory, and on disk.
    for size in [(1 << 20) + 1, 24 << 20] {
        let path = channel_path("c0");
        let producer = at.begin(&path, &event("mixed"), Some(size)).await?;
        for chunk in Pattern::new(9, size) {
            producer.send(chunk).await;
        }
        let response = producer.end(SOON).await?;
        assert_eq!(response.code(), 202, "{}", response.text());
        let sent = Pattern::new(9, size).measure();
        let ways = ways.iter().chain([&("Inline", "")]);
        for (place, (party, (way, begins))) in steps.iter().chain([&sink]).zip(ways).enumerate() {
            let came = party.last()?;
            let what = format!("{way} at place {place}");
            let shown = came.header("ce-dataref");
            assert_eq!(shown.is_empty(), begins.is_empty(), "{what}: {shown}");
            assert!(shown.starts_with(begins), "{what}: {shown}");
            assert_eq!(came.data, sent, "{what}");
        }
    }
    at.at_rest().await
}

/// Issue 5: nothing of it in memory, at no party's place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_passes_every_flow_in_bounded_memory() -> TestResult {
    let soak = env::var_os("TOWPATH_SOAK").is_some_and(|value| value != "0");
    let size = if soak { 1 << 30 } else { LARGE };
    let Flows { at, flows } = Flows::start(&[]).await?;
    let watches = [at.gateway.pid()?, std::process::id()].map(Watch::process);
    let framings = [Framing::ContentLength, Framing::Chunked];
    let framings = framings.iter().take(if soak { 2 } else { 1 });
    for (flow, framing) in flows
        .iter()
        .flat_map(|flow| framings.clone().map(move |f| (flow, f)))
    {
        let began = tokio::time::Instant::now();
        flow.carries(&at, size, *framing, Duration::from_secs(300))
            .await?;
        let took = began.elapsed().as_secs_f64();
        println!("{}, {framing:?}: {took:.1} s", flow.name);
    }
    let [gateway, tests] = watches;
    let (gateway, tests) = (gateway?.end()?.sample.rss, tests?.end()?.sample.rss);
    println!("at most {gateway} bytes in the gateway, {tests} in the tests");
    assert!(gateway < MEMORY, "the gateway held {gateway} bytes");
    // Other tests of this process keep some bodies whole.
    assert!(
        !soak || tests < size / 2,
        "the process of the tests held {tests} bytes"
    );
    at.at_rest().await
}
