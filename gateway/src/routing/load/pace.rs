//! What the time that hops take says of a replica: how long it serves one, how many it serves at once, its peaks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::average::{Average, Known, get, set};
use super::slots::Slots;

/// Latency falls from a peak by the factor e in so long.
const PEAK_DECAY_NANOS: f64 = 10e9;

/// Share of the newest gap in the average time between beginnings.
const NEWEST_GAP: f64 = 1.0 / 64.0;

/// A hop whose own pull took more services than this says nothing of the service: what is known of a link is not so exact.
const MOST_PULL: f64 = 4.0;

/// As much for pulls that were under way when it began: nobody knows how much of them was left.
const MOST_PULLS_BEFORE: f64 = 0.5;

/// So many times its slots in flight make a queue so long that it does not matter how much of the first was done already.
const LONG_QUEUE: f64 = 4.0;

/// Estimates of one replica.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Hops that nothing was before: the service.
    alone: Average,
    /// Hops that others were before: how long each of those took, which is the service over the slots.
    turn: Average,
    slots: Slots,
    /// When the last hop began.
    began_nanos: AtomicU64,
    /// Bits of an `f64`: the average time between two beginnings; 0 if not known.
    between: AtomicU64,
    /// Bits of an `f64`, nanoseconds.
    peak: AtomicU64,
    peak_nanos: AtomicU64,
}

/// A hop that has ended, for the estimates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) latency_nanos: u64,
    /// In flight there when it began, itself included.
    pub(super) crowd: u32,
    /// Time in which its own payload was pulled.
    pub(super) pull_nanos: u64,
    /// Pulls of others that were under way when it began.
    pub(super) pulls_before_nanos: u64,
    /// For how long nothing had ended when it began.
    pub(super) stalled_nanos: u64,
}

impl Pace {
    /// How long the replica serves one hop.
    pub(super) fn service(&self, now_nanos: u64) -> Option<Known> {
        self.alone.known(now_nanos)
    }

    /// Variance of service times as a share of their squared mean; `None` after too few hops.
    pub(super) fn spread(&self) -> Option<f64> {
        self.alone.is_enough().then(|| self.alone.spread())
    }

    /// Average nanoseconds from one answer to the next while hops wait; `None` if too few did.
    pub(super) fn turn_nanos(&self, now_nanos: u64) -> Option<f64> {
        let known = self.turn.known(now_nanos)?;
        known.error.map(|_| known.mean)
    }

    /// How many hops it serves at once.
    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// A hop begins.
    pub(super) fn begin(&self, now_nanos: u64) {
        let last = self.began_nanos.swap(now_nanos, Ordering::Relaxed);
        if last == 0 {
            return;
        }
        let gap = now_nanos.saturating_sub(last) as f64;
        let known = get(&self.between);
        let next = if known > 0.0 {
            known + (gap - known) * NEWEST_GAP
        } else {
            gap
        };
        set(&self.between, next);
    }

    /// Nanoseconds since a hop began last.
    pub(super) fn since_begun_nanos(&self, now_nanos: u64) -> u64 {
        now_nanos.saturating_sub(self.began_nanos.load(Ordering::Relaxed))
    }

    /// Average nanoseconds between two beginnings; more if none has begun for longer. `None` if not known.
    pub(super) fn between_nanos(&self, now_nanos: u64) -> Option<f64> {
        let known = get(&self.between);
        let since = now_nanos.saturating_sub(self.began_nanos.load(Ordering::Relaxed));
        (known > 0.0).then(|| known.max(since as f64))
    }

    /// Latency that jumps to peaks and decays, in nanoseconds.
    pub(super) fn peak_nanos(&self, now_nanos: u64) -> f64 {
        get(&self.peak) * self.kept(now_nanos)
    }

    /// Share of the peak that is left.
    fn kept(&self, now_nanos: u64) -> f64 {
        let age = now_nanos.saturating_sub(self.peak_nanos.load(Ordering::Relaxed));
        (-(age as f64) / PEAK_DECAY_NANOS).exp()
    }

    /// A hop was served.
    pub(super) fn observe(&self, sample: Sample, now_nanos: u64) {
        self.observe_peak(sample.latency_nanos as f64, now_nanos);
        let Some(nanos) = self.without_pulls(sample, now_nanos) else {
            return;
        };
        let crowd = f64::from(sample.crowd.max(1));
        let slots = f64::from(self.slots.estimate());
        if sample.crowd <= self.slots.alone() {
            self.alone.add(nanos, 1.0, now_nanos);
        } else if crowd >= slots * LONG_QUEUE {
            self.turn.add(nanos / crowd, crowd / slots, now_nanos);
        }
        // those that came to a replica because it would soon be free would make it look as if it had been
        let stalled = sample.stalled_nanos as f64 * (1.0 - self.alone.spread());
        let soon_free = |service: Known| stalled > service.mean / 2.0;
        if crowd > slots && self.service(now_nanos).is_some_and(soon_free) {
            return;
        }
        let spread = self.alone.spread().max(self.turn.spread());
        let count = self.alone.samples().wrapping_add(self.turn.samples());
        self.slots
            .observe(sample.crowd, nanos, spread, count, now_nanos);
        if f64::from(self.slots.estimate()) < slots {
            // hops that were thought to be alone may not have been
            self.alone.doubt();
        }
    }

    fn observe_peak(&self, latency_nanos: f64, now_nanos: u64) {
        let kept = self.kept(now_nanos);
        let peak = get(&self.peak) * kept;
        let next = if latency_nanos > peak {
            latency_nanos
        } else {
            peak * kept + latency_nanos * (1.0 - kept)
        };
        set(&self.peak, next);
        self.peak_nanos.store(now_nanos, Ordering::Relaxed);
    }

    /// Nanoseconds that the hop took but for pulls; `None` if they hide it. Without anything better it counts all the same.
    fn without_pulls(&self, sample: Sample, now_nanos: u64) -> Option<f64> {
        let (own, before) = (sample.pull_nanos as f64, sample.pulls_before_nanos as f64);
        let hidden = |service: Known| {
            own > service.mean * MOST_PULL || before > service.mean * MOST_PULLS_BEFORE
        };
        if self.service(now_nanos).is_some_and(hidden) {
            return None;
        }
        let latency = sample.latency_nanos.max(1) as f64;
        let pulls = own + before / f64::from(self.slots.estimate());
        // what is assumed of a link may be wrong: something is left for the replica
        Some((latency - pulls).max(latency / 16.0))
    }
}
