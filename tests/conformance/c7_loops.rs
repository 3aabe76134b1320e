//! C7: the loop guard of brokers, `knativebrokerttl`.

use towpath_harness::bed::REPLY;
use towpath_harness::manifest::{broker, in_memory_channel, reference, subscription, trigger, uri};
use towpath_harness::{Answer, Bed, Event, Gateway, Spec, Subscriber, TestResult};

use crate::selection::typed;

const TTL: &str = "knativebrokerttl";

/// Fails unless the counter stands at `expected`.
async fn counted(gateway: &Gateway, name: &str, expected: u32) -> TestResult {
    let sum = gateway.metrics().await?.sum(name, &[]);
    assert!((sum - f64::from(expected)).abs() < 0.1, "{name} is {sum}");
    Ok(())
}

#[tokio::test]
async fn c7_1_a_spent_count_is_400_at_the_door() -> TestResult {
    let bed = Bed::broker().dead_letter().start().await?;
    for spent in ["1", "0", "-1", "-2147483648"] {
        let event = typed("t").with(TTL, spent);
        assert_eq!(bed.event(&event).await?.code(), 400, "{spent}");
    }
    for spent in [1, 0, -5] {
        let event = typed("t").with(TTL, spent).structured();
        assert_eq!(bed.post(&event).await?.code(), 400, "{spent}");
    }
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (0, 0));
    counted(&bed.gateway, "towpath_events_rejected_total", 7).await
}

/// Absent or not to be read: the full budget.
#[tokio::test]
async fn c7_1_a_count_that_is_no_number_is_set_anew() -> TestResult {
    let bed = Bed::broker().start().await?;
    for value in ["", "x", "1.5", "99999999999999", "2", "255", "2147483647"] {
        let message = if value.is_empty() {
            typed("t").binary()
        } else {
            typed("t").with(TTL, value).binary()
        };
        assert_eq!(bed.post(&message).await?.code(), 202, "{value}");
    }
    assert_eq!(bed.subscriber.count(), 7);
    Ok(())
}

#[tokio::test]
async fn c7_2_subscribers_do_not_see_the_count_and_dead_letters_carry_it() -> TestResult {
    let bed = Bed::broker().dead_letter().start().await?;
    bed.subscriber
        .script([Answer::status(200), Answer::status(400)]);
    for id in ["fine", "fails"] {
        let event = typed("t").with("id", id).with(TTL, "9");
        assert_eq!(bed.event(&event).await?.code(), 202);
    }
    assert!(
        bed.subscriber
            .requests()
            .iter()
            .all(|request| request.header("ce-knativebrokerttl").is_empty())
    );
    let dead = bed.dead_letter.only()?;
    assert_eq!(
        (dead.header("ce-id"), dead.header("ce-knativebrokerttl")),
        ("fails".to_owned(), "8".to_owned())
    );
    Ok(())
}

/// Each pass through the broker costs one, also when the subscriber's reply claims otherwise (C5.11).
#[tokio::test]
async fn c7_2_a_reply_carries_the_count_of_its_cause() -> TestResult {
    for claim in [None, Some("255")] {
        let bed = Bed::broker().dead_letter().start().await?;
        bed.subscriber
            .otherwise(Answer::transform(move |event| match claim {
                None => event,
                Some(claim) => event.with(TTL, claim),
            }));
        let event = typed("round").with(TTL, "5");
        assert_eq!(bed.event(&event).await?.code(), 202);
        assert_eq!(bed.subscriber.count(), 4, "{claim:?}");
        let dead = bed.dead_letter.only()?;
        assert_eq!(dead.header("ce-id"), "min-event");
        assert!(!dead.header("ce-knativeerrordest").is_empty());
        counted(&bed.gateway, "towpath_dead_letters_total", 1).await?;
        counted(&bed.gateway, "towpath_hop_budget_spent_total", 1).await?;
    }
    Ok(())
}

/// From the full budget of 255 a loop of replies ends too, is dead-lettered once, and is counted.
#[tokio::test]
async fn c7_2_a_loop_of_replies_ends_at_the_dead_letter_sink() -> TestResult {
    let mut bed = Bed::broker()
        .dead_letter()
        .delivery("retry", 5)
        .and(broker("other"))
        .start()
        .await?;
    bed.subscriber.otherwise(Answer::transform(|event| event));
    assert_eq!(bed.event(&Event::full(Spec::V10)).await?.code(), 202);
    let passes = bed.subscriber.count();
    assert!((250..=255).contains(&passes), "{passes} passes");
    assert_eq!(bed.dead_letter.count(), 1);
    counted(&bed.gateway, "towpath_dead_letters_total", 1).await?;
    counted(&bed.gateway, "towpath_hop_budget_spent_total", 1).await?;
    bed.gateway.goes_on_at("/demo/other").await
}

#[tokio::test]
async fn c7_2_a_loop_without_dead_letter_sink_is_dropped_and_counted() -> TestResult {
    let bed = Bed::broker().set("limits.hops", "6").start().await?;
    bed.subscriber.otherwise(Answer::transform(|event| event));
    assert_eq!(bed.event(&Event::full(Spec::V10)).await?.code(), 500);
    assert_eq!(bed.subscriber.count(), 6);
    counted(&bed.gateway, "towpath_events_dropped_total", 1).await?;
    counted(&bed.gateway, "towpath_hop_budget_spent_total", 1).await
}

/// The dead letter of a loop arrives also where the sink is a broker or a channel of this gateway.
#[tokio::test]
async fn c7_2_the_dead_letter_of_a_loop_arrives_in_a_broker_and_in_a_channel() -> TestResult {
    let (dead_channel, dead_broker) = (in_memory_channel("dead"), broker("dead"));
    for sink in [&dead_channel, &dead_broker] {
        let last = Subscriber::start().await?;
        let bed = Bed::broker()
            .delivery("deadLetterSink", reference(sink))
            .set("limits.hops", "6")
            .and(dead_channel.clone())
            .and(subscription("d", &dead_channel, uri(last.url("/"))))
            .and(dead_broker.clone())
            .and(trigger("d", "dead", uri(last.url("/"))))
            .start()
            .await?;
        bed.subscriber.otherwise(Answer::transform(|event| event));
        assert_eq!(
            bed.event(&Event::full(Spec::V10)).await?.code(),
            202,
            "{}",
            sink.kind
        );
        assert_eq!(last.count(), 1, "{}", sink.kind);
    }
    Ok(())
}

/// Two brokers that forward to each other: no subscriber of theirs replies, and it ends all the same.
#[tokio::test]
async fn c7_1_brokers_that_forward_to_each_other_end() -> TestResult {
    let (tap, dead_letter) = (Subscriber::start().await?, Subscriber::start().await?);
    let delivery = serde_json::json!({"deadLetterSink": {"uri": dead_letter.url("/")}});
    let there = trigger("there", "a", reference(&broker("b"))).spec("delivery", delivery.clone());
    let back = trigger("back", "b", reference(&broker("a"))).spec("delivery", delivery);
    let tapped = trigger("tap", "a", uri(tap.url("/")));
    let gateway = Gateway::with([broker("a"), broker("b"), there, back, tapped])
        .set("limits.hops", "10")
        .start()
        .await?;
    let response = gateway.publish("a", &typed(REPLY).binary()).await?;
    assert_eq!(response.code(), 202);
    assert!((4..=6).contains(&tap.count()), "{} passes", tap.count());
    assert_eq!(dead_letter.count(), 1);
    Ok(())
}
