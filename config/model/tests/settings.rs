//! Settings: every key can be read, shown and documented, and every problem is reported at once.

mod support;

use std::time::Duration;

use rstest::rstest;
use support::lines;
use towpath_config::Settings;
use towpath_config::settings::{docs, keys};

#[test]
fn the_readme_has_the_table_of_the_code() {
    let readme = include_str!("../README.md");
    assert!(
        readme.contains(&docs()),
        "replace the table of settings in config/model/README.md by:\n{}",
        docs()
    );
}

#[test]
fn an_empty_file_is_the_defaults_and_they_are_valid() {
    for text in [
        "",
        "# nothing\n",
        "---\n",
        "{}",
        "limits: {}\nnode:\n",
        "limits:\n",
    ] {
        assert_eq!(Settings::parse(text), Ok(Settings::default()), "{text}");
    }
    assert_eq!(Settings::default().validate(), Ok(()));
}

#[test]
fn every_key_reads_what_it_shows() {
    let defaults = Settings::default();
    for key in keys().iter().filter(|key| key.name != "addresses") {
        let mut settings = defaults.clone();
        assert_eq!(
            settings.apply(key.name, &key.value(&defaults)),
            Ok(()),
            "{}",
            key.name
        );
        assert_eq!(settings, defaults, "{}", key.name);
    }
}

#[test]
fn every_key_in_a_file() {
    let text = "
listen: 0.0.0.0:8081
admin: '[::1]:9091'
node: n1
zone: no
internal: {listen: '0.0.0.0:9191', maxConnections: 3}
peers:
- {node: n1, url: 'http://127.0.0.1:9191'}
- url: https://gw-2.example.com
  node: n_2.x
clusterDomain: example.org
addresses:
  Service/demo/first: http://127.0.0.1:1
  api.example.com:8080: https://127.0.0.1:2/x
limits:
  maxEventBytes: 1Mi
  maxStructuredBytes: 64Ki
  inlineMax: 1Ki
  maxHeaderBytes: 16384
  maxConnections: 7
  bytesInFlight: 1G
  bytesInFlightPerNamespace: 4Mi
  connectionsPerReplica: 8
  hops: 9
memory: {maxEvents: 1, backlog: 2, settleTimeout: 1m30s}
store:
  memory: {maxPayload: 4Mi}
  node: {directory: /data/towpath, quota: 1Gi, quotaPerNamespace: 1Mi, dirtyBytes: 4Gi, survivesPod: true}
  object:
    url: s3://bucket.of-mine/a/b
    endpoint: http://127.0.0.1:9000
    region: eu-west-1
    pathStyle: false
    allowHttp: true
    caFile: ca.pem
    partBytes: 5Mi
    partsInFlight: 16
    patience: 100ms
  nats:
    url: tls://nats.example.com:4223
    bucket: b_1
    chunkBytes: 512Ki
    acksInFlight: 256
    replicas: 5
    patience: 10m
    maxBytes: 1Gi
    credentialsFile: /etc/nats.creds
    caFile: /etc/ca.pem
  digest: true
  sweepPeriod: 1m
  ttl: 1h
payloads: {url: 'https://gw.example.com/base', referenceGrace: 0s, keyFile: /etc/keys, present: File}
timeouts: {headerRead: PT1S, bodyIdle: 2s, connect: 3s, attempt: 4s, idleConnection: 5s}
delivery: {backoffMax: 6s, replyOn202: false}
metrics: {eventTypes: 0}
shutdown: {delay: 7s, grace: 0s}
log: {format: json, filter: debug}
";
    let settings = Settings::parse(text).map_err(|problems| problems.to_string());
    insta::assert_debug_snapshot!(settings);
}

#[test]
fn every_problem_at_once() {
    let text = "\
listen: localhost
lisen: x
limits:
  maxEventByte: 1Mi
  inlineMax: 512
  maxHeaderBytes: 4Ki
  hops: 256
  maxConnections: 0
  bytesInFlight: 1Mi
timeouts: 30s
memory: {settleTimeout: soon, backlog: [1]}
addresses: {a/b: 'http://x', host: 'ftp://x'}
maxEventBytes: 1Mi
admin: 127.0.0.1:8080
admin: 127.0.0.1:1
log: {format: xml, filter: ''}
delivery: {backoffMax: P2Y}
store:
  node: {directory: tmp, quota: 1Gi, quotaPerNamespace: 2Gi}
  object: {endpoint: 'http://x', partBytes: 5M}
  nats: {url: 'nats://user:secret@x', caFile: ''}
  ttl: 1m
payload: {present: File}
payloads: {present: file}
";
    insta::assert_snapshot!(
        lines(
            Settings::parse(text)
                .err()
                .map(|problems| problems.in_file("towpath.yaml"))
        )
        .join("\n")
    );
}

#[rstest]
#[case(
    "limits.maxEventBytes",
    "63Ki",
    "limits.maxEventBytes: 63Ki is under 64Ki, which CloudEvents obliges everyone to forward (F2.6)"
)]
#[case(
    "limits.maxHeaderBytes",
    "2Mi",
    "limits.maxHeaderBytes: 2Mi is not from 8Ki to 1Mi"
)]
#[case(
    "limits.hops",
    "0",
    "limits.hops: 0 would refuse every event; write at least 1"
)]
#[case(
    "memory.maxEvents",
    "0",
    "memory.maxEvents: 0 would refuse every event; write at least 1"
)]
#[case("timeouts.connect", "0s", "timeouts.connect: must be over 0s")]
#[case(
    "timeouts.attempt",
    "9000h",
    "timeouts.attempt: is over a year; write at most 8760h"
)]
#[case(
    "limits.maxStructuredBytes",
    "1Ki",
    "limits.maxStructuredBytes: 1Ki is under 64Ki, which CloudEvents obliges everyone to forward (F2.6)"
)]
#[case(
    "limits.bytesInFlight",
    "7Mi",
    "limits.bytesInFlight: 7Mi is under store.memory.maxPayload (8Mi), so such a payload could never wait in memory; raise this or lower that"
)]
#[case(
    "limits.bytesInFlightPerNamespace",
    "1Mi",
    "limits.bytesInFlightPerNamespace: 1Mi is under store.memory.maxPayload (8Mi), so such a payload could never wait in memory; raise this or lower that"
)]
#[case(
    "clusterDomain",
    "no domain",
    "clusterDomain: `no domain` is not a DNS name, as `cluster.local`"
)]
#[case(
    "admin",
    "127.0.0.1:8080",
    "admin: 127.0.0.1:8080 is also `listen`; give one of them another port"
)]
#[case(
    "addresses.host",
    "x",
    "addresses.host: `x` is not a URL to send to; write it as `http://127.0.0.1:8081`"
)]
fn rules(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
    let mut settings = Settings::default();
    assert_eq!(settings.apply(key, value), Ok(()));
    assert_eq!(lines(settings.validate().err()), [expected]);
}

#[rstest]
#[case(
    "limits.maxEventByte",
    "1",
    "limits.maxEventByte: unknown key; did you mean `limits.maxEventBytes`?"
)]
#[case(
    "maxEventBytes",
    "1",
    "maxEventBytes: unknown key; did you mean `limits.maxEventBytes`?"
)]
#[case(
    "limits",
    "1",
    "limits: is a group of keys; set one of them, as `limits.maxEventBytes`"
)]
#[case(
    "limits.maxEventBytes",
    "1 MB",
    "limits.maxEventBytes: `1 MB` is not a size; write whole bytes, or a number with one of k, M, G, T, Ki, Mi, Gi, Ti, as `64Ki`"
)]
#[case(
    "timeouts.connect",
    "5",
    "timeouts.connect: `5` is not a duration; write it as `30s`, `1m30s`, `250ms` or `PT30S`"
)]
#[case(
    "limits.hops",
    "-1",
    "limits.hops: `-1` is not a whole number from 0 to 255"
)]
#[case(
    "addresses",
    "x",
    "addresses: is a map; set one entry, as `addresses.Service/demo/first`"
)]
fn wrong_values(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
    let error = Settings::default()
        .apply(key, value)
        .map_err(|problem| problem.to_string());
    assert_eq!(error, Err(expected.to_owned()));
}

#[test]
fn variables_and_options() {
    let key = keys().iter().find(|key| key.name == "limits.maxEventBytes");
    assert_eq!(
        key.map(towpath_config::settings::Key::variable).as_deref(),
        Some("TOWPATH_LIMITS_MAXEVENTBYTES")
    );
    let mut settings = Settings::default();
    assert_eq!(
        settings.apply("addresses.Service/demo/first", "http://127.0.0.1:1"),
        Ok(())
    );
    assert_eq!(settings.apply("limits.bytesInFlight", "auto"), Ok(()));
    assert_eq!(settings.compile_options().addresses.len(), 1);
    assert_eq!(settings.limits.bytes_in_flight, None);
    assert_eq!(settings.shutdown.grace, Duration::from_secs(30));
}

#[test]
fn deeper_than_24_levels_is_refused() {
    let nested = |depth: usize| format!("addresses: {}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [24, 120, 1000] {
        let found = Settings::parse(&nested(depth))
            .err()
            .map(|problems| problems.to_string());
        assert_eq!(
            found.as_deref(),
            Some("1: nests deeper than 24 levels, which is the limit; nest it less deep")
        );
    }
    assert!(
        Settings::parse(&nested(22)).is_err_and(|problems| !problems.to_string().contains("nests"))
    );
}
