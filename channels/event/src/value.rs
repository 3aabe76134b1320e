//! The value of an attribute: text, integer or boolean, kept in the form in which it came.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The value of an attribute (C3.5). Text that came in a header is that header's value, byte for byte and not
/// copied (C3.10); text that a header cannot carry (controls, non-ASCII) is kept decoded, so that filters see what
/// the producer wrote, and is percent-encoded only when it is written as a header. Integers and booleans keep
/// their type, so that a structured event stays what it was; in binary mode all are text. Cloning copies no text.
///
/// Equality compares text, because binary mode carries no types: `"10"` equals the integer 10.
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    /// Text that a header can carry. Invariant: UTF-8.
    Header(HeaderValue),
    /// Text that needs percent-encoding in a header.
    Text(Arc<str>),
    Integer(i32, Arc<str>),
    Boolean(bool),
}

/// What an attribute is on the wire of a typed encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typed<'a> {
    Text(&'a str),
    Integer(i32),
    Boolean(bool),
}

impl Value {
    /// A header's value as it came; none if it is not UTF-8.
    pub(crate) fn from_header(value: &HeaderValue) -> Option<Self> {
        std::str::from_utf8(value.as_bytes()).ok()?;
        Some(Self(Repr::Header(value.clone())))
    }

    /// The value as text: as it came, never percent-decoded (C3.10); `true` or `false`; decimal digits.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Header(value) => std::str::from_utf8(value.as_bytes()).unwrap_or_default(),
            Repr::Text(text) | Repr::Integer(_, text) => text,
            Repr::Boolean(true) => "true",
            Repr::Boolean(false) => "false",
        }
    }

    pub(crate) fn typed(&self) -> Typed<'_> {
        match &self.0 {
            Repr::Header(_) | Repr::Text(_) => Typed::Text(self.as_str()),
            Repr::Integer(number, _) => Typed::Integer(*number),
            Repr::Boolean(truth) => Typed::Boolean(*truth),
        }
    }

    /// The value as a header: the bytes that came, or the text with what a header cannot carry (controls and
    /// non-ASCII, nothing else) percent-encoded (C3.10).
    pub(crate) fn to_header(&self) -> HeaderValue {
        match &self.0 {
            Repr::Header(value) => value.clone(),
            Repr::Text(text) => encoded(text),
            Repr::Integer(number, _) => HeaderValue::from(*number),
            Repr::Boolean(true) => HeaderValue::from_static("true"),
            Repr::Boolean(false) => HeaderValue::from_static("false"),
        }
    }

    /// The value as a header of HTTP's own, which knows no percent-encoding.
    pub(crate) fn to_plain_header(&self) -> HeaderValue {
        match &self.0 {
            Repr::Text(text) => HeaderValue::from_str(text).unwrap_or_else(|_| encoded(text)),
            Repr::Header(_) | Repr::Integer(..) | Repr::Boolean(_) => self.to_header(),
        }
    }
}

/// `CONTROLS` is what is below space, and DEL; percent-encoding adds all that is not ASCII.
const UNSENDABLE: &AsciiSet = CONTROLS;

fn encoded(text: &str) -> HeaderValue {
    let text: String = utf8_percent_encode(text, UNSENDABLE).collect();
    // What is left is printable ASCII, which a header always takes.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let sendable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        match HeaderValue::from_str(text) {
            Ok(value) if sendable => Self(Repr::Header(value)),
            _ => Self(Repr::Text(text.into())),
        }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self(Repr::Integer(number, number.to_string().into()))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self(Repr::Boolean(truth))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.typed() {
            Typed::Text(text) => fmt::Debug::fmt(text, f),
            Typed::Integer(number) => fmt::Debug::fmt(&number, f),
            Typed::Boolean(truth) => fmt::Debug::fmt(&truth, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain", "plain")]
    #[case("a b\"c%d%2Fe", "a b\"c%d%2Fe")]
    #[case("h\u{e9}llo", "h%C3%A9llo")]
    #[case("tab\tnl\n\u{7f}", "tab%09nl%0A%7F")]
    #[case("\u{1f30e}", "%F0%9F%8C%8E")]
    fn c3_10_encodes_only_what_a_header_cannot_carry(#[case] text: &str, #[case] header: &str) {
        let value = Value::from(text);
        assert_eq!(value.as_str(), text);
        assert_eq!(value.to_header().as_bytes(), header.as_bytes());
    }

    #[test]
    fn c3_10_a_header_stays_the_bytes_that_came_and_is_not_copied() {
        let header = HeaderValue::from_bytes("a%2Fb h\u{e9}".as_bytes()).unwrap();
        let value = Value::from_header(&header).unwrap();
        assert_eq!(value.as_str(), "a%2Fb h\u{e9}");
        assert_eq!(
            value.to_header().as_bytes().as_ptr(),
            header.as_bytes().as_ptr()
        );
    }

    #[test]
    fn a_header_that_is_not_utf_8_is_no_value() {
        let header = HeaderValue::from_bytes(b"a\xffb").unwrap();
        assert!(Value::from_header(&header).is_none());
    }

    #[test]
    fn c3_5_types_are_kept_and_compare_by_text() {
        assert_eq!(Value::from(-7).typed(), Typed::Integer(-7));
        assert_eq!(Value::from(true).typed(), Typed::Boolean(true));
        assert_eq!(Value::from(-7), Value::from("-7"));
        assert_eq!(Value::from(false).to_header(), "false");
        assert_eq!(Value::from(i32::MIN).to_header(), "-2147483648");
    }
}
