//! What a file was like when it was handed over: whoever made it may still have it open and write to it.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Stat, fstat};
use towpath_event::ReadError;

/// Size, time of the last write and time of the last change, as they were when the file was adopted. Shared by all
/// links to the file. The clock of a file system may tick every 4 ms only: a write in the very tick of the one before
/// the adoption does not show.
#[derive(Debug)]
pub(super) struct Handed {
    size: u64,
    written: (i64, i64),
    /// Our own links and unlinks move it.
    changed: Mutex<(i64, i64)>,
}

impl Handed {
    pub(super) fn record(stat: &Stat) -> Self {
        Self {
            size: size(stat),
            written: written(stat),
            changed: Mutex::new(changed(stat)),
        }
    }

    /// Whether it is as it was.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if not.
    pub(super) fn check(&self, file: &File) -> Result<(), ReadError> {
        let look = || fstat(file);
        if self.is_as_it_was(look)? {
            return Ok(());
        }
        let text = "the file was changed after it was handed over";
        Err(ReadError::Damaged(text.into()))
    }

    /// Whether the file that `look` finds is as it was.
    ///
    /// # Errors
    /// [`ReadError::Store`] if it cannot be looked at.
    pub(super) fn is_as_it_was(
        &self,
        look: impl FnOnce() -> rustix::io::Result<Stat>,
    ) -> Result<bool, ReadError> {
        let recorded = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let stat = look().map_err(|error| ReadError::Store(error.to_string().into()))?;
        Ok(self.holds(&stat) && changed(&stat) == *recorded)
    }

    /// Runs `change`, which gives or takes a name of the file and does nothing else to it.
    pub(super) fn while_we_change<T>(&self, file: &File, change: impl FnOnce() -> T) -> T {
        let mut recorded = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = fstat(file).is_ok_and(|stat| changed(&stat) == *recorded);
        let done = change();
        if let Some(stat) = fstat(file).ok().filter(|stat| before && self.holds(stat)) {
            *recorded = changed(&stat);
        }
        done
    }

    fn holds(&self, stat: &Stat) -> bool {
        size(stat) == self.size && written(stat) == self.written
    }
}

/// What a step left, if it can be adopted.
pub(super) fn is_plain(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Which file it is.
pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

fn written(stat: &Stat) -> (i64, i64) {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(i64::MAX);
    (stat.st_mtime, nanoseconds)
}

fn changed(stat: &Stat) -> (i64, i64) {
    let nanoseconds = i64::try_from(stat.st_ctime_nsec).unwrap_or(i64::MAX);
    (stat.st_ctime, nanoseconds)
}

/// The size of an open file, in bytes.
pub(super) fn size_of(file: &File) -> io::Result<u64> {
    Ok(size(&fstat(file)?))
}
