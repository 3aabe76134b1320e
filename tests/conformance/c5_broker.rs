//! C5 for brokers: an answer is empty or an event, and a reply that cannot enter the broker fails its delivery.

use towpath_harness::bed::REPLY;
use towpath_harness::{Answer, Bed, Event, Spec, TestResult};

use crate::selection::typed;

/// A bed whose Trigger takes type `ask`, so that it does not get replies.
fn setup() -> towpath_harness::bed::Setup {
    Bed::broker()
        .field("filter.attributes.type", "ask")
        .reply()
        .dead_letter()
}

#[tokio::test]
async fn c5_1_and_c5_2_success_is_2xx_and_redirects_are_not_followed() -> TestResult {
    let bed = setup().delivery("retry", 1).start().await?;
    for code in [200, 201, 202, 204] {
        bed.subscriber.script([Answer::status(code)]);
        assert_eq!(bed.event(&typed("ask")).await?.code(), 202, "{code}");
    }
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (4, 0));
    bed.subscriber
        .script([Answer::status(307).header("location", bed.reply.url("/elsewhere"))]);
    assert_eq!(bed.event(&typed("ask")).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (5, 1));
    assert_eq!(bed.reply.count(), 0);
    Ok(())
}

#[tokio::test]
async fn c5_3_a_reply_enters_the_broker_in_either_mode() -> TestResult {
    let bed = setup().start().await?;
    let reply = Event::full(Spec::V10).with("type", REPLY);
    bed.subscriber.script([
        Answer::reply(&reply),
        Answer::reply_structured(&reply),
        Answer::message(202, reply.binary()),
    ]);
    for _ in 0..3 {
        assert_eq!(bed.event(&typed("ask")).await?.code(), 202);
    }
    let replies = bed.reply.requests();
    assert_eq!(replies.len(), 3);
    for request in replies {
        let arrived = Event::of(&request)?;
        assert_eq!(
            (arrived.texts(), arrived.bytes()),
            (reply.texts(), reply.bytes())
        );
    }
    Ok(())
}

/// Unlike for a channel, a body that is no event is a failure: 502, tried again, then dead-lettered (I5).
#[tokio::test]
async fn c5_5_a_body_that_is_no_event_is_a_failure_with_502() -> TestResult {
    let bed = setup().delivery("retry", 2).start().await?;
    let answers = [
        Answer::body(200, "text/html", "<p>thanks</p>"),
        Answer::body(202, "application/json", "{}"),
    ];
    for (index, answer) in answers.into_iter().enumerate() {
        bed.subscriber
            .script([answer.clone(), answer.clone(), answer]);
        assert_eq!(bed.event(&typed("ask")).await?.code(), 202);
        assert_eq!(bed.subscriber.count(), 3 * (index + 1));
    }
    let dead = bed.dead_letter.requests();
    assert_eq!((dead.len(), bed.reply.count()), (2, 0));
    for request in &dead {
        assert_eq!(request.header("ce-knativeerrorcode"), "502");
        assert_eq!(
            request.header("ce-knativeerrordest"),
            bed.subscriber.url("/")
        );
    }
    // One failure that passes is no harm.
    bed.subscriber.script([
        Answer::body(200, "text/plain", "what?"),
        Answer::status(200),
    ]);
    assert_eq!(bed.event(&typed("ask")).await?.code(), 202);
    assert_eq!(bed.dead_letter.count(), 2);
    Ok(())
}

#[tokio::test]
async fn c5_6_a_malformed_reply_is_a_failure_with_502() -> TestResult {
    let bed = setup().delivery("retry", 1).start().await?;
    let broken = [
        Answer::body(
            200,
            "application/cloudevents+json",
            "{\"specversion\":\"1.0\"",
        ),
        Answer::message(200, typed(REPLY).without("id").binary()),
        Answer::message(200, typed(REPLY).with("time", "yesterday").binary()),
    ];
    for (index, answer) in broken.into_iter().enumerate() {
        bed.subscriber.script([answer.clone(), answer]);
        assert_eq!(bed.event(&typed("ask")).await?.code(), 202);
        assert_eq!(bed.subscriber.count(), 2 * (index + 1), "tried again");
        let dead = bed.dead_letter.requests();
        assert_eq!(dead.len(), index + 1);
        assert!(
            dead.iter()
                .all(|request| request.header("ce-knativeerrorcode") == "502"
                    && request.header("ce-type") == "ask")
        );
    }
    assert_eq!(bed.reply.count(), 0);
    Ok(())
}

/// A broker that is full cannot take the reply: the subscriber is asked again, unlike for a channel (C5.7).
#[tokio::test]
async fn c5_9_a_reply_that_cannot_be_stored_fails_the_delivery() -> TestResult {
    let bed = setup()
        .delivery("retry", 2)
        .set("memory.maxEvents", "1")
        .start()
        .await?;
    bed.subscriber.otherwise(Answer::reply(&typed(REPLY)));
    let response = bed.event(&typed("ask").with("id", "origin")).await?;
    assert_eq!(response.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.reply.count()), (3, 0));
    let dead = bed.dead_letter.only()?;
    assert_eq!(
        (dead.header("ce-id"), dead.header("ce-knativeerrorcode")),
        ("origin".to_owned(), "503".to_owned())
    );
    Ok(())
}

/// The delivery of a reply is the next Trigger's business: its failure does not call the first subscriber again.
#[tokio::test]
async fn c5_9_a_reply_that_is_stored_settles_the_delivery() -> TestResult {
    let bed = setup().delivery("retry", 3).start().await?;
    bed.subscriber.otherwise(Answer::reply(&typed(REPLY)));
    bed.reply.script([Answer::status(503)]);
    let response = bed.event(&typed("ask")).await?;
    assert_eq!((bed.subscriber.count(), bed.reply.count()), (1, 1));
    assert_eq!(bed.dead_letter.count(), 0);
    // No dead letter sink of the second Trigger: the loss is told to the producer of a memory broker (C8.12).
    assert_eq!(response.code(), 500);
    Ok(())
}

#[tokio::test]
async fn c5_10_a_reply_keeps_its_own_version_id_and_attributes() -> TestResult {
    let bed = setup().start().await?;
    let asked = Event::full(Spec::V10).with("type", "ask");
    // The same id and source as the event that it answers: nobody may take it for a duplicate.
    let reply = Event::full(Spec::V03).with("type", REPLY);
    bed.subscriber.script([Answer::reply(&reply)]);
    assert_eq!(bed.event(&asked).await?.code(), 202);
    assert_eq!(Event::of(&bed.reply.only()?)?.texts(), reply.texts());
    Ok(())
}

/// Headers of a reply are those of the subscriber's response, not of the event that it answers (C4.4).
#[tokio::test]
async fn c4_4_headers_of_a_reply_are_the_responses() -> TestResult {
    let bed = setup().start().await?;
    bed.subscriber
        .script([Answer::reply(&typed(REPLY)).header("knative-answer", "yes")]);
    let asked = typed("ask").binary().header("knative-hello", "world");
    assert_eq!(bed.post(&asked).await?.code(), 202);
    assert_eq!(bed.subscriber.only()?.header("knative-hello"), "world");
    let reply = bed.reply.only()?;
    assert_eq!(
        (
            reply.header("knative-answer"),
            reply.header("knative-hello")
        ),
        ("yes".to_owned(), String::new())
    );
    Ok(())
}
