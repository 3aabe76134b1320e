//! C2: what ingress answers to a request.

use http::Method;
use towpath_harness::manifest::channel_path;
use towpath_harness::poll::SOON;
use towpath_harness::raw::{Raw, event_head};
use towpath_harness::{Bed, Event, Message, Spec, TestResult};

const HOST: &str = "in-kn-channel.demo.svc.cluster.local";

#[tokio::test]
async fn c2_1_options_answers_webhook_headers() -> TestResult {
    let bed = Bed::start().await?;
    for (path, message) in [
        (channel_path("in"), Message::default()),
        ("/".into(), Message::default().header("host", HOST)),
    ] {
        let message = message.header("webhook-request-origin", "example.com");
        let response = bed
            .gateway
            .sender()
            .request(Method::OPTIONS, &path, &message)
            .await?;
        assert_eq!(response.code(), 200, "{path}");
        let allow = response.header("allow");
        assert!(
            allow.contains("POST") && allow.contains("OPTIONS"),
            "Allow: {allow}"
        );
        assert_eq!(response.header("webhook-allowed-origin"), "*");
        assert_eq!(response.header("webhook-allowed-rate"), "*");
    }
    Ok(())
}

#[tokio::test]
async fn c2_2_other_methods_are_405_with_allow() -> TestResult {
    let bed = Bed::start().await?;
    let event = Event::full(Spec::V10).binary();
    for method in [
        Method::GET,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::HEAD,
    ] {
        let response = bed
            .gateway
            .sender()
            .request(method.clone(), &channel_path("in"), &event)
            .await?;
        assert_eq!(response.code(), 405, "{method}");
        assert!(
            response.header("allow").contains("POST"),
            "{method}: Allow: {}",
            response.header("allow")
        );
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c2_3_accepted_is_202_with_an_empty_body() -> TestResult {
    let bed = Bed::start().await?;
    let response = bed.event(&Event::full(Spec::V10)).await?;
    assert_eq!((response.code(), response.text()), (202, String::new()));
    Ok(())
}

#[tokio::test]
async fn c2_4_missing_or_empty_required_attribute_is_400_and_named() -> TestResult {
    let bed = Bed::start().await?;
    for spec in Spec::BOTH {
        for name in ["id", "source", "type", "specversion"] {
            let full = Event::full(spec);
            let broken = [
                full.clone().without(name),
                full.clone().with(name, ""),
                full.with(name, "  "),
            ];
            for event in broken {
                for message in [event.binary(), event.structured()] {
                    let response = bed.post(&message).await?;
                    assert_eq!(response.code(), 400, "{name}: {message:?}");
                    assert!(
                        response.text().contains(name),
                        "the text names {name}: {}",
                        response.text()
                    );
                }
            }
        }
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c2_4_unknown_specversion_is_400() -> TestResult {
    let bed = Bed::start().await?;
    for version in ["19.0", "0.2", "1", "1.0.0", "banana"] {
        let event = Event::full(Spec::V10).with("specversion", version);
        for message in [event.binary(), event.structured()] {
            assert_eq!(bed.post(&message).await?.code(), 400, "{version}");
        }
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c2_4_not_an_event_is_400() -> TestResult {
    let bed = Bed::start().await?;
    let plain = Message {
        body: "{}".into(),
        ..Message::default()
    };
    let requests = [
        Message::default(),
        plain.clone().header("content-type", "application/json"),
        plain.header("ce-id", "1"),
    ];
    for message in requests {
        assert_eq!(bed.post(&message).await?.code(), 400, "{message:?}");
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c2_5_batch_is_400() -> TestResult {
    let bed = Bed::start().await?;
    let one = Event::full(Spec::V10).structured();
    let body = format!("[{}]", String::from_utf8_lossy(&one.body));
    for kind in [
        "application/cloudevents-batch+json",
        "Application/CloudEvents-Batch+JSON; charset=utf-8",
    ] {
        let batch = Message {
            body: body.clone().into(),
            ..Message::default()
        }
        .header("content-type", kind);
        assert_eq!(bed.post(&batch).await?.code(), 400, "{kind}");
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c2_6_no_such_object_is_404_whatever_the_event() -> TestResult {
    let bed = Bed::start().await?;
    assert_eq!(
        bed.gateway
            .post("other", &Event::full(Spec::V03).structured())
            .await?
            .code(),
        404
    );
    Ok(())
}

/// Events up to 64 KiB must be forwarded (F2.6); Knative's long message is 36,864 bytes.
#[tokio::test]
async fn c2_9_events_of_64_kib_pass_even_at_the_lowest_limit() -> TestResult {
    let bed = Bed::setup()
        .set("limits.maxEventBytes", "64Ki")
        .start()
        .await?;
    for length in [1, 36_864, 65_536] {
        let event = Event::numbered(length).data("application/octet-stream", vec![0xA5; length]);
        assert_eq!(bed.event(&event).await?.code(), 202, "{length}");
        let last = bed
            .subscriber
            .requests()
            .pop()
            .ok_or_else(|| anyhow::anyhow!("nothing came"))?;
        assert_eq!(last.body, event.bytes(), "{length}");
    }
    assert_eq!(bed.subscriber.count(), 3);
    Ok(())
}

#[tokio::test]
async fn c2_9_over_the_limit_is_413_that_names_size_limit_and_setting() -> TestResult {
    let bed = Bed::setup()
        .set("limits.maxEventBytes", "64Ki")
        .start()
        .await?;
    let event = Event::full(Spec::V10).data("text/plain", vec![b'x'; 65_537]);
    for message in [event.binary(), event.structured()] {
        let response = bed.post(&message).await?;
        assert_eq!(response.code(), 413);
        let text = response.text();
        let size = message.body.len().to_string();
        for part in [size.as_str(), "65536", "limits.maxEventBytes"] {
            assert!(text.contains(part), "no {part} in: {text}");
        }
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c2_17_errors_carry_no_event() -> TestResult {
    let bed = Bed::start().await?;
    let bad = Event::full(Spec::V10).without("id").binary();
    let get = bed
        .gateway
        .sender()
        .request(Method::GET, &channel_path("in"), &Message::default())
        .await?;
    let lost = bed
        .gateway
        .post("other", &Event::full(Spec::V10).binary())
        .await?;
    for response in [bed.post(&bad).await?, get, lost] {
        assert!(response.status.is_client_error());
        assert!(
            response
                .headers
                .keys()
                .all(|name| !name.as_str().starts_with("ce-")),
            "{:?}",
            response.headers
        );
        assert!(!response.header("content-type").contains("cloudevents"));
    }
    Ok(())
}

#[tokio::test]
async fn c2_20_upgrade_is_ignored() -> TestResult {
    let bed = Bed::start().await?;
    let asks = [
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    ];
    for ask in asks {
        let mut raw = Raw::connect(bed.gateway.listening).await?;
        raw.write(format!(
            "{}{ask}Content-Length: 2\r\n\r\nhi",
            event_head(&channel_path("in"))
        ))
        .await?;
        let read = raw.read_response(SOON).await?;
        assert_eq!(read.status(), 202, "{}", read.text);
    }
    assert_eq!(bed.subscriber.count(), 2);
    Ok(())
}
