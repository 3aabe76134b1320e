//! Several gateways that know each other: node, zone, internal port, the list of peers and the keys of each.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::id;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::gateway::{Gateway, Launch};
use crate::manifest::Object;
use crate::netns::Link;

/// The key that all have at first.
pub const KEY: &str = "0123456789abcdef-current";
/// The zone of all nodes.
pub const ZONE: &str = "zone";
/// The internal port. Each gateway has an address to itself, so that nobody else can take it.
const INTERNAL: u16 = 9091;

/// Gateways that are about to start, one on each of some nodes, and what they leave on disk.
#[derive(Debug)]
pub struct Peers {
    folder: TempDir,
    nodes: Vec<(&'static str, SocketAddr)>,
}

impl Peers {
    /// On nodes of these names, all on the loopback interface.
    ///
    /// # Errors
    /// When their folder cannot be made.
    pub fn on_loopback(names: impl IntoIterator<Item = &'static str>) -> Result<Self> {
        static NUMBER: AtomicU8 = AtomicU8::new(0);
        let [_, _, high, low] = id().to_be_bytes();
        Peers::of(names.into_iter().map(|name| {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed) % 200;
            // All of 127/8 is this machine.
            let address = Ipv4Addr::new(127, 1 + number, high, low);
            (name, (address, INTERNAL).into())
        }))
    }

    /// On the nodes of a link, under these names. Start each with [`Launch::on`] its node.
    ///
    /// # Errors
    /// When their folder cannot be made.
    pub fn on_link(link: &Link, names: [&'static str; 2]) -> Result<Self> {
        let nodes = names.into_iter().zip(&link.nodes);
        Peers::of(nodes.map(|(name, node)| (name, (node.address, INTERNAL).into())))
    }

    fn of(nodes: impl IntoIterator<Item = (&'static str, SocketAddr)>) -> Result<Self> {
        let peers = Self {
            folder: tempfile::tempdir()?,
            nodes: nodes.into_iter().collect(),
        };
        for (name, _) in &peers.nodes {
            fs::create_dir(peers.store(name))?;
            peers.keys(name, KEY)?;
        }
        Ok(peers)
    }

    /// The gateway on that node, with these manifests.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn launch(&self, node: &str, objects: impl IntoIterator<Item = Object>) -> Result<Launch> {
        let list = self.nodes.iter();
        let list: Vec<_> = list
            .map(|(name, address)| format!("{name}=http://{address}"))
            .collect();
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        Ok(Gateway::with(objects)
            .args(["--node", node, "--zone", ZONE])
            .set("internal.listen", &self.internal(node)?.to_string())
            .set("peers", &list.join(","))
            .set("payloads.keyFile", &path(self.key_file(node)))
            .set("store.node.directory", &path(self.store(node)))
            .set("log.filter", "info,towpath_gateway::peer=debug"))
    }

    /// Starts one on each node, all with the same manifests.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start(&self, objects: &[Object]) -> Result<Vec<Gateway>> {
        let mut gateways = Vec::new();
        for (name, _) in &self.nodes {
            let launch = self.launch(name, objects.to_vec())?;
            gateways.push(launch.start().await?);
        }
        Ok(gateways)
    }

    /// The internal port of the gateway on that node.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn internal(&self, node: &str) -> Result<SocketAddr> {
        let mut nodes = self.nodes.iter();
        let found = nodes.find(|(name, _)| *name == node);
        Ok(found.with_context(|| format!("no node {node}"))?.1)
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
