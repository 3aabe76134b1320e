//! `replicaConcurrency` of a HopPolicy: how many hops are at a replica, who waits, and what happens to one too many.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use towpath_harness::manifest::{channel_path, uri};
use towpath_harness::poll::{SOON, until};
use towpath_harness::replica::known;
use towpath_harness::{Answer, Event, Gate, Pool, Sender, Subscriber, TestResult, Work};

use crate::load::Load;
use crate::routing_policy::{launched, subscription_with, with_policy};

/// Never more than so many hops at a replica at once, whoever sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_concurrency_is_never_exceeded() -> TestResult {
    let pool = Pool::of("step", 2).await?;
    let works = pool.works(|_| Work::wide(Duration::from_millis(4)));
    let gateway = launched(with_policy(&pool, &json!({"replicaConcurrency": 3}))).await?;
    let sent = Load::start(gateway.listening, "in", 32, 1_500)
        .end()
        .await?;
    assert_eq!(
        sent.acknowledged.len(),
        1_500,
        "{:?} {:?}",
        sent.refused,
        sent.broken
    );
    let most: Vec<usize> = works.iter().map(Work::most_at_once).collect();
    eprintln!("at most {most:?} at once, {:?}", pool.counts());
    assert_eq!(most, [3, 3]);
    // The bound is raised while the queue is full.
    let load = Load::start(gateway.listening, "in", 32, u64::MAX);
    gateway
        .edit(with_policy(&pool, &json!({"replicaConcurrency": 8})))
        .await?;
    until("the new bound to be used", SOON, async || {
        Ok((works.iter().all(|work| work.most_at_once() == 8)).then_some(()))
    })
    .await?;
    let sent = load.stop().await?;
    assert!(sent.refused.is_empty() && sent.broken.is_empty());
    assert!(works.iter().all(|work| work.most_at_once() == 8));
    Ok(())
}

/// A full replica is waited for in order of arrival; over `replicaQueue` the attempt fails with 503 and says why.
#[tokio::test]
async fn hops_wait_in_order_of_arrival_in_a_bounded_queue() -> TestResult {
    let pool = Pool::of("step", 1).await?;
    let (replica, dead_letter, gate) = (
        &pool.replicas[0],
        Subscriber::start().await?,
        Gate::closed(),
    );
    replica.otherwise(Answer::status(202).behind(&gate));
    let objects = with_policy(&pool, &json!({"replicaConcurrency": 1, "replicaQueue": 10}));
    let sink = [("delivery.deadLetterSink", uri(dead_letter.url("/")))];
    let gateway = launched(subscription_with(objects, &sink)).await?;
    let address = gateway.listening;
    let post = |id: usize| {
        let event = Event::numbered(id).binary();
        tokio::spawn(async move { Sender::new(address).post(&channel_path("in"), &event).await })
    };
    let mut posts = vec![post(0)];
    replica.await_count(1, SOON).await?;
    for id in 1..=10 {
        posts.push(post(id));
        until("it to wait", SOON, async || {
            Ok((known(&gateway, replica.address()).await?["waiting"] == id).then_some(()))
        })
        .await?;
    }
    assert_eq!(post(11).await??.code(), 202);
    let letter = dead_letter.only()?;
    assert_eq!(letter.header("ce-id"), "11");
    assert_eq!(letter.header("ce-knativeerrorcode"), "503");
    let said = String::from_utf8(STANDARD.decode(letter.header("ce-knativeerrordata"))?)?;
    assert!(said.contains("replicaQueue"), "{said}");
    gate.open();
    for post in posts {
        assert_eq!(post.await??.code(), 202);
    }
    let order: Vec<String> = replica
        .requests()
        .iter()
        .map(|request| request.header("ce-id"))
        .collect();
    let expected: Vec<String> = (0..=10).map(|id| id.to_string()).collect();
    assert_eq!(order, expected);
    Ok(())
}
