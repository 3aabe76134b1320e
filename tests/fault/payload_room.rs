//! Stores that are full, too small, or cannot be opened: producers are pushed back, and nothing that was taken is lost.

use std::fs;

use towpath_harness::manifest::{channel_path, in_memory_channel, subscription, uri};
use towpath_harness::poll::SOON;
use towpath_harness::raw::{Raw, event_head};
use towpath_harness::{Answer, Event, Gate, Gateway, Response, Subscriber, Tap, TestResult};

use crate::payload_kit::{ALL_IN_FILES, CHANNEL, Shelf, bulky, channel_to, counted, pattern, post};

const MIB: usize = 1 << 20;

/// A refusal for now, which names the setting that would change it.
fn assert_full(answer: &Response, setting: &str) {
    assert_eq!(answer.code(), 503, "{}", answer.text());
    assert!(
        answer.headers.contains_key("retry-after"),
        "{:?}",
        answer.headers
    );
    assert!(
        answer.text().contains(setting),
        "no {setting} in {}",
        answer.text()
    );
}

/// Three quarters of the quota are for events from outside. When what was taken has settled, there is room again.
#[tokio::test]
async fn a_full_store_is_503_and_opens_again() -> TestResult {
    let (shelf, subscriber) = (Shelf::new()?, Subscriber::start().await?);
    let launch = shelf.launch(channel_to(&subscriber.url("/"), &subscriber.url("/dead")));
    let launch = launch.set("store.memory.maxPayload", "0");
    let gateway = launch.set("store.node.quota", "4Mi").start().await?;
    let gate = Gate::closed();
    subscriber.otherwise(Answer::status(202).behind(&gate));
    let mut held = Vec::new();
    for index in 0..3 {
        held.push(post(&gateway, bulky(&index.to_string(), MIB)));
        subscriber.await_count(index + 1, SOON).await?;
    }
    for _ in 0..3 {
        assert_full(
            &gateway.post(CHANNEL, &bulky("over", MIB)).await?,
            "store.node.quota",
        );
    }
    gate.open();
    for task in held {
        assert_eq!(task.await??.code(), 202);
    }
    assert_eq!(
        gateway.post(CHANNEL, &bulky("over", MIB)).await?.code(),
        202
    );
    let requests = subscriber.requests();
    let ids: Vec<String> = requests
        .iter()
        .map(|request| request.header("ce-id"))
        .collect();
    assert_eq!(ids, ["0", "1", "2", "over"]);
    assert!(requests.iter().all(|request| request.body == pattern(MIB)));
    shelf.at_rest(&gateway).await
}

/// What no store could ever take is too large, not too early.
#[tokio::test]
async fn an_event_that_never_fits_is_413_and_names_the_setting() -> TestResult {
    let node = [
        ("store.memory.maxPayload", "0"),
        ("store.node.quota", "4Mi"),
    ];
    let memory = [
        ("store.node.directory", "none"),
        ("store.memory.maxPayload", "8Mi"),
        ("limits.bytesInFlight", "8Mi"),
    ];
    // The last quarter is kept for replies: what is larger than the rest never fits either.
    let cases = [
        (&node[..], [3 * MIB + MIB / 2, 5 * MIB], "store.node.quota"),
        (&memory[..], [7 * MIB, 9 * MIB], "limits.bytesInFlight"),
    ];
    for (settings, sizes, names) in cases {
        let (shelf, subscriber) = (Shelf::new()?, Subscriber::start().await?);
        let launch = shelf.launch(channel_to(&subscriber.url("/"), &subscriber.url("/dead")));
        let launch = settings
            .iter()
            .fold(launch, |launch, (key, value)| launch.set(key, value));
        let mut gateway = launch.start().await?;
        let head = event_head(&channel_path(CHANNEL));
        for size in sizes {
            let known = format!("{head}Content-Length: {size}\r\n\r\n").into_bytes();
            let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            for part in pattern(size).chunks(256 << 10) {
                chunked.extend(format!("{:x}\r\n", part.len()).into_bytes());
                chunked.extend_from_slice(part);
                chunked.extend_from_slice(b"\r\n");
            }
            chunked.extend_from_slice(b"0\r\n\r\n");
            for (framing, bytes) in [("known", known), ("chunked", chunked)] {
                let raw = Raw::connect(gateway.listening).await?;
                let (_, read) = raw.write_while_reading(&bytes, SOON).await?;
                assert_eq!(read.status(), 413, "{names} {framing} {size}: {read:?}");
                assert!(
                    read.text.contains(names),
                    "{framing} {size}: no {names}: {read:?}"
                );
            }
        }
        assert_eq!(
            subscriber
                .requests()
                .iter()
                .filter(|request| request.whole)
                .count(),
            0
        );
        gateway.goes_on(CHANNEL).await?;
        if names == "store.node.quota" {
            shelf.at_rest(&gateway).await?;
        }
    }
    Ok(())
}

/// A namespace that has used up its share is pushed back; the other one is not.
#[tokio::test]
async fn a_namespace_fills_only_its_own_share() -> TestResult {
    let (shelf, subscriber, other) = (
        Shelf::new()?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let elsewhere = in_memory_channel("in").in_namespace("other");
    let to_other = subscription("sub", &elsewhere, uri(other.url("/"))).in_namespace("other");
    let objects = channel_to(&subscriber.url("/"), &subscriber.url("/dead"));
    let launch = shelf.launch(objects.into_iter().chain([elsewhere, to_other]));
    let launch = launch.set("store.memory.maxPayload", "0");
    let launch = launch.set("store.node.quota", "64Mi");
    let gateway = launch
        .set("store.node.quotaPerNamespace", "4Mi")
        .start()
        .await?;
    let gate = Gate::closed();
    subscriber.otherwise(Answer::status(202).behind(&gate));
    let mut held = Vec::new();
    for index in 0..3 {
        held.push(post(&gateway, bulky(&index.to_string(), MIB)));
        subscriber.await_count(index + 1, SOON).await?;
    }
    // More than the share has left, whether a part of it is kept for replies or not.
    let over = gateway.post(CHANNEL, &bulky("over", MIB + MIB / 2)).await?;
    assert_full(&over, "store.node.quotaPerNamespace");
    let mut sender = gateway.sender();
    for _ in 0..5 {
        let taken = sender
            .post("/channels/other/in", &bulky("other", MIB))
            .await?;
        assert_eq!(taken.code(), 202, "{}", taken.text());
    }
    gate.open();
    for task in held {
        assert_eq!(task.await??.code(), 202);
    }
    assert_eq!(other.count(), 5);
    shelf.at_rest(&gateway).await
}

/// What memory has no room for goes to the node store, and nobody is refused.
#[tokio::test]
async fn a_full_memory_spills_into_the_node_store() -> TestResult {
    let (shelf, subscriber) = (Shelf::new()?, Subscriber::start().await?);
    let launch = shelf.launch(channel_to(&subscriber.url("/"), &subscriber.url("/dead")));
    let launch = launch.set("store.memory.maxPayload", "2Mi");
    // A quarter of it is kept for replies, and half for what must be in memory.
    let gateway = launch.set("limits.bytesInFlight", "18Mi").start().await?;
    let gate = Gate::closed();
    subscriber.otherwise(Answer::status(202).behind(&gate));
    let mut held = Vec::new();
    for index in 0..4 {
        held.push(post(&gateway, bulky(&index.to_string(), 2 * MIB)));
        subscriber.await_count(index + 1, SOON).await?;
    }
    assert_eq!(counted(&gateway, "towpath_payload_spills_total").await?, 2);
    let metrics = gateway.metrics().await?;
    let objects = |tier| metrics.sum("towpath_payload_objects", &[("tier", tier)]);
    let (memory, node) = (objects("memory"), objects("node"));
    assert!(
        memory > 1.5 && node > 1.5,
        "{memory} in memory, {node} on the node"
    );
    gate.open();
    for task in held {
        assert_eq!(task.await??.code(), 202);
    }
    assert!(
        subscriber
            .requests()
            .iter()
            .all(|request| request.body == pattern(2 * MIB))
    );
    shelf.at_rest(&gateway).await
}

/// Events from outside leave a quarter for replies, so that a workflow which has filled the store can still finish
/// (DESIGN section 12).
#[tokio::test]
async fn replies_have_room_where_events_have_filled_theirs() -> TestResult {
    for (setting, all) in [
        ("store.node.quota", "8Mi"),
        ("store.node.quotaPerNamespace", "64Mi"),
    ] {
        let (shelf, subscriber, next) = (
            Shelf::new()?,
            Subscriber::start().await?,
            Subscriber::start().await?,
        );
        let [channel, to] = channel_to(&subscriber.url("/"), &next.url("/dead"));
        // There is room for two replies at once, so that some wait for others.
        let to = to
            .spec("reply", uri(next.url("/")))
            .spec("delivery.retry", 20);
        let launch = shelf
            .launch([channel, to])
            .set("store.memory.maxPayload", "0");
        let gateway = launch
            .set("store.node.quota", all)
            .set(setting, "8Mi")
            .start()
            .await?;
        let gate = Gate::closed();
        let reply = Event::numbered("reply").data("application/octet-stream", pattern(MIB));
        subscriber.otherwise(Answer::reply(&reply).behind(&gate));
        let mut held = Vec::new();
        // Until the door is closed to events.
        for index in 0..8 {
            let mut task = post(&gateway, bulky(&index.to_string(), MIB));
            tokio::select! {
                answer = &mut task => {
                    assert_full(&answer??, setting);
                    break;
                }
                arrived = subscriber.await_count(index + 1, SOON) => { arrived?; held.push(task); }
            }
        }
        let taken = held.len();
        gate.open();
        for task in held {
            assert_eq!(task.await??.code(), 202, "{setting}");
        }
        let replies = next.requests();
        assert!(
            replies.iter().all(|reply| reply.path == "/"),
            "{setting}: dead letters"
        );
        assert_eq!(replies.len(), taken, "{setting}");
        shelf.at_rest(&gateway).await?;
    }
    Ok(())
}

/// A directory that was set and cannot be used is an error at start that names its setting.
#[tokio::test]
async fn an_unusable_directory_refuses_the_start() -> TestResult {
    let shelf = Shelf::new()?;
    let file = shelf.path().join("file");
    fs::write(&file, "a file")?;
    for directory in [
        "relative/directory".to_owned(),
        file.to_string_lossy().into_owned(),
        file.join("beneath").to_string_lossy().into_owned(),
        "/proc/towpath".to_owned(),
    ] {
        let launch = Gateway::with([]).set("store.node.directory", &directory);
        let Err(error) = launch.start().await else {
            anyhow::bail!("it started with {directory}");
        };
        let text = format!("{error:#}");
        assert!(text.contains("store.node.directory"), "{directory}: {text}");
        assert!(text.contains(&directory), "{directory}: {text}");
    }
    assert_eq!(fs::read_to_string(&file)?, "a file");
    Ok(())
}

/// Two gateways share a directory, each with a store of its own; what one leaves when it is killed, the other clears away.
#[tokio::test]
async fn two_gateways_share_a_directory_and_one_clears_up_after_the_other() -> TestResult {
    let (shelf, tap, subscriber) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
    let launch = shelf.launch(channel_to(&tap.url("/"), &tap.url("/dead")));
    let launch = launch.set("store.memory.maxPayload", "0");
    let launch = launch.set("store.node.dirtyBytes", ALL_IN_FILES);
    let mut first = launch.start().await?;
    let launch = shelf.launch(channel_to(&subscriber.url("/"), &subscriber.url("/dead")));
    let launch = launch.set("store.memory.maxPayload", "0");
    let launch = launch.set("store.node.dirtyBytes", ALL_IN_FILES);
    let second = launch.set("store.sweepPeriod", "1s").start().await?;
    assert_eq!(fs::read_dir(shelf.path().join("stores"))?.count(), 2);
    let held = post(&first, bulky("held", MIB));
    let mut tapped = tap.next().await?;
    tapped.read(MIB / 2).await?;
    for _ in 0..5 {
        assert_eq!(
            second.post(CHANNEL, &bulky("beside", MIB)).await?.code(),
            202
        );
    }
    let (one, other) = (shelf.files()?.len(), subscriber.count());
    assert_eq!(
        (one, other),
        (1, 5),
        "the payload of the other gateway is let be"
    );
    first.kill().await?;
    assert!(held.await?.is_err(), "nothing was acknowledged");
    shelf.at_rest(&second).await?;
    assert_eq!(second.post(CHANNEL, &bulky("held", MIB)).await?.code(), 202);
    assert!(
        subscriber
            .requests()
            .iter()
            .all(|request| request.body == pattern(MIB))
    );
    shelf.at_rest(&second).await
}
