//! Replicas: EndpointSlices behind Services.

mod support;

use rstest::rstest;
use support::{compiled, document, problems};
use towpath_config::topology::ServicePort;

const PORTS: &str = "ports: [{name: http, port: 80}, {name: h2c-grpc, port: 81}, {name: dns, port: 53, protocol: UDP}]";

fn slice(name: &str, service: &str, body: &str) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, labels: {{kubernetes.io/service-name: {service}}}}}\n{body}\n"
    )
}

fn port(service: &str, port: u16) -> ServicePort {
    ServicePort {
        namespace: "default".into(),
        service: service.into(),
        port,
    }
}

/// Addresses behind a port; `None` if it is absent.
fn behind(text: &str, key: &ServicePort) -> Option<Vec<String>> {
    let replicas = compiled(text).replicas;
    replicas.by_port.get(key).map(|port| {
        port.ready
            .iter()
            .map(|replica| replica.address.to_string())
            .collect()
    })
}

#[test]
fn slices_are_merged_sorted_and_filtered() {
    let text = document("v1", "Service", "web", PORTS)
        + &slice(
            "one",
            "web",
            "addressType: IPv4\nports: [{name: http, port: 8080}, {name: h2c-grpc, port: 9000}]\nendpoints:\n\
             - {addresses: [10.0.0.9], nodeName: n1, zone: z1, targetRef: {kind: Pod, name: p9, uid: u9}}\n\
             - {addresses: [10.0.0.2], conditions: {ready: true}, targetRef: {name: p2}}\n\
             - {addresses: [10.0.0.3], conditions: {ready: false}}",
        )
        + &slice(
            "two",
            "web",
            "addressType: IPv4\nports: [{name: http, port: 8081}]\nendpoints: [{addresses: [10.0.0.2]}]",
        )
        + &slice(
            "again",
            "web",
            "addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.9]}]",
        )
        + &slice(
            "six",
            "web",
            "addressType: IPv6\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: ['fd00::1']}]",
        )
        + &slice(
            "other",
            "elsewhere",
            "addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.9.9.9]}]",
        );
    let expected = [
        "10.0.0.2:8080",
        "10.0.0.2:8081",
        "10.0.0.9:8080",
        "[fd00::1]:8080",
    ]
    .map(str::to_owned);
    assert_eq!(behind(&text, &port("web", 80)), Some(expected.to_vec()));
    let replicas = compiled(&text).replicas;
    let http = &replicas.by_port[&port("web", 80)];
    assert!(!http.h2c);
    let last = &http.ready[2];
    assert_eq!(
        (
            last.pod.as_deref(),
            last.node.as_deref(),
            last.zone.as_deref()
        ),
        (Some("u9"), Some("n1"), Some("z1"))
    );
    assert_eq!(http.ready[0].pod.as_deref(), Some("p2"));
    assert!(replicas.by_port[&port("web", 81)].h2c);
    assert!(!replicas.by_port.contains_key(&port("web", 53)));
    assert_eq!(replicas.by_port.len(), 2);
}

#[test]
fn empty_is_not_absent() {
    let service = document("v1", "Service", "web", PORTS);
    assert_eq!(behind(&service, &port("web", 80)), None);
    let empty = service.clone()
        + &slice(
            "one",
            "web",
            "addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: []",
        );
    assert_eq!(behind(&empty, &port("web", 80)), Some(Vec::new()));
    let external = document(
        "v1",
        "Service",
        "web",
        "type: ExternalName\nports: [{port: 80}]",
    ) + &slice(
        "one",
        "web",
        "addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.0.0.1]}]",
    );
    assert_eq!(behind(&external, &port("web", 80)), None);
}

/// Each endpoint with its conditions; those of a pod that leaves are as Kubernetes writes them.
#[rstest]
#[case::ready_ones_only(&["ready: true", "ready: false, serving: true, terminating: true"], &["10.0.0.0:8080"])]
#[case::none_is_ready(
    &["ready: false", "ready: false, serving: true, terminating: true", "ready: false, serving: false, terminating: true"],
    &["10.0.0.1:8080"]
)]
#[case::starting(&["ready: false, serving: false, terminating: false"], &[])]
#[case::not_leaving(&["ready: false, serving: true, terminating: false"], &[])]
#[case::unknown(&["ready: false, terminating: true"], &[])]
#[case::published_although_not_ready(&["ready: true, serving: true, terminating: true"], &["10.0.0.0:8080"])]
fn endpoints_that_leave_count_while_none_is_ready(
    #[case] conditions: &[&str],
    #[case] expected: &[&str],
) {
    let endpoints: String = (conditions.iter().enumerate())
        .map(|(i, conditions)| {
            format!("- {{addresses: [10.0.0.{i}], conditions: {{{conditions}}}}}\n")
        })
        .collect();
    let body =
        format!("addressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints:\n{endpoints}");
    let text = document("v1", "Service", "web", PORTS) + &slice("one", "web", &body);
    let expected = expected.iter().map(|address| (*address).to_owned());
    assert_eq!(
        behind(&text, &port("web", 80)),
        Some(expected.collect::<Vec<_>>())
    );
}

/// The ready one of one slice counts, not those that leave in another.
#[test]
fn slices_are_looked_at_together() {
    let leaving = "addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: false, serving: true, terminating: true}}]";
    let ready = "addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.0.0.2]}]";
    let text = document("v1", "Service", "web", PORTS)
        + &slice("one", "web", leaving)
        + &slice("two", "web", ready);
    let expected = Some(vec!["10.0.0.2:8080".to_owned()]);
    assert_eq!(behind(&text, &port("web", 80)), expected);
}

#[rstest]
#[case("{name: http, port: 80, appProtocol: kubernetes.io/h2c}", true)]
#[case("{name: http, port: 80, appProtocol: http}", false)]
#[case("{name: h2c, port: 80}", true)]
#[case("{name: http2-x, port: 80}", true)]
#[case("{name: http2x, port: 80}", false)]
#[case("{port: 80}", false)]
fn h2c(#[case] service_port: &str, #[case] expected: bool) {
    let text = document("v1", "Service", "web", &format!("ports: [{service_port}]"))
        + &slice("one", "web", "addressType: IPv4\nendpoints: []");
    assert_eq!(
        compiled(&text).replicas.by_port[&port("web", 80)].h2c,
        expected
    );
}

#[rstest]
#[case("endpoints: []", "addressType: missing; write IPv4 or IPv6")]
#[case(
    "addressType: IPv5",
    "addressType: `IPv5` is not one of: IPv4, IPv6, FQDN"
)]
#[case(
    "addressType: IPv4\nendpoints: [{addresses: []}]",
    "endpoints[0].addresses: empty; an endpoint needs an address"
)]
#[case(
    "addressType: IPv4\nendpoints: [{addresses: [localhost]}]",
    "endpoints[0].addresses[0]: `localhost` is not an IPv4 address"
)]
#[case(
    "addressType: IPv6\nendpoints: [{addresses: [127.0.0.1]}]",
    "endpoints[0].addresses[0]: `127.0.0.1` is not an IPv6 address"
)]
#[case(
    "addressType: IPv4\nports: [{port: 99999}]",
    "ports[0].port: invalid value: integer `99999`, expected an integer from 0 to 65535"
)]
fn wrong_slices(#[case] body: &str, #[case] expected: &str) {
    let found = problems(&slice("one", "web", body));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with(expected), "{}", found[0]);
}

#[test]
fn a_port_that_no_service_names_is_said() {
    let text = document("v1", "Service", "web", PORTS)
        + &slice(
            "one",
            "web",
            "addressType: IPv4\nports: [{name: htpp, port: 8080}]\nendpoints: [{addresses: [10.0.0.1]}]",
        );
    let notes: Vec<_> = compiled(&text)
        .report
        .notes
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        notes,
        [
            "a.yaml:12: EndpointSlice default/one: ports[0].name: `htpp` is the name of no port of Service default/web, so nothing is sent \
             there; its ports: `http`, `h2c-grpc`, `dns`"
        ]
    );
}
