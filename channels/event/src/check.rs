//! The rules for the values of the attributes that CloudEvents defines (C3.4, C3.5).

use jiff::civil::Date;

use crate::{Invalid, SpecVersion, media};

/// The attributes that every event has, apart from `specversion`.
pub(crate) const REQUIRED: [&str; 3] = ["id", "source", "type"];

/// Whether CloudEvents itself defines this attribute in `version`, always as text; all others are extensions.
pub(crate) fn is_core(version: SpecVersion, name: &str) -> bool {
    match name {
        "specversion" | "id" | "source" | "type" | "subject" | "time" | "datacontenttype" => true,
        "dataschema" => version == SpecVersion::V10,
        "schemaurl" | "datacontentencoding" => version == SpecVersion::V03,
        _ => false,
    }
}

/// Whether `text` may be the value of the attribute `name` (C3.4). Nothing is trimmed or changed: what is
/// accepted travels as it came. Extensions may have any value, an empty one included, because Knative's own
/// channels pass that on.
pub(crate) fn value(version: SpecVersion, name: &str, text: &str) -> Result<(), Invalid> {
    if !is_core(version, name) {
        return Ok(());
    }
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Invalid::attribute(
            name,
            text,
            "it must not be empty; send a value, or leave an optional attribute out",
        ));
    }
    let rule = match name {
        "time" if !is_timestamp(trimmed.as_bytes()) => {
            "it must be an RFC 3339 timestamp such as 2026-01-02T03:04:05Z"
        }
        "source" if !is_uri_reference(trimmed) => {
            "it must be a URI-reference such as /orders or https://example.com/orders"
        }
        "schemaurl" if !is_uri_reference(trimmed) => {
            "it must be a URI such as https://example.com/schema"
        }
        "dataschema" if !is_absolute_uri(trimmed) => {
            "it must be an absolute URI such as https://example.com/schema"
        }
        "datacontenttype" if !media::is_media_type(text) => {
            "it must be a media type such as application/json"
        }
        "datacontentencoding" if !trimmed.eq_ignore_ascii_case("base64") => {
            "specversion 0.3 knows only base64"
        }
        _ => return Ok(()),
    };
    Err(Invalid::attribute(name, text, rule))
}

/// RFC 3339 `date-time`: the shape here, the calendar by jiff, which would take more shapes. Second 60 is allowed.
fn is_timestamp(text: &[u8]) -> bool {
    let Some((date_time, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let shape = date_time
        .iter()
        .zip(b"dddd-dd-ddTdd:dd:dd")
        .all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't'),
            other => byte == other,
        });
    shape && is_date(date_time) && is_time_of_day(date_time, 60) && is_offset(after_fraction(rest))
}

fn is_date(date_time: &[u8]) -> bool {
    let (Some(year), Some(month), Some(day)) = (
        number(date_time, 0, 4),
        number(date_time, 5, 2),
        number(date_time, 8, 2),
    ) else {
        return false;
    };
    let (Ok(month), Ok(day)) = (i8::try_from(month), i8::try_from(day)) else {
        return false;
    };
    Date::new(year, month, day).is_ok()
}

fn is_time_of_day(date_time: &[u8], max_second: i16) -> bool {
    number(date_time, 11, 2).is_some_and(|hour| hour <= 23)
        && number(date_time, 14, 2).is_some_and(|minute| minute <= 59)
        && number(date_time, 17, 2).is_some_and(|second| second <= max_second)
}

/// What follows a fraction of any precision; an empty fraction is left in place, so that it fits nothing.
fn after_fraction(rest: &[u8]) -> &[u8] {
    let Some(fraction) = rest.strip_prefix(b".") else {
        return rest;
    };
    let digits = fraction
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits == 0 {
        rest
    } else {
        fraction.get(digits..).unwrap_or_default()
    }
}

fn is_offset(text: &[u8]) -> bool {
    match text {
        b"Z" | b"z" => true,
        [b'+' | b'-', hour @ .., b':', _, _] => {
            hour.len() == 2
                && number(text, 1, 2).is_some_and(|hour| hour <= 23)
                && number(text, 4, 2).is_some_and(|minute| minute <= 59)
        }
        _ => false,
    }
}

/// The decimal number in `len` digits (at most 4) from `start`.
fn number(text: &[u8], start: usize, len: usize) -> Option<i16> {
    let digits = text.get(start..start + len)?;
    digits.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + i16::from(byte - b'0'))
    })
}

/// A URI-reference, as tolerant as Knative's own channels: spaces and non-ASCII pass, as they do there; control
/// characters, broken percent-encoding in the path, a colon in the first segment that ends no scheme, and a port
/// that is no number do not.
fn is_uri_reference(text: &str) -> bool {
    if text.chars().any(|c| c.is_ascii_control()) {
        return false;
    }
    let (before_fragment, fragment) = text.split_once('#').unwrap_or((text, ""));
    let path = before_fragment.split('?').next().unwrap_or_default();
    if !is_percent_encoded(path) || !is_percent_encoded(fragment) {
        return false;
    }
    let (scheme, rest) = split_scheme(path);
    if scheme.is_none()
        && rest
            .split('/')
            .next()
            .is_some_and(|segment| segment.contains(':'))
    {
        return false;
    }
    rest.strip_prefix("//")
        .is_none_or(|authority| is_authority(authority.split('/').next().unwrap_or_default()))
}

/// A URI with a scheme.
fn is_absolute_uri(text: &str) -> bool {
    split_scheme(text).0.is_some() && is_uri_reference(text)
}

/// The scheme, if the text has one, and what follows it.
fn split_scheme(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme.as_bytes()) => (Some(scheme), rest),
        _ => (None, text),
    }
}

fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn is_authority(text: &str) -> bool {
    let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
    // What follows the bracket of an IP literal, else what follows the host's colon, is the port.
    let port = match host.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            Some((_, "")) => return true,
            Some((_, rest)) => rest.strip_prefix(':'),
            None => None,
        },
        None => Some(host.split_once(':').map_or("", |(_, port)| port)),
    };
    !host.contains(' ') && port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|escape| {
        escape
            .as_bytes()
            .get(..2)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("2018-04-05T17:31:00Z", true)]
    #[case("2018-04-05t17:31:00z", true)]
    #[case("2018-04-05T17:31:00.123456789012+01:00", true)]
    #[case("2016-12-31T23:59:60Z", true)]
    #[case("2024-02-29T00:00:00-23:59", true)]
    #[case("2023-02-29T00:00:00Z", false)]
    #[case("2018-13-05T17:31:00Z", false)]
    #[case("2018-04-05T24:00:00Z", false)]
    #[case("2018-04-05T17:60:00Z", false)]
    #[case("2018-04-05T17:31:61Z", false)]
    #[case("2018-04-05T17:31:00", false)]
    #[case("2018-04-05T17:31:00.Z", false)]
    #[case("2018-04-05 17:31:00Z", false)]
    #[case("2018-04-05T17:31Z", false)]
    #[case("2018-04-05T17:31:00+05", false)]
    #[case("2018-04-05T17:31:00+0500", false)]
    #[case("2018-04-05T17:31:00+25:00", false)]
    #[case("2018-04-05T17:31:00+01:60", false)]
    #[case("2018-04-05T17:31:00Z[UTC]", false)]
    #[case("lunchtime", false)]
    #[case("", false)]
    fn c3_4_timestamps(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(is_timestamp(text.as_bytes()), valid);
    }

    #[rstest]
    #[case("/orders", true)]
    #[case("#fragment", true)]
    #[case("//host/path", true)]
    #[case("https://example.com:8080/a?b=%zz#c", true)]
    #[case("https://user:word@[::1]:80/", true)]
    #[case("https://[::1]", true)]
    #[case("urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", true)]
    #[case("mailto:a@b.c", true)]
    #[case("my source", true)]
    #[case("/\u{e9}t\u{e9}", true)]
    #[case("a/b:c", true)]
    #[case("?a:b", true)]
    #[case("1a:b", false)]
    #[case(":b", false)]
    #[case("a b:c", false)]
    #[case("/a%2", false)]
    #[case("/a%zz", false)]
    #[case("/a#%", false)]
    #[case("http://host:port/", false)]
    #[case("http://[::1/", false)]
    #[case("http://a b/", false)]
    #[case("/a\tb", false)]
    fn c3_4_uri_references(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(is_uri_reference(text), valid);
    }

    #[rstest]
    #[case(SpecVersion::V10, "dataschema", "/relative", false)]
    #[case(SpecVersion::V10, "dataschema", "urn:schema", true)]
    #[case(SpecVersion::V10, "schemaurl", "a b:c", true)]
    #[case(SpecVersion::V03, "schemaurl", "a b:c", false)]
    #[case(SpecVersion::V03, "dataschema", "/relative", true)]
    #[case(SpecVersion::V03, "datacontentencoding", "Base64", true)]
    #[case(SpecVersion::V03, "datacontentencoding", "gzip", false)]
    #[case(SpecVersion::V10, "datacontentencoding", "gzip", true)]
    #[case(SpecVersion::V10, "subject", " ", false)]
    #[case(SpecVersion::V10, "myextension", "", true)]
    #[case(SpecVersion::V10, "id", " \t", false)]
    #[case(SpecVersion::V10, "datacontenttype", "xyz", false)]
    fn c3_4_rules_of_a_version(
        #[case] version: SpecVersion,
        #[case] name: &str,
        #[case] text: &str,
        #[case] valid: bool,
    ) {
        assert_eq!(value(version, name, text).is_ok(), valid);
    }
}
