//! The owner's side of the load feed: what changed of the replicas of this node, at most once in 20 ms.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use towpath_config::topology::ServicePort;

use super::Replicas;
use super::frame::{Change, MAX_REPLICAS, frame};
use super::sent::{Senders, Sent};
use crate::routing::load::{Feed, Load};

/// The feeds that this gateway gives to others.
pub(crate) struct Feeds {
    node: Arc<str>,
    replicas: Arc<dyn Replicas>,
    changes: watch::Receiver<u64>,
    start: Instant,
    senders: Arc<Senders>,
    /// Feeds that are open, by the node of who reads them.
    open: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

/// The body of `/v1/load`: services of which the asking gateway has replicas on this node as candidates.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::peer) struct Asked {
    pub(in crate::peer) services: Vec<Service>,
}

/// A port of a Service.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::peer) struct Service {
    namespace: Arc<str>,
    name: Arc<str>,
    port: u16,
}

/// One gateway asks for too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::peer) enum TooMany {
    /// Of services.
    #[error("{0} services are asked for, more than the {MAX_SERVICES} of one feed")]
    Services(usize),
    /// Of feeds.
    #[error(
        "the gateway on node {0} has {MAX_FEEDS} feeds open; it reads them no more, or two gateways have that node"
    )]
    Feeds(Arc<str>),
}

/// Changes are told at most so often.
const PERIOD: Duration = Duration::from_millis(20);
/// So often while nothing is in flight, and nothing was for a while.
const IDLE_PERIOD: Duration = Duration::from_millis(40);
/// Frames without a change after which the feed is idle.
const IDLE_AFTER: u32 = 50;
/// Without a change the owner says so often that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Most services of one feed.
pub(super) const MAX_SERVICES: usize = 4096;
/// Most feeds of one gateway: the one that it reads, and those whose end was not noticed yet.
const MAX_FEEDS: usize = 8;
/// Bits of a service time that are told: a change of less than 3 % is none.
const SERVICE_BITS: u32 = 5;

impl Feeds {
    /// Feeds of the replicas on `node`. `changes` says when `replicas` answers anew; the time of loads counts from `start`.
    pub(crate) fn new(
        node: Arc<str>,
        replicas: Arc<dyn Replicas>,
        changes: watch::Receiver<u64>,
        start: Instant,
    ) -> Self {
        Self {
            node,
            replicas,
            changes,
            start,
            senders: Arc::default(),
            open: Arc::default(),
        }
    }

    /// Counts an attempt of the gateway on `node` as its own.
    pub(in crate::peer) fn begin(
        &self,
        node: &Arc<str>,
        replica: SocketAddr,
        pull_nanos: u64,
    ) -> Sent {
        self.senders.begin(node, replica, pull_nanos)
    }

    /// A feed for the gateway on `reader`, until `ending`. A frame is made when the connection takes it: who reads slowly
    /// gets the newest state, and no queue of old ones.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(in crate::peer) fn open(
        &self,
        reader: &Arc<str>,
        services: Vec<Service>,
        ending: CancellationToken,
    ) -> Result<
        StreamBody<impl stream::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + use<>>,
        TooMany,
    > {
        if services.len() > MAX_SERVICES {
            return Err(TooMany::Services(services.len()));
        }
        let open = Open::count(&self.open, reader)?;
        let told = Told {
            services: services.into_iter().map(ServicePort::from).collect(),
            node: Arc::clone(&self.node),
            replicas: Arc::clone(&self.replicas),
            changes: self.changes.clone(),
            known: Vec::new(),
            begun: false,
            next: 0,
        };
        let feed = Stream {
            told,
            reader: Arc::clone(reader),
            senders: Arc::clone(&self.senders),
            start: self.start,
            looked: None,
            last: Instant::now(),
            quiet: 0,
            _open: open,
        };
        let frames = stream::unfold(feed, move |mut feed| {
            let ending = ending.clone();
            async move {
                let frame = tokio::select! {
                    frame = feed.frame() => frame?,
                    () = ending.cancelled() => return None,
                };
                Some((Ok(Frame::data(frame)), feed))
            }
        });
        Ok(StreamBody::new(frames))
    }
}

/// Counts a feed while it is open.
struct Open {
    feeds: Arc<Mutex<HashMap<Arc<str>, usize>>>,
    reader: Arc<str>,
}

impl Open {
    fn count(
        feeds: &Arc<Mutex<HashMap<Arc<str>, usize>>>,
        reader: &Arc<str>,
    ) -> Result<Self, TooMany> {
        let mut open = lock(feeds);
        let count = open.entry(Arc::clone(reader)).or_default();
        if *count >= MAX_FEEDS {
            return Err(TooMany::Feeds(Arc::clone(reader)));
        }
        *count += 1;
        Ok(Self {
            feeds: Arc::clone(feeds),
            reader: Arc::clone(reader),
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = lock(&self.feeds);
        if let Some(count) = open.get_mut(&self.reader) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.reader);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A feed that is open.
struct Stream {
    told: Told,
    reader: Arc<str>,
    senders: Arc<Senders>,
    start: Instant,
    /// When the loads were looked at last; `None` before the first frame.
    looked: Option<Instant>,
    /// When the last frame was made.
    last: Instant,
    /// Looks that found no change, since the last that did.
    quiet: u32,
    _open: Open,
}

impl Stream {
    /// The next frame, when there is something to tell. `None`: there are more replicas than a stream tells of.
    async fn frame(&mut self) -> Option<Bytes> {
        loop {
            let pause = if self.quiet < IDLE_AFTER {
                PERIOD
            } else {
                IDLE_PERIOD
            };
            if let Some(looked) = self.looked {
                tokio::time::sleep_until(looked + pause).await;
            }
            let now = Instant::now();
            let first = self.looked.replace(now).is_none();
            let now_nanos = u64::try_from((now - self.start).as_nanos()).unwrap_or(u64::MAX);
            let changes = self.told.look(&self.senders, &self.reader, now_nanos)?;
            self.quiet = if changes.is_empty() {
                self.quiet.saturating_add(1)
            } else {
                0
            };
            if first || !changes.is_empty() || now - self.last >= HEARTBEAT {
                self.last = now;
                return Some(frame(&changes));
            }
        }
    }
}

/// What was told of each replica.
struct Told {
    services: Vec<ServicePort>,
    node: Arc<str>,
    replicas: Arc<dyn Replicas>,
    changes: watch::Receiver<u64>,
    known: Vec<Known>,
    begun: bool,
    next: u32,
}

struct Known {
    index: u32,
    address: SocketAddr,
    load: Arc<Load>,
    last: Option<Feed>,
}

impl Told {
    /// What changed since the last look. `None`: too many replicas came and went.
    fn look(&mut self, senders: &Senders, reader: &str, now_nanos: u64) -> Option<Vec<Change>> {
        let mut changes = Vec::new();
        // Nobody who sends changes ends before what reads them.
        if !self.begun || self.changes.has_changed().unwrap_or(false) {
            self.changes.mark_unchanged();
            self.begun = true;
            self.refresh(&mut changes)?;
        }
        let known = self.known.iter_mut().map(|known| (known.address, known));
        senders.of(reader, known, |known, under| {
            let facts = known.load.facts(now_nanos);
            let feed = Feed {
                in_flight: facts.in_flight.saturating_add(facts.queued),
                yours: under.attempts,
                others_pulling_nanos: facts.pulling_nanos.saturating_sub(under.pulling_nanos),
                service_nanos: rounded(facts.service_nanos.unwrap_or_default() as u64),
                slots: facts.slots,
            };
            if known.last != Some(feed) {
                known.last = Some(feed);
                changes.push(Change::Load(known.index, feed));
            }
        });
        Some(changes)
    }

    /// Takes what replicas there are now, and names those that are new.
    fn refresh(&mut self, changes: &mut Vec<Change>) -> Option<()> {
        let mut before: HashMap<SocketAddr, Known> = std::mem::take(&mut self.known)
            .into_iter()
            .map(|known| (known.address, known))
            .collect();
        let mut seen = HashSet::new();
        for (address, load) in self.replicas.loads_on(&self.node, &self.services) {
            // a replica may stand behind several of the services
            if !seen.insert(address) {
                continue;
            }
            match before.remove(&address) {
                // another pod may have the address now
                Some(known) => self.known.push(Known { load, ..known }),
                None => {
                    let index = self.next;
                    self.next = Some(index + 1).filter(|next| *next < MAX_REPLICAS)?;
                    changes.push(Change::Name(index, address));
                    self.known.push(Known {
                        index,
                        address,
                        load,
                        last: None,
                    });
                }
            }
        }
        changes.extend(before.values().map(|known| Change::Gone(known.index)));
        Some(())
    }
}

/// The number with its highest bits only.
fn rounded(nanos: u64) -> u64 {
    let bits = u64::BITS - nanos.leading_zeros();
    let dropped = bits.saturating_sub(SERVICE_BITS);
    nanos >> dropped << dropped
}

impl From<Service> for ServicePort {
    fn from(service: Service) -> Self {
        let Service {
            namespace,
            name,
            port,
        } = service;
        Self {
            namespace,
            service: name,
            port,
        }
    }
}

impl From<&ServicePort> for Service {
    fn from(port: &ServicePort) -> Self {
        Self {
            namespace: Arc::clone(&port.namespace),
            name: Arc::clone(&port.service),
            port: port.port,
        }
    }
}
