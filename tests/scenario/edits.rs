//! Manifests are edited while events flow: nothing is lost, nothing is delivered twice.

use std::collections::BTreeMap;
use std::fs;

use towpath_harness::manifest::{Object, in_memory_channel, subscription, uri};
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Answer, Bed, Event, Gate, Gateway, Sender, Spec, Subscriber, TestResult};

use crate::load::Load;

/// How often each id came.
fn counts(subscriber: &Subscriber) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for request in subscriber.requests() {
        if let Ok(id) = request.header("ce-id").parse() {
            *counts.entry(id).or_default() += 1;
        }
    }
    counts
}

#[tokio::test]
async fn edits_under_load_lose_and_repeat_nothing() -> TestResult {
    let (steady, passing) = (Subscriber::start().await?, Subscriber::start().await?);
    let channel = in_memory_channel("in");
    let always = subscription("steady", &channel, uri(steady.url("/")));
    let sometimes = subscription("passing", &channel, uri(passing.url("/")));
    let versions: [Vec<Object>; 4] = [
        vec![channel.clone(), always.clone()],
        vec![channel.clone(), always.clone(), sometimes.clone()],
        vec![
            channel.clone(),
            always.clone().spec("delivery.retry", 5),
            sometimes,
            in_memory_channel("other"),
        ],
        vec![channel.spec("delivery.retry", 1), always],
    ];
    let gateway = Gateway::with(versions[0].clone()).start().await?;
    let load = Load::start(gateway.listening, "in", 8, u64::MAX);
    for round in 0..8 {
        let begun = load.begun();
        until("some load", SOON, async || {
            Ok((load.begun() > begun + 50).then_some(()))
        })
        .await?;
        gateway
            .edit(versions[(round + 1) % versions.len()].clone())
            .await?;
    }
    let sent = load.stop().await?;
    assert!(
        sent.refused.is_empty() && sent.broken.is_empty(),
        "{:?} {:?}",
        sent.refused,
        sent.broken
    );
    let steady = counts(&steady);
    assert_eq!(
        steady.len(),
        sent.acknowledged.len(),
        "each acknowledged event came"
    );
    assert!(steady.values().all(|count| *count == 1), "and came once");
    let passing = counts(&passing);
    assert!(!passing.is_empty() && passing.values().all(|count| *count == 1));
    Ok(())
}

/// An event in flight finishes on the topology that it began with.
#[tokio::test]
async fn an_event_in_flight_outlives_its_subscription() -> TestResult {
    let (subscriber, reply) = (Subscriber::start().await?, Subscriber::start().await?);
    let gate = Gate::closed();
    subscriber.script([Answer::reply(&Event::full(Spec::V10)).behind(&gate)]);
    let channel = in_memory_channel("in");
    let to =
        subscription("s", &channel, uri(subscriber.url("/"))).spec("reply", uri(reply.url("/")));
    let gateway = Gateway::with([channel.clone(), to]).start().await?;
    let address = gateway.listening;
    let held = tokio::spawn(async move {
        Sender::new(address)
            .post("/channels/demo/in", &Event::numbered(1).binary())
            .await
    });
    subscriber.await_count(1, SOON).await?;
    gateway.edit([channel]).await?;
    gate.open();
    assert_eq!(held.await??.code(), 202);
    assert_eq!((subscriber.count(), reply.count()), (1, 1));
    assert_eq!(
        gateway
            .post("in", &Event::numbered(2).binary())
            .await?
            .code(),
        202
    );
    assert_eq!(subscriber.count(), 1, "later events do not go there");
    Ok(())
}

/// Files come and go, also by other ways than a rename.
#[tokio::test]
async fn files_are_added_rewritten_in_place_and_removed() -> TestResult {
    let bed = Bed::start().await?;
    let path = bed.gateway.manifests().join("more.yaml");
    let event = Event::full(Spec::V10).binary();
    let serves = async |channel: &str, status: u16| {
        until("the change of files", SOON, async || {
            Ok((bed.gateway.post(channel, &event).await?.code() == status).then_some(()))
        })
        .await
    };
    fs::write(&path, in_memory_channel("one").to_string())?;
    serves("one", 202).await?;
    fs::write(&path, in_memory_channel("two").to_string())?;
    serves("two", 202).await?;
    serves("one", 404).await?;
    fs::remove_file(&path)?;
    serves("two", 404).await?;
    serves("in", 202).await?;
    fs::write(
        bed.gateway.manifests().join("notes.txt"),
        "no manifest at all: [",
    )?;
    serves("in", 202).await?;
    assert_eq!(bed.gateway.problems().await?, "");
    Ok(())
}
