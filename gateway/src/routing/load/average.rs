//! An average that follows changes and knows how sure it is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Samples of which the newest has the share of one, once there were as many.
const SPAN: u32 = 128;

/// After fewer samples nothing is said of how sure the average is.
const LEAST_SAMPLES: u32 = 8;

/// After so long without a sample, or so many times the mean if that is longer, nobody is sure any more, and the next samples count for more than what was before: a replica
/// that was slow once, because all came to it, would else never be asked again.
const SURE: (f64, f64) = (1e9, 50.0);

/// What no sample confirmed for so long is not known any more: what it says of then may not hold now.
const KEPT_NANOS: u64 = 10_000_000_000;

/// Mean and variance of times in nanoseconds. Updates that race lose one another, which an average bears.
#[derive(Debug, Default)]
pub(super) struct Average {
    /// Bits of an `f64`; 0 if there was no sample.
    mean: AtomicU64,
    /// Bits of an `f64`.
    variance: AtomicU64,
    samples: AtomicU32,
    at_nanos: AtomicU64,
}

/// An average at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Nanoseconds. Over 0.
    pub(super) mean: f64,
    /// Standard error, as a share of the mean; `None` after too few samples.
    pub(super) error: Option<f64>,
}

impl Average {
    /// Adds a sample, which is itself the average of `of` times.
    pub(super) fn add(&self, sample_nanos: f64, of: f64, now_nanos: u64) {
        let before = match self.samples.load(Ordering::Relaxed) {
            many if self.is_old(now_nanos) => many.min(SPAN / 2),
            samples => samples,
        };
        let samples = before.saturating_add(1);
        let share = 1.0 / f64::from(samples.min(SPAN));
        let mean = get(&self.mean);
        let away = (sample_nanos - mean).powi(2) * of.max(1.0);
        let variance = (1.0 - share) * (get(&self.variance) + share * away);
        set(&self.variance, variance);
        set(&self.mean, mean + (sample_nanos - mean) * share);
        self.samples.store(samples, Ordering::Relaxed);
        self.at_nanos.store(now_nanos, Ordering::Relaxed);
    }

    /// What was sampled so far may have been something else: it soon counts for little.
    pub(super) fn doubt(&self) {
        self.samples.fetch_min(LEAST_SAMPLES, Ordering::Relaxed);
    }

    /// What is known now.
    pub(super) fn known(&self, now_nanos: u64) -> Option<Known> {
        let mean = get(&self.mean);
        let age = self.age(now_nanos);
        if mean <= 0.0 || age > KEPT_NANOS {
            return None;
        }
        let samples = self.samples.load(Ordering::Relaxed);
        // what an average with these shares is as good as
        let counted = f64::from(samples.min(2 * SPAN - 1));
        let error = || (get(&self.variance) / counted).sqrt() / mean;
        Some(Known {
            mean,
            error: (samples >= LEAST_SAMPLES && !self.is_old(now_nanos)).then(error),
        })
    }

    /// Nobody is sure of it any more.
    fn is_old(&self, now_nanos: u64) -> bool {
        self.age(now_nanos) as f64 > (get(&self.mean) * SURE.1).max(SURE.0)
    }

    /// Nanoseconds since the last sample.
    fn age(&self, now_nanos: u64) -> u64 {
        now_nanos.saturating_sub(self.at_nanos.load(Ordering::Relaxed))
    }

    /// Variance as a share of the squared mean; 0 if there was no sample.
    pub(super) fn spread(&self) -> f64 {
        let mean = get(&self.mean);
        if mean > 0.0 {
            get(&self.variance) / (mean * mean)
        } else {
            0.0
        }
    }

    /// Standard error as a share of the mean, once there were many samples with this [`Average::spread`].
    pub(super) fn error_of(spread: f64) -> f64 {
        (spread / f64::from(2 * SPAN - 1)).sqrt()
    }

    /// There were samples enough to say how they differ.
    pub(super) fn is_enough(&self) -> bool {
        self.samples() >= LEAST_SAMPLES
    }

    pub(super) fn samples(&self) -> u32 {
        self.samples.load(Ordering::Relaxed)
    }
}

/// Reads an `f64`.
pub(super) fn get(cell: &AtomicU64) -> f64 {
    f64::from_bits(cell.load(Ordering::Relaxed))
}

/// Writes an `f64`.
pub(super) fn set(cell: &AtomicU64, value: f64) {
    cell.store(value.to_bits(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_and_tells_how_sure_it_is() {
        let average = Average::default();
        assert!(average.known(0).is_none());
        for sample in 0..7 {
            average.add(if sample % 2 == 0 { 90.0 } else { 110.0 }, 1.0, 1);
        }
        assert!(average.known(1).is_some_and(|known| known.error.is_none()));
        for sample in 0..500 {
            average.add(if sample % 2 == 0 { 90.0 } else { 110.0 }, 1.0, 1);
        }
        let known = average.known(1).unwrap();
        assert!((known.mean - 100.0).abs() < 1.0, "{known:?}");
        // 10 of 100, over the root of 255
        let error = known.error.unwrap();
        assert!((error - 0.0063).abs() < 0.001, "{error}");
        for _ in 0..600 {
            average.add(500.0, 1.0, 2);
        }
        assert!((average.known(2).unwrap().mean - 500.0).abs() < 5.0);
    }

    #[test]
    fn what_is_old_is_not_known() {
        let average = Average::default();
        average.add(5.0, 1.0, 7);
        assert!(average.known(7 + KEPT_NANOS).is_some());
        assert!(average.known(8 + KEPT_NANOS).is_none());
    }
}
