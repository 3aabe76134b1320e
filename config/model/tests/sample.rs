//! The samples compile to what Knative would make of them, and to nothing else.

use towpath_config::{CompileOptions, SourceFile, compile, load, read};

fn sequence() -> SourceFile {
    SourceFile {
        name: "sequence.yaml".into(),
        text: include_str!("../../samples/sequence/sequence.yaml").into(),
    }
}

fn endpoints() -> SourceFile {
    SourceFile {
        name: "endpoints.yaml".into(),
        text: include_str!("../../samples/sequence/endpoints.yaml").into(),
    }
}

#[test]
fn a10_1_sequence_sample() {
    let objects = read(&[sequence(), endpoints()]).unwrap();
    let compiled = compile(&objects, &CompileOptions::default()).unwrap();
    insta::assert_snapshot!("sample_report", compiled.report);
    insta::assert_debug_snapshot!("sample_channels", compiled.topology.channels);
    let mut hosts: Vec<_> = compiled
        .topology
        .hosts
        .iter()
        .map(|(host, key)| format!("{host} = {key}"))
        .collect();
    hosts.sort();
    insta::assert_debug_snapshot!("sample_hosts", hosts);
    let mut replicas: Vec<_> = compiled.replicas.by_port.iter().collect();
    replicas.sort_by(|a, b| a.0.cmp(b.0));
    insta::assert_debug_snapshot!("sample_replicas", replicas);
}

#[test]
fn without_endpoints_services_are_found_by_name() {
    let objects = read(&[sequence()]).unwrap();
    let compiled = compile(&objects, &CompileOptions::default()).unwrap();
    assert!(compiled.replicas.by_port.is_empty());
    assert_eq!(compiled.topology.channels.len(), 3);
}

/// Files of a sample, under the names that they have in its folder.
macro_rules! sample {
    ($folder:literal, $manifest:literal) => {
        [
            SourceFile {
                name: $manifest.into(),
                text: include_str!(concat!("../../samples/", $folder, "/", $manifest)).into(),
            },
            SourceFile {
                name: "endpoints.yaml".into(),
                text: include_str!(concat!("../../samples/", $folder, "/endpoints.yaml")).into(),
            },
        ]
    };
}

/// The only sample whose Services have several replicas.
#[test]
fn hop_policy_sample() {
    let files = sample!("hop-policy", "hop-policy.yaml");
    let compiled = load(&files, &CompileOptions::default()).unwrap();
    insta::assert_snapshot!("sample_hop_policy", compiled.report);
    let replicas = compiled.replicas.by_port.values();
    assert!(replicas.into_iter().all(|behind| behind.ready.len() == 2));
    let subscribers = compiled
        .topology
        .channels
        .values()
        .flat_map(|channel| &channel.subscriptions)
        .filter_map(|subscription| subscription.subscriber.as_ref());
    let policies: Vec<_> = subscribers.map(|subscriber| &subscriber.policy).collect();
    insta::assert_debug_snapshot!("sample_hop_policy_policies", policies);
}

#[test]
fn every_sample_compiles_without_a_note_and_knows_its_replicas() {
    let samples = [
        ("parallel", sample!("parallel", "parallel.yaml")),
        ("broker", sample!("broker", "broker.yaml")),
        ("fan_out", sample!("fan-out", "fan-out.yaml")),
        ("mixed", sample!("mixed", "app.yaml")),
    ];
    for (name, files) in samples {
        let compiled = load(&files, &CompileOptions::default()).unwrap();
        insta::assert_snapshot!(format!("sample_{name}"), compiled.report);
        assert_eq!(compiled.report.notes, [], "{name}");
        let replicas = compiled.replicas.by_port.values();
        assert!(replicas.into_iter().all(|behind| behind.ready.len() == 1));
        assert!(!compiled.report.to_string().contains("by DNS"), "{name}");
    }
}
