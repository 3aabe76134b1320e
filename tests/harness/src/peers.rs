//! Several gateways that know each other: node, zone, internal port, the list of peers, and a key file for each.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::id;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::answer::{Answer, Gate};
use crate::event::Event;
use crate::gateway::{Gateway, Launch};
use crate::manifest::{Object, channel_path, in_memory_channel, reference, service, subscription};
use crate::netns::Link;
use crate::poll::{SOON, until};
use crate::replica::{Place, known, slice};
use crate::sender::Sender;
use crate::subscriber::Subscriber;

/// The key that all have at first.
pub const KEY: &str = "0123456789abcdef-current";
/// The zone of all nodes.
pub const ZONE: &str = "zone";
/// The internal port. Each gateway has an address to itself, so that nobody else can take it.
const INTERNAL: u16 = 9091;

/// Some nodes with one gateway each, and what those leave on disk.
#[derive(Debug)]
pub struct Peers {
    folder: TempDir,
    nodes: Vec<Node>,
    link: Option<Link>,
}

#[derive(Debug)]
struct Node {
    name: &'static str,
    internal: SocketAddr,
    /// A subscriber here, whose load the other gateways must hear of before a test begins.
    probe: Subscriber,
}

impl Peers {
    /// On nodes of these names, all on the loopback interface.
    ///
    /// # Errors
    /// When no port or folder can be had.
    pub fn on_loopback(names: &[&'static str]) -> Result<Self> {
        static NUMBER: AtomicU8 = AtomicU8::new(0);
        let [_, _, high, low] = id().to_be_bytes();
        let node = |name: &&'static str| {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed) % 200;
            // All of 127/8 is this machine.
            let address = Ipv4Addr::new(127, 1 + number, high, low);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            Node::new(name, (address, INTERNAL).into(), listener)
        };
        let nodes = names.iter().map(node).collect::<Result<_>>()?;
        Peers::of(nodes, None)
    }

    /// On the nodes of a link, under these names.
    ///
    /// # Errors
    /// When no port or folder can be had.
    pub fn on_link(link: Link, names: [&'static str; 2]) -> Result<Self> {
        let places = names.into_iter().zip(&link.nodes);
        let node = |(name, at): (_, &crate::netns::Netns)| {
            Node::new(name, (at.address, INTERNAL).into(), at.listener()?)
        };
        let nodes = places.map(node).collect::<Result<_>>()?;
        Peers::of(nodes, Some(link))
    }

    fn of(nodes: Vec<Node>, link: Option<Link>) -> Result<Self> {
        let peers = Self {
            folder: tempfile::tempdir()?,
            nodes,
            link,
        };
        for node in &peers.nodes {
            fs::create_dir(peers.store(node.name))?;
            peers.keys(node.name, KEY)?;
        }
        Ok(peers)
    }

    /// The link between the nodes.
    ///
    /// # Errors
    /// When there is none: they are on loopback.
    pub fn link(&self) -> Result<&Link> {
        self.link.as_ref().context("no link")
    }

    /// The gateway on that node, with these manifests.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn launch(&self, node: &str, objects: impl IntoIterator<Item = Object>) -> Result<Launch> {
        let list = self.nodes.iter();
        let list: Vec<_> = list
            .map(|node| format!("{}=http://{}", node.name, node.internal))
            .collect();
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let launch = Gateway::with(objects)
            .args(["--node", node, "--zone", ZONE])
            .set("internal.listen", &self.internal(node)?.to_string())
            .set("peers", &list.join(","))
            .set("payloads.keyFile", &path(self.key_file(node)))
            .set("store.node.directory", &path(self.store(node)))
            .set("log.filter", "info,towpath_gateway::peer=debug");
        let mut places = self.link.iter().flat_map(|link| &link.nodes);
        let place =
            places.find(|place| self.internal(node).is_ok_and(|at| at.ip() == place.address));
        Ok(place.into_iter().fold(launch, Launch::on))
    }

    /// Starts one on each node, all with the same manifests, and returns when each hears of the load of all others.
    ///
    /// # Errors
    /// When one does not start, or they do not find each other.
    pub async fn start(&self, objects: &[Object]) -> Result<Vec<Gateway>> {
        let mut gateways = Vec::new();
        for node in &self.nodes {
            let objects = self.with_probes(objects);
            gateways.push(self.launch(node.name, objects)?.start().await?);
        }
        let all: Vec<&Gateway> = gateways.iter().collect();
        self.meet(&all).await?;
        Ok(gateways)
    }

    /// The manifests, and those by which gateways that meet show each other their load.
    #[must_use]
    pub fn with_probes(&self, objects: &[Object]) -> Vec<Object> {
        let probes = self.nodes.iter().flat_map(|node| {
            let name = probe(node.name);
            let (service, channel) = (service(&name, "http", 80), in_memory_channel(&name));
            let place = Place {
                node: node.name,
                zone: ZONE,
                ..Place::default()
            };
            let slice = slice(&name, 0, node.probe.address(), &place);
            let to = subscription(&name, &channel, reference(&service));
            [service, slice, channel, to]
        });
        objects.iter().cloned().chain(probes).collect()
    }

    /// Returns when each of these, which are in the order of their nodes and have the manifests of the probes, hears of the load
    /// of all others: a subscriber on a node is kept busy by the gateway there, until all know.
    ///
    /// # Errors
    /// When that does not happen soon.
    pub async fn meet(&self, gateways: &[&Gateway]) -> Result<()> {
        ensure!(gateways.len() == self.nodes.len(), "one for each node");
        for (own, (gateway, node)) in gateways.iter().zip(&self.nodes).enumerate() {
            let gate = Gate::closed();
            node.probe.script([Answer::status(202).behind(&gate)]);
            let mut busy = JoinSet::new();
            let (to, path) = (gateway.listening, channel_path(&probe(node.name)));
            busy.spawn(async move {
                let event = Event::numbered(1).binary();
                Sender::new(to).post(&path, &event).await
            });
            for (other, hears) in gateways.iter().enumerate() {
                if other == own {
                    continue;
                }
                let what = format!("the gateway of {other} to hear of {own}");
                until(&what, SOON, async || {
                    let replica = known(hears, node.probe.address()).await?;
                    Ok((replica["inFlight"] == 1).then_some(()))
                })
                .await?;
            }
            gate.open();
            while let Some(response) = busy.join_next().await {
                ensure!(response??.code() == 202, "the probe of {}", node.name);
            }
        }
        Ok(())
    }

    /// The internal port of the gateway on that node.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn internal(&self, node: &str) -> Result<SocketAddr> {
        let mut nodes = self.nodes.iter();
        let found = nodes.find(|here| here.name == node);
        Ok(found.with_context(|| format!("no node {node}"))?.internal)
    }

    /// Gives the gateway on that node these keys, one a line: the first signs, all verify.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keys(&self, node: &str, keys: &str) -> Result<()> {
        let staged = self.folder.path().join(format!("{node}.staged"));
        fs::write(&staged, format!("{keys}\n"))?;
        fs::rename(staged, self.key_file(node))?;
        Ok(())
    }

    /// The directory of the node store of that gateway.
    #[must_use]
    pub fn store(&self, node: &str) -> PathBuf {
        self.folder.path().join(format!("{node}.store"))
    }

    fn key_file(&self, node: &str) -> PathBuf {
        self.folder.path().join(format!("{node}.keys"))
    }
}

impl Node {
    fn new(name: &'static str, internal: SocketAddr, probe: TcpListener) -> Result<Self> {
        Ok(Self {
            name,
            internal,
            probe: Subscriber::on(probe)?,
        })
    }
}

fn probe(node: &str) -> String {
    format!("probe-{node}")
}
