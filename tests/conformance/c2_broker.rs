//! C1 and C2 for brokers: which request belongs to which broker, and what ingress answers.

use http::Method;
use serde_json::json;
use towpath_harness::manifest::{broker, in_memory_channel, subscription, trigger, uri};
use towpath_harness::poll::SOON;
use towpath_harness::{Answer, Bed, Event, Gate, Gateway, Message, Spec, Subscriber, TestResult};

fn event() -> Message {
    Event::full(Spec::V10).binary()
}

async fn status(bed: &Bed, path: &str, message: &Message) -> anyhow::Result<u16> {
    Ok(bed.gateway.sender().post(path, message).await?.code())
}

#[tokio::test]
async fn c1_4_path_of_namespace_and_name() -> TestResult {
    let bed = Bed::broker().start().await?;
    let paths = [
        "/demo/in",
        "/demo/in/",
        "/demo/in?a=b",
        "/demo/in/?a=/x/y",
        "/brokers/demo/in",
        "/brokers/demo/in/",
    ];
    for path in paths {
        assert_eq!(status(&bed, path, &event()).await?, 202, "{path}");
    }
    // In a cluster they come with the host of the ingress.
    let host = "broker-ingress.knative-eventing.svc.cluster.local";
    let with_host = event().header("host", host);
    assert_eq!(status(&bed, "/demo/in", &with_host).await?, 202);
    assert_eq!(bed.subscriber.count(), paths.len() + 1);
    Ok(())
}

#[tokio::test]
async fn c1_4_other_paths_are_404_at_the_root_and_else_400() -> TestResult {
    let bed = Bed::broker().start().await?;
    assert_eq!(status(&bed, "/", &event()).await?, 404);
    for path in [
        "/demo",
        "/demo/",
        "/demo/in/more",
        "/brokers/demo/in/more",
        "/demo//in",
        "//demo/in",
        "/demo/in//",
    ] {
        assert_eq!(status(&bed, path, &event()).await?, 400, "{path}");
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c1_5_unknown_broker_is_404() -> TestResult {
    let bed = Bed::broker().start().await?;
    for path in [
        "/demo/other",
        "/other/in",
        "/demo/In",
        "/brokers/demo/other",
        "/channels/demo/in",
    ] {
        assert_eq!(status(&bed, path, &event()).await?, 404, "{path}");
    }
    // A broker has no host of its own.
    let channels = event().header("host", "in-kn-channel.demo.svc.cluster.local");
    assert_eq!(status(&bed, "/", &channels).await?, 404);
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

/// A broker and a channel may share a name; the short path then means the broker.
#[tokio::test]
async fn c1_1_a_broker_and_a_channel_of_one_name() -> TestResult {
    let (of_broker, of_channel) = (Subscriber::start().await?, Subscriber::start().await?);
    let channel = in_memory_channel("in");
    let to = subscription("s", &channel, uri(of_channel.url("/")));
    let objects = [
        channel,
        to,
        broker("in"),
        trigger("t", "in", uri(of_broker.url("/"))),
    ];
    let gateway = Gateway::with(objects).start().await?;
    for (path, expected) in [
        ("/demo/in", (1, 0)),
        ("/brokers/demo/in", (2, 0)),
        ("/channels/demo/in", (2, 1)),
    ] {
        assert_eq!(gateway.sender().post(path, &event()).await?.code(), 202);
        assert_eq!((of_broker.count(), of_channel.count()), expected, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn c2_1_options_answers_webhook_headers() -> TestResult {
    let bed = Bed::broker().start().await?;
    let ask = Message::default().header("webhook-request-origin", "example.com");
    let mut sender = bed.gateway.sender();
    let response = sender.request(Method::OPTIONS, &bed.path, &ask).await?;
    assert_eq!(response.code(), 200);
    let allow = response.header("allow");
    assert!(
        allow.contains("POST") && allow.contains("OPTIONS"),
        "{allow}"
    );
    for header in ["webhook-allowed-origin", "webhook-allowed-rate"] {
        assert_eq!(response.header(header), "*", "{header}");
    }
    Ok(())
}

#[tokio::test]
async fn c2_2_other_methods_are_405_with_allow() -> TestResult {
    let bed = Bed::broker().start().await?;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
        let mut sender = bed.gateway.sender();
        let response = sender.request(method.clone(), &bed.path, &event()).await?;
        assert_eq!(response.code(), 405, "{method}");
        assert!(response.header("allow").contains("POST"), "{method}");
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

/// C2.3, C2.4, C2.5, C2.6 and C2.17 in one table.
#[tokio::test]
async fn c2_3_to_c2_6_what_is_taken_and_what_is_refused() -> TestResult {
    let bed = Bed::broker().start().await?;
    let taken = bed.event(&Event::full(Spec::V10)).await?;
    assert_eq!((taken.code(), taken.text()), (202, String::new()));
    for spec in Spec::BOTH {
        for name in ["id", "source", "type", "specversion"] {
            for broken in [
                Event::full(spec).without(name),
                Event::full(spec).with(name, ""),
            ] {
                for message in [broken.binary(), broken.structured()] {
                    let response = bed.post(&message).await?;
                    assert_eq!(response.code(), 400, "{name}: {message:?}");
                    assert!(response.text().contains(name), "{}", response.text());
                    assert!(!response.header("content-type").contains("cloudevents"));
                }
            }
        }
    }
    let one = Event::full(Spec::V10).structured();
    let batch = Message {
        body: format!("[{}]", String::from_utf8_lossy(&one.body)).into(),
        ..Message::default()
    }
    .header("content-type", "application/cloudevents-batch+json");
    let malformed = [
        batch,
        Message::default(),
        Message::json("{\"specversion\":\"1.0\""),
        Event::full(Spec::V10).with("specversion", "19.0").binary(),
        Event::full(Spec::V10).with("time", "yesterday").binary(),
    ];
    for message in malformed {
        assert_eq!(bed.post(&message).await?.code(), 400, "{message:?}");
    }
    assert_eq!(bed.subscriber.count(), 1);
    Ok(())
}

#[tokio::test]
async fn c2_9_over_the_limit_is_413_and_64_kib_pass() -> TestResult {
    let bed = Bed::broker()
        .set("limits.maxEventBytes", "64Ki")
        .start()
        .await?;
    let event = |length| Event::numbered(length).data("text/plain", vec![b'x'; length]);
    assert_eq!(bed.event(&event(65_536)).await?.code(), 202);
    let refused = bed.event(&event(65_537)).await?;
    assert_eq!(refused.code(), 413);
    for part in ["65537", "65536", "limits.maxEventBytes"] {
        assert!(refused.text().contains(part), "{}", refused.text());
    }
    assert_eq!(bed.subscriber.only()?.body.len(), 65_536);
    Ok(())
}

#[tokio::test]
async fn c2_10_a_full_broker_is_503_with_retry_after() -> TestResult {
    let bed = Bed::broker().set("memory.maxEvents", "1").start().await?;
    let gate = Gate::closed();
    bed.subscriber.script([Answer::status(202).behind(&gate)]);
    let first = Event::numbered(1);
    let second = async {
        bed.subscriber.await_count(1, SOON).await?;
        let refused = bed.event(&Event::numbered(2)).await;
        gate.open();
        refused
    };
    let (first, refused) = tokio::join!(bed.event(&first), second);
    let refused = refused?;
    assert!(matches!(refused.code(), 429 | 503), "{}", refused.status);
    assert!(refused.header("retry-after").parse::<u32>().is_ok());
    assert_eq!(first?.code(), 202);
    assert_eq!(bed.event(&Event::numbered(3)).await?.code(), 202);
    assert_eq!(bed.subscriber.count(), 2);
    Ok(())
}

#[tokio::test]
async fn c2_12_and_c2_13_probes_are_answered_and_never_routed() -> TestResult {
    let bed = Bed::broker().start().await?;
    let kubelet = event().header("user-agent", "kube-probe/1.35");
    assert_eq!(bed.post(&kubelet).await?.code(), 200);
    let probe = Message::default().header("k-network-probe", "probe");
    for (path, hash, code) in [
        ("/demo/in", "abc123", 200),
        ("/demo/other", "abc123", 404),
        ("/demo/in", "", 400),
    ] {
        let asked = probe.clone().header("k-network-hash", hash);
        let mut sender = bed.gateway.sender();
        let response = sender.request(Method::GET, path, &asked).await?;
        assert_eq!(response.code(), code, "{path} {hash:?}");
        if code == 200 {
            assert_eq!(response.header("k-network-hash"), hash);
        }
    }
    assert_eq!(bed.subscriber.count(), 0);
    Ok(())
}

/// The address that Knative gives to a broker leads to it, when an object of the files names it as a URI (B2.2).
#[tokio::test]
async fn c1_4_the_url_of_a_broker_is_known_in_the_files() -> TestResult {
    let url = "http://broker-ingress.knative-eventing.svc.cluster.local/demo/in";
    let bed = Bed::broker()
        .and(broker("front"))
        .and(trigger("forward", "front", uri(url)).spec("delivery", json!({"retry": 0})))
        .start()
        .await?;
    assert_eq!(bed.gateway.publish("front", &event()).await?.code(), 202);
    assert_eq!(bed.subscriber.count(), 1);
    Ok(())
}
