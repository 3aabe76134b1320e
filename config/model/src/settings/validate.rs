//! Rules of the settings, all of them in one place; those of stores and of other gateways are files of it.

mod internal;
mod stores;

use std::time::Duration;

use super::{Delivery, Limits, Log, Memory, Metrics, Settings, Shutdown, Timeouts};
use crate::names::is_subdomain;
use crate::quantity::{KIB, MIB, show};

/// A rule that is broken.
pub(super) struct Broken {
    pub(super) key: String,
    pub(super) message: String,
}

/// Longest duration of any setting: clocks must be able to add it.
const YEAR: Duration = Duration::from_hours(24 * 365);
/// What CloudEvents obliges everyone to forward (F2.6).
const MIN_EVENT: u64 = 64 * KIB;
/// What an HTTP server needs to read at all, and what nobody needs more of.
const HEADER_BYTES: std::ops::RangeInclusive<u64> = 8 * KIB..=MIB;

/// From what makes a reference worth its while to what brokers take by default.
const INLINE_MAX: std::ops::RangeInclusive<u64> = KIB..=MIB;
/// Largest events in the message that must fit in the budget, of which replies have a quarter to themselves.
const INLINE_AT_ONCE: u64 = 4;

/// Every rule that the settings break.
pub(super) fn broken(settings: &Settings) -> Vec<Broken> {
    // Taken apart by name, so that a new setting cannot be forgotten here.
    let Settings {
        listen,
        admin,
        node: _,
        zone: _,
        internal: _,
        peers: _,
        cluster_domain,
        addresses,
        limits,
        memory,
        store,
        payloads,
        timeouts,
        delivery: Delivery {
            backoff_max,
            reply_on_202: _,
        },
        metrics: Metrics { event_types: _ },
        shutdown: Shutdown { delay, grace },
        log: Log { format: _, filter },
    } = settings;
    let Memory {
        max_events,
        backlog,
        settle_timeout,
    } = memory;
    let Timeouts {
        header_read,
        body_idle,
        connect,
        attempt,
        idle_connection,
    } = timeouts;

    let mut broken = Vec::new();
    let mut rule = |key: &str, holds: bool, message: String| {
        if !holds {
            broken.push(Broken {
                key: key.to_owned(),
                message,
            });
        }
    };
    let same = listen == admin && listen.port() != 0;
    rule(
        "admin",
        !same,
        format!("{admin} is also `listen`; give one of them another port"),
    );
    rule(
        "clusterDomain",
        is_subdomain(cluster_domain),
        format!("`{cluster_domain}` is not a DNS name, as `cluster.local`"),
    );
    rule(
        "log.filter",
        !filter.trim().is_empty(),
        "is empty; write a level, as `info`".to_owned(),
    );
    for (key, value) in [
        ("memory.maxEvents", max_events),
        ("memory.backlog", backlog),
    ] {
        rule(
            key,
            *value > 0,
            "0 would refuse every event; write at least 1".to_owned(),
        );
    }
    let positive = [
        ("memory.settleTimeout", settle_timeout),
        ("timeouts.headerRead", header_read),
        ("timeouts.bodyIdle", body_idle),
        ("timeouts.connect", connect),
        ("timeouts.attempt", attempt),
        ("timeouts.idleConnection", idle_connection),
        ("delivery.backoffMax", backoff_max),
        ("store.sweepPeriod", &store.sweep_period),
    ];
    for (key, value) in positive {
        rule(key, !value.is_zero(), "must be over 0s".to_owned());
    }
    let durations = positive.into_iter().chain([
        ("store.ttl", &store.ttl),
        ("payloads.referenceGrace", &payloads.reference_grace),
        ("shutdown.delay", delay),
        ("shutdown.grace", grace),
    ]);
    for (key, value) in durations {
        rule(
            key,
            *value <= YEAR,
            "is over a year; write at most 8760h".to_owned(),
        );
    }
    limits_rules(limits, store.memory.max_payload, &mut rule);
    internal::rules(settings, &mut rule);
    stores::rules(settings, &mut rule);
    for (key, url) in addresses {
        if let Some(message) = wrong_address(key, url) {
            rule(&format!("addresses.{key}"), false, message);
        }
    }
    broken
}

fn limits_rules(limits: &Limits, memory_payload: u64, rule: &mut impl FnMut(&str, bool, String)) {
    let Limits {
        max_event_bytes,
        max_structured_bytes,
        inline_max,
        max_header_bytes,
        max_connections,
        bytes_in_flight,
        bytes_in_flight_per_namespace,
        connections_per_replica,
        hops,
    } = limits;
    for (key, bytes) in [
        ("limits.maxEventBytes", *max_event_bytes),
        ("limits.maxStructuredBytes", *max_structured_bytes),
    ] {
        let message = format!(
            "{} is under 64Ki, which CloudEvents obliges everyone to forward (F2.6)",
            show(bytes)
        );
        rule(key, bytes >= MIN_EVENT, message);
    }
    rule(
        "limits.inlineMax",
        INLINE_MAX.contains(inline_max),
        format!("{} is not from 1Ki to 1Mi", show(*inline_max)),
    );
    rule(
        "limits.maxHeaderBytes",
        HEADER_BYTES.contains(max_header_bytes),
        format!("{} is not from 8Ki to 1Mi", show(*max_header_bytes)),
    );
    let positive = [
        ("limits.maxConnections", *max_connections > 0),
        ("limits.connectionsPerReplica", *connections_per_replica > 0),
        ("limits.hops", *hops > 0),
    ];
    for (key, holds) in positive {
        rule(
            key,
            holds,
            "0 would refuse every event; write at least 1".to_owned(),
        );
    }
    let budgets = [
        ("limits.bytesInFlight", bytes_in_flight),
        (
            "limits.bytesInFlightPerNamespace",
            bytes_in_flight_per_namespace,
        ),
    ];
    for (key, budget) in budgets {
        let Some(budget) = budget else { continue };
        let inline = inline_max.saturating_mul(INLINE_AT_ONCE);
        let message = format!(
            "{} is under four times limits.inlineMax ({}), so few events could be taken at once; raise this or lower that",
            show(*budget),
            show(*inline_max)
        );
        rule(key, *budget >= inline, message);
        let message = format!(
            "{} is under store.memory.maxPayload ({}), so such a payload could never wait in memory; raise this or lower that",
            show(*budget),
            show(memory_payload)
        );
        rule(key, *budget >= memory_payload, message);
    }
    if let (Some(all), Some(each)) = (bytes_in_flight, bytes_in_flight_per_namespace) {
        let message = format!(
            "{} is over limits.bytesInFlight ({}); lower it, or write `none`",
            show(*each),
            show(*all)
        );
        rule("limits.bytesInFlightPerNamespace", each <= all, message);
    }
}

/// What is wrong with an entry of `addresses`.
fn wrong_address(key: &str, url: &str) -> Option<String> {
    let parts = key.split('/').count();
    if !(parts == 1 || parts == 3) || key.split('/').any(str::is_empty) {
        return Some("the key is neither `Kind/namespace/name` nor a host".to_owned());
    }
    let parsed = url::Url::parse(url).ok();
    let is_http =
        parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    (!is_http)
        .then(|| format!("`{url}` is not a URL to send to; write it as `http://127.0.0.1:8081`"))
}
