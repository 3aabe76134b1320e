//! What this gateway asks of others: attempts, payloads, leases, the load of their replicas.

mod leases;
mod net;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use towpath_config::settings::Peer as Setting;
use towpath_config::topology::ServicePort;
use towpath_event::{ClaimCheck, Payload, Place, ReadError, SetAside};
use towpath_payloads::{Begin, Peers, StoreError, Stores};

use super::NAMESPACE;
use super::feed::{Asked, Service};
use super::held::Held;
use super::lent::{Lent, LentGuard};
use super::server::{LeaseNews, Missing};
use super::wire::{MAX_HEAD, PeerAnswer, PeerAttempt};
use crate::payload_api::KeySource;
use crate::send::Answer;
pub(super) use leases::Hold;
use net::{Net, Peer, collect, refusal};
pub(crate) use net::{NotAUrl, Observe};

/// The other gateways, as this one reaches them.
pub(crate) struct Links {
    net: Arc<Net>,
    lent: Arc<Lent>,
    payloads: Peers,
    inline_max: u64,
}

/// What [`Links`] are made of.
pub(crate) struct LinksConfig<'a, P: Iterator<Item = &'a Setting>> {
    /// The node of this gateway (setting node).
    pub(crate) node: Arc<str>,
    /// The other gateways (`Settings::other_gateways`).
    pub(crate) peers: P,
    /// The keys that all of them share.
    pub(crate) keys: Arc<KeySource>,
    /// Where fetched payloads go: stores of this node alone.
    pub(crate) stores: Stores,
    /// Largest data in an answer, in bytes (setting limits.inlineMax; of all gateways alike).
    pub(crate) inline_max: u64,
    /// Bound of connecting (setting timeouts.connect); never over 1 s.
    pub(crate) connect_timeout: Duration,
    /// Threads that send, besides those that are no workers.
    pub(crate) workers: usize,
    /// Told of each transfer of at least 256 KiB.
    pub(crate) observe: Observe,
}

/// Why another gateway gave no answer to an attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeerError {
    /// It did not make the attempt: it is not there, or refused. Nothing was sent to the replica.
    #[error("{0}")]
    Unreachable(Box<str>),
    /// It may have made the attempt, and nobody knows what came of it.
    #[error("{0}")]
    Broke(Box<str>),
}

/// Connections that were idle for too long are closed so often.
const SWEEP: Duration = Duration::from_secs(2);

impl Links {
    /// The way to other gateways. Nothing connects before it is needed.
    ///
    /// # Errors
    /// [`NotAUrl`].
    pub(crate) fn new<'a, P: Iterator<Item = &'a Setting>>(
        config: LinksConfig<'a, P>,
        lent: Arc<Lent>,
    ) -> Result<Arc<Self>, NotAUrl> {
        let LinksConfig {
            node,
            peers,
            keys,
            stores,
            inline_max,
            connect_timeout,
            workers,
            observe,
        } = config;
        let net = Net::new(node, peers, keys, connect_timeout, workers, observe)?;
        let net = Arc::new(net);
        Ok(Arc::new(Self {
            payloads: Peers::new(Arc::clone(&net) as _, stores),
            net,
            lent,
            inline_max,
        }))
    }

    /// Whether the gateway on `node` is worth a try: there is one, and the last tries reached it.
    pub(crate) fn is_up(&self, node: &str) -> bool {
        let peer = self.net.peers.get(node);
        peer.is_some_and(|peer| peer.standing.is_up(Instant::now()))
    }

    /// The nodes of the other gateways.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.net.peers.keys()
    }

    /// The claim check with which another gateway finds `stored`, while it is lent or kept.
    pub(crate) fn claim(&self, stored: &Arc<dyn SetAside>) -> ClaimCheck {
        let claim = stored.claim();
        match claim.place {
            Place::Gateway(_) => claim,
            Place::Memory | Place::Node(_) | Place::Object(_) | Place::Nats(_) => ClaimCheck {
                place: Place::Gateway(Arc::clone(&self.net.node)),
                ..claim
            },
        }
    }

    /// Lets other gateways read `stored` while the guard lives. `None`: it rests with another gateway, which lets them.
    pub(crate) fn lend(&self, stored: &Arc<dyn SetAside>) -> Option<LentGuard> {
        let is_here = self.is_here(&stored.claim());
        is_here.then(|| self.lent.lend(stored))
    }

    /// Keeps the payload of a reply for the gateway on `node`, which is told of it by this claim check. A copy of what that
    /// gateway has itself is not kept: the reply passes the payload on.
    pub(crate) fn keep(&self, node: &Arc<str>, stored: &Arc<dyn SetAside>) -> ClaimCheck {
        let claim = stored.claim();
        if matches!(&claim.place, Place::Gateway(its) if its == node) {
            return claim;
        }
        self.lent.keep(node, stored, Instant::now());
        ClaimCheck {
            place: Place::Gateway(Arc::clone(&self.net.node)),
            ..claim
        }
    }

    fn is_here(&self, claim: &ClaimCheck) -> bool {
        !matches!(&claim.place, Place::Gateway(node) if *node != self.net.node)
    }

    /// The payload of an attempt that another gateway asked for: this gateway's own, or that of a third one, which is
    /// fetched once however many wait for it, and can be read as it comes.
    ///
    /// # Errors
    /// [`ReadError::Missing`] for one that is not lent here; else as [`Peers::open`].
    pub(crate) async fn open(
        &self,
        claim: &ClaimCheck,
        begin: Begin<'_>,
    ) -> Result<Arc<dyn SetAside>, StoreError> {
        if !self.is_here(claim) {
            return self.payloads.open(claim, begin).await;
        }
        let lent = self.lent.get(claim.id);
        let lent = lent.filter(|lent| lent.size() == claim.size);
        lent.ok_or_else(|| {
            let text = format!("{claim}: it is lent no more");
            ReadError::Missing(text.into()).into()
        })
    }

    /// The payload of a reply that another gateway keeps: fetched when it is read first, and let go of there when the last
    /// handle is dropped. `as_file` as for [`Begin`]. If the reply passes on what this gateway lent for the attempt, it is
    /// that: call this before the guard is dropped.
    pub(crate) fn held(
        &self,
        claim: ClaimCheck,
        namespace: &Arc<str>,
        as_file: bool,
    ) -> Arc<dyn SetAside> {
        if self.is_here(&claim)
            && let Some(lent) = self.lent.get(claim.id)
        {
            return lent;
        }
        let hold = match &claim.place {
            Place::Gateway(node) => self.net.peers.get(node),
            Place::Memory | Place::Node(_) | Place::Object(_) | Place::Nats(_) => None,
        };
        let hold = hold.map(|peer| peer.leases.hold(claim.id));
        Arc::new(Held::new(
            claim,
            Arc::clone(namespace),
            as_file,
            self.payloads.clone(),
            hold,
        ))
    }

    /// Asks the gateway on `node` to make an attempt. There is no time-out in here: whoever asks knows from when on the
    /// time of an attempt counts, and drops this when it is over; the other gateway then gives up too. One that is gone
    /// without a word is noticed after 40 s.
    ///
    /// # Errors
    /// [`PeerError`].
    pub(crate) async fn attempt(
        &self,
        node: &str,
        attempt: &PeerAttempt,
    ) -> Result<PeerAnswer, PeerError> {
        let peer = self.net.peer(node)?;
        let body = attempt.encode();
        let body = body.map_err(|error| PeerError::Unreachable(error.to_string().into()))?;
        let mut headers = HeaderMap::with_capacity(2);
        if let Ok(namespace) = HeaderValue::from_str(&attempt.channel.namespace) {
            headers.insert(NAMESPACE, namespace);
        }
        let answer = self.net.call(peer, &peer.hops, headers, &body).await?;
        let status = answer.status;
        if !matches!(status, StatusCode::OK | StatusCode::MISDIRECTED_REQUEST) {
            return Err(match status {
                StatusCode::INTERNAL_SERVER_ERROR => {
                    PeerError::Broke(refusal(answer).await.to_string().into())
                }
                _ => refusal(answer).await,
            });
        }
        let broke = |text: String| PeerError::Broke(format!("node {node}: {text}").into());
        let inline_max = usize::try_from(self.inline_max).unwrap_or(usize::MAX);
        let body = collect(answer, MAX_HEAD.saturating_add(inline_max)).await;
        let body = body.map_err(|error| broke(error.to_string()))?;
        PeerAnswer::decode(status, &body).map_err(|error| broke(error.to_string()))
    }

    /// Opens the load feed of the gateway on `node`.
    pub(super) async fn load(
        &self,
        node: &str,
        services: &[ServicePort],
    ) -> Result<Answer, PeerError> {
        let services = services.iter().map(Service::from).collect();
        let peer = self.net.peer(node)?;
        self.net.load(peer, &json(&Asked { services })?).await
    }

    /// Renews and releases leases, and closes idle connections, until `ending`.
    pub(crate) async fn run(self: Arc<Self>, ending: CancellationToken) {
        let leases = join_all(self.net.peers.values().map(|peer| self.tell(peer)));
        let sweep = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                self.net.calls.sweep();
                self.net.transfers.sweep();
            }
        };
        tokio::select! {
            _ = leases => {}
            () = sweep => {}
            () = ending.cancelled() => {}
        }
    }

    /// Tells one gateway of leases, for ever.
    async fn tell(&self, peer: &Peer) {
        let mut renewed = Instant::now();
        loop {
            for news in peer.leases.news(&mut renewed).await {
                if let Err(error) = self.tell_once(peer, &news).await {
                    // what was to be released ends by itself
                    let node = &peer.node;
                    tracing::debug!(%node, %error, "another gateway was not told of leases");
                }
            }
        }
    }

    async fn tell_once(&self, peer: &Peer, news: &LeaseNews) -> Result<(), PeerError> {
        let answer: Bytes = self.net.tell(peer, &json(news)?).await?;
        let read = serde_json::from_slice(&answer);
        let Missing { missing } =
            read.map_err(|error| PeerError::Broke(error.to_string().into()))?;
        if !missing.is_empty() {
            let (node, payloads) = (&peer.node, missing.len());
            tracing::warn!(%node, payloads, "another gateway has payloads no more that are needed: it ended, or was not reached for too long");
        }
        Ok(())
    }
}

fn json(body: &impl serde::Serialize) -> Result<Payload, PeerError> {
    let text = serde_json::to_vec(body);
    let text = text.map_err(|error| PeerError::Unreachable(error.to_string().into()))?;
    Ok(text.into())
}
