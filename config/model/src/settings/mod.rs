//! Settings of a gateway: plain, comparable data with defaults; every key is one row of [`keys()`].

mod parse;
mod peers;
mod stores;
mod table;
mod validate;
mod value;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use peers::{Internal, Peer};
pub use stores::{MemoryStore, NatsStore, NodeDirectory, NodeStore, ObjectStore, Payloads, Store};
pub use table::{Key, docs, keys};

use crate::quantity::{GIB, KIB, MIB};

/// Everything that a gateway lets its operator set. [`Settings::default`] is a working gateway on this machine.
///
/// What a key means, its unit, default and reason stand in the table of [`keys()`], from which the README's is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `listen`.
    pub listen: SocketAddr,
    /// `admin`.
    pub admin: SocketAddr,
    /// `node`.
    pub node: Option<String>,
    /// `zone`.
    pub zone: Option<String>,
    /// `internal`.
    pub internal: Internal,
    /// `peers`: the other gateways. One list may serve all of them: see [`Settings::other_gateways`].
    pub peers: Vec<Peer>,
    /// `clusterDomain`.
    pub cluster_domain: String,
    /// `addresses`.
    pub addresses: BTreeMap<String, String>,
    /// `limits`.
    pub limits: Limits,
    /// `memory`.
    pub memory: Memory,
    /// `store`.
    pub store: Store,
    /// `payloads`.
    pub payloads: Payloads,
    /// `timeouts`.
    pub timeouts: Timeouts,
    /// `delivery`.
    pub delivery: Delivery,
    /// `metrics`.
    pub metrics: Metrics,
    /// `shutdown`.
    pub shutdown: Shutdown,
    /// `log`.
    pub log: Log,
}

/// `limits`: bounds of what comes in and of what is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `limits.maxEventBytes`, in bytes.
    pub max_event_bytes: u64,
    /// `limits.maxStructuredBytes`, in bytes.
    pub max_structured_bytes: u64,
    /// `limits.inlineMax`, in bytes.
    pub inline_max: u64,
    /// `limits.maxHeaderBytes`, in bytes.
    pub max_header_bytes: u64,
    /// `limits.maxConnections`.
    pub max_connections: usize,
    /// `limits.bytesInFlight`, in bytes; `None` is `auto`.
    pub bytes_in_flight: Option<u64>,
    /// `limits.bytesInFlightPerNamespace`, in bytes; `None` is no bound of its own.
    pub bytes_in_flight_per_namespace: Option<u64>,
    /// `limits.connectionsPerReplica`.
    pub connections_per_replica: usize,
    /// `limits.hops`.
    pub hops: u8,
}

/// `memory`: bounds of the memory channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// `memory.maxEvents`.
    pub max_events: usize,
    /// `memory.backlog`.
    pub backlog: usize,
    /// `memory.settleTimeout`.
    pub settle_timeout: Duration,
}

/// `timeouts`: how long the gateway waits for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// `timeouts.headerRead`.
    pub header_read: Duration,
    /// `timeouts.bodyIdle`.
    pub body_idle: Duration,
    /// `timeouts.connect`.
    pub connect: Duration,
    /// `timeouts.attempt`.
    pub attempt: Duration,
    /// `timeouts.idleConnection`.
    pub idle_connection: Duration,
}

/// `delivery`: what delivery specs do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `delivery.backoffMax`.
    pub backoff_max: Duration,
    /// `delivery.replyOn202`.
    pub reply_on_202: bool,
}

/// `metrics`: bounds of label values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// `metrics.eventTypes`.
    pub event_types: usize,
}

/// `shutdown`: how a gateway leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown {
    /// `shutdown.delay`.
    pub delay: Duration,
    /// `shutdown.grace`.
    pub grace: Duration,
}

/// `log`: what is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `log.format`.
    pub format: LogFormat,
    /// `log.filter`.
    pub filter: String,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            node: None,
            zone: None,
            internal: Internal::default(),
            peers: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            addresses: BTreeMap::new(),
            limits: Limits {
                max_event_bytes: GIB,
                max_structured_bytes: 32 * MIB,
                inline_max: 64 * KIB,
                max_header_bytes: 64 * KIB,
                max_connections: 10_000,
                bytes_in_flight: None,
                bytes_in_flight_per_namespace: None,
                connections_per_replica: 1024,
                hops: 255,
            },
            memory: Memory {
                max_events: 10_000,
                backlog: 1000,
                settle_timeout: Duration::from_mins(15),
            },
            store: Store::default(),
            payloads: Payloads::default(),
            timeouts: Timeouts {
                header_read: Duration::from_secs(10),
                body_idle: Duration::from_secs(30),
                connect: Duration::from_secs(5),
                attempt: Duration::from_mins(15),
                idle_connection: Duration::from_secs(4),
            },
            delivery: Delivery {
                backoff_max: Duration::from_mins(10),
                reply_on_202: true,
            },
            metrics: Metrics { event_types: 100 },
            shutdown: Shutdown {
                delay: Duration::ZERO,
                grace: Duration::from_secs(30),
            },
            log: Log {
                format: LogFormat::Text,
                filter: "info".to_owned(),
            },
        }
    }
}

impl Settings {
    /// The gateways of `peers` but for this one, which is the one with its `node`.
    pub fn other_gateways(&self) -> impl Iterator<Item = &Peer> {
        let own = self.node.as_deref();
        self.peers
            .iter()
            .filter(move |peer| Some(peer.node.as_str()) != own)
    }

    /// What these settings say to [`crate::compile()`].
    #[must_use]
    pub fn compile_options(&self) -> crate::CompileOptions {
        crate::CompileOptions::of(self)
    }
}
