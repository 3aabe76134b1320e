//! Short ways to write objects in tests, and to see what came of them.
// Each test binary uses its own part of these.
#![allow(dead_code)]

use std::sync::Arc;

use towpath_config::topology::{Channel, ChannelKey, ChannelKind, Destination, Subscription};
use towpath_config::{CompileOptions, Compiled, Problems, SourceFile, compile, read};

/// One file called `a.yaml`.
pub(crate) fn file(text: &str) -> Vec<SourceFile> {
    vec![SourceFile {
        name: "a.yaml".to_owned(),
        text: text.to_owned(),
    }]
}

/// Reads and compiles.
pub(crate) fn try_compile(text: &str, options: &CompileOptions) -> Result<Compiled, Problems> {
    compile(&read(&file(text))?, options)
}

/// What is wrong with a text, line by line; nothing if nothing is.
pub(crate) fn problems(text: &str) -> Vec<String> {
    lines(try_compile(text, &CompileOptions::default()).err())
}

pub(crate) fn lines(problems: Option<Problems>) -> Vec<String> {
    problems
        .map(|problems| problems.0.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

/// Compiles what must be right.
pub(crate) fn compiled(text: &str) -> Compiled {
    compiled_with(text, &CompileOptions::default())
}

pub(crate) fn compiled_with(text: &str, options: &CompileOptions) -> Compiled {
    match try_compile(text, options) {
        Ok(compiled) => compiled,
        Err(problems) => panic!("{problems}"),
    }
}

/// A channel in namespace `default`.
pub(crate) fn channel(compiled: &Compiled, name: &str) -> Arc<Channel> {
    let key = ChannelKey {
        kind: ChannelKind::Channel,
        namespace: "default".into(),
        name: name.into(),
    };
    match compiled.topology.channels.get(&key) {
        Some(channel) => Arc::clone(channel),
        None => panic!("no {key} in {:?}", compiled.topology.channels.keys()),
    }
}

/// The Broker `b` in namespace `default`.
pub(crate) fn broker(compiled: &Compiled) -> Arc<Channel> {
    let key = ChannelKey {
        kind: ChannelKind::Broker,
        namespace: "default".into(),
        name: "b".into(),
    };
    match compiled.topology.channels.get(&key) {
        Some(broker) => Arc::clone(broker),
        None => panic!("no {key} in {:?}", compiled.topology.channels.keys()),
    }
}

/// The only Trigger of the Broker `b`.
pub(crate) fn only_trigger(compiled: &Compiled) -> Arc<Subscription> {
    match broker(compiled).subscriptions.as_slice() {
        [trigger] => Arc::clone(trigger),
        other => panic!("{other:?}"),
    }
}

/// URLs of subscriber, reply and dead letter sink.
pub(crate) fn ends(subscription: &Subscription) -> [String; 3] {
    let shown =
        |to: &Option<Destination>| to.as_ref().map(|to| to.url.to_string()).unwrap_or_default();
    [
        shown(&subscription.subscriber),
        shown(&subscription.reply),
        shown(&subscription.dead_letter),
    ]
}

/// Notes of the report, line by line.
pub(crate) fn notes(compiled: &Compiled) -> Vec<String> {
    compiled
        .report
        .notes
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The only subscription of the channel `c`.
pub(crate) fn only(compiled: &Compiled) -> Arc<Subscription> {
    match channel(compiled, "c").subscriptions.as_slice() {
        [subscription] => Arc::clone(subscription),
        other => panic!("{other:?}"),
    }
}

/// The subscriber of the only subscription.
pub(crate) fn subscriber(compiled: &Compiled) -> Destination {
    match &only(compiled).subscriber {
        Some(subscriber) => subscriber.clone(),
        None => panic!("no subscriber"),
    }
}

/// InMemoryChannel `c`, with more of its specification.
pub(crate) fn imc(spec: &str) -> String {
    document("messaging.knative.dev/v1", "InMemoryChannel", "c", spec)
}

/// Subscription `s` of `c`, with more of its specification.
pub(crate) fn subscription(spec: &str) -> String {
    let channel =
        "channel: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: c}\n";
    document(
        "messaging.knative.dev/v1",
        "Subscription",
        "s",
        &format!("{channel}{spec}"),
    )
}

/// Service `name` with port 80.
pub(crate) fn service(name: &str) -> String {
    document("v1", "Service", name, "ports: [{name: http, port: 80}]")
}

/// A document with a specification, given without indentation.
pub(crate) fn document(api_version: &str, kind: &str, name: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    let spec = if spec.is_empty() {
        String::new()
    } else {
        format!("spec:\n{spec}")
    };
    format!("---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {name}}}\n{spec}")
}

/// Broker `b`, with more of its specification.
pub(crate) fn broker_object(spec: &str) -> String {
    document("eventing.knative.dev/v1", "Broker", "b", spec)
}

/// Trigger `t` of `b`, which sends to `http://x`, with more of its specification.
pub(crate) fn trigger(spec: &str) -> String {
    trigger_to("subscriber: {uri: 'http://x'}", spec)
}

/// Trigger `t` of `b`, with its subscriber and more of its specification.
pub(crate) fn trigger_to(subscriber: &str, spec: &str) -> String {
    let spec = format!("broker: b\n{subscriber}\n{spec}");
    document("eventing.knative.dev/v1", "Trigger", "t", &spec)
}

/// A ConfigMap of Knative's own namespace with one text.
pub(crate) fn config_map(name: &str, key: &str, text: &str) -> String {
    let text: String = text.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: knative-eventing}}\ndata:\n  {key}: |\n{text}"
    )
}

/// A `HopPolicy`.
pub(crate) fn policy(name: &str, spec: &str) -> String {
    document("towpath.dev/v1alpha1", "HopPolicy", name, spec)
}

/// A policy for each target, whose `replicaQueue` is its place in the list.
pub(crate) fn queues(targets: &[&str]) -> String {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let policies = targets.iter().zip(names).enumerate();
    policies
        .map(|(index, (target, name))| policy(name, &format!("{target}\nreplicaQueue: {index}")))
        .collect()
}

/// The `replicaQueue` of the policy to the subscriber.
pub(crate) fn queue(subscription: &Subscription) -> u32 {
    match &subscription.subscriber {
        Some(subscriber) => subscriber.policy.replica_queue,
        None => panic!("no subscriber"),
    }
}
