//! Objects by the names that references use.

use std::collections::{BTreeMap, HashMap};

use super::plan::{name_of, namespace_of};
use super::{CompileOptions, DANGLES};
use crate::names;
use crate::objects::Service;
use crate::read::{Objects, Skipped, group_of};

/// Group, kind, namespace, name.
type Id<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Services and objects that do not run here, by name.
pub(super) struct Lookup<'a> {
    services: BTreeMap<(&'a str, &'a str), &'a Service>,
    hosts: HashMap<String, (&'a str, &'a str)>,
    skipped: BTreeMap<Id<'a>, &'a Skipped>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(objects: &'a Objects, options: &'a CompileOptions) -> Self {
        let mut services = BTreeMap::new();
        let mut hosts = HashMap::new();
        for object in &objects.services {
            let meta = &object.value.metadata;
            let place = (namespace_of(meta, options), name_of(meta));
            services.insert(place, &object.value);
            for host in names::host_forms(place.1, place.0, &options.cluster_domain) {
                hosts.insert(host, place);
            }
        }
        let skipped = objects.skipped.iter().map(|object| {
            let namespace = object
                .namespace
                .as_deref()
                .unwrap_or(&options.default_namespace);
            (
                (
                    group_of(&object.api_version),
                    object.kind.as_str(),
                    namespace,
                    object.name.as_str(),
                ),
                object,
            )
        });
        Self {
            services,
            hosts,
            skipped: skipped.collect(),
        }
    }

    pub(super) fn has_service(&self, namespace: &str, name: &str) -> bool {
        self.services.contains_key(&(namespace, name))
    }

    /// Namespace and name of the Service with this host, in any form (C1.3).
    pub(super) fn service_of_host(&self, host: &str) -> Option<(&'a str, &'a str)> {
        self.hosts.get(host).copied()
    }

    pub(super) fn skipped(
        &self,
        group: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Option<&'a Skipped> {
        self.skipped.get(&(group, kind, namespace, name)).copied()
    }

    /// Why nothing can be sent to a port of a Service, if its list of ports says so. An ExternalName has no ports, and
    /// those of a headless Service are its pods'.
    pub(super) fn missing_port(&self, namespace: &str, name: &str, port: u16) -> Option<String> {
        let spec = &self.services.get(&(namespace, name))?.spec;
        let is_open = spec.service_type.as_deref() == Some("ExternalName")
            || spec.cluster_ip.as_deref() == Some("None");
        if is_open
            || spec
                .ports
                .iter()
                .any(|candidate| candidate.port == Some(port))
        {
            return None;
        }
        let ports: Vec<_> = spec
            .ports
            .iter()
            .filter_map(|port| port.port)
            .map(|port| port.to_string())
            .collect();
        let ports = if ports.is_empty() {
            "none".to_owned()
        } else {
            ports.join(", ")
        };
        Some(format!(
            "Service {namespace}/{name} has no port {port}; its ports: {ports}. A `ref` means port 80 (443 with CACerts); for another \
             use `uri: http://<host>:<port>`"
        ))
    }

    /// Why a reference resolves to nothing, and what to do. `hosted` are names that it may have meant besides.
    pub(super) fn nothing(
        &self,
        group: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        wanted: Option<&str>,
        hosted: &[&str],
    ) -> String {
        let setting = format!("{kind}/{namespace}/{name}");
        let found = self.skipped(group, kind, namespace, name);
        let addresses = found
            .and_then(|found| found.status.as_ref())
            .map(|status| status.addresses.as_slice());
        if let (Some(found), Some(wanted), Some(addresses @ [_, ..])) = (found, wanted, addresses) {
            let known: Vec<_> = addresses
                .iter()
                .filter_map(|address| address.name.as_deref())
                .collect();
            return format!(
                "{kind} {namespace}/{name} at {}:{} has no status.address named `{wanted}`; its addresses: {}",
                found.file,
                found.line,
                known.join(", ")
            );
        }
        if let Some(found) = found {
            return format!(
                "{kind} {namespace}/{name} at {}:{} has no status.address; add one, or an `addresses` entry `{setting}` to the settings",
                found.file, found.line
            );
        }
        let services = self
            .services
            .keys()
            .filter(|place| (group, kind, place.0) == ("", "Service", namespace))
            .map(|place| place.1);
        let others = self
            .skipped
            .keys()
            .filter(|id| (id.0, id.1, id.2) == (group, kind, namespace))
            .map(|id| id.3);
        let hint = names::nearest(name, services.chain(others).chain(hosted.iter().copied()))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        format!(
            "{DANGLES}: no object {kind} {namespace}/{name} in the files, no status.address, no `addresses` entry `{setting}`{hint}"
        )
    }
}
