//! Holds payloads for a while after their message is settled: whoever was shown one by reference may still fetch it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use towpath_event::SetAside;

/// The timer wakes this many times in one period at most, so that one wake-up lets many payloads go.
const WAKES: u32 = 20;
/// The latest that a payload is let go after its period.
const LATE: Duration = Duration::from_secs(10);

/// Handles to payloads, each let go one period (setting `referenceGrace`) after it came, and at most a twentieth of
/// the period or 10 s later than that. Dropping it lets all of them go. What it holds is bounded by the stores.
pub struct Grace {
    period: Duration,
    queue: Arc<Queue>,
}

struct Queue {
    /// In the order in which they came, which is that of their deadlines.
    held: Mutex<VecDeque<(Instant, Arc<dyn SetAside>)>>,
    came: Notify,
}

impl Grace {
    /// Holds each payload for `period`. It must be called within a tokio runtime, where it starts one task.
    #[must_use]
    pub fn start(period: Duration) -> Self {
        let queue = Arc::new(Queue {
            held: Mutex::default(),
            came: Notify::new(),
        });
        let late = (period / WAKES).min(LATE);
        tokio::spawn(release(Arc::downgrade(&queue), late));
        Self { period, queue }
    }

    /// Holds `payload` for the period.
    pub fn hold(&self, payload: Arc<dyn SetAside>) {
        if self.period.is_zero() {
            return;
        }
        // A period that no clock reaches holds until this is dropped.
        let now = Instant::now();
        let until = now
            .checked_add(self.period)
            .unwrap_or_else(|| now + FOREVER);
        let mut held = self.queue.held();
        held.push_back((until, payload));
        let first = held.len() == 1;
        drop(held);
        if first {
            self.queue.came.notify_one();
        }
    }

    /// Payloads that are held now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.held().len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Thirty years.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl fmt::Debug for Grace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grace")
            .field("period", &self.period)
            .field("held", &self.len())
            .finish()
    }
}

impl Drop for Grace {
    fn drop(&mut self) {
        // The task must look, to see that there is nobody any more.
        self.queue.came.notify_one();
    }
}

impl Queue {
    fn held(&self) -> MutexGuard<'_, VecDeque<(Instant, Arc<dyn SetAside>)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go what is due; when the next one is.
    fn let_go(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut held = self.held();
        let due = held.partition_point(|(until, _)| *until <= now);
        let gone: Vec<_> = held.drain(..due).collect();
        let next = held.front().map(|(until, _)| *until);
        if held.is_empty() {
            // A burst must not leave its room behind.
            held.shrink_to(64);
        }
        drop(held);
        // Dropping the last handle to a payload deletes it: not under the lock.
        drop(gone);
        next
    }
}

async fn release(queue: Weak<Queue>, late: Duration) {
    loop {
        let next = {
            let Some(queue) = queue.upgrade() else { return };
            queue.let_go()
        };
        let Some(held) = queue.upgrade() else { return };
        match next {
            // Nobody holds the queue while this sleeps, so that it goes with its owner.
            Some(next) => {
                drop(held);
                sleep_until(next + late).await;
            }
            None => wait(held).await,
        }
    }
}

/// Waits until there is something to hold, or nobody who could bring it.
async fn wait(queue: Arc<Queue>) {
    queue.came.notified().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    use crate::{Budget, BudgetSettings, Draw, Life, MemoryStore, New, PayloadStore};

    fn store() -> MemoryStore {
        let settings = BudgetSettings {
            total: "a",
            per_namespace: "b",
        };
        MemoryStore::new(Budget::new(1000, 1000, settings), false)
    }

    async fn held(store: &MemoryStore) -> Arc<dyn SetAside> {
        let new = New {
            namespace: &Arc::from("a"),
            draw: Draw::Door,
            length: Some(1),
            life: Life::Held,
            as_file: false,
        };
        let mut writer = store.create(new).await.unwrap();
        writer.write(Bytes::from_static(b"a")).await.unwrap();
        writer.finish().await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_held_for_the_period_and_little_more() {
        let store = store();
        let grace = Grace::start(Duration::from_secs(300));
        for round in 0..2 {
            grace.hold(held(&store).await);
            tokio::time::sleep(Duration::from_secs(100)).await;
            grace.hold(held(&store).await);
            tokio::time::sleep(Duration::from_secs(199)).await;
            assert_eq!((store.usage().objects, grace.len()), (2, 2), "{round}");
            tokio::time::sleep(Duration::from_secs(17)).await;
            assert_eq!(store.usage().objects, 1, "{round}");
            tokio::time::sleep(Duration::from_secs(100)).await;
            assert!(grace.is_empty());
            assert_eq!(store.usage().objects, 0, "{round}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_period_holds_nothing_and_the_end_lets_all_go() {
        let store = store();
        let none = Grace::start(Duration::ZERO);
        none.hold(held(&store).await);
        assert_eq!(store.usage().objects, 0);
        let long = Grace::start(Duration::MAX);
        long.hold(held(&store).await);
        tokio::task::yield_now().await;
        assert_eq!(store.usage().objects, 1);
        drop(long);
        assert_eq!(store.usage().objects, 0);
    }
}
