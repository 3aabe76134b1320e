//! What a programmable subscriber does with one request.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::watch;

use crate::event::{Event, Message};
use crate::subscriber::Recorded;
use crate::work::Work;

/// One answer of a subscriber.
#[derive(Clone)]
pub enum Answer {
    /// An HTTP response.
    Respond {
        /// Its status.
        status: StatusCode,
        /// Its headers and body.
        message: Message,
    },
    /// Waits at the gate, then does what is inside.
    Gated(Gate, Box<Answer>),
    /// Works first, then does what is inside.
    Worked(Work, Box<Answer>),
    /// Never answers; ends when the gateway closes the connection.
    Hang,
    /// Writes these bytes to the socket (plain HTTP/1.1 only) and ends the connection.
    Raw(Bytes, Ending),
    /// Decides when it sees the request.
    With(Arc<dyn Fn(&Recorded) -> Answer + Send + Sync>),
}

/// How a raw answer ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// FIN: an orderly close.
    Close,
    /// RST: SO_LINGER 0.
    Reset,
}

impl Answer {
    /// A status with no body.
    ///
    /// # Panics
    /// When the number is no HTTP status.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Answer::Respond {
            status: StatusCode::from_u16(code).expect("an HTTP status"),
            message: Message::default(),
        }
    }

    /// A status with a body of that content type.
    #[must_use]
    pub fn body(code: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Answer::message(
            code,
            Message {
                body: body.into(),
                ..Message::default()
            }
            .header("content-type", content_type),
        )
    }

    /// A status with headers and body.
    ///
    /// # Panics
    /// When the number is no HTTP status.
    #[must_use]
    pub fn message(code: u16, message: Message) -> Self {
        Answer::Respond {
            status: StatusCode::from_u16(code).expect("an HTTP status"),
            message,
        }
    }

    /// 200 with an event in binary mode: a reply.
    #[must_use]
    pub fn reply(event: &Event) -> Self {
        Answer::message(200, event.binary())
    }

    /// 200 with an event in structured mode: a reply.
    #[must_use]
    pub fn reply_structured(event: &Event) -> Self {
        Answer::message(200, event.structured())
    }

    /// Replies with what `change` makes of the event that came; 500 when none came.
    #[must_use]
    pub fn transform(change: impl Fn(Event) -> Event + Send + Sync + 'static) -> Self {
        Answer::with(move |request| match Event::of(request) {
            Ok(event) => Answer::reply(&change(event)),
            Err(error) => Answer::body(500, "text/plain", format!("{error:#}")),
        })
    }

    /// Decides when it sees the request.
    #[must_use]
    pub fn with(decide: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) -> Self {
        Answer::With(Arc::new(decide))
    }

    /// Resets the connection after the request, before any byte of a response.
    #[must_use]
    pub fn reset() -> Self {
        Answer::Raw(Bytes::new(), Ending::Reset)
    }

    /// Resets the connection in the middle of a response that claims to be a reply event.
    #[must_use]
    pub fn reset_mid_response() -> Self {
        Answer::Raw(Bytes::from_static(HALF_REPLY), Ending::Reset)
    }

    /// Closes the connection in an orderly way in the middle of a response that claims to be a reply event.
    #[must_use]
    pub fn truncated() -> Self {
        Answer::Raw(Bytes::from_static(HALF_REPLY), Ending::Close)
    }

    /// The same answer with one more header; only for responses.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        match self {
            Answer::Respond { status, message } => Answer::Respond {
                status,
                message: message.header(name, value),
            },
            other => other,
        }
    }

    /// The same answer, held until the gate opens.
    #[must_use]
    pub fn behind(self, gate: &Gate) -> Self {
        Answer::Gated(gate.clone(), Box::new(self))
    }

    /// The same answer, after that work.
    #[must_use]
    pub fn after(self, work: &Work) -> Self {
        Answer::Worked(work.clone(), Box::new(self))
    }
}

/// The head of a reply event that promises 1,000 bytes, and four of them.
const HALF_REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nce-specversion: 1.0\r\nce-id: half\r\nce-source: /half\r\nce-type: half\r\n\
content-type: text/plain\r\ncontent-length: 1000\r\n\r\nhalf";

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Respond { status, .. } => write!(f, "{status}"),
            Answer::Gated(_, inner) => write!(f, "gated {inner:?}"),
            Answer::Worked(_, inner) => write!(f, "worked {inner:?}"),
            Answer::Hang => f.write_str("hang"),
            Answer::Raw(bytes, ending) => write!(f, "{} raw bytes, {ending:?}", bytes.len()),
            Answer::With(_) => f.write_str("a function"),
        }
    }
}

/// Holds answers until the test opens it: instead of a delay.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed() -> Self {
        Gate(Arc::new(watch::Sender::new(false)))
    }

    /// Lets all that wait, and all that come, pass.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the gate is open.
    pub async fn passed(&self) {
        // The sender is ours, so the only way out is the open gate.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}
