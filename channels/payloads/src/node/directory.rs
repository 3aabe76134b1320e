//! The shared directory: its layout, the stores in it, and who has which.
//!
//! ```text
//! stores/<store id>/lock      locked by the gateway that has the store
//! in/<store id>/<payload id>  a complete payload; `in` is what steps may read
//! in/<store id>/.<payload id> a payload that is being written, or was when its gateway ended
//! out/                        where steps leave replies
//! ```

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, openat};
use towpath_event::{PayloadId, is_store_name};

/// The setting that names the directory, for messages.
pub(super) const SETTING: &str = "store.node.directory";

/// Stores tried at most when one is made.
const TRIES: usize = 16;

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// Where steps leave replies.
    pub(super) out: OwnedFd,
}

/// A store that this process has: no other has it while this lives.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) id: Arc<str>,
    /// Its folder.
    pub(super) path: PathBuf,
    pub(super) folder: OwnedFd,
    /// Locked as long as it is open.
    _lock: File,
}

/// What rests in a store.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: PayloadId,
    pub(super) bytes: u64,
    pub(super) written: SystemTime,
    pub(super) complete: bool,
}

impl Directory {
    /// Makes what is missing.
    ///
    /// # Errors
    /// What is wrong with the directory, with its setting.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let about = |what: &str, error: io::Error| {
            let root = root.display();
            let text = format!(
                "{SETTING}: {root}: {what}: {error}; it must be a directory in which this user may make folders"
            );
            io::Error::new(error.kind(), text)
        };
        let is = |what: &str, then: &str| {
            let text = format!("{SETTING}: {} {what}: {then}", root.display());
            io::Error::new(ErrorKind::InvalidInput, text)
        };
        if !root.is_absolute() {
            return Err(is("is not absolute", "begin it with `/`"));
        }
        let found = fs::metadata(root).map_err(|error| about("cannot be used", error))?;
        if !found.is_dir() {
            return Err(is("is not a directory", "name a directory"));
        }
        let open_to_all = found.mode() & 0o002 != 0;
        let us = rustix::process::geteuid().as_raw();
        // An emptyDir belongs to root and is open to all who share the pod.
        if open_to_all && ![us, 0].contains(&found.uid()) {
            return Err(is(
                "belongs to another user and everybody may write to it",
                "take that permission away (chmod o-w), or name another directory",
            ));
        }
        for (name, mode) in [("stores", 0o700), ("in", 0o2750), ("out", 0o2770)] {
            let folder = root.join(name);
            make(&folder, mode).map_err(|error| about(name, error))?;
            let found = fs::symlink_metadata(&folder).map_err(|error| about(name, error))?;
            if !found.is_dir() || open_to_all && found.uid() != us {
                let what = format!("has a `{name}` that is no directory of this user");
                return Err(is(&what, "remove it, or name another directory"));
            }
        }
        let out = folder(&root.join("out")).map_err(|error| about("out", error))?;
        Ok(Self {
            root: root.into(),
            out,
        })
    }

    /// Takes every store that nobody has, in the order of their names, but those in `have`.
    pub(super) fn take_free(&self, have: &[Arc<Home>]) -> io::Result<Vec<Arc<Home>>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join("stores"))? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            if is_store_name(&name) && !have.iter().any(|home| *home.id == *name) {
                names.push(name);
            }
        }
        names.sort();
        let mut taken = Vec::new();
        for name in names {
            taken.extend(self.take(&name)?);
        }
        Ok(taken)
    }

    /// Makes a store.
    pub(super) fn make_store(&self) -> io::Result<Arc<Home>> {
        for _ in 0..TRIES {
            let name = uuid::Uuid::new_v4().simple().to_string();
            make(&self.root.join("stores").join(&name), 0o700)?;
            // Another gateway that starts now may have it before us.
            if let Some(home) = self.take(&name)? {
                return Ok(home);
            }
        }
        let text = format!("{SETTING}: other gateways took {TRIES} stores while they were made");
        Err(io::Error::other(text))
    }

    /// Takes a store, unless somebody has it or it is being removed.
    fn take(&self, name: &str) -> io::Result<Option<Arc<Home>>> {
        let path = self.root.join("stores").join(name).join("lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = match openat(CWD, &path, flags, Mode::from_raw_mode(0o600)) {
            Ok(lock) => File::from(lock),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Whoever had it may have removed it between the two calls: then this lock locks nothing.
        let same = fs::metadata(&path).is_ok_and(|found| {
            lock.metadata()
                .is_ok_and(|ours| (ours.dev(), ours.ino()) == (found.dev(), found.ino()))
        });
        if !same {
            return Ok(None);
        }
        let path = self.root.join("in").join(name);
        make(&path, 0o2750)?;
        Ok(Some(Arc::new(Home {
            id: name.into(),
            folder: folder(&path)?,
            path,
            _lock: lock,
        })))
    }

    /// Removes a store in which nothing rests. What is in the way stays.
    pub(super) fn remove(&self, home: &Home) -> io::Result<()> {
        fs::remove_dir(&home.path)?;
        let folder = self.root.join("stores").join(&*home.id);
        fs::remove_file(folder.join("lock"))?;
        fs::remove_dir(folder)
    }
}

impl Home {
    /// Every payload in it, whole or not. Files with other names are none of ours.
    pub(super) fn scan(&self) -> io::Result<Vec<Found>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            let (complete, name) = match name.strip_prefix('.') {
                Some(name) => (false, name),
                None => (true, name.as_str()),
            };
            let (Ok(id), Ok(found)) = (name.parse(), entry.metadata()) else {
                continue;
            };
            if found.is_file() {
                all.push(Found {
                    id,
                    bytes: found.len(),
                    written: found.modified()?,
                    complete,
                });
            }
        }
        Ok(all)
    }

    /// Opens a complete payload for reading.
    pub(super) fn open(&self, id: PayloadId) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.folder, complete_name(id), flags, Mode::empty())?;
        Ok(file.into())
    }

    /// Makes the file of a payload that is to be written.
    pub(super) fn make(&self, id: PayloadId) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        Ok(openat(&self.folder, partial_name(id), flags, mode)?.into())
    }

    /// Removes what there is of a payload. Nothing is no error.
    pub(super) fn unlink(&self, id: PayloadId) -> io::Result<()> {
        // In this order, since its writer may be giving it its complete name.
        for name in [partial_name(id), complete_name(id)] {
            match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The name of the file of a complete payload.
pub(super) fn complete_name(id: PayloadId) -> String {
    id.to_string()
}

/// The name of the file of a payload that is being written.
pub(super) fn partial_name(id: PayloadId) -> String {
    format!(".{id}")
}

/// Makes a folder with exactly this mode, if there is none.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode & 0o777).create(path) {
        // The mask of the process does not apply to this.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}
