//! The file with the keys that sign payload URLs, read again when it changes.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::keys::{Keys, KeysError};

/// Where the keys come from.
#[derive(Debug)]
pub(crate) enum KeySource {
    /// Keys that stay: a random one, say.
    Fixed(Arc<Keys>),
    /// A file that may change.
    File(KeyFile),
}

/// Keys in a file (setting payloads.keyFile). A new content takes effect within a second of the next use; one that is
/// bad is logged once, and the keys before it stay in force.
#[derive(Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
    keys: ArcSwap<Keys>,
    looked: Mutex<Looked>,
}

#[derive(Debug)]
struct Looked {
    at: Instant,
    /// Of the content that was read last, good or bad; `None` if there was none to read.
    stamp: Option<Stamp>,
}

/// Tells one content of the file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// Why the file gives no keys.
#[derive(Debug, thiserror::Error)]
#[error("the key file {} (setting payloads.keyFile): {cause}", path.display())]
pub(crate) struct KeyFileError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is no regular file; name one")]
    NotAFile,
    #[error("it has over {MAX_BYTES} bytes, the limit; keep nothing but keys in it")]
    TooLarge,
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// The file is looked at no more often than this.
const PERIOD: Duration = Duration::from_secs(1);
/// Largest file, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

impl KeySource {
    /// The keys in force at the time `now`.
    pub(crate) fn keys(&self, now: Instant) -> Arc<Keys> {
        match self {
            Self::Fixed(keys) => Arc::clone(keys),
            Self::File(file) => file.keys(now),
        }
    }
}

impl KeyFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`KeyFileError`]: it cannot be read, is over 64 KiB, or is not what [`Keys::parse`] takes.
    pub(crate) fn open(path: &Path, now: Instant) -> Result<Self, KeyFileError> {
        let path = path.to_owned();
        match read(&path) {
            Ok((stamp, keys)) => Ok(Self {
                path,
                keys: ArcSwap::from_pointee(keys),
                looked: Mutex::new(Looked {
                    at: now,
                    stamp: Some(stamp),
                }),
            }),
            Err((_, cause)) => Err(KeyFileError { path, cause }),
        }
    }

    /// The keys in force at the time `now`. Once a second this asks for the state of the file, and reads it if that
    /// changed: a few microseconds, which need no other thread.
    pub(crate) fn keys(&self, now: Instant) -> Arc<Keys> {
        // Whoever finds somebody else looking takes what is there.
        if let Ok(mut looked) = self.looked.try_lock()
            && now.saturating_duration_since(looked.at) >= PERIOD
        {
            looked.at = now;
            self.look(&mut looked);
        }
        self.keys.load_full()
    }

    fn look(&self, looked: &mut Looked) {
        let stamp = fs::metadata(&self.path).ok().map(|file| Stamp::of(&file));
        if stamp == looked.stamp {
            return;
        }
        let path = self.path.display();
        let before = looked.stamp.take();
        match read(&self.path) {
            Ok((stamp, keys)) => {
                tracing::info!(%path, ?keys, "the keys that sign payload URLs changed");
                looked.stamp = Some(stamp);
                self.keys.store(Arc::new(keys));
            }
            Err((stamp, error)) => {
                // What cannot be read has no stamp: it is tried again each time, but complained of when it begins.
                if stamp.is_some() || before.is_some() {
                    tracing::error!(
                        %path,
                        %error,
                        "a change of the key file is refused; the keys that were in force stay (setting payloads.keyFile)"
                    );
                }
                looked.stamp = stamp;
            }
        }
    }
}

/// The content with its stamp. Of a bad content the error comes with its stamp.
fn read(path: &Path) -> Result<(Stamp, Keys), (Option<Stamp>, Cause)> {
    let (file, metadata) = open(path).map_err(|cause| (None, cause))?;
    let stamp = Stamp::of(&metadata);
    match parse(file) {
        Ok(keys) => Ok((stamp, keys)),
        Err(cause) => Err((Some(stamp), cause)),
    }
}

fn open(path: &Path) -> Result<(File, Metadata), Cause> {
    // Before it is opened, since opening a pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(Cause::NotAFile);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

fn parse(file: File) -> Result<Keys, Cause> {
    let mut text = String::new();
    // What changes between here and the stamp is seen by the next look.
    let bytes = file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if bytes as u64 > MAX_BYTES {
        return Err(Cause::TooLarge);
    }
    Ok(Keys::parse(&text)?)
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            seconds: file.mtime(),
            nanoseconds: file.mtime_nsec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    const FIRST: &str = "0123456789abcdef-first";
    const SECOND: &str = "0123456789abcdef-second";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(text: &str) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            folder.write(text);
            folder
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("keys")
        }

        /// As a Secret is changed: a new file takes the name.
        fn write(&self, text: &str) {
            let new = self.0.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, self.path()).unwrap();
        }
    }

    /// Whether `keys` takes what `text` signs.
    fn verifies(keys: &Keys, text: &str) -> bool {
        let token = super::super::tests::token();
        let signed = Keys::parse(text).unwrap().sign(&token);
        keys.verify(&signed, SystemTime::UNIX_EPOCH).is_ok()
    }

    #[test]
    fn a_change_takes_effect_within_a_second() {
        let folder = Folder::new(FIRST);
        let start = Instant::now();
        let file = KeyFile::open(&folder.path(), start).unwrap();
        folder.write(&format!("{SECOND}\n{FIRST}"));
        let soon = file.keys(start + PERIOD / 2);
        assert!(verifies(&soon, FIRST) && !verifies(&soon, SECOND));
        let then = file.keys(start + PERIOD);
        assert!(verifies(&then, FIRST) && verifies(&then, SECOND));
        folder.write(SECOND);
        let soon = file.keys(start + PERIOD + PERIOD / 2);
        assert!(verifies(&soon, FIRST), "looked twice within a second");
        let then = file.keys(start + PERIOD * 2);
        assert!(!verifies(&then, FIRST) && verifies(&then, SECOND));
    }

    #[test]
    fn a_change_in_place_is_seen() {
        let folder = Folder::new(FIRST);
        let start = Instant::now();
        let file = KeyFile::open(&folder.path(), start).unwrap();
        fs::write(folder.path(), SECOND).unwrap();
        assert!(verifies(&file.keys(start + PERIOD), SECOND));
    }

    #[test]
    fn another_file_of_the_same_age_and_length_is_seen() {
        let folder = Folder::new(FIRST);
        let start = Instant::now();
        let file = KeyFile::open(&folder.path(), start).unwrap();
        let modified = fs::metadata(folder.path()).unwrap().modified().unwrap();
        let other = FIRST.replace("first", "other");
        // The old one stays under another name, so that its inode is not given to the new one.
        fs::hard_link(folder.path(), folder.0.path().join("old")).unwrap();
        folder.write(&other);
        let new = File::options().write(true).open(folder.path()).unwrap();
        new.set_modified(modified).unwrap();
        assert!(verifies(&file.keys(start + PERIOD), &other));
    }

    #[test]
    fn a_bad_change_keeps_the_old_keys_until_a_good_one() {
        let folder = Folder::new(FIRST);
        let mut now = Instant::now();
        let file = KeyFile::open(&folder.path(), now).unwrap();
        let mut next = || {
            now += PERIOD;
            file.keys(now)
        };
        for bad in ["", "short", &"k".repeat(70_000)] {
            folder.write(bad);
            assert!(verifies(&next(), FIRST));
            assert!(verifies(&next(), FIRST));
        }
        fs::write(folder.path(), b"0123456789abcdef\xff").unwrap();
        assert!(verifies(&next(), FIRST));
        fs::remove_file(folder.path()).unwrap();
        assert!(verifies(&next(), FIRST));
        fs::create_dir(folder.path()).unwrap();
        assert!(verifies(&next(), FIRST));
        fs::remove_dir(folder.path()).unwrap();
        folder.write(SECOND);
        let keys = next();
        assert!(verifies(&keys, SECOND) && !verifies(&keys, FIRST));
    }

    #[test]
    fn without_a_good_file_there_is_no_start() {
        let folder = Folder::new("short");
        let now = Instant::now();
        for (path, says) in [
            (folder.path(), "line 1: the key has 5 bytes"),
            (folder.0.path().join("none"), "cannot be read"),
            (folder.0.path().to_owned(), "no regular file"),
        ] {
            let error = KeyFile::open(&path, now).unwrap_err().to_string();
            let path = path.display().to_string();
            assert!(error.contains(says) && error.contains(&path), "{error}");
        }
    }
}
