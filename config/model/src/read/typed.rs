//! From a tree to a typed object with serde, keeping every type error and every unknown field.
//!
//! Derived `Deserialize` stops at the first error. So the field at fault is reported, set aside, and the object is
//! read again without it, until it can be read. (Types read here have no required field: what must be there is a
//! rule, checked later.)

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};

use super::path::Path;
use super::tree::{Entry, Node, Value};
use crate::names::nearest;
use crate::problem::Place;

/// Most type errors reported for one object; who has more has the wrong file.
const MAX_FAULTS: usize = 100;

/// What an unknown field means in some part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Refused, with the nearest known name.
    Refuse,
    /// Refused only if it looks like a typo of a known name: the kind may have grown since this was written.
    RefuseTypos,
    /// Let be: the part belongs to somebody else.
    Ignore,
}

/// A fault inside an object: path, place, message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) path: String,
    pub(crate) place: Place,
    pub(crate) message: String,
}

/// Reads `node` as a `T`. `None` only if the object as a whole has the wrong type or too many faults.
pub(crate) fn typed<T: DeserializeOwned>(
    node: &Node,
    unknown: &dyn Fn(&str) -> Unknown,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let mut set_aside = HashSet::new();
    for _ in 0..MAX_FAULTS {
        let reader = Reader {
            unknown,
            set_aside: &set_aside,
            found: RefCell::default(),
        };
        let result = T::deserialize(At {
            node,
            path: Path::Root,
            reader: &reader,
        });
        let found = reader.found.into_inner();
        match result {
            Ok(value) => {
                faults.extend(found);
                return Some(value);
            }
            Err(error) => {
                let Some(fault) = error.fault else {
                    faults.extend(found);
                    return None;
                };
                let path = fault.path.clone();
                faults.push(fault);
                if path.is_empty() || !set_aside.insert(path) {
                    faults.extend(found);
                    return None;
                }
            }
        }
    }
    None
}

struct Reader<'a> {
    unknown: &'a dyn Fn(&str) -> Unknown,
    set_aside: &'a HashSet<String>,
    found: RefCell<Vec<Fault>>,
}

impl Reader<'_> {
    fn find(&self, path: String, place: Place, message: String) {
        self.found.borrow_mut().push(Fault {
            path,
            place,
            message,
        });
    }
}

/// Error of one field; the innermost deserializer that sees it says where it is.
#[derive(Debug)]
struct Error {
    message: String,
    fault: Option<Fault>,
}

impl Error {
    fn at(mut self, at: &At<'_>) -> Self {
        if self.fault.is_none() {
            self.fault = Some(Fault {
                path: at.path.to_string(),
                place: at.node.place,
                message: plain(&self.message),
            });
        }
        self
    }
}

/// serde names Rust's types; users write YAML.
fn plain(message: &str) -> String {
    const WORDS: [(&str, &str); 6] = [
        ("i32", "an integer from -2147483648 to 2147483647"),
        ("i64", "an integer of 64 bits"),
        ("u16", "an integer from 0 to 65535"),
        ("u64", "an integer of at least 0"),
        ("a sequence", "a list"),
        ("a map", "a mapping"),
    ];
    let message = message
        .replace("invalid type: sequence", "invalid type: list")
        .replace("invalid type: map", "invalid type: mapping");
    let Some((found, expected)) = message.rsplit_once("expected ") else {
        return message;
    };
    let word = WORDS.iter().find(|(rust, _)| *rust == expected);
    match word {
        Some((_, yaml)) => format!("{found}expected {yaml}"),
        None if expected.starts_with("struct ") => format!("{found}expected a mapping"),
        None => message,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            fault: None,
        }
    }
}

/// A node at its path.
struct At<'a> {
    node: &'a Node,
    path: Path<'a>,
    reader: &'a Reader<'a>,
}

impl At<'_> {
    fn any<'de, V: Visitor<'de>>(
        &self,
        visitor: V,
        fields: Option<&'static [&'static str]>,
    ) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(value) => visitor.visit_str(value),
            Value::Sequence(nodes) => visitor.visit_seq(Items {
                nodes: nodes.iter().enumerate(),
                path: &self.path,
                reader: self.reader,
            }),
            Value::Mapping(entries) => {
                let usable = self.usable(entries, fields);
                visitor.visit_map(Fields {
                    entries: usable.into_iter(),
                    value: None,
                    path: &self.path,
                    reader: self.reader,
                })
            }
        };
        result.map_err(|error| error.at(self))
    }

    /// Entries that the type gets to see; reports repeated and unknown keys.
    fn usable<'n>(
        &self,
        entries: &'n [Entry],
        fields: Option<&'static [&'static str]>,
    ) -> Vec<&'n Entry> {
        let mut seen = HashSet::new();
        let mut usable = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = Path::Key(&self.path, &entry.key);
            if !seen.insert(entry.key.as_str()) {
                self.reader.find(
                    path.to_string(),
                    entry.key_place,
                    format!("`{}` is given twice; keep one", entry.key),
                );
                continue;
            }
            if let Some(fields) = fields.filter(|fields| !fields.contains(&entry.key.as_str())) {
                self.unknown(entry, path, fields);
                continue;
            }
            // To Kubernetes a null is a field that is not set.
            if matches!(entry.node.value, Value::Null)
                || self.reader.set_aside.contains(&path.to_string())
            {
                continue;
            }
            usable.push(entry);
        }
        usable
    }

    fn unknown(&self, entry: &Entry, path: Path<'_>, fields: &'static [&'static str]) {
        let near = nearest(&entry.key, fields.iter().copied());
        let refused = match (self.reader.unknown)(&self.path.to_string()) {
            Unknown::Refuse => true,
            Unknown::RefuseTypos => near.is_some(),
            Unknown::Ignore => false,
        };
        if refused {
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", fields.join(", ")),
            };
            self.reader.find(
                path.to_string(),
                entry.key_place,
                format!("unknown field `{}`; {hint}", entry.key),
            );
        }
    }
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor, None)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if matches!(self.node.value, Value::Sequence(_)) {
            // Derived visitors would read a list as the fields in order.
            let error = de::Error::invalid_type(de::Unexpected::Seq, &"a mapping");
            return Err(Error::at(error, &self));
        }
        self.any(visitor, Some(fields))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if matches!(self.node.value, Value::Null) {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match self.node.as_str() {
            Some(text) if variants.contains(&text) => {
                let deserializer: StrDeserializer<'_, Error> = text.into_deserializer();
                visitor.visit_enum(deserializer)
            }
            Some(text) => Err(de::Error::custom(format!(
                "`{text}` is not one of: {}",
                variants.join(", ")
            ))),
            None => Err(de::Error::custom(format!(
                "invalid type: {}, expected one of: {}",
                self.node.value.kind(),
                variants.join(", ")
            ))),
        };
        result.map_err(|error| error.at(&self))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier
    }
}

struct Items<'a> {
    nodes: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    path: &'a Path<'a>,
    reader: &'a Reader<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        for (index, node) in self.nodes.by_ref() {
            let path = Path::Index(self.path, index);
            if !self.reader.set_aside.contains(&path.to_string()) {
                return seed
                    .deserialize(At {
                        node,
                        path,
                        reader: self.reader,
                    })
                    .map(Some);
            }
        }
        Ok(None)
    }
}

struct Fields<'a> {
    entries: std::vec::IntoIter<&'a Entry>,
    value: Option<&'a Entry>,
    path: &'a Path<'a>,
    reader: &'a Reader<'a>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.value = self.entries.next();
        let Some(entry) = self.value else {
            return Ok(None);
        };
        let deserializer: StrDeserializer<'_, Error> = entry.key.as_str().into_deserializer();
        seed.deserialize(deserializer).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self
            .value
            .take()
            .ok_or_else(|| de::Error::custom("value before its key"))?;
        let path = Path::Key(self.path, &entry.key);
        seed.deserialize(At {
            node: &entry.node,
            path,
            reader: self.reader,
        })
    }
}

#[cfg(test)]
mod tests;
