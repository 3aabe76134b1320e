//! The payload of a reply that rests with another gateway, beside the replica that made it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use towpath_event::{ClaimCheck, Progress, Read, ReadError, SetAside};
use towpath_payloads::{Begin, Draw, Peers, StoreError};

use super::client::Hold;

/// A payload that another gateway keeps. It is complete; its bytes come here when they are read first, into a store of this
/// node, and stay as long as this does.
pub(super) struct Held {
    claim: ClaimCheck,
    namespace: Arc<str>,
    as_file: bool,
    payloads: Peers,
    /// The copy here, once it was fetched or is on its way.
    local: Mutex<Option<Arc<dyn SetAside>>>,
    /// Keeps it there. `None`: no such gateway is known, and a read will say so.
    _hold: Option<Hold>,
}

impl Held {
    pub(super) fn new(
        claim: ClaimCheck,
        namespace: Arc<str>,
        as_file: bool,
        payloads: Peers,
        hold: Option<Hold>,
    ) -> Self {
        Self {
            claim,
            namespace,
            as_file,
            payloads,
            local: Mutex::default(),
            _hold: hold,
        }
    }

    /// The copy here. A fetch that broke begins anew.
    async fn fetched(&self) -> Result<Arc<dyn SetAside>, StoreError> {
        if let Some(local) = self.usable() {
            return Ok(local);
        }
        let begin = Begin {
            namespace: &self.namespace,
            draw: Draw::Reply,
            length: Some(self.claim.size),
            as_file: self.as_file,
        };
        let fetched = self.payloads.open(&self.claim, begin).await?;
        *self.local() = Some(Arc::clone(&fetched));
        Ok(fetched)
    }

    fn usable(&self) -> Option<Arc<dyn SetAside>> {
        let local = self.local().clone();
        local.filter(|local| local.progress() != Progress::Broken)
    }

    fn local(&self) -> MutexGuard<'_, Option<Arc<dyn SetAside>>> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SetAside for Held {
    fn claim(&self) -> ClaimCheck {
        self.claim.clone()
    }

    fn size(&self) -> u64 {
        self.claim.size
    }

    fn read(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read> {
        if let Some(local) = self.usable() {
            return local.read(range);
        }
        let opening = Box::pin(async move { self.fetched().await });
        Box::new(HeldReader::Opening(opening, range))
    }

    fn progress(&self) -> Progress {
        Progress::Complete
    }

    fn completed(&self) -> Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send + '_>> {
        Box::pin(async { Ok(()) })
    }

    fn file(&self) -> Option<PathBuf> {
        self.usable()?.file()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({}, here {:?})", self.claim, self.local())
    }
}

enum HeldReader {
    /// Until the fetch has begun.
    Opening(
        BoxFuture<'static, Result<Arc<dyn SetAside>, StoreError>>,
        Range<u64>,
    ),
    Reading(Box<dyn Read>),
    Failed(ReadError),
}

impl Read for HeldReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        loop {
            *self = match self {
                Self::Reading(reader) => return reader.poll_chunk(cx),
                Self::Failed(error) => return Poll::Ready(Some(Err(error.clone()))),
                Self::Opening(opening, range) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(local) => Self::Reading(local.read(range.clone())),
                    Err(StoreError::Read(error)) => Self::Failed(error),
                    Err(error) => Self::Failed(ReadError::Store(error.to_string().into())),
                },
            };
        }
    }
}
