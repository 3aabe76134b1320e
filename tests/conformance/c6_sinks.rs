//! C6.9: dead letter sinks that are channels and brokers, of channels and of brokers; A8.2: entries with a reply only.

use serde_json::json;
use towpath_harness::manifest::{broker, in_memory_channel, reference, subscription, trigger, uri};
use towpath_harness::{Answer, Bed, Event, Gateway, Spec, Subscriber, TestResult};

#[tokio::test]
async fn c6_9_a_channel_and_a_broker_as_dead_letter_sinks() -> TestResult {
    let (dead_channel, dead_broker) = (in_memory_channel("dead"), broker("dead"));
    for sink in [&dead_channel, &dead_broker] {
        for setup in Bed::both() {
            let last = Subscriber::start().await?;
            let bed = setup
                .delivery("retry", 1)
                .delivery("deadLetterSink", reference(sink))
                .and(dead_channel.clone())
                .and(subscription(
                    "of-channel",
                    &dead_channel,
                    uri(last.url("/c")),
                ))
                .and(dead_broker.clone())
                .and(trigger("of-broker", "dead", uri(last.url("/b"))))
                .start()
                .await?;
            bed.subscriber
                .otherwise(Answer::body(503, "text/plain", "busy"));
            let event = Event::full(Spec::V10);
            assert_eq!(bed.event(&event).await?.code(), 202);
            assert_eq!(bed.subscriber.count(), 2);
            let dead = last.only()?;
            let path = if sink.kind == "Broker" { "/b" } else { "/c" };
            assert_eq!(dead.path, path, "{} {}", bed.path, sink.kind);
            let arrived = Event::of(&dead)?;
            assert_eq!(arrived.text("knativeerrordest"), bed.subscriber.url("/"));
            assert_eq!(arrived.text("knativeerrorcode"), "503");
            assert_eq!(arrived.bytes(), event.bytes());
        }
    }
    Ok(())
}

/// Triggers of the sink can tell failures apart by the error extensions.
#[tokio::test]
async fn c6_9_a_broker_of_dead_letters_filters_by_what_went_wrong() -> TestResult {
    let (busy, bad) = (Subscriber::start().await?, Subscriber::start().await?);
    let of_code = |name: &str, code: &str, to: &Subscriber| {
        trigger(name, "dead", uri(to.url("/")))
            .spec("filters", json!([{"exact": {"knativeerrorcode": code}}]))
    };
    let bed = Bed::broker()
        .channel_field("delivery.deadLetterSink", reference(&broker("dead")))
        .and(broker("dead"))
        .and(of_code("busy", "503", &busy))
        .and(of_code("bad", "422", &bad))
        .start()
        .await?;
    bed.subscriber.script([
        Answer::status(422),
        Answer::status(503),
        Answer::status(422),
    ]);
    for id in 0..3 {
        assert_eq!(bed.event(&Event::numbered(id)).await?.code(), 202);
    }
    assert_eq!((busy.count(), bad.count()), (1, 2));
    Ok(())
}

/// A broker as the subscriber of a channel and as the target of its replies, and the other way round.
#[tokio::test]
async fn c6_9_brokers_and_channels_in_a_row() -> TestResult {
    let (asked, last) = (Subscriber::start().await?, Subscriber::start().await?);
    asked.otherwise(Answer::transform(|event| event.with("exstep", "asked")));
    let (first, middle, third) = (
        in_memory_channel("one"),
        broker("two"),
        in_memory_channel("three"),
    );
    let objects = [
        subscription("one", &first, uri(asked.url("/"))).spec("reply", reference(&middle)),
        trigger("two", "two", reference(&third)),
        subscription("three", &third, uri(last.url("/"))),
        first,
        middle,
        third,
    ];
    let gateway = Gateway::with(objects).start().await?;
    let event = Event::full(Spec::V03);
    assert_eq!(gateway.post("one", &event.structured()).await?.code(), 202);
    assert_eq!(
        Event::of(&last.only()?)?.texts(),
        event.with("exstep", "asked").texts()
    );
    Ok(())
}

/// Several such entries, with retries and a dead letter sink; a broker may be the reply (A8.2).
#[tokio::test]
async fn a8_2_entries_with_a_reply_only() -> TestResult {
    let (plain, flaky, gone, dead, of_broker) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    flaky.script([Answer::status(503)]);
    gone.otherwise(Answer::status(400));
    let broker_url = "http://broker-ingress.knative-eventing.svc.cluster.local/demo/next";
    let entries = json!([
        {"uid": "u-1", "replyUri": plain.url("/")},
        {"uid": "u-2", "replyUri": flaky.url("/"), "delivery": {"retry": 1}},
        {"uid": "u-3", "replyUri": gone.url("/"), "delivery": {"deadLetterSink": {"uri": dead.url("/")}}},
        {"uid": "u-4", "replyUri": broker_url},
    ]);
    let objects = [
        in_memory_channel("in").spec("subscribers", entries),
        broker("next"),
        trigger("t", "next", uri(of_broker.url("/"))),
    ];
    let gateway = Gateway::with(objects).start().await?;
    let event = Event::full(Spec::V10);
    assert_eq!(gateway.post("in", &event.binary()).await?.code(), 202);
    assert_eq!((flaky.count(), gone.count(), dead.count()), (2, 1, 1));
    for subscriber in [&plain, &of_broker] {
        assert_eq!(Event::of(&subscriber.only()?)?.texts(), event.texts());
    }
    assert_eq!(
        plain.only()?.header("prefer"),
        "",
        "it is no subscriber (C4.2)"
    );
    assert_eq!(dead.only()?.header("ce-knativeerrordest"), gone.url("/"));
    Ok(())
}
