//! Subscribers that misbehave in the middle of a bulky event: the attempt fails or counts, the event stays whole.

use std::time::Duration;

use anyhow::Context;
use towpath_harness::manifest::{in_memory_channel, subscription, uri};
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Subscriber, Tap, TestResult};

use crate::payload_kit::{
    BULKY, CHANNEL, Shelf, TIERS, begun, bulky, channel_to, counted, pattern, post,
};

/// It answers when it has seen a quarter; the source breaks later. Without the rest there was nothing to answer: it counts
/// as none (DESIGN section 12, Cut-through).
#[tokio::test]
async fn an_early_answer_to_an_event_that_breaks_counts_as_none() -> TestResult {
    let event = "ce-specversion: 1.0\r\nce-id: made\r\nce-source: /s\r\nce-type: t\r\n";
    for (tier, memory) in TIERS {
        let (shelf, tap) = (Shelf::new()?, Tap::start()?);
        let (dead, replies) = (Subscriber::start().await?, Subscriber::start().await?);
        let [channel, to] = channel_to(&tap.url("/"), &dead.url("/"));
        let to = to.spec("reply", uri(replies.url("/")));
        let launch = shelf.launch([channel, to]);
        let launch = launch.set("store.memory.maxPayload", memory);
        let mut gateway = launch.start().await?;
        for (status, headers, body) in [
            ("202 Accepted", "", &b""[..]),
            ("200 OK", event, &b"a reply"[..]),
            ("500 Internal Server Error", "", &b""[..]),
            ("422 Unprocessable Content", "", &b""[..]),
        ] {
            let raw = begun(&gateway, BULKY, BULKY / 2).await?;
            let mut tapped = tap.next().await?;
            tapped.read(BULKY / 4).await?;
            tapped.answer(status, headers, body).await?;
            raw.reset()?;
            assert!(tapped.ended(SOON).await?.reset, "{tier} {status}: closed");
            shelf.at_rest(&gateway).await?;
            assert_eq!((dead.count(), replies.count()), (0, 0), "{tier} {status}");
            let retries = counted(&gateway, "towpath_retries_total").await?;
            assert_eq!(retries, 0, "{tier} {status}");
        }
        let next = async { tap.next().await?.take().await };
        let (goes_on, next) = tokio::join!(gateway.goes_on(CHANNEL), next);
        next?;
        goes_on?;
    }
    Ok(())
}

/// A refusal that comes early is held until the source has ended; then the event is sent again, whole.
#[tokio::test]
async fn an_early_500_is_retried_when_the_source_has_ended() -> TestResult {
    for (tier, memory) in TIERS {
        let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
        let launch = shelf.launch(channel_to(&tap.url("/"), &dead.url("/")));
        let launch = launch.set("store.memory.maxPayload", memory);
        let mut gateway = launch.start().await?;
        let mut raw = begun(&gateway, BULKY, BULKY / 2).await?;
        let mut tapped = tap.next().await?;
        tapped.read(BULKY / 4).await?;
        tapped.answer("500 Internal Server Error", "", b"").await?;
        let next = async {
            let tapped = tap.next().await?;
            assert_eq!(
                tapped.header("ce-id"),
                "goes-on",
                "{tier}: retried too early"
            );
            tapped.take().await
        };
        let (goes_on, next) = tokio::join!(gateway.goes_on(CHANNEL), next);
        next?;
        goes_on?;
        raw.write(&pattern(BULKY)[BULKY / 2..]).await?;
        drop(tapped);
        let again = tap.next().await?;
        assert_eq!(again.header("ce-id"), "raw", "{tier}");
        assert!(
            again.take().await? == pattern(BULKY),
            "{tier}: not the same bytes"
        );
        assert_eq!(raw.read_response(SOON).await?.status(), 202, "{tier}");
        assert_eq!(dead.count(), 0, "{tier}");
        shelf.at_rest(&gateway).await?;
    }
    Ok(())
}

/// A refusal for good, after which the subscriber takes no more bytes: the dead letter is whole all the same.
#[tokio::test]
async fn a_413_in_the_middle_of_the_body_is_final_and_the_dead_letter_is_whole() -> TestResult {
    let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
    let gateway = shelf
        .launch(channel_to(&tap.url("/"), &dead.url("/")))
        .start()
        .await?;
    let posted = post(&gateway, bulky("refused", BULKY));
    let mut tapped = tap.next().await?;
    tapped.read(BULKY / 8).await?;
    tapped
        .answer(
            "413 Content Too Large",
            "Connection: close\r\n",
            b"too much",
        )
        .await?;
    tapped.finish().await?;
    tapped.ended(SOON).await?;
    assert_eq!(posted.await??.code(), 202);
    let letter = dead.only()?;
    assert!(letter.body == pattern(BULKY), "not the same bytes");
    assert_eq!(letter.header("ce-knativeerrorcode"), "413");
    assert_eq!(counted(&gateway, "towpath_retries_total").await?, 0);
    shelf.at_rest(&gateway).await
}

/// It says that it has taken the event, and reads no more: nobody waits for it, and its connection is not used again.
#[tokio::test]
async fn a_202_before_the_end_counts_and_nothing_waits_for_the_rest() -> TestResult {
    let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
    let mut gateway = shelf
        .launch(channel_to(&tap.url("/"), &dead.url("/")))
        .start()
        .await?;
    let posted = post(&gateway, bulky("early", 4 * BULKY));
    let mut tapped = tap.next().await?;
    tapped.answer("202 Accepted", "", b"").await?;
    let code = until("an answer", SOON, async || {
        Ok(posted.is_finished().then_some(()))
    })
    .await;
    code.context("the gateway waits for a subscriber that has answered")?;
    assert_eq!(posted.await??.code(), 202);
    shelf.at_rest(&gateway).await?;
    let next = async { tap.next().await?.take().await };
    let (goes_on, next) = tokio::join!(gateway.goes_on(CHANNEL), next);
    next?;
    assert_eq!(dead.count(), 0);
    goes_on
}

/// It reads a byte in a while: the time-out ends that, and neither another subscriber of the event nor other events wait
/// for it meanwhile.
#[tokio::test]
async fn a_reader_at_a_kibibyte_a_second_is_bounded_and_slows_nobody() -> TestResult {
    for (tier, memory) in TIERS {
        let (shelf, tap) = (Shelf::new()?, Tap::start()?);
        let (dead, fast) = (Subscriber::start().await?, Subscriber::start().await?);
        let [channel, to] = channel_to(&tap.url("/"), &dead.url("/"));
        let to = to
            .spec("delivery.timeout", "PT1S")
            .spec("delivery.retry", 0);
        let beside = subscription("fast", &channel, uri(fast.url("/")));
        let other = in_memory_channel("other");
        let elsewhere = subscription("elsewhere", &other, uri(fast.url("/other")));
        let launch = shelf.launch([channel, to, beside, other, elsewhere]);
        let gateway = launch
            .set("store.memory.maxPayload", memory)
            .start()
            .await?;
        let posted = post(&gateway, bulky("slow", 4 * BULKY));
        let mut tapped = tap.next().await?;
        let mut read = 0;
        until("the event beside", SOON, async || {
            read += tapped.read(10).await?.len();
            Ok((fast.count() == 1).then_some(()))
        })
        .await?;
        for sent in 0..10 {
            let event = bulky("other", 128 << 10);
            assert_eq!(gateway.post("other", &event).await?.code(), 202, "{tier}");
            assert_eq!(fast.count(), sent + 2);
            read += tapped.read(10).await?.len();
        }
        assert_eq!(dead.count(), 0, "{tier}: all that was before the time-out");
        until("the time-out", SOON, async || {
            if !posted.is_finished() {
                read += tapped.read(10).await?.len();
            }
            Ok(posted.is_finished().then_some(()))
        })
        .await?;
        assert_eq!(posted.await??.code(), 202, "{tier}");
        assert!(
            dead.only()?.body == pattern(4 * BULKY),
            "{tier}: the dead letter"
        );
        assert!(read < 64 << 10, "{tier}: it read {read} bytes");
        shelf.at_rest(&gateway).await?;
    }
    Ok(())
}

/// A reset after some of the body: the next attempt has all of it, whether the source had ended or not.
#[tokio::test]
async fn a_reset_in_the_middle_of_the_body_is_retried_with_all_of_it() -> TestResult {
    for (tier, memory) in TIERS {
        for ended in [true, false] {
            let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
            let launch = shelf.launch(channel_to(&tap.url("/"), &dead.url("/")));
            let launch = launch.set("store.memory.maxPayload", memory);
            let gateway = launch.start().await?;
            let sent = if ended { BULKY } else { BULKY / 2 };
            let mut raw = begun(&gateway, BULKY, sent).await?;
            for part in [BULKY / 8, 1] {
                let mut tapped = tap.next().await?;
                tapped.read(part).await?;
                tapped.reset()?;
            }
            let again = tap.next().await?;
            raw.write(&pattern(BULKY)[sent..]).await?;
            assert!(
                again.take().await? == pattern(BULKY),
                "{tier} {ended}: not the same bytes"
            );
            assert_eq!(
                raw.read_response(SOON).await?.status(),
                202,
                "{tier} {ended}"
            );
            assert_eq!(
                counted(&gateway, "towpath_retries_total").await?,
                2,
                "{tier} {ended}"
            );
            assert_eq!(dead.count(), 0, "{tier} {ended}");
            shelf.at_rest(&gateway).await?;
        }
    }
    Ok(())
}

/// Nobody has four attempts for ever: the last one fails, and the dead letter has all of it.
#[tokio::test]
async fn a_subscriber_that_always_resets_leaves_a_whole_dead_letter() -> TestResult {
    let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
    let launch = shelf.launch(channel_to(&tap.url("/"), &dead.url("/")));
    let gateway = launch.set("store.memory.maxPayload", "0").start().await?;
    let posted = post(&gateway, bulky("unlucky", BULKY));
    for _ in 0..4 {
        let mut tapped = tap.next().await?;
        tapped.read(BULKY / 8).await?;
        tapped.reset()?;
    }
    let answer = tokio::time::timeout(Duration::from_secs(10), posted).await???;
    assert_eq!(answer.code(), 202);
    assert!(dead.only()?.body == pattern(BULKY), "not the same bytes");
    shelf.at_rest(&gateway).await
}
