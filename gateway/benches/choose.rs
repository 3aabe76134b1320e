//! What one choice costs: over 1, 10 and 100 candidates, for each strategy; and what a hop costs its load.

use divan::{Bencher, black_box};
use fastrand::Rng;
use towpath_config::topology::{Outlier, Policy, Strategy, Weights};
use towpath_gateway::routing::Placement;
use towpath_gateway::routing::choose::{Candidate, Request, choose};
use towpath_gateway::routing::load::{Load, Outcome, assumed};

const COUNTS: [usize; 3] = [1, 10, 100];

fn main() {
    divan::main();
}

/// Loads of which something is known, some of them with hops in flight.
fn loads(count: usize) -> Vec<Load> {
    let outlier = Outlier::default();
    let mut now = 1_000_000;
    let load = |index: usize| {
        let load = Load::new(Some(0));
        for _ in 0..64 {
            let ticket = load.begin(0, now);
            now += 1_000_000;
            load.end(ticket, Outcome::Served, &outlier, now);
        }
        for _ in 0..index % 4 {
            let _stays = load.begin(1000, now);
        }
        load
    };
    (0..count).map(load).collect()
}

fn candidates(loads: &[Load], now_nanos: u64) -> impl Iterator<Item = Candidate> {
    loads.iter().enumerate().map(move |(index, load)| {
        let placement = Placement::ALL[index % 4];
        Candidate {
            facts: load.facts(now_nanos),
            placement,
            has_data: placement.is_on_node(),
            bytes_per_second: assumed(placement),
            weight: 1,
            excluded: false,
        }
    })
}

fn bench(bencher: Bencher<'_, '_>, count: usize, strategy: Strategy) {
    let loads = loads(count);
    let candidates: Vec<_> = candidates(&loads, 1_000_000_000).collect();
    let policy = Policy {
        strategy,
        ..Policy::default()
    };
    let request = Request {
        size_bytes: 2 << 20,
        by_reference: false,
        turn: 7,
    };
    let mut rng = Rng::with_seed(1);
    bencher.bench_local(|| choose(black_box(&candidates), &request, &policy, &mut rng));
}

#[divan::bench(args = COUNTS)]
fn adaptive(bencher: Bencher<'_, '_>, count: usize) {
    bench(bencher, count, Strategy::Adaptive);
}

#[divan::bench(args = COUNTS)]
fn local_first(bencher: Bencher<'_, '_>, count: usize) {
    bench(bencher, count, Strategy::LocalFirst);
}

#[divan::bench(args = COUNTS)]
fn weighted(bencher: Bencher<'_, '_>, count: usize) {
    let weights = Weights::Placement {
        local: 20,
        remote: 80,
    };
    bench(bencher, count, Strategy::Weighted(weights));
}

#[divan::bench(args = COUNTS)]
fn least_request(bencher: Bencher<'_, '_>, count: usize) {
    bench(bencher, count, Strategy::LeastRequest);
}

#[divan::bench(args = COUNTS)]
fn round_robin(bencher: Bencher<'_, '_>, count: usize) {
    bench(bencher, count, Strategy::RoundRobin);
}

/// The facts of all candidates, which a choice needs first.
#[divan::bench(args = COUNTS)]
fn facts(bencher: Bencher<'_, '_>, count: usize) {
    let loads = loads(count);
    bencher.bench_local(|| {
        for candidate in candidates(black_box(&loads), 1_000_000_000) {
            black_box(candidate);
        }
    });
}

/// Beginning and end of a hop, with what its load learns from it.
#[divan::bench]
fn begin_and_end(bencher: Bencher<'_, '_>) {
    let load = Load::new(None);
    let outlier = Outlier::default();
    let mut now = 0;
    bencher.bench_local(|| {
        now += 1_000_000;
        let ticket = load.begin(0, now);
        load.end(ticket, Outcome::Served, &outlier, now + 700_000);
    });
}
