//! What bounds the data that comes in, in one place: limits, memory, streams, stores, and work that takes long.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;
use towpath_config::settings::Limits;
use towpath_payloads::{Budget, Stores};

use crate::streams::Streams;
use crate::workers;

/// The bounds of one gateway. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    pub(crate) limits: Limits,
    /// Bytes in memory.
    pub(crate) budget: Budget,
    /// Bulky bodies on their way into a store.
    pub(crate) streams: Streams,
    pub(crate) stores: Stores,
    heavy: Heavy,
}

/// Work that keeps a core busy for long, as reading megabytes of JSON does. It is done beside the event loops, and on half
/// of the cores at most, so that small events go on.
#[derive(Debug, Clone)]
struct Heavy(Arc<Semaphore>);

impl Admission {
    pub(crate) fn new(limits: Limits, budget: Budget, stores: Stores) -> Self {
        let half = NonZeroUsize::new(workers::count() / 2).unwrap_or(NonZeroUsize::MIN);
        Self {
            limits,
            streams: Streams::within(budget.total()),
            budget,
            stores,
            heavy: Heavy(Arc::new(Semaphore::new(half.get()))),
        }
    }

    /// Does `work` where it holds up no event loop. `None` if it panicked, or the process ends.
    pub(crate) async fn heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(&self.heavy.0).acquire_owned().await.ok()?;
        let work = move || {
            let done = work();
            drop(place);
            done
        };
        tokio::task::spawn_blocking(work).await.ok()
    }
}
