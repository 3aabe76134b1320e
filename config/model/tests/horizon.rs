//! Deliveries that may take longer than payloads are kept: refused if a single slow attempt is enough, else noted.

mod support;

use std::time::Duration;

use rstest::rstest;
use support::{
    broker_object, compiled_with, document, imc, lines, notes, problems, subscription, try_compile,
};
use towpath_config::{CompileOptions, Settings};

fn with(pairs: &[&str]) -> CompileOptions {
    let mut settings = Settings::default();
    for pair in pairs {
        let (key, value) = pair.split_once('=').unwrap_or_default();
        assert_eq!(settings.apply(key, value), Ok(()), "{pair}");
    }
    settings.compile_options()
}

fn one(delivery: &str) -> String {
    imc("")
        + &subscription(&format!(
            "subscriber: {{uri: 'http://x'}}\ndelivery: {delivery}"
        ))
}

/// At the defaults: 24 hours, 15 minutes, 10 minutes.
#[rstest]
#[case("{}")]
#[case("{retry: 95}")]
#[case("{retry: 1000, timeout: PT1M}")]
#[case("{retry: 40, backoffPolicy: exponential, backoffDelay: PT1S}")]
#[case("{retry: 2147483647, timeout: PT0.00001S}")]
fn short_enough(#[case] delivery: &str) {
    assert_eq!(
        notes(&compiled_with(&one(delivery), &with(&[]))),
        [""; 0],
        "{delivery}"
    );
}

#[rstest]
#[case(
    "{retry: 96}",
    "may take 24h15m (97 attempts of 15m, and 0s between them), longer than the 24h for which a payload is kept (setting store.ttl); raise \
     that, or set a shorter `timeout` or fewer `retry`, lest the last attempts find no payload"
)]
#[case(
    "{retry: 10, timeout: PT2H, deadLetterSink: {uri: 'http://dead'}}",
    "may take 44h (11 attempts of 2h, and 0s between them, for each of 2 destinations), longer than the 24h for which a payload is kept \
     (setting store.ttl); raise that, or set a shorter `timeout` or fewer `retry`, lest the last attempts find no payload"
)]
fn noted(#[case] delivery: &str, #[case] expected: &str) {
    let found = notes(&compiled_with(&one(delivery), &with(&[])));
    let expected = format!("a.yaml:12: Subscription default/s: spec.delivery: {expected}");
    assert_eq!(found, [expected]);
}

/// 12h45m of attempts and 8h20m of waits are within a day; longer attempts are not.
#[test]
fn attempts_without_a_timeout_take_that_of_the_settings() {
    let text = one("{retry: 50, backoffPolicy: linear, backoffDelay: PT10M}");
    assert_eq!(notes(&compiled_with(&text, &with(&[]))), [""; 0]);
    let found = notes(&compiled_with(&text, &with(&["timeouts.attempt=20m"])));
    let start = "a.yaml:12: Subscription default/s: spec.delivery: may take 25h20m (51 attempts of 20m, and 8h20m between them)";
    assert!(found.len() == 1 && found[0].starts_with(start), "{found:?}");
}

/// The waits alone, and one attempt, are over it.
#[rstest]
#[case(
    "{retry: 144, backoffPolicy: linear, backoffDelay: PT10M}",
    "the waits between its 145 attempts may take 24h, and one of these may take 15m: longer than the 24h for which a payload is kept (setting \
     store.ttl), so it could be gone before it is delivered; raise that, or lower `timeout`, `retry`, `backoffDelay`, `retryAfterMax` or \
     setting delivery.backoffMax"
)]
#[case(
    "{retry: 1000, retryAfterMax: PT2M}",
    "the waits between its 1001 attempts may take 33h20m, and one of these may take 15m"
)]
#[case("{timeout: P2D}", "its one attempt may take 48h: longer than the 24h")]
fn refused(#[case] delivery: &str, #[case] expected: &str) {
    let found = problems(&one(delivery));
    let expected = format!("a.yaml:12: Subscription default/s: spec.delivery: {expected}");
    assert!(
        found.len() == 1 && found[0].starts_with(&expected),
        "{found:?}"
    );
}

#[test]
fn settings_and_policies_count() {
    let text = one("{retry: 144, backoffPolicy: linear, backoffDelay: PT10M, timeout: PT1S}");
    assert_eq!(problems(&text).len(), 1);
    for pair in ["store.ttl=25h", "delivery.backoffMax=9m"] {
        let found = lines(try_compile(&text, &with(&[pair])).err());
        assert_eq!(found, [""; 0], "{pair}");
    }
    let policy = |max: &str| {
        let spec = format!("backoffMax: {max}");
        text.clone() + &document("towpath.dev/v1alpha1", "HopPolicy", "p", &spec)
    };
    assert_eq!(problems(&policy("PT9M")), [""; 0]);
    assert_eq!(problems(&policy("PT11M")).len(), 1);
    let options = CompileOptions {
        payload_ttl: Duration::from_secs(1),
        ..CompileOptions::default()
    };
    let no_spec = imc("") + &subscription("subscriber: {uri: 'http://x'}");
    let found = lines(try_compile(&no_spec, &options).err());
    assert!(
        found.len() == 1
            && found[0]
                .starts_with("a.yaml:6: Subscription default/s: its one attempt may take 15m"),
        "{found:?}"
    );
}

/// One note for each distinct spec, also where thousands have it; an inherited one points to where it is written.
#[test]
fn one_note_for_many() {
    let trigger = |index: usize, delivery: &str| {
        let spec = format!("broker: b\nsubscriber: {{uri: 'http://x'}}\n{delivery}");
        document(
            "eventing.knative.dev/v1",
            "Trigger",
            &format!("t{index}"),
            &spec,
        )
    };
    let inheriting: String = (0..3).map(|index| trigger(index, "")).collect();
    let own: String = (3..1003)
        .map(|index| trigger(index, "delivery: {retry: 50}"))
        .collect();
    let text = broker_object("delivery: {retry: 60}") + &inheriting + &own;
    let found = notes(&compiled_with(&text, &with(&[])));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("a.yaml:6: Broker default/b: spec.delivery: may take 30h30m"));
    assert!(found[0].ends_with("; the same is true of 2 other subscriptions"));
    assert!(found[1].contains("Trigger default/t3: spec.delivery: may take 25h30m"));
    assert!(found[1].ends_with("; the same is true of 999 other subscriptions"));
}
