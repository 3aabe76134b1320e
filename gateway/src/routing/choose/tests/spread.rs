//! How hops spread over replicas: evenly over equal ones, away from slow and refusing ones, near the data while there is room.

use super::*;
use towpath_config::topology::Strategy;

const STRATEGIES: [Strategy; 4] = [
    Strategy::Adaptive,
    Strategy::LocalFirst,
    Strategy::LeastRequest,
    Strategy::RoundRobin,
];

fn equal(count: usize, slots: usize) -> Vec<Server> {
    let server = |_| Server::new(Placement::SameZone, MILLI, slots);
    (0..count).map(server).collect()
}

#[test]
fn equal_replicas_get_equal_shares() {
    for strategy in STRATEGIES {
        for count in [2, 3, 10] {
            for slots in [1, 64] {
                let run = run(
                    equal(count, slots),
                    &policy(strategy.clone()),
                    64,
                    0,
                    20_000,
                );
                let most = run.max_over_mean();
                assert!(most < 1.2, "{strategy:?} {count} x {slots}: {:?}", run.hops);
            }
        }
    }
}

#[test]
fn few_senders_do_not_always_take_the_first() {
    let adaptive = policy(Strategy::Adaptive);
    for senders in [1, 2, 3] {
        let run = run(equal(2, 4), &adaptive, senders, MILLI, 2000);
        assert!(run.max_over_mean() < 1.2, "{senders}: {:?}", run.hops);
    }
}

#[test]
fn a_slow_replica_gets_little() {
    for count in [3, 10] {
        for slots in [8, 64] {
            let healthy = run(equal(count - 1, slots), &Policy::default(), 64, 0, 20_000);
            let mut servers = equal(count, slots);
            servers[1].mean_nanos *= 5;
            let run = run(servers, &Policy::default(), 64, 0, 20_000);
            let of_fair = run.share(1) * count as f64;
            assert!(of_fair < 0.3, "{count} x {slots}: {of_fair} {:?}", run.hops);
            let slower = run.mean_nanos / healthy.mean_nanos;
            assert!(slower < 1.3, "{count} x {slots}: {slower}");
        }
    }
}

#[test]
fn a_replica_that_refuses_gets_next_to_nothing() {
    for strategy in STRATEGIES {
        let mut servers = equal(3, 64);
        servers[0].refuses = true;
        let run = run(servers, &policy(strategy.clone()), 64, 0, 20_000);
        assert!(run.share(0) < 0.01, "{strategy:?}: {:?}", run.hops);
        assert!(run.refused >= 1);
    }
}

/// Replicas in three zones, and where the sender in the first zone sees them.
fn zones(replicas: [usize; 3], slots: usize) -> Vec<Server> {
    let placements = [
        Placement::SameZone,
        Placement::Elsewhere,
        Placement::Elsewhere,
    ];
    replicas
        .into_iter()
        .zip(placements)
        .flat_map(|(count, placement)| {
            (0..count).map(move |_| Server::new(placement, 5 * MILLI, slots))
        })
        .collect()
}

#[test]
fn near_while_there_is_room() {
    for (replicas, local) in [([4, 4, 3], 4), ([1, 1, 0], 1), ([1, 0, 0], 1)] {
        // a third of the room of the local replicas
        let senders = local * 8 / 3;
        let run = run(zones(replicas, 8), &Policy::default(), senders, 0, 20_000);
        let local: f64 = (0..local).map(|index| run.share(index)).sum();
        assert!(local > 0.9, "{replicas:?}: {:?}", run.hops);
    }
}

#[test]
fn even_where_there_is_no_room_near() {
    for replicas in [[4, 4, 3], [1, 1, 0], [1, 0, 0]] {
        let total: usize = replicas.iter().sum();
        let run = run(
            zones(replicas, 8),
            &Policy::default(),
            total * 12,
            0,
            20_000,
        );
        assert!(run.max_over_mean() < 1.3, "{replicas:?}: {:?}", run.hops);
    }
}

/// Two are in the local replica, a third comes: it moves if its data gets to the idle one before the two are through.
#[test]
fn the_third_moves_over_a_fast_link_only() {
    let mut rng = Rng::with_seed(1);
    let cases = [
        (1.25e9, 200 * MILLI, 2 << 20, 1),
        (1.25e9, 200 * MILLI, 64 << 20, 1),
        (1.25e8, 5 * MILLI, 64 << 20, 0),
        (1.25e8, 5 * MILLI, 2 << 20, 0),
        (1.25e9, 5 * MILLI, 64 << 20, 0),
        (1.25e8, 200 * MILLI, 2 << 20, 1),
    ];
    for (bytes_per_second, service, size_bytes, expected) in cases {
        let local = candidate(Placement::SameNode, served(service as f64, 1, 2));
        let remote = candidate(Placement::SameZone, served(service as f64, 1, 0));
        let remote = Candidate {
            bytes_per_second,
            ..remote
        };
        let request = Request {
            size_bytes,
            ..small(0)
        };
        let choice = choose(&[local, remote], &request, &Policy::default(), &mut rng).unwrap();
        let case = format!("{size_bytes} bytes, {bytes_per_second} a second, {service} ns");
        assert_eq!(choice.index, expected, "{case}");
        // by reference nothing has to get there
        let by_reference = Request {
            by_reference: true,
            ..request
        };
        let choice = choose(
            &[local, remote],
            &by_reference,
            &Policy::default(),
            &mut rng,
        );
        assert_eq!(choice.unwrap().index, 1, "{case}");
    }
}

#[test]
fn a_pull_counts_for_those_who_come_behind_it() {
    let mut rng = Rng::with_seed(1);
    let request = Request {
        size_bytes: 64 << 20,
        ..small(0)
    };
    let local = candidate(Placement::SameNode, served(30e6, 1, 40));
    let quiet = candidate(Placement::Elsewhere, served(30e6, 1, 0));
    let choice = choose(&[local, quiet], &request, &Policy::default(), &mut rng).unwrap();
    assert_eq!((choice.index, choice.pull_nanos), (1, 536_870_912));
    // one hop every 50 ms comes to it anyway
    let between_nanos = Some(50e6);
    let facts = Facts {
        between_nanos,
        ..quiet.facts
    };
    let popular = Candidate { facts, ..quiet };
    let choice = choose(&[local, popular], &request, &Policy::default(), &mut rng).unwrap();
    assert_eq!((choice.index, choice.pull_nanos), (0, 0));
}

#[test]
fn a_replica_that_never_answers_loses_its_hops() {
    let facts = Facts {
        stalled_nanos: 60_000 * MILLI,
        ..served(5e6, 8, 3)
    };
    let hangs = candidate(Placement::SameNode, facts);
    let answers = candidate(Placement::Elsewhere, served(5e6, 8, 3));
    let mut rng = Rng::with_seed(1);
    let choice = choose(&[hangs, answers], &small(0), &Policy::default(), &mut rng).unwrap();
    assert_eq!(choice.index, 1);
}
