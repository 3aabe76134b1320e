//! `HopPolicy`: what it can say, whom it is for, and what is shared. Who wins is in `hop_policy_precedence.rs`, the rules
//! of its fields are in `hop_policy_rules.rs`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rstest::rstest;
use support::{
    channel, compiled, compiled_with, document, imc, notes, only, policy, problems, queue, queues,
    service, subscription, trigger_to,
};
use towpath_config::CompileOptions;
use towpath_config::topology::{
    HealthCheck, Order, Outlier, Policy, Presentation, Strategy, Subscription, Weights,
};

/// What hops to the subscriber obey under a policy for it.
fn obeyed(spec: &str) -> Arc<Subscription> {
    let target = "targetRef: {kind: Subscription, name: s}";
    let text = imc("")
        + &subscription("subscriber: {uri: 'http://x'}")
        + &policy("p", &format!("{target}\n{spec}"));
    only(&compiled(&text))
}

fn subscriber_policy(spec: &str) -> Policy {
    match &obeyed(spec).subscriber {
        Some(subscriber) => (*subscriber.policy).clone(),
        None => panic!("no subscriber"),
    }
}

#[test]
fn everything_that_a_policy_can_say() {
    let subscription = obeyed(
        "strategy: Weighted\n\
         weights: {local: 20, remote: 80}\n\
         healthCheck: {path: /healthz?full=1, interval: PT10S, timeout: PT10S, healthyThreshold: 100, unhealthyThreshold: 1}\n\
         outlier: {consecutiveFailures: 0, baseEjection: PT1M, maxEjection: PT1M}\n\
         slowStart: PT30S\n\
         replicaConcurrency: 4\n\
         replicaQueue: 0\n\
         presentation: File\n\
         cutThrough: false\n\
         backoffMax: PT1S\n\
         order: Key",
    );
    let policy = subscription
        .subscriber
        .as_ref()
        .map(|to| (*to.policy).clone());
    let expected = Policy {
        strategy: Strategy::Weighted(Weights::Placement {
            local: 20,
            remote: 80,
        }),
        health_check: Some(HealthCheck {
            path: "/healthz?full=1".into(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            healthy_threshold: 100.try_into().unwrap(),
            unhealthy_threshold: 1.try_into().unwrap(),
        }),
        outlier: Outlier {
            consecutive_failures: 0,
            base_ejection: Duration::from_secs(60),
            max_ejection: Duration::from_secs(60),
        },
        slow_start: Duration::from_secs(30),
        replica_concurrency: Some(4.try_into().unwrap()),
        replica_queue: 0,
    };
    assert_eq!(policy, Some(expected));
    assert_eq!(subscription.presentation, Some(Presentation::File));
    assert_eq!(subscription.cut_through, Some(false));
    assert_eq!(
        subscription.delivery.backoff_max,
        Some(Duration::from_secs(1))
    );
    assert_eq!(subscription.delivery.order, Order::Key);
}

#[rstest]
#[case("Adaptive", Strategy::Adaptive)]
#[case("LocalFirst", Strategy::LocalFirst)]
#[case("LeastRequest", Strategy::LeastRequest)]
#[case("RoundRobin", Strategy::RoundRobin)]
fn strategies(#[case] word: &str, #[case] strategy: Strategy) {
    let expected = Policy {
        strategy,
        ..Policy::default()
    };
    assert_eq!(subscriber_policy(&format!("strategy: {word}")), expected);
}

#[test]
fn weights_by_replica_have_their_addresses_in_one_form() {
    let replicas = "[{name: first-7d9f-abcde, weight: 3}, {name: 10.0.0.7:8080, weight: 0}, {name: '[0:0::1]:80', weight: 1000000}]";
    let policy = subscriber_policy(&format!(
        "strategy: Weighted\nweights: {{replicas: {replicas}}}"
    ));
    let expected = [
        ("first-7d9f-abcde", 3),
        ("10.0.0.7:8080", 0),
        ("[::1]:80", 1_000_000),
    ]
    .map(|(name, weight)| (name.into(), weight));
    let expected = Strategy::Weighted(Weights::Replicas(expected.into()));
    assert_eq!(policy.strategy, expected);
}

/// Interval, time-out, and thresholds of a health check; base and longest ejection: what is not given gives way.
#[rstest]
#[case("path: /", (5000, 1000, 1, 3))]
#[case("path: /, interval: PT0.2S", (200, 200, 1, 3))]
#[case("path: /, timeout: PT8S", (8000, 8000, 1, 3))]
#[case("path: /, healthyThreshold: 2, unhealthyThreshold: 4", (5000, 1000, 2, 4))]
fn defaults_of_a_health_check(#[case] check: &str, #[case] expected: (u128, u128, u32, u32)) {
    let check = subscriber_policy(&format!("healthCheck: {{{check}}}")).health_check;
    let numbers = check.map(|check| {
        (
            check.interval.as_millis(),
            check.timeout.as_millis(),
            check.healthy_threshold.get(),
            check.unhealthy_threshold.get(),
        )
    });
    assert_eq!(numbers, Some(expected));
}

#[rstest]
#[case("{}", (5, 10, 300))]
#[case("{consecutiveFailures: 1}", (1, 10, 300))]
#[case("{baseEjection: PT10M}", (5, 600, 600))]
#[case("{maxEjection: PT1S}", (5, 1, 1))]
fn defaults_of_an_outlier(#[case] outlier: &str, #[case] expected: (u32, u64, u64)) {
    let outlier = subscriber_policy(&format!("outlier: {outlier}")).outlier;
    let numbers = (
        outlier.consecutive_failures,
        outlier.base_ejection.as_secs(),
        outlier.max_ejection.as_secs(),
    );
    assert_eq!(numbers, expected);
}

/// A Service is known by its URL too, also where the settings send elsewhere instead, and a Knative Service as well.
#[rstest]
#[case("{uri: 'http://first.default.svc.cluster.local/path'}", "")]
#[case("{uri: 'http://FIRST.default:80'}", "")]
#[case(
    "{ref: {apiVersion: v1, kind: Service, name: only}}",
    "Service/default/only"
)]
#[case("{uri: 'http://first.default.svc'}", "first.default.svc")]
#[case(
    "{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: kn}}",
    ""
)]
fn services_by_other_names(#[case] to: &str, #[case] setting: &str) {
    let knative = document("serving.knative.dev/v1", "Service", "kn", "")
        + "status: {address: {url: 'http://kn.default.svc.cluster.local'}}\n";
    let name = ["only", "kn"]
        .into_iter()
        .find(|name| to.contains(&format!("name: {name}")));
    let target = format!(
        "targetRef: {{kind: Service, name: {}}}",
        name.unwrap_or("first")
    );
    let text = imc("")
        + &subscription(&format!("subscriber: {to}"))
        + &service("first")
        + &knative
        + &queues(&[target.as_str()]);
    let mut options = CompileOptions::default();
    if !setting.is_empty() {
        let url = "http://127.0.0.1:1".to_owned();
        options.addresses.insert(setting.to_owned(), url);
    }
    assert_eq!(queue(&only(&compiled_with(&text, &options))), 0);
}

/// An entry of `spec.subscribers` was made of the Subscription with its name.
#[test]
fn entries_are_subscriptions() {
    let entries = "subscribers: [{uid: u, name: s, subscriberUri: 'http://x'}, {uid: v, subscriberUri: 'http://y'}]";
    let text = imc(entries) + &queues(&["targetRef: {kind: Subscription, name: s}"]);
    let found = channel(&compiled(&text), "c");
    let queues = found.subscriptions.iter().map(|entry| queue(entry));
    assert_eq!(queues.collect::<Vec<_>>(), [0, 1000]);
}

/// Every policy counts before any annotation (DESIGN section 5).
#[test]
fn presentation_wins_over_annotations() {
    let subscription = subscription("subscriber: {uri: 'http://x'}").replacen(
        "{name: s}",
        "{name: s, annotations: {towpath.dev/payload: Reference}}",
        1,
    );
    let objects = imc("") + &subscription;
    let said = |more: &str| only(&compiled(&(objects.clone() + more))).presentation;
    assert_eq!(said(""), Some(Presentation::Reference));
    assert_eq!(
        said(&policy("p", "replicaQueue: 1")),
        Some(Presentation::Reference)
    );
    assert_eq!(
        said(&policy("p", "presentation: Inline")),
        Some(Presentation::Inline)
    );
}

/// Equal policies are one, wherever they come from, and so is the default.
#[test]
fn equal_policies_are_shared() {
    let entries: Vec<_> = (0..6)
        .map(|i| format!("{{uid: u{i}, name: s{i}, subscriberUri: 'http://x{i}'}}"))
        .collect();
    let channel_object = imc(&format!("subscribers: [{}]", entries.join(", ")));
    let for_one = |name: &str, of: u32, spec: &str| {
        let target = format!("targetRef: {{kind: Subscription, name: s{of}}}");
        policy(name, &format!("{target}\n{spec}"))
    };
    let text = channel_object
        + &for_one("a", 0, "replicaQueue: 1")
        + &for_one("b", 1, "replicaQueue: 1")
        + &for_one("c", 2, "replicaQueue: 1000")
        + &for_one("d", 3, "cutThrough: true");
    let found = channel(&compiled(&text), "c");
    let policies: Vec<_> = found
        .subscriptions
        .iter()
        .filter_map(|entry| entry.subscriber.as_ref())
        .map(|subscriber| Arc::as_ptr(&subscriber.policy))
        .collect();
    assert_eq!(policies[0], policies[1]);
    assert_ne!(policies[0], policies[4]);
    assert_eq!(policies[2..], [policies[5]; 4], "all of them the default");
}

#[test]
fn the_report_says_what_each_is_for() {
    let steps = "steps: [{uri: 'http://x'}]";
    let branches = "branches: [{filter: {uri: 'http://f'}, subscriber: {uri: 'http://s'}}]";
    let text = imc("")
        + &subscription("subscriber: {uri: 'http://x'}")
        + &document("flows.knative.dev/v1", "Sequence", "q", steps)
        + &document("flows.knative.dev/v1", "Parallel", "p", branches)
        + &queues(&[
            "",
            "targetRef: {kind: Subscription, name: s}",
            "targetRef: {kind: Sequence, name: q}",
            "targetRef: {kind: Sequence, name: q, step: 0}",
            "targetRef: {kind: Parallel, name: p, branch: 0, part: subscriber}",
            "targetRef: {kind: Parallel, name: p, part: filter}",
        ]);
    let shown = compiled(&text).report.to_string();
    let lines: Vec<_> = shown
        .lines()
        .filter(|line| line.starts_with("HopPolicy"))
        .collect();
    assert_eq!(
        lines,
        [
            "HopPolicy default/a for namespace default",
            "HopPolicy default/b for Subscription default/s",
            "HopPolicy default/c for Sequence default/q",
            "HopPolicy default/d for step 0 of Sequence default/q",
            "HopPolicy default/e for the subscriber of branch 0 of Parallel default/p",
            "HopPolicy default/f for every filter of Parallel default/p",
        ]
    );
    assert!(!shown.contains("skipped"), "{shown}");
}

#[test]
fn a_trigger_of_a_foreign_class_is_noted() {
    let broker = document("eventing.knative.dev/v1", "Broker", "b", "").replacen(
        "{name: b}",
        "{name: b, annotations: {eventing.knative.dev/broker.class: Kafka}}",
        1,
    );
    let text = broker
        + &trigger_to("subscriber: {uri: 'http://x'}", "")
        + &queues(&["targetRef: {kind: Trigger, name: t}"]);
    assert_eq!(problems(&text), [""; 0]);
    let notes = notes(&compiled(&text));
    let last = notes.last().map(String::as_str);
    assert_eq!(
        last,
        Some(
            "a.yaml:17: HopPolicy default/a: spec.targetRef: is obeyed here; in a cluster class Kafka runs the Broker of this Trigger, and ignores it"
        )
    );
}
