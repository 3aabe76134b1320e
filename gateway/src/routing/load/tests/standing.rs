//! Refusals, failures and checks.

use super::*;

const REFUSED: Outcome = Outcome::Refused { retry_after: None };

fn hop(load: &Load, outcome: Outcome, now: u64) {
    let ticket = load.begin(0, now);
    end(load, ticket, outcome, now);
}

/// For how long after a refusal at `now` the replica is busy, in whole milliseconds.
fn busy_for(load: &Load, now: u64) -> u64 {
    let millis = (0..400_000).step_by(100);
    let mut busy = millis.take_while(|millis| load.facts(now + millis * MILLI).busy);
    busy.by_ref().last().map_or(0, |last| last + 100)
}

#[test]
fn busy_times_grow_until_a_hop_is_served() {
    let load = Load::new(None);
    let mut now = SECOND;
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        hop(&load, REFUSED, now);
        assert_eq!(busy_for(&load, now), seconds * 1000);
        now += 40 * SECOND;
    }
    hop(&load, Outcome::Served, now);
    hop(&load, REFUSED, now);
    assert_eq!(busy_for(&load, now), 1000);
}

#[test]
fn retry_after_is_believed_up_to_a_bound() {
    let year = Duration::from_secs(365 * 86_400);
    for (wait, millis) in [
        (Duration::from_secs(7), 7000),
        (year, 300_000),
        (Duration::MAX, 300_000),
        (Duration::ZERO, 0),
    ] {
        let load = Load::new(None);
        let retry_after = Some(wait);
        hop(&load, Outcome::Refused { retry_after }, SECOND);
        assert_eq!(busy_for(&load, SECOND), millis);
    }
}

#[test]
fn hops_refused_together_are_one_busy_time() {
    let load = Load::new(None);
    let tickets: Vec<_> = (0..64).map(|_| load.begin(0, SECOND)).collect();
    for ticket in tickets {
        end(&load, ticket, REFUSED, SECOND + MILLI);
    }
    assert_eq!(busy_for(&load, SECOND + MILLI), 1000);
}

#[test]
fn after_a_busy_time_one_hop_finds_out() {
    let load = Load::new(None);
    let long = load.begin(0, MILLI);
    hop(&load, REFUSED, SECOND);
    let after = 3 * SECOND;
    assert!(!load.facts(after).busy);
    let probe = load.begin(0, after);
    assert!(load.facts(after).busy);
    // one that began before it refused says nothing
    end(&load, long, Outcome::Served, after);
    assert!(load.facts(after).busy);
    end(&load, probe, Outcome::Abandoned, after);
    assert!(!load.facts(after).busy);
    let probe = load.begin(0, after);
    end(&load, probe, Outcome::Served, after + MILLI);
    let _first = load.begin(0, after + MILLI);
    assert!(!load.facts(after + MILLI).busy);
}

#[test]
fn failures_in_a_row_eject_for_longer_each_time() {
    let load = Load::new(None);
    let mut now = SECOND;
    for _ in 0..4 {
        hop(&load, Outcome::Failed, now);
        assert!(!load.facts(now).ejected);
    }
    hop(&load, Outcome::TimedOut, now);
    for seconds in [10, 20, 30] {
        assert!(load.facts(now).ejected);
        assert!(load.facts(now + (seconds - 1) * SECOND).ejected);
        now += seconds * SECOND;
        assert!(!load.facts(now).ejected);
        // it comes back on trial: one failure is enough
        hop(&load, Outcome::Failed, now);
    }
    now += 100 * SECOND;
    hop(&load, Outcome::Served, now);
    assert_eq!(load.facts(now).failures, 0);
    // well for as long as it was out last
    now += 60 * SECOND;
    hop(&load, Outcome::Served, now);
    for _ in 0..5 {
        hop(&load, Outcome::Failed, now);
    }
    assert!(load.facts(now + 9 * SECOND).ejected && !load.facts(now + 10 * SECOND).ejected);
}

#[test]
fn failures_of_hops_from_before_do_not_eject_again() {
    let load = Load::new(None);
    let tickets: Vec<_> = (0..50).map(|_| load.begin(0, SECOND)).collect();
    for ticket in tickets {
        end(&load, ticket, Outcome::Failed, SECOND + MILLI);
    }
    assert!(!load.facts(12 * SECOND).ejected);
}

#[test]
fn zero_failures_is_never_and_bounds_hold() {
    let never = Outlier {
        consecutive_failures: 0,
        ..Outlier::default()
    };
    let endless = Outlier {
        consecutive_failures: 1,
        base_ejection: Duration::MAX,
        max_ejection: Duration::MAX,
    };
    let load = Load::new(None);
    for _ in 0..100 {
        load.end(load.begin(0, 1), Outcome::Failed, &never, 2);
    }
    assert!(!load.facts(3).ejected);
    load.end(load.begin(0, 1), Outcome::Failed, &endless, 2);
    assert!(load.facts(u64::MAX - 1).ejected);
}

#[test]
fn checks_say_busy_and_down() {
    let load = Load::new(None);
    for (health, busy, down) in [
        (Health::Busy, true, false),
        (Health::Down, false, true),
        (Health::Up, false, false),
    ] {
        load.set_health(health);
        assert_eq!(load.health(), health);
        let facts = load.facts(1);
        assert_eq!((facts.busy, facts.down), (busy, down));
    }
}
