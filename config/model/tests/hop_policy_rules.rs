//! `HopPolicy`: every rule of its fields and of its target, with the exact messages.

mod support;

use rstest::rstest;
use support::{document, imc, lines, problems, service, subscription};
use towpath_config::{CompileOptions, load};

fn policy(spec: &str) -> String {
    document("towpath.dev/v1alpha1", "HopPolicy", "p", spec)
}

#[rstest]
#[case(
    "strategy: adaptive",
    "strategy: `adaptive` is not one of: Adaptive, LocalFirst, Weighted, LeastRequest, RoundRobin"
)]
#[case(
    "strategy: Weighted",
    "weights: missing; strategy `Weighted` needs them, as `{local: 20, remote: 80}`"
)]
#[case(
    "weights: {local: 1, remote: 1}",
    "strategy: missing; `weights` need strategy `Weighted`"
)]
#[case(
    "strategy: RoundRobin\nweights: {local: 1, remote: 1}",
    "weights: are for strategy `Weighted`, and `strategy` is `RoundRobin`; leave them out, or change that"
)]
#[case(
    "slowStart: 30s",
    "slowStart: `30s` is not an ISO-8601 period: it does not begin with `P`; write it as `PT0.2S`, `PT30S`, `PT1M30S` or `P1D`"
)]
#[case(
    "slowStart: P2Y",
    "slowStart: `P2Y` is over a year; write at most `P365D`"
)]
#[case(
    "replicaConcurrency: 0",
    "replicaConcurrency: 0 is not from 1 to 100000"
)]
#[case(
    "replicaConcurrency: 100001",
    "replicaConcurrency: 100001 is not from 1 to 100000"
)]
#[case("replicaQueue: -1", "replicaQueue: -1 is not from 0 to 1000000")]
#[case(
    "replicaQueue: 1000001",
    "replicaQueue: 1000001 is not from 0 to 1000000"
)]
#[case(
    "presentation: inline",
    "presentation: `inline` is not one of: Inline, Reference, File"
)]
#[case(
    "cutThrough: 'no'",
    "cutThrough: invalid type: string \"no\", expected a boolean"
)]
#[case(
    "backoffMax: PT0S",
    "backoffMax: `PT0S` is zero; write a period over zero, as `PT5S`"
)]
#[case(
    "backoffMax: -PT1S",
    "backoffMax: `-PT1S` is negative; a wait or time-out is at least zero"
)]
#[case("order: key", "order: `key` is not one of: None, Key")]
#[case(
    "strateggy: Adaptive",
    "strateggy: unknown field `strateggy`; did you mean `strategy`?"
)]
#[case(
    "outlier: {consecutiveFailures: 1001}",
    "outlier.consecutiveFailures: 1001 is not from 0 to 1000"
)]
#[case(
    "outlier: {baseEjection: PT0S}",
    "outlier.baseEjection: `PT0S` is zero; write a period over zero, as `PT5S`"
)]
#[case(
    "outlier: {baseEjection: PT2M, maxEjection: PT1M30S}",
    "outlier.maxEjection: 1m30s is under `baseEjection` (2m); raise it"
)]
#[case(
    "outlier: {maxEjections: PT1M}",
    "outlier.maxEjections: unknown field `maxEjections`; did you mean `maxEjection`?"
)]
fn wrong_fields(#[case] spec: &str, #[case] expected: &str) {
    one_problem(spec, expected);
}

#[rstest]
#[case("{}", "path: missing; a health check needs a path, as `/healthz`")]
#[case(
    "{path: healthz}",
    "path: `healthz` is not a path; write it as `/healthz` or `/healthz?full=1`, beginning with `/`"
)]
#[case(
    "{path: ''}",
    "path: `` is not a path; write it as `/healthz` or `/healthz?full=1`, beginning with `/`"
)]
#[case(
    "{path: '/a b'}",
    "path: `/a b` is not a path; write it as `/healthz` or `/healthz?full=1`, beginning with `/`"
)]
#[case(
    "{path: '/a#b'}",
    "path: `/a#b` is not a path; write it as `/healthz` or `/healthz?full=1`, beginning with `/`"
)]
#[case(
    "{path: '/ä'}",
    "path: `/ä` is not a path; write it as `/healthz` or `/healthz?full=1`, beginning with `/`"
)]
#[case(
    "{path: /, interval: PT0S}",
    "interval: `PT0S` is zero; write a period over zero, as `PT5S`"
)]
#[case(
    "{path: /, timeout: PT0S}",
    "timeout: `PT0S` is zero; write a period over zero, as `PT5S`"
)]
#[case(
    "{path: /, interval: PT1S, timeout: PT1.5S}",
    "timeout: 1s500ms is over `interval` (1s), so checks would overlap; shorten it"
)]
#[case(
    "{path: /, healthyThreshold: 0}",
    "healthyThreshold: 0 is not from 1 to 100"
)]
#[case(
    "{path: /, unhealthyThreshold: 101}",
    "unhealthyThreshold: 101 is not from 1 to 100"
)]
fn wrong_health_checks(#[case] check: &str, #[case] expected: &str) {
    one_problem(
        &format!("healthCheck: {check}"),
        &format!("healthCheck.{expected}"),
    );
}

#[rstest]
#[case(
    "{}",
    ": empty; write `{local: 20, remote: 80}`, or `replicas` with a weight each"
)]
#[case("{local: 1}", ".remote: missing; write a weight, 0 for nothing")]
#[case("{remote: 1}", ".local: missing; write a weight, 0 for nothing")]
#[case(
    "{local: 0, remote: 0}",
    ": all weights are 0, so no hop could go anywhere; raise one of them"
)]
#[case("{local: -1, remote: 1}", ".local: -1 is not from 0 to 1000000")]
#[case(
    "{local: 1, remote: 1000001}",
    ".remote: 1000001 is not from 0 to 1000000"
)]
#[case(
    "{local: 1, remote: 1, replicas: []}",
    ".replicas: given beside `local` and `remote`; keep one form of weights"
)]
#[case("{replicas: []}", ".replicas: empty; name at least one replica")]
#[case(
    "{replicas: [{weight: 1}]}",
    ".replicas[0].name: missing; a replica is known by its pod's name or UID, or by IP and port, as `10.0.0.7:8080`"
)]
#[case(
    "{replicas: [{name: a}]}",
    ".replicas[0].weight: missing; write a weight, 0 for nothing"
)]
#[case(
    "{replicas: [{name: 'a:80', weight: 1}]}",
    ".replicas[0].name: `a:80` is neither the name or UID of a pod nor IP and port, as `10.0.0.7:8080`"
)]
#[case(
    "{replicas: [{name: a, weight: 1}, {name: b, weight: 2}, {name: a, weight: 3}]}",
    ".replicas[2].name: `a` is also replicas[0]; keep one"
)]
#[case(
    "{replicas: [{name: '[::1]:1', weight: 1}, {name: '[0::1]:1', weight: 1}]}",
    ".replicas[1].name: `[::1]:1` is also replicas[0]; keep one"
)]
#[case(
    "{replicas: [{name: a, weight: 0}, {name: b, weight: 0}]}",
    ".replicas: all weights are 0, so no hop could go anywhere; raise one of them"
)]
fn wrong_weights(#[case] weights: &str, #[case] expected: &str) {
    one_problem(
        &format!("strategy: Weighted\nweights: {weights}"),
        &format!("weights{expected}"),
    );
}

#[test]
fn too_many_replicas() {
    let replicas: Vec<_> = (0..1001)
        .map(|i| format!("{{name: r{i}, weight: 1}}"))
        .collect();
    one_problem(
        &format!(
            "strategy: Weighted\nweights: {{replicas: [{}]}}",
            replicas.join(", ")
        ),
        "weights.replicas: lists 1001, and 1000 is the limit; weigh by `local` and `remote` instead",
    );
}

fn one_problem(spec: &str, expected: &str) {
    let found = problems(&policy(spec));
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = format!(": HopPolicy default/p: spec.{expected}");
    let reading = expected.replace("default/p", "p");
    let ends = [expected.as_str(), reading.as_str()];
    let fits = ends.iter().any(|end| found[0].ends_with(end));
    assert!(fits, "{}\n{expected}", found[0]);
}

#[rstest]
#[case("{}", &["kind: missing; a target needs kind and name; leave `targetRef` out for the whole namespace", "name: missing; a target needs kind and name; leave `targetRef` out for the whole namespace"])]
#[case("{kind: Channel, name: c}", &["kind: `Channel` is not one of: Service, Subscription, Trigger, Sequence, Parallel"])]
#[case("{kind: Service, name: frist}", &["resolves to nothing: no object Service default/frist in the files, and a policy is for its own namespace only; did you mean `first`?"])]
#[case("{kind: Subscription, name: gone}", &["resolves to nothing: no object Subscription default/gone in the files, and a policy is for its own namespace only"])]
#[case("{kind: Trigger, name: s}", &["resolves to nothing: no object Trigger default/s in the files, and a policy is for its own namespace only"])]
#[case("{kind: Sequence, name: p}", &["resolves to nothing: no object Sequence default/p in the files, and a policy is for its own namespace only"])]
#[case("{kind: Parallel, name: q}", &["resolves to nothing: no object Parallel default/q in the files, and a policy is for its own namespace only"])]
#[case("{kind: Sequence, name: q, step: 2}", &["step: 2 is the number of no step: there are 2, counted from 0 to 1"])]
#[case("{kind: Sequence, name: q, step: -1}", &["step: -1 is the number of no step: there are 2, counted from 0 to 1"])]
#[case("{kind: Parallel, name: p, branch: 1}", &["branch: 1 is the number of no branch: there are 1, counted from 0 to 0"])]
#[case("{kind: Parallel, name: p, part: reply}", &["part: `reply` is not one of: filter, subscriber"])]
#[case("{kind: Parallel, name: p, branch: 0, part: filter}", &["part: branch 0 has no filter; leave it out, or write `subscriber`"])]
#[case("{kind: Parallel, name: p, part: filter}", &["part: the branches have no filter; leave it out, or write `subscriber`"])]
#[case("{kind: Service, name: first, step: 0}", &["step: is for kind Sequence only, and `kind` is Service; leave it out"])]
#[case("{kind: Sequence, name: q, branch: 0, part: filter}", &["branch: is for kind Parallel only, and `kind` is Sequence; leave it out", "part: is for kind Parallel only, and `kind` is Sequence; leave it out"])]
#[case("{kind: Parallel, name: p, step: 0}", &["step: is for kind Sequence only, and `kind` is Parallel; leave it out"])]
fn wrong_targets(#[case] target: &str, #[case] expected: &[&str]) {
    let text = imc("")
        + &subscription("subscriber: {uri: 'http://x'}")
        + &service("first")
        + &document(
            "flows.knative.dev/v1",
            "Sequence",
            "q",
            "steps: [{uri: 'http://x'}, {uri: 'http://x'}]",
        )
        + &document(
            "flows.knative.dev/v1",
            "Parallel",
            "p",
            "branches: [{subscriber: {uri: 'http://x'}}]",
        )
        + &policy(&format!("targetRef: {target}"));
    let found = problems(&text);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            found.contains(" HopPolicy default/p: spec.targetRef") && found.ends_with(expected),
            "{found}\n{expected}"
        );
    }
}

#[test]
fn a_target_has_one_policy() {
    let other = |name: &str, spec: &str| document("towpath.dev/v1alpha1", "HopPolicy", name, spec);
    let text = imc("")
        + &subscription("subscriber: {uri: 'http://x'}")
        + &policy("replicaQueue: 1")
        + &other("q", "targetRef: {kind: Subscription, name: s}")
        + &other("r", "")
        + &other("s", "targetRef: {kind: Subscription, name: s}");
    assert_eq!(
        problems(&text),
        [
            "a.yaml:25: HopPolicy default/r: spec.targetRef: HopPolicy default/p at a.yaml:13 is for namespace default as well; keep one of them",
            "a.yaml:33: HopPolicy default/s: spec.targetRef: HopPolicy default/q at a.yaml:19 is for Subscription default/s as well; keep one of them",
        ]
    );
    let twice = policy("") + &policy("");
    assert_eq!(
        problems(&twice),
        [
            "a.yaml:8: HopPolicy default/p: metadata.name: the same object is also at a.yaml:4; keep one"
        ]
    );
}

/// A field that could not be read breaks no rule besides, and what could not be read is no reason to call a target gone.
#[test]
fn what_only_follows_is_left_out() {
    let unreadable = document("messaging.knative.dev/v1beta1", "Subscription", "s", "");
    let spec = "targetRef: {kind: Subscription, name: s}\nstrategy: [Weighted]\nweights: {local: 1, remote: 1}\nhealthCheck: {path: 7}";
    let text = unreadable + &policy(spec);
    let found = lines(load(&support::file(&text), &CompileOptions::default()).err());
    assert_eq!(
        found,
        [
            "a.yaml:2: Subscription s: apiVersion: `messaging.knative.dev/v1beta1` is not supported for Subscription; use `messaging.knative.dev/v1`",
            "a.yaml:11: HopPolicy p: spec.strategy: invalid type: list, expected a string",
            "a.yaml:13: HopPolicy p: spec.healthCheck.path: invalid type: integer `7`, expected a string",
        ]
    );
}
