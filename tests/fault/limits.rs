//! Bodies over the limit and bodies that break off.

use std::time::Duration;

use anyhow::Context;
use towpath_harness::manifest::channel_path;
use towpath_harness::poll::{SOON, until};
use towpath_harness::raw::{Raw, event_head};
use towpath_harness::{Bed, TestResult};

const LIMIT: usize = 64 * 1024;

async fn small() -> anyhow::Result<Bed> {
    Bed::setup()
        .set("limits.maxEventBytes", "64Ki")
        .start()
        .await
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(8 * 1024) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// The client is still sending when the answer comes, and has more to send than sockets and the gateway will take.
#[tokio::test]
async fn a_413_is_seen_by_a_client_that_is_still_sending_a_known_length() -> TestResult {
    let mut bed = small().await?;
    let body = vec![b'x'; 16 << 20];
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    raw.write(format!(
        "{}Content-Length: {}\r\n\r\n",
        event_head(&channel_path("in")),
        body.len()
    ))
    .await?;
    let (sent, read) = raw.write_while_reading(&body, SOON).await?;
    assert_eq!(read.status(), 413, "{read:?}");
    for part in [
        body.len().to_string(),
        LIMIT.to_string(),
        "limits.maxEventBytes".to_owned(),
    ] {
        assert!(read.text.contains(&part), "no {part} in {}", read.text);
    }
    assert!(
        sent < body.len(),
        "the gateway must not swallow all {sent} bytes"
    );
    assert_eq!(bed.subscriber.count(), 0);
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn a_413_is_seen_by_a_client_that_is_still_sending_chunks() -> TestResult {
    let mut bed = small().await?;
    let body = chunked(&vec![b'x'; 16 << 20]);
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    raw.write(format!(
        "{}Transfer-Encoding: chunked\r\n\r\n",
        event_head(&channel_path("in"))
    ))
    .await?;
    let (sent, read) = raw.write_while_reading(&body, SOON).await?;
    assert_eq!(read.status(), 413, "{read:?}");
    for part in [LIMIT.to_string(), "limits.maxEventBytes".to_owned()] {
        assert!(read.text.contains(&part), "no {part} in {}", read.text);
    }
    assert!(
        sent < body.len(),
        "the gateway must not swallow all {sent} bytes"
    );
    assert_eq!(bed.subscriber.count(), 0);
    bed.gateway.goes_on("in").await
}

/// Most clients look for an answer only when they have sent everything: what is sent after the answer is on its way must
/// be taken, within the bound of what is discarded, and must not end in a reset.
#[tokio::test]
async fn a_413_is_seen_by_a_client_that_sends_everything_first() -> TestResult {
    let mut bed = small().await?;
    let head = event_head(&channel_path("in"));
    let body = vec![b'x'; 700 * 1024];
    let chunks = chunked(&body);
    let over = 2 * LIMIT;
    let known = (
        format!("Content-Length: {}", body.len()),
        &body[..0],
        &body[..],
    );
    let unknown = (
        "Transfer-Encoding: chunked".to_owned(),
        &chunks[..over],
        &chunks[over..],
    );
    for (framing, before, after) in [known, unknown] {
        let mut raw = Raw::connect(bed.gateway.listening).await?;
        raw.write(format!("{head}{framing}\r\n\r\n")).await?;
        raw.write(before).await?;
        raw.answered(SOON).await?;
        for part in after.chunks(16 * 1024) {
            raw.write(part)
                .await
                .with_context(|| format!("{framing}: the rest of the body"))?;
        }
        raw.finish().await?;
        let read = raw.read_to_end(SOON).await?;
        assert_eq!(
            (read.status(), read.reset),
            (413, false),
            "{framing}: {read:?}"
        );
    }
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() -> TestResult {
    let mut bed = small().await?;
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    let head = event_head(&channel_path("in"));
    raw.write(format!(
        "{head}Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"
    ))
    .await?;
    assert_eq!(raw.read_response(SOON).await?.status(), 413);

    let mut raw = Raw::connect(bed.gateway.listening).await?;
    raw.write(format!(
        "{head}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    ))
    .await?;
    assert_eq!(raw.read_response(SOON).await?.status(), 100);
    raw.write("hello").await?;
    assert_eq!(raw.read_response(SOON).await?.status(), 202);
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn an_unknown_channel_is_404_before_the_body() -> TestResult {
    let mut bed = small().await?;
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    raw.write(format!(
        "{}Content-Length: 1000\r\n\r\n",
        event_head("/channels/demo/none")
    ))
    .await?;
    assert_eq!(raw.read_response(SOON).await?.status(), 404);
    bed.gateway.goes_on("in").await
}

/// Half an event is no event, however its producer went away and whatever its size.
#[tokio::test]
async fn truncated_bodies_are_never_delivered() -> TestResult {
    let mut bed = Bed::setup().dead_letter().start().await?;
    let head = event_head(&channel_path("in"));
    for length in [1_000, 2 << 20] {
        for framing in [
            format!("Content-Length: {length}\r\n\r\n"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n"),
        ] {
            for reset in [false, true] {
                let mut raw = Raw::connect(bed.gateway.listening).await?;
                raw.write(format!("{head}{framing}")).await?;
                raw.write(vec![b'x'; length / 2]).await?;
                if reset {
                    raw.reset()?;
                } else {
                    raw.finish().await?;
                    let read = raw.read_to_end(SOON).await?;
                    assert!(read.status() == 0 || read.status() == 400, "{read:?}");
                }
            }
        }
    }
    bed.gateway.goes_on("in").await?;
    // Whatever was begun has been broken off by now: nothing that looks whole has come but the good event.
    until("broken requests to end", SOON, async || {
        let ids: Vec<String> = bed
            .subscriber
            .requests()
            .iter()
            .filter(|request| request.whole)
            .map(|request| request.header("ce-id"))
            .collect();
        Ok((ids == ["goes-on"]).then_some(()))
    })
    .await?;
    assert_eq!(bed.dead_letter.count(), 0);
    Ok(())
}

/// A budget of bytes: over it the door answers 503 with `Retry-After`, and opens again.
#[tokio::test]
async fn bytes_in_flight_are_bounded() -> TestResult {
    use towpath_harness::{Answer, Event, Gate};
    let bed = Bed::setup()
        .set("limits.bytesInFlight", "1Mi")
        .set("store.memory.maxPayload", "1Mi")
        .set("store.node.directory", "none")
        .set("limits.maxEventBytes", "512Ki")
        .start()
        .await?;
    let gate = Gate::closed();
    bed.subscriber.otherwise(Answer::status(202).behind(&gate));
    let message = Event::numbered(1)
        .data("text/plain", vec![b'x'; 256 * 1024])
        .binary();
    let mut held = Vec::new();
    let mut refused = None;
    for _ in 0..8 {
        let (address, message) = (bed.gateway.listening, message.clone());
        let before = bed.subscriber.count();
        let post = async move {
            towpath_harness::Sender::new(address)
                .post("/channels/demo/in", &message)
                .await
        };
        let mut task = tokio::spawn(post);
        tokio::select! {
            response = &mut task => { refused = Some(response??); break }
            arrived = bed.subscriber.await_count(before + 1, Duration::from_secs(5)) => { arrived?; held.push(task); }
        }
    }
    let refused =
        refused.ok_or_else(|| anyhow::anyhow!("2 MiB were taken with a budget of 1 MiB"))?;
    assert!(matches!(refused.code(), 429 | 503), "{}", refused.status);
    assert!(refused.headers.contains_key("retry-after"));
    assert!(!held.is_empty(), "something must fit");
    gate.open();
    for task in held {
        assert_eq!(task.await??.code(), 202);
    }
    assert_eq!(bed.post(&message).await?.code(), 202);
    Ok(())
}
