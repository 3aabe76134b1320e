//! Triggers (B4): which Broker, who gets what, what they inherit, what is refused.

mod support;

use rstest::rstest;
use support::{
    broker, broker_object, compiled, document, ends, imc, lines, notes, only_trigger, problems,
    trigger, trigger_to,
};
use towpath_config::topology::{Format, Target};
use towpath_config::{CompileOptions, load};

const EVENTING: &str = "eventing.knative.dev/v1";
const URL: &str = "http://broker-ingress.knative-eventing.svc.cluster.local/default/b";

#[test]
fn b6_2_replies_go_to_the_own_broker() {
    let compiled = compiled(&(broker_object("") + &trigger("")));
    let trigger = only_trigger(&compiled);
    assert_eq!(&*trigger.key.0, "Trigger/default/t");
    assert_eq!(&*trigger.name, "t");
    assert_eq!(ends(&trigger), ["http://x", URL, ""]);
    assert_eq!(
        trigger.reply.as_ref().map(|to| &to.target),
        Some(&Target::Hosted(broker(&compiled).key.clone()))
    );
}

#[test]
fn b4_1_c4_3_a_broker_of_another_namespace() {
    let reference =
        format!("brokerRef: {{apiVersion: {EVENTING}, kind: Broker, name: b, namespace: default}}");
    let text = broker_object("")
        + &document(
            EVENTING,
            "Trigger",
            "t",
            &format!(
                "{reference}\nsubscriber: {{ref: {{apiVersion: v1, kind: Service, name: web}}}}"
            ),
        )
        .replace("{name: t}", "{name: t, namespace: far}")
        + &support::service("web").replace("{name: web}", "{name: web, namespace: far}");
    let compiled = compiled(&text);
    let trigger = only_trigger(&compiled);
    assert_eq!(
        (&*trigger.key.0, &*trigger.namespace),
        ("Trigger/far/t", "far")
    );
    // B4.11: the subscriber is of the Trigger's namespace; the reply goes to the Broker.
    assert_eq!(
        ends(&trigger),
        ["http://web.far.svc.cluster.local", URL, ""]
    );
    assert!(
        compiled.report.to_string().contains("\n  far/t -> "),
        "{}",
        compiled.report
    );
}

#[test]
fn b4_8_c4_7_any_scheme_is_legal() {
    let text = broker_object("") + &trigger_to("subscriber: {uri: 'bad://uri'}", "");
    let trigger = only_trigger(&compiled(&text));
    let subscriber = trigger.subscriber.clone();
    assert_eq!(
        subscriber.map(|to| (to.url.to_string(), to.uri.to_string())),
        Some(("bad://uri".to_owned(), "http://uri/".to_owned()))
    );
}

#[rstest]
// The cases of C8.9: none, Broker's only, Trigger's only, both, both with a dead letter sink.
#[case("", "", 0, "")]
#[case(
    "delivery: {retry: 3, deadLetterSink: {uri: 'http://b'}}",
    "",
    3,
    "http://b"
)]
#[case(
    "",
    "delivery: {retry: 4, deadLetterSink: {uri: 'http://t'}}",
    4,
    "http://t"
)]
#[case(
    "delivery: {retry: 3, deadLetterSink: {uri: 'http://b'}}",
    "delivery: {retry: 4}",
    4,
    "http://b"
)]
#[case(
    "delivery: {retry: 3, deadLetterSink: {uri: 'http://b'}}",
    "delivery: {retry: 4, deadLetterSink: {uri: 'http://t'}}",
    4,
    "http://t"
)]
// 0 counts as set, and so does an object without anything.
#[case("delivery: {retry: 3}", "delivery: {retry: 0}", 0, "")]
#[case("delivery: {retry: 3}", "delivery: {}", 0, "")]
fn b4_13_c8_9_delivery(
    #[case] of_broker: &str,
    #[case] of_trigger: &str,
    #[case] retry: u32,
    #[case] dead_letter: &str,
) {
    let trigger = only_trigger(&compiled(
        &(broker_object(of_broker) + &trigger(of_trigger)),
    ));
    assert_eq!(
        (trigger.delivery.retry, ends(&trigger)[2].as_str()),
        (retry, dead_letter)
    );
}

#[rstest]
#[case("", "", None)]
#[case("delivery: {format: json}", "", Some(Format::Json))]
#[case(
    "delivery: {format: json}",
    "delivery: {format: binary}",
    Some(Format::Binary)
)]
#[case("delivery: {format: json}", "delivery: {retry: 1}", None)]
#[case("", "delivery: {format: json}", Some(Format::Json))]
fn c3_9_format(#[case] of_broker: &str, #[case] of_trigger: &str, #[case] format: Option<Format>) {
    let trigger = only_trigger(&compiled(
        &(broker_object(of_broker) + &trigger(of_trigger)),
    ));
    assert_eq!(trigger.delivery.format, format);
}

#[rstest]
#[case(
    "broker: gone",
    "spec.broker: resolves to nothing: no object Broker default/gone in the files"
)]
#[case(
    "broker: brokr",
    "spec.broker: resolves to nothing: no object Broker default/brokr in the files; did you mean `broker`?"
)]
#[case(
    "",
    "spec.broker: missing; a Trigger needs a `broker` or a `brokerRef`"
)]
#[case(
    "broker: ''",
    "spec.broker: missing; a Trigger needs a `broker` or a `brokerRef`"
)]
#[case(
    "broker: broker\nbrokerRef: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: broker}",
    "spec.brokerRef: given beside `broker`; keep one of them"
)]
#[case(
    "brokerRef: {apiVersion: eventing.knative.dev/v1, name: broker}",
    "spec.brokerRef.kind: missing; a reference needs apiVersion, kind and name"
)]
#[case(
    "brokerRef: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: c}",
    "spec.brokerRef.kind: InMemoryChannel of `messaging.knative.dev` is not a Broker of `eventing.knative.dev`"
)]
#[case(
    "brokerRef: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: broker, namespace: far}",
    "spec.brokerRef: resolves to nothing: no object Broker far/broker in the files"
)]
fn b4_11_which_broker(#[case] spec: &str, #[case] expected: &str) {
    let trigger = document(
        EVENTING,
        "Trigger",
        "t",
        &format!("{spec}\nsubscriber: {{uri: 'http://x'}}"),
    );
    let text = document(EVENTING, "Broker", "broker", "") + &imc("") + &trigger;
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with(&format!("Trigger default/t: {expected}")),
        "{}",
        found[0]
    );
}

#[test]
fn every_problem_of_a_trigger_at_once() {
    let text = document(
        EVENTING,
        "Trigger",
        "t",
        "broker: gone\nfilters:\n- exact: {Type: a}\n- cesql: '1 +'\ndelivery: {retry: -1, deadLetterSink: {}}",
    );
    let found: Vec<_> = problems(&text)
        .iter()
        .map(|line| line.split(": ").take(3).collect::<Vec<_>>().join(": "))
        .collect();
    assert_eq!(
        found,
        [
            "a.yaml:5: Trigger default/t: spec.subscriber",
            "a.yaml:6: Trigger default/t: spec.broker",
            "a.yaml:8: Trigger default/t: spec.filters[0].exact.Type",
            "a.yaml:9: Trigger default/t: spec.filters[1].cesql",
            "a.yaml:10: Trigger default/t: spec.delivery.retry",
            "a.yaml:10: Trigger default/t: spec.delivery.deadLetterSink",
        ]
    );
}

#[test]
fn a_trigger_twice_and_without_its_broker() {
    let text = broker_object("") + &trigger("") + &trigger("");
    assert_eq!(
        problems(&text),
        [
            "a.yaml:15: Trigger default/t: metadata.name: the same object is also at a.yaml:8; keep one"
        ]
    );
    // A Broker that could not be read is not missed.
    let text = broker_object("").replace("{name: b}", "{name: [b]}") + &trigger("");
    let found = lines(load(&support::file(&text), &CompileOptions::default()).err());
    assert_eq!(found.len(), 1, "{found:?}");
}

#[rstest]
#[case("enabled", "default", &[])]
#[case("disabled", "default", &[])]
#[case("yes", "default", &["`yes` is not one of: enabled, disabled"])]
#[case("enabled", "b", &["is for the Broker `default` only; leave it out"])]
fn b4_11_injection(#[case] value: &str, #[case] name: &str, #[case] expected: &[&str]) {
    let text = document(EVENTING, "Broker", name, "")
        + &document(
            EVENTING,
            "Trigger",
            "t",
            &format!("broker: {name}\nsubscriber: {{uri: 'http://x'}}"),
        )
        .replace(
            "{name: t}",
            &format!("{{name: t, annotations: {{eventing.knative.dev/injection: {value}}}}}"),
        );
    let prefix =
        "a.yaml:8: Trigger default/t: metadata.annotations[eventing.knative.dev/injection]: ";
    let expected: Vec<_> = expected
        .iter()
        .map(|message| format!("{prefix}{message}"))
        .collect();
    assert_eq!(problems(&text), expected);
}

fn depending(annotation: &str) -> String {
    let source = |name: &str, ready: &str| {
        format!(
            "---\napiVersion: sources.knative.dev/v1\nkind: PingSource\nmetadata: {{name: {name}}}\nstatus: {{conditions: [{{type: Other, status: 'False'}}, \
             {{type: Ready, status: '{ready}'}}]}}\n"
        )
    };
    let channel = imc("") + "status: {conditions: [{type: Ready, status: 'False'}]}\n";
    broker_object("")
        + &trigger("").replace(
            "{name: t}",
            &format!("{{name: t, annotations: {{knative.dev/dependency: '{annotation}'}}}}"),
        )
        + &source("ready", "True")
        + &source("broken", "False")
        + &channel
}

#[rstest]
#[case(
    r#"{"apiVersion":"sources.knative.dev/v1","kind":"PingSource","name":"ready"}"#,
    None
)]
#[case(
    r#"{"apiVersion":"sources.knative.dev/v1","kind":"PingSource","name":"gone"}"#,
    None
)]
#[case(r#"{"apiVersion":"sources.knative.dev/v1","kind":"PingSource","name":"broken","namespace":"default","uid":"1"}"#, Some("PingSource default/broken"))]
#[case(
    r#"{"apiVersion":"messaging.knative.dev/v1","kind":"InMemoryChannel","name":"c"}"#,
    Some("InMemoryChannel default/c")
)]
#[case(
    r#"{"apiVersion":"messaging.knative.dev/v1","kind":"Channel","name":"c"}"#,
    None
)]
fn b4_9_dependency(#[case] annotation: &str, #[case] unready: Option<&str>) {
    let expected: Vec<_> = unready
        .map(|object| {
            format!(
                "a.yaml:8: Trigger default/t: metadata.annotations[knative.dev/dependency]: {object} is not ready according to its status, \
                 so a cluster would not use this Trigger; here it is used"
            )
        })
        .into_iter()
        .collect();
    let compiled = compiled(&depending(annotation));
    assert_eq!(notes(&compiled), expected);
    assert_eq!(broker(&compiled).subscriptions.len(), 1);
}

#[rstest]
#[case(
    "nonsense",
    "is not an object reference in JSON: expected ident at line 1 column 2; write {\"apiVersion\": ..., \"kind\": ..., \"name\": ...}"
)]
#[case(
    "[1]",
    "is not an object reference in JSON: invalid type: integer `1`, expected a string at line 1 column 2; write {\"apiVersion\": ..., \"kind\": ..., \"name\": ...}"
)]
#[case("{}", "needs apiVersion, kind and name, all strings")]
#[case(
    r#"{"apiVersion":"v1","kind":"Pod","name":""}"#,
    "needs apiVersion, kind and name, all strings"
)]
#[case(
    r#"{"apiVersion":"v1","kind":"Pod","name":"p","namespace":"far"}"#,
    "`far` is another namespace than the Trigger's, `default`; leave it out"
)]
fn b4_9_wrong_dependency(#[case] annotation: &str, #[case] expected: &str) {
    assert_eq!(
        problems(&depending(annotation)),
        [format!(
            "a.yaml:8: Trigger default/t: metadata.annotations[knative.dev/dependency]: {expected}"
        )]
    );
}
