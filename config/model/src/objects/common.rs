//! Parts that many kinds share: metadata, destinations, references, addresses.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A field that is known to the API and not used by Towpath: accepted, whatever it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// `metadata` of every object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// Name; required.
    pub name: Option<String>,
    /// Namespace; [`crate::CompileOptions::default_namespace`] if absent.
    pub namespace: Option<String>,
    /// Unique id that the API server gave.
    pub uid: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Objects that this one belongs to.
    pub owner_references: Vec<OwnerReference>,
    /// Not used.
    pub creation_timestamp: Unread,
    /// Not used.
    pub deletion_grace_period_seconds: Unread,
    /// Not used.
    pub deletion_timestamp: Unread,
    /// Not used.
    pub finalizers: Unread,
    /// Not used.
    pub generate_name: Unread,
    /// Not used.
    pub generation: Unread,
    /// Not used.
    pub managed_fields: Unread,
    /// Not used.
    pub resource_version: Unread,
    /// Not used.
    pub self_link: Unread,
}

/// Entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Group and version of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner; its namespace is that of the object.
    pub name: String,
    /// UID of the owner.
    pub uid: String,
    /// Whether the owner manages the object.
    pub controller: Option<bool>,
    /// Not used.
    pub block_owner_deletion: Unread,
}

/// Where events go: an object, a URL, or a relative URL on an object (A8.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// An addressable object. Wins over `uri`.
    #[serde(rename = "ref")]
    pub reference: Option<KReference>,
    /// An absolute URL; with `ref`, a relative one.
    pub uri: Option<String>,
    /// PEM certificates trusted for this destination, instead of those of the object's address.
    #[serde(rename = "CACerts")]
    pub ca_certs: Option<String>,
    /// OIDC audience, instead of that of the object's address.
    pub audience: Option<String>,
}

/// Reference to an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KReference {
    /// Group and version, as `messaging.knative.dev/v1`.
    pub api_version: Option<String>,
    /// Group alone; the version is then the one that is served.
    pub group: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Namespace; that of the referring object if absent.
    pub namespace: Option<String>,
    /// Name of the entry of `status.addresses` to use (A8.3).
    pub address: Option<String>,
}

/// The parts of any object's `status` that make it addressable (A2.3), and that say whether it is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The address.
    pub address: Option<Address>,
    /// All addresses, by name.
    pub addresses: Vec<Address>,
    /// Public URL of a Knative Service.
    pub url: Option<String>,
    /// Conditions, of which only `Ready` is looked at (B4.9).
    pub conditions: Vec<Condition>,
}

/// Entry of `status.conditions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// What it is about, as `Ready`.
    #[serde(rename = "type")]
    pub condition_type: Option<String>,
    /// `True`, `False` or `Unknown`.
    pub status: Option<String>,
}

/// One address of an addressable object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Address {
    /// Name, as `http` or `https`.
    pub name: Option<String>,
    /// URL.
    pub url: Option<String>,
    /// PEM certificates to trust for it.
    #[serde(rename = "CACerts")]
    pub ca_certs: Option<String>,
    /// OIDC audience.
    pub audience: Option<String>,
}
