//! C3: content modes at ingress and egress.

use std::collections::BTreeSet;

use serde_json::json;
use towpath_harness::event::STRUCTURED;
use towpath_harness::manifest::in_memory_channel;
use towpath_harness::poll::SOON;
use towpath_harness::raw::Raw;
use towpath_harness::{Answer, Bed, Event, Gateway, Message, Spec, Subscriber, TestResult};

/// Also the old TestChannelDataPlaneSuccess (E2) and C3.14: what leaves is what came.
#[tokio::test]
async fn c3_1_every_mode_and_version_passes_unchanged() -> TestResult {
    let bed = Bed::start().await?;
    let mut sent = Vec::new();
    for spec in Spec::BOTH {
        for event in [Event::min(spec), Event::full(spec)] {
            for message in [event.binary(), event.structured()] {
                assert_eq!(bed.post(&message).await?.code(), 202, "{message:?}");
                sent.push(event.clone());
            }
        }
    }
    let got = bed.subscriber.requests();
    assert_eq!(got.len(), sent.len());
    for (event, request) in sent.iter().zip(&got) {
        let arrived = Event::of(request)?;
        assert_eq!(arrived.texts(), event.texts());
        assert_eq!(arrived.bytes(), event.bytes());
    }
    Ok(())
}

#[tokio::test]
async fn c3_2_structured_content_type_decides() -> TestResult {
    let bed = Bed::start().await?;
    let event = Event::full(Spec::V10);
    for kind in [
        STRUCTURED,
        "application/cloudevents+json; charset=utf-8",
        " Application/CloudEvents+JSON ;charset=UTF-8",
    ] {
        let message = event.structured().replace("content-type", kind);
        assert_eq!(bed.post(&message).await?.code(), 202, "{kind}");
    }
    // The ce- headers of another event are beside the point.
    let both = event
        .structured()
        .header("ce-specversion", "1.0")
        .header("ce-id", "header")
        .header("ce-type", "header");
    assert_eq!(bed.post(&both).await?.code(), 202);
    for request in bed.subscriber.requests() {
        assert_eq!(Event::of(&request)?.texts(), event.texts());
    }
    assert_eq!(bed.subscriber.count(), 4);
    Ok(())
}

#[tokio::test]
async fn c3_3_any_content_type_passes_in_binary_mode() -> TestResult {
    let bed = Bed::start().await?;
    let bodies: [(&str, &[u8]); 5] = [
        ("application/vnd.apache.thrift.binary", b"{}"),
        ("application/xml", b"{}"),
        ("application/json", b"{}"),
        ("application/json", b"not json at all"),
        ("application/octet-stream", b"\x00\xff\xfe\r\n\x80"),
    ];
    for (kind, body) in bodies {
        let event = Event::min(Spec::V10).data(kind, body);
        assert_eq!(bed.event(&event).await?.code(), 202, "{kind}");
    }
    for ((kind, body), request) in bodies.iter().zip(bed.subscriber.requests()) {
        assert_eq!(
            (request.header("content-type").as_str(), &request.body[..]),
            (*kind, *body)
        );
    }
    Ok(())
}

#[tokio::test]
async fn c3_8_what_leaves_is_binary() -> TestResult {
    let bed = Bed::setup().reply().start().await?;
    let reply = Event::full(Spec::V03).with("id", "reply");
    bed.subscriber.script([Answer::reply_structured(&reply)]);
    assert_eq!(
        bed.post(&Event::full(Spec::V10).structured()).await?.code(),
        202
    );
    for request in [bed.subscriber.only()?, bed.reply.only()?] {
        assert_eq!(request.header("content-type"), "text/json");
        let names: BTreeSet<&str> = request
            .headers
            .keys()
            .map(http::HeaderName::as_str)
            .collect();
        assert!(
            names.contains("ce-id") && names.contains("ce-exbool"),
            "{names:?}"
        );
    }
    assert_eq!(Event::of(&bed.reply.only()?)?.texts(), reply.texts());
    Ok(())
}

/// A channel as Knative's controller writes it, with one subscriber that wants that format: a Subscription's own `format`
/// is not handed down to channels (A7.6).
async fn with_format(format: &str) -> anyhow::Result<(Gateway, Subscriber)> {
    let subscriber = Subscriber::start().await?;
    let entry = json!({"uid": "u-1", "name": "s", "subscriberUri": subscriber.url("/"), "delivery": {"format": format}});
    let channel = in_memory_channel("in").spec("subscribers", json!([entry]));
    Ok((Gateway::with([channel]).start().await?, subscriber))
}

#[tokio::test]
async fn c3_9_format_decides_the_mode_of_what_leaves() -> TestResult {
    let event = Event::full(Spec::V10);
    for (format, structured) in [("json", true), ("binary", false)] {
        let (gateway, subscriber) = with_format(format).await?;
        for message in [event.binary(), event.structured()] {
            assert_eq!(gateway.post("in", &message).await?.code(), 202);
        }
        assert_eq!(subscriber.count(), 2);
        for request in subscriber.requests() {
            let kind = request.header("content-type");
            assert_eq!(kind.starts_with(STRUCTURED), structured, "{format}: {kind}");
            let attributes_in_headers = request
                .headers
                .keys()
                .any(|name| name.as_str().starts_with("ce-"));
            assert_ne!(attributes_in_headers, structured, "{format}");
            let arrived = Event::of(&request)?;
            assert_eq!(
                (arrived.texts(), arrived.bytes()),
                (event.texts(), event.bytes())
            );
        }
    }
    Ok(())
}

/// Data that claims to be JSON and is not goes as bytes.
#[tokio::test]
async fn c3_9_format_json_with_data_that_is_no_json() -> TestResult {
    let (gateway, subscriber) = with_format("json").await?;
    for (kind, body) in [
        ("application/json", &b"{ broken"[..]),
        ("application/octet-stream", b"\xff\x00\x80"),
    ] {
        let event = Event::min(Spec::V10).data(kind, body);
        assert_eq!(gateway.post("in", &event.binary()).await?.code(), 202);
        let last = subscriber
            .requests()
            .pop()
            .ok_or_else(|| anyhow::anyhow!("nothing came"))?;
        assert_eq!(Event::of(&last)?.bytes(), event.bytes());
        assert!(String::from_utf8_lossy(&last.body).contains("data_base64"));
    }
    Ok(())
}

#[tokio::test]
async fn c3_10_binary_header_values_keep_their_bytes() -> TestResult {
    let bed = Bed::start().await?;
    let values = [
        "a%2Fb",
        "hello world",
        "100%",
        "%zz",
        "\"quoted\"",
        "caf\u{e9}",
    ];
    for value in values {
        let event = Event::min(Spec::V10).with("subject", value);
        assert_eq!(bed.event(&event).await?.code(), 202, "{value}");
    }
    for (value, request) in values.iter().zip(bed.subscriber.requests()) {
        assert_eq!(request.headers["ce-subject"].as_bytes(), value.as_bytes());
    }
    Ok(())
}

#[tokio::test]
async fn c3_10_structured_to_binary_encodes_only_what_a_header_cannot_carry() -> TestResult {
    let bed = Bed::start().await?;
    let event = Event::min(Spec::V10).with("subject", "a%2Fb c \u{e9}\n\u{20ac}");
    assert_eq!(bed.post(&event.structured()).await?.code(), 202);
    assert_eq!(
        bed.subscriber.only()?.header("ce-subject"),
        "a%2Fb c %C3%A9%0A%E2%82%AC"
    );
    Ok(())
}

#[tokio::test]
async fn c3_11_of_repeated_headers_the_first_wins() -> TestResult {
    let bed = Bed::start().await?;
    let message = Event::min(Spec::V10)
        .with("exa", "first")
        .binary()
        .header("ce-exa", "second")
        .header("ce-id", "second");
    assert_eq!(bed.post(&message).await?.code(), 202);
    let request = bed.subscriber.only()?;
    assert_eq!(
        request.headers.get_all("ce-exa").iter().collect::<Vec<_>>(),
        ["first"]
    );
    assert_eq!(
        request.headers.get_all("ce-id").iter().collect::<Vec<_>>(),
        ["min-event"]
    );
    Ok(())
}

#[tokio::test]
async fn c3_13_header_names_are_case_insensitive() -> TestResult {
    let bed = Bed::start().await?;
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    raw.write(
        "POST /channels/demo/in HTTP/1.1\r\nHOST: x\r\nCE-SpecVersion: 1.0\r\nCe-Id: 1\r\ncE-SOURCE: /s\r\nce-Type: t\r\n\
         CE-ExtraOne: Value\r\nCONTENT-type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await?;
    assert_eq!(raw.read_response(SOON).await?.status(), 202);
    let arrived = Event::of(&bed.subscriber.only()?)?;
    assert_eq!(
        (arrived.text("id"), arrived.text("extraone")),
        ("1".to_owned(), "Value".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn c3_14_chunked_and_plain_bodies_are_the_same_event() -> TestResult {
    let bed = Bed::start().await?;
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    let head = towpath_harness::raw::event_head("/channels/demo/in");
    raw.write(format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
    ))
    .await?;
    assert_eq!(raw.read_response(SOON).await?.status(), 202);
    assert_eq!(&bed.subscriber.only()?.body[..], b"hello");
    // What frames the body is of one connection, not of the event.
    let plain: Message = Event::min(Spec::V10).data("text/plain", "hello").binary();
    assert_eq!(bed.post(&plain).await?.code(), 202);
    assert!(
        bed.subscriber
            .requests()
            .iter()
            .all(|request| request.header("content-length") == "5")
    );
    Ok(())
}
