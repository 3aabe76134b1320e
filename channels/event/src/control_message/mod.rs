//! The message as a record of a broker: a CloudEvent in that broker's binary binding, and ours in headers beside it.

mod forms;
mod percent;
mod read;
mod write;

pub use read::from_headers;
pub use write::to_headers;

use std::time::SystemTime;

use bytes::Bytes;

use crate::Invalid;
use crate::invalid::shown;

/// Which broker's rules apply (F2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// Attributes in headers `ce_<name>`, `datacontenttype` in `content-type`, values as UTF-8; a record without
    /// data has no value (a tombstone).
    Kafka,
    /// Attributes in headers `ce-<name>`, `datacontenttype` among them; values percent-encoded as in F2.3, so that
    /// they are visible ASCII.
    Nats,
}

/// A record of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Names and values, in order; a name may come more than once.
    pub headers: Vec<(String, Bytes)>,
    /// The data. None where there is none and the binding tells that from empty data: on Kafka.
    pub value: Option<Bytes>,
}

/// What a message is taken to be where a record does not say: one that someone else put on the broker.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// The hop budget of an event from outside (setting `limits.hops`).
    pub hops: u8,
    /// When the record came, as the broker has it.
    pub accepted: SystemTime,
}

/// Why a record is no message of ours and no event either. The text names the header and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has neither the attributes of an event nor the content type of a structured one.
    #[error(
        "the record is no CloudEvent: it has no header {header} of a known version, and its content type is not application/cloudevents+json"
    )]
    NotAnEvent {
        /// The header that was looked for.
        header: String,
    },
    /// It is an event, but not a valid one.
    #[error("the record is no valid CloudEvent: {0}")]
    Invalid(#[from] Invalid),
    /// A header of ours has a value that no gateway writes.
    #[error(
        "header {name} of the record is {}: it must be {must_be}",
        shown(value)
    )]
    Header {
        /// The header.
        name: &'static str,
        /// Its value.
        value: Box<str>,
        /// What it must be.
        must_be: &'static str,
    },
    /// Its data was set aside, and this gateway cannot fetch data by claim check. It must not be delivered without
    /// (C9.7).
    #[error(
        "the record's data was set aside ({CLAIM}), and this gateway reads only records that hold their data; use one that knows payload stores"
    )]
    SetAside,
}

/// Of our headers: the claim check.
const CLAIM: &str = "towpath-claim";
/// The hop budget left: decimal, 0 to 255.
const HOPS: &str = "towpath-hops";
/// The replica whose reply the event is: `replica=..;node=..;zone=..`, percent-encoded, the last two if known.
const ORIGIN: &str = "towpath-origin";
/// When a gateway accepted it: milliseconds since 1970, decimal.
const ACCEPTED: &str = "towpath-accepted";
/// What a binary binding loses of an attribute; see `forms`.
const FORMS: &str = "towpath-forms";
/// Begins the name of a pass-through header (C4.1).
const PASS_THROUGH: &str = "towpath-h-";
/// The trace context, under its own names (C4.5).
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

impl Binding {
    /// What begins the header of an attribute.
    fn prefix(self) -> &'static str {
        match self {
            Self::Kafka => "ce_",
            Self::Nats => "ce-",
        }
    }

    /// The header of this attribute.
    fn header(self, attribute: &str) -> String {
        match (self, attribute) {
            (Self::Kafka, "datacontenttype") => CONTENT_TYPE.to_owned(),
            _ => format!("{}{attribute}", self.prefix()),
        }
    }
}

/// Says which format a structured event has; on Kafka also the `datacontenttype` of a binary one.
const CONTENT_TYPE: &str = "content-type";
