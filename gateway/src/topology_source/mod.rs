//! Where the topology comes from: so far a folder of manifests.

mod files;

pub(crate) use files::watch;
pub use files::{FolderError, read_folder};
