//! What a dead letter says of its cause: the three error attributes (CONTRACT C6.1). Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use towpath_config::topology::Destination;
use towpath_event::{Event, Value};

use super::outcome::Failure;

/// Bytes of an answer's body that a dead letter can carry: 1024 characters of base64 (I8).
const DATA_BYTES: usize = 768;
/// Bytes of the answer of Knative's broker filter, which wraps another one's, in JSON and base64.
const WRAPPED_BYTES: usize = 16 * 1024;

/// How the filter of Knative's MTChannelBasedBroker, which runs on channels like ours, reports whose failure it
/// passes on (C6.7).
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Wrapped {
    errdestination: String,
    errresponsebody: String,
}

/// Bytes of a failed answer's body that [`mark`] has a use for.
pub(crate) fn body_bytes(at: &Destination) -> usize {
    if is_broker_filter(at) {
        WRAPPED_BYTES
    } else {
        DATA_BYTES
    }
}

/// The original event with `knativeerrordest`, `knativeerrorcode` and `knativeerrordata`. Values of an earlier
/// failure are overwritten (C6.10); data is left out when there is none (C6.2).
pub(crate) fn mark(original: &Event, at: &Destination, failure: &Failure) -> Event {
    if !is_broker_filter(at) {
        return with_attributes(original, &at.url, failure.code, &failure.data);
    }
    let wrapped = serde_json::from_slice::<Wrapped>(&failure.data).ok();
    let unwrapped =
        wrapped.and_then(|w| Some((STANDARD.decode(&w.errresponsebody).ok()?, w.errdestination)));
    match unwrapped {
        Some((body, destination)) => with_attributes(original, &destination, failure.code, &body),
        None => original.clone(),
    }
}

fn is_broker_filter(at: &Destination) -> bool {
    at.uri
        .host()
        .is_some_and(|host| host.starts_with("broker-filter.knative-eventing.svc."))
}

fn with_attributes(original: &Event, destination: &str, code: u16, data: &[u8]) -> Event {
    let mut event = original.clone();
    let data = &data[..data.len().min(DATA_BYTES)];
    let data = (!data.is_empty()).then(|| Value::from(STANDARD.encode(data)));
    let attributes = [
        ("knativeerrordest", Some(Value::from(destination))),
        ("knativeerrorcode", Some(Value::from(i32::from(code)))),
        ("knativeerrordata", data),
    ];
    for (name, value) in attributes {
        event.attributes.remove(name);
        if let Some(value) = value
            && let Err(error) = event.attributes.set(name, value)
        {
            tracing::warn!(attribute = name, %error, "a dead letter goes out without one of its error attributes");
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use towpath_config::topology::Target;
    use towpath_event::{Attributes, Payload, SpecVersion};

    fn marked(event: &Event, data: &[u8]) -> Event {
        let at = Destination {
            url: "http://fake.svc.cluster.local".into(),
            uri: "http://fake.svc.cluster.local".parse().unwrap(),
            ca_certs: None,
            audience: None,
            target: Target::Uri,
            policy: Arc::default(),
        };
        let failure = Failure {
            code: 422,
            data: data.to_vec(),
            retryable: false,
            retry_after: None,
            gone: false,
        };
        mark(event, &at, &failure)
    }

    fn event() -> Event {
        let attributes = Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap();
        Event::new(attributes, Payload::from(b"data".to_vec()))
    }

    #[test]
    fn c6_1_names_destination_code_and_data() {
        let letter = marked(&event(), b"<html>no</html>");
        assert_eq!(
            letter.attributes.get("knativeerrordest"),
            Some("http://fake.svc.cluster.local"),
            "no slash added"
        );
        assert_eq!(letter.attributes.get("knativeerrorcode"), Some("422"));
        assert_eq!(
            letter.attributes.get("knativeerrordata"),
            Some("PGh0bWw+bm88L2h0bWw+")
        );
        assert_eq!(letter.payload.to_bytes().unwrap(), "data");
    }

    #[test]
    fn c6_2_and_c6_10_no_data_no_attribute_even_when_an_earlier_failure_had_one() {
        let letter = marked(&marked(&event(), b"first"), b"");
        assert_eq!(letter.attributes.get("knativeerrordata"), None);
    }

    #[test]
    fn c6_1_data_is_cut_to_1024_characters_that_still_decode() {
        let letter = marked(&event(), &[b'x'; 5000]);
        let data = letter.attributes.get("knativeerrordata").unwrap();
        assert_eq!(data.len(), 1024);
        assert_eq!(STANDARD.decode(data).unwrap(), [b'x'; 768]);
    }
}
