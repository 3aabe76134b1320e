//! The files of the repository, as git lists them: those committed and those about to be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A text file of the repository.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// A made-up file, to be shown to a check.
    pub(crate) fn of(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Whether it is Rust source.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Its lines, each with its number, counted from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is two folders below the root")
        .to_path_buf()
}

/// Every text file that is part of the repository.
pub(crate) fn repository() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let output = Command::new("git")
            .current_dir(root())
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .output()
            .expect("git is there");
        assert!(output.status.success(), "git ls-files: {output:?}");
        let list = String::from_utf8(output.stdout).expect("paths are UTF-8");
        let files: Vec<File> = list
            .split('\0')
            .filter(|path| !path.is_empty())
            // listed but deleted, or binary: nothing to read
            .filter_map(|path| {
                Some(File::of(
                    path,
                    &std::fs::read_to_string(root().join(path)).ok()?,
                ))
            })
            .collect();
        // a check over nothing would pass
        assert!(
            files.len() > 20,
            "only {} files: is this the root?",
            files.len()
        );
        files
    })
}

/// One file by its path from the root.
pub(crate) fn file(path: &str) -> Option<&'static File> {
    repository().iter().find(|file| file.path == path)
}
