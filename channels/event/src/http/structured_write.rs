//! Writing structured mode: a JSON object around data that is not copied.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::value::Typed;
use crate::{Attributes, Event, Payload, SpecVersion, media};

/// Writes an event as structured JSON (C3.9, F2.8); the caller sets the content type [`super::STRUCTURED_JSON`].
/// The result holds the leases of the event's payload.
///
/// - Data of a JSON content type, or of none, goes in as the bytes that it is, not copied, if it is one JSON value.
/// - Data of another content type goes in as a string if it is UTF-8 text, as Knative's own channels send it.
/// - Everything else goes as base64: member `data_base64`, or in 0.3 `data` with `datacontentencoding`.
/// - Attribute values are written as they are, also where a producer percent-encoded them for a header (C3.10).
///
/// `None` if the data is set aside: it must be in memory for this.
pub fn write_structured(event: &Event) -> Option<Payload> {
    let Event {
        attributes,
        payload,
    } = event;
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(b"{\"specversion\":\"");
    head.extend_from_slice(attributes.specversion().as_str().as_bytes());
    head.push(b'"');
    for (name, value) in attributes.values() {
        member(&mut head, name);
        match value.typed() {
            Typed::Text(text) => string(&mut head, text),
            Typed::Integer(_) | Typed::Boolean(_) => {
                head.extend_from_slice(value.as_str().as_bytes())
            }
        }
    }
    if payload.is_empty() {
        head.push(b'}');
        return Some(head.into());
    }
    let (pieces, bytes) = (payload.chunks()?, payload.to_bytes()?);
    match form(attributes, &bytes) {
        Form::Json => {
            member(&mut head, "data");
            let mut chunks = Vec::with_capacity(pieces.len() + 2);
            chunks.push(Bytes::from(head));
            chunks.extend_from_slice(pieces);
            chunks.push(Bytes::from_static(b"}"));
            return Some(Payload::from_chunks(chunks).with_lease_of(payload));
        }
        Form::Text(text) => {
            member(&mut head, "data");
            string(&mut head, text);
        }
        Form::Base64 => {
            let name = match attributes.specversion() {
                SpecVersion::V10 => "data_base64",
                SpecVersion::V03 => "data",
            };
            if attributes.specversion() == SpecVersion::V03 && attributes.get(ENCODING).is_none() {
                member(&mut head, ENCODING);
                string(&mut head, "base64");
            }
            member(&mut head, name);
            string(&mut head, &STANDARD.encode(&bytes));
        }
    }
    head.push(b'}');
    Some(Payload::from(head).with_lease_of(payload))
}

const ENCODING: &str = "datacontentencoding";

enum Form<'a> {
    Json,
    Text(&'a str),
    Base64,
}

fn form<'a>(attributes: &Attributes, data: &'a [u8]) -> Form<'a> {
    // In 0.3 the data of a binary event may be base64 already, as its attribute then says.
    let encoded =
        attributes.specversion() == SpecVersion::V03 && attributes.get(ENCODING).is_some();
    let content_type = attributes.content_type().filter(|_| !encoded);
    let json = !encoded && content_type.is_none_or(media::is_json);
    if json {
        // Parses without building anything and without recursion.
        return if serde_json::from_slice::<&RawValue>(data).is_ok() {
            Form::Json
        } else {
            Form::Base64
        };
    }
    match std::str::from_utf8(data) {
        Ok(text) if content_type.is_none_or(media::is_utf8) => Form::Text(text),
        _ => Form::Base64,
    }
}

/// Begins a member; its name needs no escapes.
fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn string(out: &mut Vec<u8>, text: &str) {
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok(), "writing a string into memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::read_structured;
    use rstest::rstest;
    use std::sync::Arc;

    fn written(version: SpecVersion, content_type: Option<&str>, data: &'static [u8]) -> String {
        let mut attributes = Attributes::new(version, "1", "/s", "t").unwrap();
        if let Some(content_type) = content_type {
            attributes
                .set("datacontenttype", content_type.into())
                .unwrap();
        }
        let event = Event::new(attributes, Payload::from(data));
        let body = write_structured(&event).unwrap().to_bytes().unwrap();
        let again = read_structured(&body).unwrap();
        assert_eq!(again.attributes.content_type(), content_type);
        if version == SpecVersion::V10 {
            assert_eq!(again.payload, event.payload, "the data must survive");
        }
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[rstest]
    #[case(None, b"{ \"a\":1.0 }", r#""data":{ "a":1.0 }"#)]
    #[case(Some("application/json"), b"null", r#""data":null"#)]
    #[case(Some("a/b+json"), b"\"x\"", r#""data":"x""#)]
    #[case(Some("application/json"), b"{} {}", r#""data_base64":"e30ge30=""#)]
    #[case(
        Some("application/json"),
        b"{},\"id\":\"2\"",
        r#""data_base64":"e30sImlkIjoiMiI=""#
    )]
    #[case(Some("application/json"), b"\"\xff\"", r#""data_base64":"Iv8i""#)]
    #[case(None, b"hi", r#""data_base64":"aGk=""#)]
    #[case(Some("text/plain"), b"a\n\"b\"", r#""data":"a\n\"b\"""#)]
    #[case(Some("image/png"), b"\x89PNG", r#""data_base64":"iVBORw==""#)]
    #[case(
        Some("text/plain; charset=iso-8859-1"),
        b"hi",
        r#""data_base64":"aGk=""#
    )]
    fn c3_9_data_has_the_form_that_keeps_it(
        #[case] content_type: Option<&str>,
        #[case] data: &'static [u8],
        #[case] expected: &str,
    ) {
        let body = written(SpecVersion::V10, content_type, data);
        assert!(body.ends_with(&format!(",{expected}}}")), "{body}");
    }

    #[test]
    fn in_0_3_base64_is_an_encoding() {
        let body = written(SpecVersion::V03, Some("image/png"), b"\x89PNG");
        assert!(
            body.ends_with(r#","datacontentencoding":"base64","data":"iVBORw=="}"#),
            "{body}"
        );
        let again = read_structured(&body.into()).unwrap();
        assert_eq!(again.payload, Payload::from(&b"\x89PNG"[..]));
    }

    #[test]
    fn in_0_3_data_that_is_base64_already_is_not_encoded_again() {
        let attributes = Attributes::new(SpecVersion::V03, "1", "/s", "t")
            .and_then(|a| a.with("datacontentencoding", "base64"))
            .unwrap();
        let body = write_structured(&Event::new(attributes, Payload::from("aGk=")))
            .unwrap()
            .to_bytes()
            .unwrap();
        assert_eq!(read_structured(&body).unwrap().payload, Payload::from("hi"));
    }

    #[test]
    fn c3_9_attributes_keep_order_and_types() {
        let attributes = Attributes::new(SpecVersion::V10, "1\"\n", "/s", "t\u{e9}")
            .and_then(|a| a.with("n", -7))
            .and_then(|a| a.with("b", false))
            .and_then(|a| a.with("s", "-7"))
            .unwrap();
        let body = write_structured(&Event::new(attributes, Payload::empty()))
            .unwrap()
            .to_bytes()
            .unwrap();
        let expected = "{\"specversion\":\"1.0\",\"id\":\"1\\\"\\n\",\"source\":\"/s\",\"type\":\"t\u{e9}\",\"n\":-7,\"b\":false,\"s\":\"-7\"}";
        assert_eq!(body, expected);
    }

    #[test]
    fn json_is_not_copied_and_the_lease_is_held() {
        let lease = Arc::new(());
        let data = Bytes::from(b"[1]".to_vec());
        let payload = Payload::from(data.clone()).with_lease(Arc::clone(&lease));
        let event = Event::new(
            Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap(),
            payload,
        );
        let body = write_structured(&event).unwrap();
        assert!(
            body.chunks()
                .unwrap()
                .iter()
                .any(|chunk| chunk.as_ptr() == data.as_ptr())
        );
        drop(event);
        assert_eq!(Arc::strong_count(&lease), 2);
        drop(body);
        assert_eq!(Arc::strong_count(&lease), 1);
    }

    #[test]
    fn nesting_costs_no_stack() {
        let data = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        let attributes = Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap();
        let body = write_structured(&Event::new(attributes, Payload::from(data))).unwrap();
        assert_eq!(body.chunks().unwrap().len(), 3);
    }
}
