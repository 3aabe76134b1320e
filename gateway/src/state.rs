//! What a running gateway holds: the live topology with its channels, replicas, connections, budget.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use http::uri::Authority;
use tokio_util::task::TaskTracker;
use towpath_channels::{Channel, Memory};
use towpath_config::settings::Settings;
use towpath_config::topology::{
    self, Backend, ChannelKey, Destination, Presentation, Replicas, Subscription, SubscriptionKey,
    Target, Topology,
};
use towpath_event::cesql::Environment;
use towpath_payloads::{NatsStore, S3Store};

use crate::admission::Admission;
use crate::delivery::InOrder;
use crate::payload_api::Api;
use crate::peer::Links;
use crate::routing::{Checks, Router};
use crate::send::{Limits, Pool};
use crate::stores::{Node, OpenStores};
use crate::telemetry::{Metrics, Series, destination};
use crate::workers;

/// Shared by every task of one gateway.
pub(crate) struct State {
    pub(crate) settings: Settings,
    /// Swapped whole; a task works with the one that it loaded to its end.
    pub(crate) live: ArcSwap<Live>,
    pub(crate) router: Arc<Router>,
    pub(crate) checks: Checks,
    pub(crate) pool: Arc<Pool>,
    /// The other gateways, if there are any.
    pub(crate) links: Option<Arc<Links>>,
    pub(crate) admission: Admission,
    pub(crate) node: Option<Node>,
    pub(crate) object: Option<Arc<S3Store>>,
    pub(crate) nats: Option<Arc<NatsStore>>,
    pub(crate) api: Api,
    pub(crate) metrics: Metrics,
    /// Deliveries, and events that were acknowledged before they are settled: what must end before the process may.
    pub(crate) unsettled: TaskTracker,
    /// Why the last change of the configuration was refused, for people; empty when it was taken.
    pub(crate) refused: ArcSwap<Vec<String>>,
    draining: AtomicBool,
}

/// One complete topology with the running channels that serve it.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) topology: Arc<Topology>,
    /// What filters may look up beside the event.
    pub(crate) environment: Environment,
    channels: HashMap<ChannelKey, Arc<Hosted>>,
}

/// A channel that is served here.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) served: Arc<Served>,
    pub(crate) running: Arc<Running>,
}

/// What a channel's reader works from.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) spec: Arc<topology::Channel>,
    pub(crate) lanes: Vec<Arc<Lane>>,
}

/// A channel that was not there before.
pub(crate) struct Opened {
    pub(crate) key: ChannelKey,
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) served: Arc<Served>,
}

/// A subscription with what outlives its edits.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) spec: Arc<Subscription>,
    /// How metrics name it.
    pub(crate) destination: Arc<str>,
    /// The first sequence number of the channel that belongs to it.
    pub(crate) start: u64,
    shared: Arc<Shared>,
    pub(crate) series: Series,
    /// How its subscriber gets bulky payloads.
    pub(crate) presentation: Presentation,
}

/// What a subscription keeps over its edits.
#[derive(Debug, Default)]
struct Shared {
    unsettled: AtomicUsize,
    order: OnceLock<InOrder>,
}

/// One unsettled event of a subscription, counted while this lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Shared>);

/// A channel's backend. When the last topology that hosts it is gone, so is the last event in flight that could
/// still publish to it: then it closes.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) channel: Arc<dyn Channel>,
    kept: Mutex<HashMap<SubscriptionKey, Arc<Shared>>>,
}

impl State {
    pub(crate) fn new(
        settings: Settings,
        admission: Admission,
        open: OpenStores,
        metrics: Metrics,
        api: Api,
        router: Arc<Router>,
        links: Option<Arc<Links>>,
    ) -> Arc<Self> {
        let pool = Pool::new(Limits {
            connections_per_replica: settings.limits.connections_per_replica,
            workers: workers::count(),
            connect_timeout: settings.timeouts.connect,
            idle_timeout: settings.timeouts.idle_connection,
        });
        Arc::new(Self {
            settings,
            live: ArcSwap::default(),
            router,
            links,
            checks: Checks::default(),
            pool: Arc::new(pool),
            admission,
            node: open.node,
            object: open.object,
            nats: open.nats,
            api,
            metrics,
            unsettled: TaskTracker::new(),
            refused: ArcSwap::default(),
            draining: AtomicBool::new(false),
        })
    }

    /// Not ready any more: the process is going to end.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Puts a new topology in force, whole. Channels that stay keep their messages, subscriptions that stay keep
    /// their position and backlog. Returns the channels that are new and need a reader. Must not run twice at once.
    pub(crate) async fn apply(&self, topology: Arc<Topology>, replicas: &Replicas) -> Vec<Opened> {
        let destinations = || topology.destinations();
        let named: Vec<_> = destinations().filter_map(known_by_name).collect();
        let services = destinations().filter_map(|to| match &to.target {
            Target::Service(port) => Some(port.clone()),
            Target::Uri | Target::Hosted(_) => None,
        });
        self.router.follow(replicas, &named, services.collect());
        self.checks
            .follow(destinations(), &self.router.table(), &self.pool);
        let before = self.live.load_full();
        let mut channels = HashMap::with_capacity(topology.channels.len());
        let mut opened = Vec::new();
        for (key, spec) in &topology.channels {
            let running = before
                .channels
                .get(key)
                .map(|hosted| Arc::clone(&hosted.running));
            let is_new = running.is_none();
            let running =
                running.unwrap_or_else(|| Arc::new(Running::open(&spec.backend, &self.settings)));
            let served = Arc::new(Served {
                spec: Arc::clone(spec),
                lanes: running.lanes(spec, self.settings.payloads.present).await,
            });
            if is_new {
                opened.push(Opened {
                    key: key.clone(),
                    channel: Arc::clone(&running.channel),
                    served: Arc::clone(&served),
                });
            }
            channels.insert(key.clone(), Arc::new(Hosted { served, running }));
        }
        let environment = topology.environment();
        let live = Live {
            topology,
            environment,
            channels,
        };
        let gone = &before.destinations() - &live.destinations();
        self.live.store(Arc::new(live));
        self.metrics.forget(&gone);
        opened
    }
}

impl Live {
    pub(crate) fn hosted(&self, key: &ChannelKey) -> Option<&Arc<Hosted>> {
        self.channels.get(key)
    }

    /// How metrics name each subscription.
    fn destinations(&self) -> HashSet<Arc<str>> {
        let lanes = self
            .channels
            .values()
            .flat_map(|hosted| &hosted.served.lanes);
        lanes.map(|lane| Arc::clone(&lane.destination)).collect()
    }
}

impl Served {
    /// The subscription with this key.
    pub(crate) fn lane(&self, key: &SubscriptionKey) -> Option<&Arc<Lane>> {
        let at = self.lanes.binary_search_by(|lane| lane.spec.key.cmp(key));
        self.lanes.get(at.ok()?)
    }

    /// Whether a subscriber is shown payloads by reference. They had better be files then: what was shown stays for a
    /// while, and memory is short.
    pub(crate) fn shows_references(&self) -> bool {
        self.lanes
            .iter()
            .any(|lane| lane.presentation != Presentation::Inline)
    }
}

impl Lane {
    /// Unsettled events of this subscription.
    pub(crate) fn backlog(&self) -> usize {
        self.shared.unsettled.load(Ordering::Relaxed)
    }

    /// The lines in which its events wait, if they go in order.
    pub(crate) fn order(&self) -> Option<&InOrder> {
        match self.spec.delivery.order {
            topology::Order::None => None,
            topology::Order::Key => Some(self.shared.order.get_or_init(InOrder::default)),
        }
    }

    /// Counts one more until what is returned is dropped.
    pub(crate) fn count(&self) -> Counted {
        self.shared.unsettled.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.unsettled.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Running {
    /// The one place where a backend is opened.
    fn open(backend: &Backend, settings: &Settings) -> Self {
        let channel: Arc<dyn Channel> = match backend {
            Backend::Memory(_) => Arc::new(Memory::new(settings.memory.max_events)),
        };
        Self {
            channel,
            kept: Mutex::default(),
        }
    }

    async fn lanes(&self, spec: &topology::Channel, default: Presentation) -> Vec<Arc<Lane>> {
        let keys: Vec<_> = spec
            .subscriptions
            .iter()
            .map(|subscription| subscription.key.clone())
            .collect();
        if let Err(error) = self.channel.subscribe(&keys).await {
            tracing::error!(channel = %spec.key, %error, "the channel did not take its subscriptions");
        }
        let starts: HashMap<_, _> = self
            .channel
            .positions()
            .await
            .into_iter()
            .map(|p| (p.subscription, p.start))
            .collect();
        let mut shared = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: HashSet<_> = keys.iter().collect();
        shared.retain(|key, _| kept.contains(key));
        let lane = |subscription: &Arc<Subscription>| {
            Arc::new(Lane {
                spec: Arc::clone(subscription),
                destination: destination(spec.key.kind, subscription),
                start: starts.get(&subscription.key).copied().unwrap_or_default(),
                shared: Arc::clone(shared.entry(subscription.key.clone()).or_default()),
                series: Series::default(),
                presentation: subscription.presentation.unwrap_or(default),
            })
        };
        spec.subscriptions.iter().map(lane).collect()
    }
}

/// The authority of a destination whose replicas are not known.
fn known_by_name(to: &Destination) -> Option<Authority> {
    let is_named = matches!(to.target, Target::Uri) && to.policy.replica_concurrency.is_some();
    to.uri.authority().filter(|_| is_named).cloned()
}

impl Drop for Running {
    fn drop(&mut self) {
        // Marks it closed; its reader goes on until it is empty, so nothing has to wait here.
        drop(self.channel.close());
    }
}
