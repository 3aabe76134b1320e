//! A message as a record.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::forms::{self, Form};
use super::{ACCEPTED, Binding, CLAIM, Encoded, FORMS, HOPS, ORIGIN, PASS_THROUGH, TRACE, percent};
use crate::{Attributes, Message, Origin};

/// The record that carries `message`: a CloudEvent in the binary mode of `binding` (F2.9), which any reader of that
/// broker takes for an ordinary event, and our own in headers beside it. [`from_headers`](super::from_headers) gives
/// the same message again, with the time of acceptance to the millisecond. The data of the event is copied only if
/// it is in several pieces; data that is set aside stays where it is, and the header `towpath-claim` says where. On NATS, values of `tracestate` and `baggage` that are not printable ASCII, which W3C does
/// not allow, are left out.
pub fn to_headers(message: &Message, binding: Binding) -> Encoded {
    let mut headers = Headers {
        binding,
        list: Vec::with_capacity(24),
    };
    let Message {
        event,
        headers: passing,
        trace,
        hops,
        origin,
        accepted,
    } = message;
    headers.attributes(&event.attributes, !event.payload.is_empty());
    headers.ours(HOPS, hops.to_string());
    headers.ours(ACCEPTED, millis(*accepted).to_string());
    if let Some(origin) = origin {
        headers.ours(ORIGIN, origin_text(origin));
    }
    for (name, value) in passing.iter() {
        headers.value(format!("{PASS_THROUGH}{name}"), value.as_bytes());
    }
    let mut context = HeaderMap::with_capacity(TRACE.len());
    trace.write(&mut context);
    for (name, value) in &context {
        if binding == Binding::Kafka || is_printable(value) {
            headers.ours(name.as_str(), Bytes::copy_from_slice(value.as_bytes()));
        }
    }
    let value = match event.payload.stored() {
        None => event.payload.to_bytes().unwrap_or_default(),
        Some(stored) => {
            headers.ours(CLAIM, stored.claim().to_string());
            Bytes::new()
        }
    };
    Encoded {
        headers: headers.list,
        value: (binding == Binding::Nats || !value.is_empty()).then_some(value),
    }
}

struct Headers {
    binding: Binding,
    list: Vec<(String, Bytes)>,
}

impl Headers {
    fn attributes(&mut self, attributes: &Attributes, has_data: bool) {
        let mut forms = String::new();
        self.attribute("specversion", attributes.specversion().as_str());
        for (name, value) in attributes.values() {
            self.attribute(name, value.as_str());
            if let Some(form) = Form::of(value) {
                forms::push(&mut forms, name, form);
            }
        }
        if attributes.json_implied() {
            if has_data && attributes.content_type().is_none() {
                self.attribute("datacontenttype", "application/json");
            }
            forms::push(&mut forms, "datacontenttype", Form::Implied);
        }
        if !forms.is_empty() {
            self.ours(FORMS, forms);
        }
    }

    fn attribute(&mut self, name: &str, text: &str) {
        self.value(self.binding.header(name), text.as_bytes());
    }

    /// A header whose value may hold anything.
    fn value(&mut self, name: String, value: &[u8]) {
        let value = match self.binding {
            Binding::Kafka => Bytes::copy_from_slice(value),
            Binding::Nats => percent::encode(value),
        };
        self.list.push((name, value));
    }

    /// A header whose value needs no encoding.
    fn ours(&mut self, name: &str, value: impl Into<Bytes>) {
        self.list.push((name.to_owned(), value.into()));
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn origin_text(origin: &Origin) -> String {
    let Origin {
        replica,
        node,
        zone,
    } = origin;
    let mut text = format!("replica={}", percent::encode_in_list(replica));
    for (key, value) in [("node", node), ("zone", zone)] {
        if let Some(value) = value {
            text.push_str(&format!(";{key}={}", percent::encode_in_list(value)));
        }
    }
    text
}

fn is_printable(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    bytes.trim_ascii() == bytes && bytes.iter().all(|byte| (0x20..0x7f).contains(byte))
}
