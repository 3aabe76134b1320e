//! Which kinds Towpath reads, from which group and version, and what becomes of the others.

use super::tree::Node;
use super::typed::Unknown;
use crate::names::nearest;

/// What a document is to Towpath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Family {
    Channel,
    Implementation,
    Subscription,
    Sequence,
    Parallel,
    Broker,
    Trigger,
    Service,
    EndpointSlice,
    ConfigMap,
    Secret,
    HopPolicy,
    /// Not Towpath's business.
    Other,
}

/// Group of Channels, Subscriptions and Knative's own channel kinds.
pub(crate) const MESSAGING: &str = "messaging.knative.dev";
/// Group of Towpath's own kinds.
pub(crate) const TOWPATH: &str = "towpath.dev";
/// Group of Sequence and Parallel.
pub(crate) const FLOWS: &str = "flows.knative.dev";
/// Group of Broker and Trigger.
pub(crate) const EVENTING: &str = "eventing.knative.dev";

struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    family: Family,
}

const fn row(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    family: Family,
) -> Row {
    Row {
        group,
        version,
        kind,
        family,
    }
}

const KINDS: [Row; 13] = [
    row(MESSAGING, "v1", "Channel", Family::Channel),
    row(MESSAGING, "v1", "InMemoryChannel", Family::Implementation),
    row(MESSAGING, "v1", "Subscription", Family::Subscription),
    row(
        TOWPATH,
        "v1alpha1",
        "TowpathChannel",
        Family::Implementation,
    ),
    row(TOWPATH, "v1alpha1", "HopPolicy", Family::HopPolicy),
    row(FLOWS, "v1", "Sequence", Family::Sequence),
    row(FLOWS, "v1", "Parallel", Family::Parallel),
    row(EVENTING, "v1", "Broker", Family::Broker),
    row(EVENTING, "v1", "Trigger", Family::Trigger),
    row("", "v1", "Service", Family::Service),
    row("", "v1", "ConfigMap", Family::ConfigMap),
    row("", "v1", "Secret", Family::Secret),
    row(
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        Family::EndpointSlice,
    ),
];

/// Group of an `apiVersion`; empty for Kubernetes' own core group.
pub(crate) fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Whether objects of this kind hold events themselves: they can back a `Channel` and be subscribed to.
pub(crate) fn is_implementation(group: &str, kind: &str) -> bool {
    match group {
        MESSAGING => kind != "Channel" && kind.ends_with("Channel"),
        TOWPATH => kind == "TowpathChannel",
        _ => false,
    }
}

/// Whether Towpath runs this kind of channel as itself, and not as a stand-in.
pub(crate) fn is_native(kind: &str) -> bool {
    matches!(kind, "InMemoryChannel" | "TowpathChannel")
}

/// What a document of this kind is, or why it cannot be.
pub(crate) fn classify(api_version: &str, kind: &str) -> Result<Family, String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if let Some(row) = KINDS
        .iter()
        .find(|row| row.group == group && row.kind == kind)
    {
        if row.version == version {
            return Ok(row.family.clone());
        }
        return Err(format!(
            "`{api_version}` is not supported for {kind}; use `{}`",
            api_version_of(row)
        ));
    }
    if is_implementation(group, kind) {
        return Ok(Family::Implementation);
    }
    if !matches!(group, MESSAGING | TOWPATH | FLOWS | EVENTING) {
        return Ok(Family::Other);
    }
    if let Some(row) = KINDS
        .iter()
        .find(|row| row.kind == kind && !row.group.is_empty())
    {
        return Err(format!(
            "there is no {kind} in `{group}`; use `{}`",
            api_version_of(row)
        ));
    }
    match nearest(
        kind,
        KINDS
            .iter()
            .filter(|row| row.group == group)
            .map(|row| row.kind),
    ) {
        Some(near) => Err(format!(
            "unknown kind `{kind}` in `{group}`; did you mean `{near}`?"
        )),
        None => Ok(Family::Other),
    }
}

fn api_version_of(row: &Row) -> String {
    if row.group.is_empty() {
        row.version.to_owned()
    } else {
        format!("{}/{}", row.group, row.version)
    }
}

/// How unknown fields are taken in the part of an object of `family` that begins at `path`.
pub(crate) fn unknown_fields(family: &Family, object: &Node, path: &str) -> Unknown {
    let in_status = path == "status" || path.starts_with("status.") || path.starts_with("status[");
    if in_status {
        return Unknown::Ignore;
    }
    // Other vendors' channels have settings of their own.
    let foreign = |node: Option<&Node>| {
        let kind = node
            .and_then(|node| node.get("kind"))
            .and_then(Node::as_str);
        kind.is_some_and(|kind| !is_native(kind))
    };
    if path == "spec" && *family == Family::Implementation && foreign(Some(object)) {
        return Unknown::Ignore;
    }
    let template = || {
        object
            .get("spec")
            .and_then(|spec| spec.get("channelTemplate"))
    };
    if path == "spec.channelTemplate.spec" && foreign(template()) {
        return Unknown::Ignore;
    }
    match family {
        Family::Service | Family::EndpointSlice | Family::ConfigMap | Family::Secret => {
            Unknown::RefuseTypos
        }
        Family::Channel
        | Family::Implementation
        | Family::Subscription
        | Family::Sequence
        | Family::Parallel
        | Family::Broker
        | Family::Trigger
        | Family::HopPolicy
        | Family::Other => {
            if path == "metadata" || path.starts_with("metadata.ownerReferences") {
                Unknown::RefuseTypos
            } else {
                Unknown::Refuse
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        let cases = [
            ("messaging.knative.dev/v1", "Channel", Ok(Family::Channel)),
            (
                "messaging.knative.dev/v1beta1",
                "KafkaChannel",
                Ok(Family::Implementation),
            ),
            (
                "towpath.dev/v1alpha1",
                "TowpathChannel",
                Ok(Family::Implementation),
            ),
            ("v1", "Service", Ok(Family::Service)),
            ("serving.knative.dev/v1", "Service", Ok(Family::Other)),
            (
                "operators.coreos.com/v1alpha1",
                "Subscription",
                Ok(Family::Other),
            ),
            ("apps/v1", "Deployment", Ok(Family::Other)),
            ("eventing.knative.dev/v1", "Broker", Ok(Family::Broker)),
            ("eventing.knative.dev/v1", "Trigger", Ok(Family::Trigger)),
            ("flows.knative.dev/v1", "Parallel", Ok(Family::Parallel)),
            ("towpath.dev/v1alpha1", "HopPolicy", Ok(Family::HopPolicy)),
            (
                "eventing.knative.dev/v1beta2",
                "EventType",
                Ok(Family::Other),
            ),
            (
                "messaging.knative.dev/v1beta1",
                "Subscription",
                Err(
                    "`messaging.knative.dev/v1beta1` is not supported for Subscription; use `messaging.knative.dev/v1`",
                ),
            ),
            (
                "messaging.knative.dev/v1",
                "Sequence",
                Err("there is no Sequence in `messaging.knative.dev`; use `flows.knative.dev/v1`"),
            ),
            (
                "messaging.knative.dev/v1",
                "Subscripton",
                Err(
                    "unknown kind `Subscripton` in `messaging.knative.dev`; did you mean `Subscription`?",
                ),
            ),
        ];
        for (api_version, kind, expected) in cases {
            assert_eq!(
                classify(api_version, kind),
                expected.map_err(str::to_owned),
                "{api_version} {kind}"
            );
        }
    }
}
