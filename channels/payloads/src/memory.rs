//! Payloads in this process: the chunks that came, shared by everyone who reads them.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use towpath_event::{ClaimCheck, PayloadId, Place, Progress, Read, ReadError, SetAside};

use crate::growth::Growth;
use crate::intake::Intake;
use crate::{
    Budget, Lease, Life, Listed, New, PayloadStore, StoreError, Tier, Usage, Writer, new_id,
};

/// The memory store. Its bytes are accounted for in the budget of bytes in flight.
#[derive(Debug)]
pub struct MemoryStore {
    budget: Budget,
    /// Bytes of the budget that are left to others.
    leaving: u64,
    digest: bool,
    payloads: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    /// All of them.
    all: HashMap<PayloadId, Weak<MemoryPayload>>,
    /// Those that live until they are deleted.
    kept: HashMap<PayloadId, Arc<MemoryPayload>>,
}

#[derive(Debug)]
struct MemoryPayload {
    id: PayloadId,
    announced: Option<u64>,
    growth: Growth,
    chunks: Mutex<Chunks>,
    _entry: Entry,
}

/// The place in the table, given up with the payload.
#[derive(Debug)]
struct Entry {
    id: PayloadId,
    payloads: Weak<Mutex<Table>>,
}

#[derive(Debug)]
struct Chunks {
    list: Vec<Bytes>,
    /// Held as long as the chunks.
    lease: Lease,
}

impl MemoryStore {
    /// A store that draws on `budget`; `digest`: whether payloads get one.
    #[must_use]
    pub fn new(budget: Budget, digest: bool) -> Self {
        Self {
            budget,
            leaving: 0,
            digest,
            payloads: Arc::default(),
        }
    }

    /// Leaves half of the budget to others: to what must be in memory, such as the buffers of payloads that stream
    /// into the stores behind this one. For when there are such stores.
    #[must_use]
    pub fn leaving_room(self) -> Self {
        let leaving = self.budget.total() / 2;
        Self { leaving, ..self }
    }

    fn insert(&self, payload: &Arc<MemoryPayload>, life: Life) {
        let mut table = table(&self.payloads);
        table.all.insert(payload.id, Arc::downgrade(payload));
        if life == Life::Kept {
            table.kept.insert(payload.id, Arc::clone(payload));
        }
    }

    fn entry(&self, id: PayloadId) -> Entry {
        Entry {
            id,
            payloads: Arc::downgrade(&self.payloads),
        }
    }

    fn get(&self, claim: &ClaimCheck) -> Result<Arc<MemoryPayload>, StoreError> {
        let found = table(&self.payloads)
            .all
            .get(&claim.id)
            .and_then(Weak::upgrade);
        let payload = found.ok_or_else(|| ReadError::Missing(claim.to_string().into()))?;
        let size = payload.size();
        if size == claim.size {
            return Ok(payload);
        }
        let text = format!("{claim} has {size} bytes");
        Err(ReadError::Damaged(text.into()).into())
    }
}

impl PayloadStore for MemoryStore {
    fn tier(&self) -> Tier {
        Tier::Memory
    }

    fn holds(&self, place: &Place) -> bool {
        *place == Place::Memory
    }

    fn create<'a>(&'a self, new: New<'a>) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>> {
        Box::pin(async move {
            let room = new.length.unwrap_or_default();
            let lease = self
                .budget
                .take_leaving(self.leaving, new.namespace, new.draw, room)?;
            let id = new_id();
            let payload = Arc::new(MemoryPayload {
                id,
                announced: new.length,
                growth: Growth::new(),
                chunks: Mutex::new(Chunks {
                    list: Vec::new(),
                    lease,
                }),
                _entry: self.entry(id),
            });
            self.insert(&payload, new.life);
            Ok(Box::new(MemoryWriter {
                shown: Arc::clone(&payload) as Arc<dyn SetAside>,
                payload,
                intake: Intake::new(new.length, self.digest),
                payloads: Arc::clone(&self.payloads),
            }) as Box<dyn Writer>)
        })
    }

    fn find<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>> {
        Box::pin(async move { Ok(self.get(claim)? as Arc<dyn SetAside>) })
    }

    fn link<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>> {
        Box::pin(async move {
            let first = self.get(claim)?;
            let (list, lease) = {
                let chunks = first.chunks();
                (chunks.list.clone(), chunks.lease.again()?)
            };
            let id = new_id();
            let second = Arc::new(MemoryPayload {
                id,
                announced: Some(claim.size),
                growth: Growth::complete(claim.size, first.growth.digest()),
                chunks: Mutex::new(Chunks { list, lease }),
                _entry: self.entry(id),
            });
            self.insert(&second, Life::Kept);
            Ok(second as Arc<dyn SetAside>)
        })
    }

    fn delete(&self, id: PayloadId) -> BoxFuture<'_, Result<(), StoreError>> {
        let kept = table(&self.payloads).kept.remove(&id);
        drop(kept);
        Box::pin(async { Ok(()) })
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StoreError>> {
        let listed: Vec<_> = alive(&self.payloads)
            .iter()
            .map(|payload| {
                Ok(Listed {
                    id: payload.id,
                    bytes: payload.growth.written(),
                    written: payload.growth.began(),
                })
            })
            .collect();
        stream::iter(listed).boxed()
    }

    fn in_use(&self, id: PayloadId) -> bool {
        let table = table(&self.payloads);
        // Alive means that somebody besides the list of kept ones has it.
        let own = usize::from(table.kept.contains_key(&id));
        table
            .all
            .get(&id)
            .is_some_and(|payload| payload.strong_count() > own)
    }

    fn usage(&self) -> Usage {
        let alive = alive(&self.payloads);
        Usage {
            objects: alive.len() as u64,
            bytes: alive.iter().map(|payload| payload.size()).sum(),
            oldest: alive.iter().map(|payload| payload.growth.began()).min(),
        }
    }
}

fn table(payloads: &Mutex<Table>) -> MutexGuard<'_, Table> {
    payloads.lock().unwrap_or_else(PoisonError::into_inner)
}

fn alive(payloads: &Mutex<Table>) -> Vec<Arc<MemoryPayload>> {
    // Collected first: dropping the last handle takes the lock again.
    let table = table(payloads);
    table.all.values().filter_map(Weak::upgrade).collect()
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(payloads) = self.payloads.upgrade() {
            table(&payloads).all.remove(&self.id);
        }
    }
}

impl MemoryPayload {
    fn chunks(&self) -> MutexGuard<'_, Chunks> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SetAside for MemoryPayload {
    fn claim(&self) -> ClaimCheck {
        ClaimCheck {
            id: self.id,
            size: self.size(),
            digest: self.growth.digest(),
            place: Place::Memory,
        }
    }

    fn size(&self) -> u64 {
        self.announced.unwrap_or_else(|| self.growth.written())
    }

    fn read(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read> {
        Box::new(MemoryReader {
            payload: self,
            next: 0,
            at: 0,
            range,
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

struct MemoryReader {
    payload: Arc<MemoryPayload>,
    /// Position of the next chunk in the list, and where it begins.
    next: usize,
    at: u64,
    range: Range<u64>,
}

impl Read for MemoryReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        loop {
            if self.range.is_empty() {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.payload.growth.poll_beyond(self.at, cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            let Some(chunk) = self.payload.chunks().list.get(self.next).cloned() else {
                let text = format!("{} ends after {} bytes", self.payload.claim(), self.at);
                return Poll::Ready(Some(Err(ReadError::Damaged(text.into()))));
            };
            let begins = self.at;
            self.next += 1;
            self.at += chunk.len() as u64;
            if let Some(part) = part(&chunk, begins, &self.range) {
                self.range.start += part.len() as u64;
                return Poll::Ready(Some(Ok(part)));
            }
        }
    }
}

/// What of `chunk`, which begins at `begins`, lies in `range`; `None` if nothing does.
pub(crate) fn part(chunk: &Bytes, begins: u64, range: &Range<u64>) -> Option<Bytes> {
    let len = chunk.len() as u64;
    let from = range.start.saturating_sub(begins).min(len);
    let to = range.end.saturating_sub(begins).min(len);
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    (from < to).then(|| chunk.slice(from..to))
}

struct MemoryWriter {
    payload: Arc<MemoryPayload>,
    /// The same, as others see it.
    shown: Arc<dyn SetAside>,
    intake: Intake,
    payloads: Arc<Mutex<Table>>,
}

impl MemoryWriter {
    fn take(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.intake.take(&chunk)?;
        let mut chunks = self.payload.chunks();
        if self.payload.announced.is_none() {
            chunks.lease.grow(chunk.len() as u64)?;
        }
        chunks.list.push(chunk);
        drop(chunks);
        self.payload.growth.advance(self.intake.came());
        Ok(())
    }
}

impl Writer for MemoryWriter {
    fn payload(&self) -> &Arc<dyn SetAside> {
        &self.shown
    }

    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        let taken = self.take(chunk);
        if taken.is_err() {
            self.payload.growth.break_off();
        }
        Box::pin(std::future::ready(taken))
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn SetAside>, StoreError>> {
        let ended = self.intake.end();
        if let Ok(digest) = &ended {
            self.payload.growth.finish(*digest);
        }
        let shown = Arc::clone(&self.shown);
        Box::pin(std::future::ready(ended.map(|_| shown)))
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.payload.growth.break_off();
        if self.payload.growth.progress() == Progress::Broken {
            // Readers have been told; nobody can want the bytes any more.
            self.payload.chunks().list.clear();
            let kept = table(&self.payloads).kept.remove(&self.payload.id);
            drop(kept);
        }
    }
}
