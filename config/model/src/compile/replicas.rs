//! Who stands behind each port of each Service: EndpointSlices in, replicas out. Apart from the topology, since endpoints
//! change often and recompile nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::CompileOptions;
use super::plan::{Findings, Site, name_of, namespace_of};
use crate::objects::{Endpoint, EndpointPort, EndpointSlice, Service, ServicePort as Port};
use crate::read::{Object, Objects};
use crate::topology::{Replica, Replicas, ServicePort, ServiceReplicas};

/// Label by which a slice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The replicas behind every port of every Service in `objects`.
///
/// Slices of one Service are merged, repeated addresses dropped, and the rest sorted. A port of a Service with at
/// least one slice is present, if only empty; Services of type ExternalName, Services without slices, and ports of
/// another protocol than TCP are absent. Slices of Services that are not in `objects` are ignored.
///
/// # Errors
/// None: what is wrong with a slice refuses the objects as a whole, in [`crate::compile()`].
#[must_use]
pub fn replicas(objects: &Objects, options: &CompileOptions) -> Replicas {
    collect(objects, options, &mut Findings::default())
}

pub(super) fn collect(
    objects: &Objects,
    options: &CompileOptions,
    findings: &mut Findings,
) -> Replicas {
    let mut slices: HashMap<(&str, &str), Vec<&Object<EndpointSlice>>> = HashMap::new();
    for object in &objects.endpoint_slices {
        let meta = &object.value.metadata;
        check(object, options, findings);
        if let Some(service) = meta.labels.get(SERVICE_NAME) {
            slices
                .entry((namespace_of(meta, options), service))
                .or_default()
                .push(object);
        }
    }
    let mut replicas = Replicas::default();
    for object in &objects.services {
        let service = &object.value;
        let place = (
            namespace_of(&service.metadata, options),
            name_of(&service.metadata),
        );
        let Some(slices) = slices.get(&place) else {
            continue;
        };
        if service.spec.service_type.as_deref() == Some("ExternalName") {
            continue;
        }
        for port in service
            .spec
            .ports
            .iter()
            .filter(|port| is_tcp(port.protocol.as_deref()))
        {
            let Some(number) = port.port else { continue };
            let key = ServicePort {
                namespace: place.0.into(),
                service: place.1.into(),
                port: number,
            };
            replicas.by_port.insert(key, behind(port, slices));
        }
        for slice in slices {
            note_unmatched(slice, service, options, findings);
        }
    }
    replicas
}

fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol.is_empty() || protocol == "TCP")
}

/// Ports of Service and slice belong together by name; the only port may have none.
fn same_name(service: &Port, slice: &EndpointPort) -> bool {
    service.name.as_deref().unwrap_or_default() == slice.name.as_deref().unwrap_or_default()
}

fn behind(port: &Port, slices: &[&Object<EndpointSlice>]) -> ServiceReplicas {
    let mut h2c = is_h2c(port.app_protocol.as_deref(), port.name.as_deref());
    let (mut ready, mut leaving) = (BTreeMap::new(), BTreeMap::new());
    for slice in slices {
        let slice = &slice.value;
        let matching = slice.ports.iter().filter(|candidate| {
            same_name(port, candidate) && is_tcp(candidate.protocol.as_deref())
        });
        for candidate in matching {
            let Some(number) = candidate.port else {
                continue;
            };
            h2c |= is_h2c(candidate.app_protocol.as_deref(), None);
            for endpoint in &slice.endpoints {
                let conditions = &endpoint.conditions;
                let kept = if conditions.ready != Some(false) {
                    &mut ready
                } else if (conditions.serving, conditions.terminating) == (Some(true), Some(true)) {
                    &mut leaving
                } else {
                    continue;
                };
                if let Some(ip) = address(endpoint, slice) {
                    let address = SocketAddr::new(ip, number);
                    kept.entry(address)
                        .or_insert_with(|| replica(address, endpoint));
                }
            }
        }
    }
    // As Kubernetes itself: better one that leaves than none, while it still answers.
    let kept = if ready.is_empty() { leaving } else { ready };
    ServiceReplicas {
        h2c,
        ready: kept.into_values().collect(),
    }
}

fn is_h2c(app_protocol: Option<&str>, name: Option<&str>) -> bool {
    let by_name = name.is_some_and(|name| {
        matches!(name, "h2c" | "http2") || name.starts_with("h2c-") || name.starts_with("http2-")
    });
    by_name || app_protocol == Some("kubernetes.io/h2c")
}

/// The API gives no meaning to further addresses of an endpoint, and nobody reads them.
fn address(endpoint: &Endpoint, slice: &EndpointSlice) -> Option<IpAddr> {
    let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    match slice.address_type.as_deref() {
        Some("IPv4") => Some(ip).filter(IpAddr::is_ipv4),
        Some("IPv6") => Some(ip).filter(IpAddr::is_ipv6),
        _ => None,
    }
}

fn replica(address: SocketAddr, endpoint: &Endpoint) -> Replica {
    let target = endpoint.target_ref.as_ref();
    let pod = target.and_then(|target| target.uid.as_deref().or(target.name.as_deref()));
    Replica {
        address,
        pod: pod.map(Into::into),
        pod_name: target
            .and_then(|target| target.name.as_deref())
            .map(Into::into),
        node: endpoint.node_name.as_deref().map(Into::into),
        zone: endpoint.zone.as_deref().map(Into::into),
    }
}

fn check(object: &Object<EndpointSlice>, options: &CompileOptions, findings: &mut Findings) {
    let slice = &object.value;
    let site = Site::new(&object.origin, "EndpointSlice", &slice.metadata, options);
    let label = site.field(&format!("metadata.labels[{SERVICE_NAME}]"));
    if !slice.metadata.labels.contains_key(SERVICE_NAME) {
        findings.note(
            &label,
            "missing, so this slice belongs to no Service and is ignored",
        );
    }
    let family = match slice.address_type.as_deref() {
        Some(family @ ("IPv4" | "IPv6")) => family,
        Some("FQDN") => {
            findings.note(
                &site.field("addressType"),
                "FQDN slices are ignored: a name is no replica",
            );
            return;
        }
        Some(other) => {
            findings.problem(
                &site.field("addressType"),
                format!("`{other}` is not one of: IPv4, IPv6, FQDN"),
            );
            return;
        }
        None => {
            findings.problem(&site.field("addressType"), "missing; write IPv4 or IPv6");
            return;
        }
    };
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let site = site.field(&format!("endpoints[{index}].addresses"));
        match endpoint.addresses.first() {
            None => findings.problem(&site, "empty; an endpoint needs an address"),
            Some(text) if address(endpoint, slice).is_none() => {
                findings.problem(
                    &site.field("[0]"),
                    format!("`{text}` is not an {family} address"),
                );
            }
            Some(_) => {}
        }
    }
}

/// A port of a slice that no port of its Service names is mostly a typo; in a dump it may be a change under way.
fn note_unmatched(
    object: &Object<EndpointSlice>,
    service: &Service,
    options: &CompileOptions,
    findings: &mut Findings,
) {
    let site = Site::new(
        &object.origin,
        "EndpointSlice",
        &object.value.metadata,
        options,
    );
    for (index, port) in object.value.ports.iter().enumerate() {
        if !service
            .spec
            .ports
            .iter()
            .any(|candidate| same_name(candidate, port))
        {
            let name = port.name.as_deref().unwrap_or_default();
            let known: Vec<_> = service
                .spec
                .ports
                .iter()
                .map(|port| format!("`{}`", port.name.as_deref().unwrap_or_default()))
                .collect();
            let message = format!(
                "`{name}` is the name of no port of Service {}/{}, so nothing is sent there; its ports: {}",
                site.namespace,
                name_of(&service.metadata),
                known.join(", ")
            );
            findings.note(&site.field(&format!("ports[{index}].name")), message);
        }
    }
}
