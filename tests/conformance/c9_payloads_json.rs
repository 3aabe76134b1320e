//! C3.9 with bulky payloads: subscribers that want `format: json`, with their data inside, or by reference.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use towpath_harness::event::STRUCTURED;
use towpath_harness::manifest::{in_memory_channel, reference, subscription, uri};
use towpath_harness::{Answer, Bed, Event, Recorded, Spec, Subscriber, TestResult};

use crate::c9_payloads_kit::{BULKY, Shelved, digest, file_of, pattern, sized};

/// Bulky data of each form that structured mode has: JSON as it is, text as a string, other bytes as base64.
fn bulky() -> [(&'static str, &'static str, Bytes); 4] {
    // Numbers and white space must come through as they were written.
    let json = format!(
        "{{\"n\": [{}1E2],\n\"s\":\"\\u00fc\"}}",
        "1.50, ".repeat(BULKY / 6)
    );
    let text = "ü\"\\\n\u{1} ".repeat(BULKY / 8);
    [
        ("application/json", "\"data\":", json.into()),
        ("text/plain", "\"data\":", text.into()),
        (
            "application/octet-stream",
            "\"data_base64\":",
            pattern(BULKY),
        ),
        // Which says that it is JSON, and is not.
        ("application/json", "\"data_base64\":", pattern(BULKY)),
    ]
}

fn is_structured(request: &Recorded) -> bool {
    let in_headers = request
        .headers
        .keys()
        .any(|n| n.as_str().starts_with("ce-"));
    request.header("content-type").starts_with(STRUCTURED) && !in_headers
}

#[tokio::test]
async fn c3_9_bulky_data_inside_a_structured_event_is_the_same_data() -> TestResult {
    for memory in ["8Mi", "0"] {
        for setup in Bed::both() {
            let shelved = Shelved::start(setup.delivery("format", "json"), memory).await?;
            for (kind, member, data) in bulky() {
                let event = Event::full(Spec::V10).data(kind, data.clone());
                let answer = shelved.bed.event(&event).await?;
                assert_eq!(answer.code(), 202, "{kind}: {}", answer.text());
                let request = shelved.last()?;
                assert!(is_structured(&request), "{:?}", request.headers);
                let body = request.body.len().to_string();
                assert_eq!(request.header("content-length"), body);
                let text = std::str::from_utf8(&request.body)?;
                assert!(text.contains(member), "{kind}: no {member}");
                let arrived = Event::of(&request)?;
                assert_eq!(arrived.texts(), event.texts(), "{kind}");
                assert!(arrived.bytes() == data, "{kind}: not the same bytes");
            }
            shelved.at_rest().await?;
        }
    }
    Ok(())
}

/// The reference is among the attributes in the JSON, and there is no data.
#[tokio::test]
async fn f4_6_a_reference_in_a_structured_event() -> TestResult {
    for present in ["Reference", "File"] {
        for setup in Bed::both() {
            let setup = setup
                .reply()
                .delivery("format", "json")
                .set("store.digest", "true");
            let shelved = Shelved::shown(setup, present, "8Mi").await?;
            for (kind, _, data) in bulky() {
                let event = Event::full(Spec::V10).data(kind, data.clone());
                let held = shelved.held(&event, Answer::status(202)).await?;
                let request = &held.request;
                assert!(is_structured(request), "{:?}", request.headers);
                assert!(request.body.len() < 4096, "{} bytes", request.body.len());
                let json: Value = serde_json::from_slice(&request.body)?;
                assert!(
                    json.get("data").is_none() && json.get("data_base64").is_none(),
                    "{json}"
                );
                let member = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
                assert_eq!(member("datasize"), data.len().to_string());
                assert_eq!(member("datadigest"), digest(&data));
                assert_eq!(member("datacontenttype"), kind);
                let url = member("dataref");
                assert!((1..=256).contains(&url.len()), "{url}");
                let got = if present == "File" {
                    // Where binary mode has it.
                    let mut binary = request.clone();
                    binary.headers.insert("ce-dataref", url.parse()?);
                    fs::read(file_of(&binary, shelved.directory())?)?.into()
                } else {
                    let answer = shelved.get(&url).await?;
                    assert_eq!(answer.code(), 200);
                    answer.body
                };
                assert!(got == data, "{kind}: not the same bytes");
                assert!(request.headers.contains_key("towpath-upload"));
                let mut texts = Event::of(request)?.texts();
                for name in ["dataref", "datasize", "datadigest"] {
                    texts.remove(name);
                }
                assert_eq!(texts, event.texts());
                assert_eq!(held.done().await?, 202);
            }
            shelved.at_rest().await?;
        }
    }
    Ok(())
}

/// A structured reply refers to what was shown as one in binary mode does.
#[tokio::test]
async fn c9_1_a_structured_reply_by_reference_is_materialised() -> TestResult {
    for present in ["Reference", "File"] {
        let setup = Bed::setup().reply().delivery("format", "json");
        let shelved = Shelved::shown(setup, present, "8Mi").await?;
        shelved
            .bed
            .subscriber
            .script([Answer::with(|request: &Recorded| {
                let Ok(event) = Event::of(request) else {
                    return Answer::status(400);
                };
                let mut reply = event.with("id", "passed");
                reply.data = None;
                Answer::reply_structured(&reply)
            })]);
        let event = sized("shown", BULKY);
        assert_eq!(shelved.bed.event(&event).await?.code(), 202);
        let reply = shelved.bed.reply.only()?;
        assert!(is_structured(&reply), "{:?}", reply.headers);
        let arrived = Event::of(&reply)?;
        assert!(arrived.bytes() == event.bytes(), "not the same bytes");
        assert_eq!(arrived.texts(), event.with("id", "passed").texts());
        shelved.at_rest().await?;
    }
    Ok(())
}

/// Only who wants its data inside meets the bound of structured mode: 413 without an attempt, and the event is not lost.
#[tokio::test]
async fn c3_9_over_the_bound_of_structured_mode_is_a_dead_letter_with_413() -> TestResult {
    let (dead, letters) = (Subscriber::start().await?, in_memory_channel("letters"));
    let of_letters = subscription("letters", &letters, uri(dead.url("/")));
    for (sent, setup) in (1..).zip(Bed::both()) {
        let setup = setup
            .and(letters.clone())
            .and(of_letters.clone())
            .delivery("deadLetterSink", reference(&letters))
            .delivery("retry", 3)
            .delivery("format", "json")
            .set("limits.maxStructuredBytes", "1Mi");
        let shelved = Shelved::start(setup, "8Mi").await?;
        let event = sized("large", BULKY);
        assert_eq!(shelved.bed.event(&event).await?.code(), 202);
        assert_eq!(shelved.bed.subscriber.count(), 0);
        let requests = dead.requests();
        assert_eq!(requests.len(), sent);
        letter_of(&requests[sent - 1], &event, &shelved)?;
        shelved.at_rest().await?;
    }
    Ok(())
}

/// The dead letter has the whole event, and says what happened to it.
fn letter_of(request: &Recorded, event: &Event, shelved: &Shelved) -> TestResult {
    let letter = Event::of(request)?;
    let url = shelved.bed.subscriber.url("/");
    assert_eq!(letter.text("knativeerrorcode"), "413");
    assert_eq!(letter.text("knativeerrordest"), url);
    let why = STANDARD.decode(letter.text("knativeerrordata"))?;
    let why = String::from_utf8(why)?;
    assert!(why.contains("limits.maxStructuredBytes"), "{why}");
    assert!(letter.bytes() == event.bytes(), "not the same bytes");
    Ok(())
}

/// A dead letter sink obeys `format` as the subscriber does, but what cannot be sent so must not be lost.
#[tokio::test]
async fn c3_9_a_dead_letter_over_the_bound_of_structured_mode_is_not_lost() -> TestResult {
    for setup in Bed::both() {
        let setup = setup
            .dead_letter()
            .delivery("format", "json")
            .set("limits.maxStructuredBytes", "1Mi");
        let shelved = Shelved::start(setup, "8Mi").await?;
        let event = sized("large", BULKY);
        assert_eq!(shelved.bed.event(&event).await?.code(), 202);
        assert_eq!(shelved.bed.subscriber.count(), 0);
        letter_of(&shelved.bed.dead_letter.only()?, &event, &shelved)?;
        shelved.at_rest().await?;
    }
    Ok(())
}

/// What counts is what is sent: base64 takes a third more than the data.
#[tokio::test]
async fn c3_9_the_bound_of_structured_mode_is_that_of_the_whole_event() -> TestResult {
    let setup = Bed::setup()
        .dead_letter()
        .delivery("format", "json")
        .set("limits.maxStructuredBytes", "1Mi");
    let shelved = Shelved::start(setup, "8Mi").await?;
    let event = sized("large", 1_000_000);
    assert_eq!(shelved.bed.event(&event).await?.code(), 202);
    let sent = shelved.bed.subscriber.requests();
    let sizes: Vec<_> = sent.iter().map(|request| request.body.len()).collect();
    assert_eq!(sizes, Vec::<usize>::new(), "over 1Mi");
    let letter = Event::of(&shelved.bed.dead_letter.only()?)?;
    assert_eq!(letter.text("knativeerrorcode"), "413");
    shelved.at_rest().await
}

/// By reference an event of any size has room in structured mode.
#[tokio::test]
async fn c3_9_a_reference_is_not_bounded_by_structured_mode() -> TestResult {
    let setup = Bed::setup()
        .delivery("format", "json")
        .set("limits.maxStructuredBytes", "1Mi");
    let shelved = Shelved::shown(setup, "Reference", "8Mi").await?;
    assert_eq!(shelved.bed.event(&sized("large", BULKY)).await?.code(), 202);
    let arrived = Event::of(&shelved.last()?)?;
    assert_eq!(arrived.text("datasize"), BULKY.to_string());
    shelved.at_rest().await
}
