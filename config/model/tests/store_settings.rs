//! Rules of `store`, `payloads`, and the limits that go with them: one table for each, with the exact messages.

mod support;

use rstest::rstest;
use support::lines;
use towpath_config::Settings;

/// Sets keys one after the other: `key=value`.
fn set(pairs: &[&str]) -> Settings {
    let mut settings = Settings::default();
    for pair in pairs {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        assert_eq!(settings.apply(key, value), Ok(()), "{pair}");
    }
    settings
}

#[rstest]
#[case(&["limits.inlineMax=1Ki"])]
#[case(&["limits.inlineMax=1Mi"])]
#[case(&["limits.maxEventBytes=64Ki"])]
#[case(&["limits.bytesInFlight=8Mi"])]
#[case(&["limits.bytesInFlight=256Ki", "store.memory.maxPayload=0"])]
#[case(&["limits.bytesInFlight=auto", "store.memory.maxPayload=1Gi"])]
#[case(&["store.node.directory=none"])]
#[case(&["store.node.directory=/"])]
#[case(&["store.node.quota=1Mi", "store.node.quotaPerNamespace=1Mi"])]
#[case(&["store.node.dirtyBytes=1Mi"])]
#[case(&["store.node.dirtyBytes=4Gi"])]
#[case(&["store.node.survivesPod=true"])]
#[case(&["store.object.url=s3://bucket"])]
#[case(&["store.object.url=s3://bucket/", "store.object.endpoint=https://x"])]
#[case(&["store.object.region=x"])]
#[case(&["store.object.partBytes=64Mi", "store.object.partsInFlight=1"])]
#[case(&["store.nats.url=nats://[::1]:4222"])]
#[case(&["store.nats.url=tls://x/", "store.nats.caFile=ca.pem"])]
#[case(&["store.nats.bucket=A-z_0"])]
#[case(&["store.nats.chunkBytes=4Ki", "store.nats.acksInFlight=1", "store.nats.maxBytes=1Mi"])]
#[case(&["store.ttl=15m1s", "store.sweepPeriod=15m"])]
#[case(&["payloads.referenceGrace=0"])]
#[case(&["payloads.url=http://gw:8080/below/"])]
#[case(&["payloads.present=File"])]
#[case(&["store.object.patience=100ms", "store.nats.patience=10m"])]
fn right(#[case] pairs: &[&str]) {
    assert_eq!(lines(set(pairs).validate().err()), [""; 0]);
}

#[rstest]
#[case(
    &["limits.inlineMax=1023"],
    "limits.inlineMax: 1023 is not from 1Ki to 1Mi"
)]
#[case(
    &["limits.inlineMax=2Mi", "store.memory.maxPayload=0"],
    "limits.inlineMax: 2Mi is not from 1Ki to 1Mi"
)]
#[case(
    &["limits.bytesInFlight=1Mi", "limits.inlineMax=512Ki", "store.memory.maxPayload=1Mi"],
    "limits.bytesInFlight: 1Mi is under four times limits.inlineMax (512Ki), so few events could be taken at once; raise this or lower that"
)]
#[case(
    &["store.object.patience=0"],
    "store.object.patience: 0s is not from 100ms to 10m"
)]
#[case(
    &["store.nats.patience=601s"],
    "store.nats.patience: 10m1s is not from 100ms to 10m"
)]
#[case(
    &["store.node.quota=0"],
    "store.node.quota: 0 is under 1Mi; raise it, or set store.node.directory to `none` for no node store"
)]
#[case(
    &["store.node.quota=1Mi", "store.node.quotaPerNamespace=2Mi"],
    "store.node.quotaPerNamespace: 2Mi is over store.node.quota (1Mi); lower it, or write `none`"
)]
#[case(
    &["store.node.quotaPerNamespace=1"],
    "store.node.quotaPerNamespace: 1 is under 1Mi; raise it, or write `none` for no such bound"
)]
#[case(
    &["store.node.dirtyBytes=1"],
    "store.node.dirtyBytes: 1 is not from 1Mi to 4Gi"
)]
#[case(
    &["store.node.directory=none", "store.node.survivesPod=true"],
    "store.node.survivesPod: store.node.directory is `none`, so nothing survives; set a directory, or this to false"
)]
#[case(
    &["store.object.url=gs://bucket/prefix"],
    "store.object.url: `gs://bucket/prefix` is not a bucket with a prefix; write it as `s3://bucket/prefix`"
)]
#[case(
    &["store.object.url=s3://Bucket"],
    "store.object.url: `s3://Bucket` is not a bucket with a prefix; write it as `s3://bucket/prefix`"
)]
#[case(
    &["store.object.url=s3:bucket"],
    "store.object.url: `s3:bucket` is not a bucket with a prefix; write it as `s3://bucket/prefix`"
)]
#[case(
    &["store.object.url=s3://bucket:9000"],
    "store.object.url: `s3://bucket:9000` is not a bucket with a prefix; write it as `s3://bucket/prefix`"
)]
// What stands in a query may be a secret.
#[case(
    &["store.object.url=s3://bucket?secret=hush"],
    "store.object.url: `s3://bucket` is not a bucket with a prefix; write it as `s3://bucket/prefix`"
)]
#[case(
    &["store.object.url=s3://bucket", "limits.maxEventBytes=100Gi"],
    "limits.maxEventBytes: 100Gi is over 10,000 parts of store.object.partBytes (8Mi), the most of one upload; lower this or raise that"
)]
#[case(
    &["store.object.url=s3://bucket", "store.object.endpoint=ftp://x"],
    "store.object.endpoint: `ftp://x/` is not a base URL; write it as `https://host:port`, without a query"
)]
#[case(
    &["store.object.url=s3://bucket", "store.object.endpoint=http://x"],
    "store.object.endpoint: `http://x/` is not encrypted; use https, or set store.object.allowHttp to true"
)]
#[case(
    &["store.object.endpoint=https://x"],
    "store.object.endpoint: has no effect without store.object.url; set that as well, or leave this out"
)]
#[case(
    &["store.object.caFile=ca.pem"],
    "store.object.caFile: has no effect without store.object.url; set that as well, or leave this out"
)]
#[case(
    &["store.object.partBytes=5M"],
    "store.object.partBytes: 5000000 is not from 5Mi to 64Mi"
)]
#[case(
    &["store.object.partsInFlight=0"],
    "store.object.partsInFlight: 0 is not from 1 to 16"
)]
#[case(
    &["store.nats.url=http://x"],
    "store.nats.url: `http://x/` is not a NATS server; write it as `nats://127.0.0.1:4222` or `tls://nats.example.com`"
)]
#[case(
    &["store.nats.url=nats:x"],
    "store.nats.url: `nats:x` is not a NATS server; write it as `nats://127.0.0.1:4222` or `tls://nats.example.com`"
)]
#[case(
    &["store.nats.bucket=a.b"],
    "store.nats.bucket: `a.b` is not a name of 1 to 64 letters, digits, `-` and `_`, as `towpath-payloads`"
)]
#[case(
    &["store.nats.bucket="],
    "store.nats.bucket: `` is not a name of 1 to 64 letters, digits, `-` and `_`, as `towpath-payloads`"
)]
#[case(
    &["store.nats.chunkBytes=1Mi"],
    "store.nats.chunkBytes: 1Mi is not from 4Ki to 512Ki"
)]
#[case(
    &["store.nats.acksInFlight=257"],
    "store.nats.acksInFlight: 257 is not from 1 to 256"
)]
#[case(&["store.nats.replicas=6"], "store.nats.replicas: 6 is not from 1 to 5")]
#[case(
    &["store.nats.maxBytes=0"],
    "store.nats.maxBytes: 0 is under 1Mi; raise it, or write `none`"
)]
#[case(
    &["store.nats.credentialsFile=x"],
    "store.nats.credentialsFile: has no effect without store.nats.url; set that as well, or leave this out"
)]
#[case(
    &["store.nats.caFile=x"],
    "store.nats.caFile: has no effect without store.nats.url; set that as well, or leave this out"
)]
#[case(&["store.sweepPeriod=0s"], "store.sweepPeriod: must be over 0s")]
#[case(
    &["store.sweepPeriod=25h"],
    "store.sweepPeriod: 25h is over store.ttl (24h), so that would not hold; lower this or raise that"
)]
#[case(
    &["store.ttl=15m"],
    "store.ttl: 15m is not over memory.settleTimeout (15m), so a payload could be deleted while it is still wanted; raise this or lower that"
)]
#[case(
    &["payloads.referenceGrace=24h"],
    "store.ttl: 24h is not over payloads.referenceGrace (24h), so a payload could be deleted while it is still wanted; raise this or lower that"
)]
#[case(
    &["store.ttl=9000h"],
    "store.ttl: is over a year; write at most 8760h"
)]
#[case(
    &["payloads.url=file:/x"],
    "payloads.url: `file:///x` is not a base URL; write it as `https://host:port`, without a query"
)]
#[case(
    &["payloads.url=http://x/?a=b"],
    "payloads.url: `http://x/` is not a base URL; write it as `https://host:port`, without a query"
)]
#[case(
    &["payloads.present=File", "store.node.directory=none"],
    "payloads.present: `File` needs a node store, and store.node.directory is `none`; set a directory, or present `Inline`"
)]
fn broken(#[case] pairs: &[&str], #[case] expected: &str) {
    assert_eq!(lines(set(pairs).validate().err()), [expected]);
}

#[rstest]
#[case(
    "store.node.directory",
    "towpath",
    "`towpath` is not an absolute path; write it as `/var/lib/towpath`, or one of: auto, none"
)]
#[case(
    "store.node.directory",
    "",
    "`` is not an absolute path; write it as `/var/lib/towpath`, or one of: auto, none"
)]
#[case("payloads.keyFile", "", "is empty; write the path of a file")]
#[case(
    "payloads.url",
    "gateway:8080/x y",
    "`gateway:8080/x y` is not a base URL; write it as `https://host:port`, without a query"
)]
#[case(
    "payloads.url",
    "gateway",
    "`gateway` is not a URL: relative URL without a base"
)]
#[case(
    "store.nats.url",
    "nats://user:hush@x:4222",
    "`...@x:4222` holds a user or password; leave them out, since settings are shown"
)]
#[case(
    "store.nats.url",
    "nats://hush@x:port",
    "`...@x:port` is not a URL: invalid port number"
)]
#[case(
    "payloads.present",
    "inline",
    "`inline` is not one of: Inline, Reference, File"
)]
#[case("store.digest", "yes", "`yes` is not one of: true, false")]
#[case(
    "store.nats.replicas",
    "-1",
    "`-1` is not a count; write a whole number of at least 0"
)]
fn unreadable(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
    let mut settings = Settings::default();
    let read = settings
        .apply(key, value)
        .map_err(|problem| problem.to_string())
        .and_then(|()| settings.validate().map_err(|found| found.to_string()));
    assert_eq!(read, Err(format!("{key}: {expected}")));
}

/// The words that stand for nothing take back what a file says.
#[test]
fn every_word_for_nothing() {
    let mut settings = set(&[
        "store.node.directory=/data",
        "store.node.quota=1Gi",
        "store.node.quotaPerNamespace=1Gi",
        "store.object.url=s3://bucket",
        "store.object.endpoint=https://x",
        "store.object.region=r",
        "store.object.caFile=c",
        "store.nats.url=nats://x",
        "store.nats.maxBytes=1Gi",
        "store.nats.credentialsFile=c",
        "store.nats.caFile=c",
        "payloads.url=http://x",
        "payloads.keyFile=k",
    ]);
    for (key, word) in [
        ("store.node.directory", "auto"),
        ("store.node.quota", "auto"),
        ("store.node.quotaPerNamespace", "none"),
        ("store.object.url", "none"),
        ("store.object.endpoint", ""),
        ("store.object.region", ""),
        ("store.object.caFile", ""),
        ("store.nats.url", "none"),
        ("store.nats.maxBytes", "none"),
        ("store.nats.credentialsFile", ""),
        ("store.nats.caFile", ""),
        ("payloads.url", "auto"),
        ("payloads.keyFile", "none"),
    ] {
        assert_eq!(settings.apply(key, word), Ok(()), "{key}");
    }
    assert_eq!(settings, Settings::default());
}

/// What a key shows is read back as the same value, also where it is not the default.
#[test]
fn values_are_read_as_they_are_shown() {
    let given = set(&[
        "store.node.directory=/data",
        "store.object.url=s3://bucket/prefix",
        "store.object.endpoint=https://x:9000",
        "store.nats.url=nats://x",
        "store.nats.caFile=a b.pem",
        "payloads.url=http://x/base",
        "payloads.present=Reference",
    ]);
    let mut read = Settings::default();
    for key in towpath_config::settings::keys() {
        if key.name != "addresses" {
            assert_eq!(
                read.apply(key.name, &key.value(&given)),
                Ok(()),
                "{}",
                key.name
            );
        }
    }
    assert_eq!(read, given);
}
