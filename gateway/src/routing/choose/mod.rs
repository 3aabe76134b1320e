//! Which replica gets a hop: candidates, their load and the policy in, a choice with its reason out. Pure, and allocates
//! nothing.

mod adaptive;
mod among;
mod finish;
mod reason;
#[cfg(test)]
mod tests;
mod usable;
mod weight;

use fastrand::Rng;
use towpath_config::topology::{Policy, Strategy, Weights};

use super::load::Facts;
use super::placement::Placement;
use among::{fewest, nearest, weighted};
pub use reason::{NoChoice, Reason};
use usable::Usable;
pub use weight::weight;

/// One replica that could get the hop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its load.
    pub facts: Facts,
    /// Where it is, seen from the event's origin; from this gateway for an event from outside.
    pub placement: Placement,
    /// Whether the event's data rests on its node: then nothing has to be pulled.
    pub has_data: bool,
    /// Bytes per second of the way from the data to it. Over 0.
    pub bytes_per_second: f64,
    /// Its weight under [`Weights::Replicas`]; not read otherwise.
    pub weight: u32,
    /// It was tried in this attempt already.
    pub excluded: bool,
}

/// The hop that wants a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Bytes of the event's data.
    pub size_bytes: u64,
    /// The subscriber gets a reference instead of the data: nothing is pulled for the hop.
    pub by_reference: bool,
    /// Whose turn it is under [`Strategy::RoundRobin`]: a number that grows by one with each hop of the destination.
    pub turn: usize,
}

/// Where the hop goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Position among the candidates.
    pub index: usize,
    /// Where the replica is, seen from the event's origin.
    pub placement: Placement,
    /// Why this one.
    pub reason: Reason,
    /// It has `replica_concurrency` hops in flight: the hop waits in its queue.
    pub waits: bool,
    /// How long the data takes to get there, for [`Load::begin`].
    ///
    /// [`Load::begin`]: super::load::Load::begin
    pub pull_nanos: u64,
}

/// Chooses by `policy`. Which of the candidates may serve at all is the same for every strategy:
///
/// 1. one that was not tried in this attempt, is not left out (down, ejected), is not busy (503, 429) and has room under
///    `replica_concurrency`; if there is none,
/// 2. one that is only full and whose queue has room; if there is none,
/// 3. a busy one: a lone replica is never kept waiting; if there is none,
/// 4. one that is left out.
///
/// `Adaptive` takes 1 and 2 together, since waiting here may be shorter than a pull to there. At most half of the candidates are
/// left out, the worst. A replica in its slow start takes part by chance, which grows from a tenth to certainty.
///
/// # Errors
/// [`NoChoice`]: no candidate, each tried, or each queue full.
pub fn choose(
    candidates: &[Candidate],
    request: &Request,
    policy: &Policy,
    rng: &mut Rng,
) -> Result<Choice, NoChoice> {
    let usable = Usable::among(candidates, policy, rng.u64(..))?;
    let (index, reason) = match &policy.strategy {
        Strategy::Adaptive => adaptive::soonest(&usable, request, rng),
        Strategy::LocalFirst => nearest(&usable, rng),
        Strategy::Weighted(Weights::Placement { local, remote }) => {
            among::sides(&usable, *local, *remote, rng)
        }
        Strategy::Weighted(Weights::Replicas(_)) => weighted(&usable, rng),
        Strategy::LeastRequest => fewest(&usable, rng),
        Strategy::RoundRobin => among::turn(&usable, request.turn),
    }
    .ok_or(NoChoice::NoCandidate)?;
    let chosen = candidates.get(index).ok_or(NoChoice::NoCandidate)?;
    Ok(Choice {
        index,
        placement: chosen.placement,
        reason: usable.reason().unwrap_or(reason),
        waits: usable.is_full(chosen),
        pull_nanos: chosen.pull_nanos(request) as u64,
    })
}

impl Candidate {
    /// Nanoseconds in which the data of `request` gets there. At least 0, finite.
    pub(super) fn pull_nanos(&self, request: &Request) -> f64 {
        if self.has_data || request.by_reference || self.bytes_per_second.is_nan() {
            return 0.0;
        }
        let nanos = request.size_bytes as f64 * 1e9 / self.bytes_per_second;
        nanos.clamp(0.0, LONGEST_PULL_NANOS)
    }

    /// In flight there, and waiting here for it.
    fn crowd(&self) -> u32 {
        self.facts.in_flight.saturating_add(self.facts.queued)
    }
}

/// A day: nonsense of a link stays a number that can be added up.
const LONGEST_PULL_NANOS: f64 = 86_400e9;
