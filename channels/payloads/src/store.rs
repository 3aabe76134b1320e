//! What a payload store can do. The suite (feature `suite`) is its definition.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use towpath_event::{ClaimCheck, PayloadId, Place, ReadError, SetAside};

use crate::{Draw, Full};

/// A place where payloads wait.
///
/// An id is made by the store, at random, and never used again. A payload has one of two lives: it is *held*, and is
/// deleted when the last handle to it is dropped (memory channels), or it is *kept* until [`delete`](Self::delete),
/// also when this process ends (durable channels, where the broker's message refers to it).
pub trait PayloadStore: fmt::Debug + Send + Sync {
    /// Which tier it is, for metrics and messages.
    fn tier(&self) -> Tier;

    /// Whether a claim check with this place is for this store.
    fn holds(&self, place: &Place) -> bool;

    /// Begins a payload. Room for `new.length` is made, or refused, before this returns. The payload can be read from
    /// then on, through [`Writer::payload`]; memory and node give out what has come, the others wait for the end.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is left behind.
    fn create<'a>(&'a self, new: New<'a>) -> BoxFuture<'a, Result<Box<dyn Writer>, StoreError>>;

    /// Finds a kept payload again: after a restart, or from another message. The handle does not delete it.
    ///
    /// # Errors
    /// [`StoreError::Read`] with [`ReadError::Missing`] if it is not there, or with [`ReadError::Damaged`] if its size
    /// is not that of the claim check.
    fn find<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>>;

    /// A second kept payload with the bytes of a complete one, under an id of its own and with a life of its own, and
    /// without moving the bytes where the store can do that: hard link, server-side copy, link record.
    ///
    /// # Errors
    /// As [`find`](Self::find), and when there is no room.
    fn link<'a>(
        &'a self,
        claim: &'a ClaimCheck,
    ) -> BoxFuture<'a, Result<Arc<dyn SetAside>, StoreError>>;

    /// Deletes a payload. One that is not there is no error. Whoever is reading a node payload can read it to its end.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn delete(&self, id: PayloadId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Everything that rests here: complete payloads and what was left of broken ones, held or kept.
    fn list(&self) -> BoxStream<'_, Result<Listed, StoreError>>;

    /// Whether this process writes it or has a handle to it: a sweep leaves such a payload alone.
    fn in_use(&self, id: PayloadId) -> bool;

    /// How much rests here now, as far as this process knows.
    fn usage(&self) -> Usage;
}

/// A payload being written. Dropping it before [`finish`](Self::finish) breaks it: readers get
/// [`ReadError::SourceBroke`], and nothing of it is left in the store.
pub trait Writer: Send {
    /// The payload, readable while it grows.
    fn payload(&self) -> &Arc<dyn SetAside>;

    /// Adds bytes. Waits while too much is on its way to the store.
    ///
    /// # Errors
    /// [`StoreError`]; the payload is broken then. More than the announced length is [`StoreError::Length`].
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Completes the payload, and returns when it is in the store: what [`Tier`] says about durability holds then.
    ///
    /// # Errors
    /// [`StoreError`]; fewer bytes than announced are [`StoreError::Length`].
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Arc<dyn SetAside>, StoreError>>;
}

/// A payload that is to be written.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// Whose it is: each namespace has its bounds.
    pub namespace: &'a Arc<str>,
    /// On whose behalf room is taken.
    pub draw: Draw,
    /// Its length in bytes, if known; otherwise room is taken as it comes.
    pub length: Option<u64>,
    /// Whether it is kept until it is deleted, or held as long as a handle to it lives.
    pub life: Life,
    /// Somebody is to be shown it as a file ([`SetAside::file`]); otherwise the node store need not write one.
    pub as_file: bool,
}

/// How long a payload rests in its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// As long as a handle to it lives.
    Held,
    /// Until it is deleted.
    Kept,
}

/// The kinds of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// This process: gone when it ends.
    Memory,
    /// A directory: there after a restart if the directory is.
    Node,
    /// An object store.
    Object,
    /// A JetStream stream.
    Nats,
}

/// One entry of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: PayloadId,
    /// Bytes that it takes.
    pub bytes: u64,
    /// When it was last written.
    pub written: SystemTime,
}

/// How much rests in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Payloads.
    pub objects: u64,
    /// Bytes of them; what is announced and has not come counts.
    pub bytes: u64,
    /// Since when the oldest is here.
    pub oldest: Option<SystemTime>,
}

/// Why a store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A bound would be passed. Trying again later can succeed.
    #[error("{0}")]
    Full(#[from] Full),
    /// More or fewer bytes came than were announced.
    #[error("{came} bytes came where {announced} were announced")]
    Length {
        /// Bytes announced.
        announced: u64,
        /// Bytes that came; counting stopped at the first one too many.
        came: u64,
    },
    /// The store does not answer, or says no: disk full, no connection, no permission. Trying again later can succeed.
    #[error("the {tier} payload store cannot be used: {reason}")]
    Unavailable {
        /// Which store.
        tier: Tier,
        /// What it said.
        reason: Box<str>,
    },
    /// The payload cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Tier {
    /// As metrics and messages name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Node => "node",
            Self::Object => "object",
            Self::Nats => "nats",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
