//! `Adaptive`: where the data is, until another replica would finish sooner although the data has to get there.

use std::cmp::Ordering;

use fastrand::Rng;

use super::among::{Pick, two, why};
use super::usable::Usable;
use super::{Candidate, Reason, Request};

/// A difference up to this share of a service time is noise: the nearer replica gets the hop.
const NOISE: f64 = 0.1;

/// A difference up to so many nanoseconds is noise, however short the service: what a hop over the network costs.
const LEAST_NOISE_NANOS: f64 = 200e3;

/// Replicas whose service times differ by less than this factor count as equally fast: averages of few hops differ by chance.
const EQUALLY_FAST: f64 = 2.0;

/// A replica at which nothing ends for this many service times takes longer than it is thought to.
const PATIENCE: f64 = 4.0;

/// Assumed where nothing has been served yet.
const UNKNOWN_SERVICE_NANOS: f64 = 1e6;

/// The replica that will finish the hop soonest; of those that do within the noise, a nearest one, and among these at
/// random the better of two.
pub(super) fn soonest(usable: &Usable<'_>, request: &Request, rng: &mut Rng) -> Pick {
    let usual = Usual::of(usable);
    let cost = |candidate: &Candidate| cost_nanos(candidate, usable, request, usual);
    let least = usable
        .iter()
        .map(|(_, candidate)| cost(candidate))
        .fold(f64::INFINITY, f64::min);
    let noise = (usual.service_nanos * NOISE).max(LEAST_NOISE_NANOS);
    let placement = usable
        .iter()
        .filter(|(_, candidate)| cost(candidate) <= least + noise)
        .map(|(_, candidate)| candidate.placement)
        .min()?;
    let near = usable
        .iter()
        .filter(|(_, candidate)| candidate.placement == placement)
        .map(|(index, candidate)| (index, candidate, cost(candidate)));
    let least_near = near
        .clone()
        .map(|(_, _, cost)| cost)
        .fold(f64::INFINITY, f64::min);
    let equals = near.filter(|(_, _, cost)| *cost <= least_near + noise);
    let index = match two(equals, rng)? {
        ((index, _, _), None) => index,
        // What tells them apart is noise, but for how many hops are there.
        ((one, a, _), Some((other, b, _))) => match a.crowd().cmp(&b.crowd()) {
            Ordering::Less => one,
            Ordering::Greater => other,
            Ordering::Equal if rng.bool() => one,
            Ordering::Equal => other,
        },
    };
    let nearer_can = usable
        .iter()
        .any(|(_, candidate)| candidate.placement < placement);
    let reason = if nearer_can {
        Reason::SoonerElsewhere
    } else {
        why(usable, placement)
    };
    Some((index, reason))
}

/// Nanoseconds until a replica would have finished the hop: waiting, the pull, serving. A pull is work that delays those behind
/// it, so it counts once more for each that waits there.
fn cost_nanos(candidate: &Candidate, usable: &Usable<'_>, request: &Request, usual: Usual) -> f64 {
    let facts = &candidate.facts;
    let (service, slots) = usual.of_one(candidate);
    let slots = match usable.policy().replica_concurrency {
        Some(most) => f64::from(most.get()),
        None => slots,
    };
    let turns = (f64::from(facts.in_flight) / slots).max(1.0);
    let stalled = facts.stalled_nanos as f64 / (PATIENCE * turns);
    let (service, crowd) = (service.max(stalled), f64::from(candidate.crowd()));
    let ahead = crowd - slots + 1.0;
    let wait = if ahead > 0.0 {
        (ahead * service + facts.pulling_nanos as f64) / slots
    } else {
        0.0
    };
    let waiting = (crowd - slots).max(0.0);
    wait + candidate.pull_nanos(request) * (1.0 + waiting) + service
}

/// What is usual among the candidates.
#[derive(Debug, Clone, Copy)]
struct Usual {
    service_nanos: f64,
    typical_nanos: f64,
    slots: f64,
}

impl Usual {
    /// The average service time, and the most slots that any of them is thought to have: the estimate of one that gets few
    /// hops is low because nothing else was seen of it.
    fn of(usable: &Usable<'_>) -> Self {
        let (mut sum, mut sum_ln, mut count, mut slots) = (0.0, 0.0, 0.0, 1);
        for (_, candidate) in usable.iter() {
            slots = slots.max(candidate.facts.slots);
            if let Some(service) = candidate.facts.service_nanos {
                sum += service;
                sum_ln += candidate.facts.typical_nanos.unwrap_or(service).ln();
                count += 1.0;
            }
        }
        let (service_nanos, typical_nanos) = if count > 0.0 {
            (sum / count, f64::exp(sum_ln / count))
        } else {
            (UNKNOWN_SERVICE_NANOS, UNKNOWN_SERVICE_NANOS)
        };
        Self {
            service_nanos,
            typical_nanos,
            slots: f64::from(slots),
        }
    }

    /// Service time and slots of one of them: as the others', unless it is clearly faster or slower. Without this two that are
    /// alike drift apart: who gets more hops shows more slots, and gets more.
    fn of_one(self, candidate: &Candidate) -> (f64, f64) {
        let facts = &candidate.facts;
        let usual = self.service_nanos;
        let own = facts.service_nanos.unwrap_or(usual);
        let ratio = facts.typical_nanos.unwrap_or(self.typical_nanos) / self.typical_nanos;
        let alike = (1.0 / EQUALLY_FAST..EQUALLY_FAST).contains(&ratio);
        if alike || !facts.service_is_sure {
            (usual, self.slots)
        } else {
            (own, f64::from(facts.slots.max(1)))
        }
    }
}
