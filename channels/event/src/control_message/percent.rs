//! The percent rules of CloudEvents for header values (F2.3), with which NATS headers are written and read.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};

/// Everything outside U+0021..U+007E, and `"` and `%`; what is not ASCII is always encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Also what separates the parts of a list.
const ENCODED_IN_LIST: &AsciiSet = &ENCODED.add(b';').add(b'=');

pub(super) fn encode(bytes: &[u8]) -> Bytes {
    let encoded: Cow<'_, str> = percent_encode(bytes, ENCODED).into();
    encoded.into_owned().into()
}

pub(super) fn encode_in_list(text: &str) -> Cow<'_, str> {
    percent_encode(text.as_bytes(), ENCODED_IN_LIST).into()
}

/// Undoes the quotes that older senders put around a value, and then percent-encoding, once. A `%` that begins no
/// escape stands for itself.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, [u8]> {
    match bytes {
        [b'"', quoted @ .., b'"'] => {
            let decoded = Cow::from(percent_decode(&unquoted(quoted))).into_owned();
            Cow::Owned(decoded)
        }
        plain => percent_decode(plain).into(),
    }
}

/// Without the backslashes that escape the byte after them.
fn unquoted(bytes: &[u8]) -> Vec<u8> {
    let mut escaped = false;
    let kept = bytes.iter().copied().filter(|&byte| {
        escaped = byte == b'\\' && !escaped;
        !escaped
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain", "plain")]
    #[case("a b\"c%2F", "a%20b%22c%252F")]
    #[case("h\u{e9}\n\u{7f}~!", "h%C3%A9%0A%7F~!")]
    fn f2_3_encodes(#[case] text: &str, #[case] encoded: &str) {
        assert_eq!(encode(text.as_bytes()), encoded);
        assert_eq!(*decode(encoded.as_bytes()), *text.as_bytes());
    }

    #[rstest]
    #[case("%c3%A9", "\u{e9}")]
    #[case("%61%2541", "a%41")]
    #[case("100%", "100%")]
    #[case("%zz", "%zz")]
    #[case(r#""a b""#, "a b")]
    #[case(r#""a\"b\\c%20d""#, r#"a"b\c d"#)]
    #[case(r#"""#, r#"""#)]
    fn f2_3_decodes(#[case] encoded: &str, #[case] text: &str) {
        assert_eq!(*decode(encoded.as_bytes()), *text.as_bytes());
    }

    #[test]
    fn parts_of_a_list_hold_no_separators() {
        assert_eq!(encode_in_list("a;b=c"), "a%3Bb%3Dc");
    }
}
