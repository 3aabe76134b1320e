//! Which channel a request is for: always a look-up in the topology, never parsing names apart (CONTRACT C1).

use std::borrow::Cow;
use std::sync::Arc;

use towpath_config::topology::{ChannelKey, ChannelKind, Topology};

/// Why an address names no channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddressError {
    /// 404: well formed, but nothing of that name is here.
    Unknown(String),
    /// 400: no address of ours looks like this.
    Malformed(&'static str),
}

/// Resolves the host and path of a request; the query is ignored (C1.4).
///
/// The host of a channel's status address, with path `/`; else `/channels/<ns>/<name>` or `/brokers/<ns>/<name>`;
/// else `/<ns>/<name>`: the broker of that name if there is one, else the channel. One trailing slash is allowed.
pub(crate) fn resolve(
    topology: &Topology,
    host: Option<&str>,
    path: &str,
) -> Result<ChannelKey, AddressError> {
    let host = host.map(bare_host);
    if let Some(key) = host.as_deref().and_then(|host| topology.hosts.get(host)) {
        return if path == "/" || path.is_empty() {
            Ok(key.clone())
        } else {
            Err(AddressError::Malformed(
                "the address of a channel by its host has the path /",
            ))
        };
    }
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    if trimmed.is_empty() {
        let host = host.unwrap_or(Cow::Borrowed(""));
        return Err(AddressError::Unknown(format!(
            "no channel has the host {host:?}"
        )));
    }
    let mut segments = trimmed.split('/');
    let parts = (
        segments.next(),
        segments.next(),
        segments.next(),
        segments.next(),
    );
    let (kinds, namespace, name): (&[ChannelKind], _, _) = match parts {
        (Some("channels"), Some(namespace), Some(name), None) => {
            (&[ChannelKind::Channel], namespace, name)
        }
        (Some("brokers"), Some(namespace), Some(name), None) => {
            (&[ChannelKind::Broker], namespace, name)
        }
        (Some(namespace), Some(name), None, None) => (
            &[ChannelKind::Broker, ChannelKind::Channel],
            namespace,
            name,
        ),
        _ => return Err(AddressError::Malformed(FORMS)),
    };
    if namespace.is_empty() || name.is_empty() {
        return Err(AddressError::Malformed(FORMS));
    }
    let key = |kind: &ChannelKind| ChannelKey {
        kind: *kind,
        namespace: Arc::from(namespace),
        name: Arc::from(name),
    };
    let found = kinds
        .iter()
        .map(key)
        .find(|key| topology.channels.contains_key(key));
    found.ok_or_else(|| {
        AddressError::Unknown(format!(
            "there is no channel or broker {namespace}/{name} here"
        ))
    })
}

const FORMS: &str = "the path must be /channels/<namespace>/<name>, /brokers/<namespace>/<name> or /<namespace>/<name>";

/// Lower case, without port and trailing dot (C1.3).
fn bare_host(host: &str) -> Cow<'_, str> {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    };
    let name = without_port.strip_suffix('.').unwrap_or(without_port);
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_config::topology::{Backend, Channel, Memory, OnFull};

    fn topology() -> Topology {
        let mut topology = Topology::default();
        for (kind, name) in [
            (ChannelKind::Channel, "one"),
            (ChannelKind::Channel, "both"),
            (ChannelKind::Broker, "both"),
        ] {
            let key = ChannelKey {
                kind,
                namespace: "demo".into(),
                name: name.into(),
            };
            let backend = Backend::Memory(Memory {
                async_handler: false,
                on_full: OnFull::Reject,
                cut_through: true,
            });
            let channel = Channel {
                key: key.clone(),
                object_kind: "Channel".into(),
                url: "".into(),
                backend,
                subscriptions: vec![],
                index: towpath_event::FilterIndex::default(),
            };
            topology.channels.insert(key, Arc::new(channel));
        }
        let one = topology
            .channels
            .keys()
            .find(|key| &*key.name == "one")
            .unwrap()
            .clone();
        for host in [
            "one-kn-channel.demo",
            "one-kn-channel.demo.svc",
            "one-kn-channel.demo.svc.cluster.local",
        ] {
            topology.hosts.insert(host.into(), one.clone());
        }
        topology
    }

    fn found(host: &str, path: &str) -> String {
        match resolve(&topology(), Some(host), path) {
            Ok(key) => key.to_string(),
            Err(AddressError::Unknown(_)) => "404".into(),
            Err(AddressError::Malformed(_)) => "400".into(),
        }
    }

    #[test]
    fn c1_2_c1_3_by_host_in_every_form() {
        for host in [
            "one-kn-channel.demo.svc.cluster.local",
            "one-kn-channel.demo.svc.cluster.local:80",
            "one-kn-channel.demo.svc.cluster.local.",
            "ONE-kn-channel.Demo.svc.cluster.LOCAL.:80",
            "one-kn-channel.demo.svc",
            "one-kn-channel.demo",
        ] {
            assert_eq!(found(host, "/"), "channel demo/one", "{host}");
            assert_eq!(found(host, "/other"), "400", "{host}");
        }
        assert_eq!(found("two-kn-channel.demo", "/"), "404");
        assert_eq!(found("", "/"), "404");
    }

    #[test]
    fn c1_2_c1_4_by_path() {
        assert_eq!(
            found("localhost:8080", "/channels/demo/one"),
            "channel demo/one"
        );
        assert_eq!(found("localhost:8080", "/demo/one"), "channel demo/one");
        assert_eq!(found("localhost:8080", "/demo/one/"), "channel demo/one");
        assert_eq!(found("[::1]:8080", "/demo/both"), "broker demo/both");
        assert_eq!(
            found("localhost", "/channels/demo/both"),
            "channel demo/both"
        );
        assert_eq!(found("localhost", "/brokers/demo/both"), "broker demo/both");
        assert_eq!(found("localhost", "/brokers/demo/one"), "404");
        assert_eq!(found("localhost", "/demo/none"), "404");
        for path in [
            "/demo",
            "/a/b/c",
            "/channels/a/b/c",
            "//demo/one",
            "/demo//",
            "/demo/one//",
            "/channels//one",
        ] {
            assert_eq!(found("localhost", path), "400", "{path}");
        }
    }
}
