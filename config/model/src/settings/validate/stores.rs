//! Rules of `store` and `payloads`.

use std::ops::RangeInclusive;
use std::time::Duration;

use url::Url;

use crate::quantity::{GIB, KIB, MIB, show};
use crate::settings::{
    Limits, Memory, MemoryStore, NatsStore, NodeDirectory, NodeStore, ObjectStore, Payloads,
    Settings, Store,
};
use crate::topology::Presentation;

/// Less is a slip, since one bulky payload would fill it.
const MIN_QUOTA: u64 = MIB;
/// Less makes writers wait for every chunk; more is no bound any longer.
const DIRTY_BYTES: RangeInclusive<u64> = MIB..=4 * GIB;
/// From S3's least to what fits in memory several times.
const PART_BYTES: RangeInclusive<u64> = 5 * MIB..=64 * MIB;
/// Most parts of one upload to S3.
const PARTS: u64 = 10_000;
/// More parts at once of one upload cost memory and gain nothing.
const PARTS_IN_FLIGHT: RangeInclusive<usize> = 1..=16;
/// Under the usual `max_payload` of 1Mi, headers included.
const CHUNK_BYTES: RangeInclusive<u64> = 4 * KIB..=512 * KIB;
/// More at once cost memory and gain nothing.
const ACKS_IN_FLIGHT: RangeInclusive<usize> = 1..=256;
/// What JetStream has.
const REPLICAS: RangeInclusive<usize> = 1..=5;
/// From a round trip and the server's work to what nobody waits for.
const PATIENCE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(10);
/// Longest name of a bucket: that of a store in a claim check.
const BUCKET: usize = 64;

/// Every broken rule of `store` and `payloads`; that durations are over 0 and under a year is not among them.
pub(super) fn rules(settings: &Settings, rule: &mut impl FnMut(&str, bool, String)) {
    let Store {
        memory: MemoryStore { max_payload: _ },
        node,
        object,
        nats,
        digest: _,
        sweep_period: _,
        ttl: _,
    } = &settings.store;
    node_rules(node, rule);
    object_rules(object, &settings.limits, rule);
    nats_rules(nats, rule);
    life_rules(&settings.store, &settings.memory, &settings.payloads, rule);
    payloads_rules(&settings.payloads, node, rule);
}

fn node_rules(node: &NodeStore, rule: &mut impl FnMut(&str, bool, String)) {
    let NodeStore {
        directory,
        quota,
        quota_per_namespace,
        dirty_bytes,
        survives_pod,
    } = node;
    let quotas = [
        (
            "store.node.quota",
            quota,
            "set store.node.directory to `none` for no node store",
        ),
        (
            "store.node.quotaPerNamespace",
            quota_per_namespace,
            "write `none` for no such bound",
        ),
    ];
    for (key, quota, otherwise) in quotas {
        let Some(quota) = quota else { continue };
        let message = format!("{} is under 1Mi; raise it, or {otherwise}", show(*quota));
        rule(key, *quota >= MIN_QUOTA, message);
    }
    if let (Some(all), Some(each)) = (quota, quota_per_namespace) {
        let message = format!(
            "{} is over store.node.quota ({}); lower it, or write `none`",
            show(*each),
            show(*all)
        );
        rule("store.node.quotaPerNamespace", each <= all, message);
    }
    rule(
        "store.node.dirtyBytes",
        DIRTY_BYTES.contains(dirty_bytes),
        format!("{} is not from 1Mi to 4Gi", show(*dirty_bytes)),
    );
    rule(
        "store.node.survivesPod",
        !survives_pod || *directory != NodeDirectory::None,
        "store.node.directory is `none`, so nothing survives; set a directory, or this to false"
            .to_owned(),
    );
}

fn object_rules(object: &ObjectStore, limits: &Limits, rule: &mut impl FnMut(&str, bool, String)) {
    let ObjectStore {
        url,
        endpoint,
        region: _,
        path_style: _,
        allow_http,
        ca_file,
        part_bytes,
        parts_in_flight,
        patience,
    } = object;
    if let Some(url) = url {
        let key = "store.object.url";
        let is_bucket = url.scheme() == "s3"
            && url.host_str().is_some_and(is_bucket)
            && url.port().is_none()
            && is_plain(url);
        let message = format!(
            "`{}` is not a bucket with a prefix; write it as `s3://bucket/prefix`",
            shown(url)
        );
        rule(key, is_bucket, message);
        let largest = part_bytes.saturating_mul(PARTS);
        let message = format!(
            "{} is over 10,000 parts of store.object.partBytes ({}), the most of one upload; lower this or raise that",
            show(limits.max_event_bytes),
            show(*part_bytes)
        );
        rule(
            "limits.maxEventBytes",
            limits.max_event_bytes <= largest,
            message,
        );
    }
    if let Some(endpoint) = endpoint {
        let key = "store.object.endpoint";
        rule(key, is_http(endpoint), not_http(endpoint));
        let message = format!(
            "`{}` is not encrypted; use https, or set store.object.allowHttp to true",
            shown(endpoint)
        );
        rule(key, endpoint.scheme() != "http" || *allow_http, message);
    }
    let idle = [
        ("store.object.endpoint", endpoint.is_some()),
        ("store.object.caFile", ca_file.is_some()),
    ];
    without_effect(url.is_some(), "store.object.url", &idle, rule);
    rule(
        "store.object.partBytes",
        PART_BYTES.contains(part_bytes),
        format!("{} is not from 5Mi to 64Mi", show(*part_bytes)),
    );
    rule(
        "store.object.partsInFlight",
        PARTS_IN_FLIGHT.contains(parts_in_flight),
        format!("{parts_in_flight} is not from 1 to 16"),
    );
    patience_rule("store.object.patience", *patience, rule);
}

fn nats_rules(nats: &NatsStore, rule: &mut impl FnMut(&str, bool, String)) {
    let NatsStore {
        url,
        bucket,
        chunk_bytes,
        acks_in_flight,
        replicas,
        patience,
        max_bytes,
        credentials_file,
        ca_file,
    } = nats;
    if let Some(url) = url {
        let is_nats = matches!(url.scheme(), "nats" | "tls")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && matches!(url.path(), "" | "/")
            && is_plain(url);
        let message = format!(
            "`{}` is not a NATS server; write it as `nats://127.0.0.1:4222` or `tls://nats.example.com`",
            shown(url)
        );
        rule("store.nats.url", is_nats, message);
    }
    let in_bucket = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    rule(
        "store.nats.bucket",
        (1..=BUCKET).contains(&bucket.len()) && bucket.chars().all(in_bucket),
        format!(
            "`{bucket}` is not a name of 1 to 64 letters, digits, `-` and `_`, as `towpath-payloads`"
        ),
    );
    rule(
        "store.nats.chunkBytes",
        CHUNK_BYTES.contains(chunk_bytes),
        format!("{} is not from 4Ki to 512Ki", show(*chunk_bytes)),
    );
    rule(
        "store.nats.acksInFlight",
        ACKS_IN_FLIGHT.contains(acks_in_flight),
        format!("{acks_in_flight} is not from 1 to 256"),
    );
    rule(
        "store.nats.replicas",
        REPLICAS.contains(replicas),
        format!("{replicas} is not from 1 to 5"),
    );
    patience_rule("store.nats.patience", *patience, rule);
    if let Some(bytes) = max_bytes {
        let message = format!("{} is under 1Mi; raise it, or write `none`", show(*bytes));
        rule("store.nats.maxBytes", *bytes >= MIN_QUOTA, message);
    }
    let idle = [
        ("store.nats.credentialsFile", credentials_file.is_some()),
        ("store.nats.caFile", ca_file.is_some()),
    ];
    without_effect(url.is_some(), "store.nats.url", &idle, rule);
}

fn patience_rule(key: &str, patience: Duration, rule: &mut impl FnMut(&str, bool, String)) {
    let message = format!("{} is not from 100ms to 10m", crate::period::show(patience));
    rule(key, PATIENCE.contains(&patience), message);
}

/// Nothing is deleted while it may still be read.
fn life_rules(
    store: &Store,
    memory: &Memory,
    payloads: &Payloads,
    rule: &mut impl FnMut(&str, bool, String),
) {
    let ttl = store.ttl;
    let shown = crate::period::show;
    let waits = [
        ("memory.settleTimeout", memory.settle_timeout),
        ("payloads.referenceGrace", payloads.reference_grace),
    ];
    for (name, wait) in waits {
        let message = format!(
            "{} is not over {name} ({}), so a payload could be deleted while it is still wanted; raise this or lower that",
            shown(ttl),
            shown(wait)
        );
        rule("store.ttl", ttl > wait, message);
    }
    let message = format!(
        "{} is over store.ttl ({}), so that would not hold; lower this or raise that",
        shown(store.sweep_period),
        shown(ttl)
    );
    rule("store.sweepPeriod", store.sweep_period <= ttl, message);
}

fn payloads_rules(
    payloads: &Payloads,
    node: &NodeStore,
    rule: &mut impl FnMut(&str, bool, String),
) {
    let Payloads {
        url,
        reference_grace: _,
        key_file: _,
        present,
    } = payloads;
    if let Some(url) = url {
        rule("payloads.url", is_http(url), not_http(url));
    }
    rule(
        "payloads.present",
        *present != Presentation::File || node.directory != NodeDirectory::None,
        "`File` needs a node store, and store.node.directory is `none`; set a directory, or present `Inline`"
            .to_owned(),
    );
}

/// Keys that mean nothing while another is not set: mostly that one was forgotten.
fn without_effect(
    is_used: bool,
    needed: &str,
    keys: &[(&str, bool)],
    rule: &mut impl FnMut(&str, bool, String),
) {
    for (key, is_set) in keys {
        let message =
            format!("has no effect without {needed}; set that as well, or leave this out");
        rule(key, is_used || !is_set, message);
    }
}

/// What S3 allows in the name of a bucket.
fn is_bucket(name: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    (3..=63).contains(&name.len()) && name.bytes().all(of_name)
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain(url)
}

fn is_plain(url: &Url) -> bool {
    url.query().is_none() && url.fragment().is_none()
}

fn not_http(url: &Url) -> String {
    format!(
        "`{}` is not a base URL; write it as `https://host:port`, without a query",
        shown(url)
    )
}

/// Without its query, which may hold a secret.
pub(super) fn shown(url: &Url) -> &str {
    let text = url.as_str();
    text.split_once(['?', '#']).map_or(text, |(base, _)| base)
}
