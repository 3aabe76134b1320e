//! What is refused when files are read: every problem at once, with file, line and path.

mod support;

use support::{compiled, file, imc, lines, problems};
use towpath_config::{SourceFile, read};

#[test]
fn every_problem_of_every_file_at_once() {
    let files = [
        SourceFile {
            name: "b.yaml".to_owned(),
            text: "\
apiVersion: messaging.knative.dev/v1
kind: Subscription
metadata:
  name: s
spec:
  channel: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: c}
  subscribr:
    uri: http://example.com
  delivery:
    retry: many
    backofPolicy: linear
---
kind: Subscription
---
- not an object
---
a: [broken
---
apiVersion: messaging.knative.dev/v1beta1
kind: Subscription
metadata: {name: t}
"
            .to_owned(),
        },
        SourceFile {
            name: "a.yaml".to_owned(),
            text: imc("deliveri: {}"),
        },
    ];
    insta::assert_snapshot!(lines(read(&files).err()).join("\n"));
}

#[test]
fn a_dump_from_a_cluster_loads() {
    let text = r#"
apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: messaging.knative.dev/v1
  kind: InMemoryChannel
  metadata:
    name: c
    namespace: default
    uid: 1e1c
    generation: 3
    resourceVersion: "5"
    creationTimestamp: "2026-01-01T00:00:00Z"
    annotations: {messaging.knative.dev/subscribable: v1}
    managedFields: [{manager: kubectl, fieldsV1: {"f:metadata": {}}}]
    finalizers: [imc-dispatcher]
  spec:
    subscribers:
    - uid: 77aa
      name: s
      generation: 1
      subscriberUri: http://example.com/x
      replyUri: http://c-kn-channel.default.svc.cluster.local
      delivery: {retry: 2, deadLetterSink: {uri: "http://dead.example.com"}}
      auth: {serviceAccountName: x}
  status:
    address: {url: "http://c-kn-channel.default.svc.cluster.local"}
    conditions: [{type: Ready, status: "True", anything: [1]}]
    subscribers: [{uid: 77aa, ready: "True"}]
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web, namespace: default}
  spec: {replicas: 1}
"#;
    let compiled = compiled(text);
    let subscription = support::only(&compiled);
    // A2.1: the UID is the identity.
    assert_eq!(&*subscription.key.0, "77aa");
    assert_eq!(&*subscription.name, "s");
    assert_eq!(subscription.delivery.retry, 2);
    insta::assert_snapshot!(compiled.report);
}

#[test]
fn typed_lists_and_json() {
    let text = r#"{"apiVersion": "messaging.knative.dev/v1", "kind": "InMemoryChannelList", "items": [
        {"metadata": {"name": "c"}},
        {"metadata": {"name": "d"}, "spec": {"deliver": {}}}]}"#;
    assert_eq!(
        problems(text),
        [
            "a.yaml:3: InMemoryChannel d: spec.deliver: unknown field `deliver`; did you mean `delivery`?"
        ]
    );
    let objects = read(&file(&text.replace("deliver\"", "delivery\"")));
    assert_eq!(
        objects
            .map(|objects| objects.implementations.len())
            .unwrap_or_default(),
        2
    );
}

#[test]
fn empty_documents_and_comments_are_nothing() {
    assert_eq!(problems(""), [""; 0]);
    assert_eq!(problems("# only a comment\n---\n---\n...\n"), [""; 0]);
    assert_eq!(
        problems(&format!("\u{feff}---\r\n{}", imc("").replace('\n', "\r\n"))),
        [""; 0]
    );
}

#[test]
fn fields_of_kubernetes_itself_may_grow_but_typos_are_refused() {
    let service = |field: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: x}}\nspec:\n  {field}: 1\n")
    };
    assert_eq!(problems(&service("somethingNew")), [""; 0]);
    assert_eq!(
        problems(&service("prots")),
        ["a.yaml:5: Service x: spec.prots: unknown field `prots`; did you mean `ports`?"]
    );
    let labels = "apiVersion: v1\nkind: Service\nmetadata: {name: x, lables: {a: b}}\n";
    assert_eq!(
        problems(labels),
        ["a.yaml:3: Service x: metadata.lables: unknown field `lables`; did you mean `labels`?"]
    );
}

#[test]
fn other_vendors_channels_keep_their_settings() {
    let kafka = support::document(
        "messaging.knative.dev/v1beta1",
        "KafkaChannel",
        "c",
        "numPartitions: 3",
    );
    let compiled = compiled(&kafka);
    assert_eq!(
        compiled
            .report
            .notes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "a.yaml:3: KafkaChannel default/c: kind: runs as a memory channel here: Towpath stands in for KafkaChannel, and keeps events in \
          its process"
        ]
    );
}

#[test]
fn a_repeated_key_is_a_problem_among_others() {
    let text = "apiVersion: messaging.knative.dev/v1\nkind: InMemoryChannel\nmetadata: {name: c}\nspec: {}\nspec: {}\n";
    assert_eq!(
        problems(text),
        ["a.yaml:5: InMemoryChannel c: spec: `spec` is given twice; keep one"]
    );
}
