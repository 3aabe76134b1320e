//! The way to other gateways: connections, tokens, one request and its answer.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, Uri, header};
use tokio::time::Instant;
use towpath_config::settings::Peer as Setting;
use towpath_config::topology::{Destination, Policy, Target};
use towpath_event::{ClaimCheck, Payload, Place, Read, ReadError};
use towpath_payloads::PeerTransport;

use super::PeerError;
use super::leases::Leases;
use super::standing::Standing;
use crate::intake::Source as _;
use crate::payload_api::KeySource;
use crate::peer::{WHOLE, auth};
use crate::send::{Answer, Endpoint, Limits, Pool, SendError, post};

/// Reports a transfer between nodes: the other node, bytes, nanoseconds.
pub(crate) type Observe = Arc<dyn Fn(&str, u64, u64) + Send + Sync>;

/// The other gateways.
pub(super) struct Net {
    pub(super) node: Arc<str>,
    pub(super) peers: BTreeMap<Arc<str>, Peer>,
    keys: Arc<KeySource>,
    /// Attempts and leases: many share a connection.
    pub(super) calls: Pool,
    /// Payloads and load feeds: each has a connection for itself.
    pub(super) transfers: Pool,
    observe: Observe,
}

/// Another gateway.
pub(super) struct Peer {
    pub(super) node: Arc<str>,
    base: Box<str>,
    pub(super) hops: Destination,
    leases_at: Destination,
    load: Destination,
    calls: Endpoint,
    transfers: Endpoint,
    pub(super) standing: Standing,
    pub(super) leases: Arc<Leases>,
}

/// Attempts under way at one other gateway at most; those over it wait for their turn.
const CALLS: usize = 4096;
/// Payloads on their way from one other gateway at most, and its feed.
const TRANSFERS: usize = 65;
/// A gateway that is there is connected to at once.
const CONNECT: Duration = Duration::from_secs(1);
/// A connection for calls is kept for so long though nothing is sent.
const CALLS_IDLE: Duration = Duration::from_secs(60);
/// One for transfers is closed before the other side does.
const TRANSFERS_IDLE: Duration = Duration::from_secs(4);
/// How long a gateway that has answered may take to read the rest of a request.
const REST: Duration = Duration::from_secs(4);
/// Shorter transfers say more about the latency of a network than about how much it carries.
const OBSERVED: u64 = 256 * 1024;
/// Longest text of a refusal that is read.
const REASON: usize = 4096;

impl Net {
    pub(super) fn new<'a>(
        node: Arc<str>,
        peers: impl Iterator<Item = &'a Setting>,
        keys: Arc<KeySource>,
        connect_timeout: Duration,
        workers: usize,
        observe: Observe,
    ) -> Result<Self, NotAUrl> {
        let peers = peers.map(|peer| {
            let peer = Peer::of(peer)?;
            Ok((Arc::clone(&peer.node), peer))
        });
        let pool = |connections_per_replica, idle_timeout| {
            Pool::new(Limits {
                connections_per_replica,
                workers,
                connect_timeout: connect_timeout.min(CONNECT),
                idle_timeout,
            })
        };
        Ok(Self {
            node,
            peers: peers.collect::<Result<_, _>>()?,
            keys,
            calls: pool(CALLS, CALLS_IDLE),
            transfers: pool(TRANSFERS, TRANSFERS_IDLE),
            observe,
        })
    }

    pub(super) fn peer(&self, node: &str) -> Result<&Peer, PeerError> {
        self.peers.get(node).ok_or_else(|| {
            let text = format!("no gateway is known on node {node} (setting peers)");
            PeerError::Unreachable(text.into())
        })
    }

    /// An attempt, or news of leases.
    pub(super) async fn call(
        &self,
        peer: &Peer,
        to: &Destination,
        headers: HeaderMap,
        body: &Payload,
    ) -> Result<Answer, PeerError> {
        self.send(&self.calls, peer, (&peer.calls, to), headers, body)
            .await
    }

    /// Opens the load feed of `peer`.
    pub(super) async fn load(&self, peer: &Peer, body: &Payload) -> Result<Answer, PeerError> {
        let to = (&peer.transfers, &peer.load);
        let sent = self.send(&self.transfers, peer, to, HeaderMap::new(), body);
        expect_ok(sent.await?).await
    }

    pub(super) async fn tell(&self, peer: &Peer, body: &Payload) -> Result<Bytes, PeerError> {
        let sent = self.call(peer, &peer.leases_at, HeaderMap::new(), body);
        let answer = expect_ok(sent.await?).await?;
        let body = collect(answer, crate::peer::server::MAX_JSON).await;
        body.map_err(|error| PeerError::Broke(error.to_string().into()))
    }

    /// One request, and the head of its answer. A gateway that is not reached is left alone for a while.
    async fn send(
        &self,
        pool: &Pool,
        peer: &Peer,
        (endpoint, to): (&Endpoint, &Destination),
        headers: HeaderMap,
        body: &Payload,
    ) -> Result<Answer, PeerError> {
        let began = Instant::now();
        let unreachable = |text: String| PeerError::Unreachable(text.into());
        if !peer.standing.may_try(began) {
            let text = format!("the gateway on node {} was not reached just now", peer.node);
            return Err(unreachable(text));
        }
        let keys = self.keys.keys(began);
        let token = auth::bearer(&keys, &self.node, SystemTime::now());
        let token = token.ok_or_else(|| {
            let text = "the name of this node is no header's value (setting node)";
            unreachable(text.to_owned())
        })?;
        let headers = || {
            let mut headers = headers.clone();
            headers.insert(header::AUTHORIZATION, token.clone());
            headers
        };
        match post(pool, endpoint, to, headers, body, REST).await {
            Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => {
                peer.standing.failed(began, Instant::now());
                let text = format!(
                    "the gateway on node {} refused the token of this one; give both the same keys (setting \
                     payloads.keyFile) and the same time",
                    peer.node
                );
                tracing::warn!("{text}");
                Err(unreachable(text))
            }
            Ok(answer) => {
                peer.standing.worked();
                Ok(answer)
            }
            Err(
                error @ (SendError::Connect(_) | SendError::ConnectTimeout(_) | SendError::Tls(_)),
            ) => {
                peer.standing.failed(began, Instant::now());
                let node = &peer.node;
                tracing::warn!(%node, %error, "cannot reach the gateway of another node");
                Err(unreachable(format!("the gateway on node {node}: {error}")))
            }
            Err(error @ (SendError::NoReplica(_) | SendError::Closed)) => {
                Err(unreachable(error.to_string()))
            }
            Err(error @ (SendError::Timeout(_) | SendError::Broken(_) | SendError::Payload(_))) => {
                let text = format!("the gateway on node {}: {error}", peer.node);
                Err(PeerError::Broke(text.into()))
            }
        }
    }

    async fn fetch(
        &self,
        claim: &ClaimCheck,
        range: Range<u64>,
    ) -> Result<Box<dyn Read>, ReadError> {
        let Place::Gateway(node) = &claim.place else {
            let text = format!("{claim}: no other gateway has it");
            return Err(ReadError::Missing(text.into()));
        };
        let store = |error: PeerError| ReadError::Store(error.to_string().into());
        let peer = self.peer(node).map_err(store)?;
        let Range { start, end } = range;
        let path = format!("/v1/payloads/{}/{start}-{end}", claim.id);
        let to = destination(&peer.base, &path);
        let to = to.map_err(|error| ReadError::Store(error.to_string().into()))?;
        let none = Payload::empty();
        let sent = self.send(
            &self.transfers,
            peer,
            (&peer.transfers, &to),
            HeaderMap::new(),
            &none,
        );
        let answer = sent.await.map_err(store)?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                let text = format!("{claim}: the gateway has it no more, or ended since");
                return Err(ReadError::Missing(text.into()));
            }
            _ => return Err(store(refusal(answer).await)),
        }
        let is_whole = answer.headers.contains_key(WHOLE);
        let observe = is_whole.then(|| (Arc::clone(&self.observe), Arc::clone(node)));
        Ok(Box::new(Transfer {
            answer: Some(answer),
            began: Instant::now(),
            size: end.saturating_sub(start),
            left: end.saturating_sub(start),
            observe,
        }))
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Net({} of {:?})", self.node, self.peers.keys())
    }
}

impl PeerTransport for Net {
    fn read<'a>(
        &'a self,
        claim: &'a ClaimCheck,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Read>, ReadError>> {
        Box::pin(self.fetch(claim, range))
    }
}

impl Peer {
    fn of(setting: &Setting) -> Result<Self, NotAUrl> {
        let base = setting.url.as_str().trim_end_matches('/');
        let hops = destination(base, "/v1/hops")?;
        let authority = hops.uri.authority().ok_or_else(|| NotAUrl(base.into()))?;
        let endpoint = |h2c| Endpoint::of(&hops, authority, None, h2c);
        Ok(Self {
            node: setting.node.as_str().into(),
            calls: endpoint(true),
            transfers: endpoint(false),
            leases_at: destination(base, "/v1/leases")?,
            load: destination(base, "/v1/load")?,
            base: base.into(),
            hops,
            standing: Standing::default(),
            leases: Arc::default(),
        })
    }
}

/// The URL of another gateway is none that a request can be sent to.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is no URL that a gateway can be reached at; write it as http://10.0.0.1:9091 (setting peers)"
)]
pub(crate) struct NotAUrl(Box<str>);

fn destination(base: &str, path: &str) -> Result<Destination, NotAUrl> {
    let url = format!("{base}{path}");
    let uri: Uri = url.parse().map_err(|_| NotAUrl(url.as_str().into()))?;
    Ok(Destination {
        url: url.into(),
        uri,
        ca_certs: None,
        audience: None,
        target: Target::Uri,
        policy: Arc::new(Policy::default()),
    })
}

async fn expect_ok(answer: Answer) -> Result<Answer, PeerError> {
    if answer.status == StatusCode::OK {
        return Ok(answer);
    }
    Err(refusal(answer).await)
}

/// What another gateway says that it does not do: nothing was done then.
pub(super) async fn refusal(answer: Answer) -> PeerError {
    let status = answer.status;
    let reason = collect(answer, REASON).await.unwrap_or_default();
    let text = format!(
        "refused with {status}: {}",
        String::from_utf8_lossy(&reason)
    );
    PeerError::Unreachable(text.into())
}

/// Why an answer was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error(transparent)]
    Send(#[from] SendError),
}

/// The whole body of an answer, of at most `most` bytes.
pub(super) async fn collect(mut answer: Answer, most: usize) -> Result<Bytes, Unread> {
    let mut whole = BytesMut::new();
    let mut first = None;
    while let Some(chunk) = answer.chunk().await? {
        let size = whole.len() + chunk.len() + first.as_ref().map_or(0, Bytes::len);
        if size > most {
            return Err(Unread::TooLarge(most));
        }
        // one piece is not copied
        match first.take() {
            None if whole.is_empty() => first = Some(chunk),
            before => {
                whole.extend_from_slice(&before.unwrap_or_default());
                whole.extend_from_slice(&chunk);
            }
        }
    }
    answer.finish();
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

/// A payload on its way here.
struct Transfer {
    answer: Option<Answer>,
    began: Instant,
    size: u64,
    left: u64,
    observe: Option<(Observe, Arc<str>)>,
}

impl Read for Transfer {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        let Some(answer) = &mut self.answer else {
            return Poll::Ready(None);
        };
        let broke = |error: SendError| {
            let text = format!("the payload's way from another gateway broke off: {error}");
            ReadError::Store(text.into())
        };
        Poll::Ready(match ready!(answer.poll_chunk(cx)) {
            Err(error) => {
                self.answer = None;
                Some(Err(broke(error)))
            }
            Ok(Some(chunk)) => {
                let left = self.left.checked_sub(chunk.len() as u64);
                Some(match left {
                    Some(left) => {
                        self.left = left;
                        self.observe_end();
                        Ok(chunk)
                    }
                    None => {
                        self.answer = None;
                        let text = "another gateway gave more bytes than were asked for";
                        Err(ReadError::Damaged(text.into()))
                    }
                })
            }
            Ok(None) => {
                if let Some(answer) = self.answer.take() {
                    answer.finish();
                }
                (self.left > 0).then(|| {
                    let text = format!("another gateway gave {} bytes too few", self.left);
                    Err(ReadError::Damaged(text.into()))
                })
            }
        })
    }
}

impl Transfer {
    fn observe_end(&mut self) {
        if self.left > 0 || self.size < OBSERVED {
            return;
        }
        if let Some((observe, node)) = self.observe.take() {
            let nanos = self.began.elapsed().as_nanos().max(1);
            observe(&node, self.size, u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }
}
