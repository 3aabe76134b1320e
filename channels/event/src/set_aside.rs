//! Data that rests in a payload store: how it is read, while it is still being written and afterwards.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::ClaimCheck;

/// A payload in a store. It stays readable as long as this lives; what happens to it then is the store's affair.
pub trait SetAside: fmt::Debug + Send + Sync {
    /// What it takes to find it again. The digest, if one was asked for, is known when the payload is complete.
    fn claim(&self) -> ClaimCheck;

    /// Its whole length in bytes, also while it is still being written.
    fn size(&self) -> u64;

    /// Reads these bytes, which must lie within the size. While the payload is being written the reader waits for what
    /// has not come yet (cut-through). Errors show when the bytes are asked for.
    fn read(self: Arc<Self>, range: Range<u64>) -> Box<dyn Read>;

    /// How far it has come.
    fn progress(&self) -> Progress;

    /// Waits until it is complete.
    ///
    /// # Errors
    /// [`ReadError::SourceBroke`] if it never will be.
    fn completed(&self) -> Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send + '_>>;

    /// The file that holds it and nothing else, once it is complete, for processes that share the directory; `None`
    /// where there is no such file. It must not be written to.
    fn file(&self) -> Option<PathBuf>;
}

/// How far a payload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is being written.
    Growing,
    /// All of it is there.
    Complete,
    /// Whoever wrote it broke off: it never will be.
    Broken,
}

/// A payload being read.
pub trait Read: Send {
    /// The next bytes, never an empty chunk; `None` at the end of the range, after exactly its length.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>>;
}

/// Why a payload cannot be read. An event is never delivered without its data (C9.7).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Whoever was writing it broke off.
    #[error("the sender of the payload broke off before its end")]
    SourceBroke,
    /// The store does not have it, though a message refers to it.
    #[error("the payload is missing from its store ({0})")]
    Missing(Box<str>),
    /// It is there, but not the bytes that were stored.
    #[error("the payload is damaged: {0}")]
    Damaged(Box<str>),
    /// The store cannot be read now.
    #[error("the payload store cannot be read: {0}")]
    Store(Box<str>),
}
