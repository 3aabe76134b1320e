//! Messages on brokers: what goes in comes out to the byte, foreign events are read, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use rstest::rstest;
use towpath_event::control_message::{
    Binding, Defaults, Encoded, Unreadable, from_headers, to_headers,
};
use towpath_event::http::{read_binary, read_structured, write_binary, write_structured};
use towpath_event::{
    Attributes, Event, Message, Origin, PassThrough, Payload, SpecVersion, TraceContext,
};

const DEFAULTS: Defaults = Defaults {
    hops: 255,
    accepted: UNIX_EPOCH,
};

fn read(encoded: &Encoded, binding: Binding) -> Result<Message, Unreadable> {
    let headers = encoded.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), &value[..]));
    from_headers(headers, encoded.value.clone(), binding, DEFAULTS)
}

/// A record of these headers.
fn record(headers: &[(&str, &[u8])], value: Option<&'static str>) -> Encoded {
    let own = |(name, value): &(&str, &[u8])| ((*name).to_owned(), Bytes::copy_from_slice(value));
    Encoded {
        headers: headers.iter().map(own).collect(),
        value: value.map(Bytes::from),
    }
}

/// A minimal event in this binding, with more headers.
fn minimal(binding: Binding, more: &[(&str, &[u8])]) -> Encoded {
    let prefix = match binding {
        Binding::Kafka => "ce_",
        Binding::Nats => "ce-",
    };
    let names = ["specversion", "id", "source", "type"].map(|name| format!("{prefix}{name}"));
    let values: [&[u8]; 4] = [b"1.0", b"1", b"/s", b"t"];
    let minimal = names.iter().map(String::as_str).zip(values);
    let headers: Vec<_> = minimal.chain(more.iter().copied()).collect();
    record(&headers, Some("data"))
}

fn headers(encoded: &Encoded) -> Vec<(&str, &str)> {
    let text = |value| std::str::from_utf8(value).unwrap();
    let headers = encoded.headers.iter();
    headers
        .map(|(name, value)| (name.as_str(), text(value)))
        .collect()
}

fn header_map(list: &[(&'static str, &'static [u8])]) -> HeaderMap {
    let value = |value| HeaderValue::from_bytes(value).unwrap();
    let mut map = HeaderMap::new();
    for (name, bytes) in list {
        map.append(HeaderName::from_static(name), value(bytes));
    }
    map
}

/// A message with something of everything.
fn message() -> Message {
    let sent = header_map(&[
        (
            "traceparent",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("tracestate", b"a=1"),
        ("baggage", b"k=%20v"),
        ("x-request-id", b"request 1"),
        ("knative-a", b"one"),
        ("knative-a", b"two"),
        ("content-encoding", b"gzip"),
    ]);
    let body = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"h\u00e9 %41","number":7,"truth":true,"data":{}}"#;
    Message {
        event: read_structured(&body.into()).unwrap(),
        headers: PassThrough::from_headers(&sent),
        trace: TraceContext::from_headers(&sent),
        hops: 254,
        origin: Some(Origin {
            replica: "http://10.0.0.1:8080/;=%".into(),
            node: Some("node-1".into()),
            zone: None,
        }),
        accepted: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
    }
}

#[test]
fn f2_9_on_kafka_it_is_an_ordinary_event_with_our_headers() {
    let encoded = to_headers(&message(), Binding::Kafka);
    assert_eq!(
        headers(&encoded),
        [
            ("ce_specversion", "1.0"),
            ("ce_id", "1"),
            ("ce_source", "/s"),
            ("ce_type", "t"),
            ("ce_subject", "h\u{e9} %41"),
            ("ce_number", "7"),
            ("ce_truth", "true"),
            ("content-type", "application/json"),
            (
                "towpath-forms",
                "number=integer,truth=boolean,datacontenttype=implied"
            ),
            ("towpath-hops", "254"),
            ("towpath-accepted", "1700000000123"),
            (
                "towpath-origin",
                "replica=http://10.0.0.1:8080/%3B%3D%25;node=node-1"
            ),
            ("towpath-h-x-request-id", "request 1"),
            ("towpath-h-knative-a", "one"),
            ("towpath-h-knative-a", "two"),
            ("towpath-h-content-encoding", "gzip"),
            (
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            ),
            ("tracestate", "a=1"),
            ("baggage", "k=%20v"),
        ]
    );
    assert_eq!(encoded.value.unwrap(), "{}");
}

#[test]
fn f2_9_on_nats_values_are_percent_encoded_and_all_attributes_have_the_prefix() {
    let encoded = to_headers(&message(), Binding::Nats);
    let headers = headers(&encoded);
    for expected in [
        ("ce-subject", "h%C3%A9%20%2541"),
        ("ce-datacontenttype", "application/json"),
        ("towpath-h-x-request-id", "request%201"),
        ("baggage", "k=%20v"),
    ] {
        assert!(headers.contains(&expected), "{expected:?} in {headers:?}");
    }
    assert!(headers.iter().all(|(name, _)| *name != "content-type"));
}

#[rstest]
fn a_structured_event_stays_what_it_was(#[values(Binding::Kafka, Binding::Nats)] binding: Binding) {
    let message = message();
    let read = read(&to_headers(&message, binding), binding).unwrap();
    same(&read, &message);
    assert_eq!(read.event.attributes.content_type(), None, "it was implied");
}

#[test]
fn f2_9_without_data_a_kafka_record_is_a_tombstone() {
    let mut message = message();
    message.event.payload = Payload::empty();
    let kafka = to_headers(&message, Binding::Kafka);
    assert_eq!(kafka.value, None);
    assert!(
        headers(&kafka)
            .iter()
            .all(|(name, _)| *name != "content-type")
    );
    let nats = to_headers(&message, Binding::Nats);
    assert_eq!(nats.value, Some(Bytes::new()));
    same(&read(&kafka, Binding::Kafka).unwrap(), &message);
    same(&read(&nats, Binding::Nats).unwrap(), &message);
}

#[rstest]
#[case(Binding::Kafka, &[("content-type", b"text/plain".as_slice()), ("ce_subject", "h\u{e9} %41".as_bytes()), ("ce_datacontenttype", b"no"), ("other", b"\xff")], "h\u{e9} %41")]
#[case(Binding::Nats, &[("ce-datacontenttype", b"text/plain".as_slice()), ("ce-subject", b"h%c3%a9%20%2541"), ("content-type", b"no"), ("other", b"\xff")], "h\u{e9} %41")]
#[case(Binding::Nats, &[("ce-datacontenttype", b"text/plain".as_slice()), ("ce-subject", br#""a b""#), ("ce-subject", b"second")], "a b")]
fn foreign_events_are_events(
    #[case] binding: Binding,
    #[case] more: &[(&str, &[u8])],
    #[case] subject: &str,
) {
    let message = read(&minimal(binding, more), binding).unwrap();
    let attributes = &message.event.attributes;
    let all: Vec<_> = attributes.iter().collect();
    assert_eq!(all.len(), 6, "{all:?}");
    assert_eq!(attributes.get("subject"), Some(subject));
    assert_eq!(attributes.content_type(), Some("text/plain"));
    assert_eq!(message.event.payload.to_bytes().unwrap(), "data");
    assert_eq!(
        (message.hops, message.accepted, message.origin),
        (255, UNIX_EPOCH, None)
    );
    assert!(message.headers.is_empty());
}

#[rstest]
fn f2_9_structured_records(#[values(Binding::Kafka, Binding::Nats)] binding: Binding) {
    let body = r#"{"specversion":"0.3","id":"1","source":"/s","type":"t","data":"d"}"#;
    let headers: [(&str, &[u8]); 2] = [
        (
            "content-type",
            b"application/CloudEvents+JSON; charset=UTF-8",
        ),
        ("towpath-hops", b"3"),
    ];
    let message = read(&record(&headers, Some(body)), binding).unwrap();
    assert_eq!(message.event, read_structured(&body.into()).unwrap());
    assert_eq!(message.hops, 3);
    let refused = read(&record(&headers, None), binding).unwrap_err();
    assert!(matches!(refused, Unreadable::Invalid(_)), "{refused}");
}

#[rstest]
#[case(&[], "no CloudEvent: it has no header ce_specversion")]
#[case(&[("ce_specversion", b"19.0".as_slice())], "attribute \"specversion\" is \"19.0\"")]
#[case(&[("ce_specversion", b"1.0".as_slice()), ("ce_id", b"1"), ("ce_source", b"/s")], "attribute \"type\": it is missing")]
#[case(&[("content-type", b"application/json".as_slice()), ("ce_id", b"1")], "no CloudEvent")]
#[case(&[("content-type", b"application/cloudevents-batch+json".as_slice())], "no CloudEvent")]
fn what_is_no_event_is_an_error(#[case] headers: &[(&str, &[u8])], #[case] text: &str) {
    let error = read(&record(headers, Some("{}")), Binding::Kafka).unwrap_err();
    assert!(error.to_string().contains(text), "{error}");
}

#[rstest]
#[case("ce_a_b", b"x", "a-z and 0-9")]
#[case("ce_subject", b"\xff", "not UTF-8")]
#[case("ce_time", b"noon", "RFC 3339")]
#[case(
    "towpath-hops",
    b"256",
    "header towpath-hops of the record is \"256\": it must be a number from 0 to 255"
)]
#[case("towpath-accepted", b"now", "milliseconds since 1970")]
#[case("towpath-origin", b"node=a", "replica=..")]
#[case("towpath-claim", b"v1;id;1;node:a", "set aside (towpath-claim)")]
fn what_is_wrong_is_named(#[case] header: &str, #[case] value: &[u8], #[case] text: &str) {
    let record = minimal(Binding::Kafka, &[(header, value)]);
    let error = read(&record, Binding::Kafka).unwrap_err();
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn c4_1_a_forged_header_does_not_pass() {
    let more: [(&str, &[u8]); 3] = [
        ("towpath-h-authorization", b"Bearer x"),
        ("towpath-h-knative-towpath-hops", b"9"),
        ("towpath-h-", b"x"),
    ];
    let message = read(&minimal(Binding::Kafka, &more), Binding::Kafka).unwrap();
    assert!(message.headers.is_empty());
}

/// Equal in all that a message has, to the byte where it is sent on.
fn same(read: &Message, message: &Message) {
    assert_eq!(read.event, message.event);
    assert_eq!(binary(&read.event), binary(&message.event));
    assert_eq!(
        write_structured(&read.event).unwrap().to_bytes().unwrap(),
        write_structured(&message.event)
            .unwrap()
            .to_bytes()
            .unwrap()
    );
    assert_eq!(
        read.event.payload.to_bytes().unwrap(),
        message.event.payload.to_bytes().unwrap()
    );
    assert_eq!(read.headers, message.headers);
    assert_eq!(read.trace, message.trace);
    assert_eq!(read.hops, message.hops);
    assert_eq!(read.origin, message.origin);
    assert_eq!(read.accepted, message.accepted);
}

fn binary(event: &Event) -> HeaderMap {
    let mut headers = HeaderMap::new();
    write_binary(&event.attributes, !event.payload.is_empty(), &mut headers);
    headers
}

/// Header values of any bytes.
fn header_value() -> impl Strategy<Value = HeaderValue> {
    let bytes = prop_oneof![
        "[ -~]{0,12}".prop_map(String::into_bytes),
        any::<String>().prop_map(String::into_bytes),
        vec(any::<u8>(), 0..8),
    ];
    bytes.prop_filter_map("not a header", |bytes| HeaderValue::from_bytes(&bytes).ok())
}

/// Attributes as they come over HTTP, in binary mode.
fn received() -> impl Strategy<Value = Attributes> {
    let core = prop_oneof![
        Just("ce-subject".to_owned()),
        Just("content-type".to_owned())
    ];
    let names = prop_oneof![core, "ce-x[a-z0-9]{0,10}"];
    btree_map(names, header_value(), 0..6).prop_filter_map("no event", |headers| {
        let mut map = header_map(&[
            ("ce-specversion", b"1.0"),
            ("ce-id", "\u{e9} 1%".as_bytes()),
            ("ce-source", b"/s"),
            ("ce-type", b"t"),
        ]);
        for (name, value) in headers {
            map.insert(HeaderName::try_from(name).unwrap(), value);
        }
        read_binary(&map).ok()
    })
}

/// Attributes as they come in structured mode, with or without a content type.
fn structured() -> impl Strategy<Value = Attributes> {
    let value = prop_oneof![
        any::<String>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
    ];
    let version = prop_oneof![Just("0.3"), Just("1.0")];
    let extensions = btree_map("x[a-z0-9]{0,10}", value, 0..6);
    (version, extensions, option::of(Just("text/plain"))).prop_map(|(version, extensions, kind)| {
        let mut json = serde_json::json!({"specversion": version, "id": "\u{e9} 1\n", "source": "/s", "type": "t", "data": "d"});
        json.as_object_mut().unwrap().extend(extensions);
        if let Some(kind) = kind {
            json["datacontenttype"] = kind.into();
        }
        read_structured(&json.to_string().into()).unwrap().attributes
    })
}

fn any_trace() -> impl Strategy<Value = TraceContext> {
    let values = || vec("[!-~]([ -~]{0,8}[!-~])?", 0..3);
    (any::<u64>(), values(), values()).prop_map(|(id, state, baggage)| {
        let mut map = HeaderMap::new();
        let parent = format!("00-{:032x}-{:016x}-01", u128::from(id) + 1, id | 1);
        map.insert("traceparent", HeaderValue::try_from(parent).unwrap());
        for (name, values) in [("tracestate", state), ("baggage", baggage)] {
            for value in values {
                map.append(name, HeaderValue::try_from(value).unwrap());
            }
        }
        TraceContext::from_headers(&map)
    })
}

fn passing() -> impl Strategy<Value = PassThrough> {
    let header = ("(knative|x-b3)-[a-z0-9-]{1,6}|retry-after", header_value());
    vec(header, 0..5).prop_map(|headers| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(name).unwrap(), value);
        }
        PassThrough::from_headers(&map)
    })
}

prop_compose! {
    fn any_message()(
        attributes in prop_oneof![received(), structured()],
        data in vec(vec(any::<u8>(), 0..20).prop_map(Bytes::from), 0..3),
        headers in passing(),
        trace in any_trace(),
        hops in any::<u8>(),
        origin in option::of((any::<String>(), option::of(any::<String>()), option::of(any::<String>()))),
        millis in 0..4_000_000_000_000u64,
    ) -> Message {
        Message {
            event: Event::new(attributes, Payload::from_chunks(data)),
            headers,
            trace,
            hops,
            origin: origin.map(|(replica, node, zone)| Origin {
                replica: replica.into(),
                node: node.map(Into::into),
                zone: zone.map(Into::into),
            }),
            accepted: UNIX_EPOCH + Duration::from_millis(millis),
        }
    }
}

fn any_binding() -> impl Strategy<Value = Binding> {
    prop_oneof![Just(Binding::Kafka), Just(Binding::Nats)]
}

proptest! {
    #[test]
    fn f2_9_what_goes_in_comes_out(message in any_message(), binding in any_binding()) {
        let encoded = to_headers(&message, binding);
        if binding == Binding::Nats {
            for (name, value) in &encoded.headers {
                let sendable = value.iter().all(|byte| (0x20..0x7f).contains(byte));
                prop_assert!(sendable, "{name}: {value:?}");
            }
        }
        same(&read(&encoded, binding).unwrap(), &message);
    }

    #[test]
    fn no_record_panics(
        more in vec(("(ce[_-])?(id|time|subject|x{0,2}|datacontenttype)|content-type|towpath-(hops|forms|origin|accepted|h-(knative-a|.{0,3}))|traceparent|.{0,4}", vec(any::<u8>(), 0..40)), 0..12),
        value in option::of(vec(any::<u8>(), 0..20)),
        binding in any_binding(),
        whole in any::<bool>(),
    ) {
        let more: Vec<_> = more.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
        let mut encoded = if whole { minimal(binding, &more) } else { record(&more, None) };
        encoded.value = value.map(Bytes::from);
        match read(&encoded, binding) {
            Ok(message) => same(&read(&to_headers(&message, binding), binding).unwrap(), &message),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// The header that says how attributes are held cannot make an event that is none.
    #[test]
    fn forged_forms_do_no_harm(forms in "((id|type|x|y|datacontenttype)=(integer|boolean|raw|implied|z),?){0,5}", text in any::<String>(), binding in any_binding()) {
        let (subject, x) = match binding {
            Binding::Kafka => ("ce_subject", "ce_x"),
            Binding::Nats => ("ce-subject", "ce-x"),
        };
        let more = [("towpath-forms", forms.as_bytes()), (subject, b"s"), (x, text.as_bytes())];
        if let Ok(message) = read(&minimal(binding, &more), binding) {
            let event = write_structured(&message.event).unwrap();
            let again = read_structured(&event.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(again.attributes.id(), "1");
            prop_assert_eq!(again.attributes.get("subject"), Some("s"));
        }
    }
}

#[test]
fn times_before_1970_count_as_1970() {
    let mut message = message();
    message.accepted = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let encoded = to_headers(&message, Binding::Kafka);
    let read = read(&encoded, Binding::Kafka).unwrap();
    assert_eq!(read.accepted, UNIX_EPOCH);
    assert_eq!(read.event.attributes.specversion(), SpecVersion::V10);
}
