//! Kinds of Kubernetes itself that Towpath reads: Service, EndpointSlice, ConfigMap. (Secret has a file of its own.)

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ObjectMeta, Unread};

/// `Service` of v1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: ServiceSpec,
    /// Not used.
    pub status: Unread,
}

/// `spec` of a [`Service`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// The ports that clients use.
    pub ports: Vec<ServicePort>,
    /// `ClusterIP`, `ExternalName` and others.
    #[serde(rename = "type")]
    pub service_type: Option<String>,
    /// `None` for a headless Service.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    /// Not used: DNS of the cluster resolves it.
    pub external_name: Unread,
    /// Not used.
    pub allocate_load_balancer_node_ports: Unread,
    /// Not used.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Unread,
    /// Not used.
    #[serde(rename = "externalIPs")]
    pub external_ips: Unread,
    /// Not used.
    pub external_traffic_policy: Unread,
    /// Not used.
    pub health_check_node_port: Unread,
    /// Not used.
    pub internal_traffic_policy: Unread,
    /// Not used.
    pub ip_families: Unread,
    /// Not used.
    pub ip_family_policy: Unread,
    /// Not used.
    pub load_balancer_class: Unread,
    /// Not used.
    #[serde(rename = "loadBalancerIP")]
    pub load_balancer_ip: Unread,
    /// Not used.
    pub load_balancer_source_ranges: Unread,
    /// Not used: the EndpointSlices say which endpoints are ready.
    pub publish_not_ready_addresses: Unread,
    /// Not used: the EndpointSlices say which pods.
    pub selector: Unread,
    /// Not used.
    pub session_affinity: Unread,
    /// Not used.
    pub session_affinity_config: Unread,
    /// Not used.
    pub traffic_distribution: Unread,
}

/// Entry of `spec.ports` of a [`Service`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Name; may be absent if it is the only port.
    pub name: Option<String>,
    /// Number that clients use; required.
    pub port: Option<u16>,
    /// `TCP` (default), `UDP` or `SCTP`.
    pub protocol: Option<String>,
    /// `kubernetes.io/h2c` for HTTP/2 with prior knowledge.
    pub app_protocol: Option<String>,
    /// Not used: the EndpointSlices say which number.
    pub target_port: Unread,
    /// Not used.
    pub node_port: Unread,
}

/// `EndpointSlice` of discovery.k8s.io/v1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata; the label `kubernetes.io/service-name` names the Service.
    pub metadata: ObjectMeta,
    /// `IPv4`, `IPv6` or `FQDN`; required.
    pub address_type: Option<String>,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The ports that every endpoint has.
    pub ports: Vec<EndpointPort>,
}

/// Entry of `endpoints` of an [`EndpointSlice`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Addresses, all of the same endpoint; the first is used.
    pub addresses: Vec<String>,
    /// Conditions.
    pub conditions: EndpointConditions,
    /// Node of the endpoint.
    pub node_name: Option<String>,
    /// Zone of the endpoint.
    pub zone: Option<String>,
    /// The pod behind it.
    pub target_ref: Option<TargetRef>,
    /// Not used.
    pub deprecated_topology: Unread,
    /// Not used.
    pub hints: Unread,
    /// Not used.
    pub hostname: Unread,
}

/// Conditions of an [`Endpoint`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Takes new requests. Absent counts as true; Kubernetes says false of one that terminates, unless its Service
    /// publishes addresses that are not ready.
    pub ready: Option<bool>,
    /// Answers requests, if it terminates or not. Absent counts as false: then there is only `ready`.
    pub serving: Option<bool>,
    /// Is on its way out. Absent counts as false.
    pub terminating: Option<bool>,
}

/// The object behind an [`Endpoint`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetRef {
    /// Kind, mostly `Pod`.
    pub kind: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// UID.
    pub uid: Option<String>,
    /// Not used.
    pub api_version: Unread,
    /// Not used.
    pub field_path: Unread,
    /// Not used.
    pub resource_version: Unread,
}

/// Entry of `ports` of an [`EndpointSlice`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// Name of the Service's port that it serves.
    pub name: Option<String>,
    /// Number at which the endpoints listen.
    pub port: Option<u16>,
    /// `TCP` (default), `UDP` or `SCTP`.
    pub protocol: Option<String>,
    /// `kubernetes.io/h2c` for HTTP/2 with prior knowledge.
    pub app_protocol: Option<String>,
}

/// `ConfigMap` of v1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Texts by key.
    pub data: BTreeMap<String, String>,
    /// Not used.
    pub binary_data: Unread,
    /// Not used.
    pub immutable: Unread,
}
