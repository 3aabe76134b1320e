//! Payloads of every size through every kind of flow: the same bytes at each party, and memory that does not grow with
//! them. The largest is 100 MiB, or 1 GiB with `TOWPATH_SOAK=1`.

use std::env;
use std::time::Duration;

use towpath_harness::TestResult;
use towpath_harness::memory::Watch;
use towpath_harness::poll::SOON;

use crate::payload_flows::{Flows, Framing};

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

/// Steps that get a reference reply with it: the next party gets what it names, by whatever presentation is its own.
#[tokio::test]
async fn every_presentation_passes_every_flow() -> TestResult {
    for (presentation, begins) in [("Reference", "http://"), ("File", "file:///")] {
        for memory in ["8Mi", "0"] {
            let settings = [
                ("payloads.present", presentation),
                ("store.memory.maxPayload", memory),
            ];
            let Flows { at, flows } = Flows::start(&settings).await?;
            for flow in &flows {
                for framing in [Framing::ContentLength, Framing::Chunked] {
                    flow.carries(&at, (1 << 20) + 1, framing, SOON).await?;
                    let id = format!("{} {framing:?}", (1 << 20) + 1);
                    assert!(
                        flow.shown(&id, begins)?,
                        "{}: not shown as {presentation}",
                        flow.name
                    );
                }
            }
            at.at_rest().await?;
        }
    }
    Ok(())
}

/// Issue 5: nothing of it in memory, at no party's place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_passes_every_flow_in_bounded_memory() -> TestResult {
    let soak = env::var_os("TOWPATH_SOAK").is_some_and(|value| value != "0");
    let size = if soak { 1 << 30 } else { LARGE };
    let Flows { at, flows } = Flows::start(&[]).await?;
    let watches = [at.gateway.pid()?, std::process::id()].map(Watch::process);
    for flow in &flows {
        let began = tokio::time::Instant::now();
        let framing = Framing::ContentLength;
        flow.carries(&at, size, framing, Duration::from_secs(300))
            .await?;
        println!("{}: {:.1} s", flow.name, began.elapsed().as_secs_f64());
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
