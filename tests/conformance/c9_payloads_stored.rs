//! C9.6: a producer hears 202 only when all of its payload is stored.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use towpath_harness::poll::SOON;
use towpath_harness::raw::{Raw, event_head};
use towpath_harness::{Answer, Bed, Event, Gate, TestResult};

use crate::c9_payloads_kit::{BULKY, Shelved, pattern};

/// The annotation that lets a channel answer before its subscribers did.
const ASYNC: &str = "messaging.knative.dev/async-handler";

/// How long an answer that must not come is waited for.
const NOT_YET: Duration = Duration::from_millis(100);

/// Both ways to send a body of [`BULKY`] bytes: all of it but the last byte, and that.
fn bodies(path: &str) -> [(&'static str, Vec<u8>, Vec<u8>); 2] {
    let (head, data) = (event_head(path), pattern(BULKY));
    let (last, first) = data.split_last().unwrap_or((&0, &[]));
    let known = format!("{head}Content-Length: {BULKY}\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{BULKY:x}\r\n");
    [
        ("known", [known.as_bytes(), first].concat(), vec![*last]),
        (
            "chunked",
            [chunked.as_bytes(), first].concat(),
            [&[*last], &b"\r\n0\r\n\r\n"[..]].concat(),
        ),
    ]
}

/// The sizes of all whole payloads in the node store.
fn files(shelved: &Shelved) -> Result<Vec<u64>> {
    let mut sizes = Vec::new();
    for store in fs::read_dir(shelved.directory().join("in"))? {
        for file in fs::read_dir(store?.path())? {
            sizes.push(file?.metadata()?.len());
        }
    }
    Ok(sizes)
}

/// Sends all but the last byte: no answer. Then the last: 202.
async fn answered_after_the_last_byte(
    shelved: &Shelved,
    what: &str,
    body: (Vec<u8>, Vec<u8>),
) -> TestResult {
    let mut raw = Raw::connect(shelved.bed.gateway.listening).await?;
    raw.write(&body.0).await?;
    // What comes after it passes, so the gateway is not just slow.
    for id in 0..3 {
        let code = shelved.bed.event(&Event::numbered(id)).await?.code();
        assert_eq!(code, 202, "{what}");
    }
    ensure!(
        raw.answered(NOT_YET).await.is_err(),
        "{what}: answered before all had come"
    );
    raw.write(&body.1).await?;
    assert_eq!(raw.read_response(SOON).await?.status(), 202, "{what}");
    Ok(())
}

#[tokio::test]
async fn c9_6_no_202_before_the_last_byte() -> TestResult {
    for memory in ["8Mi", "0"] {
        for setup in Bed::both() {
            let shelved = Shelved::start(setup, memory).await?;
            for (sent, (what, first, last)) in (1..).zip(bodies(&shelved.bed.path)) {
                answered_after_the_last_byte(&shelved, what, (first, last)).await?;
                let requests = shelved.bed.subscriber.requests();
                let whole = requests.iter().filter(|r| r.body == pattern(BULKY));
                assert_eq!(whole.count(), sent, "{memory}, {what}: not the same bytes");
                shelved.at_rest().await?;
            }
        }
    }
    Ok(())
}

/// An async channel answers before its subscriber did, and not before all is stored: then the file is there, whole.
#[tokio::test]
async fn c9_6_the_202_of_an_async_channel_means_stored() -> TestResult {
    for memory in ["8Mi", "0"] {
        let setup = Bed::setup()
            .annotation(ASYNC, "true")
            // So low that every payload of the node store goes to its file.
            .set("store.node.dirtyBytes", "4Mi");
        let shelved = Shelved::start(setup, memory).await?;
        let gate = Gate::closed();
        shelved
            .bed
            .subscriber
            .otherwise(Answer::status(202).behind(&gate));
        let mut sent = 0;
        for (what, first, last) in bodies(&shelved.bed.path) {
            answered_after_the_last_byte(&shelved, what, (first, last)).await?;
            sent += 1;
            if memory == "0" {
                assert_eq!(files(&shelved)?, vec![BULKY as u64; sent], "{what}");
            }
            let metrics = shelved.bed.gateway.metrics().await?;
            let objects = metrics.sum("towpath_payload_objects", &[]);
            assert!((objects - sent as f64).abs() < 0.5, "{what}: {objects}");
        }
        gate.open();
        shelved.bed.subscriber.await_count(2 + 6, SOON).await?;
        let requests = shelved.bed.subscriber.requests();
        let whole = requests.iter().filter(|r| r.body == pattern(BULKY));
        assert_eq!(whole.count(), 2, "{memory}: not the same bytes");
        shelved.at_rest().await?;
    }
    Ok(())
}

/// A producer that breaks off before the last byte hears nothing, and nothing of its event is left.
#[tokio::test]
async fn c9_6_what_is_not_whole_is_no_event() -> TestResult {
    for memory in ["8Mi", "0"] {
        let setup = Bed::setup().dead_letter().annotation(ASYNC, "true");
        let shelved = Shelved::start(setup, memory).await?;
        for (what, first, _) in bodies(&shelved.bed.path) {
            let mut raw = Raw::connect(shelved.bed.gateway.listening).await?;
            raw.write(&first).await?;
            raw.finish().await?;
            let read = raw.read_to_end(SOON).await?;
            assert_ne!(read.status() / 100, 2, "{memory}, {what}: {}", read.text);
            shelved.at_rest().await?;
            assert_eq!(files(&shelved)?, Vec::<u64>::new(), "{memory}, {what}");
        }
        let requests = shelved.bed.subscriber.requests();
        assert!(
            requests.iter().all(|request| !request.whole),
            "{memory}: {} whole",
            requests.len()
        );
        assert_eq!(shelved.bed.dead_letter.count(), 0, "{memory}");
    }
    Ok(())
}
