//! The load feed between two gateways.

use super::*;
use crate::routing::load::{Outcome, Ticket};
use towpath_config::topology::Outlier;

fn load() -> Arc<Load> {
    Arc::new(Load::new(None))
}

fn begin(load: &Load) -> Ticket {
    load.begin(0, 0)
}

fn in_flight(load: &Load) -> u32 {
    load.facts(0).in_flight
}

/// The owner `b` has a replica that the decider `a` knows: its load there and here.
fn known(a: &Node, b: &Node, port: u16) -> (Arc<Load>, Arc<Load>) {
    let (there, here) = (load(), load());
    b.table.set("b", &[(replica(port), Arc::clone(&there))]);
    a.table.set("b", &[(replica(port), Arc::clone(&here))]);
    b.changes.send_modify(|version| *version += 1);
    a.changes.send_modify(|version| *version += 1);
    (there, here)
}

#[tokio::test]
async fn what_is_in_flight_there_is_known_here() {
    let (a, b) = two(Scripted::default()).await;
    let (there, here) = known(&a, &b, 1);
    let ticket = begin(&there);
    until(|| in_flight(&here) == 1).await;
    let second = begin(&there);
    until(|| in_flight(&here) == 2).await;
    for ticket in [ticket, second] {
        there.end(ticket, Outcome::Served, &Outlier::default(), 0);
    }
    until(|| in_flight(&here) == 0).await;
    assert!(here.fed_nanos().is_some());
}

#[tokio::test]
async fn what_a_decider_sent_itself_counts_once() {
    let hold = Arc::new(Notify::new());
    let (a, b) = two(Scripted {
        hold: Some(Arc::clone(&hold)),
        ..Scripted::default()
    })
    .await;
    let (there, here) = known(&a, &b, 1);
    until(|| here.fed_nanos().is_some()).await;
    // The attempt counts at the owner as of both its own table and the sender's.
    let (own, _its, _another) = (begin(&here), begin(&there), begin(&there));
    let links = Arc::clone(&a.links);
    let sent = tokio::spawn(async move { links.attempt("b", &attempt(inline("x"))).await });
    b.attempts.begun.notified().await;
    until(|| in_flight(&here) == 2).await;
    hold.notify_one();
    sent.await.unwrap().unwrap();
    here.end(own, Outcome::Served, &Outlier::default(), 0);
    until(|| in_flight(&here) == 2).await;
}

#[tokio::test]
async fn other_replicas_make_another_feed_and_a_lost_one_says_nothing() {
    let (a, b) = two(Scripted::default()).await;
    let (there, here) = known(&a, &b, 1);
    let _ticket = begin(&there);
    until(|| in_flight(&here) == 1).await;
    let (_, second) = known(&a, &b, 2);
    until(|| second.fed_nanos().is_some()).await;
    until(|| here.fed_nanos().is_none() && in_flight(&here) == 0).await;
    drop(b);
    until(|| second.fed_nanos().is_none()).await;
}

#[tokio::test]
async fn a_load_that_is_new_here_gets_what_was_told_before() {
    let (a, b) = two(Scripted::default()).await;
    let (there, here) = known(&a, &b, 1);
    let _ticket = begin(&there);
    until(|| in_flight(&here) == 1).await;
    let again = load();
    a.table.set("b", &[(replica(1), Arc::clone(&again))]);
    a.changes.send_modify(|version| *version += 1);
    until(|| in_flight(&again) == 1).await;
}

#[tokio::test]
async fn a_feed_is_found_again_when_its_owner_comes_back() {
    let (a, b) = (port("a").await, port("b").await);
    let (address, peers) = (b.address, [setting("b", b.address)]);
    let a = start(a, &peers, Scripted::default());
    drop(b);
    let here = load();
    a.table.set("b", &[(replica(1), Arc::clone(&here))]);
    a.changes.send_modify(|version| *version += 1);
    until(|| !a.links.is_up("b")).await;
    let socket = TcpListener::bind(address).await.unwrap();
    let b = Port {
        name: "b",
        socket,
        address,
    };
    let b = start(b, &[], Scripted::default());
    b.table.set("b", &[(replica(1), load())]);
    b.changes.send_modify(|version| *version += 1);
    until(|| here.fed_nanos().is_some()).await;
}
