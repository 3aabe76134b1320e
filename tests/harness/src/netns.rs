//! Two nodes with a network of their own each, joined by a link that is as slow as the test wants: network namespaces.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio, id};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::fd::AsFd;
use rustix::process::geteuid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What the names of our namespaces begin with; the process id of their maker, a number and the node follow.
const NAME: &str = "towpath-test-";
/// Where `ip` keeps handles of namespaces by name.
const HANDLES: &str = "/run/netns";
/// The end of the link in each node.
const LINK: &str = "link0";
/// The way between each node and the test: no part of the link, and as fast as the machine.
const OUT: &str = "out0";
/// Addresses of the link's ends, which nobody sees but the two nodes. Of TEST-NET-2 (RFC 5737).
const ENDS: [Ipv4Addr; 2] = [
    Ipv4Addr::new(198, 51, 100, 1),
    Ipv4Addr::new(198, 51, 100, 2),
];
/// Bytes of a packet of the link at most: so large that headers are a hundredth of what it carries.
const PACKET: u32 = 9000;
/// Bytes that wait for the link at most, each way: so many that none is dropped and sent again.
const WAITING: u32 = 16 << 20;

/// A node: a network namespace. Dropping it removes it.
#[derive(Debug)]
pub struct Netns {
    name: String,
    /// Its address on the link.
    pub address: Ipv4Addr,
    /// Its address for this process, on no link that is shaped or counted.
    pub outside: Ipv4Addr,
    outer: String,
}

/// Two nodes and the link between them. Dropping it removes all.
#[derive(Debug)]
pub struct Link {
    /// The nodes.
    pub nodes: [Netns; 2],
}

impl Link {
    /// A link of that many bits per second each way. `None` where no namespaces can be made: it is no root, or `ip` or `tc`
    /// (iproute2) is missing; then it prints why.
    ///
    /// # Errors
    /// When namespaces can be made, but this one cannot.
    pub fn of(bits_per_second: u64) -> Result<Option<Self>> {
        static USABLE: OnceLock<Result<(), String>> = OnceLock::new();
        let usable = USABLE.get_or_init(|| {
            remove_left();
            probe().map_err(|error| format!("{error:#}"))
        });
        if let Err(why) = usable {
            eprintln!("not tested, network namespaces cannot be made here: {why}");
            return Ok(None);
        }
        let nodes = [Netns::new(ENDS[0])?, Netns::new(ENDS[1])?];
        let [a, b] = &nodes;
        ip(&format!(
            "link add {LINK} netns {} type veth peer name {LINK} netns {}",
            a.name, b.name
        ))?;
        for node in &nodes {
            let Netns { name, address, .. } = node;
            ip(&format!("-n {name} address add {address}/24 dev {LINK}"))?;
            ip(&format!("-n {name} link set {LINK} mtu {PACKET} up"))?;
        }
        let link = Self { nodes };
        link.shape(bits_per_second)?;
        Ok(Some(link))
    }

    /// From now on it carries that many bits per second each way.
    ///
    /// # Errors
    /// When `tc` refuses.
    pub fn shape(&self, bits_per_second: u64) -> Result<()> {
        // what 2 ms carry, and two packets at least, goes out at once
        let burst = (bits_per_second / 8 / 500).max(2 * u64::from(PACKET));
        for Netns { name, .. } in &self.nodes {
            tool(
                "tc",
                &format!(
                    "-n {name} qdisc replace dev {LINK} root tbf rate {bits_per_second}bit burst {burst} limit {WAITING}"
                ),
            )?;
        }
        Ok(())
    }

    /// Bytes that have gone over it so far, both ways together, with all headers.
    ///
    /// # Errors
    /// When a counter cannot be read.
    pub fn bytes(&self) -> Result<u64> {
        let mut sum = 0;
        for node in &self.nodes {
            sum += node.sent()?;
        }
        Ok(sum)
    }
}

impl Netns {
    fn new(address: Ipv4Addr) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let outer = format!("tp{}n{number}", id());
        ensure!(outer.len() < 16, "{outer} is too long for an interface");
        // Each has a net of four addresses to itself, of those that are for measuring networks (RFC 2544).
        let net = ((id() % 1024) << 5) | (number % 32);
        let [_, _, high, low] = (net << 2).to_be_bytes();
        let block = 18 + ((net << 2) >> 16) as u8;
        let node = Self {
            name: format!("{NAME}{}-{number}", id()),
            address,
            outside: Ipv4Addr::new(198, block, high, low + 2),
            outer,
        };
        let Self {
            name,
            outer,
            outside,
            ..
        } = &node;
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!(
            "link add {outer} type veth peer name {OUT} netns {name}"
        ))?;
        let here = Ipv4Addr::new(198, block, high, low + 1);
        ip(&format!("address add {here}/30 dev {outer}"))?;
        ip(&format!("link set {outer} up"))?;
        ip(&format!("-n {name} address add {outside}/30 dev {OUT}"))?;
        ip(&format!("-n {name} link set {OUT} up"))?;
        Ok(node)
    }

    /// Its name, by which `ip netns exec` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A port of this node, at its address on the link, for a subscriber of this process.
    ///
    /// # Errors
    /// When none can be had.
    pub fn listener(&self) -> Result<TcpListener> {
        let address = SocketAddr::from((self.address, 0));
        self.within(move || Ok(TcpListener::bind(address)?))
    }

    /// Bytes that it sent over the link.
    fn sent(&self) -> Result<u64> {
        // each network namespace has a folder `/sys/class/net` of its own; `ip netns exec` mounts it
        let file = format!("/sys/class/net/{LINK}/statistics/tx_bytes");
        let text = ip(&format!("netns exec {} cat {file}", self.name))?;
        text.trim()
            .parse()
            .with_context(|| format!("{file}: {text:?}"))
    }

    /// Does `work` on a thread in this namespace. What it opens stays there, whoever uses it.
    fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let handle = File::open(Path::new(HANDLES).join(&self.name))?;
        let entered = move || {
            move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))
                .context("setns")?;
            work()
        };
        let done = thread::scope(|scope| scope.spawn(entered).join());
        done.map_err(|_| anyhow!("a thread in {} broke", self.name))?
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // Of each pair one end is enough. What is gone already is no matter.
        let _ = ip(&format!("link delete {}", self.outer));
        let _ = ip(&format!("-n {} link delete {LINK}", self.name));
        let _ = ip(&format!("netns delete {}", self.name));
    }
}

/// Whether all that is needed is here.
fn probe() -> Result<()> {
    ensure!(geteuid().is_root(), "this is not root");
    let name = format!("{NAME}{}-probe", id());
    ip(&format!("netns add {name}"))?;
    let shaped = tool(
        "tc",
        &format!("-n {name} qdisc add dev lo root tbf rate 1mbit burst 20000 limit 20000"),
    );
    ip(&format!("netns delete {name}"))?;
    shaped.map(drop)
}

/// Removes namespaces of this kind whose makers were killed before they could.
fn remove_left() {
    let Ok(entries) = fs::read_dir(HANDLES) else {
        return;
    };
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let maker = name
            .strip_prefix(NAME)
            .and_then(|rest| rest.split('-').next());
        let gone = maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if gone {
            // With the namespace its interfaces go, and with these their other ends.
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

fn ip(arguments: &str) -> Result<String> {
    tool("ip", arguments)
}

fn tool(program: &str, arguments: &str) -> Result<String> {
    let output = Command::new(program)
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} (of iproute2)"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {arguments}: {} {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use tokio::time::Instant;

    use super::*;

    /// Sends that many bytes from the second node to the first one, and gives how many seconds that took.
    fn carried(link: &Link, count: usize) -> f64 {
        let [to, from] = &link.nodes;
        let listener = to.listener().unwrap();
        let address = listener.local_addr().unwrap();
        let mut stream = from
            .within(move || Ok(TcpStream::connect(address)?))
            .unwrap();
        let (mut end, _) = listener.accept().unwrap();
        let began = Instant::now();
        thread::scope(|scope| {
            scope.spawn(move || stream.write_all(&vec![7; count]).unwrap());
            assert_eq!(end.read_to_end(&mut Vec::new()).unwrap(), count);
        });
        began.elapsed().as_secs_f64()
    }

    #[test]
    fn a_link_is_as_slow_as_it_is_told_and_counts_what_it_carries() {
        let Some(link) = Link::of(80_000_000).unwrap() else {
            return;
        };
        let before = link.bytes().unwrap();
        let slow = carried(&link, 2_000_000);
        let bytes = link.bytes().unwrap() - before;
        assert!((0.15..1.0).contains(&slow), "{slow} s");
        assert!((2_000_000..2_100_000).contains(&bytes), "{bytes} bytes");
        link.shape(8_000_000_000).unwrap();
        let fast = carried(&link, 2_000_000);
        assert!(fast < slow / 4.0, "{fast} s against {slow} s");
        let names = [0, 1].map(|node| link.nodes[node].name.clone());
        drop(link);
        for name in names {
            assert!(!Path::new(HANDLES).join(name).exists());
        }
    }

    #[test]
    fn nodes_see_each_other_only_over_the_link() {
        let Some(link) = Link::of(1_000_000_000).unwrap() else {
            return;
        };
        let [a, b] = &link.nodes;
        let listener = a.listener().unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.ip(), a.address);
        b.within(move || Ok(TcpStream::connect(address)?)).unwrap();
        // From here there is no way to it, and from one node none to the other's way out.
        let port = address.port();
        let outside = SocketAddr::from((a.outside, port));
        let refused = TcpStream::connect(outside).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        b.within(move || Ok(TcpStream::connect(outside)?))
            .unwrap_err();
    }
}
