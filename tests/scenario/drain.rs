//! SIGTERM under load: what was acknowledged has been delivered, and the exit code is 0. (Readiness: conformance C2.18.)

use std::collections::BTreeSet;

use towpath_harness::poll::{SOON, until};
use towpath_harness::{Answer, Bed, Event, Gate, Sender, TestResult};

use crate::load::Load;

#[tokio::test]
async fn sigterm_under_load_loses_nothing_that_was_acknowledged() -> TestResult {
    let mut bed = Bed::start().await?;
    let load = Load::start(bed.gateway.listening, "in", 16, u64::MAX);
    until(
        "load",
        SOON,
        async || Ok((load.begun() > 200).then_some(())),
    )
    .await?;
    bed.gateway.terminate()?;
    let (status, _) = bed.gateway.ended(SOON).await?;
    assert_eq!(status.code(), Some(0), "{status}");
    let sent = load.stop().await?;
    let came: BTreeSet<u64> = bed
        .subscriber
        .requests()
        .iter()
        .filter_map(|request| request.header("ce-id").parse().ok())
        .collect();
    let lost: Vec<_> = sent
        .acknowledged
        .iter()
        .filter(|id| !came.contains(id))
        .collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    assert!(
        sent.refused.iter().all(|(_, status)| *status == 503),
        "{:?}",
        sent.refused
    );
    Ok(())
}

/// What does not finish in the grace time is given up: the producer is told, by an error or an end.
#[tokio::test]
async fn grace_is_bounded() -> TestResult {
    let mut bed = Bed::setup().set("shutdown.grace", "1s").start().await?;
    bed.subscriber.otherwise(Answer::Hang);
    let address = bed.gateway.listening;
    let held = tokio::spawn(async move {
        Sender::new(address)
            .post("/channels/demo/in", &Event::numbered(1).binary())
            .await
    });
    bed.subscriber.await_count(1, SOON).await?;
    bed.gateway.terminate()?;
    bed.gateway.ended(SOON).await?;
    assert!(
        held.await?.map_or(true, |response| response.code() >= 500),
        "not acknowledged"
    );
    Ok(())
}

/// An async channel has answered already, so it delivers what it holds before it ends.
#[tokio::test]
async fn an_async_channel_delivers_its_backlog_before_it_ends() -> TestResult {
    let mut bed = Bed::setup()
        .annotation("messaging.knative.dev/async-handler", "true")
        .start()
        .await?;
    let gate = Gate::closed();
    bed.subscriber.otherwise(Answer::status(202).behind(&gate));
    for id in 0..50 {
        assert_eq!(bed.event(&Event::numbered(id)).await?.code(), 202);
    }
    bed.gateway.terminate()?;
    until("the gateway to notice", SOON, async || {
        Ok(bed
            .gateway
            .admin("/readyz")
            .await
            .is_ok_and(|r| r.code() == 503)
            .then_some(()))
    })
    .await?;
    gate.open();
    let (status, _) = bed.gateway.ended(SOON).await?;
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(bed.subscriber.count(), 50);
    Ok(())
}

/// A crash loses nothing that was acknowledged by a channel that is not async.
#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() -> TestResult {
    let mut bed = Bed::start().await?;
    let load = Load::start(bed.gateway.listening, "in", 16, u64::MAX);
    until(
        "load",
        SOON,
        async || Ok((load.begun() > 200).then_some(())),
    )
    .await?;
    bed.gateway.kill().await?;
    let sent = load.stop().await?;
    let came: BTreeSet<u64> = bed
        .subscriber
        .requests()
        .iter()
        .filter_map(|request| request.header("ce-id").parse().ok())
        .collect();
    assert!(sent.acknowledged.iter().all(|id| came.contains(id)));
    assert!(!sent.acknowledged.is_empty());
    Ok(())
}
