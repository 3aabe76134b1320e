//! Why a request of the payload API got nothing, and what its sender hears: one table.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use towpath_event::{PayloadId, ReadError};
use towpath_payloads::{Full, StoreError};

use super::attempts::Stopped;
use super::body::ReadBody;
use super::token::{Purpose, TokenError};

/// How soon a client may try again when a bound is hit.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request got nothing.
#[derive(Debug)]
pub(super) enum Refusal {
    Token(TokenError),
    /// The URL is good, but not for this method.
    Method(Purpose),
    /// The payload has been deleted, or never came.
    Missing(PayloadId),
    /// None of the bytes that are asked for are there.
    Range {
        size: u64,
    },
    #[expect(dead_code, reason = "what is wrong is for the log, not for the client")]
    Damaged(ReadError),
    /// The store does not answer.
    #[expect(dead_code, reason = "what is wrong is for the log, not for the client")]
    Store(Box<str>),
    PartOfUpload,
    /// `size` is what was announced, or how much had come when the limit was passed.
    TooLarge {
        size: u64,
        limit: u64,
        setting: &'static str,
    },
    /// Fewer or more bytes came than were announced.
    Truncated,
    HeadTooLarge {
        size: u64,
        limit: u64,
    },
    Stalled(Duration),
    Full(Full),
    Stopped(Stopped),
}

impl Refusal {
    fn table(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Token(TokenError::Malformed) | Self::PartOfUpload => {
                (StatusCode::BAD_REQUEST, "malformed")
            }
            Self::Token(TokenError::Signature) => (StatusCode::FORBIDDEN, "altered"),
            Self::Token(TokenError::Expired { .. }) => (StatusCode::FORBIDDEN, "expired"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method"),
            Self::Missing(_) => (StatusCode::NOT_FOUND, "missing"),
            Self::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range"),
            Self::Damaged(_) => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::HeadTooLarge { .. } => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large"),
            Self::Truncated => (StatusCode::BAD_REQUEST, "truncated"),
            Self::Stalled(_) => (StatusCode::REQUEST_TIMEOUT, "truncated"),
            Self::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Stopped(Stopped::Ended) => (StatusCode::GONE, "ended"),
            Self::Stopped(Stopped::Replaced) => (StatusCode::CONFLICT, "replaced"),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Token(error) => error.to_string(),
            Self::Method(purpose) => format!("this payload URL is for {}", allow(*purpose)),
            Self::Missing(id) => format!(
                "payload {id} is not here any more: it can be read until its event is settled, and then for the time of \
                 setting payloads.referenceGrace"
            ),
            Self::Range { size } => {
                format!("the range begins after the end of the payload, which has {size} bytes")
            }
            // What a store says about itself is for the log.
            Self::Damaged(_) => "the payload is damaged; the gateway's log says how".into(),
            Self::Store(_) => "the payload store cannot be used now; try again".into(),
            Self::PartOfUpload => {
                "a payload is uploaded whole; send it without Content-Range".into()
            }
            Self::TooLarge {
                size,
                limit,
                setting,
            } => {
                format!(
                    "the payload has at least {size} bytes, more than the limit of {limit} (setting {setting})"
                )
            }
            Self::HeadTooLarge { size, limit } => {
                format!("the headers have {size} bytes, more than the limit of {limit} (setting limits.maxHeaderBytes)")
            }
            Self::Truncated => "the request ended before its body was complete".into(),
            Self::Stalled(bound) => {
                format!(
                    "no byte of the body came for {bound:?}, the limit (setting timeouts.bodyIdle)"
                )
            }
            Self::Full(full) => full.to_string(),
            Self::Stopped(Stopped::Ended) => {
                "the attempt that this upload URL belongs to is over: upload before you answer; the next attempt carries a \
                 URL of its own"
                    .into()
            }
            Self::Stopped(Stopped::Replaced) => {
                "another upload to this URL began after this one, and takes its place".into()
            }
        }
    }

    /// The answer to the sender.
    pub(super) fn response(&self) -> Response<ReadBody> {
        let (status, reason) = self.table();
        let body = json!({ "reason": reason, "message": self.message() });
        let mut response = Response::new(ReadBody::text(format!("{body}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Self::Method(purpose) = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow(*purpose)));
        }
        if let Self::Range { size } = self
            && let Ok(value) = HeaderValue::try_from(format!("bytes */{size}"))
        {
            headers.insert(header::CONTENT_RANGE, value);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }

    /// Why the payload `id` cannot be read.
    pub(super) fn of_read(error: ReadError, id: PayloadId) -> Self {
        match error {
            ReadError::SourceBroke | ReadError::Missing(_) => Self::Missing(id),
            ReadError::Damaged(_) => Self::Damaged(error),
            ReadError::Store(reason) => Self::Store(reason),
        }
    }

    /// What a store says about the payload `id`, or about the one that is written for the attempt `id`.
    pub(super) fn of_store(error: StoreError, id: PayloadId) -> Self {
        match error {
            // A retry of what can never fit would fail for ever.
            StoreError::Full(full) if full.asked > full.limit => Self::TooLarge {
                size: full.asked,
                limit: full.limit,
                setting: full.setting,
            },
            StoreError::Full(full) => Self::Full(full),
            StoreError::Length { .. } => Self::Truncated,
            StoreError::Unavailable { reason, .. } => Self::Store(reason),
            StoreError::Read(error) => Self::of_read(error, id),
        }
    }
}

fn allow(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Read => "GET, HEAD",
        Purpose::Upload => "PUT",
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<Stopped> for Refusal {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}
