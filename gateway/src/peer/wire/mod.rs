//! What gateways say to each other about one attempt, as bodies of requests and answers. Pure.
//!
//! The event travels as the control message that brokers carry (`towpath_event::control_message`), not in the binary mode
//! of HTTP, which loses what is an integer, a boolean or an implied content type, and a subscriber that asked for
//! structured events would see the difference.

mod answer;
mod attempt;
mod frame;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use towpath_event::control_message::{Binding, Defaults, Unreadable, from_headers, to_headers};
use towpath_event::{
    Attributes, ClaimCheck, Event, InvalidClaim, Message, Origin, PassThrough, Payload,
    TraceContext,
};

pub(crate) use answer::{AnswerResult, Failed, NoAnswerKind, PeerAnswer, PeerReply};
pub(crate) use attempt::{LegKind, PeerAttempt};
pub(super) use frame::MAX_HEAD;
use frame::{Head, Writer};

/// The data of an event on its way between gateways.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    /// The data itself, in memory.
    Inline(Payload),
    /// Where it rests: with the gateway on the node that the place names.
    Claim(ClaimCheck),
}

/// Why a body is not what a gateway of this version writes, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// Too much beside the data.
    #[error(
        "the attributes and headers take {bytes} bytes, more than the {MAX_HEAD} that gateways send each other"
    )]
    Head {
        /// Their size; where writing stopped, if it did.
        bytes: usize,
    },
    /// The head is no list of names with values.
    #[error("the head of the message is broken off or malformed")]
    Broken,
    /// An entry is not there.
    #[error("the message has no {0}")]
    Missing(&'static str),
    /// An entry has a value that no gateway of this version writes.
    #[error("the message has a {0} that no gateway of this version writes")]
    Value(&'static str),
    /// It is data in memory that was announced, but it is set aside.
    #[error("the data is set aside, and only its claim check can be sent")]
    SetAside,
    /// The claim check.
    #[error("{0}")]
    Claim(#[from] InvalidClaim),
    /// The event.
    #[error("{0}")]
    Event(#[from] Unreadable),
}

/// The claim check, where the data is not in the body. The name that control messages have for it.
const CLAIM: &str = "towpath-claim";

/// Brokers carry these; between gateways of one hop they say nothing.
const DEFAULTS: Defaults = Defaults {
    hops: 0,
    accepted: SystemTime::UNIX_EPOCH,
};

/// An event without its data, and what travels beside it.
struct Envelope {
    attributes: Attributes,
    headers: PassThrough,
    trace: TraceContext,
    origin: Option<Origin>,
}

impl Envelope {
    fn write(self, head: &mut Writer) -> Result<(), WireError> {
        let message = Message {
            event: Event::new(self.attributes, Payload::empty()),
            headers: self.headers,
            trace: self.trace,
            hops: DEFAULTS.hops,
            origin: self.origin,
            accepted: DEFAULTS.accepted,
        };
        for (name, value) in to_headers(&message, Binding::Nats).headers {
            head.put(&name, &value)?;
        }
        Ok(())
    }

    fn read(head: &Head<'_>) -> Result<Self, WireError> {
        // Where the data is is read apart.
        let entries = head.entries().filter(|(name, _)| *name != CLAIM);
        let message = from_headers(entries, None, Binding::Nats, DEFAULTS)?;
        Ok(Self {
            attributes: message.event.attributes,
            headers: message.headers,
            trace: message.trace,
            origin: message.origin,
        })
    }
}

impl Data {
    /// Adds what the head says of the data.
    fn announce(&self, head: &mut Writer) -> Result<(), WireError> {
        match self {
            Self::Inline(_) => Ok(()),
            Self::Claim(claim) => head.put_text(CLAIM, claim),
        }
    }

    /// The body: the head, and the data if that is inline. No byte of it is copied.
    fn behind(&self, head: Writer) -> Result<Payload, WireError> {
        let mut chunks = vec![head.finish()?];
        let Self::Inline(data) = self else {
            return Ok(Payload::from_chunks(chunks));
        };
        chunks.extend_from_slice(data.chunks().ok_or(WireError::SetAside)?);
        Ok(Payload::from_chunks(chunks).with_lease_of(data))
    }

    fn read(head: &Head<'_>, rest: Bytes) -> Result<Self, WireError> {
        Ok(match head.text(CLAIM)? {
            Some(claim) => Self::Claim(claim.parse()?),
            None => Self::Inline(rest.into()),
        })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn duration(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_nanos)
}
