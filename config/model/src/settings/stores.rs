//! `store` and `payloads` of the settings: where bulky payloads wait, and how subscribers get them.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::quantity::{KIB, MIB};
use crate::topology::Presentation;

/// `store`: where payloads over `limits.inlineMax` wait.
///
/// There is no key for a secret: S3 credentials come from the standard chain (environment, web identity, instance), those
/// of NATS from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `store.memory`.
    pub memory: MemoryStore,
    /// `store.node`.
    pub node: NodeStore,
    /// `store.object`.
    pub object: ObjectStore,
    /// `store.nats`.
    pub nats: NatsStore,
    /// `store.digest`.
    pub digest: bool,
    /// `store.sweepPeriod`.
    pub sweep_period: Duration,
    /// `store.ttl`.
    pub ttl: Duration,
}

/// `store.memory`: payloads in the memory of this process, within `limits.bytesInFlight`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryStore {
    /// `store.memory.maxPayload`, in bytes; 0 keeps none in memory.
    pub max_payload: u64,
}

/// `store.node`: payloads in files of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStore {
    /// `store.node.directory`.
    pub directory: NodeDirectory,
    /// `store.node.quota`, in bytes; `None` is `auto`.
    pub quota: Option<u64>,
    /// `store.node.quotaPerNamespace`, in bytes; `None` is no bound of its own.
    pub quota_per_namespace: Option<u64>,
    /// `store.node.dirtyBytes`, in bytes.
    pub dirty_bytes: u64,
    /// `store.node.survivesPod`.
    pub survives_pod: bool,
}

/// Where the node store keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeDirectory {
    /// `auto`: `towpath-<user id>` in `/var/tmp`.
    Auto,
    /// `none`: there is no node store.
    None,
    /// This directory; the path is absolute.
    Path(PathBuf),
}

/// `store.object`: payloads in S3 or what speaks its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStore {
    /// `store.object.url`: `s3://<bucket>/<prefix>`; `None` is no object store.
    pub url: Option<Url>,
    /// `store.object.endpoint`: `http` or `https`; `None` is Amazon's.
    pub endpoint: Option<Url>,
    /// `store.object.region`.
    pub region: Option<String>,
    /// `store.object.pathStyle`.
    pub path_style: bool,
    /// `store.object.allowHttp`.
    pub allow_http: bool,
    /// `store.object.caFile`.
    pub ca_file: Option<PathBuf>,
    /// `store.object.partBytes`, in bytes.
    pub part_bytes: u64,
    /// `store.object.partsInFlight`.
    pub parts_in_flight: usize,
    /// `store.object.patience`. From 100 ms to 10 minutes.
    pub patience: Duration,
}

/// `store.nats`: payloads as chunks in a JetStream stream of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsStore {
    /// `store.nats.url`: `nats` or `tls`; `None` is no such store.
    pub url: Option<Url>,
    /// `store.nats.bucket`.
    pub bucket: String,
    /// `store.nats.chunkBytes`, in bytes.
    pub chunk_bytes: u64,
    /// `store.nats.acksInFlight`.
    pub acks_in_flight: usize,
    /// `store.nats.replicas`.
    pub replicas: usize,
    /// `store.nats.patience`. From 100 ms to 10 minutes.
    pub patience: Duration,
    /// `store.nats.maxBytes`, in bytes; `None` is no bound.
    pub max_bytes: Option<u64>,
    /// `store.nats.credentialsFile`.
    pub credentials_file: Option<PathBuf>,
    /// `store.nats.caFile`.
    pub ca_file: Option<PathBuf>,
}

/// `payloads`: how subscribers get payloads that were set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payloads {
    /// `payloads.url`: `http` or `https` with a host, and perhaps a path; `None` is `auto`.
    pub url: Option<Url>,
    /// `payloads.referenceGrace`.
    pub reference_grace: Duration,
    /// `payloads.keyFile`; `None` is a random key, made at start.
    pub key_file: Option<PathBuf>,
    /// `payloads.present`.
    pub present: Presentation,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            memory: MemoryStore {
                max_payload: 8 * MIB,
            },
            node: NodeStore {
                directory: NodeDirectory::Auto,
                quota: None,
                quota_per_namespace: None,
                dirty_bytes: 32 * MIB,
                survives_pod: false,
            },
            object: ObjectStore {
                url: None,
                endpoint: None,
                region: None,
                path_style: true,
                allow_http: false,
                ca_file: None,
                part_bytes: 8 * MIB,
                parts_in_flight: 2,
                patience: Duration::from_secs(10),
            },
            nats: NatsStore {
                url: None,
                bucket: "towpath-payloads".to_owned(),
                chunk_bytes: 128 * KIB,
                acks_in_flight: 16,
                replicas: 1,
                patience: Duration::from_secs(5),
                max_bytes: None,
                credentials_file: None,
                ca_file: None,
            },
            digest: false,
            sweep_period: Duration::from_mins(10),
            ttl: Duration::from_hours(24),
        }
    }
}

impl Default for Payloads {
    fn default() -> Self {
        Self {
            url: None,
            reference_grace: Duration::from_mins(5),
            key_file: None,
            present: Presentation::Inline,
        }
    }
}
