//! C3.4, C3.5, C3.12: which attributes are an event's, and what is refused.

use serde_json::json;
use towpath_harness::{Bed, Event, Message, Spec, TestResult};

#[tokio::test]
async fn c3_4_attributes_that_break_their_rule_are_400() -> TestResult {
    let bed = Bed::start().await?;
    let rules = [
        ("time", "yesterday"),
        ("time", "2020-13-01T00:00:00Z"),
        ("time", "2020-03-21 12:34"),
        ("source", "http://[broken"),
        ("subject", ""),
        ("dataschema", "relative/uri"),
        ("datacontenttype", "nomedia"),
    ];
    for (name, value) in rules {
        let event = Event::full(Spec::V10).with(name, value);
        for message in [event.binary(), event.structured()] {
            let response = bed.post(&message).await?;
            assert_eq!(response.code(), 400, "{name}={value:?}: {message:?}");
            assert!(
                response.text().contains(name) || response.text().contains("content-type"),
                "{}",
                response.text()
            );
        }
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c3_5_extension_names_are_lower_case_letters_and_digits() -> TestResult {
    let bed = Bed::start().await?;
    for name in ["my_ext", "my-ext", "my.ext"] {
        let event = Event::min(Spec::V10).with(name, "x");
        for message in [event.binary(), event.structured()] {
            assert_eq!(bed.post(&message).await?.code(), 400, "{name}: {message:?}");
        }
    }
    for name in ["a", "9lives", "abcdefghijklmnopqrstuvwxyz0123456789"] {
        let event = Event::min(Spec::V10).with(name, "x");
        for message in [event.binary(), event.structured()] {
            assert_eq!(bed.post(&message).await?.code(), 202, "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn c3_5_values_are_scalars_and_integers_are_of_32_bits() -> TestResult {
    let bed = Bed::start().await?;
    for value in [
        json!(2_147_483_648_i64),
        json!(-2_147_483_649_i64),
        json!(1.5),
        json!({"a": 1}),
        json!([1]),
    ] {
        let message = Event::min(Spec::V10)
            .with("exval", value.clone())
            .structured();
        assert_eq!(bed.post(&message).await?.code(), 400, "{value}");
    }
    assert_eq!(bed.subscriber.count(), 0);
    for value in [
        json!(2_147_483_647),
        json!(-2_147_483_648_i64),
        json!(true),
        json!(false),
        json!("text"),
        json!(0),
    ] {
        let event = Event::min(Spec::V10).with("exval", value.clone());
        assert_eq!(bed.post(&event.structured()).await?.code(), 202, "{value}");
        let last = bed
            .subscriber
            .requests()
            .pop()
            .ok_or_else(|| anyhow::anyhow!("nothing came"))?;
        assert_eq!(last.header("ce-exval"), event.text("exval"));
    }
    Ok(())
}

#[tokio::test]
async fn c3_5_null_is_absent() -> TestResult {
    let bed = Bed::start().await?;
    let event = Event::min(Spec::V10)
        .with("subject", json!(null))
        .with("exnull", json!(null))
        .with("time", json!(null));
    assert_eq!(bed.post(&event.structured()).await?.code(), 202);
    let arrived = Event::of(&bed.subscriber.only()?)?;
    assert_eq!(arrived.texts(), Event::min(Spec::V10).texts());
    assert_eq!(
        bed.post(&event.with("id", json!(null)).structured())
            .await?
            .code(),
        400
    );
    Ok(())
}

#[tokio::test]
async fn c3_5_a_key_given_twice_is_400() -> TestResult {
    let bed = Bed::start().await?;
    let twice = r#"{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}"#;
    assert_eq!(bed.post(&Message::json(twice)).await?.code(), 400);
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c3_12_time_keeps_its_text() -> TestResult {
    let bed = Bed::start().await?;
    let texts = [
        "2020-03-21T14:34:56.780+02:00",
        "2020-03-21T12:34:56.123456789Z",
        "2020-03-21T12:34:56Z",
    ];
    for text in texts {
        let event = Event::min(Spec::V10).with("time", text);
        for message in [event.binary(), event.structured()] {
            assert_eq!(bed.post(&message).await?.code(), 202, "{text}");
            let last = bed
                .subscriber
                .requests()
                .pop()
                .ok_or_else(|| anyhow::anyhow!("nothing came"))?;
            assert_eq!(last.header("ce-time"), text);
        }
    }
    Ok(())
}
