//! Annotation `towpath.dev/payload`: who may say how a subscriber gets bulky payloads, and who wins (DESIGN section 5).

mod support;

use rstest::rstest;
use support::{
    broker_object, channel, compiled, compiled_with, document, imc, notes, only, only_trigger,
    problems, service, subscription, trigger, trigger_to,
};
use towpath_config::topology::Presentation::{self, File, Inline, Reference};
use towpath_config::{CompileOptions, Settings};

const FLOWS: &str = "flows.knative.dev/v1";
/// The Service `first` by reference.
const FIRST: &str = "{ref: {apiVersion: v1, kind: Service, name: first}}";

/// The only object of the text, with the annotation.
fn annotated(object: &str, word: &str) -> String {
    let annotation = format!(", annotations: {{towpath.dev/payload: {word}}}}}\n");
    object.replacen("}\n", &annotation, 1)
}

fn sequence(steps: &str) -> String {
    document(FLOWS, "Sequence", "s", &format!("steps: [{steps}]"))
}

fn presentations(compiled: &towpath_config::Compiled, name: &str) -> Vec<Option<Presentation>> {
    let channel = channel(compiled, name);
    let subscriptions = channel.subscriptions.iter();
    subscriptions
        .map(|subscription| subscription.presentation)
        .collect()
}

#[test]
fn nobody_says_it() {
    let text = imc("") + &subscription(&format!("subscriber: {FIRST}")) + &service("first");
    let compiled = compiled(&text);
    assert_eq!(only(&compiled).presentation, None);
    assert!(!compiled.report.to_string().contains("payload"));
}

#[rstest]
#[case("Inline", Inline)]
#[case("Reference", Reference)]
#[case("File", File)]
fn a_subscription_says_it(#[case] word: &str, #[case] expected: Presentation) {
    let subscription = subscription("subscriber: {uri: 'http://x'}");
    let compiled = compiled(&(imc("") + &annotated(&subscription, word)));
    assert_eq!(only(&compiled).presentation, Some(expected));
    let shown = compiled.report.to_string();
    let line = format!("    payload {word}\n");
    assert_eq!(shown.contains(&line), expected != Inline, "{shown}");
}

/// Its own object wins over the Service, also with the word that nobody would need to write.
#[rstest]
#[case(None, None, None)]
#[case(None, Some("File"), Some(File))]
#[case(Some("Reference"), Some("File"), Some(Reference))]
#[case(Some("Inline"), Some("File"), Some(Inline))]
#[case(Some("Reference"), None, Some(Reference))]
fn the_nearer_object_wins(
    #[case] own: Option<&str>,
    #[case] of_service: Option<&str>,
    #[case] expected: Option<Presentation>,
) {
    let with = |object: String, word: Option<&str>| match word {
        Some(word) => annotated(&object, word),
        None => object,
    };
    let service = with(service("first"), of_service);
    let to = format!("subscriber: {FIRST}");
    let subscription = with(subscription(&to), own);
    let found = compiled(&(imc("") + &subscription + &service));
    assert_eq!(only(&found).presentation, expected);
    let trigger = with(trigger_to(&to, ""), own);
    let found = compiled(&(broker_object("") + &trigger + &service));
    assert_eq!(only_trigger(&found).presentation, expected);
    let sequence = with(sequence(FIRST), own);
    let found = compiled(&(sequence + &service));
    assert_eq!(presentations(&found, "s-kn-sequence-0"), [expected]);
}

/// Any form of the Service's host, any scheme, any path.
#[rstest]
#[case(FIRST, Some(File))]
#[case(
    "{ref: {apiVersion: v1, kind: Service, name: first}, uri: /in}",
    Some(File)
)]
#[case("{uri: 'http://first.default.svc.cluster.local/in'}", Some(File))]
#[case("{uri: 'http://First.default.svc.'}", Some(File))]
#[case("{uri: 'http://first.default:80'}", Some(File))]
#[case("{uri: 'http://first.other.svc'}", None)]
#[case("{uri: 'http://first'}", None)]
fn a_service_says_it_for_whoever_means_it(
    #[case] to: &str,
    #[case] expected: Option<Presentation>,
) {
    let text = imc("")
        + &subscription(&format!("subscriber: {to}"))
        + &annotated(&service("first"), "File");
    assert_eq!(only(&compiled(&text)).presentation, expected);
}

#[test]
fn a_service_says_it_also_where_the_settings_send_elsewhere() {
    let text = imc("")
        + &subscription(&format!("subscriber: {FIRST}"))
        + &annotated(&service("first"), "File");
    for key in ["Service/default/first", "first.default.svc.cluster.local"] {
        let mut options = CompileOptions::default();
        let url = "http://127.0.0.1:1".to_owned();
        options.addresses.insert(key.to_owned(), url);
        let compiled = compiled_with(&text, &options);
        assert_eq!(only(&compiled).presentation, Some(File), "{key}");
    }
}

#[test]
fn a_service_says_nothing_about_its_replies_and_dead_letters() {
    let text = imc("")
        + &subscription(&format!(
            "subscriber: {{uri: 'http://x'}}\nreply: {FIRST}\ndelivery: {{deadLetterSink: {FIRST}}}"
        ))
        + &annotated(&service("first"), "File");
    assert_eq!(only(&compiled(&text)).presentation, None);
}

/// A dump holds the Service that gives a channel its host: what is hosted here is no subscriber of anybody's Service.
#[test]
fn a_service_of_a_hosted_channel_says_nothing() {
    let next = document("messaging.knative.dev/v1", "InMemoryChannel", "d", "");
    let text = imc("")
        + &next
        + &subscription("subscriber: {uri: 'http://d-kn-channel.default.svc.cluster.local'}")
        + &annotated(&service("d-kn-channel"), "File");
    assert_eq!(only(&compiled(&text)).presentation, None);
}

#[test]
fn an_entry_of_subscribers_has_only_its_service() {
    let entry = |uri: &str| format!("subscribers: [{{uid: u, subscriberUri: '{uri}'}}]");
    let service = annotated(&service("first"), "Reference");
    for (uri, expected) in [
        ("http://first.default.svc.cluster.local", Some(Reference)),
        ("http://x", None),
    ] {
        let compiled = compiled(&(imc(&entry(uri)) + &service));
        assert_eq!(only(&compiled).presentation, expected, "{uri}");
    }
}

#[test]
fn an_entry_that_was_made_of_a_subscription_has_that_one_s() {
    let text = imc("subscribers: [{name: s, subscriberUri: 'http://x'}]")
        + &annotated(&subscription("subscriber: {uri: 'http://x'}"), "File");
    assert_eq!(only(&compiled(&text)).presentation, Some(File));
}

#[test]
fn a_sequence_says_it_for_all_its_steps_and_for_no_other() {
    let text = annotated(
        &sequence("{uri: 'http://x'}, {uri: 'http://y'}"),
        "Reference",
    ) + &subscription("subscriber: {uri: 'http://z'}")
        .replace("name: c}", "name: s-kn-sequence-1}");
    let compiled = compiled(&text);
    assert_eq!(
        presentations(&compiled, "s-kn-sequence-0"),
        [Some(Reference)]
    );
    // That of the user comes first, by its key.
    assert_eq!(
        presentations(&compiled, "s-kn-sequence-1"),
        [None, Some(Reference)]
    );
}

#[test]
fn a_parallel_says_it_for_filters_and_subscribers() {
    let branches = "branches:\n- {filter: {uri: 'http://f'}, subscriber: {uri: 'http://x'}}\n- {subscriber: {uri: 'http://y'}}";
    let compiled = compiled(&annotated(
        &document(FLOWS, "Parallel", "p", branches),
        "File",
    ));
    let said = [Some(File)];
    assert_eq!(
        presentations(&compiled, "p-kn-parallel"),
        [said, said].concat()
    );
    assert_eq!(presentations(&compiled, "p-kn-parallel-0"), said);
    assert_eq!(presentations(&compiled, "p-kn-parallel-1"), said);
    // The branch without a filter passes events on in this process: there is nothing to present.
    let shown = compiled.report.to_string();
    assert_eq!(shown.matches("    payload File\n").count(), 3, "{shown}");
}

#[test]
fn the_report_knows_the_default_of_the_settings() {
    let mut settings = Settings::default();
    assert_eq!(settings.apply("payloads.present", "Reference"), Ok(()));
    let text = imc("") + &subscription("subscriber: {uri: 'http://x'}");
    let compiled = compiled_with(&text, &settings.compile_options());
    assert_eq!(only(&compiled).presentation, None);
    assert!(
        compiled
            .report
            .to_string()
            .contains("    payload Reference\n")
    );
}

const WRONG: &str =
    "metadata.annotations[towpath.dev/payload]: `reference` is not one of: Inline, Reference, File";

#[rstest]
#[case(imc("") + &annotated(&subscription("subscriber: {uri: 'http://x'}"), "reference"), "Subscription default/s")]
#[case(broker_object("") + &annotated(&trigger(""), "reference"), "Trigger default/t")]
#[case(annotated(&sequence("{uri: 'http://x'}, {uri: 'http://y'}"), "reference"), "Sequence default/s")]
#[case(
    annotated(&document(FLOWS, "Parallel", "p", "branches: [{subscriber: {uri: 'http://x'}}]"), "reference"),
    "Parallel default/p"
)]
// Whether anybody sends to it or not.
#[case(annotated(&service("first"), "reference"), "Service default/first")]
fn a_wrong_word_is_refused(#[case] text: String, #[case] object: &str) {
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with(&format!(" {object}: {WRONG}")),
        "{found:?}"
    );
}

#[rstest]
#[case("inline")]
#[case("REFERENCE")]
#[case("' File'")]
#[case("''")]
#[case("ref")]
fn the_spelling_is_exact(#[case] word: &str) {
    let text = annotated(&service("first"), word);
    let found = problems(&text);
    let word = word.trim_matches('\'');
    let expected = format!("`{word}` is not one of: Inline, Reference, File");
    assert!(
        matches!(found.as_slice(), [only] if only.ends_with(&expected)),
        "{found:?}"
    );
}

#[rstest]
#[case(imc(""), "InMemoryChannel default/c", "channel's Subscriptions")]
#[case(
    document("messaging.knative.dev/v1", "Channel", "c", ""),
    "Channel default/c",
    "channel's Subscriptions"
)]
#[case(broker_object(""), "Broker default/b", "Broker's Triggers")]
fn on_a_channel_it_is_noted(#[case] object: String, #[case] shown: &str, #[case] receivers: &str) {
    let compiled = compiled(&annotated(&object, "File"));
    assert_eq!(
        notes(&compiled),
        [format!(
            "a.yaml:4: {shown}: metadata.annotations[towpath.dev/payload]: has no effect here; put it on the {receivers}"
        )]
    );
}

#[rstest]
#[case("MTChannelBasedBroker", 2)]
#[case("Towpath", 0)]
fn b1_1_a_trigger_of_a_foreign_class_is_obeyed_and_noted(
    #[case] class: &str,
    #[case] expected: usize,
) {
    let broker = format!(
        "---\napiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: b, annotations: {{eventing.knative.dev/broker.class: {class}}}}}\n"
    );
    let silent = compiled(&(broker.clone() + &trigger("")));
    assert_eq!(notes(&silent).len(), expected / 2, "no word, no note");
    let compiled = compiled(&(broker + &annotated(&trigger(""), "File")));
    assert_eq!(only_trigger(&compiled).presentation, Some(File));
    let found = notes(&compiled);
    assert_eq!(found.len(), expected, "{found:?}");
    if let [_, note] = found.as_slice() {
        assert_eq!(
            note,
            "a.yaml:8: Trigger default/t: metadata.annotations[towpath.dev/payload]: is obeyed here; in a cluster class MTChannelBasedBroker runs this Broker, and ignores it"
        );
    }
}
