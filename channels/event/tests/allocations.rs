//! Counts what the hot path allocates: this is what "keeps bytes" means.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/counting.rs"]
mod counting;

use counting::allocations;
use http::{HeaderMap, HeaderName, HeaderValue};
use towpath_event::http::{read_binary, write_binary};
use towpath_event::{Attributes, Payload};

/// Headers as a server has them: made of shared bytes.
fn received() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "broker.example.com"),
        ("ce-specversion", "1.0"),
        ("ce-id", "4321-4321-4321"),
        ("ce-source", "https://example.com/orders"),
        ("ce-type", "com.example.order.created"),
        ("ce-time", "2018-04-05T17:31:00Z"),
        ("ce-subject", "order 17"),
        ("ce-comexampleextension", "value"),
        ("content-type", "application/json"),
        ("content-length", "1024"),
    ] {
        let value =
            HeaderValue::from_maybe_shared(bytes::Bytes::from(value.as_bytes().to_vec())).unwrap();
        headers.insert(HeaderName::try_from(name).unwrap(), value);
    }
    // The first clone of bytes that came as a vector makes their reference count.
    drop(headers.clone());
    headers
}

#[test]
fn reading_a_binary_event_makes_two_allocations() {
    let headers = received();
    let (count, attributes) = allocations(|| read_binary(&headers).unwrap());
    assert_eq!(
        count, 2,
        "the list of attributes and its reference count, and nothing for names or values"
    );
    let (count, _) =
        allocations(|| attributes.get("subject").is_some() && attributes.content_type().is_some());
    assert_eq!(count, 0);
}

#[test]
fn cloning_attributes_makes_none_until_one_is_changed() {
    let mut attributes = read_binary(&received()).unwrap();
    let (count, kept) = allocations(|| attributes.clone());
    assert_eq!(count, 0);
    assert!(attributes.remove("subject"));
    assert_eq!(kept.get("subject"), Some("order 17"));
}

#[test]
fn writing_a_binary_event_makes_none() {
    let attributes: Attributes = read_binary(&received()).unwrap();
    let mut headers = HeaderMap::with_capacity(24);
    let (count, ()) = allocations(|| write_binary(&attributes, true, &mut headers));
    assert_eq!(count, 0);
    assert_eq!(headers["ce-subject"], "order 17");
}

#[test]
fn cloning_a_payload_makes_none() {
    let payload =
        Payload::from_chunks(vec![vec![1; 100].into(), vec![2; 100].into()]).with_lease(());
    let (count, _clone) = allocations(|| payload.clone());
    assert_eq!(count, 0);
}
