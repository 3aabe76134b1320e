//! `internal` and `peers` of the settings: how gateways reach each other.

use std::net::SocketAddr;

use url::Url;

use super::value::Value;

/// `internal`: where other gateways and the controller reach this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Internal {
    /// `internal.listen`; `None` is no internal port, so no gateway makes attempts through this one.
    pub listen: Option<SocketAddr>,
    /// `internal.maxConnections`. Over 0.
    pub max_connections: usize,
}

impl Default for Internal {
    fn default() -> Self {
        Self {
            listen: None,
            max_connections: 1024,
        }
    }
}

/// An entry of `peers`: another gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its `node`: it owns the replicas on that node. 1 to 253 letters, digits, `-`, `_` and `.`.
    pub node: String,
    /// Base URL of its internal port: `http` or `https` with a host, no path.
    pub url: Url,
}

/// Entries as text: `node=url`, separated by commas.
impl Value for Vec<Peer> {
    fn read(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim);
        entries
            .filter(|entry| !entry.is_empty())
            .map(read)
            .collect()
    }

    fn show(&self) -> String {
        let shown: Vec<_> = self
            .iter()
            .map(|peer| format!("{}={}", peer.node, peer.url))
            .collect();
        shown.join(",")
    }
}

fn read(entry: &str) -> Result<Peer, String> {
    let (node, url) = entry.split_once('=').ok_or(
        "needs a node and a URL for each gateway; write it as `first=http://10.0.0.1:9091,second=http://10.0.0.2:9091`",
    )?;
    Ok(Peer {
        node: node.trim().to_owned(),
        url: Url::read(url.trim())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_as_text() {
        let text = "first=http://10.0.0.1:9091/,second=https://[::1]/";
        let peers = Vec::<Peer>::read(text);
        let nodes = peers.as_ref().map(|peers| {
            let nodes = peers.iter().map(|peer| peer.node.clone());
            nodes.collect::<Vec<_>>()
        });
        assert_eq!(nodes, Ok(vec!["first".to_owned(), "second".to_owned()]));
        assert_eq!(peers.map(|peers| peers.show()), Ok(text.to_owned()));
        assert_eq!(
            Vec::<Peer>::read(" a = http://b:1 , ").map(|peers| peers.show()),
            Ok("a=http://b:1/".to_owned())
        );
        assert_eq!(Vec::<Peer>::read(""), Ok(Vec::new()));
        for wrong in ["a", "a=", "a=b", "http://b:1", "a=http://u:p@b"] {
            assert!(Vec::<Peer>::read(wrong).is_err(), "{wrong}");
        }
    }
}
