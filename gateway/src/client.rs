//! For tools: sends one event, as a hop would, and returns the whole answer.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use towpath_config::topology::{Destination, Target};
use towpath_event::http::{STRUCTURED_JSON, write_binary, write_structured};
use towpath_event::{Event, TraceContext};

use crate::routing::choose::NoChoice;
use crate::send::{Endpoint, Limits, Pool, SendError, post};

/// Content mode of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Attributes in headers.
    Binary,
    /// The whole event as JSON.
    Structured,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The first 64 KiB of its body.
    pub body: Vec<u8>,
}

/// Sends events to one URL over kept connections.
pub struct Client {
    pool: Pool,
    destination: Destination,
    timeout: Duration,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(String);

const KEPT_BYTES: usize = 64 * 1024;

impl Client {
    /// A client for `url`, `http` or `https` (checked against the system's roots); each answer must be complete
    /// within `timeout`.
    #[must_use]
    pub fn new(url: http::Uri, timeout: Duration) -> Self {
        let limits = Limits {
            connections_per_replica: 64,
            workers: 0,
            connect_timeout: timeout,
            idle_timeout: Duration::from_secs(4),
        };
        let text = url.to_string().into();
        let destination = Destination {
            url: text,
            uri: url,
            ca_certs: None,
            audience: None,
            target: Target::Uri,
            policy: Arc::default(),
        };
        Self {
            pool: Pool::new(limits),
            destination,
            timeout,
        }
    }

    /// POSTs `event` and reads the answer.
    ///
    /// # Errors
    /// [`NoAnswer`] when the connection fails or the answer is not complete in time.
    pub async fn send(&self, event: &Event, mode: Mode) -> Result<Answer, NoAnswer> {
        let body = match mode {
            Mode::Binary => event.payload.clone(),
            // Its data is in memory, where a client's event always is.
            Mode::Structured => write_structured(event).unwrap_or_default(),
        };
        let head = || {
            let mut head = HeaderMap::new();
            match mode {
                Mode::Binary => {
                    write_binary(&event.attributes, !event.payload.is_empty(), &mut head)
                }
                Mode::Structured => {
                    head.insert(
                        header::CONTENT_TYPE,
                        HeaderValue::from_static(STRUCTURED_JSON),
                    );
                }
            }
            TraceContext::root().write(&mut head);
            head
        };
        let exchange = async {
            let authority = self.destination.uri.authority();
            let authority = authority.ok_or(SendError::NoReplica(NoChoice::NoCandidate))?;
            let endpoint = Endpoint::of(&self.destination, authority, None, false);
            let mut answer = post(
                &self.pool,
                &endpoint,
                &self.destination,
                head,
                &body,
                self.timeout,
            )
            .await?;
            let mut kept = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                let room = KEPT_BYTES.saturating_sub(kept.len()).min(chunk.len());
                kept.extend_from_slice(&chunk[..room]);
            }
            let read = Answer {
                status: answer.status,
                headers: std::mem::take(&mut answer.headers),
                body: kept,
            };
            answer.finish();
            Ok::<_, crate::send::SendError>(read)
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(result) => result.map_err(|error| NoAnswer(error.to_string())),
            Err(_) => Err(NoAnswer(format!("no answer within {:?}", self.timeout))),
        }
    }
}
