//! A folder of manifests: read whole, compiled whole, watched; the last good topology stays in force.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use towpath_config::{CompileOptions, SourceFile, load};

use super::log_notes;
use crate::delivery;
use crate::state::State;

/// Largest manifest, in bytes: etcd's own limit of 1.5 MiB for an object, and room for lists of them.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Folders below the one that is given, at most so deep.
const MAX_DEPTH: usize = 16;
/// Editors and `kubectl cp` write in several steps: changes are read once it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(150);
/// Looked at this often even when nothing was reported: some file systems report no changes.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why a folder of manifests cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operating system says why.
    #[error("cannot read {path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// A file is larger than any manifest may be.
    #[error("{path} has {size} bytes, more than the limit of {MAX_FILE_BYTES} for a manifest")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// Folders in folders in folders.
    #[error("{path} is nested deeper than {MAX_DEPTH} folders")]
    TooDeep {
        /// The folder.
        path: PathBuf,
    },
}

/// Reads every `.yaml`, `.yml` and `.json` file in `folder` and the folders in it, in the order of their names.
/// Names that begin with a dot are left out.
///
/// # Errors
/// [`FolderError`] for the first file or folder that cannot be read.
pub fn read_folder(folder: &Path) -> Result<Vec<SourceFile>, FolderError> {
    let mut files = Vec::new();
    collect(folder, 0, &mut files)?;
    Ok(files)
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<SourceFile>) -> Result<(), FolderError> {
    if depth > MAX_DEPTH {
        return Err(FolderError::TooDeep {
            path: folder.into(),
        });
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Io { path, source }
    };
    let entries = std::fs::read_dir(folder).map_err(failed(folder))?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()
        .map_err(failed(folder))?;
    paths.sort();
    for path in paths {
        if path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        {
            continue;
        }
        let metadata = std::fs::metadata(&path).map_err(failed(&path))?;
        if metadata.is_dir() {
            collect(&path, depth + 1, files)?;
        } else if is_manifest(&path) {
            if metadata.len() > MAX_FILE_BYTES {
                return Err(FolderError::TooLarge {
                    path,
                    size: metadata.len(),
                });
            }
            let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
            files.push(SourceFile {
                name: path.display().to_string(),
                text,
            });
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension == *known)
    })
}

/// Follows `folder`, whose last good content is `current`, until `ending`.
pub(crate) async fn watch(
    state: Arc<State>,
    folder: PathBuf,
    options: CompileOptions,
    mut current: Vec<SourceFile>,
    ending: CancellationToken,
) {
    let changed = Arc::new(Notify::new());
    let _watcher = match start_watcher(&folder, Arc::clone(&changed)) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "changes of the manifests are not reported; looking every {LOOK_AGAIN:?}");
            None
        }
    };
    loop {
        // Also at the beginning: what changed before the watcher was there is not reported.
        look(&state, &folder, &options, &mut current).await;
        tokio::select! {
            () = settled(&changed) => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = ending.cancelled() => return,
        }
    }
}

fn start_watcher(
    folder: &Path,
    changed: Arc<Notify>,
) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is reported too, and is no change.
        if event.map_or(true, |event| !event.kind.is_access()) {
            changed.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    Ok(watcher)
}

async fn settled(changed: &Notify) {
    changed.notified().await;
    while tokio::time::timeout(QUIET, changed.notified())
        .await
        .is_ok()
    {}
}

async fn look(
    state: &Arc<State>,
    folder: &Path,
    options: &CompileOptions,
    current: &mut Vec<SourceFile>,
) {
    let (folder, options) = (folder.to_owned(), options.clone());
    let before = std::mem::take(current);
    let looked = tokio::task::spawn_blocking(move || {
        let files = match read_folder(&folder) {
            Ok(files) if files == before => return (before, None),
            Ok(files) => files,
            Err(error) => return (before, Some(Err(vec![error.to_string()]))),
        };
        let compiled = load(&files, &options);
        let compiled = compiled.map_err(|problems| {
            problems
                .0
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        });
        (files, Some(compiled))
    })
    .await;
    let outcome = match looked {
        Ok((files, outcome)) => {
            *current = files;
            outcome
        }
        Err(error) => Some(Err(vec![format!("reading the manifests failed: {error}")])),
    };
    match outcome {
        None => {}
        Some(Ok(compiled)) => {
            tracing::info!(
                channels = compiled.topology.channels.len(),
                "a change of the manifests is in force"
            );
            log_notes(&compiled.report);
            delivery::put_in_force(state, Arc::new(compiled.topology), &compiled.replicas).await;
            state.refused.store(Arc::default());
            state.metrics.topology_changed(true);
        }
        Some(Err(problems)) => {
            if **state.refused.load() == problems {
                return;
            }
            let count = problems.len();
            tracing::error!(
                count,
                "a change of the manifests is refused; what was in force stays: {}",
                problems.join("; ")
            );
            state.refused.store(Arc::new(problems));
            state.metrics.topology_changed(false);
        }
    }
}
