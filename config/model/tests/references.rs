//! Destinations (A8.3, C4.7): what resolves to what, and what resolves to nothing.

mod support;

use std::collections::BTreeMap;

use rstest::rstest;
use support::{
    compiled, compiled_with, document, imc, problems, service, subscriber, subscription,
};
use towpath_config::CompileOptions;
use towpath_config::topology::Target;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n";

/// Everything that the cases below refer to.
fn world(subscriber: &str) -> String {
    let other = document("messaging.knative.dev/v1", "Channel", "other", "");
    let sequence = document(
        "flows.knative.dev/v1",
        "Sequence",
        "seq",
        "steps: [{uri: 'http://step.example.com'}]",
    );
    let knative = "---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: fn}\nstatus: {url: 'http://fn.example.com', \
                   address: {url: 'http://fn.default.svc.cluster.local', CACerts: x, audience: fn-audience}}\n";
    let listed = "---\napiVersion: example.com/v1\nkind: Thing\nmetadata: {name: thing}\nstatus:\n  addresses:\n  - {name: http, url: 'http://thing'}\n  - {name: https, url: 'https://thing'}\n";
    let external = document(
        "v1",
        "Service",
        "ext",
        "type: ExternalName\nexternalName: example.com",
    );
    let headless = document("v1", "Service", "headless", "clusterIP: None");
    let bare = document("apps/v1", "Deployment", "bare", "");
    let parallel = document(
        "flows.knative.dev/v1",
        "Parallel",
        "par",
        "branches: [{subscriber: {uri: 'http://branch.example.com'}}]",
    );
    let broker = document("eventing.knative.dev/v1", "Broker", "broker", "");
    [
        imc(""),
        other,
        sequence,
        service("web"),
        knative.to_owned(),
        listed.to_owned(),
        external,
        headless,
        bare,
        parallel,
        broker,
    ]
    .concat()
        + &subscription(&format!("subscriber: {subscriber}"))
}

#[rstest]
// A Service: port 80, or 443 with certificates.
#[case(
    "{ref: {apiVersion: v1, kind: Service, name: web}}",
    "http://web.default.svc.cluster.local",
    "service default/web:80"
)]
#[case(
    "{ref: {apiVersion: v1, kind: Service, name: web}, uri: /a?b=c}",
    "http://web.default.svc.cluster.local/a?b=c",
    "service default/web:80"
)]
#[case(
    "{ref: {apiVersion: v1, kind: Service, name: ext}}",
    "http://ext.default.svc.cluster.local",
    "service default/ext:80"
)]
#[case(
    "{ref: {apiVersion: v1, kind: Service, name: headless}}",
    "http://headless.default.svc.cluster.local",
    "service default/headless:80"
)]
// C1.3: any form of its host.
#[case(
    "{uri: 'http://web.default/x'}",
    "http://web.default/x",
    "service default/web:80"
)]
#[case(
    "{uri: 'http://WEB.default.svc.:80'}",
    "http://WEB.default.svc.:80",
    "service default/web:80"
)]
#[case(
    "{uri: 'http://web.default.svc.cluster.local'}",
    "http://web.default.svc.cluster.local",
    "service default/web:80"
)]
#[case(
    "{uri: 'http://web.other.svc.cluster.local'}",
    "http://web.other.svc.cluster.local",
    "http://web.other.svc.cluster.local/"
)]
// Channels and Sequences are hosted, by reference or by host.
#[case(
    "{ref: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: other}}",
    "http://other-kn-channel.default.svc.cluster.local",
    "channel default/other"
)]
#[case(
    "{ref: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel, name: c}}",
    "http://c-kn-channel.default.svc.cluster.local",
    "channel default/c"
)]
#[case(
    "{ref: {group: flows.knative.dev, kind: Sequence, name: seq}}",
    "http://seq-kn-sequence-0-kn-channel.default.svc.cluster.local",
    "channel default/seq-kn-sequence-0"
)]
#[case(
    "{ref: {apiVersion: flows.knative.dev/v1, kind: Parallel, name: par}}",
    "http://par-kn-parallel-kn-channel.default.svc.cluster.local",
    "channel default/par-kn-parallel"
)]
// Brokers too: by reference, or by the address of Knative's ingress (B2.2).
#[case(
    "{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: broker}}",
    "http://broker-ingress.knative-eventing.svc.cluster.local/default/broker",
    "broker default/broker"
)]
#[case(
    "{uri: 'http://Broker-Ingress.knative-eventing.svc:80/default/broker/'}",
    "http://Broker-Ingress.knative-eventing.svc:80/default/broker/",
    "broker default/broker"
)]
#[case(
    "{uri: 'http://broker-ingress.knative-eventing/default/broker?x=y'}",
    "http://broker-ingress.knative-eventing/default/broker?x=y",
    "broker default/broker"
)]
#[case(
    "{uri: 'http://broker-ingress.knative-eventing:8080/default/broker'}",
    "http://broker-ingress.knative-eventing:8080/default/broker",
    "http://broker-ingress.knative-eventing:8080/default/broker"
)]
#[case(
    "{uri: 'http://broker-ingress.knative-eventing/default/other'}",
    "http://broker-ingress.knative-eventing/default/other",
    "http://broker-ingress.knative-eventing/default/other"
)]
#[case(
    "{uri: 'http://other-kn-channel.default.svc/'}",
    "http://other-kn-channel.default.svc/",
    "channel default/other"
)]
// Anything else that is addressable.
#[case(
    "{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: fn}}",
    "http://fn.default.svc.cluster.local",
    "http://fn.default.svc.cluster.local/"
)]
#[case(
    "{ref: {apiVersion: example.com/v1, kind: Thing, name: thing}}",
    "http://thing",
    "http://thing/"
)]
#[case(
    "{ref: {apiVersion: example.com/v1, kind: Thing, name: thing, address: https}, uri: x}",
    "https://thing/x",
    "https://thing/x"
)]
#[case(
    "{uri: 'https://example.com:8443/a/../b?c#d'}",
    "https://example.com:8443/a/../b?c#d",
    "https://example.com:8443/a/../b?c"
)]
// C4.7
#[case("{uri: 'bad://uri'}", "bad://uri", "http://uri/")]
#[case("{uri: 'bad://uri:99/path'}", "bad://uri:99/path", "http://uri:99/")]
fn a8_3_resolves(#[case] to: &str, #[case] url: &str, #[case] target: &str) {
    let destination = subscriber(&compiled(&world(to)));
    assert_eq!(&*destination.url, url);
    let shown = match &destination.target {
        Target::Hosted(key) => key.to_string(),
        Target::Service(port) => {
            format!("service {}/{}:{}", port.namespace, port.service, port.port)
        }
        Target::Uri => destination.uri.to_string(),
    };
    assert_eq!(shown, target);
}

#[test]
fn a8_3_certificates_and_audience() {
    let resolved = subscriber(&compiled(&world(
        "{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: fn}}",
    )));
    assert_eq!(
        (resolved.ca_certs.as_deref(), resolved.audience.as_deref()),
        (Some("x"), Some("fn-audience"))
    );
    let own = format!(
        "{{ref: {{apiVersion: v1, kind: Service, name: web}}, CACerts: \"{CERTIFICATE}\", audience: mine}}"
    );
    let text = world(&own).replace("{name: http, port: 80}", "{name: https, port: 443}");
    let resolved = subscriber(&compiled(&text));
    assert_eq!(&*resolved.url, "https://web.default.svc.cluster.local");
    assert!(
        matches!(&resolved.target, Target::Service(port) if port.port == 443),
        "{resolved:?}"
    );
    assert_eq!(resolved.audience.as_deref(), Some("mine"));
    assert!(
        resolved
            .ca_certs
            .is_some_and(|pem| pem.contains("BEGIN CERTIFICATE"))
    );
}

#[rstest]
#[case("{}", "spec.subscriber: needs a `ref` or a `uri`")]
#[case(
    "{uri: /x}",
    "spec.subscriber.uri: `/x` is relative; write `http://<host>/<path>`, or add a `ref` that it is relative to"
)]
#[case(
    "{uri: 'http://'}",
    "spec.subscriber.uri: `http://` is not a URL: empty host; write `http://<host>/<path>`"
)]
#[case(
    "{uri: 'mailto:a@b'}",
    "spec.subscriber.uri: `mailto:a@b` has no host; write `http://<host>/<path>`"
)]
#[case(
    "{uri: 'http://u:p@example.com'}",
    "spec.subscriber.uri: a user name or password in a URL is not supported; leave it out"
)]
#[case(
    "{ref: {apiVersion: v1, kind: Service, name: web}, uri: 'http://x'}",
    "spec.subscriber.uri: `http://x` is absolute; with a `ref` it must be relative, as `/path`"
)]
#[case(
    "{ref: {kind: Service, name: web}}",
    "spec.subscriber.ref.apiVersion: missing; a reference needs apiVersion, kind and name"
)]
#[case(
    "{ref: {apiVersion: v1, kind: Service, name: webb}}",
    "spec.subscriber.ref: resolves to nothing: no object Service default/webb in the files, no status.address, no `addresses` entry `Service/default/webb`; did you mean `web`?"
)]
#[case(
    "{ref: {apiVersion: v1, kind: Service, name: web, namespace: far}}",
    "spec.subscriber.ref: resolves to nothing: no object Service far/web in the files, no status.address, no `addresses` entry `Service/far/web`"
)]
#[case(
    "{ref: {apiVersion: apps/v1, kind: Deployment, name: bare}}",
    "spec.subscriber.ref: Deployment default/bare at a.yaml:48 has no status.address; add one, or an `addresses` entry `Deployment/default/bare` to the settings"
)]
#[case(
    "{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: brokr}}",
    "spec.subscriber.ref: resolves to nothing: no object Broker default/brokr in the files, no status.address, no `addresses` entry `Broker/default/brokr`; did you mean `broker`?"
)]
#[case(
    "{ref: {apiVersion: flows.knative.dev/v1, kind: Parallel, name: parr}}",
    "spec.subscriber.ref: resolves to nothing: no object Parallel default/parr in the files, no status.address, no `addresses` entry `Parallel/default/parr`; did you mean `par`?"
)]
#[case(
    "{ref: {apiVersion: flows.knative.dev/v1, kind: Parallel, name: seq}}",
    "spec.subscriber.ref: resolves to nothing: no object Parallel default/seq in the files, no status.address, no `addresses` entry `Parallel/default/seq`"
)]
#[case(
    "{ref: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: c}}",
    "spec.subscriber.ref.kind: channel default/c is of kind InMemoryChannel, not Channel; correct the reference"
)]
#[case(
    "{ref: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: othr}}",
    "spec.subscriber.ref: resolves to nothing: no object Channel default/othr in the files; did you mean `other`?"
)]
#[case(
    "{ref: {apiVersion: example.com/v1, kind: Thing, name: thing, address: h3}}",
    "spec.subscriber.ref: Thing default/thing at a.yaml:27 has no status.address named `h3`; its addresses: http, https"
)]
#[case(
    "{uri: 'http://web.default:81'}",
    "spec.subscriber.uri: Service default/web has no port 81; its ports: 80. A `ref` means port 80 (443 with CACerts); for another use `uri: http://<host>:<port>`"
)]
#[case(
    "{uri: 'http://c-kn-channel.default.svc/x'}",
    "spec.subscriber.uri: channel default/c takes events at the path `/` only (C1.2); leave the path out"
)]
#[case(
    "{uri: 'http://x', CACerts: nonsense}",
    "spec.subscriber.CACerts: holds no certificate; write PEM blocks that begin with `-----BEGIN CERTIFICATE-----`"
)]
fn resolves_to_nothing(#[case] to: &str, #[case] expected: &str) {
    let found = problems(&world(to));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with(&format!("Subscription default/s: {expected}")),
        "{}",
        found[0]
    );
}

#[test]
fn addresses_of_the_settings() {
    let addresses = [
        ("Service/default/gone", "http://127.0.0.1:1"),
        ("Service/default/fn", "http://127.0.0.1:2"),
        ("Broker/default/far", "http://127.0.0.1:3/default/far"),
        ("web.default.svc.cluster.local", "http://127.0.0.1:4"),
        ("api.example.com:8080", "https://127.0.0.1:5"),
    ];
    let addresses: BTreeMap<_, _> = addresses
        .into_iter()
        .map(|(key, url)| (key.to_owned(), url.to_owned()))
        .collect();
    let options = CompileOptions {
        addresses,
        ..CompileOptions::default()
    };
    let cases = [
        (
            "{ref: {apiVersion: v1, kind: Service, name: gone}, uri: /p}",
            "http://gone.default.svc.cluster.local/p",
            "http://127.0.0.1:1/p",
        ),
        (
            "{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: fn}}",
            "http://fn.default.svc.cluster.local",
            "http://127.0.0.1:2/",
        ),
        (
            "{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: far}}",
            "http://127.0.0.1:3/default/far",
            "http://127.0.0.1:3/default/far",
        ),
        (
            "{ref: {apiVersion: v1, kind: Service, name: web}}",
            "http://web.default.svc.cluster.local",
            "http://127.0.0.1:4/",
        ),
        (
            "{uri: 'http://api.example.com:8080/x?y'}",
            "http://api.example.com:8080/x?y",
            "https://127.0.0.1:5/x?y",
        ),
        (
            "{uri: 'http://api.example.com/x'}",
            "http://api.example.com/x",
            "http://api.example.com/x",
        ),
    ];
    for (to, url, uri) in cases {
        let destination = subscriber(&compiled_with(&world(to), &options));
        assert_eq!(
            (&*destination.url, destination.uri.to_string().as_str()),
            (url, uri),
            "{to}"
        );
        assert_eq!(destination.target, Target::Uri);
    }
}
