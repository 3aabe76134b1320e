//! Reads the CloudEvents conformance data.

use std::collections::BTreeMap;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value as Json;
use towpath_event::{Attributes, SpecVersion};

/// The text of a file of the conformance data.
pub(crate) fn data(path: &str) -> String {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/cloudevents-conformance");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A header map of these headers.
pub(crate) fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let parse = |(name, value): &(&str, &str)| {
        (
            HeaderName::try_from(*name).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    list.iter().map(parse).collect()
}

/// Asserts that two texts are the same JSON value.
pub(crate) fn same_json(left: &[u8], right: &[u8]) {
    let parse = |text| serde_json::from_slice::<Json>(text).unwrap();
    assert_eq!(parse(left), parse(right));
}

/// One event that the conformance tool's sender sends.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Script {
    context_attributes: Context,
    pub(crate) data: String,
}

#[derive(Deserialize)]
struct Context {
    #[serde(flatten)]
    attributes: BTreeMap<String, Json>,
    #[serde(rename = "Extensions", default)]
    extensions: BTreeMap<String, String>,
}

impl Script {
    /// The attributes; extension values trimmed, as the sender puts them into headers.
    pub(crate) fn attributes(&self) -> Attributes {
        let text = |name: &str| match &self.context_attributes.attributes[name] {
            Json::String(text) => text.clone(),
            Json::Number(number) => format!("{:.1}", number.as_f64().unwrap()),
            other => panic!("{name}: {other}"),
        };
        let version = match text("specversion").as_str() {
            "0.3" => SpecVersion::V03,
            "1.0" => SpecVersion::V10,
            other => panic!("specversion {other}"),
        };
        let mut attributes =
            Attributes::new(version, text("id"), text("source"), text("type")).unwrap();
        for name in self.context_attributes.attributes.keys() {
            if !["specversion", "id", "source", "type"].contains(&name.as_str()) {
                attributes.set(name, text(name).into()).unwrap();
            }
        }
        for (name, value) in &self.context_attributes.extensions {
            attributes.set(name, value.trim().into()).unwrap();
        }
        attributes
    }
}

/// The sender scripts of a file.
pub(crate) fn scripts(file: &str) -> Vec<Script> {
    serde_saphyr::from_multiple(&data(&format!("yaml/{file}")))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// One example of a scenario outline.
pub(crate) struct Example {
    /// The request, CRLF not restored.
    pub(crate) request: String,
    /// The attributes to expect, sorted.
    pub(crate) attributes: Vec<(String, String)>,
    /// The data to expect, as JSON.
    pub(crate) data: String,
}

/// Every example of the scenario outlines of a feature file, with its placeholder filled in.
pub(crate) fn feature_examples(path: &str) -> Vec<Example> {
    let text = data(path);
    let outlines = text.split("Scenario Outline:").skip(1);
    outlines
        .flat_map(|outline| {
            let (scenario, examples) = outline.split_once("Examples:").unwrap();
            let values = table(examples)
                .into_iter()
                .skip(1)
                .map(|row| row[0].clone());
            values
                .map(|value| example(&scenario.replace("<contentType>", &value)))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn example(scenario: &str) -> Example {
    let quoted: Vec<&str> = scenario.split("\"\"\"").collect();
    let mut attributes: Vec<_> = table(quoted[2])
        .into_iter()
        .skip(1)
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    attributes.sort();
    Example {
        request: quoted[1].to_owned(),
        attributes,
        data: quoted[3].to_owned(),
    }
}

fn table(text: &str) -> Vec<Vec<String>> {
    let rows = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('|'));
    rows.map(|row| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    })
    .collect()
}

/// The headers and the body of a request in a feature file, whose lines are indented.
pub(crate) fn parse_request(request: &str) -> (HeaderMap, String) {
    let (head, body) = request.trim_start().split_once("\n\n").unwrap();
    let lines = head
        .lines()
        .skip(1)
        .map(|line| line.trim().split_once(": ").unwrap());
    (headers(&lines.collect::<Vec<_>>()), body.to_owned())
}
