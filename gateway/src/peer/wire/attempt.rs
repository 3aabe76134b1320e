//! The request: make this attempt at that replica.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use towpath_config::topology::{ChannelKey, ChannelKind, SubscriptionKey};
use towpath_event::{Attributes, Origin, PassThrough, Payload, TraceContext};

use super::frame::{Writer, split};
use super::{Data, Envelope, WireError, duration, nanos};

/// An attempt that a gateway asks the owner of a replica to make. It names what both have in their topology, never a URL.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PeerAttempt {
    /// The channel.
    pub(crate) channel: ChannelKey,
    /// The subscription whose event it is.
    pub(crate) subscription: SubscriptionKey,
    /// Which destination of the subscription.
    pub(crate) leg: LegKind,
    /// The replica that was chosen for it.
    pub(crate) replica: SocketAddr,
    /// Bound of the attempt (C8.5).
    pub(crate) timeout: Duration,
    /// Nanoseconds that the payload takes to get to the replica, as the choice estimated them; 0 if nothing is pulled.
    pub(crate) pull_nanos: u64,
    /// The event.
    pub(crate) attributes: Attributes,
    /// What goes on to the subscriber (C4.1).
    pub(crate) headers: PassThrough,
    /// The trace (C4.5).
    pub(crate) trace: TraceContext,
    /// The replica whose reply the event is.
    pub(crate) origin: Option<Origin>,
    /// The event's data.
    pub(crate) data: Data,
}

/// The destinations of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LegKind {
    /// The subscriber.
    Subscriber,
    /// Who gets the reply.
    Reply,
    /// The dead letter sink.
    DeadLetter,
}

const KIND: &str = "towpath-channel-kind";
const NAMESPACE: &str = "towpath-channel-namespace";
const NAME: &str = "towpath-channel-name";
const SUBSCRIPTION: &str = "towpath-subscription";
const LEG: &str = "towpath-leg";
const REPLICA: &str = "towpath-replica";
const TIMEOUT: &str = "towpath-timeout";
const PULL: &str = "towpath-pull";

impl PeerAttempt {
    /// The body of the request.
    ///
    /// # Errors
    /// [`WireError::Head`] or [`WireError::SetAside`].
    pub(crate) fn encode(&self) -> Result<Payload, WireError> {
        let mut head = Writer::new();
        head.put(KIND, kind(self.channel.kind).as_bytes())?;
        head.put(NAMESPACE, self.channel.namespace.as_bytes())?;
        head.put(NAME, self.channel.name.as_bytes())?;
        head.put(SUBSCRIPTION, self.subscription.0.as_bytes())?;
        head.put(LEG, self.leg.as_str().as_bytes())?;
        head.put_text(REPLICA, self.replica)?;
        head.put_text(TIMEOUT, nanos(self.timeout))?;
        head.put_text(PULL, self.pull_nanos)?;
        self.data.announce(&mut head)?;
        let envelope = Envelope {
            attributes: self.attributes.clone(),
            headers: self.headers.clone(),
            trace: self.trace.clone(),
            origin: self.origin.clone(),
        };
        envelope.write(&mut head)?;
        self.data.behind(head)
    }

    /// What the body of a request asks for. Inline data is a part of `body`.
    ///
    /// # Errors
    /// [`WireError`]; no input panics.
    pub(crate) fn decode(body: &Bytes) -> Result<Self, WireError> {
        let (head, rest) = split(body)?;
        let Envelope {
            attributes,
            headers,
            trace,
            origin,
        } = Envelope::read(&head)?;
        let kinds = [ChannelKind::Channel, ChannelKind::Broker];
        let legs = [LegKind::Subscriber, LegKind::Reply, LegKind::DeadLetter];
        Ok(Self {
            channel: ChannelKey {
                kind: head.parsed(KIND, |text| kinds.into_iter().find(|it| kind(*it) == text))?,
                namespace: head.required(NAMESPACE)?.into(),
                name: head.required(NAME)?.into(),
            },
            subscription: SubscriptionKey(head.required(SUBSCRIPTION)?.into()),
            leg: head.parsed(LEG, |text| legs.into_iter().find(|it| it.as_str() == text))?,
            replica: head.parsed(REPLICA, |text| text.parse().ok())?,
            timeout: head.parsed(TIMEOUT, duration)?,
            pull_nanos: head.parsed(PULL, |text| text.parse().ok())?,
            attributes,
            headers,
            trace,
            origin,
            data: Data::read(&head, rest)?,
        })
    }
}

impl LegKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Subscriber => "subscriber",
            Self::Reply => "reply",
            Self::DeadLetter => "dead-letter",
        }
    }
}

fn kind(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Channel => "channel",
        ChannelKind::Broker => "broker",
    }
}
