//! Properties: what comes in goes out, whatever it is, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use towpath_event::http::{mode, read_binary, read_structured, write_binary, write_structured};
use towpath_event::{Attributes, Event, PassThrough, Payload, SpecVersion, TraceContext, Value};

fn version() -> impl Strategy<Value = SpecVersion> {
    prop_oneof![Just(SpecVersion::V03), Just(SpecVersion::V10)]
}

/// Names of extensions, which no core attribute has.
fn name() -> impl Strategy<Value = String> {
    "x[a-z0-9]{0,20}"
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        "[ -~]{0,40}".prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ]
}

fn content_type() -> impl Strategy<Value = Option<&'static str>> {
    const SOME: [&str; 5] = [
        "application/json",
        "a/b+json; charset=utf-8",
        "text/plain",
        "application/octet-stream",
        "text/xml; charset=latin1",
    ];
    proptest::option::of(proptest::sample::select(&SOME[..]))
}

fn data() -> impl Strategy<Value = Vec<Bytes>> {
    let json = proptest::sample::select(
        &[
            "{\"a\" : [1, 2.50]}",
            "null",
            "\"\\u00e9\"",
            " 1 ",
            "{}{}",
            "tru",
        ][..],
    );
    prop_oneof![
        vec(vec(any::<u8>(), 0..40).prop_map(Bytes::from), 0..4),
        any::<String>().prop_map(|text| vec![text.into()]),
        json.prop_map(|text| text.as_bytes().chunks(3).map(Bytes::from_static).collect()),
    ]
}

prop_compose! {
    fn event()(
        version in version(),
        id in "[^ \t\r\n].{0,10}x",
        extensions in btree_map(name(), value(), 0..10),
        content_type in content_type(),
        data in data(),
    ) -> Event {
        let mut attributes = Attributes::new(version, id, "/s", "t").unwrap();
        for (name, value) in extensions {
            attributes.set(&name, value).unwrap();
        }
        if let Some(content_type) = content_type {
            attributes.set("datacontenttype", content_type.into()).unwrap();
        }
        Event::new(attributes, Payload::from_chunks(data))
    }
}

/// Header values of any bytes that are UTF-8 and that a header can have.
fn header_value() -> impl Strategy<Value = HeaderValue> {
    any::<String>().prop_filter_map("not a header", |text| {
        HeaderValue::from_bytes(text.as_bytes()).ok()
    })
}

fn json_trimmed(event: &Event) -> Bytes {
    let bytes = event.payload.to_bytes().unwrap();
    match event.attributes.content_type() {
        Some(content_type) if !content_type.contains("json") => bytes,
        _ if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() => {
            bytes.slice_ref(bytes.trim_ascii())
        }
        _ => bytes,
    }
}

proptest! {
    #[test]
    fn c3_10_binary_to_binary_is_the_same_bytes(
        version in version(),
        extensions in btree_map(name(), header_value(), 0..10),
        content_type in content_type(),
    ) {
        let mut sent = HeaderMap::new();
        for (name, value) in [("ce-specversion", version.as_str()), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")] {
            sent.insert(name, HeaderValue::from_static(value));
        }
        if let Some(content_type) = content_type {
            sent.insert("content-type", HeaderValue::from_static(content_type));
        }
        for (name, value) in extensions {
            sent.insert(HeaderName::try_from(format!("ce-{name}")).unwrap(), value);
        }
        let attributes = read_binary(&sent).unwrap();
        let mut written = HeaderMap::new();
        write_binary(&attributes, true, &mut written);
        prop_assert_eq!(written, sent);
    }

    #[test]
    fn c3_6_structured_keeps_attributes_and_data(event in event()) {
        let body = write_structured(&event).unwrap().to_bytes().unwrap();
        let read = read_structured(&body).unwrap();
        prop_assert_eq!(&read.attributes, &event.attributes);
        prop_assert_eq!(read.payload.to_bytes().unwrap(), json_trimmed(&event));
        // And once more, now from what a structured sender sent: to the byte.
        let again = read_structured(&write_structured(&read).unwrap().to_bytes().unwrap()).unwrap();
        prop_assert_eq!(again.payload.to_bytes().unwrap(), read.payload.to_bytes().unwrap());
        prop_assert_eq!(again.attributes, read.attributes);
    }

    #[test]
    fn structured_to_binary_is_always_sendable(event in event()) {
        let mut headers = HeaderMap::new();
        write_binary(&event.attributes, !event.payload.is_empty(), &mut headers);
        let read = read_binary(&headers).unwrap();
        prop_assert_eq!(read.iter().count(), event.attributes.iter().count());
        for (name, text) in event.attributes.iter() {
            if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                prop_assert_eq!(read.get(name), Some(text));
            }
        }
    }

    #[test]
    fn no_headers_panic(list in vec(("(ce-)?(id|time|source|type|specversion|subject|dataschema|x{0,2}|traceparent)|content-type|traceparent", vec(any::<u8>(), 0..60)), 0..12)) {
        let mut headers = HeaderMap::new();
        headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
        for (name, value) in list {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value)) {
                headers.append(name, value);
            }
        }
        mode(&headers);
        let _ = read_binary(&headers).map_err(|invalid| invalid.to_string());
        PassThrough::from_headers(&headers).write(&mut HeaderMap::new());
        TraceContext::from_headers(&headers).child().write(&mut headers);
    }

    #[test]
    fn no_body_panics(at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
        let whole = r#"{"specversion":"1.0","id":"1","source":"https://h:80/%20","type":"t","time":"2018-04-05T17:31:00.5+01:00","n":12,"b":true,"s":"é\u00e9\ud83c\udf0e","datacontenttype":"text/plain","data":"d\n"}"#;
        let mut bytes = whole.as_bytes().to_vec();
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut / 4));
        let _ = read_structured(&Bytes::from(bytes)).map_err(|invalid| invalid.to_string());
    }
}
