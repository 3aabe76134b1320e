//! A record as a message: one of ours, or anyone's CloudEvent.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::forms::{self, Form};
use super::{
    ACCEPTED, Binding, CLAIM, CONTENT_TYPE, Defaults, FORMS, HOPS, ORIGIN, PASS_THROUGH, TRACE,
    Unreadable, percent,
};
use crate::http::{STRUCTURED_JSON, read_structured};
use crate::{
    Attributes, Event, Invalid, Message, Origin, PassThrough, Payload, SpecVersion, TraceContext,
    check, media, name,
};

/// The message in a record of a broker. `headers` may hold a name more than once; of attributes and of our own the first
/// counts (C3.11). Headers that are nobody's are left out. A record without headers of ours is an event from
/// outside, in binary mode or structured JSON (F2.9); `defaults` says what else its message has.
///
/// # Errors
/// It is no event, no valid one, or carries what no gateway of this version writes; see [`Unreadable`]. No input
/// panics.
pub fn from_headers<'h, I>(
    headers: I,
    value: Option<Bytes>,
    binding: Binding,
    defaults: Defaults,
) -> Result<Message, Unreadable>
where
    I: IntoIterator<Item = (&'h str, &'h [u8])>,
    I::IntoIter: Clone,
{
    let headers = Record {
        headers: headers.into_iter(),
        binding,
    };
    if headers.first(CLAIM).is_some() {
        return Err(Unreadable::SetAside);
    }
    Ok(Message {
        event: headers.event(value.unwrap_or_default())?,
        headers: headers.passing(),
        trace: headers.trace(),
        hops: headers.hops()?.unwrap_or(defaults.hops),
        origin: headers.origin()?,
        accepted: headers.accepted()?.unwrap_or(defaults.accepted),
    })
}

struct Record<I> {
    headers: I,
    binding: Binding,
}

impl<'h, I: Iterator<Item = (&'h str, &'h [u8])> + Clone> Record<I> {
    /// The first header of this name.
    fn first(&self, name: &str) -> Option<&'h [u8]> {
        let mut headers = self.headers.clone();
        headers.find_map(|(present, value)| (present == name).then_some(value))
    }

    /// The first header of this name, which is one of ours, as text.
    fn ours(&self, name: &str) -> Option<Cow<'h, str>> {
        self.first(name).map(String::from_utf8_lossy)
    }

    fn event(&self, value: Bytes) -> Result<Event, Unreadable> {
        let content_type = self.first(CONTENT_TYPE).unwrap_or_default();
        if media::essence(content_type).eq_ignore_ascii_case(STRUCTURED_JSON.as_bytes()) {
            return Ok(read_structured(&value)?);
        }
        let header = self.binding.header("specversion");
        let version = match self.first(&header) {
            Some(version) => self.decoded("specversion", version)?,
            None => return Err(Unreadable::NotAnEvent { header }),
        };
        let version = SpecVersion::required(&version)?;
        Ok(Event::new(self.attributes(version)?, Payload::from(value)))
    }

    fn attributes(&self, version: SpecVersion) -> Result<Attributes, Invalid> {
        let forms = self.ours(FORMS).unwrap_or_default();
        let mut attributes = Attributes::of(version, self.headers.clone().count());
        let implied = forms::find(&forms, "datacontenttype") == Some(Form::Implied);
        if implied {
            attributes.set_json_implied();
        }
        for (header, bytes) in self.headers.clone() {
            let Some(name) = self.attribute(header) else {
                continue;
            };
            let text = self.decoded(name, bytes)?;
            if name == "datacontenttype" && (implied || text.trim().is_empty()) {
                continue;
            }
            let header = name::to_header(name)?;
            if attributes.get(name).is_some() {
                continue;
            }
            check::value(version, name, &text)?;
            let form = forms::find(&forms, name)
                .filter(|form| *form == Form::Raw || !check::is_core(version, name));
            attributes.push(header, Form::value(form, &text))?;
        }
        attributes.complete()
    }

    /// The attribute that a header carries, if it is one.
    fn attribute(&self, header: &'h str) -> Option<&'h str> {
        let name = header.strip_prefix(self.binding.prefix());
        match self.binding {
            Binding::Kafka if header == CONTENT_TYPE => Some("datacontenttype"),
            // Not legal there, as on HTTP (C3.11).
            Binding::Kafka => name.filter(|name| *name != "datacontenttype"),
            Binding::Nats => name,
        }
        .filter(|name| *name != "specversion")
    }

    /// The text of an attribute's header.
    fn decoded(&self, name: &str, bytes: &'h [u8]) -> Result<Cow<'h, str>, Invalid> {
        let bytes = self.plain(bytes);
        let text = match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        text.ok_or_else(|| Invalid::bare(name, "the value of its header is not UTF-8"))
    }

    /// The bytes of a value that was written encoded.
    fn plain(&self, bytes: &'h [u8]) -> Cow<'h, [u8]> {
        match self.binding {
            Binding::Kafka => Cow::Borrowed(bytes),
            Binding::Nats => percent::decode(bytes),
        }
    }

    /// What is not a header, or may not pass (C4.1), is left out.
    fn passing(&self) -> PassThrough {
        let mut map = HeaderMap::new();
        for (name, value) in self.headers.clone() {
            let name = name.strip_prefix(PASS_THROUGH);
            let name = name.and_then(|name| HeaderName::try_from(name).ok());
            let value = HeaderValue::from_bytes(&self.plain(value)).ok();
            if let (Some(name), Some(value)) = (name, value) {
                // Fails only beyond 32768 headers, which no broker lets in.
                let _ = map.try_append(name, value);
            }
        }
        PassThrough::from_headers(&map)
    }

    fn trace(&self) -> TraceContext {
        let mut map = HeaderMap::new();
        for (name, value) in self
            .headers
            .clone()
            .filter(|(name, _)| TRACE.contains(name))
        {
            let name = HeaderName::try_from(name).ok();
            if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                // As above.
                let _ = map.try_append(name, value);
            }
        }
        TraceContext::from_headers(&map)
    }

    fn hops(&self) -> Result<Option<u8>, Unreadable> {
        self.parsed(HOPS, "a number from 0 to 255", |text| text.parse().ok())
    }

    fn accepted(&self) -> Result<Option<SystemTime>, Unreadable> {
        self.parsed(ACCEPTED, "milliseconds since 1970", |text| {
            UNIX_EPOCH.checked_add(Duration::from_millis(text.parse().ok()?))
        })
    }

    fn origin(&self) -> Result<Option<Origin>, Unreadable> {
        self.parsed(ORIGIN, "replica=..;node=..;zone=..", |text| {
            let part = |key| {
                let mut parts = text.split(';').filter_map(|part| part.split_once('='));
                let (_, value) = parts.find(|(present, _)| *present == key)?;
                let value = percent_decode_str(value).decode_utf8().ok()?;
                Some(Arc::<str>::from(value))
            };
            Some(Origin {
                replica: part("replica")?,
                node: part("node"),
                zone: part("zone"),
            })
        })
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        must_be: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Unreadable> {
        let Some(value) = self.ours(name) else {
            return Ok(None);
        };
        match parse(&value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(Unreadable::Header {
                name,
                value: value.into(),
                must_be,
            }),
        }
    }
}
