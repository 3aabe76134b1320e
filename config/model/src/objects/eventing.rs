//! `Broker` and `Trigger` of eventing.knative.dev/v1 (B), with the filters of the Subscriptions API (B5.5).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{DeliverySpec, Destination, KReference, ObjectMeta, Status, Unread};

/// A place that events are sent to, and from which Triggers take those that they want.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Broker {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata; the annotation `eventing.knative.dev/broker.class` says who runs it in a cluster (B1.1).
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: BrokerSpec,
    /// Status, as dumped from a cluster.
    pub status: Option<Status>,
}

/// `spec` of a [`Broker`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BrokerSpec {
    /// Settings of the class, mostly a ConfigMap (B1.4).
    pub config: Option<KReference>,
    /// Delivery of Triggers that have none of their own (B4.13); from ConfigMap `config-br-defaults` if absent (B1.5).
    pub delivery: Option<DeliverySpec>,
}

/// One subscriber of a Broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trigger {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata; the annotation `knative.dev/dependency` names an object that must be ready (B4.9).
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: TriggerSpec,
    /// Not used.
    pub status: Unread,
}

/// `spec` of a [`Trigger`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerSpec {
    /// Name of a Broker in the Trigger's namespace. This or `brokerRef` (B4.11).
    pub broker: Option<String>,
    /// The Broker, which may be in another namespace (B4.1).
    pub broker_ref: Option<KReference>,
    /// The older form of a filter; does not count if `filters` has any (B5.1).
    pub filter: Option<TriggerFilter>,
    /// Filters, all of which must match (B5.1).
    pub filters: Vec<SubscriptionsApiFilter>,
    /// Who gets the events; required (B4.11).
    pub subscriber: Option<Destination>,
    /// Delivery; without it, the Broker's (B4.13).
    pub delivery: Option<DeliverySpec>,
}

/// `spec.filter` of a [`Trigger`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TriggerFilter {
    /// Attribute to its exact value, or to nothing for any value (B5.2).
    pub attributes: BTreeMap<String, String>,
}

/// A filter in one of the dialects of the Subscriptions API; without any, every event passes (B5.5).
///
/// Nests as deep as a document may (128 levels); [`towpath_event::Filter::MAX_DEPTH`] is the limit of what compiles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SubscriptionsApiFilter {
    /// Each attribute has exactly its value.
    pub exact: Option<BTreeMap<String, String>>,
    /// Each attribute begins with its value.
    pub prefix: Option<BTreeMap<String, String>>,
    /// Each attribute ends with its value.
    pub suffix: Option<BTreeMap<String, String>>,
    /// Every one of these matches.
    pub all: Option<Vec<SubscriptionsApiFilter>>,
    /// At least one of these matches.
    pub any: Option<Vec<SubscriptionsApiFilter>>,
    /// This one does not match.
    pub not: Option<Box<SubscriptionsApiFilter>>,
    /// The expression is true (B5.7).
    pub cesql: Option<String>,
}
