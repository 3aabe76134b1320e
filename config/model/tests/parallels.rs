//! Parallels (A10.2): what the expansion makes, what it replaces, and what it collides with.

mod support;

use rstest::rstest;
use support::{channel, compiled, document, ends, imc, problems};

const FLOWS: &str = "flows.knative.dev/v1";

fn parallel(spec: &str) -> String {
    document(FLOWS, "Parallel", "p", spec)
}

fn subscriptions(
    compiled: &towpath_config::Compiled,
    name: &str,
) -> Vec<(String, [String; 3], u32)> {
    channel(compiled, name)
        .subscriptions
        .iter()
        .map(|subscription| {
            let retry = subscription.delivery.retry;
            (subscription.key.to_string(), ends(subscription), retry)
        })
        .collect()
}

fn found(key: &str, ends: [&str; 3], retry: u32) -> (String, [String; 3], u32) {
    let key = format!("Subscription/default/{key}");
    (key, ends.map(str::to_owned), retry)
}

#[test]
fn a10_2_expansion() {
    let text = parallel(
        "channelTemplate:\n  apiVersion: messaging.knative.dev/v1\n  kind: InMemoryChannel\n  spec: {delivery: {retry: 3, deadLetterSink: {uri: 'http://dead'}}}\n\
         branches:\n\
         - filter: {uri: 'http://filter'}\n  subscriber: {uri: 'http://a'}\n  reply: {uri: 'http://own'}\n\
         - subscriber: {uri: 'http://b'}\n  delivery: {retry: 1}\n\
         reply: {uri: 'http://end'}",
    );
    let compiled = compiled(&text);
    let branch =
        |index| format!("http://p-kn-parallel-{index}-kn-channel.default.svc.cluster.local");
    assert_eq!(compiled.topology.channels.len(), 3);
    assert_eq!(
        subscriptions(&compiled, "p-kn-parallel"),
        [
            found(
                "p-kn-parallel-filter-0",
                ["http://filter", &branch(0), "http://dead"],
                3
            ),
            // Without a filter the branch's channel itself.
            found("p-kn-parallel-filter-1", [&branch(1), "", "http://dead"], 3),
        ]
    );
    assert_eq!(
        subscriptions(&compiled, "p-kn-parallel-0"),
        [found(
            "p-kn-parallel-0",
            ["http://a", "http://own", "http://dead"],
            3
        )]
    );
    // The branch's delivery, and the reply of the Parallel.
    assert_eq!(
        subscriptions(&compiled, "p-kn-parallel-1"),
        [found(
            "p-kn-parallel-1",
            ["http://b", "http://end", "http://dead"],
            1
        )]
    );
    assert_eq!(
        compiled.report.to_string().lines().next(),
        Some("Parallel default/p at http://p-kn-parallel-kn-channel.default.svc.cluster.local")
    );
}

#[test]
fn a10_2_without_any_reply() {
    let compiled = compiled(&parallel("branches: [{subscriber: {uri: 'http://a'}}]"));
    assert_eq!(
        subscriptions(&compiled, "p-kn-parallel-0"),
        [found("p-kn-parallel-0", ["http://a", "", ""], 0)]
    );
}

#[test]
fn a6_2_long_names_are_shortened() {
    let name = "p".repeat(60);
    let text = document(
        FLOWS,
        "Parallel",
        &name,
        "branches: [{subscriber: {uri: 'http://a'}}]",
    );
    let compiled = compiled(&text);
    let names: Vec<_> = compiled
        .topology
        .channels
        .keys()
        .map(|key| key.name.len())
        .collect();
    assert_eq!(names, [63, 63]);
    let names: Vec<_> = compiled
        .topology
        .channels
        .values()
        .flat_map(|channel| &channel.subscriptions)
        .map(|subscription| subscription.name.to_string())
        .collect();
    assert!(names.iter().all(|name| name.len() == 63), "{names:?}");
    assert!(
        names
            .iter()
            .any(|name| name.ends_with("-kn-parallel-filter-0")),
        "{names:?}"
    );
}

#[test]
fn objects_of_the_expansion_in_a_dump_are_replaced() {
    let owned = |text: String, name: &str| {
        let owner = "ownerReferences: [{apiVersion: flows.knative.dev/v1, kind: Parallel, name: p, uid: x}]";
        text.replace(
            &format!("metadata: {{name: {name}}}"),
            &format!("metadata: {{name: {name}, {owner}}}"),
        )
    };
    let subscription = |name: &str, channel: &str| {
        let spec = format!(
            "channel: {{apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: {channel}}}\nsubscriber: {{uri: 'http://old'}}"
        );
        document("messaging.knative.dev/v1", "Subscription", name, &spec)
    };
    let channel_object = |name: &str| {
        imc("subscribers: [{uid: u, subscriberUri: 'http://old'}]")
            .replace("name: c", &format!("name: {name}"))
    };
    let objects = [
        ("p-kn-parallel", channel_object("p-kn-parallel")),
        ("p-kn-parallel-0", channel_object("p-kn-parallel-0")),
        (
            "p-kn-parallel-filter-0",
            subscription("p-kn-parallel-filter-0", "p-kn-parallel"),
        ),
        (
            "p-kn-parallel-0",
            subscription("p-kn-parallel-0", "p-kn-parallel-0"),
        ),
    ];
    let text = parallel("branches: [{subscriber: {uri: 'http://a'}}]");
    let dump = objects.iter().fold(text.clone(), |all, (name, object)| {
        all + &owned(object.clone(), name)
    });
    let from_dump = compiled(&dump);
    let alone = compiled(&text);
    assert_eq!(from_dump.topology, alone.topology);

    // The same objects of somebody else collide, each of them.
    let strange = objects.iter().fold(text, |all, (_, object)| all + object);
    assert_eq!(problems(&strange).len(), 4, "{:#?}", problems(&strange));
}

#[rstest]
#[case("branches: []", &["spec.branches: a Parallel needs at least one branch"])]
#[case(
    "branches:\n- filter: {uri: 'http://f'}\n- subscriber: {uri: /x}\n  delivery: {retry: -1}\n- filter: {}\n  subscriber: {uri: 'http://ok'}\n  reply: {uri: /r}\nreply: {uri: /y}",
    &[
        "spec.branches[0].subscriber: missing; a branch needs somebody who gets the events",
        "spec.branches[1].subscriber.uri: `/x` is relative; write `http://<host>/<path>`, or add a `ref` that it is relative to",
        "spec.branches[1].delivery.retry: -1 is negative; write 0 for no further attempt",
        "spec.branches[2].filter: needs a `ref` or a `uri`",
        "spec.branches[2].reply.uri: `/r` is relative; write `http://<host>/<path>`, or add a `ref` that it is relative to",
        "spec.reply.uri: `/y` is relative; write `http://<host>/<path>`, or add a `ref` that it is relative to",
    ]
)]
#[case(
    "branches: [{subscribr: {uri: 'http://a'}}]",
    &["spec.branches[0].subscribr: unknown field `subscribr`; did you mean `subscriber`?"]
)]
fn every_branch_is_checked(#[case] spec: &str, #[case] expected: &[&str]) {
    let found: Vec<_> = problems(&parallel(spec))
        .iter()
        .map(|line| {
            line.split_once(": ")
                .map_or("", |(_, rest)| rest)
                .to_owned()
        })
        .map(|line| {
            line.replace("Parallel default/p: ", "")
                .replace("Parallel p: ", "")
        })
        .collect();
    assert_eq!(found, expected);
}
