//! Dependencies point one way, and each vendor's client has its place.

use crate::assert_tidy;
use crate::repository::{File, file};
use toml::{Table, Value};

/// For each crate: its folder, and those of our crates that it may depend on. Not in the table, not in the workspace.
const MAY_USE: &[(&str, &str, &[&str])] = &[
    ("towpath-event", "channels/event", &[]),
    ("towpath-config", "config/model", &["towpath-event"]),
    (
        "towpath-payloads",
        "channels/payloads",
        // in tests: the real servers
        &["towpath-event", "towpath-config", "towpath-harness"],
    ),
    (
        "towpath-channels",
        "channels/backends",
        &["towpath-event", "towpath-config", "towpath-payloads"],
    ),
    (
        "towpath-kafka",
        "channels/kafka",
        &[
            "towpath-event",
            "towpath-config",
            "towpath-payloads",
            "towpath-channels",
        ],
    ),
    (
        "towpath-gateway",
        "gateway",
        &[
            "towpath-event",
            "towpath-config",
            "towpath-payloads",
            "towpath-channels",
            "towpath-kafka",
        ],
    ),
    (
        "towpath-controller",
        "config/controller",
        &["towpath-event", "towpath-config", "towpath-channels"],
    ),
    (
        "towpath",
        "gateway/cli",
        &[
            "towpath-event",
            "towpath-config",
            "towpath-channels",
            "towpath-gateway",
            "towpath-controller",
        ],
    ),
    // black box: what tests the binary sees nothing of its inside
    ("towpath-harness", "tests/harness", &[]),
    // its simulation drives the gateway's own choice of replica
    (
        "towpath-bench",
        "tests/bench",
        &["towpath-harness", "towpath-gateway", "towpath-config"],
    ),
    // in tests: the settings' names, for the check that they are documented, and the parsers, for the seeds of the fuzzer
    ("xtask", "tests/xtask", &["towpath-event", "towpath-config"]),
];

/// For each outside crate that has a place: the crates that may depend on it.
const PLACES: &[(&str, &[&str])] = &[
    ("kube", &["towpath-gateway", "towpath-controller"]),
    ("k8s-openapi", &["towpath-gateway", "towpath-controller"]),
    ("rdkafka", &["towpath-kafka"]),
    ("async-nats", &["towpath-channels", "towpath-payloads"]),
    ("object_store", &["towpath-payloads"]),
    // the command line too: `display` and the steps of `demo` are subscribers
    (
        "axum",
        &["towpath-gateway", "towpath-controller", "towpath"],
    ),
    (
        "hyper",
        &[
            // the object store's HTTP client
            "towpath-payloads",
            "towpath-gateway",
            "towpath-controller",
            "towpath-harness",
            "towpath-bench",
        ],
    ),
    (
        "hyper-util",
        &[
            "towpath-payloads",
            "towpath-gateway",
            "towpath-controller",
            "towpath-harness",
            "towpath-bench",
        ],
    ),
    ("tower-http", &["towpath-gateway", "towpath-controller"]),
];

/// All dependencies of a manifest, of every kind and target, by their package names.
fn dependencies(table: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in table {
        let Value::Table(inner) = value else { continue };
        match key.as_str() {
            "dependencies" | "dev-dependencies" | "build-dependencies" => {
                names.extend(inner.iter().map(|(name, value)| {
                    let package = value.get("package").and_then(Value::as_str);
                    package.unwrap_or(name).to_owned()
                }));
            }
            "target" => names.extend(
                inner
                    .values()
                    .filter_map(Value::as_table)
                    .flat_map(dependencies),
            ),
            _ => {}
        }
    }
    names
}

fn directions(manifest: &File) -> Vec<String> {
    let path = &manifest.path;
    let table: Table = match manifest.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("{path}: {error}")],
    };
    let name = table
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str);
    let name = name.unwrap_or_default();
    let Some((_, folder, may_use)) = MAY_USE.iter().find(|(known, _, _)| *known == name) else {
        return vec![format!(
            "{path}: crate {name:?} has no place in the table of directions"
        )];
    };
    let mut complaints = Vec::new();
    if *path != format!("{folder}/Cargo.toml") {
        complaints.push(format!("{path}: crate {name} belongs in {folder}"));
    }
    for used in dependencies(&table) {
        let ours = MAY_USE.iter().any(|(known, _, _)| *known == used);
        if ours && used != name && !may_use.contains(&used.as_str()) {
            complaints.push(format!(
                "{path}: {name} may not depend on {used}: dependencies point one way"
            ));
        }
        if let Some((_, users)) = PLACES.iter().find(|(placed, _)| *placed == used)
            && !users.contains(&name)
        {
            complaints.push(format!(
                "{path}: {name} may not depend on {used}; only {users:?} may"
            ));
        }
    }
    complaints
}

#[test]
fn dependencies_point_one_way() {
    let workspace = file("Cargo.toml").expect("the workspace has a manifest");
    let table: Table = workspace
        .text
        .parse()
        .expect("the workspace's manifest is TOML");
    let members = table["workspace"]["members"].as_array().expect("members");
    let mut complaints = Vec::new();
    for member in members {
        let path = format!("{}/Cargo.toml", member.as_str().expect("a folder"));
        match file(&path) {
            Some(manifest) => complaints.extend(directions(manifest)),
            None => complaints.push(format!("{path} is missing")),
        }
    }
    assert_eq!(
        members.len(),
        MAY_USE.len(),
        "the table of directions lists other crates than the workspace"
    );
    assert_tidy(&complaints);
}

#[test]
fn these_checks_complain() {
    let bad = [
        (
            "config/model",
            "towpath-config",
            "[dependencies]\ntowpath-gateway.workspace = true",
        ),
        (
            "config/controller",
            "towpath-controller",
            "[dependencies]\ntowpath-gateway.workspace = true",
        ),
        (
            "gateway",
            "towpath-gateway",
            "[dev-dependencies]\ntowpath-controller = { path = \"x\" }",
        ),
        (
            "channels/event",
            "towpath-event",
            "[dependencies]\nhyper.workspace = true",
        ),
        (
            "gateway",
            "towpath-gateway",
            "[target.'cfg(unix)'.dependencies]\nrdkafka = \"1\"",
        ),
        (
            "gateway",
            "towpath-gateway",
            "[dependencies]\nqueue = { package = \"rdkafka\", version = \"1\" }",
        ),
        ("elsewhere", "towpath-event", ""),
        ("new", "towpath-new", ""),
    ];
    for (folder, name, rest) in bad {
        let text = format!("[package]\nname = \"{name}\"\n{rest}\n");
        let complaints = directions(&File::of(&format!("{folder}/Cargo.toml"), &text));
        assert_eq!(complaints.len(), 1, "{folder} {rest}: {complaints:?}");
    }
}
