//! The CloudEvents conformance data: JSON events that must and must not parse, sender scripts, the HTTP feature file.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::Value as Json;
use support::{data, headers, same_json};
use towpath_event::http::{
    Mode, mode, read_binary, read_structured, write_binary, write_structured,
};
use towpath_event::{Attributes, Event, Invalid, Payload, SpecVersion};

/// The tests in a file of the JSON format.
fn tests(name: &str) -> Vec<Json> {
    let file: Json = serde_json::from_str(&data(&format!("format/json/{name}"))).unwrap();
    file["tests"].as_array().unwrap().clone()
}

fn read(event: &Json) -> Result<Event, Invalid> {
    read_structured(&event.to_string().into())
}

/// The event that GOLDEN.md describes under `sample`.
fn golden(sample: &str) -> Event {
    let source = if sample == "minimalWithRelativeSource" {
        "#fragment"
    } else {
        "https://cloudevents.io"
    };
    let base = Attributes::new(SpecVersion::V10, sample, source, "io.cloudevents.test").unwrap();
    let mut payload = Payload::empty();
    let attributes = match sample {
        "minimal" | "minimalWithRelativeSource" => Ok(base),
        "minimalWithTime" => base.with("time", "2018-04-05T17:31:00Z"),
        "allCore" => base
            .with("datacontenttype", "text/plain")
            .and_then(|a| a.with("dataschema", "https://cloudevents.io/dataschema"))
            .and_then(|a| a.with("subject", "tests"))
            .and_then(|a| a.with("time", "2018-04-05T17:31:00Z")),
        "simpleTextData" => {
            payload = Payload::from("Simple text");
            base.with("datacontenttype", "text/plain")
        }
        "allExtensionTypes" => base
            .with("extinteger", 10)
            .and_then(|a| a.with("extboolean", true))
            .and_then(|a| a.with("extstring", "text"))
            .and_then(|a| a.with("extbinary", "TWE="))
            .and_then(|a| a.with("exttimestamp", "2023-03-31T15:12:00Z"))
            .and_then(|a| a.with("exturi", "https://cloudevents.io"))
            .and_then(|a| a.with("exturiref", "//authority/path")),
        other => panic!("GOLDEN.md has no {other}"),
    };
    Event::new(attributes.unwrap(), payload)
}

/// Times are compared as instants (C3.12).
fn instant(event: &Event) -> Option<jiff::Timestamp> {
    event
        .attributes
        .get("time")
        .map(|time| time.parse().unwrap())
}

#[test]
fn valid_events_are_their_golden_samples() {
    let tests = tests("valid-events.json");
    assert_eq!(tests.len(), 10);
    for test in tests {
        let mut event =
            read(&test["event"]).unwrap_or_else(|invalid| panic!("{}: {invalid}", test["id"]));
        let mut expected = golden(test["sampleId"].as_str().unwrap());
        assert_eq!(instant(&event), instant(&expected), "{}", test["id"]);
        event.attributes.remove("time");
        expected.attributes.remove("time");
        assert_eq!(event, expected, "{}", test["id"]);
        assert_eq!(
            event.payload.to_bytes().unwrap(),
            expected.payload.to_bytes().unwrap(),
            "{}",
            test["id"]
        );
    }
}

#[test]
fn valid_events_come_out_as_they_went_in() {
    for test in tests("valid-events.json") {
        let written = write_structured(&read(&test["event"]).unwrap())
            .unwrap()
            .to_bytes()
            .unwrap();
        let mut expected = test["event"].clone();
        expected
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        assert_eq!(
            serde_json::from_slice::<Json>(&written).unwrap(),
            expected,
            "{}",
            test["id"]
        );
    }
}

#[test]
fn invalid_events_are_refused_for_what_is_wrong_with_them() {
    let tests = tests("invalid-events.json");
    assert_eq!(tests.len(), 25);
    let names = [
        "specversion",
        "id",
        "type",
        "source",
        "time",
        "time",
        "time",
        "time",
        "time",
        "time",
        "id",
        "type",
        "source",
        "specversion",
        "specversion",
        "datacontenttype",
        "datacontenttype",
        "dataschema",
        "subject",
        "id",
        "id",
        "MyExtension",
        "my.extension",
        "my.extension",
        "data_base64",
    ];
    for (test, name) in tests.iter().zip(names) {
        let invalid = read(&test["event"]).expect_err(test["id"].as_str().unwrap());
        assert_eq!(invalid.name(), name, "{}: {invalid}", test["id"]);
    }
}

/// Batches are refused as such (C2.5), but the events in them are events like others.
#[test]
fn events_of_batches() {
    let headers = headers(&[("content-type", "application/cloudevents-batch+json")]);
    assert_eq!(mode(&headers), Mode::Batch);
    for (file, count, valid) in [
        ("valid-batches.json", 5, true),
        ("invalid-batches.json", 3, false),
    ] {
        let tests = tests(file);
        assert_eq!(tests.len(), count);
        for test in tests {
            let all_valid = test["batch"]
                .as_array()
                .unwrap()
                .iter()
                .all(|event| read(event).is_ok());
            assert_eq!(all_valid, valid, "{}", test["id"]);
            assert!(read(&test["batch"]).is_err(), "{}", test["id"]);
        }
    }
}

#[test]
fn sender_scripts_in_both_modes() {
    let mut count = 0;
    for file in [
        "v03.yaml",
        "v1.yaml",
        "v0.3/v03_minimum.yaml",
        "v1.0/v1_minimum.yaml",
    ] {
        for script in support::scripts(file) {
            let attributes = script.attributes();
            let payload = Payload::from(script.data.clone());
            let event = Event::new(attributes, payload);

            let mut headers = ::http::HeaderMap::new();
            write_binary(&event.attributes, true, &mut headers);
            assert_eq!(mode(&headers), Mode::Binary);
            assert_eq!(
                read_binary(&headers).unwrap(),
                event.attributes,
                "{file} {}",
                event.attributes.id()
            );

            let read =
                read_structured(&write_structured(&event).unwrap().to_bytes().unwrap()).unwrap();
            assert_eq!(read.attributes, event.attributes);
            same_json_or_bytes(&read, &event);
            count += 1;
        }
    }
    assert_eq!(count, 15);
}

/// Around a JSON value, the white space of the scripts is not data.
fn same_json_or_bytes(left: &Event, right: &Event) {
    let json = right
        .attributes
        .content_type()
        .is_none_or(|content_type| content_type.contains("json"));
    let (left, right) = (
        left.payload.to_bytes().unwrap(),
        right.payload.to_bytes().unwrap(),
    );
    if json {
        same_json(&left, &right)
    } else {
        assert_eq!(left, right)
    }
}

#[test]
fn http_feature_file() {
    let examples = support::feature_examples("features/http-protocol-binding.feature");
    assert_eq!(examples.len(), 4);
    for example in examples {
        let (headers, body) = support::parse_request(&example.request);
        let event = match mode(&headers) {
            Mode::Binary => Event::new(read_binary(&headers).unwrap(), Payload::from(body)),
            Mode::Structured => read_structured(&body.into()).unwrap(),
            other @ (Mode::Batch | Mode::NotAnEvent) => panic!("{other:?}: {}", example.request),
        };
        let mut attributes: Vec<_> = event
            .attributes
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        attributes.sort();
        assert_eq!(attributes, example.attributes);
        same_json(&event.payload.to_bytes().unwrap(), example.data.as_bytes());
    }
}
