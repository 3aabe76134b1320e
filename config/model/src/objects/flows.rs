//! `Sequence` and `Parallel` of flows.knative.dev/v1 (A10).

use serde::Deserialize;

use super::{ChannelTemplate, DeliverySpec, Destination, KReference, ObjectMeta, Unread};

/// Steps, each of which gets the reply of the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sequence {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: SequenceSpec,
    /// Not used: its address follows from its first channel.
    pub status: Unread,
}

/// `spec` of a [`Sequence`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SequenceSpec {
    /// The steps, in order; at least one.
    pub steps: Vec<SequenceStep>,
    /// What the channels between the steps are made from; the default channel if absent (A9.5).
    pub channel_template: Option<ChannelTemplate>,
    /// Who gets the reply of the last step.
    pub reply: Option<Destination>,
}

/// One step: a destination with a delivery of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SequenceStep {
    /// An addressable object.
    #[serde(rename = "ref")]
    pub reference: Option<KReference>,
    /// An absolute URL; with `ref`, a relative one.
    pub uri: Option<String>,
    /// PEM certificates trusted for this step.
    #[serde(rename = "CACerts")]
    pub ca_certs: Option<String>,
    /// OIDC audience.
    pub audience: Option<String>,
    /// Delivery of the step's Subscription.
    pub delivery: Option<DeliverySpec>,
}

impl SequenceStep {
    /// The destination without the delivery.
    #[must_use]
    pub fn destination(&self) -> Destination {
        Destination {
            reference: self.reference.clone(),
            uri: self.uri.clone(),
            ca_certs: self.ca_certs.clone(),
            audience: self.audience.clone(),
        }
    }
}

/// Branches, each of which gets every event that its filter lets through (A10.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Parallel {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: ParallelSpec,
    /// Not used: its address follows from its input channel.
    pub status: Unread,
}

/// `spec` of a [`Parallel`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParallelSpec {
    /// The branches; at least one.
    pub branches: Vec<ParallelBranch>,
    /// What its channels are made from; the default channel if absent (A9.5).
    pub channel_template: Option<ChannelTemplate>,
    /// Who gets the replies of branches that name nobody.
    pub reply: Option<Destination>,
}

/// One branch of a [`Parallel`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ParallelBranch {
    /// Who decides: its reply goes to the subscriber, and without a reply the branch gets nothing.
    pub filter: Option<Destination>,
    /// Who gets what the filter lets through; required.
    pub subscriber: Option<Destination>,
    /// Who gets the subscriber's reply; that of the Parallel if absent.
    pub reply: Option<Destination>,
    /// Delivery to the subscriber.
    pub delivery: Option<DeliverySpec>,
}
