//! `Secret` of v1, whose values show up in no message and no debug output.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::{ObjectMeta, Unread};

/// Keys and passwords: read for the filters that name one (B5.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Base64 by key.
    pub data: BTreeMap<String, Hidden>,
    /// Plain text by key; wins over `data`.
    pub string_data: BTreeMap<String, Hidden>,
    /// Not used.
    pub immutable: Unread,
    /// Not used.
    #[serde(rename = "type")]
    pub secret_type: Unread,
}

/// A text that is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(HiddenVisitor)
    }
}

/// serde's own errors repeat the value that they refuse; these do not.
struct HiddenVisitor;

impl HiddenVisitor {
    fn refuse<E: de::Error>(found: &str) -> Result<Hidden, E> {
        Err(E::custom(format!(
            "invalid type: {found}, expected a string"
        )))
    }
}

impl Visitor<'_> for HiddenVisitor {
    type Value = Hidden;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Hidden, E> {
        Ok(Hidden(text.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Hidden, E> {
        Self::refuse("boolean")
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Hidden, E> {
        Self::refuse("integer")
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Hidden, E> {
        Self::refuse("integer")
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Hidden, E> {
        Self::refuse("floating point number")
    }
}
