//! What a gateway obeys: the immutable result of compiling objects (DESIGN sections 1 and 3).

mod policy;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub use policy::{HealthCheck, Outlier, Policy, ReplicaName, Strategy, Weights};
use towpath_event::cesql::Environment;
use towpath_event::{Filter, FilterIndex};

/// One complete, consistent set of channels with their subscriptions. Swapped whole; never edited.
///
/// Replicas are not part of it: endpoints change often and recompile nothing (see [`Replicas`]).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Every channel hosted here.
    pub channels: BTreeMap<ChannelKey, Arc<Channel>>,
    /// Host of a channel's status address, lower case, without port and trailing dot, to the channel.
    /// Holds every form that clients use: `<svc>.<ns>`, `<svc>.<ns>.svc` and `<svc>.<ns>.svc.<domain>`.
    /// A broker has none: its ingress host serves all of them, and its path says which (B2.2).
    pub hosts: HashMap<Arc<str>, ChannelKey>,
    /// Secrets of the system namespace that filters name, by name (B5.8).
    pub secrets: BTreeMap<Arc<str>, SecretKeys>,
}

impl Topology {
    /// What filters may look up beside the event (B5.8). Made once for each topology: it prepares every key.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let add = |environment: Environment, (name, keys): (&Arc<str>, &SecretKeys)| {
            let keys = keys.0.iter().map(|(name, bytes)| (&**name, bytes));
            environment.with_secret(name, keys)
        };
        self.secrets.iter().fold(Environment::default(), add)
    }

    /// Every place that events are sent to: subscribers, reply destinations and dead letter sinks.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let subscriptions = self
            .channels
            .values()
            .flat_map(|channel| &channel.subscriptions);
        subscriptions.flat_map(|subscription| {
            let Subscription {
                subscriber,
                reply,
                dead_letter,
                ..
            } = &**subscription;
            [subscriber, reply, dead_letter].into_iter().flatten()
        })
    }
}

/// The keys of a Secret: name to bytes. `Debug` shows the names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretKeys(pub BTreeMap<Arc<str>, Arc<[u8]>>);

impl fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Which door a hosted object answers at: the two kinds have separate name spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelKind {
    /// A messaging channel of any kind (`Channel`, `InMemoryChannel`, `TowpathChannel`).
    Channel,
    /// A broker; its Triggers are its subscriptions.
    Broker,
}

/// Names a hosted channel or broker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelKey {
    /// Channel or broker.
    pub kind: ChannelKind,
    /// Namespace of the object.
    pub namespace: Arc<str>,
    /// Name of the object.
    pub name: Arc<str>,
}

impl fmt::Display for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ChannelKind::Channel => "channel",
            ChannelKind::Broker => "broker",
        };
        write!(f, "{kind} {}/{}", self.namespace, self.name)
    }
}

/// A channel or broker with everything that a gateway needs to serve it.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its key in [`Topology::channels`].
    pub key: ChannelKey,
    /// The kind that the user wrote, or that an expansion made: for logs and `towpath check`. `Broker` for a broker.
    pub object_kind: Arc<str>,
    /// Status address, as Knative would publish it (CONTRACT A6.4, B2.2).
    pub url: Arc<str>,
    /// Where its control messages rest.
    pub backend: Backend,
    /// Who receives its events, in the order of their keys.
    pub subscriptions: Vec<Arc<Subscription>>,
    /// Which of `subscriptions` an event can match, by position (B5). Those of a channel take every event.
    pub index: FilterIndex,
}

/// The index follows from the subscriptions.
impl PartialEq for Channel {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            key,
            object_kind,
            url,
            backend,
            subscriptions,
            index: _,
        } = self;
        key == &other.key
            && object_kind == &other.object_kind
            && url == &other.url
            && backend == &other.backend
            && subscriptions == &other.subscriptions
    }
}

impl Eq for Channel {}

/// The kind of a channel and the settings of that kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// Bounded queues in this process.
    Memory(Memory),
}

/// Settings of a memory channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// `messaging.knative.dev/async-handler: "true"`: answer when held, not when settled (CONTRACT A3.3).
    pub async_handler: bool,
    /// What an async channel does when the backlog of one subscription is full
    /// (annotation `towpath.dev/on-full`).
    pub on_full: OnFull,
    /// Whether a payload that was set aside may be delivered while it is still being written; true unless
    /// annotation `towpath.dev/cut-through: "false"` of the channel or broker says otherwise.
    pub cut_through: bool,
}

/// What happens to an event when the backlog of a subscription is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFull {
    /// The channel answers 503 with `Retry-After`.
    #[default]
    Reject,
    /// That subscription's overflow goes to its dead letter sink; without one, as `Reject`.
    DeadLetter,
}

/// What a subscription is known by: its UID, or in files kind, namespace and name. An edit keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionKey(pub Arc<str>);

impl fmt::Display for SubscriptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One subscriber of a channel, or one Trigger of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Identity; survives edits.
    pub key: SubscriptionKey,
    /// Sent as `Kn-Namespace`: the namespace of the channel, or of the Trigger (CONTRACT C4.3).
    pub namespace: Arc<str>,
    /// Name of the Subscription or Trigger: for metrics, logs and headers.
    pub name: Arc<str>,
    /// Which events it takes: [`Filter::everything`] for subscriptions of a channel (B5).
    pub filter: Filter,
    /// Who gets the event. `None` only for a reply-only entry (CONTRACT A8.2).
    pub subscriber: Option<Destination>,
    /// Who gets the reply; `None` drops replies. A Trigger's reply goes to its own broker (B6.2).
    pub reply: Option<Destination>,
    /// Who gets the event when its delivery failed; inheritance is already applied (CONTRACT A7.5).
    pub dead_letter: Option<Destination>,
    /// Retries, back-off, time-out; inheritance is already applied (CONTRACT A7.6).
    pub delivery: Delivery,
    /// How the subscriber gets a payload that was set aside: what annotation `towpath.dev/payload` says on the
    /// Subscription or Trigger, else on the Sequence or Parallel, else on the subscriber's Service. `None` if none
    /// of them says it: then `payloads.present` of the settings decides.
    pub presentation: Option<Presentation>,
    /// Whether the subscriber may be sent a payload that is still being written: what a `HopPolicy` says. `None` leaves it
    /// to the channel.
    pub cut_through: Option<bool>,
}

/// How a subscriber gets a payload that was set aside; one of at most `limits.inlineMax` always comes as the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presentation {
    /// The event whole, byte for byte, with its exact length: subscribers need to know nothing.
    #[default]
    Inline,
    /// No body; the attribute `dataref` holds a signed `http` URL of a gateway, which expires and reads in ranges.
    Reference,
    /// No body; the attribute `dataref` holds a `file:` URL in a directory shared with the subscriber.
    File,
}

impl Presentation {
    /// All of them, as an error names them.
    const ALL: [Self; 3] = [Self::Inline, Self::Reference, Self::File];

    /// Its word in annotations and settings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inline => "Inline",
            Self::Reference => "Reference",
            Self::File => "File",
        }
    }
}

impl fmt::Display for Presentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no [`Presentation`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of: Inline, Reference, File")]
pub struct UnknownPresentation(Box<str>);

impl FromStr for Presentation {
    type Err = UnknownPresentation;

    /// Reads its word; the spelling is exact.
    ///
    /// # Errors
    /// [`UnknownPresentation`] for any other text.
    fn from_str(text: &str) -> Result<Self, UnknownPresentation> {
        let is_it = |presentation: &Self| presentation.word() == text;
        let unknown = || UnknownPresentation(text.into());
        Self::ALL.into_iter().find(is_it).ok_or_else(unknown)
    }
}

/// How an event is delivered (CONTRACT C8). Validated and inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Further attempts after the first (C8.1). At most `i32::MAX`.
    pub retry: u32,
    /// Wait between attempts; `None` unless both policy and delay are set (C8.3).
    pub backoff: Option<Backoff>,
    /// Bound of one attempt, from connect to the end of the response's body (C8.5). Over 0.
    pub timeout: Option<Duration>,
    /// Upper bound of an obeyed `Retry-After`; `None` or zero ignores the header (C8.6).
    pub retry_after_max: Option<Duration>,
    /// Content mode of outgoing requests; `None` is binary (C3.8, C3.9).
    pub format: Option<Format>,
    /// Upper bound of a wait between attempts: what a `HopPolicy` says. `None` leaves it to the settings.
    pub backoff_max: Option<Duration>,
    /// Whether events wait for those before them: what a `HopPolicy` says.
    pub order: Order,
}

/// The order in which the events of a subscription are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As they come, many at once.
    #[default]
    None,
    /// Events with the same `partitionkey` (without one: the same `source` and `subject`) one after the other.
    Key,
}

/// Wait before retry number `r`, counted from 1 (CONTRACT C8.3, I9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// `delay * r`.
    Linear(Duration),
    /// `delay * 2^(r-1)`.
    Exponential(Duration),
}

/// Content mode of outgoing requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Attributes in headers, data as the body.
    Binary,
    /// `application/cloudevents+json`.
    Json,
}

/// A place that events are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The URL as configured or resolved, nothing added: what `knativeerrordest` says (C6.1).
    pub url: Arc<str>,
    /// The URL to POST to: `http` or `https`, with an authority (C4.7).
    pub uri: http::Uri,
    /// PEM certificates trusted for this destination besides the system's roots (D2.1).
    pub ca_certs: Option<Arc<str>>,
    /// OIDC audience.
    pub audience: Option<Arc<str>>,
    /// Who stands behind the URL.
    pub target: Target,
    /// How hops choose among the replicas.
    pub policy: Arc<Policy>,
}

/// Who stands behind a destination's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A channel or broker hosted here: accepted in process, no HTTP.
    Hosted(ChannelKey),
    /// A port of a Service: the candidates are in [`Replicas`]; when it lists none at all for this port
    /// (ExternalName, or no EndpointSlice), its name in DNS.
    Service(ServicePort),
    /// Anything else: the URL is the only candidate.
    Uri,
}

/// A port of a Service, by the number that its clients use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePort {
    /// Namespace of the Service.
    pub namespace: Arc<str>,
    /// Name of the Service.
    pub service: Arc<str>,
    /// `spec.ports[].port`.
    pub port: u16,
}

/// The replicas behind each port of each Service: a snapshot apart from the topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicas {
    /// A port that is absent has no EndpointSlice: its name in DNS is used. One that is present and empty
    /// has no ready endpoint: an attempt fails at once.
    pub by_port: HashMap<ServicePort, ServiceReplicas>,
}

/// The replicas behind one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceReplicas {
    /// HTTP/2 with prior knowledge: the port's `appProtocol` is `kubernetes.io/h2c`, or its name is `h2c`,
    /// `http2` or begins with `h2c-` or `http2-`.
    pub h2c: bool,
    /// Endpoints that can be sent to, in the order of their addresses: those that are ready; if none is, those that
    /// still serve while they terminate.
    pub ready: Arc<[Replica]>,
}

/// One address that can serve a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Where it listens.
    pub address: SocketAddr,
    /// Pod behind the endpoint (`targetRef.uid`, else its name).
    pub pod: Option<Arc<str>>,
    /// The pod's name (`targetRef.name`), by which people know it.
    pub pod_name: Option<Arc<str>>,
    /// `nodeName` of the endpoint.
    pub node: Option<Arc<str>>,
    /// `zone` of the endpoint.
    pub zone: Option<Arc<str>>,
}
