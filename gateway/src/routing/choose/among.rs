//! The fixed strategies: nearest, by weight, fewest in flight, in turn.

use fastrand::Rng;

use super::usable::Usable;
use super::{Candidate, Placement, Reason};

/// A position with the reason to choose it.
pub(super) type Pick = Option<(usize, Reason)>;

/// `LocalFirst`: of the nearest that can serve, the one with fewer in flight of two.
pub(super) fn nearest(usable: &Usable<'_>, rng: &mut Rng) -> Pick {
    let least = usable
        .iter()
        .map(|(_, candidate)| candidate.placement)
        .min()?;
    let those = usable
        .iter()
        .filter(|(_, candidate)| candidate.placement == least);
    Some((fewer(those, rng)?, why(usable, least)))
}

/// `LeastRequest`: the one with fewer in flight of two.
pub(super) fn fewest(usable: &Usable<'_>, rng: &mut Rng) -> Pick {
    Some((fewer(usable.iter(), rng)?, Reason::Fewest))
}

/// `RoundRobin`: the next in turn that can serve.
pub(super) fn turn(usable: &Usable<'_>, turn: usize) -> Pick {
    let place = turn.checked_rem(usable.iter().count())?;
    let (index, _) = usable.iter().nth(place)?;
    Some((index, Reason::Turn))
}

/// `Weighted` between the nearest and all others; a side that nobody of can serve leaves its share to the other.
pub(super) fn sides(usable: &Usable<'_>, local: u32, remote: u32, rng: &mut Rng) -> Pick {
    let is_local = |candidate: &Candidate| candidate.placement <= local_until(usable);
    let (here, there) = usable
        .iter()
        .fold((false, false), |(here, there), (_, candidate)| {
            let local = is_local(candidate);
            (here || local, there || !local)
        });
    let (local, remote) = match (here, there) {
        (true, true) => (u64::from(local), u64::from(remote)),
        (here, there) => (u64::from(here), u64::from(there)),
    };
    let goes_local = rng.u64(0..(local + remote).max(1)) < local;
    let side = usable
        .iter()
        .filter(|(_, candidate)| is_local(candidate) == goes_local);
    Some((fewer(side, rng)?, Reason::Weighted))
}

/// What counts as local under [`sides`]: pod and node, or the zone if there is none, whether they can serve or not.
fn local_until(usable: &Usable<'_>) -> Placement {
    if usable
        .untried()
        .any(|(_, candidate)| candidate.placement.is_on_node())
    {
        Placement::SameNode
    } else {
        Placement::SameZone
    }
}

/// `Weighted` by replica. If none that can serve has a weight, those without one do: pods get new names all the time.
pub(super) fn weighted(usable: &Usable<'_>, rng: &mut Rng) -> Pick {
    let weights = usable
        .iter()
        .map(|(_, candidate)| u64::from(candidate.weight));
    let sum: u64 = weights.sum();
    if sum == 0 {
        return Some((fewer(usable.iter(), rng)?, Reason::Unlisted));
    }
    let mut left = rng.u64(0..sum);
    let (index, _) = usable.iter().find(|(_, candidate)| {
        let weight = u64::from(candidate.weight);
        let found = left < weight;
        left = left.saturating_sub(weight);
        found
    })?;
    Some((index, Reason::Weighted))
}

/// Why one at `placement` gets the hop where the nearest that can serve was wanted.
pub(super) fn why(usable: &Usable<'_>, placement: Placement) -> Reason {
    let nearer = usable
        .untried()
        .any(|(_, candidate)| candidate.placement < placement);
    if nearer {
        Reason::FallBack
    } else {
        Reason::Nearest
    }
}

/// Of two at random the one with fewer in flight and waiting; either if they have as many.
fn fewer<'a>(those: impl Iterator<Item = (usize, &'a Candidate)>, rng: &mut Rng) -> Option<usize> {
    let (one, other) = two(those, rng)?;
    let ((first, a), Some((second, b))) = (one, other) else {
        return Some(one.0);
    };
    match a.crowd().cmp(&b.crowd()) {
        std::cmp::Ordering::Less => Some(first),
        std::cmp::Ordering::Greater => Some(second),
        std::cmp::Ordering::Equal => Some(if rng.bool() { first } else { second }),
    }
}

/// Two of them at random, in one pass; one if there is one.
pub(super) fn two<T: Copy>(
    those: impl Iterator<Item = T>,
    rng: &mut Rng,
) -> Option<(T, Option<T>)> {
    let mut found: Option<(T, Option<T>)> = None;
    for (place, item) in those.enumerate() {
        found = match found {
            None => Some((item, None)),
            Some((one, None)) => Some((one, Some(item))),
            Some((one, other)) => Some(match rng.usize(0..=place) {
                0 => (item, other),
                1 => (one, Some(item)),
                _ => (one, other),
            }),
        };
    }
    found
}
