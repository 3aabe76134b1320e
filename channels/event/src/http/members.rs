//! The members of a structured event's JSON object, found in one pass, their values unread.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{Attributes, Invalid};

/// The members of an object, their values unread.
pub(super) struct Members<'a>(pub(super) Vec<(Text<'a>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Parses a JSON object, once and without recursion.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Invalid> {
        serde_json::from_slice(body).map_err(|error| not_an_object(&error))
    }
}

/// The attributes, `specversion`, `data` and `data_base64`. More is refused before any more is looked at.
const MAX_MEMBERS: usize = Attributes::MAX + 3;

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Text<'de>, &'de RawValue)> = Vec::with_capacity(16);
                while let Some((name, raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if members.iter().any(|(present, _)| present.0 == name.0) {
                        let name = crate::invalid::shown(&name.0);
                        return Err(de::Error::custom(format!(
                            "{OURS}member {name} comes twice; send it once"
                        )));
                    }
                    if members.len() == MAX_MEMBERS {
                        let limit = Attributes::MAX;
                        return Err(de::Error::custom(format!(
                            "{OURS}it has over {limit} attributes; send fewer"
                        )));
                    }
                    members.push((name, raw));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A string, borrowed where it has no escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A text of this module, or the position only: the parser's own text may repeat any amount of what was sent.
fn not_an_object(error: &serde_json::Error) -> Invalid {
    let (line, column) = (error.line(), error.column());
    if error.is_data()
        && let Some(ours) = error.to_string().strip_prefix(OURS)
    {
        return Invalid::body(ours.to_owned());
    }
    Invalid::body(format!(
        "it must be one JSON object in UTF-8, and is not at line {line} column {column}"
    ))
}

/// Marks the error texts of this module among the parser's.
const OURS: &str = "structured: ";
