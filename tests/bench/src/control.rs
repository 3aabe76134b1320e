//! What the benchmark and its step processes say to each other beside the events.

use crate::histogram::Cells;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Steps of the workflow. Neighbours run in different processes, so odd and even numbers part.
pub(crate) const STEPS: usize = 5;
/// Hops of one event that are timed: those from step to step. The first delivery starts outside.
pub(crate) const TIMED_HOPS: u64 = STEPS as u64 - 1;
/// Header with the event's number.
pub(crate) const ID: &str = "ce-id";
/// Extension attribute with the moment at which the hop began, in nanoseconds of the shared clock.
pub(crate) const SENT: &str = "ce-benchsent";
/// Path under which step processes take a [`Reset`].
pub(crate) const RESET_PATH: &str = "/reset";
/// Path under which step processes give their [`Results`].
pub(crate) const RESULTS_PATH: &str = "/results";

/// The line that a step process prints when it serves.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Started {
    /// Where it serves steps and control.
    pub(crate) listening: SocketAddr,
}

/// Starts a round: forget what was measured, expect bodies of this size.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Reset {
    /// Bytes of each body.
    pub(crate) size: usize,
    /// The process of the neighbouring steps; only for steps that forward.
    pub(crate) neighbour: Option<SocketAddr>,
}

/// What a step process has measured since the last [`Reset`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Times of the hops that ended here.
    pub(crate) hops: Cells,
    /// Events that reached each step; zero for the steps of the other process.
    pub(crate) received: [u64; STEPS],
    /// How many things went wrong; any voids the run.
    pub(crate) error_count: u64,
    /// The first of them, in words.
    pub(crate) errors: Vec<String>,
}
