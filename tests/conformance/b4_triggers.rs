//! B4: what a Trigger may say of its broker, its subscriber and its delivery; C3.9 and C4 as a Trigger's subscriber sees them.

use serde_json::json;
use towpath_harness::event::STRUCTURED;
use towpath_harness::manifest::{
    broker, endpoints, in_memory_channel, reference, service, subscription, trigger, uri,
};
use towpath_harness::{Answer, Bed, Event, Gateway, Recorded, Spec, Subscriber, TestResult};

use crate::selection::typed;

fn is_structured(request: &Recorded) -> bool {
    request.header("content-type").starts_with(STRUCTURED)
}

/// A scheme that nobody speaks is no error of the files: deliveries fail and go to the dead letter sink (B4.8, C4.7).
#[tokio::test]
async fn b4_8_a_subscriber_with_a_bad_scheme_is_legal() -> TestResult {
    let dead_letter = Subscriber::start().await?;
    let sink = json!({"deadLetterSink": {"uri": dead_letter.url("/")}});
    let objects = [
        broker("in").spec("delivery", sink),
        trigger("bad", "in", uri("bad://uri")),
    ];
    let gateway = Gateway::with(objects).start().await?;
    assert_eq!(gateway.problems().await?, "");
    let event = Event::full(Spec::V10);
    assert_eq!(gateway.publish("in", &event.binary()).await?.code(), 202);
    let dead = dead_letter.only()?;
    assert_eq!(dead.header("ce-id"), "full-event");
    assert_eq!(dead.header("ce-knativeerrordest"), "bad://uri");
    Ok(())
}

/// `bad://<host>/path` means `http://<host>/` (C4.7).
#[tokio::test]
async fn c4_7_another_scheme_is_http_without_the_path() -> TestResult {
    let subscriber = Subscriber::start().await?;
    let to = uri(format!("bad://{}/some/path?x=y", subscriber.address()));
    let gateway = Gateway::with([broker("in"), trigger("t", "in", to)])
        .start()
        .await?;
    assert_eq!(
        gateway.publish("in", &typed("t").binary()).await?.code(),
        202
    );
    assert_eq!(subscriber.only()?.path, "/");
    Ok(())
}

/// A Trigger of a broker in another namespace; `Kn-Namespace` is the Trigger's own (B4.1, C4.3; TestBrokerTriggerCrossNamespaceReference).
#[tokio::test]
async fn b4_1_a_trigger_may_name_a_broker_of_another_namespace() -> TestResult {
    let (here, there) = (Subscriber::start().await?, Subscriber::start().await?);
    let reference = json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "in", "namespace": "demo"});
    let mut far = trigger("far", "", uri(there.url("/"))).in_namespace("elsewhere");
    far = far.field(
        "spec",
        json!({"brokerRef": reference, "subscriber": uri(there.url("/"))}),
    );
    let near = trigger("near", "in", uri(here.url("/")));
    let same_name = broker("in").in_namespace("elsewhere");
    let gateway = Gateway::with([broker("in"), same_name, near, far])
        .start()
        .await?;
    assert_eq!(
        gateway.publish("in", &typed("t").binary()).await?.code(),
        202
    );
    assert_eq!(here.only()?.header("kn-namespace"), "demo");
    assert_eq!(there.only()?.header("kn-namespace"), "elsewhere");
    let other = gateway
        .sender()
        .post("/elsewhere/in", &typed("t").binary())
        .await?;
    assert_eq!(other.code(), 202);
    assert_eq!((here.count(), there.count()), (1, 1));
    Ok(())
}

/// The annotation is for a cluster; here it must be readable, and holds nothing up (B4.9).
#[tokio::test]
async fn b4_9_a_dependency_holds_nothing_up() -> TestResult {
    let subscriber = Subscriber::start().await?;
    let dependency = r#"{"kind":"PingSource","name":"ping","apiVersion":"sources.knative.dev/v1"}"#;
    let waits = trigger("t", "in", uri(subscriber.url("/")))
        .annotation("knative.dev/dependency", dependency);
    let gateway = Gateway::with([broker("in"), waits]).start().await?;
    assert_eq!(
        gateway.publish("in", &typed("t").binary()).await?.code(),
        202
    );
    assert_eq!(subscriber.count(), 1);
    Ok(())
}

/// Services, channels and other brokers by reference, as subscribers.
#[tokio::test]
async fn b4_6_subscribers_by_reference() -> TestResult {
    let (of_service, of_channel, of_broker) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let (function, channel, next) = (
        service("function", "http", 80),
        in_memory_channel("next"),
        broker("next"),
    );
    let objects = [
        broker("in"),
        trigger("to-service", "in", reference(&function)),
        trigger("to-channel", "in", reference(&channel)),
        trigger("to-broker", "in", reference(&next)),
        endpoints("function", "http", of_service.address()),
        subscription("s", &channel, uri(of_channel.url("/"))),
        trigger("t", "next", uri(of_broker.url("/"))),
        function,
        channel,
        next,
    ];
    let gateway = Gateway::with(objects).start().await?;
    let event = Event::full(Spec::V10);
    assert_eq!(gateway.publish("in", &event.binary()).await?.code(), 202);
    for subscriber in [&of_service, &of_channel, &of_broker] {
        let arrived = Event::of(&subscriber.only()?)?;
        assert_eq!(arrived.texts(), event.texts());
    }
    assert_eq!(
        of_service.only()?.header("host"),
        "function.demo.svc.cluster.local"
    );
    Ok(())
}

/// TestTriggerDeliveryFormat; a dead letter has the Trigger's format too.
#[tokio::test]
async fn c3_9_format_of_a_trigger_decides_the_mode() -> TestResult {
    let event = Event::full(Spec::V10);
    for (format, structured) in [("json", true), ("binary", false)] {
        let bed = Bed::broker()
            .dead_letter()
            .delivery("format", format)
            .start()
            .await?;
        bed.subscriber.script([
            Answer::status(200),
            Answer::status(200),
            Answer::status(400),
        ]);
        for message in [event.binary(), event.structured(), event.binary()] {
            assert_eq!(bed.post(&message).await?.code(), 202);
        }
        let requests = bed.subscriber.requests();
        assert_eq!(requests.len(), 3);
        for request in &requests {
            assert_eq!(is_structured(request), structured, "{format}");
            let arrived = Event::of(request)?;
            assert_eq!(
                (arrived.texts(), arrived.bytes()),
                (event.texts(), event.bytes()),
                "{format}"
            );
        }
        let dead = bed.dead_letter.only()?;
        assert_eq!(is_structured(&dead), structured, "{format}");
        assert_eq!(Event::of(&dead)?.text("knativeerrorcode"), "400");
    }
    Ok(())
}

/// Without a format the subscriber gets binary mode, whatever came in (C3.8).
#[tokio::test]
async fn c3_8_without_a_format_it_is_binary() -> TestResult {
    let bed = Bed::broker().start().await?;
    let event = Event::full(Spec::V10);
    assert_eq!(bed.post(&event.structured()).await?.code(), 202);
    assert!(!is_structured(&bed.subscriber.only()?));
    Ok(())
}

/// TestBrokerPreferHeaderCheck; what the sender asked for itself is not passed on (C4.1, C4.2, C4.3).
#[tokio::test]
async fn c4_headers_of_a_delivery_from_a_broker() -> TestResult {
    let bed = Bed::broker()
        .reply()
        .field("filter.attributes.type", "ask")
        .dead_letter()
        .start()
        .await?;
    bed.subscriber.script([
        Answer::reply(&typed(towpath_harness::bed::REPLY)),
        Answer::status(400),
    ]);
    let asked = typed("ask")
        .binary()
        .header("prefer", "respond-async")
        .header("authorization", "Bearer secret")
        .header("knative-hello", "world")
        .header("x-request-id", "7")
        .header("x-custom", "dropped");
    for _ in 0..2 {
        assert_eq!(bed.post(&asked).await?.code(), 202);
    }
    // A reply's deliveries are those of its Trigger: with `Prefer: reply` again.
    for request in bed.subscriber.requests().iter().chain([&bed.reply.only()?]) {
        assert_eq!(request.header("prefer"), "reply");
        assert_eq!(request.header("kn-namespace"), "demo");
        assert!(!request.headers.contains_key("authorization"));
    }
    let dead = bed.dead_letter.only()?;
    assert_eq!(
        (dead.header("prefer"), dead.header("kn-namespace")),
        (String::new(), "demo".to_owned())
    );
    for request in bed.subscriber.requests().iter().chain([&dead]) {
        assert_eq!(request.header("knative-hello"), "world");
        assert_eq!(request.header("x-request-id"), "7");
        assert!(!request.headers.contains_key("x-custom"));
    }
    Ok(())
}
