//! Replicas whose endpoints flap, whose health checks fail, who refuse for a year or do not listen: others serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use towpath_harness::manifest::channel_path;
use towpath_harness::poll::{SOON, until};
use towpath_harness::replica::known;
use towpath_harness::{Answer, Event, Gateway, Pool, Sender, TestResult};

use crate::routing_faults::{objects, taken, total};

/// Endpoints come and go all the time while their pods go on to serve: every event is delivered once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_flap_cost_no_event() -> TestResult {
    let pool = Pool::of("step", 3).await?;
    let with = |wanted: [bool; 3]| objects(pool.with(|index| wanted[index]), json!({}), json!({}));
    let gateway = Gateway::with(with([true; 3])).start().await?;
    let (stop, mut producers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for _ in 0..8 {
        let (address, stop) = (gateway.listening, Arc::clone(&stop));
        producers.spawn(async move {
            let (mut sender, mut sent) = (Sender::new(address), 0_usize);
            while !stop.load(Ordering::SeqCst) {
                let event = Event::numbered(sent).binary();
                let response = sender.post(&channel_path("in"), &event).await?;
                anyhow::ensure!(response.code() == 202, "{}", response.text());
                sent += 1;
            }
            anyhow::Ok(sent)
        });
    }
    let rounds = [
        [true, false, false],
        [false, true, true],
        [true, true, false],
        [false, false, true],
    ];
    for round in rounds.into_iter().cycle().take(12) {
        let before = pool.counts();
        gateway.edit(with(round)).await?;
        until("hops to those that are there", SOON, async || {
            let now = pool.counts();
            let all = (0..3)
                .filter(|index| round[*index])
                .all(|index| now[index] > before[index]);
            Ok(all.then_some(()))
        })
        .await?;
    }
    stop.store(true, Ordering::SeqCst);
    let mut sent = 0;
    while let Some(producer) = producers.join_next().await {
        sent += producer??;
    }
    eprintln!(
        "endpoints flapped 12 times: {sent} events, {:?}",
        pool.counts()
    );
    assert_eq!(pool.counts().iter().sum::<usize>(), sent);
    Ok(())
}

/// What health checks say: dead gets nothing, 503 is busy, and well is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_take_a_replica_out_and_back() -> TestResult {
    let pool = Pool::of("step", 2).await?;
    let health = |index: usize, status: u16| {
        pool.replicas[index].otherwise(Answer::with(move |request| {
            let checked = request.path == "/healthz";
            Answer::status(if checked { status } else { 202 })
        }));
    };
    let hops = |index: usize| {
        let requests = pool.replicas[index].requests();
        requests
            .iter()
            .filter(|request| request.path != "/healthz")
            .count()
    };
    let check = json!({"strategy": "RoundRobin", "healthCheck": {
        "path": "/healthz", "interval": "PT0.1S", "timeout": "PT0.1S", "unhealthyThreshold": 2, "healthyThreshold": 2,
    }});
    health(0, 200);
    health(1, 200);
    let gateway = Gateway::with(objects(pool.objects(), json!({}), check))
        .start()
        .await?;
    let is = async |index: usize, state: &str| {
        until(
            &format!("replica {index} to be {state}"),
            SOON,
            async || {
                let replica = known(&gateway, pool.replicas[index].address()).await?;
                Ok((replica["state"] == state).then_some(()))
            },
        )
        .await
    };
    for (status, state) in [(500, "down"), (503, "busy"), (404, "down"), (429, "busy")] {
        health(0, status);
        is(0, state).await?;
        let before = (hops(0), hops(1));
        taken(&gateway, 40).await?;
        assert_eq!((hops(0), hops(1)), (before.0, before.1 + 40), "{status}");
        health(0, 200);
        is(0, "up").await?;
        let before = (hops(0), hops(1));
        taken(&gateway, 40).await?;
        assert!(
            hops(0) > before.0 && hops(1) > before.1,
            "{status}: it is back"
        );
    }
    // One says that it is busy, the other nothing: busy is not dead.
    health(0, 503);
    health(1, 500);
    is(0, "busy").await?;
    is(1, "down").await?;
    let before = hops(0);
    taken(&gateway, 20).await?;
    assert_eq!(hops(0), before + 20);
    Ok(())
}

/// `Retry-After` of a year: the others serve; a replica that is alone is tried as the delivery spec says (C8.6).
#[tokio::test]
async fn a_retry_after_of_a_year_holds_nothing_up() -> TestResult {
    let year = Answer::status(503).header("retry-after", "31536000");
    let pool = Pool::of("step", 2).await?;
    let delivery = json!({"retry": 1, "backoffPolicy": "linear", "backoffDelay": "PT0.01S"});
    let gateway = Gateway::with(objects(pool.objects(), delivery, json!({})))
        .start()
        .await?;
    pool.replicas[0].script([year.clone()]);
    until("a refusal", SOON, async || {
        taken(&gateway, 1).await?;
        Ok((pool.replicas[0].count() == 1).then_some(()))
    })
    .await?;
    taken(&gateway, 100).await?;
    assert_eq!(pool.replicas[0].count(), 1, "it is believed");
    assert_eq!(
        known(&gateway, pool.replicas[0].address()).await?["state"],
        "busy"
    );
    assert_eq!(total(&gateway, "towpath_retries_total").await?, 0);
    // Now all of them: who is left is asked.
    pool.replicas[1].script([year.clone()]);
    let longest = taken(&gateway, 20).await?;
    eprintln!("both refused for a year: the longest of 20 took {longest:.1?}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    Ok(())
}

/// A lone replica that refuses for a year is asked again by the delivery spec, and serves.
#[tokio::test]
async fn a_lone_replica_that_refused_is_tried_again() -> TestResult {
    let pool = Pool::of("step", 1).await?;
    let delivery = json!({"retry": 2, "backoffPolicy": "linear", "backoffDelay": "PT0.01S"});
    let gateway = Gateway::with(objects(pool.objects(), delivery, json!({})))
        .start()
        .await?;
    let year = Answer::status(429).header("retry-after", "31536000");
    pool.replicas[0].script([year.clone(), year]);
    let longest = taken(&gateway, 3).await?;
    assert_eq!(pool.counts(), [5]);
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert_eq!(total(&gateway, "towpath_retries_total").await?, 2);
    Ok(())
}

/// Nobody listens at some of the replicas: the attempt goes to another, and no retry is charged.
#[tokio::test]
async fn a_refused_connection_moves_on_in_the_same_attempt() -> TestResult {
    let mut pool = Pool::of("step", 3).await?;
    let all = pool.objects();
    let mut refusing = Vec::new();
    for _ in 0..2 {
        let gone = pool.replicas.remove(0);
        let address = gone.address();
        gone.stop().await;
        // Bound and not listened at: nobody else gets the port meanwhile.
        let port = TcpSocket::new_v4()?;
        port.set_reuseaddr(true)?;
        port.bind(address)?;
        refusing.push(port);
    }
    let gateway = Gateway::with(objects(all, json!({}), json!({})))
        .start()
        .await?;
    taken(&gateway, 60).await?;
    assert_eq!(pool.counts(), [60]);
    let (retries, moved) = (
        total(&gateway, "towpath_retries_total").await?,
        total(&gateway, "towpath_reroutes_total").await?,
    );
    eprintln!("two of three do not listen: {moved} re-routed, {retries} retries");
    assert!(retries == 0 && moved >= 2);
    Ok(())
}
