//! Opens the payload stores that the settings name, and keeps them clean.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use towpath_config::settings::{Limits, NodeDirectory, NodeStore as NodeSettings, Store};
use towpath_payloads::{
    Budget, BudgetSettings, MemoryStore, NatsSettings, NatsStore, NodeStore, OpenError,
    PayloadMetrics, PayloadStore, S3Credentials, S3Settings, S3Store, Stores, sweep,
};

use crate::memory_limit;
use crate::state::State;

/// The stores of a gateway.
pub(crate) struct OpenStores {
    pub(crate) stores: Stores,
    pub(crate) node: Option<Node>,
    pub(crate) object: Option<Arc<S3Store>>,
    pub(crate) nats: Option<Arc<NatsStore>>,
}

/// The node store, for what only files can do.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) store: NodeStore,
    /// The directory that it shares with steps on this node.
    pub(crate) shared: Box<Path>,
}

/// Why the stores cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// The directory of the node store cannot be used.
    #[error("{directory}: {source} (setting store.node.directory; `none` for no node store)")]
    Node {
        /// The directory.
        directory: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A remote store cannot be used as it is set.
    #[error(transparent)]
    Remote(#[from] OpenError),
}

/// Quota of the node store when none is set: half of what is free, and no more than this.
const MOST_QUOTA: u64 = 256 << 30;

/// The store id of this installation in stores that gateways share.
const INSTALLATION: &str = "towpath";

/// The budget of bytes in memory: of small data, and of payloads that wait there.
pub(crate) fn budget(limits: &Limits) -> Budget {
    let total = limits
        .bytes_in_flight
        .unwrap_or_else(memory_limit::bytes_in_flight);
    let settings = BudgetSettings {
        total: "limits.bytesInFlight",
        per_namespace: "limits.bytesInFlightPerNamespace",
    };
    let per_namespace = limits.bytes_in_flight_per_namespace.unwrap_or(total);
    Budget::new(total, per_namespace, settings)
}

/// Opens the stores, and deletes what a former process left in its node store: events of memory channels end with their
/// process, so nothing refers to it.
///
/// # Errors
/// [`StoreOpenError`], for what was set. The directory that is taken when none is set may be unusable: then there is no
/// node store, and a warning says so.
pub(crate) async fn open(
    settings: &Store,
    budget: &Budget,
    metrics: PayloadMetrics,
) -> Result<OpenStores, StoreOpenError> {
    let node = node(&settings.node, settings.digest, &metrics)?;
    let mut memory = MemoryStore::new(budget.clone(), settings.digest);
    if node.is_some() || settings.object.url.is_some() || settings.nats.url.is_some() {
        memory = memory.leaving_room();
    }
    let mut stores = Stores::new(Arc::new(memory), settings.memory.max_payload);
    if let Some(node) = &node {
        stores = stores.with_node(Arc::new(node.store.clone()));
        clean(&node.store, Duration::ZERO, &metrics).await;
    }
    let object = object(settings, node.as_ref(), budget)?.map(Arc::new);
    if let Some(object) = &object {
        stores = stores.with_remote(Arc::clone(object) as Arc<dyn PayloadStore>);
        recover(object).await;
    }
    let nats = nats(settings, budget).await?.map(Arc::new);
    if let Some(nats) = &nats {
        stores = stores.with_remote(Arc::clone(nats) as Arc<dyn PayloadStore>);
        if let Err(error) = nats.check().await {
            tracing::warn!(%error, "the nats payload store is not there yet; payloads go to it when it is");
        }
    }
    Ok(OpenStores {
        stores: stores.with_metrics(metrics),
        node,
        object,
        nats,
    })
}

fn object(
    settings: &Store,
    node: Option<&Node>,
    budget: &Budget,
) -> Result<Option<S3Store>, OpenError> {
    let object = &settings.object;
    let Some(url) = &object.url else {
        return Ok(None);
    };
    let settings = S3Settings {
        name: "main".to_owned(),
        url: url.to_string(),
        endpoint: object.endpoint.as_ref().map(ToString::to_string),
        region: object.region.clone(),
        path_style: object.path_style,
        allow_http: object.allow_http,
        ca_file: object.ca_file.clone(),
        credentials: S3Credentials::Chain,
        part_bytes: usize::try_from(object.part_bytes).unwrap_or(usize::MAX),
        parts_in_flight: object.parts_in_flight,
        patience: object.patience,
        digest: settings.digest,
        journal: node.map(|node| node.shared.join("uploads")),
    };
    S3Store::open(&settings, INSTALLATION, budget.clone()).map(Some)
}

async fn nats(settings: &Store, budget: &Budget) -> Result<Option<NatsStore>, OpenError> {
    let nats = &settings.nats;
    let Some(url) = &nats.url else {
        return Ok(None);
    };
    let settings = NatsSettings {
        bucket: nats.bucket.clone(),
        url: url.to_string(),
        credentials_file: nats.credentials_file.clone(),
        ca_file: nats.ca_file.clone(),
        chunk_bytes: usize::try_from(nats.chunk_bytes).unwrap_or(usize::MAX),
        acks_in_flight: nats.acks_in_flight,
        replicas: nats.replicas,
        max_bytes: nats.max_bytes,
        ttl: Some(settings.ttl),
        patience: nats.patience,
        digest: settings.digest,
    };
    NatsStore::open(&settings, INSTALLATION, budget.clone())
        .await
        .map(Some)
}

fn node(
    settings: &NodeSettings,
    digest: bool,
    metrics: &PayloadMetrics,
) -> Result<Option<Node>, StoreOpenError> {
    let directory = match &settings.directory {
        NodeDirectory::None => return Ok(None),
        NodeDirectory::Auto => PathBuf::from(format!(
            "/var/tmp/towpath-{}",
            rustix::process::getuid().as_raw()
        )),
        NodeDirectory::Path(directory) => directory.clone(),
    };
    match open_node(settings, &directory, digest) {
        Ok(node) => Ok(Some(Node {
            store: node.store.with_metrics(metrics.clone()),
            ..node
        })),
        Err(error) if settings.directory == NodeDirectory::Auto => {
            tracing::warn!(
                directory = %directory.display(), %error,
                "there is no node store: payloads wait in memory only; set store.node.directory"
            );
            Ok(None)
        }
        Err(source) => Err(StoreOpenError::Node {
            directory: directory.display().to_string(),
            source,
        }),
    }
}

fn open_node(settings: &NodeSettings, directory: &Path, digest: bool) -> io::Result<Node> {
    std::fs::create_dir_all(directory)?;
    let quota = match settings.quota {
        Some(quota) => quota,
        None => (free(directory)? / 2).min(MOST_QUOTA),
    };
    let names = BudgetSettings {
        total: "store.node.quota",
        per_namespace: "store.node.quotaPerNamespace",
    };
    let per_namespace = settings.quota_per_namespace.unwrap_or(quota);
    let quota = Budget::new(quota, per_namespace, names);
    let store = NodeStore::open(directory, quota, settings.dirty_bytes, digest)?;
    Ok(Node {
        store,
        shared: directory.into(),
    })
}

/// Bytes that are free in the file system of `directory`.
fn free(directory: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Lets go, until `ending`, of what nothing refers to: payloads that were shown, and what gateways on this node that
/// have ended left.
pub(crate) async fn keep_clean(state: Arc<State>, ending: CancellationToken) {
    let period = state.settings.store.sweep_period;
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            () = ending.cancelled() => return,
        }
        if let Some(node) = &state.node {
            if let Err(error) = node.store.take_over() {
                tracing::warn!(%error, "the node store's directory cannot be read");
            }
            // Young entries may be of a payload that is being adopted or linked now.
            clean(&node.store, period, &state.metrics.payloads).await;
        }
        // What others hold in a shared store is not known here: only what is older than any event lives goes.
        let (ttl, metrics) = (state.settings.store.ttl, &state.metrics.payloads);
        if let Some(object) = &state.object {
            recover(object).await;
            clean(&**object, ttl, metrics).await;
        }
        if let Some(nats) = &state.nats {
            clean(&**nats, ttl, metrics).await;
        }
    }
}

/// Aborts uploads that a former process or a server's failure left unfinished.
async fn recover(object: &S3Store) {
    match object.recover().await {
        Ok(0) => {}
        Ok(uploads) => tracing::info!(uploads, "aborted unfinished uploads to the object store"),
        Err(error) => tracing::warn!(%error, "unfinished uploads to the object store stay for now"),
    }
}

async fn clean(store: &dyn PayloadStore, older_than: Duration, metrics: &PayloadMetrics) {
    let nothing_is_claimed = HashSet::new();
    match sweep(store, &nothing_is_claimed, older_than, SystemTime::now()).await {
        Ok(swept) => {
            if swept.objects > 0 {
                let (objects, bytes) = (swept.objects, swept.bytes);
                let tier = store.tier();
                tracing::info!(%tier, objects, bytes, "deleted payloads that a former process left");
            }
            metrics.swept(store.tier(), swept);
        }
        Err(error) => {
            tracing::warn!(tier = %store.tier(), %error, "a sweep of a payload store ended early");
        }
    }
}
