//! `choose` against a small model: senders in a closed loop, replicas with slots; in virtual time.

mod kinds;
mod spread;
mod strategies;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use towpath_config::topology::{Outlier, Policy};

use super::{Candidate, Request, choose};
use crate::routing::load::{Facts, Load, Outcome, assumed};
use crate::routing::placement::Placement;

const MILLI: u64 = 1_000_000;

/// A replica of the model.
struct Server {
    placement: Placement,
    mean_nanos: u64,
    slots: usize,
    /// It answers 503 at once.
    refuses: bool,
    load: Load,
    busy: usize,
    queue: VecDeque<usize>,
    hops: u32,
}

impl Server {
    fn new(placement: Placement, mean_nanos: u64, slots: usize) -> Self {
        Self {
            placement,
            mean_nanos,
            slots,
            refuses: false,
            load: Load::new(None),
            busy: 0,
            queue: VecDeque::new(),
            hops: 0,
        }
    }
}

/// What a run of the model came to.
struct Run {
    hops: Vec<u32>,
    mean_nanos: f64,
    refused: u32,
}

impl Run {
    fn max_over_mean(&self) -> f64 {
        let sum: u32 = self.hops.iter().sum();
        let most = self.hops.iter().max().copied().unwrap_or_default();
        f64::from(most) * self.hops.len() as f64 / f64::from(sum)
    }

    fn share(&self, index: usize) -> f64 {
        f64::from(self.hops[index]) / f64::from(self.hops.iter().sum::<u32>())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Send(usize),
    Ends(usize),
}

/// `senders` each send 1 KB, wait for the answer, think for `think_nanos` on average, and send again, until there were `count`
/// hops.
fn run(
    mut servers: Vec<Server>,
    policy: &Policy,
    senders: usize,
    think_nanos: u64,
    count: usize,
) -> Run {
    let mut rng = Rng::with_seed(42);
    let outlier = Outlier::default();
    let exponential = |rng: &mut Rng, mean: u64| (-(1.0 - rng.f64()).ln() * mean as f64) as u64;
    let (mut heap, mut hops) = (BinaryHeap::new(), Vec::new());
    let (mut sum, mut done, mut refused, mut turn) = (0, 0, 0, 0);
    for sender in 0..senders {
        heap.push(Reverse((
            exponential(&mut rng, think_nanos) + 1,
            Next::Send(sender),
        )));
    }
    while let Some(Reverse((now, next))) = heap.pop() {
        let (Next::Send(index) | Next::Ends(index)) = next;
        let freed = match next {
            Next::Send(_) if hops.len() >= count => continue,
            Next::Send(sender) => {
                turn += 1;
                let candidates: Vec<_> = servers
                    .iter()
                    .map(|server| candidate(server.placement, server.load.facts(now)))
                    .collect();
                let choice = choose(&candidates, &small(turn), policy, &mut rng).unwrap();
                let server = &mut servers[choice.index];
                let ticket = server.load.begin(choice.pull_nanos, now);
                server.hops += 1;
                if server.refuses {
                    refused += 1;
                    let busy = Outcome::Refused { retry_after: None };
                    server.load.end(ticket, busy, &outlier, now);
                    heap.push(Reverse((now + 1, Next::Send(sender))));
                    continue;
                }
                hops.push((choice.index, Some(ticket), now, sender));
                server.queue.push_back(hops.len() - 1);
                choice.index
            }
            Next::Ends(_) => {
                let (server, ticket, began, sender) = &mut hops[index];
                let load = &servers[*server].load;
                load.end(ticket.take().unwrap(), Outcome::Served, &outlier, now);
                sum += now - *began;
                done += 1;
                let think = exponential(&mut rng, think_nanos);
                heap.push(Reverse((now + think, Next::Send(*sender))));
                servers[*server].busy -= 1;
                *server
            }
        };
        let server = &mut servers[freed];
        while server.busy < server.slots
            && let Some(hop) = server.queue.pop_front()
        {
            server.busy += 1;
            let ends = now + exponential(&mut rng, server.mean_nanos).max(1);
            heap.push(Reverse((ends, Next::Ends(hop))));
        }
    }
    Run {
        hops: servers.iter().map(|server| server.hops).collect(),
        mean_nanos: sum as f64 / f64::from(done),
        refused,
    }
}

fn small(turn: usize) -> Request {
    Request {
        size_bytes: 1024,
        by_reference: false,
        turn,
    }
}

fn candidate(placement: Placement, facts: Facts) -> Candidate {
    Candidate {
        facts,
        placement,
        has_data: placement.is_on_node(),
        bytes_per_second: assumed(placement),
        weight: 0,
        excluded: false,
    }
}

/// A candidate of which nothing is known.
fn idle(placement: Placement) -> Candidate {
    candidate(placement, Load::new(None).facts(0))
}

/// A policy with this strategy.
fn policy(strategy: towpath_config::topology::Strategy) -> Policy {
    Policy {
        strategy,
        ..Policy::default()
    }
}

/// Facts as after many hops of `service_nanos` on `slots`.
fn served(service_nanos: f64, slots: u32, in_flight: u32) -> Facts {
    Facts {
        in_flight,
        in_flight_expected: f64::from(in_flight),
        slots,
        slots_sure: true,
        service_nanos: Some(service_nanos),
        service_error: Some(0.01),
        ..Load::new(None).facts(0)
    }
}

fn age(facts: Facts, age: Duration) -> Facts {
    Facts {
        age_nanos: Some(age.as_nanos() as u64),
        ..facts
    }
}
