//! The attempts that are under way and whose subscriber may upload the payload of its reply.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use towpath_event::{PayloadId, SetAside};
use uuid::Uuid;

/// The attempts that may upload. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts {
    open: Arc<Mutex<HashMap<PayloadId, Open>>>,
}

#[derive(Debug)]
struct Open {
    namespace: Arc<str>,
    as_file: bool,
    /// The upload that is coming, and may be told to stop.
    coming: Option<CancellationToken>,
    /// What came last, complete.
    uploaded: Option<Arc<dyn SetAside>>,
    /// The answer has been taken: what comes now is too late.
    taken: bool,
}

/// One attempt that may upload. Dropping it ends that: an upload that is coming stops, and what came and was not taken
/// is forgotten.
#[derive(Debug)]
#[must_use = "dropping it forgets the attempt"]
pub(crate) struct AttemptGuard {
    attempts: Attempts,
    id: PayloadId,
}

/// One upload, from its first byte to its last.
#[derive(Debug)]
pub(super) struct Upload {
    attempts: Attempts,
    id: PayloadId,
    stop: CancellationToken,
    /// Whose attempt it is.
    pub(super) namespace: Arc<str>,
    /// Whoever gets the reply reads files.
    pub(super) as_file: bool,
}

/// Why an upload does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The attempt is over.
    Ended,
    /// Another upload of the same attempt began later.
    Replaced,
}

impl Attempts {
    /// Lets the subscriber of an attempt upload until the guard is dropped: into the bounds of `namespace`, and where
    /// it can be shown as a file if `as_file` says so. At most one upload for each attempt is under way.
    pub(crate) fn open(&self, namespace: Arc<str>, as_file: bool) -> AttemptGuard {
        let id = PayloadId::from_bytes(Uuid::new_v4().into_bytes());
        let open = Open {
            namespace,
            as_file,
            coming: None,
            uploaded: None,
            taken: false,
        };
        self.table().insert(id, open);
        AttemptGuard {
            attempts: self.clone(),
            id,
        }
    }

    /// Begins an upload; `None` if the attempt is over. One that is under way stops: its client has given up on it, or
    /// it would not be trying again. What came before stays until this one is complete.
    pub(super) fn upload(&self, id: PayloadId) -> Option<Upload> {
        let mut table = self.table();
        let open = table.get_mut(&id).filter(|open| !open.taken)?;
        let stop = CancellationToken::new();
        let before = open.coming.replace(stop.clone());
        let upload = Upload {
            attempts: self.clone(),
            id,
            stop,
            namespace: Arc::clone(&open.namespace),
            as_file: open.as_file,
        };
        drop(table);
        if let Some(before) = before {
            before.cancel();
        }
        Some(upload)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<PayloadId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AttemptGuard {
    /// Names the attempt in the token of its upload URL.
    pub(crate) fn id(&self) -> PayloadId {
        self.id
    }

    /// What the subscriber uploaded, if it did, complete. From now on it can upload nothing.
    pub(crate) fn take(&self) -> Option<Arc<dyn SetAside>> {
        let mut table = self.attempts.table();
        let open = table.get_mut(&self.id)?;
        open.taken = true;
        let (coming, uploaded) = (open.coming.take(), open.uploaded.take());
        drop(table);
        if let Some(coming) = coming {
            coming.cancel();
        }
        uploaded
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        // Not under the lock: letting go of a payload may delete it from its store.
        let open = self.attempts.table().remove(&self.id);
        if let Some(coming) = open.and_then(|open| open.coming) {
            coming.cancel();
        }
    }
}

impl Upload {
    /// Waits until it does not count any more, if that happens.
    pub(super) async fn stopped(&self) -> Stopped {
        self.stop.cancelled().await;
        self.why()
    }

    /// It came, and is now what the attempt's answer refers to, in place of what came before.
    ///
    /// # Errors
    /// [`Stopped`]; the payload is let go.
    pub(super) fn complete(self, payload: Arc<dyn SetAside>) -> Result<(), Stopped> {
        let mut table = self.attempts.table();
        let open = table
            .get_mut(&self.id)
            .filter(|_| !self.stop.is_cancelled());
        let before = match open {
            Some(open) if !open.taken => {
                open.coming = None;
                open.uploaded.replace(payload)
            }
            _ => {
                drop(table);
                return Err(self.why());
            }
        };
        drop(table);
        drop(before);
        Ok(())
    }

    fn why(&self) -> Stopped {
        match self.attempts.table().get(&self.id) {
            Some(open) if !open.taken => Stopped::Replaced,
            _ => Stopped::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload_api::tests::stored;
    use futures_util::FutureExt;

    fn open(attempts: &Attempts) -> AttemptGuard {
        attempts.open("ns".into(), true)
    }

    #[test]
    fn what_was_uploaded_is_taken_once() {
        let attempts = Attempts::default();
        let (guard, other) = (open(&attempts), open(&attempts));
        assert_ne!(guard.id(), other.id());
        let upload = attempts.upload(guard.id()).unwrap();
        assert_eq!((&*upload.namespace, upload.as_file), ("ns", true));
        let payload = stored("data");
        upload.complete(Arc::clone(&payload)).unwrap();
        assert!(other.take().is_none());
        assert!(Arc::ptr_eq(&guard.take().unwrap(), &payload));
        assert!(guard.take().is_none());
        assert!(attempts.upload(guard.id()).is_none(), "too late");
    }

    #[test]
    fn an_attempt_that_is_over_leaves_nothing() {
        let attempts = Attempts::default();
        let guard = open(&attempts);
        let id = guard.id();
        let payload = stored("data");
        let alive = Arc::downgrade(&payload);
        let upload = attempts.upload(id).unwrap();
        upload.complete(payload).unwrap();
        let coming = attempts.upload(id).unwrap();
        assert_eq!(coming.stopped().now_or_never(), None);
        drop(guard);
        assert_eq!(alive.strong_count(), 0);
        assert_eq!(coming.stopped().now_or_never(), Some(Stopped::Ended));
        assert_eq!(coming.complete(stored("late")), Err(Stopped::Ended));
        assert!(attempts.upload(id).is_none());
        assert!(attempts.table().is_empty());
    }

    #[test]
    fn a_second_upload_takes_the_place_of_the_first() {
        let attempts = Attempts::default();
        let guard = open(&attempts);
        let (first, second) = (stored("1"), stored("2"));
        let upload = attempts.upload(guard.id()).unwrap();
        upload.complete(Arc::clone(&first)).unwrap();
        // One that breaks off does no harm.
        drop(attempts.upload(guard.id()).unwrap());
        let stalled = attempts.upload(guard.id()).unwrap();
        let upload = attempts.upload(guard.id()).unwrap();
        assert_eq!(stalled.stopped().now_or_never(), Some(Stopped::Replaced));
        assert_eq!(stalled.complete(stored("late")), Err(Stopped::Replaced));
        upload.complete(Arc::clone(&second)).unwrap();
        assert_eq!(Arc::strong_count(&first), 1);
        assert!(Arc::ptr_eq(&guard.take().unwrap(), &second));
    }

    #[test]
    fn an_answer_ends_what_is_coming() {
        let attempts = Attempts::default();
        let guard = open(&attempts);
        let coming = attempts.upload(guard.id()).unwrap();
        assert!(guard.take().is_none());
        assert_eq!(coming.stopped().now_or_never(), Some(Stopped::Ended));
        assert_eq!(coming.complete(stored("late")), Err(Stopped::Ended));
        assert!(guard.take().is_none());
    }
}
