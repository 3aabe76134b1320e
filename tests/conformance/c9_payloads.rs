//! C9 and F4 for subscribers that know nothing of references: the same bytes everywhere, and never a reference of ours.

use std::collections::BTreeMap;

use towpath_harness::{Answer, Bed, Event, Spec, TestResult};

use crate::c9_payloads_kit::{BULKY, PRESENT, Shelved, pattern, references, sized};

/// The two stores that need no server: store.memory.maxPayload that leads to each.
const TIERS: [&str; 2] = ["8Mi", "0"];

#[tokio::test]
async fn c9_1_data_is_identical_and_f4_8_no_reference_without_opt_in() -> TestResult {
    for setup in Bed::both() {
        let shelved = Shelved::start(setup, "8Mi").await?;
        for size in [1, 64 << 10, (64 << 10) + 1, BULKY, 9 << 20] {
            let event = sized(&size.to_string(), size);
            assert_eq!(shelved.bed.event(&event).await?.code(), 202, "{size}");
            let request = shelved.last()?;
            assert!(request.body == event.bytes(), "{size}: not the same bytes");
            assert_eq!(request.header("content-length"), size.to_string());
            assert_eq!(references(&request), BTreeMap::new(), "{size}");
        }
        shelved.at_rest().await?;
    }
    Ok(())
}

/// With and without data, small and bulky, and also where references are asked for: such an event comes with its data.
#[tokio::test]
async fn c9_2_a_producers_own_dataref_passes_untouched() -> TestResult {
    for present in ["Inline", "Reference", "File"] {
        let shelved = Shelved::shown(Bed::setup().reply(), present, "8Mi").await?;
        let with = |event: Event| {
            event
                .with("dataref", "../theirs?x=%20y#z")
                .with("datasize", "12")
                .with("datadigest", "sha256:theirs")
        };
        let bare = with(Event::min(Spec::V10)).with("datacontenttype", "text/xml");
        for event in [bare, with(sized("small", 10)), with(sized("bulky", BULKY))] {
            assert_eq!(shelved.bed.event(&event).await?.code(), 202, "{present}");
            let request = shelved.last()?;
            let got = Event::of(&request)?;
            assert_eq!(got.texts(), event.texts(), "{present}");
            assert!(
                got.bytes() == event.bytes(),
                "{present}: not the same bytes"
            );
        }
        shelved.at_rest().await?;
    }
    Ok(())
}

/// C9.3, C9.5: each attempt has the payload, and so has the dead letter with its `knativeerror*`.
#[tokio::test]
async fn c9_5_retries_and_the_dead_letter_have_the_payload() -> TestResult {
    for memory in TIERS {
        let setup = Bed::setup()
            .dead_letter()
            .delivery("retry", 2)
            .delivery("backoffDelay", "PT0.01S")
            .delivery("backoffPolicy", "linear");
        let shelved = Shelved::start(setup, memory).await?;
        shelved.bed.subscriber.otherwise(Answer::status(503));
        assert_eq!(shelved.bed.event(&sized("dead", BULKY)).await?.code(), 202);
        let attempts = shelved.bed.subscriber.requests();
        assert_eq!(attempts.len(), 3);
        let dead = shelved.bed.dead_letter.only()?;
        assert_eq!(dead.header("ce-knativeerrorcode"), "503");
        for request in attempts.iter().chain([&dead]) {
            assert!(
                request.body == pattern(BULKY),
                "{memory}: not the same bytes"
            );
            assert_eq!(references(request), BTreeMap::new());
        }
        shelved.at_rest().await?;
    }
    Ok(())
}

/// A structured event whose data is bulky comes out as the data it holds.
#[tokio::test]
async fn c9_1_a_bulky_structured_event_is_the_same_event() -> TestResult {
    for memory in TIERS {
        let shelved = Shelved::start(Bed::setup(), memory).await?;
        let text = "ü\"\\ ".repeat(BULKY / 5);
        let json = format!("{{\"a\":[{}1]}}", "1.50, ".repeat(BULKY / 6));
        for (kind, data) in [
            ("application/octet-stream", pattern(BULKY)),
            ("text/plain", text.into()),
            ("application/json", json.into()),
        ] {
            let event = Event::full(Spec::V10).data(kind, data.clone());
            let answer = shelved.bed.post(&event.structured()).await?;
            assert_eq!(answer.code(), 202, "{kind}: {}", answer.text());
            let request = shelved.last()?;
            assert!(request.body == data, "{kind}: not the same bytes");
            assert_eq!(Event::of(&request)?.texts(), event.texts(), "{kind}");
        }
        shelved.at_rest().await?;
    }
    Ok(())
}

/// The annotation of the channel or Broker is not one that opts a subscription or Trigger in.
#[tokio::test]
async fn f4_8_a_channel_or_broker_does_not_opt_its_subscriptions_in() -> TestResult {
    for setup in Bed::both() {
        let shelved = Shelved::start(setup.annotation(PRESENT, "Reference"), "8Mi").await?;
        assert_eq!(shelved.bed.event(&sized("1", BULKY)).await?.code(), 202);
        let request = shelved.last()?;
        assert!(request.body == pattern(BULKY));
        assert_eq!(references(&request), BTreeMap::new());
        shelved.at_rest().await?;
    }
    Ok(())
}
