//! More connections than are allowed, and connections that come to nothing.

use std::time::Duration;

use towpath_harness::manifest::channel_path;
use towpath_harness::poll::{SOON, until};
use towpath_harness::raw::{Raw, event_head};
use towpath_harness::{Bed, TestResult};

/// One request on a connection of its own; the status, or 0 when there is none within a moment.
async fn attempt(bed: &Bed) -> u16 {
    let tried = async {
        let mut raw = Raw::connect(bed.gateway.listening).await?;
        raw.write(format!(
            "{}Content-Length: 0\r\n\r\n",
            event_head(&channel_path("in"))
        ))
        .await?;
        anyhow::Ok(
            raw.read_response(Duration::from_millis(300))
                .await?
                .status(),
        )
    };
    tried.await.unwrap_or(0)
}

#[tokio::test]
async fn connections_over_the_limit_are_not_served_until_others_end() -> TestResult {
    let mut bed = Bed::setup()
        .set("limits.maxConnections", "8")
        .start()
        .await?;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::connect(bed.gateway.listening).await?;
        raw.write(format!(
            "{}Content-Length: 0\r\n\r\n",
            event_head(&channel_path("in"))
        ))
        .await?;
        assert_eq!(raw.read_response(SOON).await?.status(), 202);
        held.push(raw);
    }
    for _ in 0..5 {
        let status = attempt(&bed).await;
        assert!(
            status == 0 || status == 503,
            "served {status} over the limit"
        );
    }
    // The admin port has its own.
    assert_eq!(bed.gateway.admin("/healthz").await?.code(), 200);
    drop(held);
    until("room for a connection", SOON, async || {
        Ok((attempt(&bed).await == 202).then_some(()))
    })
    .await?;
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn connections_that_come_to_nothing_leave_nothing() -> TestResult {
    let mut bed = Bed::setup()
        .set("limits.maxConnections", "16")
        .start()
        .await?;
    for round in 0..200 {
        let mut raw = Raw::connect(bed.gateway.listening).await?;
        match round % 4 {
            0 => raw.reset()?,
            1 => raw.finish().await?,
            2 => {
                raw.write("POST / HT").await?;
                raw.reset()?;
            }
            _ => {
                raw.write(format!(
                    "{}Content-Length: 100\r\n\r\nabc",
                    event_head(&channel_path("in"))
                ))
                .await?;
                raw.reset()?;
            }
        }
    }
    until("room for a connection", SOON, async || {
        Ok((attempt(&bed).await == 202).then_some(()))
    })
    .await?;
    bed.gateway.goes_on("in").await
}

/// Requests in a row without waiting for answers are answered in their order.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() -> TestResult {
    let bed = Bed::start().await?;
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    let good = format!(
        "{}Content-Length: 2\r\n\r\nhi",
        event_head(&channel_path("in"))
    );
    let lost = format!(
        "{}Content-Length: 2\r\n\r\nhi",
        event_head("/channels/demo/none")
    );
    raw.write(format!("{good}{lost}{good}")).await?;
    raw.finish().await?;
    let text = raw.read_to_end(SOON).await?.text;
    let statuses: Vec<&str> = text
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|part| part.get(..3))
        .collect();
    assert_eq!(statuses, ["202", "404", "202"], "{text}");
    assert_eq!(bed.subscriber.count(), 2);
    Ok(())
}
