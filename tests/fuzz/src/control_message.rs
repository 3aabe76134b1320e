//! Records of a broker.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use towpath_event::control_message::{Binding, Defaults, from_headers, to_headers};

use super::input::record;

const DEFAULTS: Defaults = Defaults {
    hops: 255,
    accepted: UNIX_EPOCH,
};

/// A record that is read and written, for the same broker or the other one, is the same message (F2.9).
pub fn control_message(input: &[u8]) {
    let (headers, value) = record(input);
    let bindings = [Binding::Kafka, Binding::Nats];
    for from in bindings {
        let value = value.map(Bytes::copy_from_slice);
        let message = match from_headers(headers.iter().copied(), value, from, DEFAULTS) {
            Ok(message) => message,
            Err(unreadable) => {
                drop(unreadable.to_string());
                continue;
            }
        };
        for to in bindings {
            let encoded = to_headers(&message, to);
            let written = encoded.headers.iter();
            let written = written.map(|(name, value)| (name.as_str(), value.as_ref()));
            let again = from_headers(written, encoded.value.clone(), to, DEFAULTS)
                .expect("what a gateway writes can be read");
            assert_eq!(again.event, message.event, "{from:?} to {to:?}");
            assert_eq!(again.headers, message.headers, "{from:?} to {to:?}");
            assert_eq!(again.hops, message.hops);
            assert_eq!(again.origin, message.origin);
            assert_eq!(again.accepted, message.accepted);
            assert_eq!(again.trace.trace_id_hex(), message.trace.trace_id_hex());
            assert_eq!(again.trace.span_id_hex(), message.trace.span_id_hex());
        }
    }
}
