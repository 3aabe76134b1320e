//! Rules of `internal` and `peers`.

use std::collections::HashMap;

use url::{Host, Url};

use crate::settings::{Internal, Peer, Settings};

/// More gateways than this are no list that somebody wrote.
const PEERS: usize = 1000;
/// Longest name of a node, as Kubernetes has it.
const NODE: usize = 253;

/// Every broken rule of `internal` and `peers`.
pub(super) fn rules(settings: &Settings, rule: &mut impl FnMut(&str, bool, String)) {
    let Internal {
        listen,
        max_connections,
    } = settings.internal;
    let has_keys = settings.payloads.key_file.is_some();
    if let Some(listen) = listen {
        for (other, address) in [("listen", settings.listen), ("admin", settings.admin)] {
            let message =
                format!("{listen} is also `{other}`; give one of them another port, as 9091");
            let is_apart = listen != address || listen.port() == 0;
            rule("internal.listen", is_apart, message);
        }
        let message = "needs payloads.keyFile: by those keys gateways know each other, and a random one is known to no other; \
                       write the same keys in a file for each gateway, or `none` here";
        rule("internal.listen", has_keys, message.to_owned());
    }
    rule(
        "internal.maxConnections",
        max_connections > 0,
        "0 would refuse every gateway; write at least 1, or `none` as internal.listen".to_owned(),
    );
    let peers = &settings.peers;
    if peers.is_empty() {
        return;
    }
    rule(
        "peers",
        settings.node.is_some(),
        "need `node`, the name by which this gateway stands in the peers of the others; set it as well"
            .to_owned(),
    );
    rule(
        "peers",
        has_keys,
        "need payloads.keyFile: by those keys gateways know each other; write the same keys in a file for each gateway"
            .to_owned(),
    );
    rule(
        "peers",
        peers.len() <= PEERS,
        format!(
            "are {}, and {PEERS} is the limit; leave some out",
            peers.len()
        ),
    );
    let (mut nodes, mut urls) = (HashMap::new(), HashMap::new());
    for (index, Peer { node, url }) in peers.iter().enumerate() {
        let (node_key, url_key) = (
            format!("peers[{index}].node"),
            format!("peers[{index}].url"),
        );
        let in_node = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_node = (1..=NODE).contains(&node.len()) && node.chars().all(in_node);
        let message =
            format!("`{node}` is not a name of 1 to {NODE} letters, digits, `-`, `_` and `.`");
        rule(&node_key, is_node, message);
        let message = format!(
            "`{}` is not the internal port of a gateway; write it as `http://host:9091`, without a path",
            super::stores::shown(url)
        );
        rule(&url_key, is_base(url), message);
        if let Some(first) = nodes.insert(node, index) {
            let message = format!(
                "`{node}` is also that of peers[{first}]; a node has one gateway, keep one"
            );
            rule(&node_key, false, message);
        }
        if let Some(first) = urls.insert(url, index) {
            let message = format!(
                "`{}` is also that of peers[{first}]; keep one",
                super::stores::shown(url)
            );
            rule(&url_key, false, message);
        }
    }
}

/// A scheme, a host that could be one, and at most a port.
fn is_base(url: &Url) -> bool {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let has_host = match url.host() {
        Some(Host::Domain(name)) => !name.is_empty() && name.chars().all(in_name),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    };
    matches!(url.scheme(), "http" | "https")
        && has_host
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
}
