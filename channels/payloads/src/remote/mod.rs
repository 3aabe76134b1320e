//! What the object store and the nats store have in common: a payload that rests elsewhere, and how it is read.

mod account;
mod open;
mod pending;
mod reaper;
mod writer;

pub(crate) use account::Account;
pub use open::OpenError;
pub(crate) use open::tls;
use reaper::Reaper;
pub(crate) use writer::{Part, RemoteWriter, Upload, Uploading};

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use towpath_event::{ClaimCheck, PayloadId, Place, Progress, Read, ReadError, SetAside};

use crate::checked::Checked;
use crate::growth::Growth;
use crate::{Life, StoreError};

/// The store behind its payloads.
pub(crate) trait Rests: fmt::Debug + Send + Sync + 'static {
    /// Its place, as claim checks name it.
    fn place(&self) -> Place;

    /// Reads these bytes of a complete payload, with a bounded read-ahead.
    fn open(
        self: Arc<Self>,
        claim: ClaimCheck,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, ReadError>>;

    /// Deletes a payload; one that is not there is no error.
    fn erase(self: Arc<Self>, id: PayloadId) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// A payload in a store elsewhere. It can be read when it is complete; readers that come earlier wait for that.
pub(crate) struct RemotePayload {
    id: PayloadId,
    announced: Option<u64>,
    growth: Growth,
    life: Life,
    store: Arc<dyn Rests>,
    account: Arc<Account>,
    reaper: Reaper,
}

/// What payloads of one store share. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Behind {
    pub(crate) store: Arc<dyn Rests>,
    pub(crate) account: Arc<Account>,
    pub(crate) reaper: Reaper,
}

impl Behind {
    /// Starts what works in the background; must be called within a runtime.
    pub(crate) fn start(store: Arc<dyn Rests>, account: Arc<Account>) -> Self {
        Self {
            reaper: Reaper::start(Arc::clone(&store)),
            store,
            account,
        }
    }
}

impl RemotePayload {
    /// One that is about to be written.
    pub(crate) fn growing(
        id: PayloadId,
        announced: Option<u64>,
        life: Life,
        behind: &Behind,
    ) -> Arc<Self> {
        Self::new(id, announced, Growth::new(), life, behind)
    }

    /// One that was found; this handle does not delete it.
    pub(crate) fn found(claim: &ClaimCheck, behind: &Behind) -> Arc<Self> {
        let growth = Growth::complete(claim.size, claim.digest);
        Self::new(claim.id, Some(claim.size), growth, Life::Kept, behind)
    }

    fn new(
        id: PayloadId,
        announced: Option<u64>,
        growth: Growth,
        life: Life,
        behind: &Behind,
    ) -> Arc<Self> {
        let Behind {
            store,
            account,
            reaper,
        } = behind.clone();
        account.taken(id);
        Arc::new(Self {
            id,
            announced,
            growth,
            life,
            store,
            account,
            reaper,
        })
    }
}

impl SetAside for RemotePayload {
    fn claim(&self) -> ClaimCheck {
        ClaimCheck {
            id: self.id,
            size: self.size(),
            digest: self.growth.digest(),
            place: self.store.place(),
        }
    }

    fn size(&self) -> u64 {
        self.announced.unwrap_or_else(|| self.growth.written())
    }

    fn read(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read> {
        Box::new(RemoteReader {
            payload: self,
            range,
            inner: None,
        })
    }

    fn progress(&self) -> Progress {
        self.growth.progress()
    }

    fn completed(&self) -> Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send + '_>> {
        Box::pin(self.growth.completed())
    }

    fn file(&self) -> Option<PathBuf> {
        None
    }
}

impl fmt::Debug for RemotePayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { life, growth, .. } = self;
        let claim = self.claim().to_string();
        f.debug_struct("RemotePayload")
            .field("claim", &claim)
            .field("life", life)
            .field("progress", &growth.progress())
            .finish_non_exhaustive()
    }
}

impl Drop for RemotePayload {
    fn drop(&mut self) {
        // of one that broke, who wrote it leaves nothing behind
        if self.life == Life::Held && self.growth.progress() == Progress::Complete {
            self.reaper.erase(self.id);
        }
        self.account.let_go(self.id);
    }
}

/// Waits for the payload to be complete, then reads it, checked.
struct RemoteReader {
    payload: Arc<RemotePayload>,
    range: Range<u64>,
    inner: Option<Checked>,
}

fn open(payload: &RemotePayload, range: Range<u64>) -> Checked {
    let claim = payload.claim();
    let whole = range == (0..claim.size);
    let digest = claim.digest.filter(|_| whole);
    let length = range.end - range.start;
    let chunks = Arc::clone(&payload.store).open(claim, range);
    Checked::new(Box::new(Chunks(chunks)), length, digest)
}

impl Read for RemoteReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.range.is_empty() {
            return Poll::Ready(None);
        }
        let inner = match &mut self.inner {
            Some(inner) => inner,
            none => {
                // beyond what can ever have come: not before the end
                if let Err(error) = ready!(self.payload.growth.poll_beyond(u64::MAX, cx)) {
                    return Poll::Ready(Some(Err(error)));
                }
                none.insert(open(&self.payload, self.range.clone()))
            }
        };
        inner.poll_chunk(cx)
    }
}

struct Chunks(BoxStream<'static, Result<Bytes, ReadError>>);

impl Read for Chunks {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        loop {
            match ready!(self.0.poll_next_unpin(cx)) {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                other => return Poll::Ready(other),
            }
        }
    }
}
