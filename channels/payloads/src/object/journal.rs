//! Which uploads have begun and not ended: S3 keeps and bills their parts, but shows them in no listing of objects.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the names of journals begin with; each process has one of its own.
const NAME: &str = "uploads-";
/// Over this a journal without open uploads begins anew, in bytes.
const LONG: u64 = 64 << 10;

/// The journal of this process: a line for each upload that begins, on disk before its first part, and one for each
/// that ends. It is locked as long as the process lives, so that whoever finds it unlocked may clean up after it.
#[derive(Debug, Clone)]
pub(super) struct Journal(Arc<Mutex<Own>>);

#[derive(Debug)]
struct Own {
    path: PathBuf,
    file: File,
    open: Vec<Upload>,
    /// Of the open ones, those that nobody works on: they could not be aborted.
    left: Vec<Upload>,
}

/// An upload: the key of its object, and its own id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) id: String,
}

/// The journal of a process that has ended. Locked as long as this lives.
#[derive(Debug)]
pub(super) struct Orphan {
    path: PathBuf,
    _locked: File,
    pub(super) open: Vec<Upload>,
}

impl Journal {
    /// A new journal in this directory, which is made if it is missing.
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        loop {
            let path = folder.join(format!("{NAME}{}", uuid::Uuid::new_v4().simple()));
            let file = OpenOptions::new()
                .append(true)
                .create_new(true)
                .open(&path)?;
            // somebody who cleans up may have taken the fresh file for an orphan
            match file.try_lock() {
                Ok(()) if path.exists() => {
                    return Ok(Self(Arc::new(Mutex::new(Own {
                        path,
                        file,
                        open: Vec::new(),
                        left: Vec::new(),
                    }))));
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// An upload has begun; returns when that is on disk.
    pub(super) async fn began(&self, upload: Upload) -> io::Result<()> {
        self.write(move |own| {
            // the first line feed ends what an earlier write may have left of a line
            let line = format!("\n+{} {}\n", upload.id, upload.key);
            own.open.push(upload);
            own.file.write_all(line.as_bytes())?;
            own.file.sync_data()
        })
        .await
    }

    /// An upload has ended, one way or the other. That this may be lost does no harm: it is aborted once more then.
    pub(super) async fn ended(&self, upload: Upload) -> io::Result<()> {
        self.write(move |own| {
            own.open.retain(|open| *open != upload);
            own.left.retain(|left| *left != upload);
            if own.open.is_empty() && own.file.metadata()?.len() > LONG {
                return own.file.set_len(0);
            }
            own.file.write_all(format!("\n-{}\n", upload.id).as_bytes())
        })
        .await
    }

    /// An upload is over, but could not be aborted.
    pub(super) fn left(&self, upload: Upload) {
        own(&self.0).left.push(upload);
    }

    /// The uploads of this process that could not be aborted.
    pub(super) fn leftovers(&self) -> Vec<Upload> {
        own(&self.0).left.clone()
    }

    /// The journals in this directory of processes that have ended.
    pub(super) async fn orphans(&self) -> io::Result<Vec<Orphan>> {
        let path = own(&self.0).path.clone();
        let found = move || {
            let mut orphans = Vec::new();
            let Some(folder) = path.parent() else {
                return Ok(orphans);
            };
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let ours = entry.file_name().to_string_lossy().starts_with(NAME);
                if ours && entry.path() != path {
                    orphans.extend(orphan(entry.path())?);
                }
            }
            Ok(orphans)
        };
        blocking(found).await
    }

    async fn write(
        &self,
        write: impl FnOnce(&mut Own) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let journal = Arc::clone(&self.0);
        blocking(move || write(&mut own(&journal))).await
    }
}

impl Orphan {
    /// All its uploads are gone: so may it be.
    pub(super) async fn remove(self) -> io::Result<()> {
        blocking(move || fs::remove_file(&self.path)).await
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.open.is_empty() {
            // one that cannot be removed is found empty by whoever cleans up
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn own(journal: &Mutex<Own>) -> MutexGuard<'_, Own> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn orphan(path: PathBuf) -> io::Result<Option<Orphan>> {
    let mut file = match File::open(&path) {
        Ok(file) => file,
        // another gateway cleans up too
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let open = open_in(&String::from_utf8_lossy(&text));
    Ok(Some(Orphan {
        path,
        _locked: file,
        open,
    }))
}

/// The uploads that began and did not end. A line that is torn or unknown is passed over.
fn open_in(text: &str) -> Vec<Upload> {
    let mut open: HashMap<&str, &str> = HashMap::new();
    for line in text.lines() {
        if let Some((id, key)) = line.strip_prefix('+').and_then(|line| line.split_once(' ')) {
            open.insert(id, key);
        } else if let Some(id) = line.strip_prefix('-') {
            open.remove(id);
        }
    }
    let upload = |(id, key): (&str, &str)| Upload {
        key: key.to_owned(),
        id: id.to_owned(),
    };
    open.into_iter().map(upload).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(name: &str) -> Upload {
        Upload {
            key: format!("a prefix/store/{name}"),
            id: format!("id-of-{name}"),
        }
    }

    #[tokio::test]
    async fn what_did_not_end_is_found_when_its_process_has() {
        let folder = tempfile::tempdir().unwrap();
        let first = Journal::begin(folder.path()).unwrap();
        let second = Journal::begin(folder.path()).unwrap();
        for name in ["a", "b"] {
            first.began(upload(name)).await.unwrap();
        }
        first.ended(upload("a")).await.unwrap();
        first.left(upload("b"));
        assert_eq!(first.leftovers(), [upload("b")]);
        assert!(second.orphans().await.unwrap().is_empty(), "it lives");
        drop(first);
        let mut orphans = second.orphans().await.unwrap();
        let orphan = orphans.pop().unwrap();
        assert_eq!(orphan.open, [upload("b")]);
        assert!(second.orphans().await.unwrap().is_empty(), "being cleaned");
        orphan.remove().await.unwrap();
        assert!(second.orphans().await.unwrap().is_empty());
        drop(second);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_long_one_without_open_uploads_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::begin(folder.path()).unwrap();
        let long = Upload {
            key: "k".repeat(70_000),
            id: "id".into(),
        };
        journal.began(long.clone()).await.unwrap();
        journal.ended(long).await.unwrap();
        let path = own(&journal.0).path.clone();
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        journal.began(upload("a")).await.unwrap();
        assert_eq!(open_in(&fs::read_to_string(path).unwrap()), [upload("a")]);
    }

    #[test]
    fn torn_lines_are_passed_over() {
        let open = open_in("+one key\n-one\n+\n+tw\nnonsense\n-unknown\n+three a key");
        let only = Upload {
            key: "a key".into(),
            id: "three".into(),
        };
        assert_eq!(open, [only]);
    }
}
