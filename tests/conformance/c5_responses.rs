//! C5: what a response means, and what becomes of a reply.

use towpath_harness::{Answer, Bed, Event, Spec, TestResult};

#[tokio::test]
async fn c5_1_every_2xx_is_success() -> TestResult {
    let bed = Bed::setup()
        .dead_letter()
        .delivery("retry", 1)
        .start()
        .await?;
    let codes = [200, 201, 202, 204, 206, 299];
    bed.subscriber.script(codes.map(Answer::status));
    for code in codes {
        assert_eq!(
            bed.event(&Event::numbered(code)).await?.code(),
            202,
            "{code}"
        );
    }
    assert_eq!(
        (bed.subscriber.count(), bed.dead_letter.count()),
        (codes.len(), 0)
    );
    Ok(())
}

#[tokio::test]
async fn c5_2_redirects_are_not_followed_and_not_retried() -> TestResult {
    let bed = Bed::setup()
        .reply()
        .dead_letter()
        .delivery("retry", 2)
        .start()
        .await?;
    for code in [301, 302, 303, 307, 308] {
        let before = bed.subscriber.count();
        bed.subscriber
            .script([Answer::status(code).header("location", bed.reply.url("/elsewhere"))]);
        assert_eq!(bed.event(&Event::numbered(code)).await?.code(), 202);
        assert_eq!(bed.subscriber.count() - before, 1, "{code}");
        let dead = bed
            .dead_letter
            .requests()
            .pop()
            .ok_or_else(|| anyhow::anyhow!("no dead letter"))?;
        assert_eq!(dead.header("ce-knativeerrorcode"), code.to_string());
    }
    assert_eq!((bed.reply.count(), bed.dead_letter.count()), (0, 5));
    Ok(())
}

#[tokio::test]
async fn c5_3_an_event_in_the_response_is_the_reply() -> TestResult {
    let bed = Bed::setup().reply().start().await?;
    let reply = Event::full(Spec::V10).with("type", "reply");
    bed.subscriber
        .script([Answer::reply(&reply), Answer::reply_structured(&reply)]);
    for _ in 0..2 {
        assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    }
    let replies = bed.reply.requests();
    assert_eq!(replies.len(), 2);
    for request in replies {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/reply")
        );
        let arrived = Event::of(&request)?;
        assert_eq!(
            (arrived.texts(), arrived.bytes()),
            (reply.texts(), reply.bytes())
        );
    }
    Ok(())
}

#[tokio::test]
async fn c5_3_a_reply_that_nobody_wants_is_dropped() -> TestResult {
    let bed = Bed::setup().dead_letter().start().await?;
    bed.subscriber
        .script([Answer::reply(&Event::full(Spec::V10))]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!(
        (
            bed.subscriber.count(),
            bed.reply.count(),
            bed.dead_letter.count()
        ),
        (1, 0, 0)
    );
    Ok(())
}

#[tokio::test]
async fn c5_4_the_reply_of_a_202_counts_unless_switched_off() -> TestResult {
    for (setting, replies) in [("true", 1), ("false", 0)] {
        let bed = Bed::setup()
            .reply()
            .set("delivery.replyOn202", setting)
            .start()
            .await?;
        bed.subscriber
            .script([Answer::message(202, Event::full(Spec::V10).binary())]);
        assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
        assert_eq!(bed.reply.count(), replies, "delivery.replyOn202={setting}");
    }
    Ok(())
}

#[tokio::test]
async fn c5_5_a_body_that_is_no_event_is_ignored() -> TestResult {
    let bed = Bed::setup()
        .reply()
        .dead_letter()
        .delivery("retry", 1)
        .start()
        .await?;
    bed.subscriber.script([
        Answer::body(200, "text/html", "<p>thanks</p>"),
        Answer::body(200, "application/json", "{}"),
    ]);
    for id in 0..2 {
        assert_eq!(bed.event(&Event::numbered(id)).await?.code(), 202);
    }
    assert_eq!(
        (
            bed.subscriber.count(),
            bed.reply.count(),
            bed.dead_letter.count()
        ),
        (2, 0, 0)
    );
    Ok(())
}

#[tokio::test]
async fn c5_6_a_malformed_reply_takes_the_path_of_a_failed_reply() -> TestResult {
    let bed = Bed::setup()
        .reply()
        .dead_letter()
        .delivery("retry", 2)
        .start()
        .await?;
    bed.subscriber.script([Answer::body(
        200,
        "application/cloudevents+json",
        "{\"specversion\":\"1.0\"",
    )]);
    assert_eq!(bed.event(&Event::numbered("origin")).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.reply.count()), (1, 0));
    let dead = bed.dead_letter.only()?;
    assert_eq!(dead.header("ce-id"), "origin");
    assert_eq!(dead.header("ce-knativeerrordest"), bed.reply.url("/reply"));
    Ok(())
}

#[tokio::test]
async fn c5_7_only_the_reply_is_sent_again() -> TestResult {
    let bed = Bed::setup()
        .reply()
        .dead_letter()
        .delivery("retry", 1)
        .start()
        .await?;
    bed.subscriber
        .script([Answer::status(503), Answer::reply(&Event::full(Spec::V10))]);
    bed.reply.script([Answer::status(503)]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!(
        (
            bed.subscriber.count(),
            bed.reply.count(),
            bed.dead_letter.count()
        ),
        (2, 2, 0)
    );
    Ok(())
}

#[tokio::test]
async fn c5_8_after_a_failed_reply_the_dead_letter_is_the_original_event() -> TestResult {
    let bed = Bed::setup()
        .reply()
        .dead_letter()
        .delivery("retry", 1)
        .start()
        .await?;
    bed.subscriber
        .script([Answer::reply(&Event::min(Spec::V10).with("id", "reply"))]);
    bed.reply
        .otherwise(Answer::body(500, "text/plain", "no room"));
    let original = Event::full(Spec::V10).with("id", "original");
    assert_eq!(bed.event(&original).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.reply.count()), (1, 2));
    let dead = bed.dead_letter.only()?;
    assert_eq!(dead.header("ce-knativeerrordest"), bed.reply.url("/reply"));
    assert_eq!(dead.header("ce-knativeerrorcode"), "500");
    let arrived = Event::of(&dead)?;
    assert_eq!(
        (arrived.text("id"), arrived.bytes()),
        ("original".to_owned(), original.bytes())
    );
    Ok(())
}

#[tokio::test]
async fn c5_10_a_reply_keeps_its_own_version_id_and_attributes() -> TestResult {
    let bed = Bed::setup().reply().start().await?;
    // The same id and source as the event that it answers: nobody may take it for a duplicate.
    let reply = Event::full(Spec::V03);
    bed.subscriber.script([Answer::reply(&reply)]);
    assert_eq!(bed.event(&Event::full(Spec::V10)).await?.code(), 202);
    assert_eq!(Event::of(&bed.reply.only()?)?.texts(), reply.texts());
    Ok(())
}
