//! What a channel carries: an event and what travels beside it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::{Event, PassThrough, TraceContext};

/// An event on its way through channels, with all that must reach its subscribers or decides where it goes.
/// Cloning it copies no data.
#[derive(Clone, Debug)]
pub struct Message {
    /// The event.
    pub event: Event,
    /// The request headers that go on to the subscriber (C4.1).
    pub headers: PassThrough,
    /// The trace that the event is part of (C4.5).
    pub trace: TraceContext,
    /// How many acceptances may follow this one: 255 at the door, one less at each further channel.
    pub hops: u8,
    /// The replica whose reply this event is; none for an event from outside.
    pub origin: Option<Origin>,
    /// When the channel's gateway accepted it.
    pub accepted: SystemTime,
}

/// The replica whose reply an event is, and where that replica runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The replica: its address.
    pub replica: Arc<str>,
    /// The node that it runs on, if known.
    pub node: Option<Arc<str>>,
    /// The zone of that node, if known.
    pub zone: Option<Arc<str>>,
}
