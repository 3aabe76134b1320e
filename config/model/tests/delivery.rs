//! Delivery specs: rules (C8.7), and what is inherited from whom (A7.5, A7.6, I10).

mod support;

use std::time::Duration;

use rstest::rstest;
use support::{compiled, document, imc, only, problems, subscription};
use towpath_config::topology::{Backoff, Delivery, Format};

const CHANNEL: &str = "delivery: {retry: 5, backoffPolicy: linear, backoffDelay: PT1S, timeout: PT5S, retryAfterMax: PT9S, format: json, \
                       deadLetterSink: {uri: 'http://channel.dead'}}";

fn channels() -> Delivery {
    Delivery {
        retry: 5,
        backoff: Some(Backoff::Linear(Duration::from_secs(1))),
        timeout: Some(Duration::from_secs(5)),
        retry_after_max: Some(Duration::from_secs(9)),
        // A7.6: never handed down.
        format: None,
        ..Delivery::default()
    }
}

/// Delivery of a Subscription under a channel, each with the given specification.
fn delivery(channel: &str, own: &str) -> (Delivery, Option<String>) {
    let text = imc(channel) + &subscription(&format!("subscriber: {{uri: 'http://x'}}\n{own}"));
    let subscription = only(&compiled(&text));
    let dead_letter = subscription
        .dead_letter
        .as_ref()
        .map(|sink| sink.url.to_string());
    (subscription.delivery.clone(), dead_letter)
}

#[rstest]
#[case::nothing("", "", Delivery::default(), None)]
#[case::channel_only(CHANNEL, "", channels(), Some("http://channel.dead"))]
#[case::own_is_whole(CHANNEL, "delivery: {retry: 1}", Delivery { retry: 1, ..Delivery::default() }, Some("http://channel.dead"))]
#[case::zero_is_set(
    CHANNEL,
    "delivery: {retry: 0}",
    Delivery::default(),
    Some("http://channel.dead")
)]
#[case::own_format(
    CHANNEL,
    "delivery: {format: json}",
    Delivery { format: Some(Format::Json), ..Delivery::default() },
    Some("http://channel.dead")
)]
#[case::empty_is_set(
    CHANNEL,
    "delivery: {}",
    Delivery::default(),
    Some("http://channel.dead")
)]
#[case::own_sink(
    CHANNEL,
    "delivery: {deadLetterSink: {uri: 'http://own.dead'}}",
    Delivery::default(),
    Some("http://own.dead")
)]
#[case::own_only("", "delivery: {retry: 2, deadLetterSink: {uri: 'http://own.dead'}}", Delivery { retry: 2, ..Delivery::default() }, Some("http://own.dead"))]
fn a7_6_inheritance(
    #[case] channel: &str,
    #[case] own: &str,
    #[case] expected: Delivery,
    #[case] dead_letter: Option<&str>,
) {
    let (delivery, sink) = delivery(channel, own);
    assert_eq!(delivery, expected);
    assert_eq!(sink.as_deref(), dead_letter);
}

#[test]
fn a7_6_entries_inherit_nothing_and_keep_their_format() {
    let text = imc(&format!(
        "{CHANNEL}\nsubscribers: [{{uid: u, subscriberUri: 'http://x', delivery: {{retry: 1, format: json}}}}]"
    ));
    let subscription = only(&compiled(&text));
    assert_eq!(
        subscription.delivery,
        Delivery {
            retry: 1,
            format: Some(Format::Json),
            ..Delivery::default()
        }
    );
    assert_eq!(subscription.dead_letter, None);
}

#[rstest]
#[case(
    "{backoffPolicy: exponential, backoffDelay: PT0.2S}",
    Some(Backoff::Exponential(Duration::from_millis(200)))
)]
#[case(
    "{backoffPolicy: linear, backoffDelay: P1D}",
    Some(Backoff::Linear(Duration::from_secs(86_400)))
)]
#[case("{backoffPolicy: linear}", None)]
#[case("{backoffDelay: PT1S}", None)]
fn c8_3_backoff_needs_both(#[case] own: &str, #[case] expected: Option<Backoff>) {
    assert_eq!(
        delivery("", &format!("delivery: {own}")).0.backoff,
        expected
    );
}

#[rstest]
#[case("retry: -1", "retry: -1 is negative; write 0 for no further attempt")]
#[case(
    "retry: 3000000000",
    "retry: invalid value: integer `3000000000`, expected an integer from -2147483648 to 2147483647"
)]
#[case(
    "timeout: PT0S",
    "timeout: must be over zero; leave it out for no time-out of the delivery spec"
)]
#[case(
    "timeout: 5s",
    "timeout: `5s` is not an ISO-8601 period: it does not begin with `P`; write it as `PT0.2S`, `PT30S`, `PT1M30S` or `P1D`"
)]
#[case(
    "backoffPolicy: Linear",
    "backoffPolicy: `Linear` is not one of: linear, exponential"
)]
#[case(
    "backoffDelay: -PT1S",
    "backoffDelay: `-PT1S` is negative; a wait or time-out is at least zero"
)]
#[case(
    "retryAfterMax: -PT1S",
    "retryAfterMax: `-PT1S` is negative; a wait or time-out is at least zero"
)]
#[case("format: xml", "format: `xml` is not one of: json, binary")]
#[case(
    "deadLetterSink: {uri: dead}",
    "deadLetterSink.uri: `dead` is relative; write `http://<host>/<path>`, or add a `ref` that it is relative to"
)]
#[case(
    "deadLetterSnk: {uri: dead}",
    "deadLetterSnk: unknown field `deadLetterSnk`; did you mean `deadLetterSink`?"
)]
fn c8_7_rules(#[case] own: &str, #[case] expected: &str) {
    let template = "channelTemplate: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, spec: {delivery: {OWN}}}";
    let places = [
        (imc(&format!("delivery: {{{own}}}")), "spec.delivery"),
        (
            imc(&format!(
                "subscribers: [{{uid: u, subscriberUri: 'http://x', delivery: {{{own}}}}}]"
            )),
            "spec.subscribers[0].delivery",
        ),
        (
            imc("")
                + &subscription(&format!(
                    "subscriber: {{uri: 'http://x'}}\ndelivery: {{{own}}}"
                )),
            "spec.delivery",
        ),
        (
            document(
                "messaging.knative.dev/v1",
                "Channel",
                "c",
                &template.replace("OWN", own),
            ),
            "spec.channelTemplate.spec.delivery",
        ),
        (
            document(
                "flows.knative.dev/v1",
                "Sequence",
                "q",
                &format!("steps: [{{uri: 'http://x', delivery: {{{own}}}}}]"),
            ),
            "spec.steps[0].delivery",
        ),
    ];
    for (text, path) in places {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].ends_with(&format!(": {path}.{expected}")),
            "{path}: {}",
            found[0]
        );
    }
}

#[test]
fn retry_after_max_may_be_zero() {
    let (delivery, _) = delivery("", "delivery: {retryAfterMax: PT0S}");
    assert_eq!(delivery.retry_after_max, Some(Duration::ZERO));
}
