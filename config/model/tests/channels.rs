//! Channels: templates and defaults (A9), annotations (A3.3), names that collide, subscribers of a dump (A2.1).

mod support;

use rstest::rstest;
use support::{channel, compiled, document, imc, only, problems, subscription};
use towpath_config::topology::{Backend, Memory, OnFull};

const MESSAGING: &str = "messaging.knative.dev/v1";

fn memory(compiled: &towpath_config::Compiled, name: &str) -> Memory {
    let Backend::Memory(memory) = channel(compiled, name).backend.clone();
    memory
}

fn annotated(kind: &str, annotation: &str) -> String {
    format!(
        "---\napiVersion: {MESSAGING}\nkind: {kind}\nmetadata: {{name: c, annotations: {{{annotation}}}}}\n"
    )
}

#[rstest]
#[case("messaging.knative.dev/async-handler: 'true'", true, OnFull::Reject)]
#[case("messaging.knative.dev/async-handler: T", true, OnFull::Reject)]
#[case(
    "messaging.knative.dev/async-handler: '0', towpath.dev/on-full: Reject",
    false,
    OnFull::Reject
)]
#[case(
    "messaging.knative.dev/async-handler: '1', towpath.dev/on-full: DeadLetter",
    true,
    OnFull::DeadLetter
)]
#[case("eventing.knative.dev/scope: cluster", false, OnFull::Reject)]
fn a3_3_annotations(
    #[case] annotation: &str,
    #[case] async_handler: bool,
    #[case] on_full: OnFull,
) {
    let compiled = compiled(&annotated("InMemoryChannel", annotation));
    assert_eq!(
        memory(&compiled, "c"),
        Memory {
            async_handler,
            on_full,
            cut_through: true
        }
    );
}

#[rstest]
#[case("", true)]
#[case("towpath.dev/cut-through: 'false'", false)]
#[case("towpath.dev/cut-through: F", false)]
#[case("towpath.dev/cut-through: 'true'", true)]
fn cut_through_is_on_unless_its_annotation_says_no(
    #[case] annotation: &str,
    #[case] expected: bool,
) {
    let own = compiled(&annotated("InMemoryChannel", annotation));
    assert_eq!(memory(&own, "c").cut_through, expected);
    let template = format!(
        "channelTemplate: {{apiVersion: {MESSAGING}, kind: InMemoryChannel, metadata: {{annotations: {{{annotation}}}}}}}"
    );
    let made = compiled(&document(MESSAGING, "Channel", "c", &template));
    assert_eq!(memory(&made, "c").cut_through, expected);
    let broker = format!(
        "---\napiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: b, annotations: {{{annotation}}}}}\n"
    );
    let Backend::Memory(memory) = support::broker(&compiled(&broker)).backend.clone();
    assert_eq!(memory.cut_through, expected);
}

#[test]
fn cut_through_on_a_channel_with_a_template_is_noted() {
    let compiled = compiled(&annotated("Channel", "towpath.dev/cut-through: 'false'"));
    assert!(memory(&compiled, "c").cut_through);
    assert_eq!(
        support::notes(&compiled),
        [
            "a.yaml:4: Channel default/c: metadata.annotations[towpath.dev/cut-through]: has no effect on a Channel; put it on the channelTemplate's metadata"
        ]
    );
}

#[rstest]
#[case(
    "messaging.knative.dev/async-handler: 'yes'",
    "metadata.annotations[messaging.knative.dev/async-handler]: `yes` is not a boolean; write \"true\" or \"false\""
)]
#[case(
    "messaging.knative.dev/async-handler: true",
    "metadata.annotations[messaging.knative.dev/async-handler]: invalid type: boolean `true`, expected a string"
)]
#[case(
    "towpath.dev/cut-through: 'off'",
    "metadata.annotations[towpath.dev/cut-through]: `off` is not a boolean; write \"true\" or \"false\""
)]
#[case(
    "towpath.dev/on-full: Drop",
    "metadata.annotations[towpath.dev/on-full]: `Drop` is not one of: Reject, DeadLetter"
)]
#[case(
    "eventing.knative.dev/scope: galaxy",
    "metadata.annotations[eventing.knative.dev/scope]: `galaxy` is not one of: cluster, namespace"
)]
fn a3_3_wrong_annotations(#[case] annotation: &str, #[case] expected: &str) {
    let found = problems(&annotated("InMemoryChannel", annotation));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("a.yaml:4: InMemoryChannel ") && found[0].ends_with(expected),
        "{}",
        found[0]
    );
}

#[test]
fn a9_1_template() {
    let template = "channelTemplate:\n  apiVersion: towpath.dev/v1alpha1\n  kind: TowpathChannel\n  metadata: {annotations: {messaging.knative.dev/async-handler: 'true'}}\n  \
                    spec: {delivery: {retry: 7}}\ndelivery: {retry: 1, timeout: PT1S}";
    let text = document(MESSAGING, "Channel", "c", template)
        + &subscription("subscriber: {uri: 'http://x'}")
            .replace("kind: InMemoryChannel, name", "kind: Channel, name");
    let compiled = compiled(&text);
    assert!(memory(&compiled, "c").async_handler);
    assert_eq!(&*channel(&compiled, "c").object_kind, "Channel");
    // The template's delivery replaces that of the Channel as a whole.
    let delivery = only(&compiled).delivery.clone();
    assert_eq!((delivery.retry, delivery.timeout), (7, None));
}

#[rstest]
#[case(
    "InMemoryChannel",
    "{kind: InMemoryChannel}",
    "spec.channelTemplate.apiVersion: missing; a channel template needs apiVersion and kind, as `messaging.knative.dev/v1` and `InMemoryChannel`"
)]
#[case(
    "",
    "{apiVersion: messaging.knative.dev/v1, kind: Channel}",
    "spec.channelTemplate.kind: a Channel cannot back a Channel; use `InMemoryChannel`"
)]
#[case(
    "",
    "{apiVersion: v1, kind: Pod}",
    "spec.channelTemplate.kind: there is no channel kind `Pod` in ``; use a channel such as `InMemoryChannel` of `messaging.knative.dev/v1`"
)]
#[case(
    "",
    "{apiVersion: towpath.dev/v1alpha1, kind: TowpathChannel, spec: {backend: kafka}}",
    "spec.channelTemplate.spec.backend: `kafka`: this build has no such backend yet; use `memory`"
)]
#[case(
    "",
    "{apiVersion: towpath.dev/v1alpha1, kind: TowpathChannel, spec: {backend: mem}}",
    "spec.channelTemplate.spec.backend: `mem` is not one of: memory, jetstream, kafka"
)]
#[case(
    "",
    "{apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, spec: {backend: memory}}",
    "spec.channelTemplate.spec.backend: an InMemoryChannel has no backend; use a TowpathChannel of `towpath.dev/v1alpha1`"
)]
#[case(
    "",
    "{apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, spec: {numPartitions: 3}}",
    "spec.channelTemplate.spec.numPartitions: unknown field `numPartitions`; known here: backend, delivery, subscribers"
)]
fn wrong_templates(#[case] _what: &str, #[case] template: &str, #[case] expected: &str) {
    let found = problems(&document(
        MESSAGING,
        "Channel",
        "c",
        &format!("channelTemplate: {template}"),
    ));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with(expected), "{}", found[0]);
}

#[test]
fn a9_5_default_channel() {
    let defaults = "\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: default-ch-webhook, namespace: knative-eventing}
data:
  default-ch-config: |
    clusterDefault:
      apiVersion: towpath.dev/v1alpha1
      kind: TowpathChannel
      spec: {delivery: {retry: 4}}
    namespaceDefaults:
      some:
        apiVersion: messaging.knative.dev/v1
        kind: InMemoryChannel
";
    let sequence = |namespace: &str| {
        document(
            "flows.knative.dev/v1",
            "Sequence",
            "q",
            "steps: [{uri: 'http://x'}]",
        )
        .replace("{name: q}", &format!("{{name: q, namespace: {namespace}}}"))
    };
    let compiled = compiled(&(defaults.to_owned() + &sequence("default") + &sequence("some")));
    let kinds: Vec<_> = compiled
        .topology
        .channels
        .values()
        .map(|channel| {
            (
                channel.object_kind.to_string(),
                channel.subscriptions[0].delivery.retry,
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("TowpathChannel".to_owned(), 4),
            ("InMemoryChannel".to_owned(), 0)
        ]
    );

    let no_kind = defaults.replace("      kind: TowpathChannel\n", "") + &sequence("default");
    assert_eq!(
        problems(&no_kind),
        [
            "a.yaml:6: ConfigMap knative-eventing/default-ch-webhook: data.default-ch-config.clusterDefault.kind: missing; a channel template \
             needs apiVersion and kind, as `messaging.knative.dev/v1` and `InMemoryChannel`"
        ]
    );

    let broken = defaults
        .replace("clusterDefault", "clusterDefualt")
        .replace("kind: InMemoryChannel", "kind: [x]");
    assert_eq!(
        problems(&broken),
        [
            "a.yaml:6: ConfigMap knative-eventing/default-ch-webhook: data.default-ch-config: line 1 of the value: clusterDefualt: unknown \
             field `clusterDefualt`; did you mean `clusterDefault`?",
            "a.yaml:6: ConfigMap knative-eventing/default-ch-webhook: data.default-ch-config: line 8 of the value: \
             namespaceDefaults.some.kind: invalid type: list, expected a string",
        ]
    );
}

#[test]
fn names_that_collide() {
    let twice = imc("") + &imc("");
    assert_eq!(
        problems(&twice),
        [
            "a.yaml:8: InMemoryChannel default/c: metadata.name: the same object is also at a.yaml:4; keep one"
        ]
    );
    let both = imc("") + &document(MESSAGING, "Channel", "c", "");
    assert_eq!(
        problems(&both),
        [
            "a.yaml:8: Channel default/c: metadata.name: InMemoryChannel default/c at a.yaml:2 has the same namespace and name, so both \
             would have the address of channel default/c; rename one"
        ]
    );
    let names = imc("").replace("name: c", "name: a.b") + &imc("").replace("name: c", "name: C_");
    assert_eq!(
        problems(&names),
        [
            "a.yaml:4: InMemoryChannel default/a.b: metadata.name: `a.b`: a channel's name may not hold a dot, since it becomes part of a host",
            "a.yaml:8: InMemoryChannel default/C_: metadata.name: `C_` is not a name; use at most 253 lower-case letters, digits, `-` and `.`, \
             beginning and ending with a letter or digit",
        ]
    );
}

#[test]
fn a9_1_a_channel_and_what_backs_it_are_one() {
    let backing = "\
---
apiVersion: messaging.knative.dev/v1
kind: InMemoryChannel
metadata:
  name: c
  ownerReferences: [{apiVersion: messaging.knative.dev/v1, kind: Channel, name: c, uid: x, controller: true}]
spec:
  subscribers: [{uid: u1, name: s, subscriberUri: 'http://old'}, {uid: u2, name: t, subscriberUri: 'http://t'}]
";
    let subscription = subscription("subscriber: {uri: 'http://new'}")
        .replace("kind: InMemoryChannel, name", "kind: Channel, name");
    let compiled = compiled(&(document(MESSAGING, "Channel", "c", "") + backing + &subscription));
    assert_eq!(compiled.topology.channels.len(), 1);
    let channel = channel(&compiled, "c");
    assert_eq!(&*channel.object_kind, "Channel");
    // The Subscription wins over the entry that Knative made of it.
    let subscriptions: Vec<_> = channel
        .subscriptions
        .iter()
        .map(|s| {
            (
                s.key.to_string(),
                s.subscriber
                    .as_ref()
                    .map(|d| d.url.to_string())
                    .unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        subscriptions,
        [
            ("Subscription/default/s".to_owned(), "http://new".to_owned()),
            ("u2".to_owned(), "http://t".to_owned())
        ]
    );
}

#[rstest]
#[case(
    "subscribers: [{uid: u}]",
    "spec.subscribers[0]: needs a subscriberUri or a replyUri"
)]
#[case(
    "subscribers: [{uid: u, replyUri: 'http://x'}, {uid: u, replyUri: 'http://x'}]",
    "spec.subscribers[1]: `u` is given twice; keep one"
)]
#[case(
    "subscribers: [{uid: u, subscriberUri: x}]",
    "spec.subscribers[0].subscriberUri: `x` is relative; write `http://<host>/<path>`, or add a `ref` that it is relative to"
)]
fn a4_1_entries(#[case] spec: &str, #[case] expected: &str) {
    let found = problems(&imc(spec));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with(expected), "{}", found[0]);
}

#[test]
fn a8_2_reply_only_entry() {
    let subscription = only(&compiled(&imc(
        "subscribers: [{uid: u, replyUri: 'http://r'}]",
    )));
    assert!(subscription.subscriber.is_none() && subscription.reply.is_some());
}

#[test]
fn a9_4_subscribers_of_a_generic_channel() {
    assert_eq!(
        problems(&document(MESSAGING, "Channel", "c", "subscribers: [{}]")),
        [
            "a.yaml:6: Channel default/c: spec.subscribers: must be empty on a Channel; write a Subscription instead"
        ]
    );
}

#[test]
fn a8_1_subscriptions_need_channel_and_subscriber() {
    assert_eq!(
        problems(&document(
            MESSAGING,
            "Subscription",
            "s",
            "reply: {uri: 'http://x'}"
        )),
        [
            "a.yaml:5: Subscription default/s: spec.channel: missing; a Subscription needs a channel",
            "a.yaml:5: Subscription default/s: spec.subscriber: missing; a Subscription needs somebody who gets the events",
        ]
    );
}

#[test]
fn a_cycle_of_replies_is_legal() {
    let text = imc("")
        + &subscription(
            "subscriber: {uri: 'http://x'}\nreply: {ref: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: c}}",
        );
    assert!(only(&compiled(&text)).reply.is_some());
}

#[test]
fn a6_2_long_names_have_hashed_hosts() {
    let name = "n".repeat(63);
    let compiled = compiled(&imc("").replace("name: c", &format!("name: {name}")));
    let url = channel(&compiled, &name).url.to_string();
    let host = url.trim_start_matches("http://");
    assert!(
        host.split('.')
            .next()
            .is_some_and(|label| label.len() == 63 && label.ends_with("-kn-channel")),
        "{host}"
    );
    assert!(compiled.topology.hosts.contains_key(host));
}

#[test]
fn a_dumped_address_leads_to_its_channel() {
    let text =
        imc("") + "status: {address: {url: 'http://C-kn-jsm-channel.default.svc.cluster.local'}}\n";
    let compiled = compiled(&text);
    assert!(
        compiled
            .topology
            .hosts
            .contains_key("c-kn-jsm-channel.default.svc.cluster.local")
    );
    assert_eq!(compiled.topology.hosts.len(), 4);
}
