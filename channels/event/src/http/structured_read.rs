//! Reading structured mode: one JSON object, taken apart in one pass, its data left where it is.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::members::{Members, Text};
use crate::{Attributes, Event, Invalid, Payload, SpecVersion, Value, media};

/// Reads a structured JSON event (C3.6, F2.8) in one pass. Data that is JSON stays the bytes that came and is a
/// slice of `body`, which it keeps alive; so is a string without escapes. Other strings and base64 are decoded.
/// The caller bounds the length of `body`; nesting costs no stack.
///
/// - An attribute that is `null` is absent (C3.5). `data` that is `null` is the JSON value `null` where data is
///   JSON, as `data` is no attribute; elsewhere, and beside `data_base64`, it is no data.
/// - Data of a content type other than JSON must be a string (C3.6).
/// - 0.3: `datacontentencoding: base64` is undone and not kept; 1.0: `data_base64`.
/// - Integers and booleans in extensions keep their type.
///
/// # Errors
/// `body` is not one JSON object in UTF-8; a member comes twice; both `data` and `data_base64` are there; a name or
/// value breaks C3.4 or C3.5 (a number must be an integer of 32 bits); or the data cannot be decoded.
pub fn read_structured(body: &Bytes) -> Result<Event, Invalid> {
    let members = Members::parse(body)?.0;
    let version = specversion(&members)?;
    let mut attributes = Attributes::of(version, members.len());
    let (mut data, mut base64, mut encoded) = (None, None, false);
    for (Text(name), raw) in &members {
        match &**name {
            "specversion" => {}
            "data" => data = Some(raw.get()),
            "data_base64" if version == SpecVersion::V10 => {
                base64 = Some(raw.get()).filter(|raw| *raw != "null")
            }
            name => {
                if let Some(value) = value(name, raw.get())? {
                    encoded |= version == SpecVersion::V03 && name == "datacontentencoding";
                    attributes.set(name, value)?;
                }
            }
        }
    }
    if encoded {
        attributes.remove("datacontentencoding");
        base64 = data.take();
    }
    let mut attributes = attributes.complete()?;
    let payload = match (data, base64) {
        (None, None) => Payload::empty(),
        (None | Some("null"), Some(raw)) => decode(raw)?,
        (Some(_), Some(_)) => {
            return Err(Invalid::member(
                "data_base64",
                "there is data too; send only one of the two",
            ));
        }
        (Some(raw), None) => match attributes.content_type() {
            Some(content_type) if !media::is_json(content_type) => text(body, raw)?,
            given => {
                let implied = given.is_none();
                if implied {
                    attributes.set_json_implied();
                }
                body.slice_ref(raw.as_bytes()).into()
            }
        },
    };
    Ok(Event::new(attributes, payload))
}

fn specversion(members: &[(Text<'_>, &RawValue)]) -> Result<SpecVersion, Invalid> {
    let raw = members
        .iter()
        .find(|(name, _)| name.0 == "specversion")
        .map(|(_, raw)| raw.get());
    let Some(raw) = raw.filter(|raw| *raw != "null") else {
        return Err(Invalid::missing("specversion"));
    };
    match serde_json::from_str::<Text<'_>>(raw) {
        Ok(Text(text)) => SpecVersion::required(&text),
        Err(_) => Err(Invalid::attribute(
            "specversion",
            raw,
            "it must be the string \"1.0\" or \"0.3\"",
        )),
    }
}

/// The value of an attribute; none if it is `null`.
fn value(name: &str, raw: &str) -> Result<Option<Value>, Invalid> {
    let value = match raw.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b't') => Value::from(true),
        Some(b'f') => Value::from(false),
        Some(b'"') => match serde_json::from_str::<Text<'_>>(raw) {
            Ok(Text(text)) => Value::from(&*text),
            Err(_) => {
                return Err(Invalid::attribute(
                    name,
                    raw,
                    "it is not a string of valid Unicode",
                ));
            }
        },
        Some(b'{' | b'[') => {
            return Err(Invalid::attribute(
                name,
                raw,
                "objects and arrays are no attribute values; send a string",
            ));
        }
        _ => match raw.parse::<i32>() {
            Ok(number) => Value::from(number),
            Err(_) => {
                let rule = "a number must be an integer of 32 bits, without fraction or exponent; else send a string";
                return Err(Invalid::attribute(name, raw, rule));
            }
        },
    };
    Ok(Some(value))
}

/// The bytes of data that is a string: a slice of the body unless it has escapes.
fn text(body: &Bytes, raw: &str) -> Result<Payload, Invalid> {
    if raw == "null" {
        return Ok(Payload::empty());
    }
    match serde_json::from_str(raw) {
        Ok(Text(Cow::Borrowed(text))) => Ok(body.slice_ref(text.as_bytes()).into()),
        Ok(Text(Cow::Owned(text))) => Ok(text.into()),
        Err(_) => Err(Invalid::member(
            "data",
            "it must be a string of valid Unicode, as datacontenttype is not JSON; send a string, or data_base64",
        )),
    }
}

fn decode(raw: &str) -> Result<Payload, Invalid> {
    if raw == "null" {
        return Ok(Payload::empty());
    }
    let rule = "it is not standard base64 with padding, in a string";
    let Text(text) = serde_json::from_str(raw).map_err(|_| Invalid::member("data", rule))?;
    STANDARD
        .decode(text.as_bytes())
        .map(Payload::from)
        .map_err(|_| Invalid::member("data", rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// A minimal 1.0 event with these members added.
    fn minimal(members: &str) -> Bytes {
        format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#).into()
    }

    fn v03(members: &str) -> Bytes {
        format!(r#"{{"specversion":"0.3","id":"1","source":"/s","type":"t"{members}}}"#).into()
    }

    #[rstest]
    #[case(
        r#","data": { "b" : 1,  "a":1.50e3, "\u00e9":"\/" } "#,
        r#"{ "b" : 1,  "a":1.50e3, "\u00e9":"\/" }"#
    )]
    #[case(r#","data":"text""#, r#""text""#)]
    #[case(r#","data":null"#, "null")]
    #[case(r#","data":false,"datacontenttype":"a/b+json""#, "false")]
    #[case(r#","datacontenttype":"text/plain","data":"plain""#, "plain")]
    #[case(
        r#","datacontenttype":"text/plain","data":"e\u0301 \n\ud83c\udf0e""#,
        "e\u{301} \n\u{1f30e}"
    )]
    #[case(r#","datacontenttype":"text/plain","data":"""#, "")]
    #[case(r#","datacontenttype":"text/plain","data":null"#, "")]
    #[case(r#","data_base64":"aGk=""#, "hi")]
    #[case(r#","data_base64":"aGk=","data":null"#, "hi")]
    #[case(r#","data_base64":null,"data":1"#, "1")]
    #[case(r#","data_base64":null"#, "")]
    #[case("", "")]
    fn c3_6_data(#[case] members: &str, #[case] data: &str) {
        let event = read_structured(&minimal(members)).unwrap();
        assert_eq!(event.payload.to_bytes().unwrap(), data);
    }

    #[rstest]
    #[case(r#","data":{"a":[1,2]}"#)]
    #[case(r#","datacontenttype":"text/plain","data":"plain""#)]
    fn c3_6_data_is_a_slice_of_the_body(#[case] members: &str) {
        let body = minimal(members);
        let data = read_structured(&body).unwrap().payload.to_bytes().unwrap();
        assert!(body.as_ptr_range().contains(&data.as_ptr()));
    }

    #[test]
    fn c3_6_base64_of_0_3_is_undone_and_not_kept() {
        let members =
            r#","data":"aGk=","datacontentencoding":"BASE64","datacontenttype":"application/json""#;
        let event = read_structured(&v03(members)).unwrap();
        assert_eq!(event.payload.to_bytes().unwrap(), "hi");
        assert_eq!(event.attributes.get("datacontentencoding"), None);
        assert!(read_structured(&v03(r#","data":"hi","datacontentencoding":"gzip""#)).is_err());
        assert!(read_structured(&v03(r#","data_base64":"aGk=""#)).is_err());
        let event =
            read_structured(&minimal(r#","data":"aGk=","datacontentencoding":"base64""#)).unwrap();
        assert_eq!(
            event.payload.to_bytes().unwrap(),
            r#""aGk=""#,
            "in 1.0 that is an extension like any other"
        );
    }

    #[test]
    fn c3_5_types_and_null() {
        let members = r#","n":-2147483648,"b":true,"s":"\u00e9","gone":null,"subject":null,"z":-0"#;
        let attributes = read_structured(&minimal(members)).unwrap().attributes;
        let values: Vec<_> = attributes
            .values()
            .skip(3)
            .map(|(name, value)| (name, format!("{value:?}")))
            .collect();
        let expected = [
            ("n", "-2147483648"),
            ("b", "true"),
            ("s", "\"\u{e9}\""),
            ("z", "0"),
        ];
        assert_eq!(values, expected.map(|(name, text)| (name, text.to_owned())));
    }

    #[rstest]
    #[case(r#","n":2147483648"#, "n")]
    #[case(r#","n":1.0"#, "n")]
    #[case(r#","n":1e2"#, "n")]
    #[case(r#","o":{}"#, "o")]
    #[case(r#","o":[]"#, "o")]
    #[case(r#","Upper":"x""#, "Upper")]
    #[case(r#","":"x""#, "")]
    #[case(r#","under_score":"x""#, "under_score")]
    #[case(r#","subject":5"#, "subject")]
    #[case(r#","s":"\ud800""#, "s")]
    #[case(r#","data":1,"data_base64":"aGk=""#, "data_base64")]
    #[case(r#","data_base64":"aGk""#, "data")]
    #[case(r#","data_base64":1"#, "data")]
    #[case(r#","datacontenttype":"text/plain","data":{}"#, "data")]
    #[case(r#","datacontenttype":"text/plain","data":"\udc00""#, "data")]
    #[case(r#","x":"1","x":"2""#, "body")]
    #[case(r#","x":"1","\u0078":null"#, "body")]
    #[case(r#","id":"2""#, "body")]
    #[case("} {", "body")]
    #[case(",", "body")]
    fn c2_4_what_is_refused(#[case] members: &str, #[case] name: &str) {
        let invalid = read_structured(&minimal(members)).unwrap_err();
        assert_eq!(invalid.name(), name, "{invalid}");
    }

    #[rstest]
    #[case(r#"{"id":"1","source":"/s","type":"t"}"#)]
    #[case(r#"{"specversion":null,"id":"1","source":"/s","type":"t"}"#)]
    #[case(r#"{"specversion":1.0,"id":"1","source":"/s","type":"t"}"#)]
    #[case(r#"{"specversion":"19.0","id":"1","source":"/s","type":"t"}"#)]
    fn c3_1_a_version_is_required_and_known(#[case] body: &'static str) {
        assert_eq!(
            read_structured(&Bytes::from_static(body.as_bytes()))
                .unwrap_err()
                .name(),
            "specversion"
        );
    }

    #[rstest]
    #[case(b"")]
    #[case(b"[]")]
    #[case(b"\"secret\"")]
    #[case(b"{\"id\":\"\xff\"}")]
    #[case(b"\xef\xbb\xbf{}")]
    fn what_is_no_object_is_refused_and_not_repeated(#[case] body: &'static [u8]) {
        let invalid = read_structured(&Bytes::from_static(body)).unwrap_err();
        assert_eq!(invalid.name(), "body");
        assert!(!invalid.to_string().contains("secret"), "{invalid}");
    }

    #[test]
    fn nesting_costs_no_stack() {
        let depth = 1_000_000;
        let data = "[".repeat(depth) + &"]".repeat(depth);
        let event = read_structured(&minimal(&format!(r#","data":{data}"#))).unwrap();
        assert_eq!(event.payload.len(), 2 * depth as u64);
        assert!(
            read_structured(&minimal(&format!(r#","data":{}"#, "{\"a\":".repeat(depth)))).is_err()
        );
        assert!(
            read_structured(&minimal(&format!(r#","x":{data}"#)))
                .unwrap_err()
                .to_string()
                .len()
                < 300
        );
    }

    #[test]
    fn members_have_a_bound() {
        let members: String = (0..100_000).map(|i| format!(r#","x{i}":null"#)).collect();
        let invalid = read_structured(&minimal(&members)).unwrap_err();
        assert!(invalid.to_string().contains("100 attributes"), "{invalid}");
    }
}
