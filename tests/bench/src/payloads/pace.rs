//! The pace of a sender: so many bytes a second and no faster, as a link would let it.

use std::time::Duration;

/// A sender that fell behind may make up for so much time. The timer ticks once a millisecond and a busy core wakes late.
const BURST: Duration = Duration::from_millis(5);
/// Least bytes that are sent at once: smaller pieces would measure the timer.
const LEAST: u64 = 16 * 1024;

/// A bucket of permitted bytes. Time is given to it.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    bytes_per_second: u64,
    burst: u64,
    permitted: u64,
    /// Up to when permits were counted, nanoseconds.
    counted: u64,
}

impl Pace {
    /// A pace of this many bytes a second (at least 1) from `now` on, in nanoseconds of any clock.
    pub(super) fn new(bytes_per_second: u64, now: u64) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        let burst = LEAST.saturating_add(bytes_in(bytes_per_second, BURST.as_nanos()));
        Self {
            bytes_per_second,
            burst,
            permitted: 0,
            counted: now,
        }
    }

    /// How many of `wanted` bytes may go now; if it is too early, how long to wait first.
    pub(super) fn take(&mut self, now: u64, wanted: u64) -> Result<u64, Duration> {
        let passed = now.saturating_sub(self.counted);
        let earned = bytes_in(self.bytes_per_second, u128::from(passed));
        if earned > 0 {
            self.permitted = self.permitted.saturating_add(earned).min(self.burst);
            // only the time of whole bytes is used up
            self.counted += self.nanos_of(earned);
        }
        let least = wanted.min(LEAST);
        if self.permitted < least {
            let missing = self.nanos_of(least - self.permitted);
            return Err(Duration::from_nanos(missing.max(1)));
        }
        let taken = self.permitted.min(wanted);
        self.permitted -= taken;
        Ok(taken)
    }

    fn nanos_of(&self, bytes: u64) -> u64 {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

fn bytes_in(bytes_per_second: u64, nanos: u128) -> u64 {
    let bytes = u128::from(bytes_per_second) * nanos / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Pace;

    /// Nanoseconds until `size` bytes have gone, if the sender wakes `late` nanoseconds after it asked.
    fn whole(rate: u64, size: u64, late: u64) -> u64 {
        let (mut now, mut left) = (1_000, size);
        let mut pace = Pace::new(rate, now);
        while left > 0 {
            match pace.take(now, left) {
                Ok(taken) => left -= taken,
                Err(wait) => now += u64::try_from(wait.as_nanos()).unwrap() + late,
            }
        }
        now - 1_000
    }

    #[test]
    fn a_body_takes_its_time_also_when_the_timer_is_late() {
        for (rate, size) in [(200_000_000, 64 << 20), (1 << 20, 4 << 20)] {
            let exact = size as f64 / rate as f64 * 1e9;
            for late in [0, 1_000_000, 3_000_000] {
                let took = whole(rate, size, late) as f64;
                assert!(
                    (0.99 * exact..1.01 * exact + 4e6).contains(&took),
                    "{rate} {late}: {took} ns, not {exact}"
                );
            }
        }
    }

    #[test]
    fn time_that_was_missed_is_made_up_for_only_a_little() {
        let mut pace = Pace::new(200_000_000, 0);
        // a second later: 5 ms worth and one piece, not 200 MB
        assert_eq!(pace.take(1_000_000_000, u64::MAX), Ok(1_016_384));
        assert!(pace.take(1_000_000_000, u64::MAX).is_err());
    }

    #[test]
    fn the_last_bytes_do_not_wait_for_more() {
        let mut pace = Pace::new(1_000_000, 0);
        assert_eq!(pace.take(10_000, 5), Ok(5));
    }
}
