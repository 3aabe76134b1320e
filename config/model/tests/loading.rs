//! Reading and compiling together: type errors do not hide broken rules, and follow-up problems are left out.

mod support;

use support::{file, imc, lines, subscription};
use towpath_config::{CompileOptions, load};

fn found(text: &str) -> Vec<String> {
    lines(load(&file(text), &CompileOptions::default()).err())
}

#[test]
fn type_errors_and_rules_in_one_list() {
    let text = imc("delivery: {retry: -1, timeout: 5}")
        + &subscription("subscriber: {uri: relative}\nreplay: {uri: 'http://x'}");
    assert_eq!(
        found(&text),
        [
            "a.yaml:6: InMemoryChannel default/c: spec.delivery.retry: -1 is negative; write 0 for no further attempt",
            "a.yaml:6: InMemoryChannel c: spec.delivery.timeout: invalid type: integer `5`, expected a string",
            "a.yaml:13: Subscription default/s: spec.subscriber.uri: `relative` is relative; write `http://<host>/<path>`, or add a `ref` \
             that it is relative to",
            "a.yaml:14: Subscription s: spec.replay: unknown field `replay`; did you mean `reply`?",
        ]
    );
}

#[test]
fn what_only_follows_is_left_out() {
    // The channel could not be read, so that it is missing is no news; nor is a subscriber under a mistyped name.
    let broken = imc("").replace("metadata: {name: c}", "metadata: {name: [c]}");
    let text = broken + &subscription("subscribr: {uri: 'http://x'}");
    assert_eq!(
        found(&text),
        [
            "a.yaml:2: InMemoryChannel without a name: metadata.name: missing; every object needs apiVersion, kind and metadata.name, all strings",
            "a.yaml:11: Subscription s: spec.subscribr: unknown field `subscribr`; did you mean `subscriber`?",
        ]
    );
    // A step that was set aside moves those after it.
    let steps = support::document(
        "flows.knative.dev/v1",
        "Sequence",
        "q",
        "steps:\n- 7\n- {uri: 'http://x'}\n- {uri: /x}\nreply: {uri: /y}",
    );
    assert_eq!(
        found(&steps),
        [
            "a.yaml:7: Sequence q: spec.steps[0]: invalid type: integer `7`, expected a mapping",
            "a.yaml:10: Sequence default/q: spec.reply.uri: `/y` is relative; write `http://<host>/<path>`, or add a `ref` that it is relative to",
        ]
    );
}

#[test]
fn what_is_right_is_compiled() {
    assert!(load(&file(&imc("")), &CompileOptions::default()).is_ok());
}

#[test]
fn addresses_that_nothing_refers_to_are_said() {
    let addresses = [(
        "Service/default/typo".to_owned(),
        "http://127.0.0.1:1".to_owned(),
    )]
    .into();
    let options = CompileOptions {
        addresses,
        ..CompileOptions::default()
    };
    let notes = load(&file(&imc("")), &options)
        .map(|compiled| compiled.report.notes)
        .unwrap_or_default();
    assert_eq!(
        notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["addresses.Service/default/typo: nothing in the files refers to this object or host"]
    );
}
