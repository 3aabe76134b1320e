//! Stores elsewhere as overflow: what no nearer store takes goes to S3 or NATS, and what is wrong there is told.

use anyhow::Result;
use towpath_harness::gateway::Launch;
use towpath_harness::manifest::Object;
use towpath_harness::poll::{SOON, until};
use towpath_harness::servers::{Nats, S3, S3_BUCKET, S3_KEY, S3_REGION, S3_SECRET, Server};
use towpath_harness::{Answer, Gateway, Subscriber, Tap, TestResult};

use crate::payload_kit::{BULKY, CHANNEL, bulky, channel_to, pattern, post};

/// More than memory takes here, so that it goes to a store elsewhere.
const LARGE: usize = 3 * BULKY;

fn launch(subscriber: &Subscriber, dead: &Subscriber) -> Launch {
    launch_with(channel_to(&subscriber.url("/"), &dead.url("/")))
}

fn launch_with(objects: [Object; 2]) -> Launch {
    Gateway::with(objects)
        .set("store.node.directory", "none")
        .set("store.memory.maxPayload", "128Ki")
}

async fn with_s3(s3: &S3, subscriber: &Subscriber, dead: &Subscriber) -> Result<Gateway> {
    in_bucket(launch(subscriber, dead), s3).start().await
}

fn in_bucket(launch: Launch, s3: &S3) -> Launch {
    launch
        .set("store.object.url", &format!("s3://{S3_BUCKET}/payloads"))
        .set("store.object.endpoint", &s3.endpoint())
        .set("store.object.region", S3_REGION)
        .set("store.object.allowHttp", "true")
        .environment("AWS_ACCESS_KEY_ID", S3_KEY)
        .environment("AWS_SECRET_ACCESS_KEY", S3_SECRET)
}

async fn with_nats(nats: &Nats, subscriber: &Subscriber, dead: &Subscriber) -> Result<Gateway> {
    let launch = launch(subscriber, dead).set("store.nats.url", &nats.url());
    launch.start().await
}

/// The event arrives whole, at the first attempt and at the second, and nothing is left in the store.
async fn passes(gateway: &Gateway, tier: &str, subscriber: &Subscriber) -> TestResult {
    let before = subscriber.count();
    subscriber.script([Answer::status(503)]);
    let answer = gateway.post(CHANNEL, &bulky("large", LARGE)).await?;
    assert_eq!(answer.code(), 202, "{tier}: {}", answer.text());
    let requests = subscriber.requests().split_off(before);
    assert_eq!(requests.len(), 2, "{tier}");
    assert!(
        requests
            .iter()
            .all(|request| request.body == pattern(LARGE)),
        "{tier}"
    );
    until("the store to be empty", SOON, async || {
        let metrics = gateway.metrics().await?;
        let left = metrics.sum("towpath_payload_objects", &[]);
        Ok((left < 0.5).then_some(()))
    })
    .await?;
    let metrics = gateway.metrics().await?;
    let stored = metrics.sum(
        "towpath_payload_bytes_total",
        &[("tier", tier), ("direction", "in")],
    );
    assert!(stored > 1.0, "{tier}: it did not go there");
    let missed = metrics.sum("towpath_payload_early_misses_total", &[]);
    assert!(missed < 0.5, "{tier}: {missed} early misses");
    Ok(())
}

/// Its server is gone: pushed back, and nothing is delivered.
async fn pushed_back(gateway: &Gateway, tier: &str, subscriber: &Subscriber) -> TestResult {
    let whole = || {
        subscriber
            .requests()
            .iter()
            .filter(|request| request.whole)
            .count()
    };
    let before = whole();
    let answer = gateway.post(CHANNEL, &bulky("refused", LARGE)).await?;
    assert_eq!(answer.code(), 503, "{tier}: {}", answer.text());
    assert!(answer.headers.contains_key("retry-after"), "{tier}");
    assert_eq!(whole(), before, "{tier}");
    // What needs no store passes all the same.
    assert_eq!(
        gateway.post(CHANNEL, &bulky("small", 1024)).await?.code(),
        202,
        "{tier}"
    );
    Ok(())
}

#[tokio::test]
async fn s3_takes_what_is_too_large_and_its_loss_is_503() -> TestResult {
    let (mut s3, subscriber, dead) = (
        S3::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let gateway = with_s3(&s3, &subscriber, &dead).await?;
    passes(&gateway, "object", &subscriber).await?;
    until("the bucket to be empty", SOON, async || {
        Ok(s3.files()?.is_empty().then_some(()))
    })
    .await?;
    s3.server().kill().await?;
    pushed_back(&gateway, "object", &subscriber).await?;
    s3.server().restart().await?;
    passes(&gateway, "object", &subscriber).await?;
    assert_eq!(dead.count(), 0);
    Ok(())
}

#[tokio::test]
async fn nats_takes_what_is_too_large_and_its_loss_is_503() -> TestResult {
    let (mut nats, subscriber, dead) = (
        Nats::start().await?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let gateway = with_nats(&nats, &subscriber, &dead).await?;
    passes(&gateway, "nats", &subscriber).await?;
    nats.server().kill().await?;
    pushed_back(&gateway, "nats", &subscriber).await?;
    nats.server().restart().await?;
    until("nats to be there again", SOON, async || {
        let answer = gateway.post(CHANNEL, &bulky("again", LARGE)).await?;
        Ok((answer.code() == 202).then_some(()))
    })
    .await?;
    passes(&gateway, "nats", &subscriber).await?;
    assert_eq!(dead.count(), 0);
    Ok(())
}

/// The attempt that was reading fails, as a reset, and so do those that follow until the store is back; then the event
/// arrives whole (C9.7).
async fn outlives(launch: Launch, tap: &Tap, server: &mut Server) -> TestResult {
    // More than the sockets on the way will hold.
    let huge = 24 << 20;
    let gateway = launch.start().await?;
    let posted = post(&gateway, bulky("interrupted", huge));
    let mut tapped = tap.next().await?;
    tapped.read(BULKY).await?;
    server.kill().await?;
    let ended = tapped.ended(3 * SOON).await?;
    assert!(
        ended.reset && ended.rest.len() < huge - BULKY,
        "closed, or whole"
    );
    server.restart().await?;
    let whole = loop {
        // An attempt may break before its head has come.
        let Ok(mut tapped) = tap.next().await else {
            continue;
        };
        if let Ok(body) = tapped.body().await {
            tapped
                .answer("202 Accepted", "Connection: close\r\n", b"")
                .await?;
            break body;
        }
    };
    assert!(whole == pattern(huge), "not the same bytes");
    assert_eq!(posted.await??.code(), 202);
    Ok(())
}

fn patient(tap: &Tap) -> Launch {
    let [channel, to] = channel_to(&tap.url("/"), &tap.url("/dead"));
    let to = to
        .spec("delivery.retry", 30)
        .spec("delivery.backoffDelay", "PT0.2S");
    launch_with([channel, to])
}

#[tokio::test]
async fn s3_that_dies_in_the_middle_of_a_read_fails_the_attempt() -> TestResult {
    let (mut s3, tap) = (S3::start().await?, Tap::start()?);
    outlives(in_bucket(patient(&tap), &s3), &tap, s3.server()).await
}

#[tokio::test]
async fn nats_that_dies_in_the_middle_of_a_read_fails_the_attempt() -> TestResult {
    let (mut nats, tap) = (Nats::start().await?, Tap::start()?);
    let launch = patient(&tap).set("store.nats.url", &nats.url());
    outlives(launch, &tap, nats.server()).await
}
