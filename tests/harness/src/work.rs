//! What serving takes: so many requests at once, each for so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::poll::pass;

/// The work of one replica. Requests over its slots wait in order of arrival.
#[derive(Debug, Clone)]
pub struct Work(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: Semaphore,
    micros: AtomicU64,
    there: AtomicUsize,
    most: AtomicUsize,
}

/// One request that is there, counted while this lives.
struct There<'a>(&'a Inner);

impl Drop for There<'_> {
    fn drop(&mut self) {
        self.0.there.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Work {
    /// That many at once, each for that long.
    #[must_use]
    pub fn new(slots: usize, takes: Duration) -> Self {
        let work = Work(Arc::new(Inner {
            slots: Semaphore::new(slots),
            micros: AtomicU64::new(0),
            there: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }));
        work.takes(takes);
        work
    }

    /// Any number at once, each for that long.
    #[must_use]
    pub fn wide(takes: Duration) -> Self {
        Work::new(Semaphore::MAX_PERMITS, takes)
    }

    /// How long the next ones take.
    pub fn takes(&self, takes: Duration) {
        let micros = u64::try_from(takes.as_micros()).unwrap_or(u64::MAX);
        self.0.micros.store(micros, Ordering::SeqCst);
    }

    /// Requests that are there now, those that wait for a slot included.
    #[must_use]
    pub fn there(&self) -> usize {
        self.0.there.load(Ordering::SeqCst)
    }

    /// The most that ever were there at once.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }

    /// Does it for one request.
    pub(crate) async fn done(&self) {
        let now = self.0.there.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        let _there = There(&self.0);
        // Nobody closes it.
        let _slot = self.0.slots.acquire().await;
        pass(Duration::from_micros(self.0.micros.load(Ordering::SeqCst))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test]
    async fn slots_bound_what_is_served_at_once() {
        let takes = Duration::from_millis(20);
        let work = Work::new(2, takes);
        let began = Instant::now();
        tokio::join!(work.done(), work.done(), work.done());
        assert!(began.elapsed() >= 2 * takes);
        assert_eq!((work.there(), work.most_at_once()), (0, 3));
        let wide = Work::wide(Duration::from_secs(1));
        let began = Instant::now();
        tokio::join!(wide.done(), wide.done(), wide.done());
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}
