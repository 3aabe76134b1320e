//! Payloads in another gateway's store: each fetched once into a store of this node, however many wait for it.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;
use towpath_event::{ClaimCheck, PayloadId, Progress, Read, ReadError, SetAside};

use crate::checked::Checked;
use crate::{Begin, StoreError, Stores, Writer};

/// The way to other gateways: who holds a payload, and how its bytes get here.
pub trait PeerTransport: fmt::Debug + Send + Sync {
    /// Reads these bytes of a payload that rests with another gateway. Errors may also show when the bytes are asked for.
    /// The bytes of a payload that is still being written come as they are written.
    ///
    /// # Errors
    /// [`ReadError::Missing`] if nobody has it, [`ReadError::Store`] if whoever has it cannot be reached.
    fn read<'a>(
        &'a self,
        claim: &'a ClaimCheck,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Read>, ReadError>>;
}

/// The payloads of other gateways. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Peers {
    transport: Arc<dyn PeerTransport>,
    stores: Stores,
    flights: Arc<Flights>,
}

/// The payloads that are here, or on their way here.
#[derive(Debug, Default)]
struct Flights(Mutex<HashMap<PayloadId, Arc<Flight>>>);

/// Locked while a fetch begins, so that those who come meanwhile wait and share it.
type Flight = tokio::sync::Mutex<Weak<PeerPayload>>;

/// A payload of another gateway. Its copy here lives as long as this, and a fetch goes on only as long.
struct PeerPayload {
    claim: ClaimCheck,
    local: Arc<dyn SetAside>,
    fetch: AbortHandle,
    failed: Arc<OnceLock<ReadError>>,
    flights: Arc<Flights>,
}

impl Peers {
    /// Fetches by `transport` into `stores`, which should be those of this node alone.
    #[must_use]
    pub fn new(transport: Arc<dyn PeerTransport>, stores: Stores) -> Self {
        Self {
            transport,
            stores,
            flights: Arc::default(),
        }
    }

    /// The payload of another gateway, readable at once as far as it has come (cut-through). Whoever asks while a handle
    /// to it lives shares the one fetch. A fetch that breaks fails all its readers with what broke it; who asks next begins
    /// a new one. `begin` says on whose behalf, and its length is that of the claim check whatever it says. Must be called
    /// within a runtime.
    ///
    /// # Errors
    /// As [`Stores::begin`]. What goes wrong with the fetch shows when the payload is read.
    pub async fn open(
        &self,
        claim: &ClaimCheck,
        begin: Begin<'_>,
    ) -> Result<Arc<dyn SetAside>, StoreError> {
        // last of all, also when this is dropped while it waits
        let _tidy = Tidy(&self.flights, claim.id);
        let flight = self.flights.of(claim.id);
        let mut shared = flight.lock().await;
        if let Some(payload) = shared.upgrade()
            && payload.progress() != Progress::Broken
        {
            return Ok(payload);
        }
        let begin = Begin {
            length: Some(claim.size),
            ..begin
        };
        let payload = self.fetch(claim, self.stores.begin(begin).await?);
        *shared = Arc::downgrade(&payload);
        Ok(payload)
    }

    fn fetch(&self, claim: &ClaimCheck, writer: Box<dyn Writer>) -> Arc<PeerPayload> {
        let local = Arc::clone(writer.payload());
        let failed = Arc::new(OnceLock::new());
        let (transport, claim) = (Arc::clone(&self.transport), claim.clone());
        let fetch = {
            let (claim, failed) = (claim.clone(), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut writer = writer;
                let fetched = match fetch(&*transport, &claim, &mut *writer).await {
                    Ok(()) => writer.finish().await.map(drop).map_err(read_error),
                    Err(error) => {
                        // before the writer is dropped, which wakes the readers
                        let _ = failed.set(error.clone());
                        drop(writer);
                        Err(error)
                    }
                };
                if let Err(error) = fetched {
                    tracing::debug!(%claim, %error, "a payload could not be fetched");
                    let _ = failed.set(error);
                }
            })
        };
        Arc::new(PeerPayload {
            claim,
            local,
            fetch: fetch.abort_handle(),
            failed,
            flights: Arc::clone(&self.flights),
        })
    }
}

async fn fetch(
    transport: &dyn PeerTransport,
    claim: &ClaimCheck,
    writer: &mut dyn Writer,
) -> Result<(), ReadError> {
    let mut reader = transport.read(claim, 0..claim.size).await?;
    let mut came = 0;
    while let Some(chunk) = poll_fn(|cx| reader.poll_chunk(cx)).await {
        let chunk = chunk?;
        came += chunk.len() as u64;
        writer.write(chunk).await.map_err(read_error)?;
    }
    // here and not by `finish`, which would tell the readers before we can say why
    let announced = claim.size;
    if came < announced {
        return Err(read_error(StoreError::Length { announced, came }));
    }
    Ok(())
}

fn read_error(error: StoreError) -> ReadError {
    match error {
        StoreError::Read(error) => error,
        StoreError::Length { announced, came } => {
            let text = format!("another gateway gave {came} bytes of {announced}");
            ReadError::Damaged(text.into())
        }
        other @ (StoreError::Full(_) | StoreError::Unavailable { .. }) => {
            ReadError::Store(other.to_string().into())
        }
    }
}

impl Flights {
    fn of(&self, id: PayloadId) -> Arc<Flight> {
        Arc::clone(self.map().entry(id).or_default())
    }

    /// Forgets a payload that nobody has and nobody waits for.
    fn tidy(&self, id: PayloadId) {
        let mut map = self.map();
        let idle = map.get(&id).is_some_and(|flight| {
            let alone = Arc::strong_count(flight) == 1;
            alone
                && flight
                    .try_lock()
                    .is_ok_and(|shared| shared.strong_count() == 0)
        });
        if idle {
            map.remove(&id);
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<PayloadId, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Tidy<'a>(&'a Flights, PayloadId);

impl Drop for Tidy<'_> {
    fn drop(&mut self) {
        self.0.tidy(self.1);
    }
}

impl PeerPayload {
    /// What the readers of a broken fetch are told: that the *sender* broke off is not for them to say, since the payload
    /// rests whole with the other gateway.
    fn explain(&self, error: ReadError) -> ReadError {
        match error {
            ReadError::SourceBroke => self.failed.get().cloned().unwrap_or_else(|| {
                ReadError::Store("the payload's way from another gateway broke off".into())
            }),
            other => other,
        }
    }
}

impl SetAside for PeerPayload {
    fn claim(&self) -> ClaimCheck {
        self.claim.clone()
    }

    fn size(&self) -> u64 {
        self.claim.size
    }

    fn read(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read> {
        let whole = range == (0..self.claim.size);
        let digest = self.claim.digest.filter(|_| whole);
        let length = range.end.saturating_sub(range.start);
        let local = Arc::clone(&self.local).read(range);
        Box::new(PeerReader {
            inner: Checked::new(local, length, digest),
            payload: self,
        })
    }

    fn progress(&self) -> Progress {
        self.local.progress()
    }

    fn completed(&self) -> Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send + '_>> {
        Box::pin(async {
            let completed = self.local.completed().await;
            completed.map_err(|error| self.explain(error))
        })
    }

    fn file(&self) -> Option<PathBuf> {
        self.local.file()
    }
}

impl fmt::Debug for PeerPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerPayload({}, {:?})", self.claim, self.progress())
    }
}

impl Drop for PeerPayload {
    fn drop(&mut self) {
        self.fetch.abort();
        self.flights.tidy(self.claim.id);
    }
}

struct PeerReader {
    inner: Checked,
    payload: Arc<PeerPayload>,
}

impl Read for PeerReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        let chunk = ready!(self.inner.poll_chunk(cx));
        Poll::Ready(chunk.map(|chunk| chunk.map_err(|error| self.payload.explain(error))))
    }
}
