//! Service times and slots that are found out from hops.

use super::*;
use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A replica with so many slots, sent to at random times; returns the time at which it is empty again.
fn drive(load: &Load, slots: usize, service: f64, constant: bool, busy: f64, start: u64) -> u64 {
    let mut rng = Rng::with_seed(11);
    let mut exponential = move |mean: f64| -(1.0 - rng.f64()).ln() * mean;
    let (mut heap, mut queue, mut running) = (BinaryHeap::new(), VecDeque::new(), 0);
    let mut at = start as f64;
    for _ in 0..2000 {
        at += exponential(service / (busy * slots as f64));
        heap.push(Reverse((at as u64, None)));
    }
    let mut tickets: Vec<Option<Ticket>> = Vec::new();
    let mut last = start;
    while let Some(Reverse((now, ends))) = heap.pop() {
        last = now;
        match ends {
            None => {
                tickets.push(Some(load.begin(0, now)));
                queue.push_back(tickets.len() - 1);
            }
            Some(hop) => {
                let hop: usize = hop;
                end(load, tickets[hop].take().unwrap(), Outcome::Served, now);
                running -= 1;
            }
        }
        while running < slots
            && let Some(hop) = queue.pop_front()
        {
            running += 1;
            let takes = if constant {
                service
            } else {
                exponential(service)
            };
            heap.push(Reverse((now + takes as u64, Some(hop))));
        }
    }
    last
}

#[test]
fn service_time_and_slots_are_found_out() {
    for constant in [true, false] {
        for (slots, least, most) in [(1, 1, 1), (4, 3, 6), (16, 8, 32)] {
            for busy in [0.7, 0.95] {
                let load = Load::new(None);
                let now = drive(&load, slots, 5e6, constant, busy, SECOND);
                let facts = load.facts(now);
                let case = format!("constant {constant}, {slots} slots, {busy}: {facts:?}");
                assert!((least..=most).contains(&facts.slots), "{case}");
                assert!(facts.slots_sure || slots == 16, "{case}");
                let service = facts.service_nanos.unwrap();
                assert!((3.5e6..7e6).contains(&service), "{case}");
            }
        }
    }
}

#[test]
fn without_a_bound_as_many_are_tried_as_come() {
    let load = Load::new(None);
    // 20 at once on average, and room for all
    let now = drive(&load, 1000, 5e6, false, 0.02, SECOND);
    let facts = load.facts(now);
    assert!(facts.slots >= 24, "{facts:?}");
    let service = facts.service_nanos.unwrap();
    assert!((4e6..6e6).contains(&service), "{service}");
}

#[test]
fn changes_are_followed() {
    let load = Load::new(None);
    let now = drive(&load, 4, 5e6, false, 0.9, SECOND);
    assert!((3..=6).contains(&load.facts(now).slots));
    // one of four CPUs is left, and all is twice as slow
    let now = drive(&load, 1, 10e6, false, 0.8, now);
    let facts = load.facts(now);
    assert_eq!(facts.slots, 1, "{facts:?}");
    let service = facts.service_nanos.unwrap();
    assert!((7e6..13e6).contains(&service), "{service}");
}

#[test]
fn a_long_queue_tells_the_turn() {
    let load = Load::new(None);
    let now = drive(&load, 4, 8e6, false, 1.5, SECOND);
    let turn = load.facts(now).turn_nanos.unwrap();
    assert!((1.5e6..2.6e6).contains(&turn), "{turn}");
}

#[test]
fn pulls_are_no_service() {
    let load = Load::new(None);
    let mut now = SECOND;
    for _ in 0..100 {
        let ticket = load.begin(3 * MILLI, now);
        now += 8 * MILLI;
        end(&load, ticket, Outcome::Served, now);
    }
    let service = load.facts(now).service_nanos.unwrap();
    assert!((4.9e6..5.1e6).contains(&service), "{service}");
    // pulls that take most of the time say nothing
    for _ in 0..100 {
        let ticket = load.begin(500 * MILLI, now);
        now += 600 * MILLI;
        end(&load, ticket, Outcome::Served, now);
    }
    let service = load.facts(now - 600 * MILLI).service_nanos;
    assert!(service.is_none_or(|service| service < 60e6), "{service:?}");
}

#[test]
fn failures_are_not_fast() {
    let load = Load::new(None);
    for now in 1..100 {
        let ticket = load.begin(0, now * MILLI);
        end(&load, ticket, Outcome::Failed, now * MILLI + 1);
    }
    assert_eq!(load.facts(MILLI).service_nanos, None);
    // one that never answers takes at least so long
    let ticket = load.begin(0, SECOND);
    end(&load, ticket, Outcome::TimedOut, 4 * SECOND);
    assert_eq!(load.facts(4 * SECOND).service_nanos, Some(3e9));
}

#[test]
fn what_is_old_is_not_sure_and_then_not_known() {
    let load = Load::new(None);
    let now = drive(&load, 1, 5e6, true, 0.5, SECOND);
    assert!(load.facts(now).service_error.is_some());
    let later = load.facts(now + 2 * SECOND);
    assert!(later.service_error.is_none() && later.service_nanos.is_some());
    assert_eq!(load.facts(now + 11 * SECOND).service_nanos, None);
}
