//! Which candidates may serve: not tried, not left out, not busy, with room; and what gives way when none is.

use towpath_config::topology::{Policy, Strategy, Weights};

use super::{Candidate, NoChoice, Reason};

/// A replica in its slow start takes part with at least this chance.
const LEAST_SHARE: f64 = 0.1;

/// More failures in a row than this are all the same.
const MOST_FAILURES: u32 = (1 << 15) - 1;

/// How well a candidate can serve; the first kind that there is gets the hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// It can.
    Fit,
    /// It has as many hops as it may, and room in its queue.
    Full,
    /// It refuses.
    Busy,
    /// It is left out.
    Out,
}

/// The candidates that may serve one hop.
#[derive(Debug)]
pub(super) struct Usable<'a> {
    candidates: &'a [Candidate],
    policy: &'a Policy,
    left_out: LeftOut,
    /// The best kind that there is.
    kind: Kind,
    /// Decides who takes part of those in their slow start; `None` if nobody would.
    dice: Option<u64>,
    tried: bool,
    /// Only those with a weight: at least one of them can serve, if only after a wait.
    listed_only: bool,
}

/// Which of the candidates that are down or ejected stay out: those worse than `badness`, and of those as bad the first
/// so many.
#[derive(Debug, Clone, Copy)]
struct LeftOut {
    badness: u32,
    equals: usize,
    /// Some of them are used after all.
    panic: bool,
}

impl<'a> Usable<'a> {
    pub(super) fn among(
        candidates: &'a [Candidate],
        policy: &'a Policy,
        dice: u64,
    ) -> Result<Self, NoChoice> {
        if candidates.is_empty() {
            return Err(NoChoice::NoCandidate);
        }
        let mut usable = Self {
            candidates,
            policy,
            left_out: LeftOut::of(candidates),
            kind: Kind::Fit,
            dice: Some(dice),
            tried: candidates.iter().any(|candidate| candidate.excluded),
            listed_only: false,
        };
        usable.listed_only = usable.has_listed();
        let best = usable.kinds().map(|(_, _, kind)| kind).min();
        usable.kind = best.ok_or_else(|| usable.why_none())?;
        if usable.iter().next().is_none() {
            usable.dice = None;
        }
        Ok(usable)
    }

    /// Those that may serve, with their positions, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &'a Candidate)> + Clone {
        self.kinds()
            .filter(|(_, _, kind)| self.admits(*kind))
            .filter(|(index, candidate, _)| self.takes_part(*index, candidate))
            .map(|(index, candidate, _)| (index, candidate))
    }

    /// All candidates that were not tried in this attempt.
    pub(super) fn untried(&self) -> impl Iterator<Item = (usize, &'a Candidate)> + Clone {
        let all = self.candidates.iter().enumerate();
        all.filter(|(_, candidate)| !candidate.excluded)
    }

    /// The reason that comes before that of the strategy.
    pub(super) fn reason(&self) -> Option<Reason> {
        if self.tried {
            return Some(Reason::RetryElsewhere);
        }
        if self.candidates.len() == 1 {
            return Some(Reason::Only);
        }
        match self.kind {
            Kind::Out => Some(Reason::Panic),
            Kind::Busy => Some(Reason::AllBusy),
            Kind::Fit | Kind::Full if self.left_out.panic => Some(Reason::Panic),
            Kind::Full => Some(Reason::AllFull),
            Kind::Fit => None,
        }
    }

    /// `replica_concurrency` hops are in flight there.
    pub(super) fn is_full(&self, candidate: &Candidate) -> bool {
        self.policy
            .replica_concurrency
            .is_some_and(|most| candidate.facts.in_flight >= most.get())
    }

    pub(super) fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// Those that were not tried and can be waited for, each with its kind.
    fn kinds(&self) -> impl Iterator<Item = (usize, &'a Candidate, Kind)> + Clone {
        let mut equals = self.left_out.equals;
        self.candidates
            .iter()
            .enumerate()
            .filter_map(move |(index, candidate)| {
                let out = self.left_out.has(candidate, &mut equals);
                let full = self.is_full(candidate);
                let no_room = full && candidate.facts.queued >= self.policy.replica_queue;
                let unlisted = self.listed_only && candidate.weight == 0;
                if candidate.excluded || no_room || unlisted {
                    return None;
                }
                let kind = match (out, candidate.facts.busy, full) {
                    (true, _, _) => Kind::Out,
                    (false, true, _) => Kind::Busy,
                    (false, false, true) => Kind::Full,
                    (false, false, false) => Kind::Fit,
                };
                Some((index, candidate, kind))
            })
    }

    /// Weights are by replica, and one that has a weight can serve.
    fn has_listed(&self) -> bool {
        let by_replica = matches!(
            self.policy.strategy,
            Strategy::Weighted(Weights::Replicas(_))
        );
        by_replica
            && self.kinds().any(|(_, candidate, kind)| {
                candidate.weight > 0 && matches!(kind, Kind::Fit | Kind::Full)
            })
    }

    fn admits(&self, kind: Kind) -> bool {
        let waits_too = self.policy.strategy == Strategy::Adaptive
            && self.kind == Kind::Fit
            && kind == Kind::Full;
        kind == self.kind || waits_too
    }

    /// Everybody does, but for replicas in their slow start: they do by chance.
    fn takes_part(&self, index: usize, candidate: &Candidate) -> bool {
        let (Some(dice), Some(age_nanos)) = (self.dice, candidate.facts.age_nanos) else {
            return true;
        };
        let slow_start = self.policy.slow_start.as_nanos() as f64;
        if age_nanos as f64 >= slow_start {
            return true;
        }
        let share = LEAST_SHARE + (1.0 - LEAST_SHARE) * age_nanos as f64 / slow_start;
        chance(dice, index) < share
    }

    fn why_none(&self) -> NoChoice {
        let waiting = self.untried().map(|(_, candidate)| candidate.facts.queued);
        match waiting.min() {
            None => NoChoice::AllTried,
            Some(waiting) => NoChoice::QueueFull {
                waiting,
                most: self.policy.replica_queue,
            },
        }
    }
}

impl LeftOut {
    /// At most half stay out: the worst.
    fn of(candidates: &[Candidate]) -> Self {
        let bad = || {
            candidates
                .iter()
                .map(badness)
                .filter(|badness| *badness > 0)
        };
        let most = candidates.len() / 2;
        if bad().count() <= most {
            return Self {
                badness: 0,
                equals: 0,
                panic: false,
            };
        }
        // the least badness that fewer than so many exceed, bit by bit: no list of them is needed
        let worse = |than: u32| bad().filter(|badness| *badness > than).count();
        let bits = (0..=MOST_BADNESS.ilog2()).rev();
        let below = bits.fold(0, |found: u32, bit| {
            let next = found | (1 << bit);
            if worse(next - 1) > most { next } else { found }
        });
        Self {
            badness: below,
            equals: most.saturating_sub(worse(below)),
            panic: true,
        }
    }

    /// Whether this one stays out. Call it once for each candidate, in their order.
    fn has(&self, candidate: &Candidate, equals: &mut usize) -> bool {
        let bad = badness(candidate);
        if bad == 0 || bad < self.badness {
            return false;
        }
        if bad > self.badness {
            return true;
        }
        let stays = *equals > 0;
        *equals = equals.saturating_sub(1);
        stays
    }
}

/// The largest [`badness`].
const MOST_BADNESS: u32 = (MOST_FAILURES + 1) * 2;

/// How much a candidate deserves to be left out; 0 if not at all.
fn badness(candidate: &Candidate) -> u32 {
    let facts = &candidate.facts;
    if !facts.down && !facts.ejected {
        return 0;
    }
    let checks = if facts.down { MOST_FAILURES + 1 } else { 0 };
    checks + facts.failures.min(MOST_FAILURES) + 1
}

/// From 0 to 1, for each candidate its own.
fn chance(dice: u64, index: usize) -> f64 {
    let mixed = (dice ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11) as f64
        / (1_u64 << 53) as f64
}
