//! Whether another gateway can be reached, as far as the last tries say.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A gateway that was not reached is left alone for so long, doubled with each further failure up to the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

/// The standing of one gateway. Times are nanoseconds since any one start.
#[derive(Debug, Default)]
pub(super) struct Standing {
    failures: AtomicU32,
    until_nanos: AtomicU64,
}

impl Standing {
    /// Whether it is worth a try now.
    pub(super) fn is_up(&self, now_nanos: u64) -> bool {
        self.failures.load(Ordering::Relaxed) == 0
            || now_nanos >= self.until_nanos.load(Ordering::Relaxed)
    }

    /// Whether to try it now. When the time has come only one may, and the others wait for what comes of it: connecting
    /// to a node that is gone takes as long as it may.
    pub(super) fn may_try(&self, now_nanos: u64) -> bool {
        let failures = self.failures.load(Ordering::Relaxed);
        if failures == 0 {
            return true;
        }
        let until = self.until_nanos.load(Ordering::Relaxed);
        if now_nanos < until {
            return false;
        }
        let next = now_nanos.saturating_add(pause(failures));
        let (order, read) = (Ordering::Relaxed, Ordering::Relaxed);
        self.until_nanos
            .compare_exchange(until, next, order, read)
            .is_ok()
    }

    /// It was not reached.
    pub(super) fn failed(&self, now_nanos: u64) {
        // Those who tried at the same time fail together: that is one failure.
        let until = self.until_nanos.load(Ordering::Relaxed);
        let failures = self.failures.load(Ordering::Relaxed);
        if failures == 0 || now_nanos >= until.saturating_sub(pause(failures)) {
            self.failures.store(failures.saturating_add(1), Ordering::Relaxed);
            let until = now_nanos.saturating_add(pause(failures.saturating_add(1)));
            self.until_nanos.store(until, Ordering::Relaxed);
        }
    }

    /// It answered.
    pub(super) fn worked(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }
}
