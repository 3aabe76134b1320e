//! Cycles: legal in manifests, stopped by the hop budget, counted, dead-lettered.

use serde_json::json;
use towpath_harness::manifest::{in_memory_channel, reference, subscription, uri};
use towpath_harness::{Answer, Event, Gateway, Spec, Subscriber, TestResult};

async fn echo() -> anyhow::Result<Subscriber> {
    let subscriber = Subscriber::start().await?;
    subscriber.otherwise(Answer::transform(|event| event));
    Ok(subscriber)
}

/// Fails unless the counter stands at one.
async fn counted_once(gateway: &Gateway, name: &str) -> TestResult {
    let metrics = gateway.metrics().await?;
    let counted = metrics.sum(name, &[]);
    assert!(
        (counted - 1.0).abs() < 0.1,
        "{name}: {:?}",
        metrics.all(name, &[]).collect::<Vec<_>>()
    );
    Ok(())
}

#[tokio::test]
async fn a_cycle_of_replies_ends_at_the_dead_letter_sink() -> TestResult {
    let (echo, dead_letter) = (echo().await?, Subscriber::start().await?);
    let (a, b) = (in_memory_channel("a"), in_memory_channel("b"));
    let delivery = json!({"retry": 3, "deadLetterSink": {"uri": dead_letter.url("/")}});
    let there = subscription("there", &a, uri(echo.url("/there")))
        .spec("reply", reference(&b))
        .spec("delivery", delivery.clone());
    let back = subscription("back", &b, uri(echo.url("/back")))
        .spec("reply", reference(&a))
        .spec("delivery", delivery);
    let mut gateway = Gateway::with([a, b, there, back, in_memory_channel("other")])
        .start()
        .await?;
    let event = Event::full(Spec::V10);
    assert_eq!(gateway.post("a", &event.binary()).await?.code(), 202);
    let hops = echo.count();
    assert!(
        (200..=256).contains(&hops),
        "{hops} hops with a budget of 255"
    );
    let dead = dead_letter.only()?;
    assert_eq!(dead.header("ce-id"), "full-event");
    assert!(
        dead.headers.contains_key("ce-knativeerrordest")
            && dead.headers.contains_key("ce-knativeerrordata")
    );
    counted_once(&gateway, "towpath_dead_letters_total").await?;
    counted_once(&gateway, "towpath_hop_budget_spent_total").await?;
    gateway.goes_on("other").await
}

#[tokio::test]
async fn the_budget_is_a_setting() -> TestResult {
    let (echo, dead_letter) = (echo().await?, Subscriber::start().await?);
    let a = in_memory_channel("a");
    let around = subscription("around", &a, uri(echo.url("/"))).spec("reply", reference(&a));
    let around = around.spec("delivery.deadLetterSink", uri(dead_letter.url("/")));
    let gateway = Gateway::with([a, around])
        .set("limits.hops", "5")
        .start()
        .await?;
    assert_eq!(
        gateway
            .post("a", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        202
    );
    assert!((4..=6).contains(&echo.count()), "{} hops", echo.count());
    assert_eq!(dead_letter.count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_cycle_without_dead_letter_sink_is_dropped_and_counted() -> TestResult {
    let echo = echo().await?;
    let a = in_memory_channel("a");
    let around = subscription("around", &a, uri(echo.url("/"))).spec("reply", reference(&a));
    let mut gateway = Gateway::with([a, around, in_memory_channel("other")])
        .set("limits.hops", "5")
        .start()
        .await?;
    assert_eq!(
        gateway
            .post("a", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        500
    );
    assert!(
        (4..=6).contains(&echo.count()),
        "a failure further in runs nothing in between again: {} hops",
        echo.count()
    );
    counted_once(&gateway, "towpath_events_dropped_total").await?;
    gateway.goes_on("other").await
}

/// Channels that are each other's subscribers, with a tap to see that it ends.
#[tokio::test]
async fn a_cycle_of_subscribers_ends() -> TestResult {
    let (tap, dead_letter) = (Subscriber::start().await?, Subscriber::start().await?);
    let (a, b) = (in_memory_channel("a"), in_memory_channel("b"));
    let sink = uri(dead_letter.url("/"));
    let there =
        subscription("there", &a, reference(&b)).spec("delivery.deadLetterSink", sink.clone());
    let back = subscription("back", &b, reference(&a)).spec("delivery.deadLetterSink", sink);
    let tapped = subscription("tapped", &a, uri(tap.url("/")));
    let mut gateway = Gateway::with([a, b, there, back, tapped, in_memory_channel("other")])
        .set("limits.hops", "20")
        .start()
        .await?;
    assert_eq!(
        gateway
            .post("a", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        202
    );
    assert!(
        (8..=12).contains(&tap.count()),
        "{} rounds with a budget of 20 hops",
        tap.count()
    );
    assert_eq!(dead_letter.count(), 1);
    gateway.goes_on("other").await
}

/// A cycle that multiplies: two replies for each event. Bounded all the same.
#[tokio::test]
async fn a_cycle_that_doubles_ends() -> TestResult {
    let echo = echo().await?;
    let a = in_memory_channel("a");
    let both = ["left", "right"]
        .map(|name| subscription(name, &a, uri(echo.url("/"))).spec("reply", reference(&a)));
    let mut gateway = Gateway::with([a, in_memory_channel("other")].into_iter().chain(both))
        .set("limits.hops", "8")
        .start()
        .await?;
    assert_eq!(
        gateway
            .post("a", &Event::full(Spec::V10).binary())
            .await?
            .code(),
        500
    );
    assert!(echo.count() <= 1_024, "{} deliveries", echo.count());
    gateway.goes_on("other").await
}

/// An event that comes with a part of its budget spent has only the rest; the header is ours and reaches no subscriber.
#[tokio::test]
async fn a_budget_that_came_with_the_event_is_what_is_left() -> TestResult {
    let (echo, dead_letter) = (echo().await?, Subscriber::start().await?);
    let a = in_memory_channel("a");
    let around = subscription("around", &a, uri(echo.url("/"))).spec("reply", reference(&a));
    let around = around.spec("delivery.deadLetterSink", uri(dead_letter.url("/")));
    let mut gateway = Gateway::with([a, around, in_memory_channel("other")])
        .start()
        .await?;
    let event = Event::full(Spec::V10).binary();
    assert_eq!(
        gateway
            .post("a", &event.clone().header("knative-towpath-hops", "5"))
            .await?
            .code(),
        202
    );
    assert!((3..=6).contains(&echo.count()), "{} hops", echo.count());
    assert_eq!(dead_letter.count(), 1);
    assert!(
        echo.requests()
            .iter()
            .all(|request| !request.headers.contains_key("knative-towpath-hops"))
    );
    // Nobody raises the budget from outside, and nonsense does no harm.
    for value in ["0", "-1", "lots", "65536", ""] {
        let before = echo.count();
        let response = gateway
            .post("a", &event.clone().header("knative-towpath-hops", value))
            .await?;
        assert!(
            matches!(response.code(), 202 | 400),
            "{value:?}: {}",
            response.status
        );
        assert!(echo.count() - before <= 256, "{value:?}");
    }
    gateway.goes_on("other").await
}
