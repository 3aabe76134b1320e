//! Keys of how a gateway delivers, stops, and is watched.

use super::{COUNT, FLAG, Key, TIME, key};
use crate::settings::value::Value;

/// The last keys of the README.
pub(super) const KEYS: &[Key] = &[
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
        FLAG,
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
