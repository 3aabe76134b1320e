//! `Subscription` of messaging.knative.dev/v1 (A8).

use serde::Deserialize;

use super::{DeliverySpec, Destination, KReference, ObjectMeta, Unread};

/// One subscriber of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subscription {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: SubscriptionSpec,
    /// Not used.
    pub status: Unread,
}

/// `spec` of a [`Subscription`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionSpec {
    /// The channel; required (A8.1).
    pub channel: Option<KReference>,
    /// Who gets the events; required (A8.1).
    pub subscriber: Option<Destination>,
    /// Who gets the replies; without it they are dropped (C5.3).
    pub reply: Option<Destination>,
    /// Delivery; without it, the channel's (A7.6).
    pub delivery: Option<DeliverySpec>,
}
