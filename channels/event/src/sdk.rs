//! Conversions to and from `cloudevents::Event` of cloudevents-sdk, the type at the edges (C3.1). They copy.

use cloudevents::event::{Data, EventBuilderError, ExtensionValue};
use cloudevents::{
    AttributesReader, AttributesWriter, EventBuilder, EventBuilderV03, EventBuilderV10,
};
use url::Url;

use crate::value::Typed;
use crate::{Attributes, Event, Invalid, Payload, SpecVersion, Value, check};

/// The event that an SDK event is. JSON data is serialised; times are in UTC; extensions come in order of name.
///
/// # Errors
/// It breaks a rule of C3.4 or C3.5 that the SDK does not hold: an empty `id`, an integer over 32 bits, say.
pub fn from_sdk(event: &cloudevents::Event) -> Result<Event, Invalid> {
    let (version, schema) = match event.specversion() {
        cloudevents::event::SpecVersion::V03 => (SpecVersion::V03, "schemaurl"),
        cloudevents::event::SpecVersion::V10 => (SpecVersion::V10, "dataschema"),
    };
    let mut attributes = Attributes::new(version, event.id(), event.source().as_str(), event.ty())?;
    let optional = [
        ("datacontenttype", event.datacontenttype().map(Value::from)),
        (
            schema,
            event.dataschema().map(|url| Value::from(url.as_str())),
        ),
        ("subject", event.subject().map(Value::from)),
        (
            "time",
            event
                .time()
                .map(|time| Value::from(time.to_rfc3339().replace("+00:00", "Z"))),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            attributes.set(name, value)?;
        }
    }
    let mut extensions: Vec<_> = event.iter_extensions().collect();
    extensions.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in extensions {
        attributes.set(name, extension(name, value)?)?;
    }
    let payload = match event.data() {
        None => Payload::empty(),
        Some(Data::Binary(bytes)) => bytes.clone().into(),
        Some(Data::String(text)) => text.clone().into(),
        Some(Data::Json(json)) => json.to_string().into(),
    };
    Ok(Event::new(attributes, payload))
}

fn extension(name: &str, value: &ExtensionValue) -> Result<Value, Invalid> {
    match value {
        ExtensionValue::String(text) => Ok(Value::from(text.as_str())),
        ExtensionValue::Boolean(truth) => Ok(Value::from(*truth)),
        ExtensionValue::Integer(number) => i32::try_from(*number).map(Value::from).map_err(|_| {
            Invalid::attribute(
                name,
                &number.to_string(),
                "a number must be an integer of 32 bits",
            )
        }),
    }
}

/// The SDK event that this event is. Data goes as bytes (`Data::Binary`), as the SDK's own reader of binary mode
/// gives it. The SDK keeps times as instants and schemas as URLs, so the text of these may change.
///
/// # Errors
/// The SDK cannot hold it: a `dataschema` (in 0.3 `schemaurl`) that is not a URL, a `time` at second 60.
pub fn to_sdk(event: &Event) -> Result<cloudevents::Event, Invalid> {
    let attributes = &event.attributes;
    let version = attributes.specversion();
    let schema = if version == SpecVersion::V03 {
        "schemaurl"
    } else {
        "dataschema"
    };
    let mut builder = EventBuilderV10::new()
        .id(attributes.id())
        .source(attributes.source())
        .ty(attributes.ty());
    if let Some(time) = attributes.get("time") {
        builder = builder.time(time.trim());
    }
    for (name, value) in attributes.values() {
        // In 0.3 the SDK knows no datacontentencoding, so it goes as an extension.
        if !check::is_core(version, name) || name == "datacontentencoding" {
            builder = match value.typed() {
                Typed::Text(text) => builder.extension(name, text),
                Typed::Integer(number) => builder.extension(name, i64::from(number)),
                Typed::Boolean(truth) => builder.extension(name, truth),
            };
        }
    }
    let mut built = builder
        .build()
        .map_err(|error| refused(attributes, &error))?;
    built.set_subject(attributes.get("subject"));
    built.set_datacontenttype(attributes.content_type());
    if let Some(text) = attributes.get(schema) {
        let rule = "the SDK takes only an absolute URL here";
        let url = Url::parse(text.trim()).map_err(|_| Invalid::attribute(schema, text, rule))?;
        built.set_dataschema(Some(url));
    }
    if !event.payload.is_empty() {
        let data = event.payload.to_bytes();
        let data =
            data.ok_or_else(|| Invalid::bare("data", "it is set aside in a payload store"))?;
        built.set_data_unchecked(data.to_vec());
    }
    if version == SpecVersion::V10 {
        return Ok(built);
    }
    EventBuilderV03::from(built)
        .build()
        .map_err(|error| refused(attributes, &error))
}

fn refused(attributes: &Attributes, error: &EventBuilderError) -> Invalid {
    let name = match error {
        EventBuilderError::MissingRequiredAttribute { attribute_name }
        | EventBuilderError::ParseTimeError { attribute_name, .. }
        | EventBuilderError::ParseUrlError { attribute_name, .. }
        | EventBuilderError::InvalidUriRefError { attribute_name } => attribute_name,
    };
    let value = attributes.get(name).unwrap_or_default();
    Invalid::attribute(name, value, format!("the SDK refuses it: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn full(version: SpecVersion, schema: &str) -> Event {
        let attributes = Attributes::new(version, "1", "/s", "t")
            .and_then(|a| a.with("datacontenttype", "application/json"))
            .and_then(|a| a.with(schema, "https://example.com/schema"))
            .and_then(|a| a.with("subject", "s"))
            .and_then(|a| a.with("time", "2018-04-05T17:31:00Z"))
            .and_then(|a| a.with("number", -7))
            .and_then(|a| a.with("truth", true))
            .and_then(|a| a.with("word", "h\u{e9}"))
            .unwrap();
        Event::new(attributes, Payload::from("{ \"a\" : 1 }"))
    }

    #[rstest]
    #[case(SpecVersion::V10, "dataschema")]
    #[case(SpecVersion::V03, "schemaurl")]
    fn c3_1_there_and_back_is_the_same_event_in_the_same_version(
        #[case] version: SpecVersion,
        #[case] schema: &str,
    ) {
        let event = full(version, schema);
        let there = to_sdk(&event).unwrap();
        assert_eq!(there.specversion().to_string(), version.as_str());
        assert_eq!(
            there.extension("number"),
            Some(&ExtensionValue::Integer(-7))
        );
        assert_eq!(
            there.extension("truth"),
            Some(&ExtensionValue::Boolean(true))
        );
        assert_eq!(there.iter_extensions().count(), 3);
        assert_eq!(from_sdk(&there).unwrap(), event);
    }

    #[rstest]
    #[case(SpecVersion::V10)]
    #[case(SpecVersion::V03)]
    fn an_event_with_nothing_optional(#[case] version: SpecVersion) {
        let event = Event::new(
            Attributes::new(version, "1", "#f", "t").unwrap(),
            Payload::empty(),
        );
        let there = to_sdk(&event).unwrap();
        assert_eq!(
            (there.data(), there.time(), there.datacontenttype()),
            (None, None, None)
        );
        assert_eq!(from_sdk(&there).unwrap(), event);
    }

    #[test]
    fn every_kind_of_sdk_data() {
        for (data, bytes) in [
            (Data::Binary(vec![0xff]), &b"\xff"[..]),
            (Data::String("text".into()), b"text"),
            (Data::Json(serde_json::json!({"a": [1]})), b"{\"a\":[1]}"),
        ] {
            let event = EventBuilderV10::new()
                .id("1")
                .source("/s")
                .ty("t")
                .data("a/b", data)
                .build()
                .unwrap();
            assert_eq!(from_sdk(&event).unwrap().payload.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn c3_5_what_the_sdk_holds_and_cloudevents_does_not() {
        let event = EventBuilderV10::new()
            .id("1")
            .source("/s")
            .ty("t")
            .extension("n", 1i64 << 31)
            .build()
            .unwrap();
        assert_eq!(from_sdk(&event).unwrap_err().name(), "n");
        let event = EventBuilderV10::new()
            .id("")
            .source("/s")
            .ty("t")
            .build()
            .unwrap();
        assert_eq!(from_sdk(&event).unwrap_err().name(), "id");
    }

    #[test]
    fn what_the_sdk_cannot_hold_is_an_error() {
        let mut event = full(SpecVersion::V03, "schemaurl");
        event
            .attributes
            .set("schemaurl", Value::from("relative"))
            .unwrap();
        assert_eq!(to_sdk(&event).unwrap_err().name(), "schemaurl");
    }
}
