//! Brokers and Triggers that cannot be, hostile counts of the loop guard, and loops that try to outwit it.

use serde_json::{Value, json};
use towpath_harness::manifest::{Object, broker, file, parallel, reference, trigger, uri};
use towpath_harness::{Answer, Bed, Event, Gateway, Spec, Subscriber, TestResult};

use crate::manifests::refused;

const FILE: &str = "bad.yaml";

fn to_somebody(name: &str, broker: &str) -> Object {
    trigger(name, broker, uri("http://127.0.0.1:1/"))
}

#[tokio::test]
async fn a_trigger_of_a_broker_that_is_not_there_is_refused() -> TestResult {
    let mut bed = Bed::broker().and(broker("orders")).start().await?;
    let lost = to_somebody("lost", "order").to_string();
    let parts = [FILE, "demo/lost", "spec.broker", "demo/order", "`orders`"];
    refused(&mut bed, FILE, &lost, &parts).await?;
    let elsewhere = to_somebody("lost", "in").in_namespace("elsewhere");
    let parts = [FILE, "elsewhere/lost", "spec.broker", "elsewhere/in"];
    refused(&mut bed, FILE, &elsewhere.to_string(), &parts).await
}

/// A Broker that goes while its Triggers stay is a change that is refused as well.
#[tokio::test]
async fn a_broker_does_not_go_before_its_triggers() -> TestResult {
    let subscriber = Subscriber::start().await?;
    let to = trigger("t", "in", uri(subscriber.url("/")));
    let mut gateway = Gateway::with([broker("in"), to.clone()]).start().await?;
    gateway.write(towpath_harness::gateway::FILE, &file([to]))?;
    let problems =
        towpath_harness::poll::until("the refusal", towpath_harness::poll::SOON, async || {
            let problems = gateway.problems().await?;
            Ok((!problems.is_empty()).then_some(problems))
        })
        .await?;
    assert!(problems.contains("demo/t"), "{problems}");
    gateway.goes_on_at("/demo/in").await?;
    assert_eq!(subscriber.count(), 1);
    Ok(())
}

#[tokio::test]
async fn triggers_that_say_too_much_or_too_little_are_refused() -> TestResult {
    let mut bed = Bed::broker().start().await?;
    let by_reference =
        json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "in"});
    let with = |field: &str, value: Value| to_somebody("bad", "in").spec(field, value);
    let only = |spec: Value| to_somebody("bad", "in").field("spec", spec);
    let cases = [
        (
            with("brokerRef", by_reference.clone()),
            &["spec.brokerRef"][..],
        ),
        (only(json!({"subscriber": uri("http://x/")})), &["broker"]),
        (only(json!({"broker": "in"})), &["spec.subscriber"]),
        (
            only(json!({"broker": "in", "subscriber": {}})),
            &["spec.subscriber"],
        ),
        (
            with("subscriber", reference(&broker("nowhere"))),
            &["spec.subscriber", "nowhere"],
        ),
        (
            with("delivery", json!({"retry": -1})),
            &["spec.delivery.retry"],
        ),
        (
            with("delivery", json!({"format": "xml"})),
            &["spec.delivery.format", "json"],
        ),
        (
            with(
                "delivery",
                json!({"deadLetterSink": reference(&broker("nowhere"))}),
            ),
            &["spec.delivery.deadLetterSink", "nowhere"],
        ),
        (with("filtres", json!([])), &["filtres", "filters"]),
        (
            to_somebody("bad", "in").annotation("knative.dev/dependency", "{not json"),
            &["knative.dev/dependency"],
        ),
        (
            broker("bad").spec("delivery.backoffPolicy", "quadratic"),
            &["spec.delivery.backoffPolicy"],
        ),
        (parallel("bad", []), &["spec.branches"]),
        (
            parallel("bad", [json!({"filter": uri("http://x/")})]),
            &["spec.branches[0]"],
        ),
    ];
    for (object, parts) in cases {
        let parts = [&[FILE, "demo/bad"], parts].concat();
        refused(&mut bed, FILE, &object.to_string(), &parts).await?;
    }
    let twice = file([broker("in")]);
    refused(&mut bed, FILE, &twice, &[FILE, "demo/in"]).await
}

/// C7.1 at its edges; whatever the header says, the process goes on.
#[tokio::test]
async fn hostile_counts_are_set_anew_or_refused() -> TestResult {
    let mut bed = Bed::broker().start().await?;
    let cases = [
        ("1", 400),
        ("0", 400),
        ("-0", 400),
        ("-1", 400),
        ("-2147483648", 400),
        ("-99999999999999999999", 202),
        ("2147483648", 202),
        ("1e9", 202),
        ("0x10", 202),
        ("255; drop", 202),
        ("\u{661}\u{662}", 202),
        ("NaN", 202),
    ];
    for (count, code) in cases {
        let message = Event::min(Spec::V10)
            .binary()
            .header("ce-knativebrokerttl", count);
        let before = bed.subscriber.count();
        assert_eq!(bed.post(&message).await?.code(), code, "{count:?}");
        let delivered = usize::from(code == 202);
        assert_eq!(bed.subscriber.count() - before, delivered, "{count:?}");
    }
    // Two counts: the first wins, as for any attribute (C3.11).
    let two = Event::min(Spec::V10)
        .binary()
        .header("ce-knativebrokerttl", "1")
        .header("ce-knativebrokerttl", "200");
    assert_eq!(bed.post(&two).await?.code(), 400);
    bed.gateway.goes_on_at(&bed.path).await
}

/// The largest number does not buy more passes than the hop budget allows.
#[tokio::test]
async fn a_huge_count_does_not_outlive_the_hop_budget() -> TestResult {
    let mut bed = Bed::broker()
        .dead_letter()
        .and(broker("other"))
        .start()
        .await?;
    bed.subscriber.otherwise(Answer::transform(|event| event));
    let event = Event::min(Spec::V10).with("knativebrokerttl", "2147483647");
    assert_eq!(bed.event(&event).await?.code(), 202);
    assert!(bed.subscriber.count() <= 255, "{}", bed.subscriber.count());
    assert_eq!(bed.dead_letter.count(), 1);
    bed.gateway.goes_on_at("/demo/other").await
}

/// Subscribers that claim a fresh count with each reply, in a ring of two brokers.
#[tokio::test]
async fn a_ring_of_brokers_with_forged_counts_ends() -> TestResult {
    let (echo, dead_letter) = (Subscriber::start().await?, Subscriber::start().await?);
    echo.otherwise(Answer::transform(|event| {
        event.with("knativebrokerttl", 255)
    }));
    let sink = json!({"deadLetterSink": uri(dead_letter.url("/"))});
    let objects = ["a", "b"].iter().flat_map(|name| {
        let next = if *name == "a" { "b" } else { "a" };
        // Only one of the two Triggers of a broker passes an event on, so that it is a ring and no tree.
        [
            broker(name).spec("delivery", sink.clone()),
            trigger(&format!("echo-{name}"), name, uri(echo.url("/")))
                .spec("filter.attributes.type", name.to_string()),
            trigger(&format!("on-{name}"), name, reference(&broker(next)))
                .spec("filter.attributes.type", "on"),
        ]
    });
    let mut gateway = Gateway::with(objects.chain([broker("other")]))
        .set("limits.hops", "20")
        .start()
        .await?;
    for kind in ["a", "on"] {
        let event = Event::min(Spec::V10).with("type", kind).binary();
        assert_eq!(gateway.publish("a", &event).await?.code(), 202, "{kind}");
    }
    assert!(echo.count() <= 20, "{}", echo.count());
    assert_eq!(dead_letter.count(), 2);
    gateway.goes_on_at("/demo/other").await
}

/// Two Triggers that both answer what both want: replies double with each pass, within bounds.
#[tokio::test]
async fn replies_that_multiply_end_within_the_budget() -> TestResult {
    let echo = Subscriber::start().await?;
    echo.forget_requests();
    echo.otherwise(Answer::transform(|event| event));
    let twice = ["left", "right"].map(|name| trigger(name, "in", uri(echo.url("/"))));
    let mut gateway = Gateway::with(twice.into_iter().chain([broker("in"), broker("other")]))
        .set("limits.hops", "6")
        .start()
        .await?;
    let event = Event::min(Spec::V10).binary();
    assert_eq!(gateway.publish("in", &event).await?.code(), 500);
    // 2 + 4 + ... + 64 calls.
    assert_eq!(echo.count(), 126);
    gateway.goes_on_at("/demo/other").await
}

/// Subscribers of a Trigger that answer garbage: 502, the others are not disturbed (C5.5, C5.6).
#[tokio::test]
async fn garbage_as_an_answer_is_a_failure_of_that_trigger_only() -> TestResult {
    let garbage = Subscriber::start().await?;
    let mut bed = Bed::broker()
        .and(trigger("garbage", "in", uri(garbage.url("/"))).spec("filter.attributes.type", "bad"))
        .start()
        .await?;
    let answers = [
        Answer::truncated(),
        Answer::reset_mid_response(),
        Answer::reset(),
        Answer::body(200, "application/cloudevents+json", "[]"),
        Answer::body(200, "application/cloudevents+json", "\u{0}"),
        Answer::body(200, "application/cloudevents-batch+json", "[]"),
        Answer::body(200, "text/plain", "x".repeat(1 << 20)),
    ];
    for (index, answer) in answers.into_iter().enumerate() {
        garbage.script([answer]);
        let event = Event::numbered(index).with("type", "bad");
        assert_eq!(bed.event(&event).await?.code(), 500, "{index}");
        assert_eq!(garbage.count(), index + 1);
        assert_eq!(bed.subscriber.count(), index + 1, "{index}");
    }
    bed.gateway.goes_on_at(&bed.path).await
}
