//! Payloads in files of a directory that steps on this node may share.

mod adopt;
mod buffers;
mod directory;
mod dirty;
mod handed;
mod keeper;
mod payload;
mod reader;
mod table;
#[cfg(test)]
mod tests;
mod window;
mod writeback;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use rustix::fs::fstatfs;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use towpath_event::{ClaimCheck, PayloadId, Place, SetAside};

use self::buffers::Buffers;
use self::directory::{Directory, Home};
use self::dirty::Dirty;
use self::keeper::{Keeper, Task};
use self::payload::{NodePayload, Parts, unavailable};
use self::table::{Row, Share, Sought, Table};
use self::writer::NodeWriter;
use crate::{
    Budget, Life, Listed, New, PayloadMetrics, PayloadStore, StoreError, Tier, Usage, Writer,
    new_id,
};

pub use self::adopt::AdoptError;

/// What `statfs` says of a file system that is in memory.
const TMPFS: u64 = 0x0102_1994;

/// The node store. Cloning shares it.
///
/// It must be used within a tokio runtime: files are written, and read where the page cache does not have them, on the
/// runtime's blocking threads. One more thread removes files and writes dirty pages back.
#[derive(Debug, Clone)]
pub struct NodeStore {
    inner: Arc<Inner>,
    /// What counts the bytes of payloads that no [`Stores`](crate::Stores) gives out.
    metrics: Option<PayloadMetrics>,
}

#[derive(Debug)]
struct Inner {
    budget: Budget,
    digest: bool,
    home: Arc<Home>,
    directory: Arc<Directory>,
    table: Arc<Table>,
    dirty: Arc<Dirty>,
    keeper: Keeper,
    buffers: Arc<Buffers>,
    /// Room for written chunks that stay in memory, a quarter of the dirty bytes.
    tails: Arc<Semaphore>,
    /// The file system is in memory: reading never waits.
    in_memory: bool,
}

impl NodeStore {
    /// Opens the directory `dir` (setting `store.node.directory`), makes what is missing in it, and takes the stores in
    /// it that no gateway has, or makes one. What is found there counts against `quota`, whose bounds are in bytes.
    ///
    /// `dirty_bytes`: how much of what is taken in may be in memory or in dirty pages, 2 MiB at the least; a quarter as
    /// much again holds the last bytes that were written, for readers who keep up. `digest`: whether payloads get one.
    ///
    /// Blocks, as long as it takes to list what is there.
    ///
    /// # Errors
    /// What is wrong with the directory; the text names the setting.
    pub fn open(dir: &Path, quota: Budget, dirty_bytes: u64, digest: bool) -> io::Result<Self> {
        let directory = Arc::new(Directory::open(dir)?);
        let mut homes = directory.take_free(&[])?.into_iter();
        let home = match homes.next() {
            Some(home) => home,
            None => directory.make_store()?,
        };
        let table = Arc::<Table>::default();
        table.add_home(&home, home.scan()?, &quota);
        for home in homes {
            table.add_home(&home, home.scan()?, &quota);
        }
        for home in table.take_empty() {
            directory.remove(&home)?;
        }
        let dirty = Arc::new(Dirty::new(dirty_bytes));
        let keeper = Keeper::start(
            Arc::clone(&directory),
            Arc::clone(&table),
            Arc::clone(&dirty),
        )?;
        let tails = usize::try_from(dirty_bytes / 4).unwrap_or(usize::MAX);
        let in_memory =
            fstatfs(&home.folder).is_ok_and(|found| u64::try_from(found.f_type) == Ok(TMPFS));
        Ok(Self {
            inner: Arc::new(Inner {
                budget: quota,
                digest,
                home,
                directory,
                table,
                dirty,
                keeper,
                buffers: Arc::default(),
                tails: Arc::new(Semaphore::new(tails.min(Semaphore::MAX_PERMITS))),
                in_memory,
            }),
            metrics: None,
        })
    }

    /// With the bytes counted of payloads that are adopted or materialised. Those that are created, found or linked are
    /// counted by [`Stores`](crate::Stores).
    #[must_use]
    pub fn with_metrics(self, metrics: PayloadMetrics) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Takes the stores in the directory that no gateway has by now, with the payloads in them: those of a gateway that
    /// ended after this one began. Gives their number. Blocks.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn take_over(&self) -> io::Result<usize> {
        let Inner {
            directory, table, ..
        } = &*self.inner;
        let taken = directory.take_free(&table.homes())?;
        for home in &taken {
            table.add_home(home, home.scan()?, &self.inner.budget);
        }
        for home in table.take_empty() {
            directory.remove(&home)?;
        }
        Ok(taken.len())
    }

    /// The ids of the stores that this process has: its own, then those it took over.
    #[must_use]
    pub fn store_ids(&self) -> Vec<Arc<str>> {
        let homes = self.inner.table.homes();
        homes.iter().map(|home| Arc::clone(&home.id)).collect()
    }
}

impl Inner {
    fn room_for_tail(&self) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(window::TAIL).ok()?;
        Arc::clone(&self.tails).try_acquire_many_owned(bytes).ok()
    }

    /// Room for a payload to stay in memory, if nobody needs it in a file.
    fn room_to_rest(&self, new: &New<'_>) -> Option<OwnedSemaphorePermit> {
        let may = new.life == Life::Held && !new.as_file;
        let rest = new.length.filter(|_| may);
        let rest = rest.and_then(|bytes| self.dirty.rest(bytes))?;
        if self.dirty.is_time() {
            self.keeper.ask(Task::WriteBack);
        }
        Some(rest)
    }

    fn insert(&self, payload: &Arc<NodePayload>, complete: bool) {
        let row = Row {
            home: Arc::clone(&payload.home),
            share: Arc::clone(&payload.share),
            since: SystemTime::now(),
            complete,
            alive: Arc::downgrade(payload),
            handed: payload.handed.clone(),
        };
        self.table.insert(payload.id, row);
    }

    /// Blocks, unless there is room for it to `rest` in memory.
    fn make(
        self: Arc<Self>,
        share: Arc<Share>,
        life: Life,
        length: Option<u64>,
        rest: Option<OwnedSemaphorePermit>,
    ) -> io::Result<Arc<NodePayload>> {
        let id = new_id();
        let parts = Parts {
            id,
            life,
            file: match &rest {
                Some(_) => None,
                None => Some(self.home.make(id)?),
            },
            identity: None,
            home: Arc::clone(&self.home),
            handed: None,
            share,
            store: Arc::clone(&self),
        };
        let payload = NodePayload::growing(parts, length, rest);
        self.insert(&payload, false);
        Ok(payload)
    }

    /// Blocks.
    fn find(self: &Arc<Self>, claim: &ClaimCheck) -> Result<Arc<NodePayload>, StoreError> {
        let (home, share, handed) = match self.table.seek(claim)? {
            Sought::Alive(payload) => return Ok(payload),
            Sought::Resting {
                home,
                share,
                handed,
            } => (home, share, handed),
        };
        let file = home
            .open(claim.id)
            .map_err(|error| missing(claim, &error))?;
        let size = handed::size_of(&file).map_err(|error| unavailable("read", &error))?;
        if size != claim.size {
            let text = format!("{claim} has {size} bytes");
            return Err(towpath_event::ReadError::Damaged(text.into()).into());
        }
        let parts = Parts {
            id: claim.id,
            life: Life::Kept,
            file: Some(file),
            identity: None,
            home,
            handed,
            share,
            store: Arc::clone(self),
        };
        let payload = NodePayload::complete(parts, claim.size, claim.digest);
        Ok(self.table.revive(claim.id, payload))
    }
}

fn missing(claim: &ClaimCheck, error: &io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::NotFound {
        return towpath_event::ReadError::Missing(claim.to_string().into()).into();
    }
    unavailable("open", error)
}

/// Runs what blocks on a thread for that.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(run).await {
        Ok(done) => done,
        Err(error) => Err(unavailable("handle", &error.into())),
    }
}

impl PayloadStore for NodeStore {
    fn tier(&self) -> Tier {
        Tier::Node
    }

    fn holds(&self, place: &Place) -> bool {
        matches!(place, Place::Node(id) if self.inner.table.has_home(id))
    }

    fn create<'a>(&'a self, new: New<'a>) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>> {
        Box::pin(async move {
            let bytes = new.length.unwrap_or_default();
            let lease = self.inner.budget.take(new.namespace, new.draw, bytes)?;
            let share = Share::new(lease, bytes);
            let (inner, life, length) = (Arc::clone(&self.inner), new.life, new.length);
            let rest = self.inner.room_to_rest(&new);
            let at_once = rest.is_some();
            let make = move || {
                let made = inner.make(share, life, length, rest);
                made.map_err(|error| unavailable("make", &error))
            };
            let payload = if at_once {
                make()?
            } else {
                blocking(make).await?
            };
            let writer = NodeWriter::new(payload, length, self.inner.digest);
            Ok(Box::new(writer) as Box<dyn Writer>)
        })
    }

    fn find<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>> {
        let (inner, claim) = (Arc::clone(&self.inner), claim.clone());
        Box::pin(blocking(move || {
            Ok(inner.find(&claim)? as Arc<dyn SetAside>)
        }))
    }

    fn link<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>> {
        let (inner, claim) = (Arc::clone(&self.inner), claim.clone());
        Box::pin(blocking(move || {
            Ok(inner.link(&claim)? as Arc<dyn SetAside>)
        }))
    }

    fn delete(&self, id: PayloadId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let Some((home, handed)) = self.inner.table.home_of(id) else {
                return Ok(());
            };
            let (done, removed) = oneshot::channel();
            self.inner.keeper.ask(Task::Unlink {
                id,
                home,
                handed,
                done: Some(done),
            });
            let removed = removed
                .await
                .map_err(io::Error::other)
                .and_then(|done| done);
            removed.map_err(|error| unavailable("remove", &error))
        })
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StoreError>> {
        let listed = self.inner.table.list();
        stream::iter(listed.into_iter().map(Ok)).boxed()
    }

    fn in_use(&self, id: PayloadId) -> bool {
        self.inner.table.in_use(id)
    }

    fn usage(&self) -> Usage {
        self.inner.table.usage()
    }
}
