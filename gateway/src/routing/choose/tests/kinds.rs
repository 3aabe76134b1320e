//! Who may serve at all: tried, busy, full and left out replicas, and those in their slow start.

use super::super::{NoChoice, Reason};
use super::*;
use std::num::NonZeroU32;
use towpath_config::topology::{Strategy, Weights};

const HERE: Placement = Placement::SameNode;
const THERE: Placement = Placement::Elsewhere;

fn pick(candidates: &[Candidate], policy: &Policy) -> Result<(usize, Reason), NoChoice> {
    let choice = choose(candidates, &small(7), policy, &mut Rng::with_seed(3))?;
    assert_eq!(choice.placement, candidates[choice.index].placement);
    Ok((choice.index, choice.reason))
}

fn with(candidate: Candidate, change: impl FnOnce(&mut Facts)) -> Candidate {
    let mut facts = candidate.facts;
    change(&mut facts);
    Candidate { facts, ..candidate }
}

fn strategies() -> [Policy; 6] {
    let sides = Weights::Placement {
        local: 50,
        remote: 50,
    };
    let listed = Weights::Replicas([("unknown".into(), 1)].into());
    [
        Strategy::Adaptive,
        Strategy::LocalFirst,
        Strategy::LeastRequest,
        Strategy::RoundRobin,
        Strategy::Weighted(sides),
        Strategy::Weighted(listed),
    ]
    .map(policy)
}

#[test]
fn the_better_kind_serves() {
    let fit = idle(THERE);
    let busy = with(idle(HERE), |facts| facts.busy = true);
    let out = with(idle(HERE), |facts| facts.ejected = true);
    let tried = Candidate {
        excluded: true,
        ..idle(HERE)
    };
    for policy in strategies() {
        let strategy = &policy.strategy;
        assert_eq!(
            pick(&[busy, fit, out], &policy).unwrap().0,
            1,
            "{strategy:?}"
        );
        assert_eq!(pick(&[out, busy], &policy), Ok((1, Reason::AllBusy)));
        let found = pick(&[tried, busy, fit], &policy);
        assert_eq!(found, Ok((2, Reason::RetryElsewhere)));
        let found = pick(&[tried, out], &policy);
        assert_eq!(found, Ok((1, Reason::RetryElsewhere)));
        assert_eq!(pick(&[tried, tried], &policy), Err(NoChoice::AllTried));
        assert_eq!(pick(&[], &policy), Err(NoChoice::NoCandidate));
    }
}

#[test]
fn a_lone_replica_serves_whatever_it_said() {
    for policy in strategies() {
        for change in [
            |facts: &mut Facts| facts.busy = true,
            |facts: &mut Facts| facts.down = true,
            |facts: &mut Facts| facts.ejected = true,
        ] {
            let lone = with(idle(THERE), change);
            assert_eq!(pick(&[lone], &policy), Ok((0, Reason::Only)));
        }
    }
}

#[test]
fn at_most_half_are_left_out_and_those_are_the_worst() {
    let out = |failures| {
        with(idle(THERE), |facts| {
            facts.ejected = true;
            facts.failures = failures;
        })
    };
    let down = with(out(0), |facts| facts.down = true);
    let all = [out(9), out(5), down, out(7)];
    for policy in strategies() {
        for seed in 0..50 {
            let mut rng = Rng::with_seed(seed);
            let choice = choose(&all, &small(seed as usize), &policy, &mut rng).unwrap();
            assert!([1, 3].contains(&choice.index), "{choice:?}");
            assert_eq!(choice.reason, Reason::Panic);
        }
    }
    // as bad: the first stay out
    for seed in 0..50 {
        let mut rng = Rng::with_seed(seed);
        let same = [out(5), out(5), out(5)];
        let choice = choose(&same, &small(0), &Policy::default(), &mut rng).unwrap();
        assert!([1, 2].contains(&choice.index));
    }
    // half of them: no panic
    let half = [out(5), idle(THERE), down, idle(THERE)];
    let (index, reason) = pick(&half, &Policy::default()).unwrap();
    assert!([1, 3].contains(&index) && reason != Reason::Panic);
    // beyond any count
    let endless = [out(u32::MAX), out(u32::MAX - 1)];
    assert_eq!(pick(&endless, &Policy::default()), Ok((1, Reason::Panic)));
}

#[test]
fn full_replicas_are_waited_for_when_all_are() {
    let bounded = |policy: Policy| Policy {
        replica_concurrency: NonZeroU32::new(2),
        replica_queue: 3,
        ..policy
    };
    let full = |placement, queued| {
        let facts = Facts {
            queued,
            ..served(5e6, 2, 2)
        };
        candidate(placement, facts)
    };
    for policy in strategies().map(bounded) {
        let strategy = &policy.strategy;
        let room = candidate(THERE, served(5e6, 2, 1));
        assert_eq!(
            pick(&[full(HERE, 1), room], &policy).unwrap().0,
            1,
            "{strategy:?}"
        );
        let all = [full(THERE, 3), full(THERE, 1), full(THERE, 3)];
        let choice = choose(&all, &small(0), &policy, &mut Rng::with_seed(1)).unwrap();
        let found = (choice.index, choice.reason, choice.waits);
        assert_eq!(found, (1, Reason::AllFull, true), "{strategy:?}");
        let none = [full(HERE, 3), full(THERE, 3)];
        let error = pick(&none, &policy).unwrap_err();
        assert_eq!(
            error,
            NoChoice::QueueFull {
                waiting: 3,
                most: 3
            }
        );
        assert!(error.to_string().contains("replicaQueue 3"), "{error}");
    }
    // `Adaptive` waits here if the data takes longer to get there
    let adaptive = bounded(Policy::default());
    let large = Request {
        size_bytes: 64 << 20,
        ..small(0)
    };
    let both = [full(HERE, 1), candidate(THERE, served(5e6, 2, 1))];
    let choice = choose(&both, &large, &adaptive, &mut Rng::with_seed(1)).unwrap();
    assert_eq!((choice.index, choice.waits), (0, true));
}

#[test]
fn new_replicas_start_slowly() {
    let share = |policy: &Policy, age_millis: u64| {
        let old = candidate(THERE, served(5e6, 64, 0));
        let facts = age(old.facts, Duration::from_millis(age_millis));
        let new = candidate(THERE, facts);
        let mut rng = Rng::with_seed(9);
        let mut chosen = 0;
        for turn in 0..10_000 {
            let choice = choose(&[old, new], &small(turn), policy, &mut rng).unwrap();
            chosen += choice.index;
        }
        chosen as f64 / 5000.0
    };
    for policy in strategies() {
        let slow = Policy {
            slow_start: Duration::from_secs(10),
            ..policy.clone()
        };
        // the share of its place that a replica gets while both could serve
        for (age, expected) in [(0, 0.1), (5000, 0.55), (10_000, 1.0)] {
            let got = share(&slow, age);
            assert!(
                (got - expected).abs() < 0.1,
                "{age} {got} {:?}",
                policy.strategy
            );
        }
        assert!((share(&policy, 0) - 1.0).abs() < 0.1);
        // alone it gets everything
        let new = candidate(THERE, age(idle(THERE).facts, Duration::ZERO));
        assert_eq!(pick(&[new, new], &slow).map(|_| ()), Ok(()));
    }
}

#[test]
fn nonsense_of_a_link_chooses_all_the_same() {
    for bytes_per_second in [f64::NAN, 0.0, -1.0, f64::INFINITY, f64::MIN_POSITIVE] {
        let far = Candidate {
            bytes_per_second,
            ..idle(THERE)
        };
        let huge = Request {
            size_bytes: u64::MAX,
            ..small(0)
        };
        for policy in strategies() {
            let choice = choose(&[far, far], &huge, &policy, &mut Rng::with_seed(1));
            assert!(choice.is_ok(), "{bytes_per_second}");
        }
    }
}
