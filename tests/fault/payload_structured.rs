//! Large events in structured mode: bounded, and parsed where they hold up nobody.

use tokio::task::JoinSet;
use towpath_harness::manifest::channel_path;
use towpath_harness::poll::SOON;
use towpath_harness::raw::Raw;
use towpath_harness::{Bed, Event, TestResult};

use crate::payload_kit::{CHANNEL, Shelf, channel_to, pattern};
use towpath_harness::Subscriber;

/// JSON that takes long to check: many small values, deep enough to be no flat text.
fn json(length: usize) -> String {
    let one = r#"{"a":[1,2.5,"x\u00e9\n",{"b":null,"c":[true,false]}]},"#;
    let many = one.repeat(length / one.len());
    format!("[{}]", many.trim_end_matches(','))
}

fn structured(id: &str, data: String) -> (String, Vec<u8>) {
    let message = Event::numbered(1)
        .with("id", id)
        .data("application/json", data)
        .structured();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: towpath\r\nContent-Type: application/cloudevents+json\r\n",
        channel_path(CHANNEL)
    );
    (head, message.body.to_vec())
}

/// It is refused by its own bound, known length or not, before it is parsed.
#[tokio::test]
async fn a_structured_event_over_its_bound_is_413() -> TestResult {
    let mut bed = Bed::setup()
        .set("store.node.directory", "none")
        .set("limits.maxStructuredBytes", "1Mi")
        .start()
        .await?;
    let (head, body) = structured("large", json(2 << 20));
    let known = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    );
    for head in [known, chunked] {
        let raw = Raw::connect(bed.gateway.listening).await?;
        let request = [head.as_bytes(), &body].concat();
        let (_, read) = raw.write_while_reading(&request, SOON).await?;
        assert_eq!(read.status(), 413, "{read:?}");
        for part in ["limits.maxStructuredBytes", "1048576"] {
            assert!(read.text.contains(part), "no {part}: {read:?}");
        }
    }
    assert_eq!(bed.subscriber.count(), 0);
    // The same data in binary mode has the bound of all events.
    let event = Event::numbered(1).data("application/json", json(2 << 20));
    assert_eq!(bed.event(&event).await?.code(), 202);
    assert!(bed.subscriber.only()?.body == event.bytes());
    bed.gateway.goes_on(CHANNEL).await
}

/// Broken in its last byte: 400, and nothing is left of the megabytes before.
#[tokio::test]
async fn a_large_structured_event_that_is_no_json_is_400() -> TestResult {
    let (shelf, subscriber) = (Shelf::new()?, Subscriber::start().await?);
    let launch = shelf.launch(channel_to(&subscriber.url("/"), &subscriber.url("/dead")));
    let mut gateway = launch.start().await?;
    let (head, whole) = structured("broken", json(4 << 20));
    let cut = whole[..whole.len() - 1].to_vec();
    let mut twice = whole.clone();
    twice.push(b'}');
    let mut not_text = whole.clone();
    let middle = not_text.len() / 2;
    not_text[middle] = 0xff;
    for body in [cut, twice, not_text] {
        let mut raw = Raw::connect(gateway.listening).await?;
        raw.write(format!("{head}Content-Length: {}\r\n\r\n", body.len()))
            .await?;
        raw.write(&body).await?;
        assert_eq!(raw.read_response(SOON).await?.status(), 400);
        shelf.at_rest(&gateway).await?;
    }
    assert_eq!(subscriber.count(), 0);
    gateway.goes_on(CHANNEL).await
}

/// While several are being parsed, small events pass: as many threads would be busy as there are, were it done on theirs.
#[tokio::test]
async fn small_events_pass_while_large_ones_are_parsed() -> TestResult {
    let (shelf, subscriber) = (Shelf::new()?, Subscriber::start().await?);
    let launch = shelf.launch(channel_to(&subscriber.url("/"), &subscriber.url("/dead")));
    let launch = launch.set("limits.bytesInFlight", "512Mi");
    let gateway = launch.start().await?;
    let data = json(12 << 20);
    let (head, body) = structured("large", data.clone());
    let (last, first) = body.split_last().ok_or_else(|| anyhow::anyhow!("empty"))?;
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let mut raw = Raw::connect(gateway.listening).await?;
        raw.write(format!("{head}Content-Length: {}\r\n\r\n", body.len()))
            .await?;
        raw.write(first).await?;
        waiting.push(raw);
    }
    let mut parsing = JoinSet::new();
    for mut raw in waiting {
        raw.write([*last]).await?;
        parsing.spawn(async move { raw.read_response(SOON).await });
    }
    let mut sender = gateway.sender();
    let (mut small, mut large) = (0_u32, 0_u32);
    let event = Event::numbered("small")
        .data("application/octet-stream", pattern(64))
        .binary();
    while large < 6 {
        let answer = sender.post(&channel_path(CHANNEL), &event).await?;
        assert_eq!(answer.code(), 202);
        small += 1;
        while let Some(answer) = parsing.try_join_next() {
            assert_eq!(answer??.status(), 202);
            large += 1;
        }
    }
    // Were they parsed on the event loops, one small event at most would pass after each.
    assert!(small >= 20, "{small} small events passed meanwhile");
    let whole = subscriber.requests();
    let large = whole
        .iter()
        .filter(|request| request.header("ce-id") == "large");
    assert!(
        large.clone().all(|request| request.body == data),
        "not the same bytes"
    );
    assert_eq!(large.count(), 6);
    shelf.at_rest(&gateway).await
}
