//! Whether another gateway can be reached, as far as the last tries say.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A gateway that was not reached is left alone for so long, doubled with each further failure up to the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

/// The standing of one gateway.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Option<Down>>);

/// It was not reached.
#[derive(Debug, Clone, Copy)]
struct Down {
    /// Longest pause so far.
    pause: Duration,
    failed: Instant,
    until: Instant,
}

impl Standing {
    /// Whether it is worth a try now.
    pub(super) fn is_up(&self, now: Instant) -> bool {
        self.down().is_none_or(|down| now >= down.until)
    }

    /// Whether to try it now. When the time has come only one may, and the others do without it until it is known what
    /// comes of that: connecting to a node that is gone takes as long as it may.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        match &mut *self.down() {
            None => true,
            Some(down) if now < down.until => false,
            Some(down) => {
                down.until = now + down.pause;
                true
            }
        }
    }

    /// A try that began at `began` did not reach it.
    pub(super) fn failed(&self, began: Instant, now: Instant) {
        let mut down = self.down();
        let pause = match &*down {
            None => FIRST,
            // who tried at the same time tells the same
            Some(before) if began < before.failed => return,
            Some(before) => (before.pause * 2).min(LONGEST),
        };
        *down = Some(Down {
            pause,
            failed: now,
            until: now + pause,
        });
    }

    /// It answered.
    pub(super) fn worked(&self) {
        *self.down() = None;
    }

    fn down(&self) -> MutexGuard<'_, Option<Down>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_alone_for_longer_and_longer() {
        let (standing, start) = (Standing::default(), Instant::now());
        let mut now = start;
        assert!(standing.is_up(now) && standing.may_try(now));
        for seconds in [1, 2, 4, 8, 10, 10] {
            standing.failed(now, now);
            let pause = Duration::from_secs(seconds);
            let soon = now + pause - Duration::from_millis(1);
            assert!(
                !standing.is_up(soon) && !standing.may_try(soon),
                "{seconds}"
            );
            now += pause;
            assert!(standing.is_up(now), "{seconds}");
            assert!(standing.may_try(now) && !standing.may_try(now), "one tries");
        }
        standing.worked();
        assert!(standing.may_try(now) && standing.may_try(now));
    }

    #[test]
    fn who_fail_together_fail_once() {
        let (standing, start) = (Standing::default(), Instant::now());
        let later = |millis| start + Duration::from_millis(millis);
        standing.failed(start, later(10));
        standing.failed(later(5), later(20));
        assert!(standing.is_up(later(1010)));
    }
}
