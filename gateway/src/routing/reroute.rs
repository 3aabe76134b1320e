//! How many attempts may move on to another replica: a share of what was sent lately (DESIGN section 12). Pure.

use std::sync::{Mutex, PoisonError};

/// Seconds that count.
const WINDOW: usize = 10;
/// One in so many attempts may move on.
const ONE_IN: u64 = 5;
/// These many may in any case: a share of little traffic would be nothing, and a replica that begins to refuse is met by all
/// that is under way at once.
const AT_LEAST: u64 = 100;

/// The attempts of the last 10 s to one port of a Service, and those of them that moved on.
#[derive(Debug, Default)]
pub(crate) struct Reroutes(Mutex<[Second; WINDOW]>);

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    second: u64,
    attempts: u64,
    moved: u64,
}

impl Reroutes {
    /// An attempt begins.
    pub(crate) fn attempt(&self, now_nanos: u64) {
        self.with(now_nanos, |seconds, at| seconds[at].attempts += 1);
    }

    /// Whether an attempt may move on, which is counted if so.
    pub(crate) fn may_move_on(&self, now_nanos: u64) -> bool {
        self.with(now_nanos, |seconds, at| {
            let oldest = (seconds[at].second + 1).saturating_sub(WINDOW as u64);
            let recent = seconds.iter().filter(|second| second.second >= oldest);
            let (attempts, moved) = recent.fold((0, 0), |(attempts, moved), second| {
                (attempts + second.attempts, moved + second.moved)
            });
            let may = moved < (attempts / ONE_IN).max(AT_LEAST);
            seconds[at].moved += u64::from(may);
            may
        })
    }

    fn with<T>(&self, now_nanos: u64, f: impl FnOnce(&mut [Second; WINDOW], usize) -> T) -> T {
        let second = now_nanos / 1_000_000_000;
        let at = (second % WINDOW as u64) as usize;
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds[at].second != second {
            seconds[at] = Second {
                second,
                ..Second::default()
            };
        }
        f(&mut seconds, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn moved(reroutes: &Reroutes, now: u64) -> usize {
        std::iter::repeat_with(|| reroutes.may_move_on(now))
            .take_while(|may| *may)
            .count()
    }

    #[test]
    fn a_fifth_of_the_last_ten_seconds_and_some_in_any_case() {
        let reroutes = Reroutes::default();
        assert_eq!(moved(&reroutes, 0), 100);
        assert_eq!(moved(&reroutes, 9 * SECOND), 0);
        assert_eq!(moved(&reroutes, 10 * SECOND), 100, "10 s are over");
        for _ in 0..5000 {
            reroutes.attempt(30 * SECOND);
        }
        assert_eq!(moved(&reroutes, 31 * SECOND), 1000);
        assert_eq!(moved(&reroutes, 39 * SECOND), 0);
        assert_eq!(moved(&reroutes, 40 * SECOND), 0, "1,000 moved since 31");
        assert_eq!(moved(&reroutes, 41 * SECOND), 100);
    }
}
