//! Brokers: hosted whatever their class (B1, B2.2), with the defaults of `config-br-defaults`, in dumps of a cluster.

mod support;

use rstest::rstest;
use support::{
    broker, broker_object, compiled, config_map, document, ends, imc, lines, notes, only_trigger,
    problems, subscriber, subscription, trigger, try_compile,
};
use towpath_config::CompileOptions;
use towpath_config::topology::{Backoff, Target};

fn of_class(class: &str) -> String {
    broker_object("").replace(
        "{name: b}",
        &format!("{{name: b, annotations: {{eventing.knative.dev/broker.class: {class}}}}}"),
    )
}

#[test]
fn b2_2_address() {
    let compiled = compiled(&(broker_object("") + &trigger("")));
    let broker = broker(&compiled);
    assert_eq!(
        &*broker.url,
        "http://broker-ingress.knative-eventing.svc.cluster.local/default/b"
    );
    assert_eq!(&*broker.object_kind, "Broker");
    // All brokers share a host, so the host alone leads to none.
    assert!(
        compiled.topology.hosts.is_empty(),
        "{:?}",
        compiled.topology.hosts
    );
    insta::assert_snapshot!(compiled.report, @r"
    Broker default/b at http://broker-ingress.knative-eventing.svc.cluster.local/default/b
      t -> http://x
    ");
}

#[test]
fn b2_2_in_another_domain() {
    let options = CompileOptions {
        cluster_domain: "example.org".to_owned(),
        ..CompileOptions::default()
    };
    let to =
        "subscriber: {uri: 'http://broker-ingress.knative-eventing.svc.example.org/default/b'}";
    let text = broker_object("") + &imc("") + &subscription(to);
    let compiled = support::compiled_with(&text, &options);
    assert_eq!(
        &*broker(&compiled).url,
        "http://broker-ingress.knative-eventing.svc.example.org/default/b"
    );
    assert_eq!(
        subscriber(&compiled).target,
        Target::Hosted(broker(&compiled).key.clone())
    );
}

#[test]
fn a_broker_and_a_channel_may_have_the_same_name() {
    let text = imc("").replace("name: c", "name: b") + &broker_object("");
    assert_eq!(compiled(&text).topology.channels.len(), 2);
}

#[test]
fn a_broker_is_subscriber_reply_and_dead_letter_sink() {
    let to = "ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: b}";
    let text = broker_object("")
        + &imc("")
        + &subscription(&format!(
            "subscriber: {{{to}}}\nreply: {{{to}}}\ndelivery: {{deadLetterSink: {{{to}}}}}"
        ));
    let compiled = compiled(&text);
    let subscription = support::only(&compiled);
    let target = Target::Hosted(broker(&compiled).key.clone());
    for to in [
        &subscription.subscriber,
        &subscription.reply,
        &subscription.dead_letter,
    ] {
        assert_eq!(to.as_ref().map(|to| &to.target), Some(&target));
    }
}

#[rstest]
#[case("Towpath", None)]
#[case("MTChannelBasedBroker", Some("MTChannelBasedBroker"))]
#[case("towpath", Some("towpath"))]
fn b1_1_every_class_is_hosted(#[case] class: &str, #[case] noted: Option<&str>) {
    let expected = noted.map(|class| {
        format!(
            "a.yaml:4: Broker default/b: metadata.annotations[eventing.knative.dev/broker.class]: runs as a memory broker here: Towpath \
             stands in for class {class}, and keeps events in its process"
        )
    });
    let compiled = compiled(&of_class(class));
    assert_eq!(notes(&compiled), expected.into_iter().collect::<Vec<_>>());
    assert_eq!(compiled.topology.channels.len(), 1);
}

#[test]
fn b1_4_config_may_be_meant_for_another_class() {
    let config = |kind: &str, name: &str| {
        broker_object(&format!(
            "config: {{apiVersion: v1, kind: {kind}, name: {name}, namespace: knative-eventing}}"
        ))
    };
    let map = config_map(
        "config-br-default-channel",
        "channel-template-spec",
        "anything: [1",
    );
    let found = compiled(&(config("ConfigMap", "config-br-default-channel") + &map));
    assert_eq!(notes(&found), [""; 0]);
    assert_eq!(
        problems(&(config("ConfigMap", "gone") + &map)),
        [
            "a.yaml:6: Broker default/b: spec.config: resolves to nothing: no object ConfigMap knative-eventing/gone in the files; add \
             it, or leave `config` out"
        ]
    );
    let rabbit =
        broker_object("config: {apiVersion: rabbitmq.com/v1, kind: RabbitmqBrokerConfig, name: r}");
    assert_eq!(
        notes(&compiled(&rabbit)),
        [
            "a.yaml:6: Broker default/b: spec.config.kind: a RabbitmqBrokerConfig is not read: Towpath has settings of its own"
        ]
    );
    assert_eq!(
        problems(&broker_object("config: {kind: ConfigMap}")),
        [
            "a.yaml:6: Broker default/b: spec.config.apiVersion: missing; a reference needs apiVersion, kind and name",
            "a.yaml:6: Broker default/b: spec.config.name: missing; a reference needs apiVersion, kind and name",
        ]
    );
}

fn defaults(text: &str) -> String {
    config_map("config-br-defaults", "default-br-config", text)
}

const DEFAULTS: &str = "\
clusterDefault:
  brokerClass: MTChannelBasedBroker
  apiVersion: v1
  kind: ConfigMap
  name: config-br-default-channel
  namespace: knative-eventing
  delivery: {retry: 10, backoffPolicy: exponential, backoffDelay: PT0.2S, timeout: PT5S, format: json, deadLetterSink: {uri: 'http://dead'}}
  brokerClasses:
    Other: {delivery: {retry: 2}}
    Bare: {apiVersion: v1, kind: ConfigMap, name: x}
namespaceDefaults:
  here: {brokerClass: Here, delivery: {retry: 3}, brokerClasses: {Other: {delivery: {retry: 4}}}}
  bare: {brokerClass: Other}
";

#[rstest]
// B1.3: no class at all, that of the cluster; then the namespace's of that class, the cluster's of that class, the cluster's.
#[case("default", None, "", 10)]
#[case("default", Some("MTChannelBasedBroker"), "", 10)]
#[case("default", Some("Unheard"), "", 10)]
#[case("default", Some("Towpath"), "", 10)]
#[case("default", Some("Other"), "", 2)]
#[case("default", Some("Bare"), "", 0)]
#[case("here", None, "", 3)]
#[case("here", Some("Here"), "", 3)]
#[case("here", Some("Other"), "", 4)]
#[case("here", Some("Unheard"), "", 10)]
// A namespace whose class has no settings there uses those of the cluster.
#[case("bare", None, "", 2)]
// B1.4: with a configuration the cluster's default, whatever the class.
#[case(
    "default",
    Some("Other"),
    "config: {apiVersion: v1, kind: ConfigMap, name: config-br-defaults, namespace: knative-eventing}",
    10
)]
// A delivery of its own is not mixed with the default.
#[case("default", None, "delivery: {timeout: PT1S}", 0)]
fn b1_3_delivery_by_namespace_and_class(
    #[case] namespace: &str,
    #[case] class: Option<&str>,
    #[case] spec: &str,
    #[case] retry: u32,
) {
    let annotations = class
        .map(|class| format!("annotations: {{eventing.knative.dev/broker.class: {class}}}, "))
        .unwrap_or_default();
    let meta = format!("{{{annotations}namespace: {namespace}, name: ");
    let text = broker_object(spec).replace("{name: ", &meta)
        + &trigger("").replace("{name: ", &format!("{{namespace: {namespace}, name: "))
        + &defaults(DEFAULTS);
    let compiled = compiled(&text);
    let subscriptions: Vec<_> = compiled
        .topology
        .channels
        .values()
        .flat_map(|broker| &broker.subscriptions)
        .map(|trigger| trigger.delivery.retry)
        .collect();
    assert_eq!(subscriptions, [retry]);
}

#[test]
fn b1_5_what_is_defaulted() {
    let compiled = compiled(&(broker_object("") + &trigger("") + &defaults(DEFAULTS)));
    let trigger = only_trigger(&compiled);
    assert_eq!(
        trigger.delivery.backoff,
        Some(Backoff::Exponential(std::time::Duration::from_millis(200)))
    );
    assert_eq!(ends(&trigger)[2], "http://dead");
    // Neither the time-out nor the format.
    assert_eq!(
        (trigger.delivery.timeout, trigger.delivery.format),
        (None, None)
    );
    assert!(
        notes(&compiled)[0].contains("class MTChannelBasedBroker"),
        "{:?}",
        notes(&compiled)
    );
}

#[test]
fn b1_5_a_default_dead_letter_sink_is_of_the_brokers_namespace() {
    let config = "clusterDefault: {delivery: {deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: dead}}}}";
    let text = broker_object("") + &trigger("") + &support::service("dead") + &defaults(config);
    assert_eq!(
        ends(&only_trigger(&compiled(&text)))[2],
        "http://dead.default.svc.cluster.local"
    );
}

#[test]
fn b1_6_configuration_of_another_namespace() {
    let broker = broker_object(
        "config: {apiVersion: v1, kind: ConfigMap, name: config-br-defaults, namespace: knative-eventing}",
    );
    let strict = defaults("clusterDefault: {disallowDifferentNamespaceConfig: true}");
    assert_eq!(
        problems(&(broker.clone() + &strict)),
        [
            "a.yaml:6: Broker default/b: spec.config.namespace: `knative-eventing` is another namespace than the Broker's, which \
             disallowDifferentNamespaceConfig of ConfigMap config-br-defaults forbids; move the configuration to `default`"
        ]
    );
    let lenient = defaults(
        "clusterDefault: {disallowDifferentNamespaceConfig: true}\nnamespaceDefaults: {default: {disallowDifferentNamespaceConfig: false}}",
    );
    assert_eq!(problems(&(broker + &lenient)), [""; 0]);
}

#[test]
fn what_is_wrong_with_the_defaults() {
    assert_eq!(
        problems(&defaults(
            "clusterDefault:\n  delivry: {}\n  delivery: {retry: x}"
        )),
        [
            "a.yaml:6: ConfigMap knative-eventing/config-br-defaults: data.default-br-config: line 2 of the value: clusterDefault.delivry: \
             unknown field `delivry`; did you mean `delivery`?",
            "a.yaml:6: ConfigMap knative-eventing/config-br-defaults: data.default-br-config: line 3 of the value: \
             clusterDefault.delivery.retry: invalid type: string \"x\", expected an integer from -2147483648 to 2147483647",
        ]
    );
    assert_eq!(
        problems(&config_map("config-br-defaults", "other", "x")),
        [
            "a.yaml:5: ConfigMap knative-eventing/config-br-defaults: data.default-br-config: missing; config-br-defaults holds the defaults of brokers under this key"
        ]
    );
    let bad = broker_object("") + &defaults("clusterDefault: {delivery: {retry: -1}}");
    assert_eq!(problems(&bad).len(), 1, "{:?}", problems(&bad));
}

#[test]
fn b3_what_carries_a_broker_in_a_dump_is_not_hosted() {
    let owned = |text: String, name: &str, owner: &str| {
        text.replace(
            "metadata: {name: c}",
            &format!("metadata: {{name: {name}, ownerReferences: [{{apiVersion: eventing.knative.dev/v1, kind: {owner}, uid: x}}]}}"),
        )
        .replace(
            "metadata: {name: s}",
            &format!("metadata: {{name: {name}, ownerReferences: [{{apiVersion: eventing.knative.dev/v1, kind: {owner}, uid: x}}]}}"),
        )
    };
    let channel = owned(
        imc("subscribers: [{uid: u, subscriberUri: 'http://broker-filter.knative-eventing/x'}]"),
        "b-kne-trigger",
        "Broker, name: b",
    );
    let carrier = owned(
        subscription("subscriber: {uri: 'http://broker-filter.knative-eventing/x'}")
            .replace("name: c}", "name: b-kne-trigger}"),
        "b-t-1",
        "Trigger, name: t",
    );
    let alone = broker_object("") + &trigger("");
    let dump = compiled(&(alone.clone() + &channel + &carrier));
    assert_eq!(dump.topology, compiled(&alone).topology);
    // Those of a Broker that is not in the files stay.
    assert_eq!(compiled(&(channel + &carrier)).topology.channels.len(), 1);
}

#[test]
fn addresses_of_a_dump_lead_to_the_broker() {
    let dumped = broker_object("")
        + "status: {address: {url: 'http://kafka-broker-ingress.knative-eventing.svc.cluster.local/default/b'}}\n";
    let to = "subscriber: {uri: 'http://kafka-broker-ingress.knative-eventing.svc.cluster.local/default/b'}";
    let compiled = compiled(&(dumped + &imc("") + &subscription(to)));
    assert_eq!(
        subscriber(&compiled).target,
        Target::Hosted(broker(&compiled).key.clone())
    );
}

#[test]
fn a_broker_that_is_not_in_the_files_is_said() {
    let to = "subscriber: {uri: 'http://broker-ingress.knative-eventing.svc.cluster.local/default/other'}";
    let compiled = compiled(&(broker_object("") + &imc("") + &subscription(to)));
    assert_eq!(
        notes(&compiled),
        [
            "a.yaml:15: Subscription default/s: spec.subscriber.uri: no Broker in the files has the address \
             `http://broker-ingress.knative-eventing.svc.cluster.local/default/other`, so its host is looked up in DNS"
        ]
    );
}

#[test]
fn a_broker_twice_and_with_a_typo() {
    let text = broker_object("")
        + &broker_object("")
        + &document("eventing.knative.dev/v1", "Broker", "d", "delivry: {}");
    assert_eq!(
        lines(towpath_config::load(&support::file(&text), &CompileOptions::default()).err()),
        [
            "a.yaml:8: Broker default/b: metadata.name: the same object is also at a.yaml:4; keep one",
            "a.yaml:14: Broker d: spec.delivry: unknown field `delivry`; did you mean `delivery`?",
        ]
    );
    assert!(
        try_compile(
            &broker_object("delivery: {timeout: PT0S}"),
            &CompileOptions::default()
        )
        .is_err()
    );
}
