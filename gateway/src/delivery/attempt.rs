//! One leg of a hop, to a subscriber, a reply's destination or a dead letter sink: its attempts and retries.

use tokio::sync::OnceCell;
use towpath_config::topology::{Backend, ChannelKey, Destination, Format, Target};
use towpath_event::{Event, Message, Origin, PassThrough, Payload, TraceContext};

use super::hop::Hop;
use super::outcome::{BAD_GATEWAY, Failure};
use super::reply::Reply;
use super::{backoff, structured};
use crate::accept::{Arrival, Refusal, accept};
use crate::broker;

/// Room for the attributes of an event in structured mode, in bytes: what a block of headers may have.
const STRUCTURED_HEAD: u64 = 64 * 1024;

/// Which of a hop's three sends this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Subscriber,
    Reply,
    DeadLetter,
}

/// Something to send, and where to.
pub(crate) struct Leg<'a, 'h> {
    pub(super) hop: &'h Hop<'a>,
    pub(super) kind: Kind,
    pub(super) to: &'h Destination,
    pub(super) event: Event,
    /// The whole event, if it is sent in structured mode; made when the first attempt needs it.
    whole: OnceCell<Payload>,
    pub(super) headers: PassThrough,
    pub(super) trace: TraceContext,
    pub(super) origin: Option<Origin>,
    /// The reply is another gateway's to accept.
    keeps_reply: bool,
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

    /// What another gateway asks this one to send, as it is.
    pub(super) fn for_peer(hop: &'h Hop<'a>, kind: Kind, to: &'h Destination) -> Self {
        let Message {
            event,
            headers,
            trace,
            origin,
            ..
        } = &*hop.message;
        Self {
            trace: trace.clone(),
            keeps_reply: true,
            ..Self::new(
                hop,
                kind,
                to,
                event.clone(),
                headers.clone(),
                origin.clone(),
            )
        }
    }

    fn new(
        hop: &'h Hop<'a>,
        kind: Kind,
        to: &'h Destination,
        event: Event,
        headers: PassThrough,
        origin: Option<Origin>,
    ) -> Self {
        Self {
            hop,
            kind,
            to,
            event,
            whole: OnceCell::new(),
            headers,
            trace: hop.message.trace.child(),
            origin,
            keeps_reply: false,
        }
    }

    /// The whole event is the body of its requests. A dead letter that is too large for that goes in binary mode: it must
    /// not be lost for its form.
    pub(super) fn is_structured(&self) -> bool {
        let limit = self.hop.state.settings.limits.max_structured_bytes;
        // Base64 takes a third more, and attributes some.
        let at_most = self.event.payload.len() / 3 * 4 + STRUCTURED_HEAD;
        self.hop.lane.spec.delivery.format == Some(Format::Json)
            && !matches!(self.to.target, Target::Hosted(_))
            && (self.kind != Kind::DeadLetter || at_most <= limit)
    }

    /// The body of every attempt: the event's data, or the whole event in structured mode.
    pub(super) async fn body(&self) -> Result<&Payload, Failure> {
        if !self.is_structured() {
            return Ok(&self.event.payload);
        }
        let namespace = &self.hop.lane.spec.namespace;
        let encode = || structured::encode(self.hop.state, namespace, &self.event);
        self.whole.get_or_try_init(encode).await
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
                delivery
                    .backoff_max
                    .unwrap_or(settings.delivery.backoff_max),
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
    async fn reenter(&self, reply: Reply, to: &Destination) -> Result<(), Failure> {
        let leg = Leg::reply(self.hop, to, self.as_sent_on(reply)).map_err(|failure| Failure {
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
                Refusal::SourceBroke => return Failure::gone(),
            };
            Failure::ours(code, &refusal.to_string(), code != 400)
        })
    }

    /// Lets the reply enter its channel while it is still coming, so that the next subscriber receives it meanwhile
    /// (cut-through). Whether the channel took it; if not, the reply is handled when it is whole, with all its retries.
    pub(super) async fn pass_on(&self, reply: &Reply) -> bool {
        let Hop { live, lane, .. } = self.hop;
        let Some(to) = lane.spec.reply.as_ref().filter(|_| !self.keeps_reply) else {
            return false;
        };
        let Target::Hosted(key) = &to.target else {
            return false;
        };
        let cuts_through = live.hosted(key).is_some_and(|hosted| {
            let Backend::Memory(memory) = &hosted.served.spec.backend;
            memory.cut_through
        });
        if !cuts_through {
            return false;
        }
        match Leg::reply(self.hop, to, self.as_sent_on(reply.clone())) {
            Ok(leg) => leg.hand_over(key).await.is_ok(),
            Err(_) => false,
        }
    }

    /// A reply into a broker carries on what bounds its loops.
    fn as_sent_on(&self, mut reply: Reply) -> Reply {
        if self.hop.is_of_broker()
            && let Ok(event) = &mut reply.event
        {
            broker::carry_on(&self.hop.message.event.attributes, &mut event.attributes);
        }
        reply
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
}
