//! How fast payloads come to a node: measured where they were pulled, assumed where not.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::routing::placement::Placement;

/// Assumed of a link inside a zone that was not measured: 10 Gbit/s.
pub const SAME_ZONE_BYTES_PER_SECOND: f64 = 1.25e9;

/// Assumed of a link to another or an unknown zone that was not measured: 1 Gbit/s.
pub const ELSEWHERE_BYTES_PER_SECOND: f64 = 1.25e8;

/// Transfers of fewer bytes measure round trips, not bandwidth.
const LEAST_BYTES: u64 = 256 << 10;

/// Share of the newest transfer in the average: a link's speed is steadier than what else it carries.
const NEWEST: f64 = 0.125;

/// What was measured of the way to one node. Shared by every replica there; lock-free.
#[derive(Debug, Default)]
pub struct Link {
    /// Bits of an `f64`, bytes per second; 0 while nothing was measured.
    bytes_per_second: AtomicU64,
}

impl Link {
    /// A payload of `bytes` came over it in `took_nanos`, from its first byte to its last. Transfers under 256 KiB are
    /// ignored. Do not count time in which the receiver did not read.
    pub fn observe(&self, bytes: u64, took_nanos: u64) {
        if bytes < LEAST_BYTES || took_nanos == 0 {
            return;
        }
        let sample = bytes as f64 * 1e9 / took_nanos as f64;
        let known = f64::from_bits(self.bytes_per_second.load(Ordering::Relaxed));
        let next = if known > 0.0 {
            known + (sample - known) * NEWEST
        } else {
            sample
        };
        self.bytes_per_second
            .store(next.to_bits(), Ordering::Relaxed);
    }

    /// Bytes per second: as measured, else what is assumed of links as far as `placement`. Over 0; infinite where no
    /// network lies between.
    #[must_use]
    pub fn bytes_per_second(&self, placement: Placement) -> f64 {
        let known = f64::from_bits(self.bytes_per_second.load(Ordering::Relaxed));
        if known > 0.0 && !placement.is_on_node() {
            known
        } else {
            assumed(placement)
        }
    }
}

/// Bytes per second that are assumed of a link that was never measured.
#[must_use]
pub const fn assumed(placement: Placement) -> f64 {
    match placement {
        Placement::SamePod | Placement::SameNode => f64::INFINITY,
        Placement::SameZone => SAME_ZONE_BYTES_PER_SECOND,
        Placement::Elsewhere => ELSEWHERE_BYTES_PER_SECOND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assumed_until_measured_and_then_follows() {
        let link = Link::default();
        let elsewhere = |link: &Link| link.bytes_per_second(Placement::Elsewhere);
        assert_eq!(elsewhere(&link), ELSEWHERE_BYTES_PER_SECOND);
        assert_eq!(
            link.bytes_per_second(Placement::SameZone),
            SAME_ZONE_BYTES_PER_SECOND
        );
        // small ones and impossible ones say nothing
        link.observe(1024, 1_000_000);
        link.observe(1 << 30, 0);
        assert_eq!(elsewhere(&link), ELSEWHERE_BYTES_PER_SECOND);
        link.observe(50_000_000, 1_000_000_000);
        assert_eq!(elsewhere(&link), 5e7);
        for _ in 0..50 {
            link.observe(100_000_000, 1_000_000_000);
        }
        assert!((elsewhere(&link) - 1e8).abs() < 1e6);
        assert_eq!(link.bytes_per_second(Placement::SameNode), f64::INFINITY);
    }
}
