//! What a load makes of hops: counts, estimates, refusals, failures, and the feed.

mod estimates;
mod standing;

use super::*;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;

fn end(load: &Load, ticket: Ticket, outcome: Outcome, now: u64) {
    load.end(ticket, outcome, &Outlier::default(), now);
}

#[test]
fn tickets_are_counted() {
    let load = Load::new(None);
    let first = load.begin(5 * MILLI, MILLI);
    let mut second = load.begin(7 * MILLI, 2 * MILLI);
    let facts = load.facts(4 * MILLI);
    assert_eq!((facts.in_flight, facts.pulling_nanos), (2, 12 * MILLI));
    assert_eq!(facts.stalled_nanos, 3 * MILLI);
    load.pulled(&mut second);
    assert_eq!(load.facts(0).pulling_nanos, 5 * MILLI);
    end(&load, first, Outcome::Abandoned, 5 * MILLI);
    end(&load, second, Outcome::Served, 6 * MILLI);
    let facts = load.facts(7 * MILLI);
    assert_eq!(
        (facts.in_flight, facts.pulling_nanos, facts.stalled_nanos),
        (0, 0, 0)
    );
}

#[test]
fn room_is_never_exceeded() {
    let load = Load::new(None);
    let most = NonZeroU32::new(2).unwrap();
    let first = load.try_begin(most, 0, 0).unwrap();
    let second = load.try_begin(most, 0, 0).unwrap();
    assert!(load.try_begin(most, 0, 0).is_none());
    assert!(load.enqueue(1));
    assert!(!load.enqueue(1));
    assert_eq!(load.facts(0).queued, 1);
    load.dequeue();
    load.dequeue();
    assert_eq!(load.facts(0).queued, 0);
    end(&load, first, Outcome::Served, 1);
    assert!(load.try_begin(most, 0, 0).is_some());
    end(&load, second, Outcome::Served, 1);
}

#[test]
fn a_feed_tells_of_others() {
    let load = Load::new(Some(3));
    let own = load.begin(MILLI, SECOND);
    let feed = Feed {
        in_flight: 9,
        yours: 2,
        others_pulling_nanos: 4 * MILLI,
        service_nanos: 5 * MILLI,
        slots: 4,
    };
    let detail = Detail {
        slots_sure: true,
        service_spread_permille: 1000,
        turn_nanos: MILLI,
        between_nanos: 2 * MILLI,
    };
    load.feed(&feed, SECOND);
    load.feed_detail(&detail);
    let facts = load.facts(SECOND);
    // nine there, of which two were ours; one is now
    assert_eq!((facts.in_flight, facts.pulling_nanos), (8, 5 * MILLI));
    assert_eq!((facts.slots, facts.slots_sure), (4, true));
    assert_eq!(facts.service_nanos, Some(5e6));
    assert_eq!(facts.turn_nanos, Some(1e6));
    assert_eq!(facts.between_nanos, Some(2e6));
    assert!(facts.service_error.is_some_and(|error| error < 0.1));
    assert_eq!(load.fed_nanos(), Some(SECOND));
    // usually nobody else sends there: what was said counts for less until the owner looks again
    assert_eq!(facts.in_flight_expected, 8.0);
    let later = load.facts(SECOND + 15 * MILLI).in_flight_expected;
    assert!((1.0..3.0).contains(&later), "{later}");
    let again = load.facts(SECOND + FEED_EVERY_NANOS).in_flight_expected;
    assert_eq!(again, 8.0);
    load.feed_lost();
    let facts = load.facts(2 * SECOND);
    assert_eq!((facts.in_flight, facts.pulling_nanos), (1, MILLI));
    assert_eq!((facts.service_nanos, load.fed_nanos()), (None, None));
    end(&load, own, Outcome::Served, SECOND);
    assert_eq!(load.facts(SECOND + 3).age_nanos, Some(SECOND));
}

#[test]
fn nonsense_of_a_feed_does_no_harm() {
    let load = Load::new(None);
    let feed = Feed {
        in_flight: 1,
        yours: u32::MAX,
        others_pulling_nanos: u64::MAX,
        service_nanos: u64::MAX,
        slots: u32::MAX,
    };
    load.feed(&feed, u64::MAX);
    let ticket = load.begin(u64::MAX, 7);
    let facts = load.facts(3);
    assert_eq!((facts.in_flight, facts.pulling_nanos), (1, u64::MAX));
    assert!(facts.in_flight_expected.is_finite());
    end(&load, ticket, Outcome::Served, 0);
    assert!(load.facts(u64::MAX).service_nanos.is_some());
}

#[test]
fn the_peak_jumps_up_and_decays() {
    let load = Load::new(None);
    let hop = |began: u64, took: u64| {
        let ticket = load.begin(0, began);
        end(&load, ticket, Outcome::Served, began + took);
    };
    hop(SECOND, 10 * MILLI);
    hop(2 * SECOND, 500 * MILLI);
    assert!(load.latency_nanos(3 * SECOND) > 400e6);
    hop(3 * SECOND, 10 * MILLI);
    assert!(load.latency_nanos(3 * SECOND) > 300e6);
    assert!(load.latency_nanos(60 * SECOND) < 10e6);
}
