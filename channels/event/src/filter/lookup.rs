//! What filters see of an event: names and values as Knative's filters have them (B5.3).

use std::borrow::Cow;

use jiff::Timestamp;

use crate::{Attributes, media};

/// How an event without a time looks to a filter.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The value that filters compare for the name `name`; none if the event has no such attribute, which no text equals.
pub(super) fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<Cow<'a, str>> {
    match name {
        "time" => Some(attributes.get("time").map_or(NO_TIME.into(), utc)),
        _ => plain(attributes, name).map(Cow::Borrowed),
    }
}

/// Whether the event has the attribute, with a value that is not empty (B5.2). An absent time is absent here.
pub(super) fn present(attributes: &Attributes, name: &str) -> bool {
    plain(attributes, name).is_some_and(|text| !text.is_empty())
}

fn plain<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    match name {
        // Called dataschema in 1.0 and schemaurl in 0.3. An extension of the other name must not hide it.
        "dataschema" | "schemaurl" => attributes
            .get("dataschema")
            .or_else(|| attributes.get("schemaurl")),
        "datamediatype" => {
            let essence = media::essence(attributes.content_type()?.as_bytes());
            std::str::from_utf8(essence).ok()
        }
        _ => attributes.get(name),
    }
}

/// A timestamp in UTC with the shortest fraction (C3.12); as it came if it is finer than a nanosecond.
fn utc(text: &str) -> Cow<'_, str> {
    // Most times come so; they are not touched.
    if text.len() == "2018-04-05T17:31:00Z".len() && text.ends_with('Z') && !text.contains(":60Z") {
        return Cow::Borrowed(text);
    }
    match text.trim().parse::<Timestamp>() {
        Ok(timestamp) => Cow::Owned(timestamp.to_string()),
        Err(_) => Cow::Borrowed(text),
    }
}
