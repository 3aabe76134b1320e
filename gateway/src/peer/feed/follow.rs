//! The decider's side of the load feed: one stream from each other gateway, applied to the loads of its replicas.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use towpath_config::topology::ServicePort;

use super::Replicas;
use super::frame::{Change, Reader};
use super::serve::MAX_SERVICES;
use crate::peer::client::{Links, PeerError};
use crate::routing::load::{Feed, Load};
use crate::send::SendError;

/// A feed that says nothing for so long is lost: its owner says each second that it is alive.
const SILENCE: Duration = Duration::from_secs(3);
/// Wait before a lost feed is opened again, doubled up to the longest, with jitter.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Follows the load of the replicas on the nodes of other gateways, until `ending`. `changes` says when `replicas` answers
/// anew; the time of loads counts from `start`.
pub(crate) async fn follow(
    links: Arc<Links>,
    replicas: Arc<dyn Replicas>,
    changes: watch::Receiver<u64>,
    start: Instant,
    ending: CancellationToken,
) {
    let each = links.nodes().map(|node| {
        let mut follower = Follower {
            links: &links,
            replicas: &*replicas,
            changes: changes.clone(),
            start,
            node,
            services: Vec::new(),
            loads: HashMap::new(),
        };
        async move { follower.run().await }
    });
    tokio::select! {
        _ = join_all(each) => {}
        () = ending.cancelled() => {}
    }
}

/// The feed of one other gateway.
struct Follower<'a> {
    links: &'a Links,
    replicas: &'a dyn Replicas,
    changes: watch::Receiver<u64>,
    start: Instant,
    node: &'a Arc<str>,
    /// What the feed is about.
    services: Vec<ServicePort>,
    loads: HashMap<SocketAddr, Arc<Load>>,
}

/// Why a feed ended.
enum End {
    /// Other services are of interest now.
    Changed,
    /// It broke, or was not to be had.
    Lost(String),
}

/// What one stream has told so far, by index.
type Told = HashMap<u32, (SocketAddr, Option<Feed>)>;

impl Follower<'_> {
    /// Ends when nothing will ever change any more.
    async fn run(&mut self) {
        let mut wait = FIRST_WAIT;
        self.refresh();
        loop {
            if self.services.is_empty() {
                if self.changes.changed().await.is_err() {
                    return;
                }
                self.refresh();
                continue;
            }
            match self.stream(&mut wait).await {
                End::Changed => {}
                End::Lost(reason) => {
                    self.loads.values().for_each(|load| load.feed_lost());
                    let node = self.node;
                    tracing::debug!(%node, reason, "no load feed: only what this gateway sees counts");
                    // half to one and a half of it
                    tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                    self.refresh();
                }
            }
        }
    }

    async fn stream(&mut self, wait: &mut Duration) -> End {
        let opened = tokio::time::timeout(SILENCE, self.links.load(self.node, &self.services));
        let mut answer = match opened.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return lost(&error),
            Err(_) => return End::Lost("no answer".to_owned()),
        };
        let (mut reader, mut told, mut alive) = (Reader::default(), Told::new(), true);
        loop {
            tokio::select! {
                chunk = tokio::time::timeout(SILENCE, answer.chunk()) => {
                    let Ok(chunk) = chunk else {
                        return End::Lost(format!("silent for {SILENCE:?}"));
                    };
                    if let Err(reason) = self.take(chunk, &mut reader, &mut told) {
                        return End::Lost(reason);
                    }
                    *wait = FIRST_WAIT;
                }
                changed = self.changes.changed(), if alive => {
                    // without a sender nothing changes any more
                    alive = changed.is_ok();
                    if self.refresh() {
                        return End::Changed;
                    }
                    self.apply_all(&told);
                }
            }
        }
    }

    fn take(
        &self,
        chunk: Result<Option<bytes::Bytes>, SendError>,
        reader: &mut Reader,
        told: &mut Told,
    ) -> Result<(), String> {
        let chunk = chunk.map_err(|error| error.to_string())?;
        reader.push(&chunk.ok_or_else(|| "its owner ended it".to_owned())?);
        while let Some(changes) = reader.next().map_err(|error| error.to_string())? {
            let now_nanos = self.now_nanos();
            for change in changes {
                self.apply(change, told, now_nanos);
            }
        }
        Ok(())
    }

    fn apply(&self, change: Change, told: &mut Told, now_nanos: u64) {
        match change {
            Change::Name(index, address) => {
                told.insert(index, (address, None));
            }
            Change::Load(index, feed) => {
                if let Some((address, last)) = told.get_mut(&index) {
                    *last = Some(feed);
                    if let Some(load) = self.loads.get(address) {
                        load.feed(&feed, now_nanos);
                    }
                }
            }
            Change::Gone(index) => {
                if let Some((address, _)) = told.remove(&index)
                    && let Some(load) = self.loads.get(&address)
                {
                    load.feed_lost();
                }
            }
        }
    }

    /// The owner tells changes only: what it told stands also for loads that are new here.
    fn apply_all(&self, told: &Told) {
        let now_nanos = self.now_nanos();
        for (address, feed) in told.values() {
            if let (Some(load), Some(feed)) = (self.loads.get(address), feed) {
                load.feed(feed, now_nanos);
            }
        }
    }

    /// Takes what replicas there are now. Whether the feed must be about other services.
    fn refresh(&mut self) -> bool {
        self.changes.mark_unchanged();
        let mut services = self.replicas.services_on(self.node);
        services.truncate(MAX_SERVICES);
        let loads: HashMap<_, _> = self
            .replicas
            .loads_on(self.node, &services)
            .into_iter()
            .collect();
        let before = std::mem::replace(&mut self.loads, loads);
        for (address, load) in before {
            let stays = self.loads.get(&address);
            if !stays.is_some_and(|stays| Arc::ptr_eq(stays, &load)) {
                load.feed_lost();
            }
        }
        let changed = services != self.services;
        self.services = services;
        changed
    }

    fn now_nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn lost(error: &PeerError) -> End {
    End::Lost(error.to_string())
}
