//! What a binary binding loses of attributes, kept beside them so that the event comes back as it went.
//!
//! `towpath-forms` lists `name=form`, separated by commas, for attributes whose text alone is not all of it; few
//! events have such.

use http::HeaderValue;

use crate::Value;
use crate::value::Typed;

/// How an attribute is held beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An integer of a structured event.
    Integer,
    /// A boolean of a structured event.
    Boolean,
    /// Bytes of an HTTP header that are not plain ASCII, to be sent on as they are (C3.10).
    Raw,
    /// `datacontenttype` that was not given but follows from the data (C3.7).
    Implied,
}

impl Form {
    /// The form of `value`, if its text alone would not give the same value again.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value.typed() {
            Typed::Integer(_) => Some(Self::Integer),
            Typed::Boolean(_) => Some(Self::Boolean),
            Typed::Text(text) => {
                let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
                let raw = !plain && value.to_header().as_bytes() == text.as_bytes();
                raw.then_some(Self::Raw)
            }
        }
    }

    /// The value that has this text and form; of the text alone where the form does not fit it.
    pub(super) fn value(form: Option<Self>, text: &str) -> Value {
        let formed = match form {
            Some(Self::Integer) => text.parse::<i32>().ok().map(Value::from),
            Some(Self::Boolean) => text.parse::<bool>().ok().map(Value::from),
            Some(Self::Raw) => HeaderValue::from_bytes(text.as_bytes())
                .ok()
                .and_then(|header| Value::from_header(&header)),
            Some(Self::Implied) | None => None,
        };
        // `007` is not an integer's own text.
        match formed {
            Some(value) if value.as_str() == text => value,
            _ => Value::from(text),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Raw => "raw",
            Self::Implied => "implied",
        }
    }
}

/// Adds an attribute to the header's value.
pub(super) fn push(list: &mut String, name: &str, form: Form) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(name);
    list.push('=');
    list.push_str(form.as_str());
}

/// The form of the attribute `name` in the header's value. Forms that are not known count as none.
pub(super) fn find(list: &str, name: &str) -> Option<Form> {
    let forms = [Form::Integer, Form::Boolean, Form::Raw, Form::Implied];
    list.split(',').find_map(|entry| {
        let (attribute, form) = entry.split_once('=')?;
        let form = forms.into_iter().find(|known| known.as_str() == form);
        form.filter(|_| attribute == name)
    })
}
