//! The CESQL conformance kit: every case, with the few exceptions listed by name.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;
use towpath_event::cesql::{Environment, EvalError, Expression, Value};
use towpath_event::{Attributes, Filter, SpecVersion};

/// File, number of cases in it.
const FILES: [(&str, usize); 18] = [
    ("binary_comparison_operators", 32),
    ("binary_logical_operators", 16),
    ("binary_math_operators", 18),
    ("case_sensitivity", 7),
    ("casting_functions", 21),
    ("context_attributes_access", 8),
    ("exists_expression", 7),
    ("in_expression", 16),
    ("integer_builtin_functions", 4),
    ("like_expression", 37),
    ("literals", 10),
    ("negate_operator", 6),
    ("not_operator", 6),
    ("parse_errors", 1),
    ("spec_examples", 13),
    ("string_builtin_functions", 42),
    ("sub_expression", 3),
    ("subscriptions_api_recreations", 28),
];

/// Cases that contradict the text of the specification: file, name, and what we give instead.
const EXCEPTIONS: [(&str, &str, &str); 1] = [
    // Of integers only 0 casts to false, without error; this case wants (true, cast) (F1.6).
    ("not_operator", "Invalid int cast", "(Boolean(false), None)"),
];

#[derive(Deserialize)]
struct File {
    tests: Vec<Case>,
}

/// `expression` is asked for as text, so that `TRUE` and `-10` stay what is written there; the others keep their types.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    name: String,
    expression: String,
    result: Option<Json>,
    error: Option<String>,
    event: Option<BTreeMap<String, Json>>,
    event_overrides: Option<BTreeMap<String, Json>>,
}

impl Case {
    /// The event of the case, or any event with what the case overrides.
    fn attributes(&self) -> Attributes {
        let given = self.event.iter().chain(&self.event_overrides).flatten();
        let given: BTreeMap<&str, &Json> = given.map(|(name, value)| (&**name, value)).collect();
        let required = |name: &str| {
            given
                .get(name)
                .and_then(|value| value.as_str())
                .unwrap_or("a")
        };
        let mut attributes = Attributes::new(
            SpecVersion::V10,
            required("id"),
            required("source"),
            required("type"),
        )
        .unwrap();
        for (name, value) in given {
            let value = match value {
                Json::String(text) if name == "specversion" => {
                    assert_eq!(text, "1.0");
                    continue;
                }
                Json::String(text) => text.as_str().into(),
                Json::Bool(truth) => (*truth).into(),
                Json::Number(number) => i32::try_from(number.as_i64().unwrap()).unwrap().into(),
                other => panic!("{}: {other}", self.name),
            };
            attributes.set(name, value).unwrap();
        }
        attributes
    }

    /// What the case wants, in the form of `outcome`.
    fn expected(&self) -> String {
        if self.error.as_deref() == Some("parse") {
            return "parse".to_owned();
        }
        let value = match self.result.as_ref().unwrap() {
            Json::String(text) => Value::Text(text.into()),
            Json::Bool(truth) => Value::Boolean(*truth),
            Json::Number(number) => Value::Integer(number.as_i64().unwrap().try_into().unwrap()),
            other => panic!("{}: {other}", self.name),
        };
        show(&value, self.error.as_deref())
    }

    /// What we give: the value and the kind of error; or `parse`.
    fn outcome(&self) -> String {
        let attributes = self.attributes();
        let environment = Environment::default();
        let Ok(expression) = Expression::parse(&self.expression) else {
            assert!(Filter::cesql(&self.expression).is_err());
            return "parse".to_owned();
        };
        let evaluated = expression.evaluate(&attributes, &environment);
        let matches = evaluated.error.is_none() && evaluated.value == Value::Boolean(true);
        assert_eq!(expression.matches(&attributes, &environment), matches);
        let filter = Filter::cesql(&self.expression).unwrap();
        assert_eq!(filter.matches(&attributes, &environment), matches);
        show(&evaluated.value, evaluated.error.as_ref().map(kind))
    }
}

fn show(value: &Value<'_>, error: Option<&str>) -> String {
    let mut shown = String::new();
    write!(shown, "({value:?}, {error:?})").unwrap();
    shown
}

fn kind(error: &EvalError) -> &'static str {
    match error {
        EvalError::MissingAttribute(_) => "missingAttribute",
        EvalError::Cast { .. } => "cast",
        EvalError::Math(_) => "math",
        EvalError::MissingFunction { .. } => "missingFunction",
        EvalError::FunctionEvaluation(_) => "functionEvaluation",
    }
}

#[test]
fn f1_every_case_but_the_exceptions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/cesql_tck");
    let (mut count, mut differing) = (0, Vec::new());
    for (file, cases) in FILES {
        let text = std::fs::read_to_string(folder.join(file).with_extension("yaml")).unwrap();
        let File { tests } =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(tests.len(), cases, "{file}");
        count += tests.len();
        for case in tests {
            let (outcome, expected) = (case.outcome(), case.expected());
            if outcome != expected {
                differing.push((file, case.name, case.expression, outcome, expected));
            }
        }
    }
    assert_eq!(count, 275);
    let found: Vec<_> = differing
        .iter()
        .map(|(file, name, _, outcome, _)| (*file, name.as_str(), outcome.as_str()))
        .collect();
    assert_eq!(found, EXCEPTIONS, "{differing:#?}");
}

/// Files that the list above does not name would not be run.
#[test]
fn every_file_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/cesql_tck");
    let files = std::fs::read_dir(folder).unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    assert_eq!(files.count(), FILES.len());
}
