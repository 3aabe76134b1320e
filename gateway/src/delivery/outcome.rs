//! What an answer means (CONTRACT C5, C8.2). Pure.

use std::time::Duration;

use http::StatusCode;
use towpath_event::ReadError;
use towpath_event::http::Mode;

use crate::routing::choose::NoChoice;
use crate::send::SendError;

/// Why an attempt failed, and what the dead letter will say of it (C6.1, C6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Status of the answer, or 500 when none came.
    pub(crate) code: u16,
    /// The start of the answer's body, or our own words when none came.
    pub(crate) data: Vec<u8>,
    /// The same request may succeed later.
    pub(crate) retryable: bool,
    /// What a 429 or 503 asked for.
    pub(crate) retry_after: Option<Duration>,
    /// Whoever sent the event broke off before its end: there is nothing to deliver. The attempt counts as none, and
    /// nothing follows from it (DESIGN section 12, Cut-through).
    pub(crate) gone: bool,
}

/// Status of a delivery whose answer a broker does not understand (C5.5, C5.6).
pub(crate) const BAD_GATEWAY: u16 = 502;

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Taken, nothing came back that is an event.
    Taken,
    /// Taken, and the answer is an event in this mode.
    Replied(Mode),
    /// Not taken.
    Failed {
        /// The same request may succeed later.
        retryable: bool,
    },
}

/// Judges the head of an answer. `mode` is what its headers make of it; `reply_on_202` is C5.4.
pub(crate) fn judge(status: StatusCode, mode: Mode, reply_on_202: bool) -> Verdict {
    if !status.is_success() {
        return Verdict::Failed {
            retryable: is_retryable(status),
        };
    }
    if status == StatusCode::ACCEPTED && !reply_on_202 {
        return Verdict::Taken;
    }
    match mode {
        Mode::Binary | Mode::Structured => Verdict::Replied(mode),
        Mode::Batch | Mode::NotAnEvent => Verdict::Taken,
    }
}

/// The table of C8.2. Redirects are not followed and not retried (C5.2, I4).
fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 408 | 409 | 429)
        || status.is_server_error()
        || status.as_u16() >= 600
}

impl Failure {
    /// No whole answer came (C6.3).
    pub(crate) fn no_answer(error: &SendError) -> Self {
        match error {
            SendError::Payload(error) => Self::unreadable(error),
            SendError::NoReplica(full @ NoChoice::QueueFull { .. }) => {
                Self::ours(503, &full.to_string(), true)
            }
            error => Self::ours(500, &format!("dispatch error: {error}"), true),
        }
    }

    /// The event's data cannot be read now; it is never delivered without (C9.7).
    pub(crate) fn unreadable(error: &ReadError) -> Self {
        match error {
            ReadError::SourceBroke => Self::gone(),
            error => Self::ours(500, &format!("dispatch error: {error}"), true),
        }
    }

    /// The event's sender broke off.
    pub(crate) fn gone() -> Self {
        Self {
            gone: true,
            ..Self::ours(500, "the sender of the event broke off", false)
        }
    }

    /// A failure that this gateway states itself.
    pub(crate) fn ours(code: u16, text: &str, retryable: bool) -> Self {
        Self {
            code,
            data: text.as_bytes().to_vec(),
            retryable,
            retry_after: None,
            gone: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(code: u16) -> Verdict {
        judge(StatusCode::from_u16(code).unwrap(), Mode::NotAnEvent, true)
    }

    #[test]
    fn c8_2_the_retry_table() {
        for code in [404, 408, 409, 429, 500, 502, 503, 504, 599, 600, 999] {
            assert_eq!(verdict(code), Verdict::Failed { retryable: true }, "{code}");
        }
        for code in [
            100, 101, 300, 301, 302, 307, 308, 400, 401, 403, 405, 406, 410, 413, 415, 418, 422,
            451, 499,
        ] {
            assert_eq!(
                verdict(code),
                Verdict::Failed { retryable: false },
                "{code}"
            );
        }
        for code in [200, 201, 202, 204, 299] {
            assert_eq!(verdict(code), Verdict::Taken, "{code}");
        }
    }

    #[test]
    fn c5_3_an_event_in_a_2xx_is_a_reply() {
        for mode in [Mode::Binary, Mode::Structured] {
            assert_eq!(judge(StatusCode::OK, mode, true), Verdict::Replied(mode));
            assert_eq!(
                judge(StatusCode::ACCEPTED, mode, true),
                Verdict::Replied(mode),
                "C5.4"
            );
            assert_eq!(
                judge(StatusCode::ACCEPTED, mode, false),
                Verdict::Taken,
                "C5.4, strict"
            );
            assert_eq!(
                judge(StatusCode::BAD_GATEWAY, mode, true),
                Verdict::Failed { retryable: true }
            );
        }
        assert_eq!(judge(StatusCode::OK, Mode::Batch, true), Verdict::Taken);
    }
}
