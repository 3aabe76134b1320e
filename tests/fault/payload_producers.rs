//! Producers that break off in the middle of a bulky event: it is none, and nothing is left of it.

use tokio::task::JoinSet;
use towpath_harness::manifest::{
    Object, broker, broker_path, channel_path, in_memory_channel, sequence, subscription, trigger,
    uri,
};
use towpath_harness::poll::SOON;
use towpath_harness::raw::{Raw, event_head};
use towpath_harness::{Gateway, Subscriber, Tap, TestResult};

use crate::payload_kit::{
    BULKY, CHANNEL, Shelf, TIERS, begun, bulky, channel_to, counted, pattern,
};

/// The ways in which a producer goes.
#[derive(Debug, Clone, Copy)]
enum Break {
    Fin,
    Reset,
    Stall,
}

const BREAKS: [Break; 3] = [Break::Fin, Break::Reset, Break::Stall];

impl Break {
    /// Breaks off; what the producer may hear is checked.
    async fn off(self, mut raw: Raw) -> TestResult {
        match self {
            Break::Reset => return raw.reset(),
            Break::Fin => raw.finish().await?,
            Break::Stall => {}
        }
        let read = raw.read_to_end(SOON).await?;
        let expected: &[u16] = match self {
            Break::Stall => &[408],
            Break::Fin | Break::Reset => &[0, 400],
        };
        anyhow::ensure!(expected.contains(&read.status()), "{self:?}: {read:?}");
        Ok(())
    }
}

/// Nothing was retried or given to the dead letter sink, and the next event is the next thing that the subscriber sees.
async fn as_if_nothing_came(gateway: &mut Gateway, tap: &Tap, dead: &Subscriber) -> TestResult {
    for name in ["towpath_retries_total", "towpath_dead_letters_total"] {
        assert_eq!(counted(gateway, name).await?, 0, "{name}");
    }
    assert_eq!(dead.count(), 0);
    let next = async {
        let tapped = tap.next().await?;
        assert_eq!(tapped.header("ce-id"), "goes-on");
        tapped.take().await
    };
    let (goes_on, next) = tokio::join!(gateway.goes_on(CHANNEL), next);
    next?;
    goes_on
}

/// Of known length it is sent on while it comes; the subscriber sees that it broke, by a reset and not by a close, which
/// it could take for the end.
#[tokio::test]
async fn a_break_reaches_a_subscriber_that_had_begun_as_a_reset() -> TestResult {
    for (tier, memory) in TIERS {
        let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
        let launch = shelf.launch(channel_to(&tap.url("/"), &dead.url("/")));
        let launch = launch.set("store.memory.maxPayload", memory);
        let mut gateway = launch.set("timeouts.bodyIdle", "PT0.4S").start().await?;
        for how in BREAKS {
            let raw = begun(&gateway, BULKY, BULKY / 2).await?;
            let mut tapped = tap.next().await?;
            assert_eq!(tapped.header("content-length"), BULKY.to_string());
            let first = tapped.read(BULKY / 4).await?;
            assert!(first == pattern(BULKY)[..BULKY / 4], "{tier} {how:?}");
            how.off(raw).await?;
            let ended = tapped.ended(SOON).await?;
            assert!(ended.reset, "{tier} {how:?}: closed, not reset");
            assert!(
                ended.rest.len() <= BULKY / 4,
                "{tier} {how:?}: more than was sent"
            );
            shelf.at_rest(&gateway).await?;
            as_if_nothing_came(&mut gateway, &tap, &dead).await?;
        }
    }
    Ok(())
}

/// Of unknown length nobody sees anything of it.
#[tokio::test]
async fn a_broken_event_of_unknown_length_is_seen_by_nobody() -> TestResult {
    for (_, memory) in TIERS {
        let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
        let launch = shelf.launch(channel_to(&tap.url("/"), &dead.url("/")));
        let launch = launch.set("store.memory.maxPayload", memory);
        let mut gateway = launch.set("timeouts.bodyIdle", "PT0.4S").start().await?;
        for how in BREAKS {
            let mut raw = Raw::connect(gateway.listening).await?;
            let head = event_head(&channel_path(CHANNEL));
            raw.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n"))
                .await?;
            for _ in 0..8 {
                raw.write(format!("{:x}\r\n", BULKY / 16)).await?;
                raw.write(pattern(BULKY / 16)).await?;
                raw.write("\r\n").await?;
            }
            how.off(raw).await?;
            shelf.at_rest(&gateway).await?;
            as_if_nothing_came(&mut gateway, &tap, &dead).await?;
        }
    }
    Ok(())
}

/// Through a step that streams, the second one has begun as well.
#[tokio::test]
async fn a_break_goes_through_a_step_to_the_next() -> TestResult {
    for (tier, memory) in TIERS {
        for how in BREAKS {
            let (shelf, one, two) = (Shelf::new()?, Tap::start()?, Tap::start()?);
            let steps = sequence("seq", [uri(one.url("/")), uri(two.url("/"))]);
            let launch = shelf.launch([steps]).set("store.memory.maxPayload", memory);
            let gateway = launch.set("timeouts.bodyIdle", "PT0.4S").start().await?;
            let mut raw = Raw::connect(gateway.listening).await?;
            let head = event_head(&channel_path("seq-kn-sequence-0"));
            raw.write(format!("{head}Content-Length: {BULKY}\r\n\r\n"))
                .await?;
            raw.write(&pattern(BULKY)[..BULKY / 2]).await?;
            let mut first = one.next().await?;
            let half = first.read(BULKY / 4).await?;
            let event = "ce-specversion: 1.0\r\nce-id: made\r\nce-source: /s\r\nce-type: t\r\n";
            let head = format!("HTTP/1.1 200 OK\r\n{event}Content-Length: {BULKY}\r\n\r\n");
            first.write(head).await?;
            first.write(&half).await?;
            let mut second = two.next().await?;
            assert_eq!(second.header("ce-id"), "made");
            second.read(half.len() / 2).await?;
            how.off(raw).await?;
            let (first, second) = (first.ended(SOON).await?, second.ended(SOON).await?);
            assert!(
                first.reset && second.reset,
                "{tier} {how:?}: {} {}",
                first.reset,
                second.reset
            );
            shelf.at_rest(&gateway).await?;
            let retries = counted(&gateway, "towpath_retries_total").await?;
            assert_eq!(retries, 0, "{tier} {how:?}");
        }
    }
    Ok(())
}

/// Many at once, in every way: whatever one holds is given back.
#[tokio::test]
async fn many_broken_producers_leave_nothing() -> TestResult {
    let (shelf, subscriber, dead) = (
        Shelf::new()?,
        Subscriber::start().await?,
        Subscriber::start().await?,
    );
    let launch = shelf.launch(channel_to(&subscriber.url("/"), &dead.url("/")));
    let launch = launch.set("store.memory.maxPayload", "128Ki");
    let gateway = launch.set("timeouts.bodyIdle", "PT0.4S").start().await?;
    let mut breaking = JoinSet::new();
    for index in 0..24 {
        let length = if index % 2 == 0 { 100 << 10 } else { 512 << 10 };
        let raw = begun(&gateway, length, length / 2 + index).await?;
        breaking.spawn(BREAKS[index % 3].off(raw));
    }
    while let Some(broken) = breaking.join_next().await {
        broken??;
    }
    shelf.at_rest(&gateway).await?;
    assert_eq!(
        gateway.post(CHANNEL, &bulky("whole", BULKY)).await?.code(),
        202
    );
    let whole: Vec<String> = subscriber
        .requests()
        .iter()
        .filter(|request| request.whole)
        .map(|request| request.header("ce-id"))
        .collect();
    assert_eq!((whole, dead.count()), (vec!["whole".to_owned()], 0));
    shelf.at_rest(&gateway).await
}

/// Every subscriber of a channel that had begun sees it; so do the Trigger of a broker and an async channel, which has not
/// acknowledged anything yet (C9.6).
#[tokio::test]
async fn a_break_reaches_all_that_had_begun_in_every_kind_of_channel() -> TestResult {
    let plain = || in_memory_channel(CHANNEL);
    let no_wait = || plain().annotation("messaging.knative.dev/async-handler", "true");
    for (object, path) in [
        (plain(), channel_path(CHANNEL)),
        (no_wait(), channel_path(CHANNEL)),
        (broker(CHANNEL), broker_path(CHANNEL)),
    ] {
        let (shelf, dead) = (Shelf::new()?, Subscriber::start().await?);
        let taps = [Tap::start()?, Tap::start()?, Tap::start()?];
        let to = taps.iter().enumerate().map(|(index, tap)| {
            let (name, to) = (format!("to-{index}"), uri(tap.url("/")));
            let made = match object.kind.as_str() {
                "Broker" => trigger(&name, CHANNEL, to),
                _ => subscription(&name, &object, to),
            };
            made.spec("delivery.deadLetterSink", uri(dead.url("/")))
                .spec("delivery.retry", 3)
        });
        let objects: Vec<Object> = [object.clone()].into_iter().chain(to).collect();
        let gateway = shelf.launch(objects).start().await?;
        let mut raw = Raw::connect(gateway.listening).await?;
        raw.write(format!(
            "{}Content-Length: {BULKY}\r\n\r\n",
            event_head(&path)
        ))
        .await?;
        raw.write(&pattern(BULKY)[..BULKY / 2]).await?;
        let mut begun = Vec::new();
        for tap in &taps {
            let mut tapped = tap.next().await?;
            tapped.read(BULKY / 8).await?;
            begun.push(tapped);
        }
        raw.reset()?;
        for tapped in begun {
            assert!(tapped.ended(SOON).await?.reset, "{path}: closed, not reset");
        }
        shelf.at_rest(&gateway).await?;
        let mut sender = gateway.sender();
        let event = bulky("whole", BULKY);
        let (answer, one, two, three) = tokio::join!(
            sender.post(&path, &event),
            async { taps[0].next().await?.take().await },
            async { taps[1].next().await?.take().await },
            async { taps[2].next().await?.take().await },
        );
        assert_eq!(answer?.code(), 202, "{path}");
        assert!(
            [one?, two?, three?]
                .iter()
                .all(|data| *data == pattern(BULKY)),
            "{path}"
        );
        shelf.at_rest(&gateway).await?;
        assert_eq!(dead.count(), 0, "{path}");
        assert_eq!(
            counted(&gateway, "towpath_retries_total").await?,
            0,
            "{path}"
        );
    }
    Ok(())
}
