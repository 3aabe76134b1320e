//! One HTTP attempt of a leg: the request, the answer, and what the answer means.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use towpath_event::http::{self as binding, STRUCTURED_JSON, mode};
use towpath_event::{Payload, Progress, ReadError};

use super::attempt::{Kind, Leg};
use super::hop::Hop;
use super::outcome::{BAD_GATEWAY, Failure, Verdict, judge};
use super::presentation::View;
use super::reply::Reply;
use super::{backoff, dead_letter};
use crate::routing::{Choice, choose};
use crate::send::{Answer, SendError, post};
use crate::telemetry::{Dispatch, ToSubscriber};

/// The rest of an answer that nobody reads is read up to here, in bytes, so that its connection can be kept.
const DISCARD_BYTES: u64 = 64 * 1024;

static PREFER: HeaderName = HeaderName::from_static("prefer");
static UPLOAD: HeaderName = HeaderName::from_static("towpath-upload");
static KN_NAMESPACE: HeaderName = HeaderName::from_static("kn-namespace");

/// What came of an exchange that ended with a whole answer.
type Answered = (StatusCode, Result<Option<Reply>, Failure>);

impl Leg<'_, '_> {
    /// One attempt over HTTP.
    pub(super) async fn send(&self) -> Result<Option<Reply>, Failure> {
        let state = self.hop.state;
        let view = self.view().await?;
        let bound = self.bound();
        let scheme = self.to.uri.scheme_str().unwrap_or("http");
        let timed = Dispatch::start(&state.metrics, scheme);
        // Boxed: the one large part of a hop, which most of its life is spent in.
        let exchange = Box::pin(self.exchange(&view));
        let (status, result) = match within(bound, &view.body, exchange).await {
            Some(Ok((status, result))) => (Some(status), result),
            // HTTP/2 does not say why a request broke.
            Some(Err(_)) if self.is_gone() => (None, Err(Failure::gone())),
            Some(Err(error)) => (None, Err(Failure::no_answer(&error))),
            None => (None, Err(Failure::no_answer(&SendError::Timeout(bound)))),
        };
        timed.end(status, self.to_subscriber());
        result
    }

    /// The bound of one attempt.
    pub(super) fn bound(&self) -> Duration {
        let delivery = &self.hop.lane.spec.delivery;
        delivery
            .timeout
            .unwrap_or(self.hop.state.settings.timeouts.attempt)
    }

    fn to_subscriber(&self) -> Option<ToSubscriber<'_>> {
        let Hop { channel, lane, .. } = self.hop;
        (self.kind == Kind::Subscriber).then(|| ToSubscriber {
            channel,
            destination: &lane.destination,
            ty: self.event.attributes.ty(),
            series: &lane.series,
        })
    }

    /// Request, answer, and what the answer means. The outer result fails when no whole answer came.
    async fn exchange(&self, view: &View) -> Result<Answered, SendError> {
        let state = self.hop.state;
        let Choice { endpoint, origin } = choose(&state.replicas.load(), self.to)?;
        let head = || self.head(view);
        let answer = post(
            &state.pool,
            &endpoint,
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
                self.take_reply(answer, mode, origin, view).await
            }
            Verdict::Taken if is_of_subscriber && self.hop.is_of_broker() => {
                let data = discard(answer, dead_letter::body_bytes(self.to)).await?;
                not_understood(data)
            }
            Verdict::Taken | Verdict::Replied(_) => {
                discard(answer, 0).await?;
                Ok(None)
            }
            Verdict::Failed { retryable } => {
                let retry_after = backoff::retry_after(status, &answer.headers, SystemTime::now());
                let data = discard(answer, dead_letter::body_bytes(self.to)).await?;
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

    /// Whoever sent the event broke off.
    fn is_gone(&self) -> bool {
        let stored = self.event.payload.stored();
        stored.is_some_and(|stored| stored.progress() == Progress::Broken)
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

/// Runs an exchange within its bound. The time of an attempt runs once all of its body is here: that a producer is
/// slow is not the subscriber's fault.
async fn within<T>(
    bound: Duration,
    body: &Payload,
    exchange: impl Future<Output = T>,
) -> Option<T> {
    let growing = body
        .stored()
        .filter(|stored| stored.progress() == Progress::Growing);
    let Some(growing) = growing else {
        return tokio::time::timeout(bound, exchange).await.ok();
    };
    let bounded = async {
        // If it breaks, the exchange breaks too, and says so.
        let _ = growing.completed().await;
        tokio::time::sleep(bound).await;
    };
    tokio::select! {
        biased;
        result = exchange => Some(result),
        () = bounded => None,
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

/// Reads what is left of an answer, within bounds, and returns its first `keep` bytes. The connection is kept
/// only if the whole answer was read.
///
/// # Errors
/// The answer broke off: it counts as none, whatever its status (C8.2).
async fn discard(mut answer: Answer, keep: usize) -> Result<Vec<u8>, SendError> {
    let mut kept = Vec::new();
    let mut seen = 0u64;
    while let Some(chunk) = answer.chunk().await? {
        let wanted = keep.saturating_sub(kept.len()).min(chunk.len());
        kept.extend_from_slice(&chunk[..wanted]);
        seen += chunk.len() as u64;
        if seen > DISCARD_BYTES {
            return Ok(kept);
        }
    }
    answer.finish();
    Ok(kept)
}
