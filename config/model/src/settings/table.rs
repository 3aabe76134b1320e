//! Every key of the settings, in one table: its text in a file, its field, and its documentation. Reading, `--set`,
//! environment variables and the README all go through it.

use super::Settings;
use super::value::Value;

/// One setting.
#[derive(Clone, Copy)]
pub struct Key {
    /// Dotted name, as `limits.maxEventBytes`.
    pub name: &'static str,
    /// Unit or form of its value.
    pub form: &'static str,
    /// What it sets, and why the default is what it is.
    pub doc: &'static str,
    pub(super) set: fn(&mut Settings, &str) -> Result<(), String>,
    pub(super) show: fn(&Settings) -> String,
}

impl Key {
    /// Name of the environment variable that sets it: `TOWPATH_LIMITS_MAXEVENTBYTES`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "TOWPATH_{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// Its value as text; empty if it is not set.
    #[must_use]
    pub fn value(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }
}

/// Every key, in the order of the README. `addresses` is a map: it is set by `addresses.<key>`.
#[must_use]
pub fn keys() -> &'static [Key] {
    KEYS
}

const SIZE: &str = "size";
const TIME: &str = "duration";
const COUNT: &str = "count";

/// A key with a value; with `unset`, one that may be absent, and the word that says so.
macro_rules! key {
    ($name:literal, $form:expr, $($field:ident).+, $doc:literal) => {
        Key {
            name: $name,
            form: $form,
            doc: $doc,
            set: |settings, text| {
                settings.$($field).+ = Value::read(text)?;
                Ok(())
            },
            show: |settings| settings.$($field).+.show(),
        }
    };
    ($name:literal, $form:expr, $($field:ident).+, unset $word:literal, $doc:literal) => {
        Key {
            name: $name,
            form: $form,
            doc: $doc,
            set: |settings, text| {
                settings.$($field).+ = if text == $word { None } else { Some(Value::read(text)?) };
                Ok(())
            },
            show: |settings| settings.$($field).+.as_ref().map_or($word.to_owned(), Value::show),
        }
    };
}

pub(super) const KEYS: &[Key] = &[
    key!(
        "listen",
        "IP:port",
        listen,
        "Where producers send events. On loopback, so that nothing is open unasked; port 0 takes a free one."
    ),
    key!(
        "admin",
        "IP:port",
        admin,
        "Health, metrics and debug pages. On loopback: they show every namespace."
    ),
    key!("node", "name", node, unset "", "Node that this gateway runs on; replicas on the same node count as near."),
    key!("zone", "name", zone, unset "", "Zone that this gateway runs in; replicas in the same zone count as near."),
    key!(
        "clusterDomain",
        "name",
        cluster_domain,
        "DNS domain of the cluster whose names the manifests use. Kubernetes' own default."
    ),
    Key {
        name: "addresses",
        form: "map",
        doc: "`Kind/namespace/name` of an object, or a host with or without port, to the URL to send to instead: for what has no address here, \
              such as a Knative Service. Events keep the original URL in `knativeerrordest`.",
        set: |_, _| Err("is a map; set one entry, as `addresses.Service/demo/first`".to_owned()),
        show: |settings| {
            settings
                .addresses
                .iter()
                .map(|(key, url)| format!("{key}={url}"))
                .collect::<Vec<_>>()
                .join(",")
        },
    },
    key!(
        "limits.maxEventBytes",
        SIZE,
        limits.max_event_bytes,
        "Largest body of an event; a larger one gets 413. At least 64Ki, which CloudEvents obliges everyone to forward (F2.6)."
    ),
    key!(
        "limits.maxHeaderBytes",
        SIZE,
        limits.max_header_bytes,
        "Largest block of request headers; a larger one gets 431. From 8Ki to 1Mi: attributes travel in headers, but nobody needs more."
    ),
    key!(
        "limits.maxConnections",
        COUNT,
        limits.max_connections,
        "Most connections of producers at once; further ones wait to be accepted. An idle connection costs some 10 Ki of memory."
    ),
    key!("limits.bytesInFlight", SIZE, limits.bytes_in_flight, unset "auto", "Most bytes of events held in this process; over it producers get 503 with Retry-After. `auto` is half of the memory limit, at most 1Gi. A quarter is kept for replies. At least limits.maxEventBytes."),
    key!("limits.bytesInFlightPerNamespace", SIZE, limits.bytes_in_flight_per_namespace, unset "none", "The same for each namespace, so that none starves the others; `none` for no such bound. At least limits.maxEventBytes."),
    key!(
        "limits.connectionsPerReplica",
        COUNT,
        limits.connections_per_replica,
        "Most connections to one replica at once; further attempts wait for one to be free. Under the 1,024 open files that many servers are allowed by default, so that the server refuses nobody."
    ),
    key!(
        "limits.hops",
        COUNT,
        limits.hops,
        "Most hops of one event through channels; over it the event goes to the dead letter sink. Knative's brokers count down from 255 as well (C7.1)."
    ),
    key!(
        "memory.maxEvents",
        COUNT,
        memory.max_events,
        "Most unsettled events of one memory channel; over it producers get 503 with Retry-After. Small events hit this bound before the bytes."
    ),
    key!(
        "memory.backlog",
        COUNT,
        memory.backlog,
        "Most events that wait for one subscription of an async memory channel; over it `towpath.dev/on-full` decides."
    ),
    key!(
        "memory.settleTimeout",
        TIME,
        memory.settle_timeout,
        "Longest wait of a producer for its event to be settled everywhere, then 500. As long as Knative's InMemoryChannel waits (C8.5)."
    ),
    key!(
        "timeouts.headerRead",
        TIME,
        timeouts.header_read,
        "Longest time for the headers of a request to arrive: who sends a byte now and then holds no connection for ever."
    ),
    key!(
        "timeouts.bodyIdle",
        TIME,
        timeouts.body_idle,
        "Longest pause inside a body, of a producer or of a subscriber's response."
    ),
    key!(
        "timeouts.connect",
        TIME,
        timeouts.connect,
        "Longest time to open a connection to a replica, TLS included. A replica that takes longer is not there."
    ),
    key!(
        "timeouts.attempt",
        TIME,
        timeouts.attempt,
        "Bound of one attempt whose delivery spec has no timeout. Knative has none but the 15 minutes of its fan-out (C8.5)."
    ),
    key!(
        "timeouts.idleConnection",
        TIME,
        timeouts.idle_connection,
        "How long an unused connection to a replica is kept. Under the 5 s after which common servers close it, so that a request seldom meets a closing connection."
    ),
    key!(
        "delivery.backoffMax",
        TIME,
        delivery.backoff_max,
        "Longest wait between two attempts, whatever the delivery spec computes (C8.3)."
    ),
    key!(
        "delivery.replyOn202",
        "true or false",
        delivery.reply_on_202,
        "Whether an event in a 202 response is a reply. The specification says no, Knative does it, and users rely on it (C5.4)."
    ),
    key!(
        "metrics.eventTypes",
        COUNT,
        metrics.event_types,
        "Most distinct values of the label cloudevents_type; later ones count as `other`, so that senders cannot grow the metrics without bound."
    ),
    key!(
        "shutdown.delay",
        TIME,
        shutdown.delay,
        "How long the gateway still takes events after it has said that it is not ready: what a cluster needs to notice."
    ),
    key!(
        "shutdown.grace",
        TIME,
        shutdown.grace,
        "How long it then waits for events in flight. Kubernetes kills after 30 s by default; delay and grace together stay under what it allows."
    ),
    key!(
        "log.format",
        "text or json",
        log.format,
        "Form of the log lines: `text` for people, `json` for collectors."
    ),
    key!(
        "log.filter",
        "filter",
        log.filter,
        "Which log lines: a level, or levels by module as `info,towpath_gateway=debug`."
    ),
];

/// The table of the README: every key with form, default, and documentation.
#[must_use]
pub fn docs() -> String {
    let defaults = Settings::default();
    let mut table = String::from("| key | form | default | what and why |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = key.value(&defaults);
        let default = if default.is_empty() {
            "not set".to_owned()
        } else {
            format!("`{default}`")
        };
        table.push_str(&format!(
            "| `{}` | {} | {default} | {} |\n",
            key.name, key.form, key.doc
        ));
    }
    table
}
