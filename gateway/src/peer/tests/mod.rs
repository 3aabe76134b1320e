//! Several gateways in one process, over loopback.

mod attempts;
mod feed;
mod payloads;
mod port;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use towpath_config::settings::Peer as Setting;
use towpath_config::topology::{ChannelKey, ChannelKind, ServicePort, SubscriptionKey};
use towpath_event::{Attributes, PassThrough, Payload, SetAside, SpecVersion, TraceContext};
use towpath_payloads::{Begin, Budget, BudgetSettings, Draw, MemoryStore, Stores, Writer};

use super::feed::{Feeds, Replicas, Sent, follow};
use super::lent::Lent;
use super::server::{Server, serve};
use super::wire::{AnswerResult, Data, LegKind, PeerAnswer, PeerAttempt};
use super::{Attempts, Links, LinksConfig};
use crate::payload_api::{KeySource, Keys};
use crate::routing::load::Load;

const KEY: &str = "0123456789abcdef-shared";
const INLINE_MAX: u64 = 64 * 1024;
/// Connections that a gateway takes.
const MOST: usize = 50;

pub(super) fn budget() -> Budget {
    let settings = BudgetSettings {
        total: "limits.bytesInFlight",
        per_namespace: "limits.bytesInFlightPerNamespace",
    };
    Budget::new(1 << 30, 1 << 30, settings)
}

/// Stores of memory alone.
pub(super) fn stores() -> Stores {
    Stores::new(Arc::new(MemoryStore::new(budget(), false)), 1 << 30)
}

async fn writer(size: usize) -> Box<dyn Writer> {
    let begin = Begin {
        namespace: &"ns".into(),
        draw: Draw::Reply,
        length: Some(size as u64),
        as_file: false,
    };
    stores().begin(begin).await.unwrap()
}

/// A payload in a store of its own.
pub(super) fn stored(data: &'static [u8]) -> Arc<dyn SetAside> {
    let stored = async {
        let mut writer = writer(data.len()).await;
        writer.write(Bytes::from_static(data)).await.unwrap();
        writer.finish().await.unwrap()
    };
    stored.now_or_never().unwrap()
}

/// Answers as the test says, and remembers what came.
#[derive(Default)]
struct Scripted {
    answer: Mutex<Option<PeerAnswer>>,
    came: Mutex<Vec<(Arc<str>, PeerAttempt)>>,
    /// Attempts that are held back until this is notified.
    hold: Option<Arc<Notify>>,
    begun: Notify,
    given_up: Arc<Notify>,
}

impl Attempts for Scripted {
    fn attempt<'a>(
        &'a self,
        from: &'a Arc<str>,
        attempt: PeerAttempt,
        sent: Sent,
    ) -> BoxFuture<'a, PeerAnswer> {
        Box::pin(async move {
            self.came.lock().unwrap().push((Arc::clone(from), attempt));
            let gone = OnDrop(Arc::clone(&self.given_up));
            self.begun.notify_one();
            if let Some(hold) = &self.hold {
                hold.notified().await;
            }
            std::mem::forget(gone);
            drop(sent);
            let answer = self.answer.lock().unwrap().take();
            answer.unwrap_or(PeerAnswer::Answered {
                status: 202,
                arrived_before: None,
                result: AnswerResult::Taken,
            })
        })
    }
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A replica, with its load.
type Loaded = (SocketAddr, Arc<Load>);

/// Replicas of one service on each node.
#[derive(Default)]
struct Table(Mutex<HashMap<String, Vec<Loaded>>>);

impl Table {
    fn set(&self, node: &str, replicas: &[Loaded]) {
        let mut table = self.0.lock().unwrap();
        table.insert(node.to_owned(), replicas.to_vec());
    }
}

impl Replicas for Table {
    fn services_on(&self, node: &str) -> Vec<ServicePort> {
        let table = self.0.lock().unwrap();
        let some = table.get(node).is_some_and(|replicas| !replicas.is_empty());
        some.then(service).into_iter().collect()
    }

    fn loads_on(&self, node: &str, services: &[ServicePort]) -> Vec<Loaded> {
        let table = self.0.lock().unwrap();
        let replicas = table.get(node).filter(|_| services.contains(&service()));
        replicas.cloned().unwrap_or_default()
    }
}

fn service() -> ServicePort {
    ServicePort {
        namespace: "ns".into(),
        service: "step".into(),
        port: 80,
    }
}

fn replica(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// One gateway, as the rest of it sees `peer`.
struct Node {
    links: Arc<Links>,
    lent: Arc<Lent>,
    attempts: Arc<Scripted>,
    table: Arc<Table>,
    changes: watch::Sender<u64>,
    /// Transfers that were reported: node and bytes.
    observed: Arc<Mutex<Vec<(String, u64)>>>,
    address: SocketAddr,
    ending: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

/// The port of a gateway that is not started yet.
struct Port {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
}

async fn port(name: &'static str) -> Port {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    Port {
        name,
        socket,
        address,
    }
}

fn setting(name: &str, address: SocketAddr) -> Setting {
    Setting {
        node: name.to_owned(),
        url: format!("http://{address}").parse().unwrap(),
    }
}

fn keys(text: &str) -> Arc<KeySource> {
    Arc::new(KeySource::Fixed(Arc::new(Keys::parse(text).unwrap())))
}

/// The way from `node` to these gateways.
fn links(
    node: &str,
    peers: &[Setting],
    key: &str,
    lent: &Arc<Lent>,
    observed: &Arc<Mutex<Vec<(String, u64)>>>,
) -> Arc<Links> {
    let observed = Arc::clone(observed);
    let config = LinksConfig {
        node: node.into(),
        peers: peers.iter(),
        keys: keys(key),
        stores: stores(),
        inline_max: INLINE_MAX,
        connect_timeout: Duration::from_secs(1),
        workers: 1,
        observe: Arc::new(move |node, bytes, nanos| {
            assert!(nanos > 0);
            observed.lock().unwrap().push((node.to_owned(), bytes));
        }),
    };
    Links::new(config, Arc::clone(lent)).unwrap()
}

fn start(port: Port, peers: &[Setting], attempts: Scripted) -> Node {
    let (lent, observed) = (Arc::<Lent>::default(), Arc::default());
    let links = links(port.name, peers, KEY, &lent, &observed);
    let (attempts, table) = (Arc::new(attempts), Arc::<Table>::default());
    let (changes, changed) = watch::channel(0);
    let (begin, ending) = (Instant::now(), CancellationToken::new());
    let replicas = || Arc::clone(&table) as Arc<dyn Replicas>;
    let feeds = Feeds::new(port.name.into(), replicas(), changed.clone(), begin);
    let server = Server {
        keys: keys(KEY),
        lent: Arc::clone(&lent),
        attempts: Arc::clone(&attempts) as _,
        feeds: Arc::new(feeds),
        budget: budget(),
        inline_max: INLINE_MAX,
        max_connections: MOST,
        header_read: Duration::from_secs(1),
    };
    tokio::spawn(serve(port.socket, Arc::new(server), None, ending.clone()));
    tokio::spawn(Arc::clone(&links).run(ending.clone()));
    tokio::spawn(follow(
        Arc::clone(&links),
        replicas(),
        changed,
        begin,
        ending.clone(),
    ));
    Node {
        links,
        lent,
        attempts,
        table,
        changes,
        observed,
        address: port.address,
        ending,
    }
}

/// A decider `a`, and an owner `b` that answers attempts as `attempts` says. Each knows the other.
async fn two(attempts: Scripted) -> (Node, Node) {
    let (a, b) = (port("a").await, port("b").await);
    let peers = [setting("a", a.address), setting("b", b.address)];
    (
        start(a, &peers[1..], Scripted::default()),
        start(b, &peers[..1], attempts),
    )
}

fn attempt(data: Data) -> PeerAttempt {
    PeerAttempt {
        channel: ChannelKey {
            kind: ChannelKind::Channel,
            namespace: "ns".into(),
            name: "steps".into(),
        },
        subscription: SubscriptionKey("Subscription/ns/one".into()),
        leg: LegKind::Subscriber,
        replica: replica(1),
        timeout: Duration::from_secs(30),
        pull_nanos: 5,
        attributes: Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap(),
        headers: PassThrough::default(),
        trace: TraceContext::root(),
        origin: None,
        data,
    }
}

fn inline(data: &'static str) -> Data {
    Data::Inline(Payload::from(data))
}

/// Waits until `is_so`, without a pause that guesses how long it takes.
async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        let mut look = tokio::time::interval(Duration::from_millis(1));
        while !is_so() {
            look.tick().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    waited.expect("it never came to that");
}
