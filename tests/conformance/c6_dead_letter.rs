//! C6: dead letters and their error extensions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use towpath_harness::manifest::{
    endpoints, in_memory_channel, reference, service, subscription, uri,
};
use towpath_harness::{Answer, Bed, Event, Gateway, Recorded, Spec, Subscriber, TestResult};

fn extensions(request: &Recorded) -> (String, String, Option<String>) {
    let data = request
        .headers
        .get("ce-knativeerrordata")
        .map(|_| request.header("ce-knativeerrordata"));
    (
        request.header("ce-knativeerrordest"),
        request.header("ce-knativeerrorcode"),
        data,
    )
}

/// The event apart from the error extensions.
fn without_extensions(event: Event) -> Event {
    event
        .without("knativeerrordest")
        .without("knativeerrorcode")
        .without("knativeerrordata")
}

/// The three cases of TestChannelDeadLetterSinkExtensions (E2); the destination is as configured, with no slash added.
#[tokio::test]
async fn c6_1_and_c6_2_extensions_say_where_and_why() -> TestResult {
    let bed = Bed::setup()
        .subscriber_path("")
        .dead_letter()
        .delivery("retry", 3)
        .start()
        .await?;
    let event = Event::full(Spec::V10);
    bed.subscriber.script([
        Answer::status(422),
        Answer::body(422, "text/html", "<h1>bad</h1>"),
    ]);
    assert_eq!(bed.event(&event).await?.code(), 202);
    assert_eq!(bed.event(&event).await?.code(), 202);
    assert_eq!(bed.subscriber.count(), 2, "422 is not retried");
    let dead = bed.dead_letter.requests();
    assert_eq!(dead.len(), 2);
    let dest = bed.subscriber.url("");
    assert_eq!(
        extensions(&dead[0]),
        (dest.clone(), "422".into(), None),
        "an empty body gives no data"
    );
    assert_eq!(
        extensions(&dead[1]),
        (dest, "422".into(), Some(STANDARD.encode("<h1>bad</h1>")))
    );
    for request in &dead {
        assert_eq!(request.path, "/dead");
        let arrived = without_extensions(Event::of(request)?);
        assert_eq!(
            (arrived.texts(), arrived.bytes()),
            (event.texts(), event.bytes())
        );
    }
    Ok(())
}

#[tokio::test]
async fn c6_2_and_c6_3_unreachable_subscriber_is_code_500_with_a_text() -> TestResult {
    let gone = Subscriber::start().await?;
    let dead_letter = Subscriber::start().await?;
    let channel = in_memory_channel("in");
    let url = gone.url("");
    let to = subscription("s", &channel, uri(&url)).spec(
        "delivery",
        json!({"deadLetterSink": {"uri": dead_letter.url("/")}}),
    );
    gone.stop().await;
    let gateway = Gateway::with([channel, to]).start().await?;
    assert_eq!(
        gateway
            .post("in", &Event::full(Spec::V03).structured())
            .await?
            .code(),
        202
    );
    let (dest, code, data) = extensions(&dead_letter.only()?);
    assert_eq!((dest, code.as_str()), (url, "500"));
    assert!(
        !STANDARD.decode(data.unwrap_or_default())?.is_empty(),
        "the error's text"
    );
    assert_eq!(
        dead_letter.only()?.header("ce-specversion"),
        "0.3",
        "a dead letter is not upgraded"
    );
    Ok(())
}

#[tokio::test]
async fn c6_1_data_is_cut_to_1024_characters_of_base64() -> TestResult {
    let bed = Bed::setup().dead_letter().start().await?;
    let body: String = ('a'..='z').cycle().take(5_000).collect();
    bed.subscriber.script([
        Answer::body(400, "text/plain", body.clone()),
        Answer::body(400, "text/plain", "x".repeat(768)),
    ]);
    bed.event(&Event::numbered(1)).await?;
    bed.event(&Event::numbered(2)).await?;
    let dead = bed.dead_letter.requests();
    assert_eq!(dead.len(), 2);
    let data = dead[0].header("ce-knativeerrordata");
    assert_eq!(data.len(), 1024);
    assert_eq!(STANDARD.decode(data)?, &body.as_bytes()[..768]);
    assert_eq!(
        STANDARD.decode(dead[1].header("ce-knativeerrordata"))?,
        "x".repeat(768).as_bytes()
    );
    Ok(())
}

#[tokio::test]
async fn c6_6_the_dead_letter_sink_is_retried_too() -> TestResult {
    let bed = Bed::setup()
        .dead_letter()
        .delivery("retry", 2)
        .start()
        .await?;
    bed.subscriber.script([Answer::status(400)]);
    bed.dead_letter
        .script([Answer::status(503), Answer::status(503)]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (1, 3));
    Ok(())
}

#[tokio::test]
async fn c6_6_a_dead_letter_that_nobody_takes_is_counted_and_told_to_the_producer() -> TestResult {
    let bed = Bed::setup()
        .dead_letter()
        .delivery("retry", 1)
        .start()
        .await?;
    bed.subscriber.otherwise(Answer::status(400));
    bed.dead_letter.otherwise(Answer::status(500));
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 500);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (1, 2));
    let metrics = bed.gateway.metrics().await?;
    assert!((metrics.sum("towpath_events_dropped_total", &[]) - 1.0).abs() < 0.1);
    Ok(())
}

/// C6.7: a broker's filter behind us says itself who failed.
#[tokio::test]
async fn c6_7_the_failure_body_of_broker_filter_is_unwrapped() -> TestResult {
    let filter = Subscriber::start().await?;
    let dead_letter = Subscriber::start().await?;
    let channel = in_memory_channel("in");
    let url = "http://broker-filter.knative-eventing.svc.cluster.local/triggers/demo/t/uid";
    let to = subscription("s", &channel, uri(url))
        .spec("delivery.deadLetterSink", uri(dead_letter.url("/")));
    let mut objects = vec![channel, to];
    for mut object in [
        service("broker-filter", "http", 80),
        endpoints("broker-filter", "http", filter.address()),
    ] {
        object.metadata["namespace"] = json!("knative-eventing");
        objects.push(object);
    }
    let gateway = Gateway::with(objects).start().await?;
    let body = json!({"errdestination": "http://real.subscriber", "errresponsebody": STANDARD.encode("real body")});
    filter.script([
        Answer::body(400, "application/json", body.to_string()),
        Answer::body(400, "text/plain", "not json"),
    ]);
    assert_eq!(
        gateway
            .post("in", &Event::numbered(1).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(
        gateway
            .post("in", &Event::numbered(2).binary())
            .await?
            .code(),
        202
    );
    let dead = dead_letter.requests();
    assert_eq!(dead.len(), 2);
    let (dest, _, data) = extensions(&dead[0]);
    assert_eq!(
        (dest.as_str(), data),
        ("http://real.subscriber", Some(STANDARD.encode("real body")))
    );
    assert!(
        !dead[1].headers.contains_key("ce-knativeerrordest"),
        "no extensions when it cannot be read"
    );
    assert_eq!(
        filter.requests()[0].header("host"),
        "broker-filter.knative-eventing.svc.cluster.local"
    );
    Ok(())
}

#[tokio::test]
async fn c6_8_without_a_dead_letter_sink_the_event_is_dropped_after_the_last_attempt() -> TestResult
{
    let bed = Bed::setup().delivery("retry", 2).start().await?;
    bed.subscriber.otherwise(Answer::status(503));
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 500);
    assert_eq!(bed.subscriber.count(), 3);
    let metrics = bed.gateway.metrics().await?;
    assert!((metrics.sum("towpath_events_dropped_total", &[]) - 1.0).abs() < 0.1);
    Ok(())
}

#[tokio::test]
async fn c6_9_a_reply_of_the_dead_letter_sink_is_ignored() -> TestResult {
    let bed = Bed::setup().reply().dead_letter().start().await?;
    bed.subscriber.script([Answer::status(400)]);
    bed.dead_letter
        .script([Answer::reply(&Event::full(Spec::V10))]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!((bed.dead_letter.count(), bed.reply.count()), (1, 0));
    Ok(())
}

/// C6.9 and C6.10: the sink is a channel here, whose own subscriber fails too; the second failure is the one told.
#[tokio::test]
async fn c6_10_the_dead_letter_of_a_dead_letter_tells_the_last_failure() -> TestResult {
    let (first, second, sink) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let (a, dead) = (in_memory_channel("in"), in_memory_channel("dead"));
    let to_first = subscription("first", &a, uri(first.url("/")))
        .spec("delivery.deadLetterSink", reference(&dead));
    let to_second = subscription("second", &dead, uri(second.url("/")))
        .spec("delivery.deadLetterSink", uri(sink.url("/")));
    let gateway = Gateway::with([a, dead, to_first, to_second])
        .start()
        .await?;
    first.script([Answer::body(400, "text/plain", "one")]);
    second.script([Answer::status(410)]);
    assert_eq!(
        gateway
            .post("in", &Event::numbered(1).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(
        extensions(&second.only()?),
        (first.url("/"), "400".into(), Some(STANDARD.encode("one")))
    );
    assert_eq!(
        extensions(&sink.only()?),
        (second.url("/"), "410".into(), None),
        "overwritten, and none left over"
    );
    Ok(())
}
