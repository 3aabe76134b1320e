//! What the benchmark of payloads and its step processes say to each other.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Path under which a step process takes an [`Expect`] and forgets what it has seen.
pub(super) const EXPECT_PATH: &str = "/expect";
/// Path under which it gives its [`Sightings`].
pub(super) const SEEN_PATH: &str = "/seen";
/// Attribute with the reference to a payload, as a header.
pub(super) const DATAREF: &str = "ce-dataref";

/// What is to come until the next one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Expect {
    /// Bytes of each payload.
    pub(super) size: u64,
    /// Pace of each reply's body; as fast as it goes, if none.
    pub(super) bytes_per_second: Option<u64>,
    /// Folder in which replies by file are left.
    pub(super) out: Option<PathBuf>,
    /// One file in so many is compared whole, the others in samples; all, if 0 or 1. Bodies are always compared whole.
    pub(super) whole_every: u64,
}

/// An event that reached a step, whole and unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The step's path.
    pub(super) place: String,
    /// The event's number.
    pub(super) number: u64,
    /// From the moment in the event's `benchsent` until the body was there, or its file open; nanoseconds.
    pub(super) took_nanos: u64,
    /// When that was, on the shared clock.
    pub(super) at_nanos: u64,
    /// Bytes of the request's head, as they are on the wire.
    pub(super) head_bytes: u64,
    /// Whether it came as a reference, with no body.
    pub(super) by_reference: bool,
}

/// Everything since the last [`Expect`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Sightings {
    /// Events, in the order in which they were whole.
    pub(super) seen: Vec<Seen>,
    /// How many things went wrong; any voids the round.
    pub(super) error_count: u64,
    /// The first of them, in words.
    pub(super) errors: Vec<String>,
}

/// The file of the reply to an event from the step at this path, in the folder `out` of the shared directory.
pub(super) fn left_file(out: &Path, number: u64, path: &str) -> PathBuf {
    out.join(format!("{number}{}", path.replace('/', "-")))
}
