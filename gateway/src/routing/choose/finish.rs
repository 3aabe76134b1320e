//! How soon each candidate would have finished a hop: waiting, the pull, serving.

use super::usable::Usable;
use super::{Candidate, Facts, Request};

/// Service times that differ by less than this factor count as equal: averages of few hops differ by chance.
const ALIKE: f64 = 1.3;

/// So do those that differ by less than this many standard errors.
const ERRORS: f64 = 3.0;

/// A replica at which nothing ends for this many service times takes longer than it is thought to.
const PATIENCE: f64 = 4.0;

/// Replicas count as busy for at most this share of the time: beyond, nobody knows how much.
const MOST_BUSY: f64 = 0.8;

/// Assumed where nothing has been served yet.
const UNKNOWN_SERVICE_NANOS: f64 = 1e6;

/// What is usual among the candidates: replicas of one Service are alike until something says otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    /// Nanoseconds in which they serve a hop.
    pub(super) service_nanos: f64,
    /// How many hops they serve at once; `None` if that is not sure of any.
    slots: Option<f64>,
}

impl Usual {
    pub(super) fn of(usable: &Usable<'_>) -> Self {
        let (mut known, mut sure, mut slots) = (Sum::default(), Sum::default(), Sum::default());
        for (_, candidate) in usable.iter() {
            let facts = &candidate.facts;
            if let Some(service) = facts.service_nanos {
                known.add(service);
                if facts.service_error.is_some() {
                    sure.add(service);
                }
            }
            if facts.slots_sure {
                slots.add(f64::from(facts.slots));
            }
        }
        Self {
            service_nanos: sure
                .mean()
                .or(known.mean())
                .unwrap_or(UNKNOWN_SERVICE_NANOS),
            slots: slots.mean(),
        }
    }
}

/// Nanoseconds until `candidate` would have finished the hop, and what that costs the hops behind it. Finite.
///
/// A pull is work that delays those behind it: those who wait there now (`waiting`), and those who will come until it is done.
/// The latter follow from how busy the replica is with what comes to it anyway: of a queue that is busy for the share `r` of
/// the time, a piece of work that makes it longer by `x` after a wait of `w` delays others by `x (w + x / 2) / s * r / (1 - r)`,
/// `s` being the service time (M/G/1).
pub(super) fn nanos(
    candidate: &Candidate,
    usable: &Usable<'_>,
    request: &Request,
    usual: Usual,
) -> f64 {
    let facts = &candidate.facts;
    let slots = match usable.policy().replica_concurrency {
        Some(most) => f64::from(most.get()),
        None => slots(facts, usual),
    };
    let crowd = facts.in_flight_expected + f64::from(facts.queued);
    let service = service_nanos(facts, slots, usual);
    let wait = wait_nanos(facts, crowd, slots, service);
    let pull = candidate.pull_nanos(request);
    if pull == 0.0 {
        return wait + service;
    }
    let waiting = (crowd - slots).max(0.0);
    let coming = (wait + pull / 2.0) / service * press(facts, slots, service);
    wait + pull * (1.0 + waiting + coming) + service
}

/// What is sure of the replica itself, else what is usual, else what should be tried.
fn slots(facts: &Facts, usual: Usual) -> f64 {
    let own = f64::from(facts.slots.max(1));
    match usual.slots {
        Some(usual) if facts.slots_sure => (own * usual).sqrt().round(),
        Some(usual) => usual.round(),
        None => own,
    }
}

/// How long the replica takes for one hop: as the others, unless it is clearly faster or slower.
fn service_nanos(facts: &Facts, slots: f64, usual: Usual) -> f64 {
    let usual = usual.service_nanos;
    let service = match (facts.service_nanos, facts.service_error) {
        (Some(own), Some(error)) if (own / usual).ln().abs() > (ERRORS * error).max(ALIKE.ln()) => {
            own
        }
        _ => usual,
    };
    // hops that are before it, and pulls, are reasons why nothing ends
    let turns = (facts.in_flight_expected / slots).max(1.0);
    let stalled = facts.stalled_nanos.saturating_sub(facts.pulling_nanos) as f64;
    service.max(stalled / (PATIENCE * turns))
}

/// Work in flight for each slot, counted beyond the free ones.
fn wait_nanos(facts: &Facts, crowd: f64, slots: f64, service: f64) -> f64 {
    let ahead = crowd - slots + 1.0;
    if ahead <= 0.0 {
        return 0.0;
    }
    let usual = service / slots;
    let differs = |turn: &f64| (turn / usual).ln().abs() > ALIKE.ln();
    let turn = facts.turn_nanos.filter(differs).unwrap_or(usual);
    ahead * turn - soon_nanos(facts, turn) + facts.pulling_nanos as f64 / slots
}

/// How much sooner than usual the next hop there will end, because nothing has ended for a while: all of that while if each
/// takes equally long, nothing of it if they differ as much as by chance.
fn soon_nanos(facts: &Facts, turn: f64) -> f64 {
    match facts.service_spread {
        Some(spread) if facts.pulling_nanos == 0 => {
            (facts.stalled_nanos as f64).min(turn) * (1.0 - spread).max(0.0)
        }
        _ => 0.0,
    }
}

/// How hard those who come to the replica press on one that is made longer: `r / (1 - r)` for one slot, and less for more
/// (after Sakasegawa).
fn press(facts: &Facts, slots: f64, service: f64) -> f64 {
    let Some(between) = facts.between_nanos.filter(|between| *between > 0.0) else {
        return 0.0;
    };
    let busy = (service / between / slots).min(MOST_BUSY);
    let all_busy = if slots == 1.0 {
        busy
    } else {
        busy.powf((2.0 * (slots + 1.0)).sqrt() - 1.0)
    };
    all_busy / (1.0 - busy)
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    count: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn mean(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}
