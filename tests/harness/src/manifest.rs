//! Builders for the manifests that tests need, in Knative's words. Everything is in the namespace `demo` unless moved.

use std::fmt;
use std::net::SocketAddr;

use serde_json::{Map, Value, json};

/// The namespace of every object here that is not moved to another one.
pub const NAMESPACE: &str = "demo";

/// Group and version of brokers and Triggers.
const EVENTING: &str = "eventing.knative.dev/v1";

/// One Kubernetes-shaped object; shown as one YAML document.
#[derive(Debug, Clone)]
pub struct Object {
    /// `apiVersion`
    pub api_version: String,
    /// `kind`
    pub kind: String,
    /// `metadata`, with name and namespace.
    pub metadata: Value,
    /// Everything else at the top level, `spec` for most kinds.
    pub rest: Map<String, Value>,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "---\napiVersion: {}\nkind: {}\nmetadata: {}",
            self.api_version, self.kind, self.metadata
        )?;
        self.rest
            .iter()
            .try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))
    }
}

impl Object {
    /// An object of any kind with an empty spec.
    #[must_use]
    pub fn new(api_version: &str, kind: &str, name: &str) -> Self {
        Object {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            metadata: json!({"name": name, "namespace": NAMESPACE}),
            rest: Map::new(),
        }
    }

    /// `metadata.name`
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Moves it to another namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        put(&mut self.metadata, &["namespace"], namespace.into());
        self
    }

    /// Sets `metadata.annotations.<name>`.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        put(&mut self.metadata, &["annotations", name], value.into());
        self
    }

    /// Sets `metadata.labels.<name>`.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        put(&mut self.metadata, &["labels", name], value.into());
        self
    }

    /// Sets a field of the spec; dots go deeper: `delivery.retry`.
    #[must_use]
    pub fn spec(self, path: &str, value: impl Into<Value>) -> Self {
        self.field(&format!("spec.{path}"), value)
    }

    /// Sets a field of the object; dots go deeper.
    #[must_use]
    pub fn field(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut rest = Value::Object(std::mem::take(&mut self.rest));
        put(
            &mut rest,
            &path.split('.').collect::<Vec<_>>(),
            value.into(),
        );
        if let Value::Object(rest) = rest {
            self.rest = rest;
        }
        self
    }
}

/// Sets `value` at `path`, making the maps on the way.
fn put(into: &mut Value, path: &[&str], value: Value) {
    match path {
        [] => *into = value,
        [first, deeper @ ..] => {
            if !into.is_object() {
                *into = json!({});
            }
            if let Value::Object(map) = into {
                put(map.entry(*first).or_insert(Value::Null), deeper, value);
            }
        }
    }
}

/// Several objects in one file.
#[must_use]
pub fn file(objects: impl IntoIterator<Item = Object>) -> String {
    objects
        .into_iter()
        .map(|object| object.to_string())
        .collect()
}

/// The path at which a channel of this namespace takes events.
#[must_use]
pub fn channel_path(name: &str) -> String {
    format!("/channels/{NAMESPACE}/{name}")
}

/// The path at which a broker of this namespace takes events.
#[must_use]
pub fn broker_path(name: &str) -> String {
    format!("/{NAMESPACE}/{name}")
}

/// An InMemoryChannel.
#[must_use]
pub fn in_memory_channel(name: &str) -> Object {
    Object::new("messaging.knative.dev/v1", "InMemoryChannel", name).field("spec", json!({}))
}

/// A generic Channel.
#[must_use]
pub fn channel(name: &str) -> Object {
    Object::new("messaging.knative.dev/v1", "Channel", name).field("spec", json!({}))
}

/// A TowpathChannel.
#[must_use]
pub fn towpath_channel(name: &str) -> Object {
    Object::new("towpath.dev/v1alpha1", "TowpathChannel", name).field("spec", json!({}))
}

/// A Subscription of a channel to a subscriber.
#[must_use]
pub fn subscription(name: &str, to: &Object, subscriber: Value) -> Object {
    Object::new("messaging.knative.dev/v1", "Subscription", name)
        .spec(
            "channel",
            json!({"apiVersion": to.api_version, "kind": to.kind, "name": to.name()}),
        )
        .spec("subscriber", subscriber)
}

/// A Broker.
#[must_use]
pub fn broker(name: &str) -> Object {
    Object::new(EVENTING, "Broker", name).field("spec", json!({}))
}

/// A Trigger of a broker to a subscriber, without a filter.
#[must_use]
pub fn trigger(name: &str, broker: &str, subscriber: Value) -> Object {
    Object::new(EVENTING, "Trigger", name)
        .spec("broker", broker)
        .spec("subscriber", subscriber)
}

/// A Sequence of InMemoryChannels with these steps.
#[must_use]
pub fn sequence(name: &str, steps: impl IntoIterator<Item = Value>) -> Object {
    Object::new("flows.knative.dev/v1", "Sequence", name)
        .spec(
            "channelTemplate",
            json!({"apiVersion": "messaging.knative.dev/v1", "kind": "InMemoryChannel"}),
        )
        .spec("steps", steps.into_iter().collect::<Vec<_>>())
}

/// A Parallel of InMemoryChannels with these branches.
#[must_use]
pub fn parallel(name: &str, branches: impl IntoIterator<Item = Value>) -> Object {
    Object::new("flows.knative.dev/v1", "Parallel", name)
        .spec(
            "channelTemplate",
            json!({"apiVersion": "messaging.knative.dev/v1", "kind": "InMemoryChannel"}),
        )
        .spec("branches", branches.into_iter().collect::<Vec<_>>())
}

/// A Service with one port.
#[must_use]
pub fn service(name: &str, port_name: &str, port: u16) -> Object {
    Object::new("v1", "Service", name).spec(
        "ports",
        json!([{"name": port_name, "port": port, "protocol": "TCP"}]),
    )
}

/// An EndpointSlice of a Service with one address and port.
#[must_use]
pub fn endpoints(service: &str, port_name: &str, address: SocketAddr) -> Object {
    Object::new(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        &format!("{service}-1"),
    )
    .label("kubernetes.io/service-name", service)
    .field("addressType", "IPv4")
    .field(
        "endpoints",
        json!([{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}]),
    )
    .field(
        "ports",
        json!([{"name": port_name, "port": address.port(), "protocol": "TCP"}]),
    )
}

/// A Destination by URI.
#[must_use]
pub fn uri(uri: impl AsRef<str>) -> Value {
    json!({"uri": uri.as_ref()})
}

/// A Destination by reference to an object of this namespace.
#[must_use]
pub fn reference(to: &Object) -> Value {
    json!({"ref": {"apiVersion": to.api_version, "kind": to.kind, "name": to.name()}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_read_as_yaml() {
        let channel = in_memory_channel("in");
        let text = file([
            channel.clone().annotation("a/b", "c"),
            subscription("s", &channel, uri("http://x/")).spec("delivery.retry", 3),
        ]);
        assert_eq!(
            text,
            "---\napiVersion: messaging.knative.dev/v1\nkind: InMemoryChannel\n\
             metadata: {\"annotations\":{\"a/b\":\"c\"},\"name\":\"in\",\"namespace\":\"demo\"}\nspec: {}\n\
             ---\napiVersion: messaging.knative.dev/v1\nkind: Subscription\n\
             metadata: {\"name\":\"s\",\"namespace\":\"demo\"}\n\
             spec: {\"channel\":{\"apiVersion\":\"messaging.knative.dev/v1\",\"kind\":\"InMemoryChannel\",\"name\":\"in\"},\
             \"delivery\":{\"retry\":3},\"subscriber\":{\"uri\":\"http://x/\"}}\n"
        );
    }
}
