//! Channels: the generic `Channel`, its implementations, and the template that makes one from the other.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{DeliverySpec, ObjectMeta, Status, Unread};

/// `Channel` of messaging.knative.dev/v1: backed by a channel of another kind (A9).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Channel {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: ChannelSpec,
    /// Status, as dumped from a cluster.
    pub status: Option<Status>,
}

/// `spec` of a [`Channel`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChannelSpec {
    /// Kind and specification of the backing channel; the default channel if absent (A9.5).
    pub channel_template: Option<ChannelTemplate>,
    /// Delivery of the backing channel, unless the template has its own (A9.1).
    pub delivery: Option<DeliverySpec>,
    /// Must be empty on a `Channel` (A9.4).
    pub subscribers: Vec<Unread>,
}

/// What a `Channel` or a Sequence makes its channels from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChannelTemplate {
    /// Group and version of the channel to make.
    pub api_version: Option<String>,
    /// Kind of the channel to make.
    pub kind: Option<String>,
    /// Annotations and labels of the channel to make.
    pub metadata: TemplateMeta,
    /// Specification of the channel to make.
    pub spec: Option<ImplementationSpec>,
}

/// Metadata that a template passes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateMeta {
    /// Annotations of the channel to make.
    pub annotations: BTreeMap<String, String>,
    /// Not used.
    pub labels: Unread,
    /// Not used: the API server writes `creationTimestamp: null` here.
    pub creation_timestamp: Unread,
}

/// A channel that holds events itself: `InMemoryChannel`, `TowpathChannel`, or another vendor's kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChannelImplementation {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: ImplementationSpec,
    /// Status, as dumped from a cluster.
    pub status: Option<Status>,
}

/// `spec` of a [`ChannelImplementation`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImplementationSpec {
    /// TowpathChannel only: where control messages rest: `memory` (default), `jetstream` or `kafka`.
    pub backend: Option<String>,
    /// Delivery of subscriptions that have none of their own (A7.6).
    pub delivery: Option<DeliverySpec>,
    /// Subscriptions as Knative's controller writes them (A2.1, A7.1).
    pub subscribers: Vec<SubscriberEntry>,
}

/// Entry of `spec.subscribers`: a Subscription, resolved (A2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriberEntry {
    /// Name of the Subscription.
    pub name: Option<String>,
    /// UID of the Subscription: the identity of the entry.
    pub uid: Option<String>,
    /// Not used.
    pub generation: Unread,
    /// Resolved URL of the subscriber.
    pub subscriber_uri: Option<String>,
    /// PEM certificates for it.
    #[serde(rename = "subscriberCACerts")]
    pub subscriber_ca_certs: Option<String>,
    /// OIDC audience of it.
    pub subscriber_audience: Option<String>,
    /// Resolved URL that replies go to.
    pub reply_uri: Option<String>,
    /// PEM certificates for it.
    #[serde(rename = "replyCACerts")]
    pub reply_ca_certs: Option<String>,
    /// OIDC audience of it.
    pub reply_audience: Option<String>,
    /// Delivery, inheritance already applied by Knative's controller (A7.6).
    pub delivery: Option<DeliverySpec>,
    /// Not used: identities need a cluster.
    pub auth: Unread,
}
