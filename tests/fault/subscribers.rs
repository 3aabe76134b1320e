//! Subscribers that misbehave: the attempt fails, the delivery spec decides, the process goes on.

use std::time::Duration;

use towpath_harness::answer::Ending;
use towpath_harness::manifest::{in_memory_channel, subscription, uri};
use towpath_harness::poll::SOON;
use towpath_harness::{
    Answer, Bed, Event, Gate, Gateway, Message, Sender, Spec, Subscriber, TestResult,
};

fn raw(bytes: impl Into<bytes::Bytes>) -> Answer {
    Answer::Raw(bytes.into(), Ending::Close)
}

/// Everything that is no response: the attempt has failed and is made again.
#[tokio::test]
async fn what_is_no_response_is_a_failed_attempt() -> TestResult {
    let mut bed = Bed::setup()
        .dead_letter()
        .reply()
        .delivery("retry", 2)
        .delivery("timeout", "PT2S")
        .start()
        .await?;
    let huge = format!("HTTP/1.1 200 OK\r\nx-huge: {}\r\n\r\n", "x".repeat(4 << 20));
    let many: String = (0..50_000)
        .map(|index| format!("x-{index}: x\r\n"))
        .collect();
    let broken = [
        ("reset", Answer::reset()),
        (
            "reset in the middle of a reply",
            Answer::reset_mid_response(),
        ),
        ("close in the middle of a reply", Answer::truncated()),
        ("close without a byte", raw("")),
        ("garbage", raw("\x00\x01\x02 no http at all\r\n\r\n")),
        ("half a head", raw("HTTP/1.1 200 OK\r\nx-half: ")),
        ("a head without end", raw(huge)),
        (
            "headers without end",
            raw(format!("HTTP/1.1 200 OK\r\n{many}\r\n")),
        ),
        ("a status that is none", raw("HTTP/1.1 999999 Odd\r\n\r\n")),
        (
            "a chunk that is none",
            raw(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /\r\nce-type: t\r\n\r\nzz\r\n",
            ),
        ),
    ];
    for (what, answer) in broken {
        let before = bed.subscriber.count();
        bed.subscriber.script([answer, Answer::status(202)]);
        assert_eq!(
            bed.event(&Event::full(Spec::V10).with("id", what))
                .await?
                .code(),
            202,
            "{what}"
        );
        assert_eq!(bed.subscriber.count() - before, 2, "{what}");
    }
    assert_eq!((bed.dead_letter.count(), bed.reply.count()), (0, 0));
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn a_subscriber_that_hangs_is_given_up_and_its_connection_closed() -> TestResult {
    let mut bed = Bed::setup()
        .dead_letter()
        .delivery("timeout", "PT0.3S")
        .start()
        .await?;
    bed.subscriber.script([Answer::Hang]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!(bed.dead_letter.count(), 1);
    bed.gateway.goes_on("in").await?;
    let connections: Vec<u64> = bed
        .subscriber
        .requests()
        .iter()
        .map(|request| request.connection)
        .collect();
    assert_eq!(
        connections,
        [1, 2],
        "a connection that was given up is not used again"
    );
    Ok(())
}

/// The time-out holds to the end of the body, and a body without end is bounded.
#[tokio::test]
async fn a_reply_that_never_ends_is_a_failed_attempt() -> TestResult {
    let setup = Bed::setup()
        .dead_letter()
        .reply()
        .set("limits.maxEventBytes", "64Ki");
    let mut bed = setup.delivery("timeout", "PT5S").start().await?;
    let long = Answer::reply(&Event::numbered("long").data("text/plain", vec![b'x'; 1 << 20]));
    bed.subscriber.script([long]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!(
        (bed.subscriber.count(), bed.reply.count()),
        (1, 0),
        "a reply over the limit is not retried"
    );
    assert_eq!(bed.dead_letter.count(), 1);
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn an_answer_without_end_that_is_no_reply_is_bounded() -> TestResult {
    let mut bed = Bed::setup()
        .dead_letter()
        .set("limits.maxEventBytes", "64Ki")
        .start()
        .await?;
    bed.subscriber.script([
        Answer::body(200, "text/plain", vec![b'x'; 8 << 20]),
        Answer::body(400, "text/plain", vec![b'x'; 8 << 20]),
    ]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!(
        bed.dead_letter.count(),
        0,
        "a body that is no event is ignored, however long"
    );
    assert_eq!(bed.event(&Event::numbered(2)).await?.code(), 202);
    assert_eq!(
        bed.dead_letter.only()?.header("ce-knativeerrordata").len(),
        1024
    );
    bed.gateway.goes_on("in").await
}

/// Nobody listens any more: each attempt fails at once.
#[tokio::test]
async fn a_subscriber_that_is_gone_has_its_events_dead_lettered() -> TestResult {
    let (subscriber, dead_letter) = (Subscriber::start().await?, Subscriber::start().await?);
    let channel = in_memory_channel("in");
    let to = subscription("s", &channel, uri(subscriber.url("/")))
        .spec("delivery.deadLetterSink", uri(dead_letter.url("/")));
    let mut gateway = Gateway::with([channel, to.spec("delivery.retry", 2)])
        .start()
        .await?;
    gateway.goes_on("in").await?;
    subscriber.stop().await;
    assert_eq!(
        gateway
            .post("in", &Event::numbered(1).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(dead_letter.count(), 1);
    gateway.goes_on("in").await?;
    assert_eq!(dead_letter.count(), 2);
    Ok(())
}

/// Kept connections that the subscriber has closed meanwhile cost no attempt.
#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_no_attempt() -> TestResult {
    let bed = Bed::setup().dead_letter().start().await?;
    bed.subscriber
        .otherwise(Answer::status(202).header("connection", "close"));
    for id in 0..20 {
        assert_eq!(bed.event(&Event::numbered(id)).await?.code(), 202);
    }
    // Closed without notice: after the answer there is a second request on a connection that is already gone.
    bed.subscriber.otherwise(Answer::Raw(
        b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"[..].into(),
        Ending::Close,
    ));
    for id in 20..40 {
        assert_eq!(bed.event(&Event::numbered(id)).await?.code(), 202, "{id}");
    }
    assert_eq!(
        (bed.subscriber.count(), bed.dead_letter.count()),
        (40, 0),
        "no retry is configured and none was needed"
    );
    Ok(())
}

#[tokio::test]
async fn a_subscriber_that_closes_every_connection_costs_its_retries() -> TestResult {
    let mut bed = Bed::setup()
        .dead_letter()
        .delivery("retry", 2)
        .start()
        .await?;
    bed.subscriber.close_next_connections(2);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (1, 0));
    bed.gateway.goes_on("in").await
}

/// A producer that leaves cancels nothing.
#[tokio::test]
async fn a_producer_that_leaves_cancels_nothing() -> TestResult {
    let bed = Bed::setup().delivery("retry", 1).start().await?;
    let gate = Gate::closed();
    bed.subscriber.script([Answer::status(503).behind(&gate)]);
    let address = bed.gateway.listening;
    let leaving = tokio::spawn(async move {
        Sender::new(address)
            .post("/channels/demo/in", &Event::numbered(1).binary())
            .await
    });
    bed.subscriber.await_count(1, SOON).await?;
    leaving.abort();
    assert!(leaving.await.is_err());
    // The gateway has had every chance to notice when another producer has been served.
    let ready = bed.gateway.admin("/readyz").await?;
    assert_eq!(ready.code(), 200);
    gate.open();
    bed.subscriber.await_count(2, SOON).await?;
    Ok(())
}

/// A producer does not wait for ever: it is told, and the delivery goes on.
#[tokio::test]
async fn a_producer_waits_no_longer_than_the_settle_timeout() -> TestResult {
    let mut bed = Bed::setup()
        .delivery("retry", 1)
        .set("memory.settleTimeout", "PT0.5S")
        .start()
        .await?;
    let gate = Gate::closed();
    bed.subscriber.script([Answer::status(503).behind(&gate)]);
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 504);
    gate.open();
    bed.subscriber.await_count(2, SOON).await?;
    bed.gateway.goes_on("in").await
}

/// Forty events to a subscriber that hangs must not hold up another channel.
#[tokio::test]
async fn a_hanging_subscriber_holds_up_nobody_else() -> TestResult {
    let (hanging, good) = (Subscriber::start().await?, Subscriber::start().await?);
    hanging.otherwise(Answer::Hang);
    let (bad, fine) = (in_memory_channel("bad"), in_memory_channel("fine"));
    let to_hanging = subscription("hanging", &bad, uri(hanging.url("/")));
    let to_good = subscription("good", &fine, uri(good.url("/")));
    let mut gateway = Gateway::with([bad, fine, to_hanging, to_good])
        .start()
        .await?;
    let address = gateway.listening;
    let held: Vec<_> = (0..40)
        .map(|id| {
            tokio::spawn(async move {
                Sender::new(address)
                    .post("/channels/demo/bad", &Event::numbered(id).binary())
                    .await
            })
        })
        .collect();
    hanging.await_count(40, SOON).await?;
    for _ in 0..20 {
        gateway.goes_on("fine").await?;
    }
    assert_eq!(good.count(), 20);
    held.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// 100 Continue and other interim answers are no answers.
#[tokio::test]
async fn interim_responses_are_passed_over() -> TestResult {
    let bed = Bed::setup()
        .dead_letter()
        .delivery("timeout", "PT3S")
        .start()
        .await?;
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
    bed.subscriber.script([raw(interim)]);
    let response =
        tokio::time::timeout(Duration::from_secs(10), bed.post(&Message::default())).await??;
    assert_eq!(response.code(), 400, "not an event, to begin with");
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 202);
    assert_eq!((bed.subscriber.count(), bed.dead_letter.count()), (1, 0));
    Ok(())
}
