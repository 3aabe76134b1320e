//! Events as tests write and read them, independent of the crate under test: the full and the minimal event of
//! the conformance suites (E1.5), in binary and structured mode, in both specversions.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::subscriber::Recorded;

/// The content type of a structured event.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// A version of CloudEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec {
    /// 0.3
    V03,
    /// 1.0
    V10,
}

impl Spec {
    /// Both versions, for tests that hold in either.
    pub const BOTH: [Spec; 2] = [Spec::V03, Spec::V10];

    /// The text of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Spec::V03 => "0.3",
            Spec::V10 => "1.0",
        }
    }
}

/// One event: attributes by name (with `specversion`, with `datacontenttype`), and data.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Values with their JSON types; what came as a header is text.
    pub attributes: BTreeMap<String, Value>,
    /// `None` and empty are the same on the wire (C3.7).
    pub data: Option<Bytes>,
}

/// An HTTP message that carries an event: headers and body.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// In order.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Message {
    /// Adds a header (a second one of that name if there is one). Any bytes that HTTP can carry.
    ///
    /// # Panics
    /// When HTTP itself cannot carry the name or value: that needs the raw sender.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.append(
            name,
            HeaderValue::from_bytes(value.as_ref()).expect("a header value"),
        );
        self
    }

    /// Removes every header of that name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Replaces every header of that name.
    #[must_use]
    pub fn replace(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).header(name, value)
    }

    /// A JSON body with the structured content type, whatever it holds.
    #[must_use]
    pub fn json(body: impl Into<Bytes>) -> Self {
        Message {
            headers: HeaderMap::new(),
            body: body.into(),
        }
        .header("content-type", STRUCTURED)
    }
}

impl Event {
    /// The minimal event of E1.5: required attributes only, no data.
    #[must_use]
    pub fn min(spec: Spec) -> Self {
        Event {
            attributes: BTreeMap::new(),
            data: None,
        }
        .with("specversion", spec.as_str())
        .with("type", "com.example.MinEvent")
        .with("id", "min-event")
        .with("source", "http://example.com/source")
    }

    /// The full event of E1.5: every attribute, extensions of every type, JSON data.
    #[must_use]
    pub fn full(spec: Spec) -> Self {
        let schema = match spec {
            Spec::V03 => "schemaurl",
            Spec::V10 => "dataschema",
        };
        Event::min(spec)
            .with("type", "com.example.FullEvent")
            .with("id", "full-event")
            .with("subject", "topic")
            .with("time", "2020-03-21T12:34:56.78Z")
            .with(schema, "http://example.com/schema")
            .with("exbool", true)
            .with("exint", 42)
            .with("exstring", "exstring")
            .with("exbinary", "AAECAw==")
            .with("exurl", "http://example.com/source")
            .with("extime", "2020-03-21T12:34:56.78Z")
            .data("text/json", r#""hello""#)
    }

    /// A plain 1.0 event with that id and a short JSON text.
    #[must_use]
    pub fn numbered(id: impl ToString + Copy) -> Self {
        Event::min(Spec::V10)
            .with("id", id.to_string())
            .data("application/json", r#"{"n":1}"#)
    }

    /// Sets an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// Removes an attribute.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.attributes.remove(name);
        self
    }

    /// Sets data and its content type.
    #[must_use]
    pub fn data(mut self, content_type: &str, data: impl Into<Bytes>) -> Self {
        self.data = Some(data.into());
        self.with("datacontenttype", content_type)
    }

    /// An attribute as text; empty when absent.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.attributes.get(name).map(text_of).unwrap_or_default()
    }

    /// All attributes as text: what must not change on the way, whatever mode carried them (C3.14).
    #[must_use]
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.attributes
            .iter()
            .map(|(name, value)| (name.clone(), text_of(value)))
            .collect()
    }

    /// The data; empty when there is none.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.data.clone().unwrap_or_default()
    }

    /// The event in binary mode: `ce-` headers and the data as the body.
    #[must_use]
    pub fn binary(&self) -> Message {
        let mut message = Message {
            headers: HeaderMap::new(),
            body: self.bytes(),
        };
        for (name, value) in &self.attributes {
            let header = if name == "datacontenttype" {
                "content-type".to_owned()
            } else {
                format!("ce-{name}")
            };
            message = message.header(&header, text_of(value));
        }
        message
    }

    /// The event in structured mode. JSON data is written as it is, text as a string, other bytes as base64 in the
    /// way of the specversion.
    #[must_use]
    pub fn structured(&self) -> Message {
        let mut fields: Vec<String> = self
            .attributes
            .iter()
            .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
            .collect();
        if let Some(data) = &self.data {
            let json = serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok();
            match std::str::from_utf8(data) {
                Ok(text) if json && is_json(&self.text("datacontenttype")) => {
                    fields.push(format!(r#""data":{text}"#))
                }
                Ok(text) => fields.push(format!(r#""data":{}"#, Value::from(text))),
                Err(_) if self.text("specversion") == "0.3" => {
                    fields.push(r#""datacontentencoding":"base64""#.to_owned());
                    fields.push(format!(r#""data":"{}""#, STANDARD.encode(data)));
                }
                Err(_) => fields.push(format!(r#""data_base64":"{}""#, STANDARD.encode(data))),
            }
        }
        Message::json(format!("{{{}}}", fields.join(",")))
    }

    /// Reads the event that a request carried, in either mode.
    ///
    /// # Errors
    /// When the request is not an event.
    pub fn of(request: &Recorded) -> Result<Self> {
        Event::read(&request.headers, &request.body)
    }

    /// Reads the event that headers and body carry, in either mode.
    ///
    /// # Errors
    /// When they are not an event.
    pub fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self> {
        let content_type = headers
            .get(CONTENT_TYPE)
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        if content_type
            .as_deref()
            .is_some_and(|kind| kind.starts_with(STRUCTURED))
        {
            return read_structured(body);
        }
        let mut event = Event {
            attributes: BTreeMap::new(),
            data: (!body.is_empty()).then(|| body.clone()),
        };
        for (name, value) in headers {
            if let Some(name) = name.as_str().strip_prefix("ce-") {
                event = event.with(name, String::from_utf8_lossy(value.as_bytes()).into_owned());
            }
        }
        if event.text("specversion").is_empty() {
            bail!("neither a structured content type nor ce-specversion: {headers:?}");
        }
        Ok(match content_type {
            Some(kind) => event.with("datacontenttype", kind.into_owned()),
            None => event,
        })
    }
}

fn read_structured(body: &Bytes) -> Result<Event> {
    let fields: BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_slice(body).context("structured event")?;
    let mut event = Event {
        attributes: BTreeMap::new(),
        data: None,
    };
    let mut content_type = String::new();
    for (name, raw) in &fields {
        let value: Value = serde_json::from_str(raw.get())?;
        if name == "datacontenttype" {
            content_type = text_of(&value);
        }
        if name != "data" && name != "data_base64" {
            event = event.with(name, value);
        }
    }
    if let Some(raw) = fields.get("data_base64") {
        event.data = Some(
            STANDARD
                .decode(serde_json::from_str::<String>(raw.get())?)?
                .into(),
        );
    } else if let Some(raw) = fields.get("data") {
        let text = serde_json::from_str::<String>(raw.get());
        event.data = Some(match text {
            Ok(text) if !content_type.is_empty() && !is_json(&content_type) => text.into(),
            _ => raw.get().to_owned().into(),
        });
    }
    Ok(event)
}

fn is_json(content_type: &str) -> bool {
    let media = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media.is_empty() || media.ends_with("/json") || media.ends_with("+json")
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_modes_carry_the_same_event() {
        for spec in Spec::BOTH {
            for event in [Event::min(spec), Event::full(spec)] {
                let binary = event.binary();
                let structured = event.structured();
                let from_binary = Event::read(&binary.headers, &binary.body).unwrap();
                let from_structured = Event::read(&structured.headers, &structured.body).unwrap();
                assert_eq!(from_binary.texts(), from_structured.texts());
                assert_eq!(from_binary.bytes(), from_structured.bytes());
                assert_eq!(from_structured, event);
            }
        }
    }
}
