//! B6: what a broker does with an event: every Trigger is asked once, replies come back as new events.

use serde_json::json;
use towpath_harness::manifest::{broker, trigger, uri};
use towpath_harness::{Answer, Event, Gateway, Spec, Subscriber, TestResult};

use crate::selection::typed;

fn of_type(kind: &str) -> serde_json::Value {
    json!({"attributes": {"type": kind}})
}

/// Several Triggers with one subscriber give several deliveries, one of each.
#[tokio::test]
async fn b6_1_each_trigger_gives_one_delivery() -> TestResult {
    let subscriber = Subscriber::start().await?;
    let triggers =
        (0..5).map(|index| trigger(&format!("t{index}"), "in", uri(subscriber.url("/same"))));
    let gateway = Gateway::with(triggers.chain([broker("in")]))
        .start()
        .await?;
    let event = Event::full(Spec::V10);
    assert_eq!(gateway.publish("in", &event.binary()).await?.code(), 202);
    assert_eq!(subscriber.count(), 5);
    for request in subscriber.requests() {
        assert_eq!(Event::of(&request)?.texts(), event.texts());
    }
    Ok(())
}

/// A filter is asked once, not before every attempt.
#[tokio::test]
async fn b6_1_a_retry_goes_to_the_trigger_that_failed() -> TestResult {
    let (bad, good) = (Subscriber::start().await?, Subscriber::start().await?);
    bad.script([Answer::status(503), Answer::status(503)]);
    let to_bad = trigger("bad", "in", uri(bad.url("/"))).spec("delivery.retry", 3);
    let to_good = trigger("good", "in", uri(good.url("/")));
    let gateway = Gateway::with([broker("in"), to_bad, to_good])
        .start()
        .await?;
    assert_eq!(
        gateway.publish("in", &typed("t").binary()).await?.code(),
        202
    );
    assert_eq!((bad.count(), good.count()), (3, 1));
    Ok(())
}

/// Event Routing Spec, case 6: a reply is asked of all Triggers, that of its own cause included.
#[tokio::test]
async fn b6_2_a_reply_is_evaluated_against_all_triggers() -> TestResult {
    let (first, second, all) = (
        Subscriber::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    first.otherwise(Answer::with(|request| {
        match request.header("ce-type").as_str() {
            "one" => Answer::reply(&typed("two").with("id", "reply")),
            _ => Answer::status(202),
        }
    }));
    let objects = [
        broker("in"),
        trigger("first", "in", uri(first.url("/"))).spec("filters", json!([{"cesql": "TRUE"}])),
        trigger("second", "in", uri(second.url("/"))).spec("filter", of_type("two")),
        trigger("all", "in", uri(all.url("/"))),
    ];
    let gateway = Gateway::with(objects).start().await?;
    assert_eq!(
        gateway.publish("in", &typed("one").binary()).await?.code(),
        202
    );
    let types = |subscriber: &Subscriber| {
        let mut types: Vec<_> = subscriber
            .requests()
            .iter()
            .map(|request| request.header("ce-type"))
            .collect();
        types.sort();
        types
    };
    assert_eq!(
        types(&first),
        ["one", "two"],
        "also its own cause's Trigger"
    );
    assert_eq!(types(&second), ["two"]);
    assert_eq!(types(&all), ["one", "two"]);
    Ok(())
}

/// A reply stays in the broker that its cause came from.
#[tokio::test]
async fn b6_2_a_reply_does_not_enter_other_brokers() -> TestResult {
    let (asked, other) = (Subscriber::start().await?, Subscriber::start().await?);
    asked.otherwise(Answer::reply(&typed("answer")));
    let objects = [
        broker("in"),
        broker("other"),
        trigger("ask", "in", uri(asked.url("/"))).spec("filter", of_type("question")),
        trigger("all", "other", uri(other.url("/"))),
    ];
    let gateway = Gateway::with(objects).start().await?;
    let question = typed("question").binary();
    assert_eq!(gateway.publish("in", &question).await?.code(), 202);
    assert_eq!((asked.count(), other.count()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn b6_5_an_event_that_nobody_wants_is_taken_and_dropped() -> TestResult {
    let subscriber = Subscriber::start().await?;
    let picky = trigger("picky", "in", uri(subscriber.url("/"))).spec("filter", of_type("other"));
    let gateway = Gateway::with([broker("in"), broker("nobody"), picky])
        .start()
        .await?;
    for name in ["in", "nobody"] {
        let event = Event::full(Spec::V03).structured();
        assert_eq!(gateway.publish(name, &event).await?.code(), 202, "{name}");
    }
    assert_eq!(subscriber.count(), 0);
    let dropped = gateway
        .metrics()
        .await?
        .sum("towpath_events_dropped_total", &[]);
    assert!(dropped < 0.5, "it is no loss: {dropped}");
    Ok(())
}
