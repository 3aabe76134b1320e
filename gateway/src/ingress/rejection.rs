//! Why a request was not let in, and what its sender hears: one table (CONTRACT C2).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full as FullBody;
use serde_json::json;
use towpath_channels::Failure;
use towpath_event::Invalid;
use towpath_payloads::StoreError;

use super::address::AddressError;
use super::body::BrokeOff;
use crate::accept::Refusal;
use crate::intake::Unfit;
use crate::telemetry::Rejected;

/// How soon a producer may try again when a bound is hit.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request was not let in.
#[derive(Debug)]
pub(crate) enum Rejection {
    Method,
    Address(AddressError),
    Batch,
    NotAnEvent,
    Invalid(Invalid),
    HeadTooLarge {
        size: u64,
        limit: u64,
    },
    /// `size` is what was announced, or how much had come when the limit was passed.
    TooLarge {
        size: u64,
        limit: u64,
        setting: &'static str,
    },
    Truncated,
    Stalled(Duration),
    /// No room for its data, or no store that works.
    Store(StoreError),
    /// The channel was removed while the request was read.
    Gone,
    Refused(Refusal),
    /// The event came with a spent hop budget.
    Loop,
    /// A subscription without dead letter sink failed for good (C8.12).
    Failed(Failure),
    SettleTimeout(Duration),
    Connections {
        limit: usize,
    },
}

impl Rejection {
    fn table(&self) -> (StatusCode, Rejected) {
        match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, Rejected::Method),
            Self::Address(AddressError::Unknown(_)) => (StatusCode::NOT_FOUND, Rejected::Address),
            Self::Address(AddressError::Malformed(_)) => {
                (StatusCode::BAD_REQUEST, Rejected::Address)
            }
            Self::Batch | Self::NotAnEvent | Self::Invalid(_) => {
                (StatusCode::BAD_REQUEST, Rejected::Malformed)
            }
            Self::HeadTooLarge { .. } => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                Rejected::TooLarge,
            ),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Rejected::TooLarge),
            Self::Truncated => (StatusCode::BAD_REQUEST, Rejected::Truncated),
            Self::Stalled(_) => (StatusCode::REQUEST_TIMEOUT, Rejected::Truncated),
            Self::Store(_) | Self::Connections { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, Rejected::Overloaded)
            }
            Self::Gone | Self::Refused(Refusal::Unknown(_)) => {
                (StatusCode::NOT_FOUND, Rejected::Address)
            }
            Self::Refused(Refusal::SourceBroke) => (StatusCode::BAD_REQUEST, Rejected::Truncated),
            Self::Refused(Refusal::Publish(_) | Refusal::Backlog { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, Rejected::Overloaded)
            }
            Self::Loop | Self::Refused(Refusal::Ttl { .. }) => {
                (StatusCode::BAD_REQUEST, Rejected::Loop)
            }
            Self::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, Rejected::Failed),
            Self::SettleTimeout(_) => (StatusCode::GATEWAY_TIMEOUT, Rejected::Failed),
        }
    }

    /// For the metric of rejected events.
    pub(crate) fn reason(&self) -> Rejected {
        self.table().1
    }

    fn message(&self) -> String {
        match self {
            Self::Method => "events are sent with POST".into(),
            Self::Address(AddressError::Unknown(text)) => text.clone(),
            Self::Address(AddressError::Malformed(text)) => (*text).into(),
            Self::Batch => "batches of events are not accepted; send each event in a request of its own".into(),
            Self::NotAnEvent => "not a CloudEvent: the header ce-specversion must be 1.0 or 0.3 (binary mode), or the \
                                 Content-Type application/cloudevents+json (structured mode)"
                .into(),
            Self::Invalid(invalid) => invalid.to_string(),
            Self::HeadTooLarge { size, limit } => {
                format!("the headers have {size} bytes, more than the limit of {limit} (setting limits.maxHeaderBytes)")
            }
            Self::TooLarge { size, limit, setting } => {
                format!("the event has at least {size} bytes, more than the limit of {limit} (setting {setting})")
            }
            Self::Truncated => "the request ended before its body was complete".into(),
            Self::Stalled(bound) => {
                format!("no byte of the body came for {bound:?}, the limit (setting timeouts.bodyIdle)")
            }
            Self::Store(error) => error.to_string(),
            Self::Gone => "the channel was removed".into(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::Loop => "the event's hop budget is spent: it went through too many channels (setting limits.hops)".into(),
            Self::Failed(failure) => failure.reason.clone(),
            Self::SettleTimeout(bound) => format!(
                "the event was taken, but not settled within {bound:?} (setting memory.settleTimeout); it is still being \
                 delivered"
            ),
            Self::Connections { limit } => {
                format!("{limit} connections are open, the limit (setting limits.maxConnections)")
            }
        }
    }

    /// The answer to the sender.
    pub(crate) fn response(&self) -> Response<FullBody<Bytes>> {
        let (status, reason) = self.table();
        let body = json!({ "reason": reason.as_str(), "message": self.message() });
        let mut response = Response::new(FullBody::from(format!("{body}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, super::probe::ALLOW);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

impl From<AddressError> for Rejection {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl From<Invalid> for Rejection {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Unfit<BrokeOff>> for Rejection {
    fn from(unfit: Unfit<BrokeOff>) -> Self {
        match unfit {
            Unfit::TooLarge {
                size,
                limit,
                setting,
            } => Self::TooLarge {
                size,
                limit,
                setting,
            },
            Unfit::Store(StoreError::Length { .. }) => Self::Truncated,
            Unfit::Store(error) => Self::Store(error),
            Unfit::Source(BrokeOff::Truncated) => Self::Truncated,
            Unfit::Source(BrokeOff::Stalled(bound)) => Self::Stalled(bound),
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
