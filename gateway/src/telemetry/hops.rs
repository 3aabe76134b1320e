//! Where hops went and why: counters that are made once, so that a hop looks no labels up.

use prometheus::{IntCounter, IntCounterVec};

use crate::routing::Placement;
use crate::routing::choose::Reason;

/// Hops and their bytes, by placement and reason.
#[derive(Debug)]
pub(crate) struct Hops {
    hops: [[IntCounter; Reason::ALL.len()]; Placement::ALL.len()],
    bytes: [IntCounter; Placement::ALL.len()],
}

impl Hops {
    /// The series of two metrics: requests by placement and reason, bytes by placement.
    pub(crate) fn of(hops: &IntCounterVec, bytes: &IntCounterVec) -> Self {
        Self {
            hops: Placement::ALL.map(|placement| {
                Reason::ALL
                    .map(|reason| hops.with_label_values(&[placement.as_str(), reason.as_str()]))
            }),
            bytes: Placement::ALL.map(|placement| bytes.with_label_values(&[placement.as_str()])),
        }
    }

    /// One hop, of an event with this much data.
    pub(crate) fn count(&self, placement: Placement, reason: Reason, bytes: u64) {
        let (at, why) = (placement as usize, reason as usize);
        if let Some(counter) = self.hops.get(at).and_then(|row| row.get(why)) {
            counter.inc();
        }
        if let Some(counter) = self.bytes.get(at) {
            counter.inc_by(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Opts;

    #[test]
    fn the_tables_are_in_the_order_of_the_enums() {
        let vec = |labels: &[&str]| IntCounterVec::new(Opts::new("n", "h"), labels).unwrap();
        let hops = Hops::of(&vec(&["placement", "reason"]), &vec(&["placement"]));
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        for (index, placement) in Placement::ALL.into_iter().enumerate() {
            assert_eq!(placement as usize, index);
        }
        hops.count(Placement::SameZone, Reason::Weighted, 7);
        assert_eq!(hops.hops[2][4].get(), 1);
        assert_eq!(hops.bytes[2].get(), 7);
    }
}
