//! Slow-loris heads and bodies, with the time-outs lowered.

use std::time::Duration;

use tokio::time::Instant;
use towpath_harness::manifest::channel_path;
use towpath_harness::poll::{SOON, until};
use towpath_harness::raw::{Raw, event_head};
use towpath_harness::{Bed, TestResult};

const LIMIT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_head_that_stops_is_cut_off() -> TestResult {
    let mut bed = Bed::setup()
        .set("timeouts.headerRead", "PT0.5S")
        .start()
        .await?;
    let began = Instant::now();
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    raw.write(event_head(&channel_path("in"))).await?;
    let read = raw.read_to_end(SOON).await?;
    assert!(read.status() == 0 || read.status() == 408, "{read:?}");
    assert!(
        began.elapsed() >= LIMIT.mul_f64(0.9),
        "cut off after {:?} already",
        began.elapsed()
    );
    bed.gateway.goes_on("in").await
}

/// The bound is on the whole head: a byte now and then does not stretch it.
#[tokio::test]
async fn a_head_that_trickles_is_cut_off() -> TestResult {
    let mut bed = Bed::setup()
        .set("timeouts.headerRead", "PT0.5S")
        .start()
        .await?;
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    raw.write(format!("{}ce-slow: ", event_head(&channel_path("in"))))
        .await?;
    until(
        "the trickle to be cut off",
        Duration::from_secs(5),
        async || Ok(raw.write("x").await.is_err().then_some(())),
    )
    .await?;
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn a_body_that_stops_is_408() -> TestResult {
    let mut bed = Bed::setup()
        .set("timeouts.bodyIdle", "PT0.5S")
        .start()
        .await?;
    for framing in [
        "Content-Length: 1000\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let began = Instant::now();
        let mut raw = Raw::connect(bed.gateway.listening).await?;
        raw.write(format!("{}{framing}", event_head(&channel_path("in"))))
            .await?;
        let read = raw.read_to_end(SOON).await?;
        assert_eq!(read.status(), 408, "{read:?}");
        assert!(
            began.elapsed() >= LIMIT.mul_f64(0.9),
            "cut off after {:?} already",
            began.elapsed()
        );
    }
    assert_eq!(bed.subscriber.count(), 0);
    bed.gateway.goes_on("in").await
}

/// Progress is what counts: a body that takes longer than the idle bound in all, but never stops, is taken.
#[tokio::test]
async fn a_body_that_is_slow_but_steady_is_taken() -> TestResult {
    let bed = Bed::setup()
        .set("timeouts.bodyIdle", "PT0.5S")
        .start()
        .await?;
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    let length = 80;
    raw.write(format!(
        "{}Content-Length: {length}\r\n\r\n",
        event_head(&channel_path("in"))
    ))
    .await?;
    let mut sent = 0;
    until("a slow body", SOON, async || {
        raw.write("x").await?;
        sent += 1;
        Ok((sent == length).then_some(()))
    })
    .await?;
    assert_eq!(raw.read_response(SOON).await?.status(), 202);
    assert_eq!(bed.subscriber.only()?.body.len(), length);
    Ok(())
}

/// Many slow clients at once hold nobody else up.
#[tokio::test]
async fn slow_clients_do_not_slow_the_others() -> TestResult {
    let mut bed = Bed::start().await?;
    let mut slow = Vec::new();
    for index in 0..200 {
        let mut raw = Raw::connect(bed.gateway.listening).await?;
        let head = event_head(&channel_path("in"));
        raw.write(if index % 2 == 0 {
            head
        } else {
            format!("{head}Content-Length: 1000\r\n\r\nx")
        })
        .await?;
        slow.push(raw);
    }
    for _ in 0..20 {
        bed.gateway.goes_on("in").await?;
    }
    assert_eq!(bed.subscriber.count(), 20);
    Ok(())
}
