//! What each strategy chooses, and the reason that it gives.

use super::super::Reason;
use super::*;
use towpath_config::topology::{Strategy, Weights};

/// How often of 10,000 times each candidate is chosen.
fn counts(candidates: &[Candidate], strategy: Strategy) -> Vec<usize> {
    let policy = policy(strategy);
    let mut rng = Rng::with_seed(5);
    let mut counts = vec![0; candidates.len()];
    for turn in 0..10_000 {
        let choice = choose(candidates, &small(turn), &policy, &mut rng).unwrap();
        counts[choice.index] += 1;
    }
    counts
}

fn reason(candidates: &[Candidate], strategy: Strategy) -> Reason {
    let policy = policy(strategy);
    let choice = choose(candidates, &small(0), &policy, &mut Rng::with_seed(5));
    choice.unwrap().reason
}

fn about(count: usize, expected: usize) -> bool {
    count.abs_diff(expected) < 300
}

#[test]
fn local_first_takes_the_nearest_that_can() {
    let crowded = candidate(Placement::SameNode, served(5e6, 1, 100));
    let far = idle(Placement::Elsewhere);
    let found = counts(&[far, crowded], Strategy::LocalFirst);
    assert_eq!(found, [0, 10_000]);
    assert_eq!(
        reason(&[far, crowded], Strategy::LocalFirst),
        Reason::Nearest
    );
    let busy = Facts {
        busy: true,
        ..crowded.facts
    };
    let refuses = candidate(Placement::SameNode, busy);
    assert_eq!(
        reason(&[far, refuses], Strategy::LocalFirst),
        Reason::FallBack
    );
}

#[test]
fn weights_by_placement() {
    let weighted = |local, remote| Strategy::Weighted(Weights::Placement { local, remote });
    let (node, zone, far) = (
        idle(Placement::SameNode),
        idle(Placement::SameZone),
        idle(Placement::Elsewhere),
    );
    let found = counts(&[node, zone, far], weighted(20, 80));
    assert!(about(found[0], 2000) && about(found[1], 4000), "{found:?}");
    // the zone is local where nothing is on the node
    let found = counts(&[zone, far], weighted(20, 80));
    assert!(about(found[0], 2000), "{found:?}");
    assert_eq!(
        counts(&[far, far], weighted(1, 0)).iter().sum::<usize>(),
        10_000
    );
    // a side that cannot serve leaves its share to the other
    let refuses = candidate(
        Placement::SameNode,
        Facts {
            busy: true,
            ..node.facts
        },
    );
    assert_eq!(counts(&[refuses, far], weighted(100, 0)), [0, 10_000]);
    assert_eq!(reason(&[node, far], weighted(1, 1)), Reason::Weighted);
}

#[test]
fn weights_by_replica() {
    let weighted = || Strategy::Weighted(Weights::Replicas([("a".into(), 1)].into()));
    let weight = |weight| Candidate {
        weight,
        ..idle(Placement::Elsewhere)
    };
    let found = counts(&[weight(1), weight(0), weight(3)], weighted());
    assert!(about(found[0], 2500) && found[1] == 0, "{found:?}");
    // none of those that are listed is there
    let found = counts(&[weight(0), weight(0)], weighted());
    assert!(about(found[0], 5000), "{found:?}");
    assert_eq!(
        reason(&[weight(0), weight(0)], weighted()),
        Reason::Unlisted
    );
    let huge = counts(&[weight(u32::MAX), weight(u32::MAX)], weighted());
    assert!(about(huge[0], 5000), "{huge:?}");
}

#[test]
fn least_request_and_round_robin() {
    let at = |in_flight| candidate(Placement::SameZone, served(5e6, 4, in_flight));
    let found = counts(&[at(3), at(1), at(2)], Strategy::LeastRequest);
    assert_eq!(found[0], 0);
    assert!(about(found[1], 6667), "{found:?}");
    assert_eq!(
        reason(&[at(1), at(1)], Strategy::LeastRequest),
        Reason::Fewest
    );
    assert_eq!(counts(&[at(9), at(1)], Strategy::RoundRobin), [5000, 5000]);
    assert_eq!(reason(&[at(9), at(1)], Strategy::RoundRobin), Reason::Turn);
}

#[test]
fn adaptive_says_why() {
    let at = |placement, in_flight| candidate(placement, served(50e6, 1, in_flight));
    let (here, there) = (Placement::SameNode, Placement::Elsewhere);
    let adaptive = || Strategy::Adaptive;
    assert_eq!(
        reason(&[at(here, 0), at(there, 0)], adaptive()),
        Reason::Nearest
    );
    let sooner = reason(&[at(here, 3), at(there, 0)], adaptive());
    assert_eq!(sooner, Reason::SoonerElsewhere);
    let busy = Facts {
        busy: true,
        ..at(here, 0).facts
    };
    let refuses = candidate(here, busy);
    assert_eq!(
        reason(&[refuses, at(there, 0)], adaptive()),
        Reason::FallBack
    );
    assert_eq!(reason(&[at(there, 9)], adaptive()), Reason::Only);
}

#[test]
fn many_candidates_are_all_looked_at() {
    let mut many = vec![candidate(Placement::SameZone, served(5e6, 1, 5)); 100];
    for index in [3, 70] {
        many[index] = candidate(Placement::SameZone, served(5e6, 1, 0));
    }
    let found = counts(&many, Strategy::Adaptive);
    assert_eq!(found[3] + found[70], 10_000);
    assert!(found[3] > 0 && found[70] > 0);
}
