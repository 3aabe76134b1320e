//! E2: the channel rows of Knative's own suites that can be driven from outside, where no clause covers them already.

use http::Method;
use serde_json::json;
use towpath_harness::manifest::{
    channel, in_memory_channel, reference, subscription, towpath_channel, uri,
};
use towpath_harness::{Answer, Bed, Event, Gateway, Message, Spec, Subscriber, TestResult};

/// "Delivery Spec 0": the subscriber fails once, retry 1, dead letter sink set.
#[tokio::test]
async fn e2_delivery_spec_0() -> TestResult {
    let bed = Bed::setup()
        .dead_letter()
        .delivery("retry", 1)
        .start()
        .await?;
    bed.subscriber.script([Answer::status(503)]);
    assert_eq!(bed.event(&Event::full(Spec::V10)).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (2, 0));
    Ok(())
}

/// "Delivery Spec 1": four subscriptions of one channel, of which only the last needs its dead letter sink.
#[tokio::test]
async fn e2_delivery_spec_1() -> TestResult {
    let in_channel = in_memory_channel("in");
    let mut objects = vec![in_channel.clone()];
    let mut parties = Vec::new();
    for (name, replies, reply_failures) in [
        ("s1", false, 0),
        ("s2", true, 0),
        ("s3", true, 1),
        ("s4", true, 2),
    ] {
        let party = (
            Subscriber::start().await?,
            Subscriber::start().await?,
            Subscriber::start().await?,
        );
        let answer = if replies {
            Answer::reply(&Event::numbered(name))
        } else {
            Answer::status(202)
        };
        party.0.script([Answer::status(503), answer]);
        party.1.script(vec![Answer::status(503); reply_failures]);
        let to = subscription(name, &in_channel, uri(party.0.url("/")))
            .spec("reply", uri(party.1.url("/")));
        objects.push(to.spec(
            "delivery",
            json!({"retry": 1, "deadLetterSink": {"uri": party.2.url("/")}}),
        ));
        parties.push(party);
    }
    let gateway = Gateway::with(objects).start().await?;
    assert_eq!(
        gateway
            .post(
                "in",
                &Event::full(Spec::V10).with("id", "original").binary()
            )
            .await?
            .code(),
        202
    );
    let counts: Vec<_> = parties
        .iter()
        .map(|party| (party.0.count(), party.1.count(), party.2.count()))
        .collect();
    assert_eq!(counts, [(2, 0, 0), (2, 1, 0), (2, 2, 0), (2, 2, 1)]);
    assert_eq!(parties[3].2.only()?.header("ce-id"), "original");
    Ok(())
}

/// TestSmoke_*: the names that Knative's suites use, as every kind of channel.
#[tokio::test]
async fn e2_names_and_kinds_of_channels() -> TestResult {
    let subscriber = Subscriber::start().await?;
    let long = "name-of-63-characters-0123456789-0123456789-0123456789-01234567";
    assert_eq!(long.len(), 63);
    let names = ["customname", "name-with-dash", "name1with2numbers3", long];
    for make in [channel, in_memory_channel, towpath_channel] {
        let mut objects = Vec::new();
        for name in names {
            let channel = make(name);
            objects.push(subscription(
                name,
                &channel,
                uri(subscriber.url(&format!("/{name}"))),
            ));
            objects.push(channel);
        }
        let gateway = Gateway::with(objects).start().await?;
        for name in names {
            let before = subscriber.count();
            assert_eq!(
                gateway
                    .post(name, &Event::full(Spec::V10).binary())
                    .await?
                    .code(),
                202,
                "{name}"
            );
            assert_eq!(subscriber.count() - before, 1, "{name}");
        }
    }
    Ok(())
}

/// TestGenericChannelDeadLetterSink: the channel's own delivery spec holds for a subscription that has none (A7.5, A7.6).
#[tokio::test]
async fn e2_dead_letter_sink_of_the_channel() -> TestResult {
    for make in [channel, in_memory_channel, towpath_channel] {
        let (failing, own, dead_letter) = (
            Subscriber::start().await?,
            Subscriber::start().await?,
            Subscriber::start().await?,
        );
        failing.otherwise(Answer::status(503));
        own.otherwise(Answer::status(503));
        let delivery = json!({"retry": 2, "deadLetterSink": {"uri": dead_letter.url("/")}});
        let in_channel = make("in").spec("delivery", delivery);
        let inherits = subscription("inherits", &in_channel, uri(failing.url("/")));
        // Its own numbers, 0 among them, and the channel's dead letter sink.
        let own_numbers =
            subscription("own", &in_channel, uri(own.url("/"))).spec("delivery.retry", 0);
        let gateway = Gateway::with([in_channel, inherits, own_numbers])
            .start()
            .await?;
        assert_eq!(
            gateway
                .post("in", &Event::full(Spec::V10).binary())
                .await?
                .code(),
            202
        );
        assert_eq!(
            (failing.count(), own.count(), dead_letter.count()),
            (3, 1, 2)
        );
    }
    Ok(())
}

/// AsDeadLetterSink: a channel is the dead letter sink of another.
#[tokio::test]
async fn e2_channel_as_dead_letter_sink() -> TestResult {
    let (failing, sink) = (Subscriber::start().await?, Subscriber::start().await?);
    failing.otherwise(Answer::status(422));
    let dead = channel("dead");
    let in_channel = channel("in").spec("delivery.deadLetterSink", reference(&dead));
    let to = subscription("failing", &in_channel, uri(failing.url("/")));
    let to_sink = subscription("sink", &dead, uri(sink.url("/")));
    let gateway = Gateway::with([in_channel, dead, to, to_sink])
        .start()
        .await?;
    assert_eq!(
        gateway
            .post("in", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(sink.only()?.header("ce-knativeerrordest"), failing.url("/"));
    assert_eq!(
        sink.only()?.header("prefer"),
        "reply",
        "the sink is a subscriber of the other channel"
    );
    Ok(())
}

/// TestEventTransformationForSubscriptionV1: the reply of a transformer goes through the next channel.
#[tokio::test]
async fn e2_transformation_through_two_channels() -> TestResult {
    let (transformer, sink) = (Subscriber::start().await?, Subscriber::start().await?);
    transformer.otherwise(Answer::transform(|event| {
        event.with("type", "transformed").data("text/plain", "new")
    }));
    let (a, b) = (channel("a"), channel("b"));
    let first = subscription("first", &a, uri(transformer.url("/"))).spec("reply", reference(&b));
    let second = subscription("second", &b, uri(sink.url("/")));
    let gateway = Gateway::with([a, b, first, second]).start().await?;
    for id in 0..3 {
        assert_eq!(
            gateway
                .post(
                    "a",
                    &Event::full(Spec::V10).with("id", id.to_string()).binary()
                )
                .await?
                .code(),
            202
        );
    }
    let arrived = sink.requests();
    assert_eq!(arrived.len(), 3);
    for (id, request) in arrived.iter().enumerate() {
        let event = Event::of(request)?;
        assert_eq!(
            (event.text("id"), event.text("type")),
            (id.to_string(), "transformed".to_owned())
        );
        assert_eq!(&request.body[..], b"new");
        assert_eq!(event.text("exstring"), "exstring");
    }
    Ok(())
}

/// TestBinaryEventForChannel, TestStructuredEventForChannel, by the host of the status address.
#[tokio::test]
async fn e2_binary_and_structured_by_host() -> TestResult {
    let bed = Bed::start().await?;
    let event = Event::full(Spec::V10);
    for message in [event.binary(), event.structured()] {
        let message: Message = message.header("host", "in-kn-channel.demo.svc.cluster.local");
        assert_eq!(
            bed.gateway
                .sender()
                .request(Method::POST, "/", &message)
                .await?
                .code(),
            202
        );
    }
    for request in bed.subscriber.requests() {
        assert_eq!(Event::of(&request)?.texts(), event.texts());
    }
    Ok(())
}

/// Long messages of E3, which hold for channels too: 36,864 bytes of data, and a reply of 36,000, exactly one each.
#[tokio::test]
async fn e2_long_message_and_long_reply() -> TestResult {
    let bed = Bed::setup().reply().start().await?;
    bed.subscriber.script([Answer::reply(
        &Event::numbered("r").data("text/plain", "y".repeat(36_000)),
    )]);
    let event = Event::numbered(1).data("text/plain", "x".repeat(36_864));
    assert_eq!(bed.event(&event).await?.code(), 202);
    assert_eq!(bed.subscriber.only()?.body.len(), 36_864);
    assert_eq!(bed.reply.only()?.body.len(), 36_000);
    Ok(())
}

/// A2.1, A7.6: entries as Knative's controller writes them are obeyed as they are, and not merged with the channel's own
/// delivery spec.
#[tokio::test]
async fn e2_entries_of_spec_subscribers_are_obeyed_as_they_are() -> TestResult {
    let (failing, reply, dead_letter, other) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    failing.otherwise(Answer::status(503));
    let entries = json!([
        {"uid": "u-1", "name": "one", "generation": 3, "subscriberUri": failing.url("/"),
         "delivery": {"retry": 1, "deadLetterSink": {"uri": dead_letter.url("/")}}},
        {"uid": "u-2", "name": "two", "subscriberUri": other.url("/"), "replyUri": reply.url("/")},
    ]);
    other.otherwise(Answer::reply(&Event::numbered("reply")));
    let in_channel = in_memory_channel("in")
        .spec("subscribers", entries)
        .spec("delivery.retry", 7);
    let gateway = Gateway::with([in_channel]).start().await?;
    assert_eq!(
        gateway
            .post("in", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(
        (
            failing.count(),
            dead_letter.count(),
            other.count(),
            reply.count()
        ),
        (2, 1, 1, 1)
    );
    let metrics = gateway.metrics().await?;
    let name = [("messaging_destination_name", "subscription:two.demo")];
    assert!(metrics.sum("kn_eventing_dispatch_duration_seconds_count", &name) > 0.0);
    Ok(())
}

/// A8.2: an entry with a reply only sends the event itself there.
#[tokio::test]
async fn e2_an_entry_with_a_reply_only_gets_the_event() -> TestResult {
    let reply = Subscriber::start().await?;
    let in_channel = in_memory_channel("in").spec(
        "subscribers",
        json!([{"uid": "u-1", "replyUri": reply.url("/r")}]),
    );
    let gateway = Gateway::with([in_channel]).start().await?;
    let event = Event::full(Spec::V10);
    assert_eq!(gateway.post("in", &event.structured()).await?.code(), 202);
    let request = reply.only()?;
    assert_eq!(request.path, "/r");
    assert_eq!(Event::of(&request)?.texts(), event.texts());
    Ok(())
}
