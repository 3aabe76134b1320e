//! An event: attributes and payload.

use crate::{Attributes, Payload};

/// A CloudEvent of specversion 0.3 or 1.0. Cloning it copies no data and no attribute values.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The context attributes, extensions included.
    pub attributes: Attributes,
    /// The data, as the bytes that a binary-mode body has. Empty means that the event has no data (C3.7).
    pub payload: Payload,
}

impl Event {
    /// An event of these parts.
    pub fn new(attributes: Attributes, payload: Payload) -> Self {
        Self {
            attributes,
            payload,
        }
    }

    /// This event, which also holds the leases of `body`: for an event whose data is a slice of a body that is
    /// accounted for.
    #[must_use]
    pub fn with_lease_of(mut self, body: &Payload) -> Self {
        self.payload = self.payload.with_lease_of(body);
        self
    }
}
