//! A3.3: the annotation async-handler, on, off, and toggled on a live channel (TestChannelAsyncHandler, E2).

use towpath_harness::gateway::FILE;
use towpath_harness::manifest::{file, in_memory_channel, subscription, uri};
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Answer, Bed, Event, Gate, Gateway, Spec, Subscriber, TestResult};

const ASYNC: &str = "messaging.knative.dev/async-handler";

#[tokio::test]
async fn on_answers_before_the_subscriber_does() -> TestResult {
    let bed = Bed::setup().annotation(ASYNC, "true").start().await?;
    let gate = Gate::closed();
    bed.subscriber.otherwise(Answer::status(202).behind(&gate));
    for id in 0..3 {
        assert_eq!(bed.event(&Event::numbered(id)).await?.code(), 202);
    }
    gate.open();
    bed.subscriber.await_count(3, SOON).await?;
    // What fails later is the subscription's business, not the producer's.
    bed.subscriber.otherwise(Answer::status(400));
    assert_eq!(bed.event(&Event::numbered(3)).await?.code(), 202);
    Ok(())
}

#[tokio::test]
async fn off_answers_after_the_subscriber_did() -> TestResult {
    let bed = Bed::setup().annotation(ASYNC, "false").start().await?;
    bed.subscriber.otherwise(Answer::status(400));
    assert_eq!(bed.event(&Event::numbered(1)).await?.code(), 500);
    Ok(())
}

#[tokio::test]
async fn toggled_by_an_edit() -> TestResult {
    let subscriber = Subscriber::start().await?;
    subscriber.otherwise(Answer::status(400));
    let objects = |value: &str| {
        let channel = in_memory_channel("in").annotation(ASYNC, value);
        let to = subscription("s", &channel, uri(subscriber.url("/")));
        [channel, to]
    };
    let gateway = Gateway::with(objects("false")).start().await?;
    let event = Event::full(Spec::V10).binary();
    for (value, status) in [("false", 500), ("true", 202), ("false", 500)] {
        gateway.write(FILE, &file(objects(value)))?;
        until("the toggle", SOON, async || {
            Ok((gateway.post("in", &event).await?.code() == status).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// A full backlog pushes back by default; the channel goes on when there is room.
#[tokio::test]
async fn a_full_backlog_is_503_with_retry_after() -> TestResult {
    let bed = Bed::setup()
        .annotation(ASYNC, "true")
        .set("memory.backlog", "2")
        .start()
        .await?;
    let gate = Gate::closed();
    bed.subscriber.otherwise(Answer::status(202).behind(&gate));
    let mut accepted = 0;
    let refused = loop {
        let response = bed.event(&Event::numbered(accepted)).await?;
        if response.code() != 202 {
            break response;
        }
        accepted += 1;
        assert!(accepted < 5_000, "the backlog has no bound");
    };
    assert_eq!(refused.code(), 503);
    assert!(refused.headers.contains_key("retry-after"));
    gate.open();
    bed.subscriber.await_count(accepted, SOON).await?;
    until("room in the backlog", SOON, async || {
        Ok((bed.event(&Event::numbered("after")).await?.code() == 202).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_full_backlog_can_go_to_the_dead_letter_sink() -> TestResult {
    let setup = Bed::setup()
        .annotation(ASYNC, "true")
        .annotation("towpath.dev/on-full", "DeadLetter");
    let bed = setup
        .set("memory.backlog", "2")
        .dead_letter()
        .start()
        .await?;
    let gate = Gate::closed();
    bed.subscriber.otherwise(Answer::status(202).behind(&gate));
    let mut sent = 0;
    while bed.dead_letter.count() == 0 {
        assert_eq!(bed.event(&Event::numbered(sent)).await?.code(), 202);
        sent += 1;
        assert!(sent < 5_000, "the backlog has no bound");
    }
    gate.open();
    until("every event at one of the two", SOON, async || {
        Ok((bed.subscriber.count() + bed.dead_letter.count() == sent).then_some(()))
    })
    .await
}
