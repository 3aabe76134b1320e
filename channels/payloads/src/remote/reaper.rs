//! Deletes, in the background, what nobody holds any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use towpath_event::PayloadId;

use super::Rests;

/// Payloads that wait to be deleted; what finds no room is left to the sweep.
const QUEUE: usize = 4096;
/// Deletions under way at once.
const AT_ONCE: usize = 8;
/// Tries of one deletion; then it is left to the sweep.
const TRIES: u32 = 4;
/// Before the second try; each further one waits twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// The queue of deletions. Cloning shares it; its task ends with the last clone, when all is done.
#[derive(Debug, Clone)]
pub(crate) struct Reaper {
    queue: Sender<PayloadId>,
    full: Arc<AtomicBool>,
}

impl Reaper {
    /// Starts the task; must be called within a runtime. The store must not hold the reaper.
    pub(crate) fn start(store: Arc<dyn Rests>) -> Self {
        let (queue, ids) = channel(QUEUE);
        tokio::spawn(run(store, ids));
        Self {
            queue,
            full: Arc::default(),
        }
    }

    /// Deletes this one soon.
    pub(crate) fn erase(&self, id: PayloadId) {
        let full = self.queue.try_send(id).is_err();
        // once for each time that it fills up, not once for each payload
        if self.full.swap(full, Ordering::Relaxed) != full && full {
            tracing::warn!(
                queue = QUEUE,
                "payloads cannot be deleted as fast as they are let go: the sweep will delete the rest"
            );
        }
    }
}

async fn run(store: Arc<dyn Rests>, ids: Receiver<PayloadId>) {
    let place = store.place();
    let ids = unfold(ids, async |mut ids| Some((ids.recv().await?, ids)));
    ids.for_each_concurrent(AT_ONCE, |id| {
        let (store, place) = (&store, &place);
        async move {
            for attempt in 1..=TRIES {
                let Err(error) = Arc::clone(store).erase(id).await else {
                    return;
                };
                if attempt == TRIES {
                    tracing::warn!(%place, %id, %error, "a payload is left to the sweep");
                    return;
                }
                tokio::time::sleep(PAUSE * 2u32.pow(attempt)).await;
            }
        }
    })
    .await;
}
