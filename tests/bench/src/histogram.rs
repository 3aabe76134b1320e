//! Latency histograms, and the form in which a step process hands them over.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest time that is told apart: a minute, in nanoseconds. A hop of the benchmark that takes longer
/// counts as one of a minute.
const LONGEST_NANOS: u64 = 60_000_000_000;

/// Times in nanoseconds, kept to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Times(Histogram<u64>);

/// A histogram's filled cells: time in nanoseconds, how often.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cells(pub(crate) Vec<(u64, u64)>);

impl Times {
    /// An empty histogram.
    ///
    /// # Errors
    /// Never with these constants; the library's type says it could.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?))
    }

    /// Counts one time.
    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.max(1));
    }

    /// Adds what another process measured.
    pub(crate) fn add(&mut self, cells: &Cells) {
        for &(nanos, count) in &cells.0 {
            self.0.saturating_record_n(nanos, count);
        }
    }

    /// How many times were counted.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time, in nanoseconds, under which this share of the counted times lies.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The filled cells.
    pub(crate) fn cells(&self) -> Cells {
        Cells(
            self.0
                .iter_recorded()
                .map(|cell| (cell.value_iterated_to(), cell.count_at_value()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Times;

    #[test]
    fn cells_carry_the_whole_histogram() {
        let mut one = Times::new().unwrap();
        for nanos in [0, 15_000, 15_001, 2_000_000, u64::MAX] {
            one.record(nanos);
        }
        let mut other = Times::new().unwrap();
        other.add(&one.cells());
        assert_eq!(other.count(), 5);
        assert_eq!(other.cells(), one.cells());
        assert_eq!(other.quantile(0.5), one.quantile(0.5));
    }
}
