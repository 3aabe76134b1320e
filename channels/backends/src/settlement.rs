//! Nested settling: a producer learns when everything that followed from its event is over.
//!
//! Every message of a memory channel holds a clone of one [`Settlement`], and so does every reply and dead
//! letter that it causes. When the last clone is gone the root wakes, once, whatever the length of the chain.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// Held by everything that must be over before the producer is answered.
///
/// A channel that promises more than memory drops it when the message is stored.
#[derive(Debug, Clone, Default)]
pub struct Settlement(Option<Arc<Root>>);

/// Resolves when the last clone of the [`Settlement`] is gone.
#[derive(Debug)]
pub struct Settled(oneshot::Receiver<Result<(), Failure>>);

/// Why an event was lost for one of its subscriptions: the delivery failed for good and no dead letter sink
/// took it (CONTRACT C6.8, C8.12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failed, for the producer: names the subscription, not our addresses.
    pub reason: String,
}

#[derive(Debug)]
struct Root {
    failure: Mutex<Option<Failure>>,
    waits: Waits,
}

/// Who waits for the end.
enum Waits {
    Producer(Option<oneshot::Sender<Result<(), Failure>>>),
    Holder {
        _dropped_at_the_end: Box<dyn Send + Sync>,
    },
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Producer(_) => "Producer",
            Self::Holder { .. } => "Holder",
        })
    }
}

impl Settlement {
    /// A new root, and what waits for it.
    #[must_use]
    pub fn new() -> (Self, Settled) {
        let (done, settled) = oneshot::channel();
        (Self::root(Waits::Producer(Some(done))), Settled(settled))
    }

    /// No producer waits, but `holder` is dropped when all is over: for an event that is acknowledged when held.
    #[must_use]
    pub fn held_by(holder: impl Send + Sync + 'static) -> Self {
        Self::root(Waits::Holder {
            _dropped_at_the_end: Box::new(holder),
        })
    }

    fn root(waits: Waits) -> Self {
        Self(Some(Arc::new(Root {
            failure: Mutex::default(),
            waits,
        })))
    }

    /// Nobody waits: for messages of channels that answer when the message is stored.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Records a final failure; the first one is what the producer hears.
    pub fn fail(&self, failure: Failure) {
        if let Some(root) = &self.0 {
            let mut slot = root.failure.lock().unwrap_or_else(PoisonError::into_inner);
            slot.get_or_insert(failure);
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let failure = self
            .failure
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Waits::Producer(done) = &mut self.waits
            && let Some(done) = done.take()
        {
            // The producer may have left; that cancels nothing (DESIGN section 12).
            let _ = done.send(failure.map_or(Ok(()), Err));
        }
    }
}

impl Future for Settled {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender is only dropped after it has sent.
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|result| result.unwrap_or(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn resolves_when_the_last_clone_is_gone() {
        let (settlement, mut settled) = Settlement::new();
        let reply = settlement.clone();
        drop(settlement);
        assert_eq!((&mut settled).now_or_never(), None);
        drop(reply);
        assert_eq!(settled.now_or_never(), Some(Ok(())));
    }

    #[test]
    fn the_first_failure_is_kept() {
        let (settlement, settled) = Settlement::new();
        let inner = settlement.clone();
        inner.fail(Failure {
            reason: "first".into(),
        });
        settlement.fail(Failure {
            reason: "second".into(),
        });
        drop((settlement, inner));
        assert_eq!(
            settled.now_or_never(),
            Some(Err(Failure {
                reason: "first".into()
            }))
        );
    }
}
