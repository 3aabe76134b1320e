//! Where hops went and why: counters that are made once, so that a hop looks no labels up.

use prometheus::{IntCounter, IntCounterVec, Registry};

use super::metrics::counter;
use crate::routing::Placement;
use crate::routing::choose::Reason;

/// Hops and their bytes, by placement and reason.
#[derive(Debug)]
pub(crate) struct Hops {
    hops: [[IntCounter; Reason::ALL.len()]; Placement::ALL.len()],
    bytes: [IntCounter; Placement::ALL.len()],
}

impl Hops {
    pub(crate) fn register(registry: &Registry) -> Self {
        let hops = counter(
            registry,
            "towpath_hops_total",
            "Requests to replicas, by where the replica is, seen from the event's origin, and why it was chosen",
            &["placement", "reason"],
        );
        let bytes = counter(
            registry,
            "towpath_hop_bytes_total",
            "Bytes of the data of these events",
            &["placement"],
        );
        let of = |vec: &IntCounterVec, labels: &[&str]| vec.with_label_values(labels);
        Self {
            hops: Placement::ALL.map(|placement| {
                Reason::ALL.map(|reason| of(&hops, &[placement.as_str(), reason.as_str()]))
            }),
            bytes: Placement::ALL.map(|placement| of(&bytes, &[placement.as_str()])),
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

    #[test]
    fn the_tables_are_in_the_order_of_the_enums() {
        let registry = Registry::new();
        let hops = Hops::register(&registry);
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
