//! Takes files that steps left, without moving a byte, and gives payloads second names.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::{BoxFuture, poll_fn};
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Stat, fstat, linkat, openat2, renameat,
    renameat_with, statat,
};
use rustix::io::Errno;
use towpath_event::{ClaimCheck, PayloadId, Progress, ReadError, SetAside};

use super::directory::{Home, complete_name, partial_name};
use super::handed::{Handed, identity, is_plain, size, size_of};
use super::payload::{NodePayload, Parts, unavailable};
use super::table::{Share, Sought};
use super::writeback::write_back;
use super::{Inner, NodeStore, blocking};
use crate::{Draw, Full, Life, New, PayloadStore, StoreError, Tier, new_id};

/// How a path beneath `out/` is opened: nothing that leads elsewhere is followed.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);
/// The permissions of a complete payload: its users and their group may read it.
const OURS: u32 = 0o440;
/// What of a file's mode are permissions.
const MODE_BITS: u32 = 0o7777;
/// Bytes that are copied before they are written back to disk.
const STEP: u64 = 8 << 20;

/// Why a file that a step left is not adopted. It stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// The path leads out of the directory `out/`.
    #[error(
        "the path leads out of the shared directory `out/`: name a file beneath it, without `..`"
    )]
    NotBeneath,
    /// The path is a symbolic link, or leads over one.
    #[error("the path is a symbolic link or leads over one: name the file itself")]
    Symlink,
    /// It is a directory, a pipe or another thing that is no file.
    #[error("it is not a regular file")]
    NotRegular,
    /// The file has other names, under which it could be changed.
    #[error("the file has {0} names: leave one that has only the name in `out/`")]
    HardLinked(u64),
    /// There is no such file.
    #[error("there is no such file in the shared directory `out/`")]
    Missing,
    /// The store has no room for it. Trying again later can succeed.
    #[error("{0}")]
    Full(#[from] Full),
    /// Another file took its place meanwhile.
    #[error("another file took its place while it was adopted")]
    Replaced,
    /// The file system says no.
    #[error(
        "the file cannot be adopted: {0}; this gateway must be able to read it and to rename in `out/`"
    )]
    Io(Box<str>),
}

impl NodeStore {
    /// Makes the file `path`, relative to `out/`, a held payload of `namespace`. No byte is moved: the file gets
    /// another name, beneath `in/`. If it is changed later, readers get [`ReadError::Damaged`].
    ///
    /// It costs a few system calls and is done at once, without another thread.
    ///
    /// # Errors
    /// [`AdoptError`]; the file is still in `out/`.
    pub fn adopt<'a>(
        &'a self,
        path: &'a Path,
        namespace: &'a Arc<str>,
        draw: Draw,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, AdoptError>> {
        let adopted = self.inner.adopt(path, namespace, draw);
        Box::pin(std::future::ready(adopted.map(|payload| {
            let payload = payload as Arc<dyn SetAside>;
            match &self.metrics {
                Some(metrics) => metrics.adopted(Tier::Node, payload),
                None => payload,
            }
        })))
    }

    /// A held payload in a file with the bytes of `source`, for subscribers that want files: `source` itself if it
    /// has one. It can be read while it is copied, but this returns when it is complete.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is left behind.
    pub fn materialise<'a>(
        &'a self,
        source: &'a Arc<dyn SetAside>,
        namespace: &'a Arc<str>,
        draw: Draw,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>> {
        Box::pin(async move {
            if source.file().is_some() || self.is_in_a_file_now(&source.claim()).await? {
                return Ok(Arc::clone(source));
            }
            let size = source.size();
            let mut writer = self
                .create(New {
                    namespace,
                    draw,
                    // It is known for sure only when all has come.
                    length: (source.progress() == Progress::Complete).then_some(size),
                    life: Life::Held,
                    as_file: true,
                })
                .await?;
            if let Some(metrics) = &self.metrics {
                writer = metrics.writer(Tier::Node, writer);
            }
            let mut reader = Arc::clone(source).read(0..size);
            while let Some(chunk) = poll_fn(|cx| reader.poll_chunk(cx)).await {
                writer.write(chunk?).await?;
            }
            writer.finish().await
        })
    }

    /// Writes the file of a payload that rests in memory here. Tells whether there was such a one.
    async fn is_in_a_file_now(&self, claim: &ClaimCheck) -> Result<bool, StoreError> {
        match self.inner.table.seek(claim) {
            Ok(Sought::Alive(payload)) if payload.is_resting() => {
                blocking(move || payload.rest_in_file()).await?;
                Ok(true)
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }
}

impl Inner {
    fn adopt(
        self: &Arc<Self>,
        path: &Path,
        namespace: &Arc<str>,
        draw: Draw,
    ) -> Result<Arc<NodePayload>, AdoptError> {
        let name = path.file_name().ok_or(AdoptError::NotBeneath)?;
        let out = self.directory.out.as_fd();
        let folder = match path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            Some(folder) => Some(open_folder(out, folder)?),
            None => None,
        };
        let folder = folder.as_ref().map_or(out, AsFd::as_fd);
        let file = open_file(folder, name)?;
        let before = adoptable(fstat(&file).map_err(failed)?)?;
        let size = size(&before);
        let share = Share::new(self.budget.take(namespace, draw, size)?, size);
        let id = new_id();
        renameat(folder, name, &self.home.folder, complete_name(id)).map_err(failed)?;
        let stat = match self.still(&file, &before, id) {
            Ok(stat) => stat,
            Err(error) => {
                let (from, to) = (&self.home.folder, folder);
                let back = RenameFlags::NOREPLACE;
                if let Err(error) = renameat_with(from, complete_name(id), to, name, back) {
                    tracing::warn!(%error, %id, "a file that is not adopted cannot be given back");
                }
                return Err(error);
            }
        };
        let parts = Parts {
            id,
            life: Life::Held,
            file: Some(file),
            identity: Some(identity(&stat)),
            home: Arc::clone(&self.home),
            handed: Some(Arc::new(Handed::record(&stat))),
            share,
            store: Arc::clone(self),
        };
        let payload = NodePayload::complete(parts, size, None);
        self.insert(&payload, true);
        Ok(payload)
    }

    /// What the file is like now that it is ours, if it is the one that was looked at and nobody else can name it.
    fn still(&self, file: &File, before: &Stat, id: PayloadId) -> Result<Stat, AdoptError> {
        if before.st_mode & MODE_BITS != OURS {
            match file.set_permissions(PermissionsExt::from_mode(OURS)) {
                // A step that runs as another user owns its file; steps can only read beneath `in/` as it is.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                other => other.map_err(|error| AdoptError::Io(error.to_string().into()))?,
            }
        }
        let name = complete_name(id);
        let named = statat(&self.home.folder, name, AtFlags::SYMLINK_NOFOLLOW);
        let named = adoptable(named.map_err(failed)?)?;
        if identity(&named) != identity(before) || size(&named) != size(before) {
            return Err(AdoptError::Replaced);
        }
        Ok(named)
    }

    /// A second kept payload with the bytes of a complete one. Blocks.
    pub(super) fn link(
        self: &Arc<Self>,
        claim: &ClaimCheck,
    ) -> Result<Arc<NodePayload>, StoreError> {
        let first = self.find(claim)?;
        if first.progress() != Progress::Complete {
            return Err(ReadError::Missing(claim.to_string().into()).into());
        }
        first.check()?;
        first.rest_in_file()?;
        let source = first.file().map_err(|error| unavailable("link", &error))?;
        let share = first.share.again()?;
        let id = new_id();
        let home = &self.home;
        let link = || {
            let (from, to) = (complete_name(first.id), complete_name(id));
            let flags = AtFlags::empty();
            linkat(&first.home.folder, from, &home.folder, to, flags)
        };
        let linked = match &first.handed {
            Some(handed) => handed.while_we_change(source, link),
            None => link(),
        };
        let mut handed = first.handed.clone();
        let kept = match linked {
            Ok(()) => source.sync_data(),
            // Some kernels let nobody link to a file of another user, and file systems have a limit.
            Err(Errno::PERM | Errno::MLINK | Errno::XDEV | Errno::OPNOTSUPP) => {
                handed = None;
                copy(source, home, id)
            }
            Err(error) => Err(error.into()),
        };
        let kept = kept.and_then(|()| Ok(rustix::fs::fsync(&home.folder)?));
        let opened = kept.and_then(|()| home.open(id));
        let file = opened.map_err(|error| {
            let _ = home.unlink(id);
            unavailable("link", &error)
        })?;
        let parts = Parts {
            id,
            life: Life::Kept,
            file: Some(file),
            identity: None,
            home: Arc::clone(home),
            handed,
            share,
            store: Arc::clone(self),
        };
        let second = NodePayload::complete(parts, claim.size, first.growth.digest());
        self.insert(&second, true);
        Ok(second)
    }
}

fn open_folder(out: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, AdoptError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(out, path, flags, Mode::empty(), BENEATH).map_err(failed)
}

fn open_file(folder: BorrowedFd<'_>, name: &OsStr) -> Result<File, AdoptError> {
    // Not blocking: opening a pipe would wait for its other end.
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat2(folder, name, flags, Mode::empty(), BENEATH).map_err(failed)?;
    Ok(file.into())
}

/// What the file is like, if it can be adopted.
fn adoptable(stat: Stat) -> Result<Stat, AdoptError> {
    if !is_plain(&stat) {
        return Err(AdoptError::NotRegular);
    }
    if stat.st_nlink != 1 {
        #[allow(
            clippy::useless_conversion,
            reason = "its width differs between architectures"
        )]
        return Err(AdoptError::HardLinked(stat.st_nlink.into()));
    }
    Ok(stat)
}

fn failed(error: Errno) -> AdoptError {
    match error {
        Errno::XDEV => AdoptError::NotBeneath,
        Errno::LOOP => AdoptError::Symlink,
        Errno::NOENT => AdoptError::Missing,
        Errno::NOTDIR => AdoptError::Missing,
        Errno::NXIO | Errno::NODEV => AdoptError::NotRegular,
        other => AdoptError::Io(io::Error::from(other).to_string().into()),
    }
}

/// A second file with the same bytes, on disk. Blocks.
fn copy(from: &File, home: &Home, id: PayloadId) -> io::Result<()> {
    let to = home.make(id)?;
    let size = size_of(from)?;
    let mut at = 0;
    while at < size {
        let mut offset = at;
        let len = usize::try_from((size - at).min(STEP)).unwrap_or(usize::MAX);
        let copied = rustix::fs::copy_file_range(from, Some(&mut offset), &to, None, len)?;
        if copied == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_back(&to, at, copied as u64)?;
        at += copied as u64;
    }
    to.set_permissions(PermissionsExt::from_mode(OURS))?;
    to.sync_data()?;
    Ok(renameat(
        &home.folder,
        partial_name(id),
        &home.folder,
        complete_name(id),
    )?)
}
