//! Names that code and documents share: metrics, labels, settings, and links between documents.

use crate::repository::{File, repository, root};
use crate::{assert_tidy, over_files};
use std::collections::BTreeSet;
use std::path::Path;

/// Where metrics and labels are documented.
const METRICS_README: &str = "gateway/README.md";

/// Where settings are documented.
const SETTINGS_README: &str = "config/model/README.md";

/// The names in a `metrics.rs`: string literals of lower-case words joined by `_`. Metrics and labels alike.
fn names_in_code(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let literals = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    literals
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(|literal| is_name(literal))
        .map(str::to_owned)
        .collect()
}

fn is_name(text: &str) -> bool {
    text.contains('_')
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// First cells, in backticks, of the table whose heading begins with this word; without what follows a `{`.
fn first_cells(text: &str, heading: &str) -> BTreeSet<String> {
    let heading = format!("| {heading}");
    text.lines()
        .skip_while(|line| !line.to_ascii_lowercase().starts_with(&heading))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('`').nth(1))
        .map(|name| name.split('{').next().unwrap_or(name).to_owned())
        .collect()
}

/// Everything in backticks, taken apart at what is no part of a name.
fn names_in_text(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|code| code.split(|c: char| !(c.is_alphanumeric() || c == '_')))
        .map(str::to_owned)
        .collect()
}

fn metrics(code: &BTreeSet<String>, readme: &str) -> Vec<String> {
    let (text, table) = (names_in_text(readme), first_cells(readme, "metric"));
    let missing = code
        .iter()
        .filter(|name| !text.contains(*name))
        .map(|name| format!("{METRICS_README}: does not name the metric or label `{name}`"));
    let stale = table
        .iter()
        .filter(|name| !code.contains(*name))
        .map(|name| format!("{METRICS_README}: no metrics.rs has the metric `{name}`"));
    missing.chain(stale).collect()
}

/// Settings that only one side knows.
fn settings(keys: &BTreeSet<String>, readme: &str) -> Vec<String> {
    let table = first_cells(readme, "key");
    let missing = keys
        .difference(&table)
        .map(|key| format!("{SETTINGS_README}: the table of keys does not have `{key}`"));
    let stale = table
        .difference(keys)
        .map(|key| format!("{SETTINGS_README}: no setting has the key `{key}`"));
    missing.chain(stale).collect()
}

/// Relative links that lead nowhere.
fn links(file: &File, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut complaints = Vec::new();
    for (number, line) in file.lines() {
        for target in line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#', ' ']).next())
        {
            let outside =
                target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !outside && !exists(&folder.join(target)) {
                complaints.push(format!("{}:{number}: {target} is not there", file.path));
            }
        }
    }
    complaints
}

#[test]
fn metrics_and_labels_are_documented_and_no_others() {
    let is_definition =
        |file: &&File| file.path.ends_with("/metrics.rs") && !file.path.starts_with("tests/");
    let code: BTreeSet<String> = repository()
        .iter()
        .filter(is_definition)
        .flat_map(|file| names_in_code(&file.text))
        .collect();
    assert!(
        !code.is_empty(),
        "no metrics.rs defines a metric: has the file another name?"
    );
    let readme = repository().iter().find(|file| file.path == METRICS_README);
    let readme = readme.expect("the gateway has a README");
    assert!(
        !first_cells(&readme.text, "metric").is_empty(),
        "{METRICS_README} has no table `| metric ...`"
    );
    assert_tidy(&metrics(&code, &readme.text));
}

#[test]
fn settings_are_documented_and_no_others() {
    let keys: BTreeSet<String> = towpath_config::settings::keys()
        .iter()
        .map(|key| key.name.to_owned())
        .collect();
    assert!(!keys.is_empty());
    let readme = repository()
        .iter()
        .find(|file| file.path == SETTINGS_README);
    assert_tidy(&settings(
        &keys,
        &readme.expect("the settings have a README").text,
    ));
}

#[test]
fn links_between_documents_lead_somewhere() {
    assert_tidy(&over_files(|file| {
        links(file, |path| root().join(path).exists())
    }));
}

#[test]
fn these_checks_complain() {
    let code = names_in_code(
        "// \"not_this\"\nnew(\"towpath_a_total\", \"Help text_.\", &[\"reason_x\"])",
    );
    assert_eq!(
        code,
        ["reason_x", "towpath_a_total"].map(str::to_owned).into()
    );
    let readme =
        "| metric | labels |\n|---|---|\n| `towpath_b_total{x}` | `reason_x` |\n\n| other |\n";
    assert_eq!(metrics(&code, readme).len(), 2);
    let readme = readme.replace("b_total", "a_total");
    assert_eq!(metrics(&code, &readme), Vec::<String>::new());
    let keys = ["listen", "limits.hops"].map(str::to_owned).into();
    let readme = "| key | form |\n|---|---|\n| `listen` | address |\n| `limits.hop` | count |\n";
    assert_eq!(settings(&keys, readme).len(), 2);
    assert_eq!(
        settings(&keys, &readme.replace("hop`", "hops`")),
        Vec::<String>::new()
    );
    let file = File::of("a/b.md", "[x](c.md) [y](https://x.y) [z](#here)");
    assert_eq!(links(&file, |_| false), ["a/b.md:1: c.md is not there"]);
    assert_eq!(links(&file, |path| path == Path::new("a/c.md")).len(), 0);
}
