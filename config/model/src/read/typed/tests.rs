//! Tests of reading typed objects: every fault at once, with path and place.

use std::collections::BTreeMap;

use super::*;

#[derive(Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Outer {
    name: String,
    retry_count: Option<i32>,
    labels: BTreeMap<String, String>,
    items: Vec<Item>,
    loose: Option<Item>,
}

#[derive(Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
struct Item {
    port: Option<u16>,
    mode: Option<Mode>,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Linear,
    Exponential,
}

fn check(text: &str) -> (Option<Outer>, Vec<String>) {
    let node = crate::read::tree::parse(text, crate::read::tree::DEEP)
        .remove(0)
        .unwrap();
    let mut faults = Vec::new();
    let unknown = |path: &str| {
        if path.starts_with("loose") {
            Unknown::Ignore
        } else {
            Unknown::Refuse
        }
    };
    let value = typed(&node, &unknown, &mut faults);
    faults.sort_by_key(|fault| fault.place);
    let shown = faults
        .iter()
        .map(|f| format!("{}: {}: {}", f.place.line, f.path, f.message))
        .collect();
    (value, shown)
}

#[test]
fn reads_what_is_right() {
    let (value, faults) =
        check("name: a\nretryCount: 3\nlabels: {x: y}\nitems:\n- port: 80\n  mode: linear\n");
    assert!(faults.is_empty(), "{faults:?}");
    let value = value.unwrap();
    assert_eq!(value.retry_count, Some(3));
    assert_eq!(value.items[0].mode, Some(Mode::Linear));
}

#[test]
fn every_fault_at_once() {
    let text = "name: 5\nretryCuont: 3\nlabels: {x: 1, y: z}\nretryCount: many\nitems:\n- port: 70000\n- port: 1\n  mode: Linear\n- 7\n\
                loose: {anything: 1}\nname: b\n";
    let (value, faults) = check(text);
    assert_eq!(
        faults,
        [
            "1: name: invalid type: integer `5`, expected a string",
            "2: retryCuont: unknown field `retryCuont`; did you mean `retryCount`?",
            "3: labels.x: invalid type: integer `1`, expected a string",
            "4: retryCount: invalid type: string \"many\", expected an integer from -2147483648 to 2147483647",
            "6: items[0].port: invalid value: integer `70000`, expected an integer from 0 to 65535",
            "8: items[1].mode: `Linear` is not one of: linear, exponential",
            "9: items[2]: invalid type: integer `7`, expected a mapping",
            "11: name: `name` is given twice; keep one",
        ]
    );
    assert_eq!(value.unwrap().items.len(), 2);
}

#[test]
fn an_object_of_the_wrong_type() {
    let (value, faults) = check("- a\n");
    assert_eq!(value, None);
    assert_eq!(faults, ["1: : invalid type: list, expected a mapping"]);
}

#[test]
fn null_is_not_set() {
    let (value, faults) = check("name: ~\nretryCount:\nitems: null\n");
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(value.unwrap(), Outer::default());
}
