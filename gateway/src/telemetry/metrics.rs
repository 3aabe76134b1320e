//! Every metric of the gateway: names, units, labels (CONTRACT G1; table in the gateway's README).

use std::collections::HashSet;
use std::sync::Arc;

use http::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder, exponential_buckets,
};
use tokio::time::Instant;
use towpath_config::topology::{Channel, ChannelKind, Subscription};
use towpath_payloads::{Budget, PayloadMetrics};

use super::event_types::EventTypes;
use super::hops::Hops;
use crate::routing::Placement;
use crate::routing::choose::Reason;

/// Bounds of Knative's own duration histograms, in seconds (G1).
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The subscription, as Knative names it in metrics.
const DESTINATION: &str = "messaging_destination_name";

/// Metrics of one gateway, in a registry of its own.
pub(crate) struct Metrics {
    registry: Registry,
    event_types: EventTypes,
    budget: Budget,
    /// Of the payload stores.
    pub(crate) payloads: PayloadMetrics,
    dispatch_seconds: HistogramVec,
    client_seconds: HistogramVec,
    server_seconds: HistogramVec,
    server_body_bytes: HistogramVec,
    rejected: IntCounterVec,
    hops: Hops,
    retries: IntCounterVec,
    reroutes: IntCounterVec,
    dead_letters: IntCounterVec,
    dropped: IntCounterVec,
    loops: IntCounterVec,
    topology_changes: IntCounterVec,
    bytes_in_flight: IntGauge,
    connections: IntGauge,
}

/// Why an event was not let in: the label of `towpath_events_rejected_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    Method,
    Address,
    Malformed,
    TooLarge,
    Truncated,
    Overloaded,
    Loop,
    Failed,
}

impl Rejected {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Address => "address",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::Overloaded => "overloaded",
            Self::Loop => "loop",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    /// Registers everything. `event_types` bounds the distinct values of `cloudevents_type`.
    ///
    /// # Errors
    /// A metric of a payload store has a name that is there already.
    pub(crate) fn new(event_types: usize, budget: Budget) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let http = [
            "http_request_method",
            "http_response_status_code",
            "url_scheme",
        ];
        let bytes = exponential_buckets(64.0, 8.0, 8).unwrap_or_default();
        Ok(Self {
            event_types: EventTypes::new(event_types),
            budget,
            payloads: PayloadMetrics::register(&registry)?,
            dispatch_seconds: histogram(
                &registry,
                "kn_eventing_dispatch_duration_seconds",
                "Time of one attempt to a subscriber, to the end of its answer",
                &SECONDS,
                &[
                    "messaging_system",
                    "messaging_operation_name",
                    DESTINATION,
                    "cloudevents_type",
                    "kn_channel_name",
                    "kn_channel_namespace",
                    "kn_broker_name",
                    "kn_broker_namespace",
                    "url_scheme",
                    "http_response_status_code",
                ],
            ),
            client_seconds: histogram(
                &registry,
                "http_client_request_duration_seconds",
                "Time of one request to a subscriber, reply destination or dead letter sink",
                &SECONDS,
                &http,
            ),
            server_seconds: histogram(
                &registry,
                "http_server_request_duration_seconds",
                "Time from the head of a request to its answer",
                &SECONDS,
                &http,
            ),
            server_body_bytes: histogram(
                &registry,
                "http_server_request_body_size_bytes",
                "Size of the bodies of accepted events",
                &bytes,
                &["http_request_method", "url_scheme"],
            ),
            rejected: counter(
                &registry,
                "towpath_events_rejected_total",
                "Requests that were not let in",
                &["reason"],
            ),
            hops: Hops::of(
                &counter(
                    &registry,
                    "towpath_hops_total",
                    "Requests to replicas, by where the replica is, seen from the event's origin, and why it was chosen",
                    &["placement", "reason"],
                ),
                &counter(
                    &registry,
                    "towpath_hop_bytes_total",
                    "Bytes of the data of these events",
                    &["placement"],
                ),
            ),
            retries: counter(
                &registry,
                "towpath_retries_total",
                "Attempts after the first",
                &[DESTINATION],
            ),
            reroutes: counter(
                &registry,
                "towpath_reroutes_total",
                "Attempts that moved on to another replica, because one refused or could not be reached",
                &[DESTINATION],
            ),
            dead_letters: counter(
                &registry,
                "towpath_dead_letters_total",
                "Events that a dead letter sink took",
                &[DESTINATION],
            ),
            dropped: counter(
                &registry,
                "towpath_events_dropped_total",
                "Events lost for a subscription, as its delivery spec says",
                &[DESTINATION, "reason"],
            ),
            loops: counter(
                &registry,
                "towpath_hop_budget_spent_total",
                "Replies refused because the event had gone through too many channels",
                &[DESTINATION],
            ),
            topology_changes: counter(
                &registry,
                "towpath_topology_changes_total",
                "Changes of the configuration, by what became of them",
                &["result"],
            ),
            bytes_in_flight: gauge(
                &registry,
                "towpath_bytes_in_flight",
                "Payload bytes held in memory",
            ),
            connections: gauge(
                &registry,
                "towpath_open_connections",
                "Connections from producers",
            ),
            registry,
        })
    }

    /// All metrics in Prometheus's text format.
    pub(crate) fn render(&self) -> Vec<u8> {
        self.bytes_in_flight
            .set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }

    /// Connections from producers, up and down.
    pub(crate) fn connections(&self) -> &IntGauge {
        &self.connections
    }

    /// A request was answered.
    pub(crate) fn served(&self, method: &Method, status: StatusCode, started: Instant) {
        // Methods that we do not know are one label value: clients may invent them.
        let method = if [Method::POST, Method::GET, Method::OPTIONS, Method::PUT].contains(method) {
            method.as_str()
        } else {
            "_OTHER"
        };
        let labels = [method, status.as_str(), "http"];
        self.server_seconds
            .with_label_values(&labels)
            .observe(started.elapsed().as_secs_f64());
    }

    /// The body of an event was received whole.
    #[allow(clippy::cast_precision_loss, reason = "sizes over 2^53 do not occur")]
    pub(crate) fn received(&self, bytes: u64) {
        self.server_body_bytes
            .with_label_values(&["POST", "http"])
            .observe(bytes as f64);
    }

    pub(crate) fn rejected(&self, reason: Rejected) {
        self.rejected.with_label_values(&[reason.as_str()]).inc();
    }

    /// The label value for an event type.
    pub(super) fn event_type<'a>(&self, ty: &'a str) -> &'a str {
        self.event_types.label(ty)
    }

    /// The series of attempts to `subscription` of `channel` with these outcomes.
    pub(super) fn dispatches(
        &self,
        channel: &Channel,
        destination: &str,
        ty: &str,
        scheme: &str,
        status: StatusCode,
    ) -> Histogram {
        let (own_name, own_namespace) = (&*channel.key.name, &*channel.key.namespace);
        // An empty label is one that is not there.
        let [
            channel_name,
            channel_namespace,
            broker_name,
            broker_namespace,
        ] = match channel.key.kind {
            ChannelKind::Channel => [own_name, own_namespace, "", ""],
            ChannelKind::Broker => ["", "", own_name, own_namespace],
        };
        self.dispatch_seconds.with_label_values(&[
            "knative",
            "send",
            destination,
            ty,
            channel_name,
            channel_namespace,
            broker_name,
            broker_namespace,
            scheme,
            status.as_str(),
        ])
    }

    /// The series of requests with these outcomes.
    pub(super) fn requests(&self, scheme: &str, status: StatusCode) -> Histogram {
        self.client_seconds
            .with_label_values(&["POST", status.as_str(), scheme])
    }

    pub(crate) fn retried(&self, destination: &str) {
        self.retries.with_label_values(&[destination]).inc();
    }

    /// An attempt moved on to another replica.
    pub(crate) fn rerouted(&self, destination: &str) {
        self.reroutes.with_label_values(&[destination]).inc();
    }

    /// A request goes to a replica, for an event with this much data.
    pub(crate) fn hop(&self, placement: Placement, reason: Reason, bytes: u64) {
        self.hops.count(placement, reason, bytes);
    }

    pub(crate) fn dead_lettered(&self, destination: &str) {
        self.dead_letters.with_label_values(&[destination]).inc();
    }

    pub(crate) fn dropped(&self, destination: &str, reason: &str) {
        self.dropped.with_label_values(&[destination, reason]).inc();
    }

    pub(crate) fn looped(&self, destination: &str) {
        self.loops.with_label_values(&[destination]).inc();
    }

    /// A change of the configuration was taken or refused.
    pub(crate) fn topology_changed(&self, taken: bool) {
        self.topology_changes
            .with_label_values(&[if taken { "applied" } else { "refused" }])
            .inc();
    }

    /// Drops the series of the destinations that are gone, so that series do not pile up over edits.
    pub(crate) fn forget(&self, gone: &HashSet<Arc<str>>) {
        if gone.is_empty() {
            return;
        }
        forget(&self.dispatch_seconds, gone, |labels| {
            drop(self.dispatch_seconds.remove_label_values(labels))
        });
        for counters in [
            &self.retries,
            &self.reroutes,
            &self.dead_letters,
            &self.dropped,
            &self.loops,
        ] {
            forget(counters, gone, |labels| {
                drop(counters.remove_label_values(labels))
            });
        }
    }
}

/// How metrics name a subscription: `subscription:<name>.<namespace>`, and a Trigger as Knative names its spans
/// (G1, G3.1).
pub(crate) fn destination(kind: ChannelKind, subscription: &Subscription) -> Arc<str> {
    let what = match kind {
        ChannelKind::Channel => "subscription",
        ChannelKind::Broker => "trigger",
    };
    format!("{what}:{}.{}", subscription.name, subscription.namespace).into()
}

/// Removes the series of `metric` whose destination is gone.
fn forget(metric: &impl Collector, gone: &HashSet<Arc<str>>, remove: impl Fn(&[&str])) {
    let descriptions = metric.desc();
    let names = descriptions
        .iter()
        .flat_map(|description| &description.variable_labels);
    let names: Vec<_> = names.collect();
    for family in metric.collect() {
        for series in family.get_metric() {
            let label = |name: &str| {
                let pair = series.get_label().iter().find(|pair| pair.name() == name);
                pair.map_or("", |pair| pair.value())
            };
            if gone.contains(label(DESTINATION)) {
                remove(&names.iter().map(|name| label(name)).collect::<Vec<_>>());
            }
        }
    }
}

#[allow(
    clippy::expect_used,
    reason = "names and labels are constants; a test registers them all"
)]
fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    bounds: &[f64],
    labels: &[&str],
) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
    let metric = HistogramVec::new(options, labels).expect("a valid metric");
    registry
        .register(Box::new(metric.clone()))
        .expect("a new name");
    metric
}

#[allow(
    clippy::expect_used,
    reason = "names and labels are constants; a test registers them all"
)]
fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let metric = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid metric");
    registry
        .register(Box::new(metric.clone()))
        .expect("a new name");
    metric
}

#[allow(
    clippy::expect_used,
    reason = "names and labels are constants; a test registers them all"
)]
fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let metric = IntGauge::new(name, help).expect("a valid metric");
    registry
        .register(Box::new(metric.clone()))
        .expect("a new name");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_go_with_their_subscription_and_with_no_other() {
        let metrics = Metrics::new(
            10,
            crate::stores::budget(&towpath_config::Settings::default().limits),
        )
        .unwrap();
        for destination in ["subscription:x.demo", "trigger:x.demo"] {
            metrics.retried(destination);
            metrics.dropped(destination, "no_dead_letter_sink");
        }
        metrics.forget(&HashSet::from(["subscription:x.demo".into()]));
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(!text.contains("subscription:x.demo"), "{text}");
        for metric in ["towpath_retries_total", "towpath_events_dropped_total"] {
            let stays = |line: &str| line.starts_with(metric) && line.contains("trigger:x.demo");
            assert!(text.lines().any(stays), "{text}");
        }
    }
}
