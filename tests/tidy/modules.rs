//! Inside the gateway, HTTP and Kubernetes have their modules; the rest knows neither.

use crate::repository::File;
use crate::{assert_tidy, over_files};

/// For each outside crate, as it is written in source: the gateway's modules that may use it.
const MODULES: &[(&[&str], &[&str])] = &[
    (
        &["hyper::", "hyper_util::", "axum::", "tower_http::"],
        &["ingress", "send", "peer", "admin"],
    ),
    (&["kube::", "k8s_openapi::"], &["topology_source"]),
];

fn uses(file: &File) -> Vec<String> {
    let Some(inside) = file.path.strip_prefix("gateway/src/") else {
        return Vec::new();
    };
    let module = inside.split(['/', '.']).next().unwrap_or_default();
    let mut complaints = Vec::new();
    for (number, line) in file.lines() {
        let code = line.split("//").next().unwrap_or_default();
        for (names, modules) in MODULES {
            if modules.contains(&module) {
                continue;
            }
            for name in names.iter().filter(|name| names_crate(code, name)) {
                complaints.push(format!(
                    "{}:{number}: {name} belongs in the modules {modules:?} of the gateway",
                    file.path
                ));
            }
        }
    }
    complaints
}

/// Whether `name` stands in the line as a path of its own, not as the end of a longer word.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn only_the_doors_of_the_gateway_know_http_and_only_its_source_knows_kubernetes() {
    assert_tidy(&over_files(uses));
}

#[test]
fn this_check_complains() {
    for bad in [
        "use hyper::body::Incoming;",
        "fn a(b: axum::Router) {}",
        "use kube::Api;",
    ] {
        assert_eq!(
            uses(&File::of("gateway/src/delivery/hop.rs", bad)).len(),
            1,
            "{bad}"
        );
    }
    assert_eq!(
        uses(&File::of("gateway/src/send.rs", "use kube::Api;")).len(),
        1
    );
    for good in [
        "// as hyper::Error says",
        "use my_hyper::body;",
        "use http::Request;",
    ] {
        assert_eq!(
            uses(&File::of("gateway/src/delivery/hop.rs", good)).len(),
            0,
            "{good}"
        );
    }
    assert_eq!(
        uses(&File::of("gateway/src/send/pool.rs", "use hyper::client;")).len(),
        0
    );
}
