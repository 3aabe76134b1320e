//! One HTTP exchange with one replica: the request, the answer, and what the answer means.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use towpath_event::http::{self as binding, STRUCTURED_JSON, mode};
use towpath_event::{Progress, ReadError};

use super::attempt::{Kind, Leg};
use super::outcome::{BAD_GATEWAY, Failure, Verdict, judge};
use super::presentation::View;
use super::reply::Reply;
use super::{backoff, dead_letter};
use crate::routing::Route;
use crate::send::{Answer, SendError, post};

/// An answer that nobody reads is read up to so many bytes more than the event has, so that its connection can be kept.
const DISCARD_BYTES: u64 = 64 * 1024;

static PREFER: HeaderName = HeaderName::from_static("prefer");
static UPLOAD: HeaderName = HeaderName::from_static("towpath-upload");
static KN_NAMESPACE: HeaderName = HeaderName::from_static("kn-namespace");

/// What came of an exchange that ended with a whole answer.
pub(super) type Answered = (StatusCode, Result<Option<Reply>, Failure>);

impl Leg<'_, '_> {
    /// Request, answer, and what the answer means. The outer result fails when no whole answer came.
    pub(super) async fn exchange(&self, view: &View, route: &Route) -> Result<Answered, SendError> {
        let state = self.hop.state;
        let head = || self.head(view);
        let answer = post(
            &state.pool,
            &route.endpoint,
            self.to,
            head,
            &view.body,
            self.bound(),
        )
        .await?;
        let status = answer.status;
        if status.is_success() {
            self.keep_for_a_while(view);
        }
        let reply_on_202 = state.settings.delivery.reply_on_202;
        let is_of_subscriber = self.kind == Kind::Subscriber;
        let result = match judge(status, mode(&answer.headers), reply_on_202) {
            Verdict::Replied(mode) if is_of_subscriber && self.hop.lane.spec.reply.is_some() => {
                let origin = route.replica.as_ref().map(|chosen| chosen.origin.clone());
                self.take_reply(answer, mode, origin, view).await
            }
            Verdict::Taken if is_of_subscriber && self.hop.is_of_broker() => {
                let data = self
                    .discard(answer, dead_letter::body_bytes(self.to))
                    .await?;
                not_understood(data)
            }
            Verdict::Taken | Verdict::Replied(_) => {
                self.discard(answer, 0).await?;
                Ok(None)
            }
            Verdict::Failed { retryable } => {
                let retry_after = backoff::retry_after(status, &answer.headers, SystemTime::now());
                let data = self
                    .discard(answer, dead_letter::body_bytes(self.to))
                    .await?;
                Err(Failure {
                    code: status.as_u16(),
                    data,
                    retryable,
                    retry_after,
                    gone: false,
                })
            }
        };
        self.hold().await?;
        Ok((status, result))
    }

    /// Waits until all of the event that was sent is here: an answer that comes before counts only then, since
    /// without the rest there was nothing to answer (DESIGN section 12, Cut-through).
    ///
    /// # Errors
    /// [`ReadError::SourceBroke`].
    pub(super) async fn hold(&self) -> Result<(), ReadError> {
        match self.event.payload.stored() {
            Some(stored) if stored.progress() != Progress::Complete => stored.completed().await,
            _ => Ok(()),
        }
    }

    /// Reads what is left of an answer, within bounds, and returns its first `keep` bytes. The connection is kept
    /// only if the whole answer was read.
    ///
    /// # Errors
    /// The answer broke off: it counts as none, whatever its status (C8.2).
    async fn discard(&self, mut answer: Answer, keep: usize) -> Result<Vec<u8>, SendError> {
        // Whoever answers while it reads, as one that sends the event back, has not read all of it before its answer is as long.
        let most = self.event.payload.len().saturating_add(DISCARD_BYTES);
        let mut kept = Vec::new();
        let mut seen = 0u64;
        while let Some(chunk) = answer.chunk().await? {
            let wanted = keep.saturating_sub(kept.len()).min(chunk.len());
            kept.extend_from_slice(&chunk[..wanted]);
            seen += chunk.len() as u64;
            if seen > most {
                return Ok(kept);
            }
        }
        answer.finish();
        Ok(kept)
    }

    fn head(&self, view: &View) -> HeaderMap {
        let spec = &self.hop.lane.spec;
        let mut head = HeaderMap::with_capacity(24);
        if self.is_structured() {
            let json = HeaderValue::from_static(STRUCTURED_JSON);
            head.insert(header::CONTENT_TYPE, json);
            self.headers.write_structured(&mut head);
        } else {
            // What describes the data stays where the data is only referred to (F4.6).
            let has_data = !self.event.payload.is_empty();
            let attributes = view.attributes.as_ref().unwrap_or(&self.event.attributes);
            binding::write_binary(attributes, has_data, &mut head);
            self.headers.write(&mut head);
        }
        self.trace.write(&mut head);
        if self.kind == Kind::Subscriber {
            head.insert(PREFER.clone(), HeaderValue::from_static("reply"));
        }
        if let Some(upload) = &view.upload {
            head.insert(UPLOAD.clone(), upload.url.clone());
        }
        if let Ok(namespace) = HeaderValue::from_str(&spec.namespace) {
            head.insert(KN_NAMESPACE.clone(), namespace);
        }
        head
    }
}

/// A broker takes an answer without event only if it is empty (C5.5, I5).
fn not_understood(data: Vec<u8>) -> Result<Option<Reply>, Failure> {
    if data.is_empty() {
        return Ok(None);
    }
    Err(Failure {
        code: BAD_GATEWAY,
        data,
        retryable: true,
        retry_after: None,
        gone: false,
    })
}
