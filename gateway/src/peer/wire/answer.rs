//! The answer: what came of an attempt.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use towpath_event::{Attributes, Origin, PassThrough, Payload, TraceContext};

use super::frame::{Head, Writer, split};
use super::{Data, Envelope, WireError, duration, nanos};

/// What came of an attempt that another gateway made, or did not make.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PeerAnswer {
    /// The destination gave a whole answer.
    Answered {
        /// Its status.
        status: u16,
        /// What it means.
        result: AnswerResult,
        /// How long before this answer all of the data was there, if it had to be pulled: what came before that is the way.
        arrived_before: Option<Duration>,
    },
    /// It gave none.
    NoAnswer {
        /// Why.
        kind: NoAnswerKind,
        /// Why, for people.
        message: String,
    },
    /// The gateway does not know the subscription, or the replica is none of its own candidates for it: nothing was sent.
    NotMine(String),
}

/// What an answer means (C5).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AnswerResult {
    /// Taken; nothing came back that is an event.
    Taken,
    /// Taken, and the answer is an event.
    Reply(Box<PeerReply>),
    /// Taken, but the reply can never be: that fails the reply, not the destination (C5.6).
    BadReply(Failed),
    /// Not taken (C8.2).
    Failed(Failed),
}

/// A reply.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PeerReply {
    /// The event.
    pub(crate) attributes: Attributes,
    /// The pass-through headers of the answer (C4.4).
    pub(crate) headers: PassThrough,
    /// The replica that gave it.
    pub(crate) origin: Option<Origin>,
    /// The event's data. A claim is kept for the gateway that is answered, under a lease.
    pub(crate) data: Data,
}

/// A failure, as the dead letter will tell it (C6.1, C6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Its status.
    pub(crate) code: u16,
    /// The start of the answer's body.
    pub(crate) data: Vec<u8>,
    /// The same request may succeed later.
    pub(crate) retryable: bool,
    /// What a 429 or 503 asked for.
    pub(crate) retry_after: Option<Duration>,
}

/// Why there is no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswerKind {
    /// No connection: nothing was sent.
    Connect,
    /// None in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// The event's data could not be read.
    Payload,
    /// Whoever sent the event broke off.
    Gone,
}

const RESULT: &str = "towpath-result";
const STATUS: &str = "towpath-status";
const ARRIVED: &str = "towpath-arrived-before";
const KIND: &str = "towpath-kind";
const CODE: &str = "towpath-code";
const RETRYABLE: &str = "towpath-retryable";
const RETRY_AFTER: &str = "towpath-retry-after";

const TAKEN: &str = "taken";
const REPLY: &str = "reply";
const BAD_REPLY: &str = "bad-reply";
const FAILED: &str = "failed";
const NO_ANSWER: &str = "no-answer";

/// The status with which a gateway says that an attempt is not its own to make.
pub(in crate::peer) const NOT_MINE: StatusCode = StatusCode::MISDIRECTED_REQUEST;

impl PeerAnswer {
    /// Status and body.
    ///
    /// # Errors
    /// [`WireError::Head`] or [`WireError::SetAside`].
    pub(crate) fn encode(self) -> Result<(StatusCode, Payload), WireError> {
        let mut head = Writer::new();
        let data = match self {
            Self::NotMine(text) => return Ok((NOT_MINE, text.into())),
            Self::NoAnswer { kind, message } => {
                head.put(RESULT, NO_ANSWER.as_bytes())?;
                head.put(KIND, kind.as_str().as_bytes())?;
                Data::Inline(message.into())
            }
            Self::Answered {
                status,
                result,
                arrived_before,
            } => {
                head.put_text(STATUS, status)?;
                if let Some(arrived_before) = arrived_before {
                    head.put_text(ARRIVED, nanos(arrived_before))?;
                }
                result.write(&mut head)?
            }
        };
        data.announce(&mut head)?;
        Ok((StatusCode::OK, data.behind(head)?))
    }

    /// What `status`, 200 or [`NOT_MINE`], and `body` say.
    ///
    /// # Errors
    /// [`WireError`]; no input panics.
    pub(crate) fn decode(status: StatusCode, body: &Bytes) -> Result<Self, WireError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if status == NOT_MINE {
            return Ok(Self::NotMine(text(body)));
        }
        let (head, rest) = split(body)?;
        let result = match head.required(RESULT)? {
            NO_ANSWER => {
                let kind = head.parsed(KIND, NoAnswerKind::of)?;
                let message = text(&rest);
                return Ok(Self::NoAnswer { kind, message });
            }
            TAKEN => AnswerResult::Taken,
            REPLY => AnswerResult::Reply(Box::new(PeerReply::read(&head, rest)?)),
            BAD_REPLY => AnswerResult::BadReply(Failed::read(&head, &rest)?),
            FAILED => AnswerResult::Failed(Failed::read(&head, &rest)?),
            _ => return Err(WireError::Value(RESULT)),
        };
        let status = head.parsed(STATUS, number)?;
        let arrived_before = match head.text(ARRIVED)? {
            Some(text) => Some(duration(text).ok_or(WireError::Value(ARRIVED))?),
            None => None,
        };
        Ok(Self::Answered {
            status,
            result,
            arrived_before,
        })
    }
}

impl AnswerResult {
    /// Writes all but the data, which it returns.
    fn write(self, head: &mut Writer) -> Result<Data, WireError> {
        let (word, data) = match self {
            Self::Taken => (TAKEN, Data::Inline(Payload::empty())),
            Self::Failed(failed) => (FAILED, failed.write(head)?),
            Self::BadReply(failed) => (BAD_REPLY, failed.write(head)?),
            Self::Reply(reply) => {
                let PeerReply {
                    attributes,
                    headers,
                    origin,
                    data,
                } = *reply;
                let envelope = Envelope {
                    attributes,
                    headers,
                    // a reply goes on in the trace of its cause, which is not here
                    trace: TraceContext::root(),
                    origin,
                };
                envelope.write(head)?;
                (REPLY, data)
            }
        };
        head.put(RESULT, word.as_bytes())?;
        Ok(data)
    }
}

impl PeerReply {
    fn read(head: &Head<'_>, rest: Bytes) -> Result<Self, WireError> {
        let Envelope {
            attributes,
            headers,
            trace: _,
            origin,
        } = Envelope::read(head)?;
        Ok(Self {
            attributes,
            headers,
            origin,
            data: Data::read(head, rest)?,
        })
    }
}

impl Failed {
    fn write(self, head: &mut Writer) -> Result<Data, WireError> {
        head.put_text(CODE, self.code)?;
        head.put_text(RETRYABLE, self.retryable)?;
        if let Some(after) = self.retry_after {
            head.put_text(RETRY_AFTER, nanos(after))?;
        }
        Ok(Data::Inline(self.data.into()))
    }

    fn read(head: &Head<'_>, rest: &Bytes) -> Result<Self, WireError> {
        let retry_after = head.text(RETRY_AFTER)?.map(|text| {
            let after = duration(text);
            after.ok_or(WireError::Value(RETRY_AFTER))
        });
        Ok(Self {
            code: head.parsed(CODE, number)?,
            data: rest.to_vec(),
            retryable: head.parsed(RETRYABLE, |text| text.parse().ok())?,
            retry_after: retry_after.transpose()?,
        })
    }
}

impl NoAnswerKind {
    const ALL: [Self; 5] = [
        Self::Connect,
        Self::Timeout,
        Self::Broken,
        Self::Payload,
        Self::Gone,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Payload => "payload",
            Self::Gone => "gone",
        }
    }

    fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok()
}
