//! A payload in a file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{AtFlags, fstat, renameat, statat};
use tokio::sync::OwnedSemaphorePermit;
use towpath_event::{ClaimCheck, Digest, PayloadId, Place, Progress, Read, ReadError, SetAside};

use super::Inner;
use super::directory::{Home, complete_name, partial_name};
use super::handed::{Handed, identity};
use super::keeper::Task;
use super::reader::NodeReader;
use super::table::Share;
use super::window::Window;
use crate::checked::Checked;
use crate::growth::Growth;
use crate::{Life, StoreError, Tier};

/// Shared by its writer and all who read it.
#[derive(Debug)]
pub(super) struct NodePayload {
    pub(super) id: PayloadId,
    announced: Option<u64>,
    life: Life,
    pub(super) growth: Growth,
    pub(super) window: Window,
    /// None while it rests in memory.
    file: OnceLock<Arc<File>>,
    /// Device and number of the file, once it was looked at.
    identity: OnceLock<(u64, u64)>,
    /// Held by who gives a payload that rests in memory its file.
    moving: Mutex<()>,
    pub(super) home: Arc<Home>,
    /// What it was like when it was adopted, if it was.
    pub(super) handed: Option<Arc<Handed>>,
    /// Its share of the quota, which it has until its file is closed.
    pub(super) share: Arc<Share>,
    pub(super) store: Arc<Inner>,
}

/// What a payload is made of, besides what its growth decides.
pub(super) struct Parts {
    pub(super) id: PayloadId,
    pub(super) life: Life,
    /// None is made when it is needed.
    pub(super) file: Option<File>,
    /// Device and number of the file, if it was looked at.
    pub(super) identity: Option<(u64, u64)>,
    pub(super) home: Arc<Home>,
    pub(super) handed: Option<Arc<Handed>>,
    pub(super) share: Arc<Share>,
    pub(super) store: Arc<Inner>,
}

impl NodePayload {
    /// One of which nothing has come. `rest`: room for all of it in memory.
    pub(super) fn growing(
        parts: Parts,
        announced: Option<u64>,
        rest: Option<OwnedSemaphorePermit>,
    ) -> Arc<Self> {
        let window = Window::new(parts.store.room_for_tail(), rest);
        Self::new(parts, announced, Growth::new(), window)
    }

    /// One that is all there.
    pub(super) fn complete(parts: Parts, size: u64, digest: Option<Digest>) -> Arc<Self> {
        let growth = Growth::complete(size, digest);
        Self::new(parts, Some(size), growth, Window::written(size))
    }

    fn new(parts: Parts, announced: Option<u64>, growth: Growth, window: Window) -> Arc<Self> {
        Arc::new(Self {
            id: parts.id,
            announced,
            life: parts.life,
            growth,
            window,
            file: parts
                .file
                .map_or_else(OnceLock::new, |file| Arc::new(file).into()),
            identity: parts.identity.map_or_else(OnceLock::new, OnceLock::from),
            moving: Mutex::default(),
            home: parts.home,
            handed: parts.handed,
            share: parts.share,
            store: parts.store,
        })
    }

    /// Its file.
    ///
    /// # Errors
    /// It rests in memory.
    pub(super) fn file(&self) -> io::Result<&Arc<File>> {
        let file = self.file.get();
        file.ok_or_else(|| io::Error::other("the payload is in memory and has no file"))
    }

    /// Whether all of it is in memory and none of it in a file.
    pub(super) fn is_resting(&self) -> bool {
        self.progress() == Progress::Complete && self.window.is_resting()
    }

    /// Gives a complete payload its file, if it rests in memory. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; it is in memory still.
    pub(super) fn rest_in_file(&self) -> Result<(), StoreError> {
        let _one = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_resting() {
            return Ok(());
        }
        self.window.hurry();
        let moved = self.fly().and_then(|()| self.settle());
        match moved {
            Ok(()) => {
                self.window.end(Ok(()));
            }
            Err(_) => self.window.stay(),
        }
        moved
    }

    /// Writes what is in the window to the file, until there is no more, and makes the file if there is none. One at a
    /// time does that. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) fn fly(&self) -> Result<(), StoreError> {
        while let Some((at, batch)) = self.window.batch() {
            let bytes = batch.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            let file = self.file_to_write()?;
            write_all(&file, at, &batch).map_err(|error| unavailable("write", &error))?;
            drop(batch);
            if !self.window.landed(bytes) {
                continue;
            }
            let dirty = &self.store.dirty;
            if dirty.written(self.id, &file, at, at + bytes) {
                self.store.keeper.ask(Task::WriteBack);
            }
        }
        Ok(())
    }

    fn file_to_write(&self) -> Result<Arc<File>, StoreError> {
        if let Some(file) = self.file.get() {
            return Ok(Arc::clone(file));
        }
        let made = self.home.make(self.id);
        let made = Arc::new(made.map_err(|error| unavailable("make", &error))?);
        let file = Arc::clone(self.file.get_or_init(|| made));
        if self.progress() == Progress::Broken {
            // It was unlinked before it was there.
            self.unlink();
        }
        Ok(file)
    }

    /// Gives the file its complete name. Blocks.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        let done = || -> io::Result<()> {
            let mode = PermissionsExt::from_mode(0o440);
            let file = self.file()?;
            file.set_permissions(mode)?;
            if self.life == Life::Kept {
                file.sync_data()?;
                self.store.dirty.clean(self.id);
            }
            let folder = &self.home.folder;
            renameat(
                folder,
                partial_name(self.id),
                folder,
                complete_name(self.id),
            )?;
            if self.life == Life::Kept {
                rustix::fs::fsync(folder)?;
            }
            Ok(())
        };
        done().map_err(|error| unavailable("complete", &error))
    }

    /// It never will be complete, unless it is. Readers are told first.
    pub(super) fn break_off(&self, why: StoreError) {
        self.growth.break_off();
        if self.growth.progress() == Progress::Broken {
            let unwritten = self.window.end(Err(why));
            self.store.dirty.give_back(unwritten);
            self.unlink();
        }
    }

    fn unlink(&self) {
        self.store.keeper.ask(Task::Unlink {
            id: self.id,
            home: Arc::clone(&self.home),
            handed: self.handed.clone(),
            done: None,
        });
    }

    /// # Errors
    /// [`ReadError::Damaged`] if it was adopted and is not any more as it was then.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        match &self.handed {
            Some(handed) => match self.file() {
                Ok(file) => handed.check(file),
                Err(error) => Err(ReadError::Store(error.to_string().into())),
            },
            None => Ok(()),
        }
    }
}

impl Drop for NodePayload {
    fn drop(&mut self) {
        let complete = self.growth.progress() == Progress::Complete;
        let Some(file) = self.file.take() else {
            // Its own store is never removed, so that there is nothing else to do.
            self.store.dirty.give_back(self.window.end(Ok(())));
            self.store.table.remove(self.id);
            return;
        };
        if self.life == Life::Held || !complete {
            self.unlink();
        }
        // Closing the last descriptor of a file without a name frees it: not here.
        self.store.keeper.ask(Task::Close { id: self.id, file });
    }
}

impl SetAside for NodePayload {
    fn claim(&self) -> ClaimCheck {
        ClaimCheck {
            id: self.id,
            size: self.size(),
            digest: self.growth.digest(),
            place: Place::Node(Arc::clone(&self.home.id)),
        }
    }

    fn size(&self) -> u64 {
        self.announced.unwrap_or_else(|| self.growth.written())
    }

    fn read(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read> {
        let whole = self.progress() == Progress::Complete && range == (0..self.size());
        let digest = self.growth.digest().filter(|_| whole);
        let length = range.end.saturating_sub(range.start);
        let reader = Box::new(NodeReader::new(self, range));
        match digest {
            Some(digest) => Box::new(Checked::new(reader, length, Some(digest))),
            None => reader,
        }
    }

    fn progress(&self) -> Progress {
        self.growth.progress()
    }

    fn completed(&self) -> Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send + '_>> {
        Box::pin(self.growth.completed())
    }

    fn file(&self) -> Option<PathBuf> {
        let complete = self.progress() == Progress::Complete && !self.is_resting();
        (complete && self.has_its_name()).then(|| self.home.path.join(complete_name(self.id)))
    }
}

impl NodePayload {
    /// Whether the file is still there under its name: somebody may have taken that away, or put another file there. And
    /// whether it is still as it was handed over, if it was. One look tells both.
    fn has_its_name(&self) -> bool {
        let mut found = None;
        let mut look = || {
            let name = complete_name(self.id);
            let stat = statat(&self.home.folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            found = Some(identity(&stat));
            Ok(stat)
        };
        let unchanged = match &self.handed {
            Some(handed) => handed.is_as_it_was(look) == Ok(true),
            None => look().is_ok(),
        };
        unchanged && found.is_some() && found == self.identity()
    }

    /// Which file is its own.
    fn identity(&self) -> Option<(u64, u64)> {
        if let Some(known) = self.identity.get() {
            return Some(*known);
        }
        let own = identity(&fstat(&**self.file().ok()?).ok()?);
        Some(*self.identity.get_or_init(|| own))
    }
}

/// Writes all of `batch`, which begins at `at`.
fn write_all(file: &File, mut at: u64, batch: &[bytes::Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = batch.iter().map(|chunk| io::IoSlice::new(chunk)).collect();
    let mut slices = slices.as_mut_slice();
    while !slices.is_empty() {
        match rustix::io::pwritev(file, slices, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                at += written as u64;
                io::IoSlice::advance_slices(&mut slices, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What the file system said when it was to `do_what` a payload.
pub(super) fn unavailable(do_what: &str, error: &io::Error) -> StoreError {
    let setting = super::directory::SETTING;
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; give it more room, or lower store.node.quota below what there is"
        }
        _ => "",
    };
    StoreError::Unavailable {
        tier: Tier::Node,
        reason: format!("cannot {do_what} a payload in {setting}: {error}{hint}").into(),
    }
}
