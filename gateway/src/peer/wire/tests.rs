//! What is written is read again, byte for byte, and nothing panics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use towpath_config::topology::{ChannelKey, ChannelKind, SubscriptionKey};
use towpath_event::http::{read_structured, write_structured};
use towpath_event::{
    Attributes, ClaimCheck, Event, Origin, PassThrough, Payload, PayloadId, Place, SpecVersion,
    TraceContext, Value,
};

use super::*;

fn text() -> impl Strategy<Value = Arc<str>> {
    any::<String>().prop_map(Arc::from)
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let value = prop_oneof![
        "[ -~]{1,20}".prop_map(|text| Value::from(text.as_str())),
        "\\PC{1,20}".prop_map(|text| Value::from(text.as_str())),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    vec(("x[a-z]{1,10}", value), 0..20).prop_map(|more| {
        let least = Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap();
        more.into_iter().fold(least, |mut all, (name, value)| {
            // what the rules of attributes do not let in is left out
            let _ = all.set(&name, value);
            all
        })
    })
}

fn headers() -> impl Strategy<Value = PassThrough> {
    vec(("knative-[a-z]{1,8}", vec(0x80u8.., 0..10)), 0..5).prop_map(|headers| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::try_from(name).unwrap(),
                HeaderValue::from_bytes(&value).unwrap(),
            );
        }
        PassThrough::from_headers(&map)
    })
}

fn origin() -> impl Strategy<Value = Option<Origin>> {
    let origin = (text(), option::of(text()), option::of(text()));
    option::of(origin.prop_map(|(replica, node, zone)| Origin {
        replica,
        node,
        zone,
    }))
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        vec(vec(any::<u8>(), 0..50), 0..4).prop_map(|chunks| {
            let chunks = chunks.into_iter().map(Bytes::from).collect();
            Data::Inline(Payload::from_chunks(chunks))
        }),
        (any::<[u8; 16]>(), any::<u64>()).prop_map(|(id, size)| Data::Claim(ClaimCheck {
            id: PayloadId::from_bytes(id),
            size,
            digest: None,
            place: Place::Gateway("node-1.zone".into()),
        })),
    ]
}

fn attempt() -> impl Strategy<Value = PeerAttempt> {
    let key = (any::<bool>(), text(), text(), text());
    let leg = prop_oneof![
        Just(LegKind::Subscriber),
        Just(LegKind::Reply),
        Just(LegKind::DeadLetter)
    ];
    let numbers = (any::<u16>(), any::<u64>(), any::<u64>());
    (key, leg, numbers, attributes(), headers(), origin(), data()).prop_map(
        |(
            (broker, namespace, name, subscription),
            leg,
            numbers,
            attributes,
            headers,
            origin,
            data,
        )| {
            PeerAttempt {
                channel: ChannelKey {
                    kind: if broker {
                        ChannelKind::Broker
                    } else {
                        ChannelKind::Channel
                    },
                    namespace,
                    name,
                },
                subscription: SubscriptionKey(subscription),
                leg,
                replica: SocketAddr::from(([10, 0, 0, 1], numbers.0)),
                timeout: Duration::from_nanos(numbers.1),
                pull_nanos: numbers.2,
                attributes,
                headers,
                trace: TraceContext::root(),
                origin,
                data,
            }
        },
    )
}

fn failed() -> impl Strategy<Value = Failed> {
    let after = option::of(any::<u64>().prop_map(Duration::from_nanos));
    (any::<u16>(), vec(any::<u8>(), 0..100), any::<bool>(), after).prop_map(
        |(code, data, retryable, retry_after)| Failed {
            code,
            data,
            retryable,
            retry_after,
        },
    )
}

fn answer() -> impl Strategy<Value = PeerAnswer> {
    let reply = (attributes(), headers(), origin(), data()).prop_map(
        |(attributes, headers, origin, data)| {
            AnswerResult::Reply(Box::new(PeerReply {
                attributes,
                headers,
                origin,
                data,
            }))
        },
    );
    let result = prop_oneof![
        Just(AnswerResult::Taken),
        reply,
        failed().prop_map(AnswerResult::BadReply),
        failed().prop_map(AnswerResult::Failed),
    ];
    let kind = prop_oneof![
        Just(NoAnswerKind::Connect),
        Just(NoAnswerKind::Timeout),
        Just(NoAnswerKind::Broken),
        Just(NoAnswerKind::Payload),
        Just(NoAnswerKind::Gone),
    ];
    prop_oneof![
        (any::<u16>(), result, proptest::option::of(any::<u64>())).prop_map(
            |(status, result, nanos)| PeerAnswer::Answered {
                status,
                result,
                arrived_before: nanos.map(Duration::from_nanos),
            }
        ),
        (kind, any::<String>()).prop_map(|(kind, message)| PeerAnswer::NoAnswer { kind, message }),
        any::<String>().prop_map(PeerAnswer::NotMine),
    ]
}

fn bytes(payload: &Payload) -> Bytes {
    payload.to_bytes().unwrap()
}

proptest! {
    #[test]
    fn attempts_survive(attempt in attempt()) {
        let body = bytes(&attempt.encode().unwrap());
        prop_assert_eq!(PeerAttempt::decode(&body).unwrap(), attempt);
    }

    #[test]
    fn answers_survive(answer in answer()) {
        let (status, body) = answer.clone().encode().unwrap();
        prop_assert_eq!(PeerAnswer::decode(status, &bytes(&body)).unwrap(), answer);
    }

    #[test]
    fn no_bytes_panic(body in vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(body);
        let _ = PeerAttempt::decode(&body);
        let _ = PeerAnswer::decode(StatusCode::OK, &body);
        let _ = PeerAnswer::decode(StatusCode::MISDIRECTED_REQUEST, &body);
    }

    #[test]
    fn no_changed_byte_panics(attempt in attempt(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut body = bytes(&attempt.encode().unwrap()).to_vec();
        let at = at.index(body.len());
        body[at] = to;
        let _ = PeerAttempt::decode(&body.into());
    }

    #[test]
    fn no_head_that_is_cut_off_is_taken(attempt in attempt(), at in any::<prop::sample::Index>()) {
        let head = PeerAttempt { data: Data::Inline(Payload::empty()), ..attempt };
        let body = bytes(&head.encode().unwrap());
        prop_assert!(PeerAttempt::decode(&body.slice(..at.index(body.len()))).is_err());
    }
}

/// Binary mode would lose what these are.
#[test]
fn a_structured_event_stays_what_it_is() {
    let sent =
        br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","x":7,"y":true,"data":{"a":1}}"#;
    let event = read_structured(&Bytes::from_static(sent)).unwrap();
    let answer = PeerAnswer::Answered {
        status: 200,
        arrived_before: None,
        result: AnswerResult::Reply(Box::new(PeerReply {
            attributes: event.attributes,
            headers: PassThrough::default(),
            origin: None,
            data: Data::Inline(event.payload),
        })),
    };
    let (status, body) = answer.encode().unwrap();
    let Ok(PeerAnswer::Answered {
        result: AnswerResult::Reply(reply),
        ..
    }) = PeerAnswer::decode(status, &bytes(&body))
    else {
        panic!("no reply")
    };
    let Data::Inline(data) = reply.data else {
        panic!("a claim")
    };
    let written = write_structured(&Event::new(reply.attributes, data))
        .unwrap()
        .to_bytes();
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert_eq!(json(&written.unwrap()), json(sent));
}

#[test]
fn a_head_over_the_limit_is_not_sent() {
    let attributes = Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap();
    let long = "x".repeat(MAX_HEAD);
    let answer = PeerAnswer::Answered {
        status: 200,
        arrived_before: None,
        result: AnswerResult::Reply(Box::new(PeerReply {
            attributes: attributes.with("subject", long.as_str()).unwrap(),
            headers: PassThrough::default(),
            origin: None,
            data: Data::Inline(Payload::empty()),
        })),
    };
    let error = answer.encode().unwrap_err();
    assert!(
        error.to_string().contains("more than the 1048576"),
        "{error}"
    );
    let huge = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    assert!(matches!(
        PeerAttempt::decode(&huge),
        Err(WireError::Head { .. })
    ));
}
