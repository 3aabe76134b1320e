//! The context attributes of an event: names and values in the order in which they came.

use std::sync::Arc;

use http::HeaderName;

use crate::value::Typed;
use crate::{Invalid, Value, check, name};

/// The CloudEvents version of an event. It is never changed on the way (C3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecVersion {
    /// 0.3
    V03,
    /// 1.0
    V10,
}

impl SpecVersion {
    /// `0.3` or `1.0`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V03 => "0.3",
            Self::V10 => "1.0",
        }
    }

    /// The version with this text, if it is a known one.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"0.3" => Some(Self::V03),
            b"1.0" => Some(Self::V10),
            _ => None,
        }
    }

    pub(crate) fn required(text: &str) -> Result<Self, Invalid> {
        Self::parse(text.as_bytes()).ok_or_else(|| {
            Invalid::attribute(
                "specversion",
                text,
                "only versions 0.3 and 1.0 are known (C3.1)",
            )
        })
    }
}

/// The context attributes of an event. A value of this type is always valid: it has a specversion and non-empty
/// `id`, `source` and `type`, and every attribute obeys C3.4 and C3.5. It holds at most [`Attributes::MAX`].
///
/// Values are kept as they came and are never percent-decoded (C3.10). Reading binary headers makes one
/// allocation for the list and one to share it: cloning makes none, and copies the list only when one of the clones is
/// changed. Two are equal when they have the same names with the same text, in any order (C3.13).
#[derive(Clone, Debug)]
pub struct Attributes {
    specversion: SpecVersion,
    /// Each attribute but specversion, under the header that carries it in binary mode.
    list: Arc<Vec<(HeaderName, Value)>>,
    /// The data came as a JSON value without a datacontenttype, which makes it `application/json` (C3.7).
    json_implied: bool,
}

impl Attributes {
    /// How many attributes an event may have, `specversion` not counted. HTTP servers take 100 headers in all.
    pub const MAX: usize = 100;

    /// The required attributes; others are added with [`Attributes::set`] or [`Attributes::with`].
    ///
    /// # Errors
    /// A value is empty, or `source` is not a URI-reference (C3.4).
    pub fn new(
        specversion: SpecVersion,
        id: impl Into<Value>,
        source: impl Into<Value>,
        ty: impl Into<Value>,
    ) -> Result<Self, Invalid> {
        let mut attributes = Self::of(specversion, 8);
        attributes.set("id", id.into())?;
        attributes.set("source", source.into())?;
        attributes.set("type", ty.into())?;
        Ok(attributes)
    }

    /// None yet, with room for some: for readers, which end with [`Attributes::complete`].
    pub(crate) fn of(specversion: SpecVersion, room: usize) -> Self {
        Self {
            specversion,
            list: Arc::new(Vec::with_capacity(room.min(Self::MAX))),
            json_implied: false,
        }
    }

    /// These, if the required ones are there (C3.4).
    pub(crate) fn complete(self) -> Result<Self, Invalid> {
        match check::REQUIRED
            .into_iter()
            .find(|name| self.value(name).is_none())
        {
            Some(name) => Err(Invalid::missing(name)),
            None => Ok(self),
        }
    }

    /// These with one more: [`Attributes::set`] for building them in one expression.
    ///
    /// # Errors
    /// As [`Attributes::set`].
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Result<Self, Invalid> {
        self.set(name, value.into())?;
        Ok(self)
    }

    /// The CloudEvents version.
    pub fn specversion(&self) -> SpecVersion {
        self.specversion
    }

    /// The `id`.
    pub fn id(&self) -> &str {
        self.get("id").unwrap_or_default()
    }

    /// The `source`.
    pub fn source(&self) -> &str {
        self.get("source").unwrap_or_default()
    }

    /// The `type`.
    pub fn ty(&self) -> &str {
        self.get("type").unwrap_or_default()
    }

    /// The `datacontenttype` as it was given; none if it was not, also where the encoding implies one (C3.7).
    pub fn content_type(&self) -> Option<&str> {
        self.get("datacontenttype")
    }

    /// The attribute of this name, `specversion` and `datacontenttype` included: the text as it came, never
    /// percent-decoded (C3.10). Numbers and booleans in their canonical text.
    pub fn get(&self, name: &str) -> Option<&str> {
        match name {
            "specversion" => Some(self.specversion.as_str()),
            _ => self.value(name).map(Value::as_str),
        }
    }

    /// All attributes with their text as for [`Attributes::get`]: `specversion`, then in the order in which they
    /// came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let rest = self.values().map(|(name, value)| (name, value.as_str()));
        std::iter::once(("specversion", self.specversion.as_str())).chain(rest)
    }

    /// Adds an attribute, or replaces its value in its place.
    ///
    /// # Errors
    /// The name is not of `a-z` and `0-9`, or is `data` or `specversion`; the value breaks a rule of C3.4; a core
    /// attribute is not text; or there are [`Attributes::MAX`] already. The attributes are unchanged then.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), Invalid> {
        if name == "specversion" {
            return Err(Invalid::bare(
                name,
                "it cannot be changed; make a new event of that version (C3.1)",
            ));
        }
        let header = name::to_header(name)?;
        if check::is_core(self.specversion, name) && !matches!(value.typed(), Typed::Text(_)) {
            return Err(Invalid::attribute(
                name,
                value.as_str(),
                "it must be text; send it as a string",
            ));
        }
        check::value(self.specversion, name, value.as_str())?;
        let position = self.list.iter().position(|(present, _)| *present == header);
        match position.and_then(|position| Arc::make_mut(&mut self.list).get_mut(position)) {
            Some((_, present)) => *present = value,
            None => self.push(header, value)?,
        }
        Ok(())
    }

    /// Adds an attribute that is checked already and not there yet.
    pub(crate) fn push(&mut self, header: HeaderName, value: Value) -> Result<(), Invalid> {
        if self.list.len() >= Self::MAX {
            let name = name::of_header(&header).unwrap_or_default();
            return Err(Invalid::bare(
                name,
                format!(
                    "an event may have {} attributes at most; send fewer",
                    Self::MAX
                ),
            ));
        }
        Arc::make_mut(&mut self.list).push((header, value));
        Ok(())
    }

    /// Removes an attribute and says whether it was there. Required ones stay: for `specversion`, `id`, `source`
    /// and `type` the answer is `false`.
    pub fn remove(&mut self, name: &str) -> bool {
        if check::REQUIRED.contains(&name) {
            return false;
        }
        let is_it = |(header, _): &(HeaderName, Value)| name::of_header(header) == Some(name);
        let is_there = self.list.iter().any(is_it);
        if is_there {
            Arc::make_mut(&mut self.list).retain(|attribute| !is_it(attribute));
        }
        is_there
    }

    /// The attributes but `specversion`, with their typed values.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.list
            .iter()
            .filter_map(|(header, value)| Some((name::of_header(header)?, value)))
    }

    /// The attributes but `specversion`, under their headers.
    pub(crate) fn headers(&self) -> &[(HeaderName, Value)] {
        &self.list
    }

    pub(crate) fn json_implied(&self) -> bool {
        self.json_implied
    }

    pub(crate) fn set_json_implied(&mut self) {
        self.json_implied = true;
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.list
            .iter()
            .find(|(header, _)| name::of_header(header) == Some(name))
            .map(|(_, value)| value)
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.specversion == other.specversion
            && self.list.len() == other.list.len()
            && self
                .values()
                .all(|(name, value)| other.value(name) == Some(value))
    }
}

impl Eq for Attributes {}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap()
    }

    #[test]
    fn gives_every_attribute_as_text_in_order() {
        let attributes = attributes()
            .with("number", 7)
            .and_then(|a| a.with("datacontenttype", "text/plain"))
            .and_then(|a| a.with("truth", true))
            .unwrap();
        let all: Vec<_> = attributes.iter().collect();
        let expected = [
            ("specversion", "1.0"),
            ("id", "1"),
            ("source", "/s"),
            ("type", "t"),
            ("number", "7"),
            ("datacontenttype", "text/plain"),
            ("truth", "true"),
        ];
        assert_eq!(all, expected);
        for (name, text) in expected {
            assert_eq!(attributes.get(name), Some(text));
        }
        assert_eq!(attributes.get("content-type"), None);
        assert_eq!(attributes.get(""), None);
    }

    #[test]
    fn set_replaces_in_place_and_remove_removes() {
        let mut attributes = attributes()
            .with("a", "1")
            .and_then(|a| a.with("b", "2"))
            .unwrap();
        attributes.set("a", Value::from("3")).unwrap();
        assert_eq!(
            attributes.iter().skip(4).collect::<Vec<_>>(),
            [("a", "3"), ("b", "2")]
        );
        assert!(attributes.remove("a"));
        assert!(!attributes.remove("a"));
        assert_eq!(attributes.get("a"), None);
    }

    #[test]
    fn c3_4_stays_valid() {
        let mut attributes = attributes();
        let before = attributes.clone();
        for (name, value) in [
            ("id", Value::from(" ")),
            ("id", Value::from(5)),
            ("subject", Value::from(true)),
            ("time", Value::from("noon")),
            ("specversion", Value::from("0.3")),
            ("Upper", Value::from("x")),
            ("data", Value::from("x")),
        ] {
            let invalid = attributes.set(name, value).unwrap_err();
            assert_eq!(invalid.name(), name);
        }
        for name in ["id", "source", "type", "specversion"] {
            assert!(!attributes.remove(name));
        }
        assert_eq!(attributes, before);
        assert!(Attributes::new(SpecVersion::V10, "", "/s", "t").is_err());
        assert!(Attributes::new(SpecVersion::V03, "1", ":", "t").is_err());
    }

    #[test]
    fn c3_13_order_does_not_matter() {
        let one = attributes()
            .with("a", "1")
            .and_then(|a| a.with("b", 2))
            .unwrap();
        let other = attributes()
            .with("b", "2")
            .and_then(|a| a.with("a", "1"))
            .unwrap();
        assert_eq!(one, other);
        assert_ne!(one, other.with("c", "").unwrap());
    }

    #[test]
    fn has_a_bound() {
        let mut attributes = attributes();
        let refused = (0..200)
            .find_map(|i| attributes.set(&format!("x{i}"), Value::from(i)).err())
            .unwrap();
        assert!(refused.to_string().contains("100 attributes"), "{refused}");
        assert_eq!(attributes.values().count(), Attributes::MAX);
    }
}
