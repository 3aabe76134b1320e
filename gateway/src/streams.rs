//! How many bulky bodies may stream into stores at once: each takes memory on its way that belongs to no payload.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use towpath_payloads::Full;

/// What one stream takes in memory, in bytes, with the buffers of its connection and of those that it is sent on by.
/// Measured: 200 producers at once.
const STREAM_BYTES: u64 = 1024 * 1024;

/// Places for streams. An event from outside leaves some to replies, and is told to come again; a reply waits for one:
/// every stream ends by itself, since its store takes what comes whether or not anybody reads. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    all: usize,
}

impl Streams {
    /// As many as fit into three quarters of `bytes`, at least two.
    pub(crate) fn within(bytes: u64) -> Self {
        let all = usize::try_from(bytes / 4 * 3 / STREAM_BYTES).unwrap_or(usize::MAX);
        let all = all.clamp(2, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// A place for an event from outside.
    ///
    /// # Errors
    /// [`Full`]: there is none now.
    pub(crate) fn at_the_door(&self) -> Result<OwnedSemaphorePermit, Full> {
        let for_replies = (self.all / 6).max(1);
        let free = self.places.available_permits();
        let place = (free > for_replies).then(|| Arc::clone(&self.places).try_acquire_owned());
        place.and_then(Result::ok).ok_or_else(|| Full {
            asked: STREAM_BYTES,
            used: (self.all - free.min(self.all)) as u64 * STREAM_BYTES,
            limit: (self.all - for_replies) as u64 * STREAM_BYTES,
            setting: "limits.bytesInFlight",
        })
    }

    /// A place for a reply, when there is one. `None` when the gateway has ended.
    pub(crate) async fn for_a_reply(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn events_leave_places_to_replies_which_wait() {
        let streams = Streams::within(16 * STREAM_BYTES);
        let events: Vec<_> = std::iter::from_fn(|| streams.at_the_door().ok()).collect();
        assert_eq!(events.len(), 10);
        let full = streams.at_the_door().unwrap_err();
        assert_eq!((full.used, full.limit), (10 << 20, 10 << 20));
        let replies: Vec<_> = (0..2)
            .map(|_| streams.for_a_reply().now_or_never().unwrap())
            .collect();
        assert!(streams.for_a_reply().now_or_never().is_none(), "waits");
        drop(replies);
        assert!(streams.for_a_reply().now_or_never().is_some());
    }

    #[test]
    fn a_small_budget_has_a_place_for_each_kind() {
        let streams = Streams::within(1);
        let event = streams.at_the_door().unwrap();
        streams.at_the_door().unwrap_err();
        assert!(streams.for_a_reply().now_or_never().flatten().is_some());
        drop(event);
    }
}
