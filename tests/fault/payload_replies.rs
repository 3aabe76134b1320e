//! Bulky replies that break off or are too large: the next step never gets a short one.

use anyhow::Result;
use towpath_harness::manifest::{in_memory_channel, reference, subscription, uri};
use towpath_harness::poll::SOON;
use towpath_harness::tap::Tapped;
use towpath_harness::{Subscriber, Tap, TestResult};

use crate::payload_kit::{BULKY, EVENT, Shelf, TIERS, bulky, channel_to, counted, pattern, post};

/// How a reply breaks off.
#[derive(Debug, Clone, Copy)]
enum Break {
    Fin,
    Reset,
}

/// Answers with half of a reply whose length is known.
async fn half_a_reply(mut tapped: Tapped) -> Result<Tapped> {
    tapped.body().await?;
    let head = format!("HTTP/1.1 200 OK\r\n{EVENT}Content-Length: {BULKY}\r\n\r\n");
    tapped.write(head).await?;
    tapped.write(&pattern(BULKY)[..BULKY / 2]).await?;
    Ok(tapped)
}

async fn end(mut tapped: Tapped, how: Break) -> TestResult {
    match how {
        Break::Reset => tapped.reset(),
        Break::Fin => tapped.finish().await,
    }
}

/// The next step has begun to receive it and is reset; the step itself is asked again, and then all is whole.
#[tokio::test]
async fn a_reply_that_breaks_off_is_a_failed_attempt_and_the_next_step_is_reset() -> TestResult {
    for (tier, memory) in TIERS {
        for how in [Break::Fin, Break::Reset] {
            let (shelf, one, two) = (Shelf::new()?, Tap::start()?, Tap::start()?);
            let dead = Subscriber::start().await?;
            let second = in_memory_channel("second");
            let to_second = subscription("two", &second, uri(two.url("/")))
                .spec("delivery.deadLetterSink", uri(dead.url("/two")));
            let [channel, to] = channel_to(&one.url("/"), &dead.url("/one"));
            let to = to.spec("reply", reference(&second));
            let launch = shelf.launch([channel, to, second, to_second]);
            let gateway = launch
                .set("store.memory.maxPayload", memory)
                .start()
                .await?;
            let posted = post(&gateway, bulky("cause", BULKY));
            let first = half_a_reply(one.next().await?).await?;
            let begun = two.next().await?;
            end(first, how).await?;
            let begun = begun.ended(SOON).await?;
            assert!(begun.reset, "{tier} {how:?}: closed, not reset");
            assert!(begun.rest.len() <= BULKY / 2, "{tier} {how:?}");
            let mut again = one.next().await?;
            assert!(
                again.body().await? == pattern(BULKY),
                "{tier} {how:?}: asked again"
            );
            let reply = pattern(BULKY);
            let (answered, whole) = tokio::join!(again.answer("200 OK", EVENT, &reply), async {
                two.next().await?.take().await
            });
            answered?;
            assert!(whole? == pattern(BULKY), "{tier} {how:?}: the next step");
            assert_eq!(posted.await??.code(), 202, "{tier} {how:?}");
            assert_eq!(dead.count(), 0, "{tier} {how:?}");
            assert_eq!(
                counted(&gateway, "towpath_retries_total").await?,
                1,
                "{tier} {how:?}"
            );
            shelf.at_rest(&gateway).await?;
        }
    }
    Ok(())
}

/// A reply of unknown length reaches the next step only when it is whole.
#[tokio::test]
async fn a_chunked_reply_that_breaks_off_reaches_nobody() -> TestResult {
    for how in [Break::Fin, Break::Reset] {
        let (shelf, one, two) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
        let dead = Subscriber::start().await?;
        let [channel, to] = channel_to(&one.url("/"), &dead.url("/"));
        let to = to.spec("reply", uri(two.url("/")));
        let gateway = shelf.launch([channel, to]).start().await?;
        let posted = post(&gateway, bulky("cause", BULKY));
        let mut tapped = one.next().await?;
        tapped.body().await?;
        let head = format!("HTTP/1.1 200 OK\r\n{EVENT}Transfer-Encoding: chunked\r\n\r\n");
        tapped.write(format!("{head}{:x}\r\n", BULKY)).await?;
        tapped.write(pattern(BULKY)).await?;
        tapped.write("\r\n").await?;
        end(tapped, how).await?;
        let mut again = one.next().await?;
        again.body().await?;
        again.answer("200 OK", EVENT, &pattern(BULKY)).await?;
        assert_eq!(posted.await??.code(), 202, "{how:?}");
        assert!(two.only()?.body == pattern(BULKY), "{how:?}");
        assert_eq!(dead.count(), 0, "{how:?}");
        shelf.at_rest(&gateway).await?;
    }
    Ok(())
}

/// No other attempt would make it smaller: the original goes to the dead letter sink with 413, at once and whole.
#[tokio::test]
async fn a_reply_over_the_limit_is_a_dead_letter_with_413() -> TestResult {
    let size = 5 << 20;
    let chunk = format!("{:x}\r\n", 1 << 20);
    let announced = format!("HTTP/1.1 200 OK\r\n{EVENT}Content-Length: {size}\r\n\r\n");
    let unknown = format!("HTTP/1.1 200 OK\r\n{EVENT}Transfer-Encoding: chunked\r\n\r\n");
    for (what, head, chunks) in [("announced", announced, 0), ("chunked", unknown, 5)] {
        let (shelf, one, two) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
        let dead = Subscriber::start().await?;
        let [channel, to] = channel_to(&one.url("/"), &dead.url("/"));
        let to = to.spec("reply", uri(two.url("/")));
        let launch = shelf.launch([channel, to]);
        let gateway = launch.set("limits.maxEventBytes", "4Mi").start().await?;
        let posted = post(&gateway, bulky("cause", BULKY));
        let mut tapped = one.next().await?;
        tapped.body().await?;
        tapped.write(head).await?;
        for _ in 0..chunks {
            // It may be cut off before its last byte.
            let written = async {
                tapped.write(&chunk).await?;
                tapped.write(pattern(1 << 20)).await?;
                tapped.write("\r\n").await
            };
            if written.await.is_err() {
                break;
            }
        }
        assert_eq!(posted.await??.code(), 202, "{what}");
        let letter = dead.only()?;
        assert_eq!(letter.header("ce-knativeerrorcode"), "413", "{what}");
        assert!(letter.body == pattern(BULKY), "{what}: the original");
        assert_eq!(two.count(), 0, "{what}");
        assert_eq!(
            counted(&gateway, "towpath_retries_total").await?,
            0,
            "{what}"
        );
        shelf.at_rest(&gateway).await?;
    }
    Ok(())
}
