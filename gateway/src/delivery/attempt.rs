//! One leg of a hop, to a subscriber, a reply's destination or a dead letter sink: its attempts and retries.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use towpath_config::topology::{ChannelKey, Destination, Format, Target};
use towpath_event::http::{self as binding, STRUCTURED_JSON, mode};
use towpath_event::{Event, Origin, PassThrough, Payload, TraceContext};

use super::hop::Hop;
use super::outcome::{BAD_GATEWAY, Failure, Verdict, judge};
use super::reply::{self, Reply};
use super::{backoff, dead_letter};
use crate::accept::{Arrival, Refusal, accept};
use crate::broker;
use crate::routing::{Choice, choose};
use crate::send::{Answer, SendError, post};
use crate::telemetry::{Dispatch, ToSubscriber};

/// The rest of an answer that nobody reads is read up to here, in bytes, so that its connection can be kept.
const DISCARD_BYTES: u64 = 64 * 1024;

static PREFER: HeaderName = HeaderName::from_static("prefer");
static KN_NAMESPACE: HeaderName = HeaderName::from_static("kn-namespace");

/// Which of a hop's three sends this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Subscriber,
    Reply,
    DeadLetter,
}

/// Something to send, and where to.
pub(crate) struct Leg<'a, 'h> {
    hop: &'h Hop<'a>,
    kind: Kind,
    to: &'h Destination,
    event: Event,
    /// The body of every attempt: the event's data, or the whole event in structured mode.
    body: Payload,
    headers: PassThrough,
    trace: TraceContext,
    origin: Option<Origin>,
}

impl<'a, 'h> Leg<'a, 'h> {
    /// The event to its subscriber.
    pub(crate) fn subscriber(hop: &'h Hop<'a>, to: &'h Destination) -> Self {
        let message = &hop.message;
        let origin = message.origin.clone();
        let mut event = message.event.clone();
        if hop.is_of_broker() {
            broker::leave(&mut event.attributes);
        }
        Self::new(
            hop,
            Kind::Subscriber,
            to,
            event,
            message.headers.clone(),
            origin,
        )
    }

    /// A reply to its destination; an error if no destination could ever take it.
    pub(crate) fn reply(
        hop: &'h Hop<'a>,
        to: &'h Destination,
        reply: Reply,
    ) -> Result<Self, Failure> {
        let Reply {
            event,
            headers,
            origin,
        } = reply;
        Ok(Self::new(hop, Kind::Reply, to, event?, headers, origin))
    }

    /// The marked original to the dead letter sink.
    pub(crate) fn dead_letter(
        hop: &'h Hop<'a>,
        to: &'h Destination,
        event: Event,
        headers: PassThrough,
    ) -> Self {
        let origin = hop.message.origin.clone();
        Self::new(hop, Kind::DeadLetter, to, event, headers, origin)
    }

    fn new(
        hop: &'h Hop<'a>,
        kind: Kind,
        to: &'h Destination,
        event: Event,
        headers: PassThrough,
        origin: Option<Origin>,
    ) -> Self {
        let trace = hop.message.trace.child();
        let body = match (hop.lane.spec.delivery.format, &to.target) {
            (Some(Format::Json), Target::Service(_) | Target::Uri) => {
                binding::write_structured(&event)
            }
            (Some(Format::Json | Format::Binary) | None, _) => event.payload.clone(),
        };
        Self {
            hop,
            kind,
            to,
            event,
            body,
            headers,
            trace,
            origin,
        }
    }

    /// Tries until it is taken or has failed for good: `retry` more times after the first (C8.1).
    pub(crate) async fn run(&self) -> Result<Option<Reply>, Failure> {
        let delivery = &self.hop.lane.spec.delivery;
        let settings = &self.hop.state.settings;
        let mut retry = 0;
        loop {
            let failure = match self.attempt().await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            if !failure.retryable || retry == delivery.retry {
                return Err(failure);
            }
            retry += 1;
            self.hop.state.metrics.retried(&self.hop.lane.destination);
            let wait = backoff::wait(
                delivery,
                retry,
                failure.retry_after,
                settings.delivery.backoff_max,
            );
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    async fn attempt(&self) -> Result<Option<Reply>, Failure> {
        let reply = match &self.to.target {
            Target::Hosted(key) => return self.hand_over(key).await.map(|()| None),
            Target::Service(_) | Target::Uri => self.send().await?,
        };
        match (reply, &self.hop.lane.spec.reply) {
            (Some(reply), Some(to)) if self.hop.is_of_broker() => {
                self.reenter(reply, to).await.map(|()| None)
            }
            (reply, _) => Ok(reply),
        }
    }

    /// A reply into the broker that its cause came from. It is part of the attempt: when it cannot be stored, or is
    /// no event, the subscriber is called again (C5.6, C5.9, B6.2).
    async fn reenter(&self, mut reply: Reply, to: &Destination) -> Result<(), Failure> {
        if let Ok(event) = &mut reply.event {
            broker::carry_on(&self.hop.message.event.attributes, &mut event.attributes);
        }
        let leg = Leg::reply(self.hop, to, reply).map_err(|failure| Failure {
            code: BAD_GATEWAY,
            retryable: true,
            ..failure
        })?;
        match &to.target {
            Target::Hosted(key) => leg.hand_over(key).await,
            Target::Service(_) | Target::Uri => leg.send().await.map(drop),
        }
    }

    /// Into a channel hosted here: no HTTP, no copy, the same checks.
    async fn hand_over(&self, key: &ChannelKey) -> Result<(), Failure> {
        let hop = self.hop;
        let mut event = self.event.clone();
        if self.kind == Kind::DeadLetter {
            // A dead letter begins anew in a broker, or one that a loop ended could not enter; what bounds it is the
            // hop budget.
            broker::leave(&mut event.attributes);
        }
        let arrival = Arrival {
            event,
            headers: self.headers.clone(),
            trace: self.trace.clone(),
            hops: self.hops_left()?,
            origin: self.origin.clone(),
        };
        let taken = accept(hop.state, hop.live, key, arrival, hop.settlement.clone()).await;
        taken.map_err(|refusal| {
            let code = match &refusal {
                Refusal::Unknown(_) => 404,
                Refusal::Publish(_) | Refusal::Backlog { .. } => 503,
                Refusal::Ttl { .. } => {
                    hop.state.metrics.looped(&hop.lane.destination);
                    400
                }
            };
            Failure::ours(code, &refusal.to_string(), code != 400)
        })
    }

    /// Acceptances that may follow this one. The last unit of the budget is kept for the dead letter, so that an
    /// event that went in circles ends where somebody can see it (DESIGN section 12, Loops).
    fn hops_left(&self) -> Result<u8, Failure> {
        let left = self.hop.message.hops;
        let reserved = if self.kind == Kind::DeadLetter { 0 } else { 1 };
        if left <= reserved {
            self.hop.state.metrics.looped(&self.hop.lane.destination);
            let text = "the event's hop budget is spent: it went through too many channels (setting limits.hops)";
            return Err(Failure::ours(508, text, false));
        }
        Ok(left - 1)
    }

    async fn send(&self) -> Result<Option<Reply>, Failure> {
        let hop = self.hop;
        let bound = hop
            .lane
            .spec
            .delivery
            .timeout
            .unwrap_or(hop.state.settings.timeouts.attempt);
        let scheme = self.to.uri.scheme_str().unwrap_or("http");
        let timed = Dispatch::start(&hop.state.metrics, scheme);
        // Boxed: the one large part of a hop, which most of its life is spent in.
        let exchange = Box::pin(self.exchange());
        let (status, result) = match tokio::time::timeout(bound, exchange).await {
            Ok(Ok((status, result))) => (Some(status), result),
            Ok(Err(error)) => (None, Err(Failure::no_answer(&error))),
            Err(_) => (None, Err(Failure::no_answer(&SendError::Timeout(bound)))),
        };
        timed.end(status, self.to_subscriber());
        result
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
    async fn exchange(&self) -> Result<(StatusCode, Result<Option<Reply>, Failure>), SendError> {
        let Hop { state, lane, .. } = self.hop;
        let Choice { endpoint, origin } = choose(&state.replicas.load(), self.to)?;
        let answer = post(&state.pool, &endpoint, self.to, || self.head(), &self.body).await?;
        let status = answer.status;
        let result = match judge(
            status,
            mode(&answer.headers),
            state.settings.delivery.reply_on_202,
        ) {
            Verdict::Replied(mode)
                if self.kind == Kind::Subscriber && lane.spec.reply.is_some() =>
            {
                reply::read(state, &lane.spec.namespace, answer, mode, origin)
                    .await
                    .map(Some)
            }
            Verdict::Taken if self.kind == Kind::Subscriber && self.hop.is_of_broker() => {
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
                })
            }
        };
        Ok((status, result))
    }

    fn head(&self) -> HeaderMap {
        let spec = &self.hop.lane.spec;
        let mut head = HeaderMap::with_capacity(24);
        match spec.delivery.format {
            Some(Format::Json) => {
                head.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static(STRUCTURED_JSON),
                );
                self.headers.write_structured(&mut head);
            }
            Some(Format::Binary) | None => {
                binding::write_binary(
                    &self.event.attributes,
                    !self.event.payload.is_empty(),
                    &mut head,
                );
                self.headers.write(&mut head);
            }
        }
        self.trace.write(&mut head);
        if self.kind == Kind::Subscriber {
            head.insert(PREFER.clone(), HeaderValue::from_static("reply"));
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
