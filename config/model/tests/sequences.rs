//! Sequences (A10.1): what the expansion makes, what it replaces, and what it collides with.

mod support;

use support::{channel, compiled, document, imc, problems};

const FLOWS: &str = "flows.knative.dev/v1";

fn sequence() -> String {
    let spec = "channelTemplate:\n  apiVersion: messaging.knative.dev/v1\n  kind: InMemoryChannel\n  spec: {delivery: {retry: 3, deadLetterSink: {uri: 'http://dead'}}}\n\
                steps:\n- uri: http://a\n- uri: http://b\n  delivery: {retry: 1}\nreply: {uri: 'http://end'}";
    document(FLOWS, "Sequence", "q", spec)
}

#[test]
fn a10_1_expansion() {
    let compiled = compiled(&sequence());
    let steps: Vec<_> = ["q-kn-sequence-0", "q-kn-sequence-1"]
        .into_iter()
        .map(|name| {
            let channel = channel(&compiled, name);
            let [subscription] = channel.subscriptions.as_slice() else {
                panic!("{channel:?}")
            };
            assert_eq!(&*subscription.key.0, format!("Subscription/default/{name}"));
            let shown = |to: &Option<towpath_config::topology::Destination>| {
                to.as_ref().map(|to| to.url.to_string()).unwrap_or_default()
            };
            let ends = [
                shown(&subscription.subscriber),
                shown(&subscription.reply),
                shown(&subscription.dead_letter),
            ];
            (ends, subscription.delivery.retry)
        })
        .collect();
    let next = "http://q-kn-sequence-1-kn-channel.default.svc.cluster.local";
    assert_eq!(
        steps,
        [
            (["http://a", next, "http://dead"].map(str::to_owned), 3),
            (
                ["http://b", "http://end", "http://dead"].map(str::to_owned),
                1
            ),
        ]
    );
}

#[test]
fn objects_of_the_expansion_in_a_dump_are_replaced() {
    let owned = |text: String| {
        text.replace(
            "metadata: {name: q-kn-sequence-0}",
            "metadata: {name: q-kn-sequence-0, ownerReferences: [{apiVersion: flows.knative.dev/v1, kind: Sequence, name: q, uid: x}]}",
        )
    };
    let channel_object = imc("subscribers: [{uid: u, subscriberUri: 'http://old'}]")
        .replace("name: c", "name: q-kn-sequence-0");
    let subscription_object = document(
        "messaging.knative.dev/v1",
        "Subscription",
        "q-kn-sequence-0",
        "channel: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: q-kn-sequence-0}\nsubscriber: {uri: 'http://old'}",
    );
    let compiled = compiled(
        &(sequence() + &owned(channel_object.clone()) + &owned(subscription_object.clone())),
    );
    let [subscription] = channel(&compiled, "q-kn-sequence-0")
        .subscriptions
        .clone()
        .try_into()
        .unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!(
        subscription
            .subscriber
            .as_ref()
            .map(|to| to.url.to_string()),
        Some("http://a".to_owned())
    );

    // The same objects of somebody else collide.
    assert_eq!(
        problems(&(sequence() + &channel_object + &subscription_object)),
        [
            "a.yaml:18: InMemoryChannel default/q-kn-sequence-0: metadata.name: Sequence default/q at a.yaml:2 has the same namespace and \
             name, so both would have the address of channel default/q-kn-sequence-0; rename one",
            "a.yaml:24: Subscription default/q-kn-sequence-0: metadata.name: Sequence default/q at a.yaml:11 makes a Subscription of this \
             name; rename this one",
        ]
    );
}

#[test]
fn a_sequence_needs_steps() {
    assert_eq!(
        problems(&document(FLOWS, "Sequence", "q", "steps: []")),
        ["a.yaml:6: Sequence default/q: spec.steps: a Sequence needs at least one step"]
    );
}

#[test]
fn every_step_is_checked() {
    let steps = "steps:\n- {}\n- uri: /x\n- uri: http://ok\n  delivery: {retry: -1}\nreply: {ref: {apiVersion: v1, kind: Service, name: gone}}";
    assert_eq!(
        problems(&document(FLOWS, "Sequence", "q", steps)),
        [
            "a.yaml:7: Sequence default/q: spec.steps[0]: needs a `ref` or a `uri`",
            "a.yaml:8: Sequence default/q: spec.steps[1].uri: `/x` is relative; write `http://<host>/<path>`, or add a `ref` that it is relative to",
            "a.yaml:10: Sequence default/q: spec.steps[2].delivery.retry: -1 is negative; write 0 for no further attempt",
            "a.yaml:11: Sequence default/q: spec.reply.ref: resolves to nothing: no object Service default/gone in the files, no status.address, \
             no `addresses` entry `Service/default/gone`",
        ]
    );
}
