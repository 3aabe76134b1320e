//! `HopPolicy`: of several that say something about a destination the nearest counts, field by field.

mod support;

use std::time::Duration;

use support::{
    broker, channel, compiled, document, imc, only, policy, queue, queues, service, subscription,
    trigger_to,
};
use towpath_config::Compiled;
use towpath_config::topology::{Order, Outlier, Policy, Strategy};

const FIRST: &str = "{ref: {apiVersion: v1, kind: Service, name: first}}";

/// The same object in another namespace.
fn elsewhere(object: &str) -> String {
    object.replacen("metadata: {", "metadata: {namespace: other, ", 1)
}

#[test]
fn the_nearest_counts_field_by_field() {
    let text = imc("")
        + &subscription(&format!("subscriber: {FIRST}"))
        + &service("first")
        + &policy(
            "own",
            "targetRef: {kind: Subscription, name: s}\nstrategy: RoundRobin\ncutThrough: false",
        )
        + &policy(
            "service",
            "targetRef: {kind: Service, name: first}\nstrategy: LocalFirst\nreplicaQueue: 7\noutlier: {consecutiveFailures: 9}",
        )
        + &policy(
            "namespace",
            "replicaQueue: 8\nslowStart: PT1S\noutlier: {baseEjection: PT1S}\norder: Key\nbackoffMax: PT2S\ncutThrough: true",
        );
    let subscription = only(&compiled(&text));
    let policy = subscription
        .subscriber
        .as_ref()
        .map(|to| (*to.policy).clone());
    let expected = Policy {
        strategy: Strategy::RoundRobin,
        // An outlier detection counts as a whole.
        outlier: Outlier {
            consecutive_failures: 9,
            ..Outlier::default()
        },
        slow_start: Duration::from_secs(1),
        replica_queue: 7,
        ..Policy::default()
    };
    assert_eq!(policy, Some(expected));
    assert_eq!(subscription.cut_through, Some(false));
    assert_eq!(subscription.delivery.order, Order::Key);
    assert_eq!(
        subscription.delivery.backoff_max,
        Some(Duration::from_secs(2))
    );
}

/// Of these, every one counts once those before it are gone.
fn each_counts_when_those_before_are_gone(
    objects: &str,
    targets: &[&str],
    at: impl Fn(&Compiled) -> u32,
) {
    for gone in 0..targets.len() {
        let left = targets.get(gone..).unwrap_or_default();
        let found = at(&compiled(&(objects.to_owned() + &queues(left))));
        assert_eq!(found, 0, "{left:?}");
        // The nearest comes last in the file.
        let wider = targets.get(gone + 1..).unwrap_or_default();
        let moved: Vec<_> = wider.iter().chain(targets.get(gone)).copied().collect();
        let last = u32::try_from(wider.len());
        let found = at(&compiled(&(objects.to_owned() + &queues(&moved))));
        assert_eq!(
            Ok(found),
            last,
            "the order of the objects says nothing: {moved:?}"
        );
    }
    assert_eq!(at(&compiled(objects)), Policy::default().replica_queue);
}

#[test]
fn precedence_in_a_sequence() {
    let steps = format!("steps: [{{uri: 'http://x'}}, {}]", FIRST);
    let objects = document("flows.knative.dev/v1", "Sequence", "q", &steps) + &service("first");
    let targets = [
        "targetRef: {kind: Subscription, name: q-kn-sequence-1}",
        "targetRef: {kind: Sequence, name: q, step: 1}",
        "targetRef: {kind: Sequence, name: q}",
        "targetRef: {kind: Service, name: first}",
        "",
    ];
    each_counts_when_those_before_are_gone(&objects, &targets, |compiled| {
        queue(&channel(compiled, "q-kn-sequence-1").subscriptions[0])
    });
    // The other step is none of the business of the first two.
    let compiled = compiled(&(objects + &queues(&targets)));
    let other = channel(&compiled, "q-kn-sequence-0");
    assert_eq!(queue(&other.subscriptions[0]), 2);
}

#[test]
fn precedence_in_a_parallel() {
    let branches = format!(
        "branches: [{{filter: {{uri: 'http://f0'}}, subscriber: {{uri: 'http://s0'}}}}, {{filter: {FIRST}, subscriber: {{uri: 'http://s1'}}}}]"
    );
    let objects = document("flows.knative.dev/v1", "Parallel", "p", &branches) + &service("first");
    let targets = [
        "targetRef: {kind: Subscription, name: p-kn-parallel-filter-1}",
        "targetRef: {kind: Parallel, name: p, branch: 1, part: filter}",
        "targetRef: {kind: Parallel, name: p, branch: 1}",
        "targetRef: {kind: Parallel, name: p, part: filter}",
        "targetRef: {kind: Parallel, name: p}",
        "targetRef: {kind: Service, name: first}",
        "",
    ];
    each_counts_when_those_before_are_gone(&objects, &targets, |compiled| {
        queue(&channel(compiled, "p-kn-parallel").subscriptions[1])
    });
    let compiled = compiled(&(objects + &queues(&targets)));
    let queue_of = |name: &str, at: usize| queue(&channel(&compiled, name).subscriptions[at]);
    assert_eq!(queue_of("p-kn-parallel", 0), 3, "the other filter");
    assert_eq!(queue_of("p-kn-parallel-0", 0), 4, "the other subscriber");
    assert_eq!(
        queue_of("p-kn-parallel-1", 0),
        2,
        "the subscriber of the branch"
    );
}

#[test]
fn precedence_of_a_trigger() {
    let objects = document("eventing.knative.dev/v1", "Broker", "b", "")
        + &trigger_to(&format!("subscriber: {FIRST}"), "")
        + &service("first");
    let targets = [
        "targetRef: {kind: Trigger, name: t}",
        "targetRef: {kind: Service, name: first}",
        "",
    ];
    each_counts_when_those_before_are_gone(&objects, &targets, |compiled| {
        queue(&broker(compiled).subscriptions[0])
    });
}

/// A reply and a dead letter sink go by their Service, then by the subscription's namespace, whatever the Subscription says.
#[test]
fn replies_and_dead_letters() {
    let ends = format!(
        "subscriber: {{uri: 'http://x'}}\nreply: {FIRST}\ndelivery: {{deadLetterSink: {{uri: 'http://dead'}}}}"
    );
    let text = imc("")
        + &subscription(&ends)
        + &service("first")
        + &queues(&[
            "targetRef: {kind: Subscription, name: s}",
            "targetRef: {kind: Service, name: first}",
            "",
        ]);
    let subscription = only(&compiled(&text));
    let ends = [
        &subscription.subscriber,
        &subscription.reply,
        &subscription.dead_letter,
    ];
    let queues = ends.map(|to| to.as_ref().map(|to| to.policy.replica_queue));
    assert_eq!(queues, [Some(0), Some(1), Some(2)]);
}

/// A Service has its own namespace's policy; the namespace's default is that of the Subscription.
#[test]
fn namespaces() {
    let to = "subscriber: {ref: {apiVersion: v1, kind: Service, name: first, namespace: other}}";
    let objects = imc("") + &subscription(to) + &service("first") + &elsewhere(&service("first"));
    let default = objects.clone() + &policy("a", "replicaQueue: 1");
    let with = |more: &str| queue(&only(&compiled(&(default.clone() + more))));
    assert_eq!(with(&elsewhere(&policy("b", "replicaQueue: 2"))), 1);
    let of_service = policy(
        "c",
        "targetRef: {kind: Service, name: first}\nreplicaQueue: 3",
    );
    assert_eq!(with(&of_service), 1);
    assert_eq!(with(&elsewhere(&of_service)), 3);
}
