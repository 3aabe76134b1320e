//! `Adaptive`: where the data is, until another replica would finish sooner although the data has to get there.

use std::cmp::Ordering;

use fastrand::Rng;

use super::among::{Pick, two, why};
use super::finish::{self, Usual};
use super::usable::Usable;
use super::{Candidate, Reason, Request};

/// A difference up to this share of a service time is noise: the nearer replica gets the hop.
const NOISE: f64 = 0.1;

/// A difference up to so many nanoseconds is noise, however short the service: what a hop over the network costs.
const LEAST_NOISE_NANOS: f64 = 200e3;

/// Costs of so many candidates are kept from one look at them to the next; those of others are worked out again.
const KEPT: usize = 32;

/// The replica that will finish the hop soonest; of those that do within the noise, a nearest one, and among these at
/// random the better of two.
pub(super) fn soonest(usable: &Usable<'_>, request: &Request, rng: &mut Rng) -> Pick {
    let usual = Usual::of(usable);
    let work_out = |candidate: &Candidate| finish::nanos(candidate, usable, request, usual);
    let mut kept = [0.0; KEPT];
    let mut least = f64::INFINITY;
    for (index, candidate) in usable.iter() {
        let cost = work_out(candidate);
        least = least.min(cost);
        if let Some(place) = kept.get_mut(index) {
            *place = cost;
        }
    }
    let cost = |index: usize, candidate: &Candidate| match kept.get(index) {
        Some(cost) => *cost,
        None => work_out(candidate),
    };
    let noise = (usual.service_nanos * NOISE).max(LEAST_NOISE_NANOS);
    let placement = usable
        .iter()
        .filter(|(index, candidate)| cost(*index, candidate) <= least + noise)
        .map(|(_, candidate)| candidate.placement)
        .min()?;
    let near = usable
        .iter()
        .filter(|(_, candidate)| candidate.placement == placement)
        .map(|(index, candidate)| (index, candidate, cost(index, candidate)));
    let least_near = near
        .clone()
        .map(|(_, _, cost)| cost)
        .fold(f64::INFINITY, f64::min);
    let equals = near.filter(|(_, _, cost)| *cost <= least_near + noise);
    let index = match two(equals, rng)? {
        ((only, _, _), None) => only,
        ((one, a, _), Some((other, b, _))) => match better(a, b) {
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

/// What tells equals apart: fewer hops there; of as many, that none has begun there for longer, so that those that are served
/// now began earlier.
fn better(one: &Candidate, other: &Candidate) -> Ordering {
    let rested = |candidate: &Candidate| std::cmp::Reverse(candidate.facts.since_begun_nanos);
    (one.crowd(), rested(one)).cmp(&(other.crowd(), rested(other)))
}
