//! Two objects of one kind, namespace and name: which of them counts would be a matter of luck. And names that no
//! API server would take.

use std::collections::HashMap;

use super::CompileOptions;
use super::plan::{Findings, Site, name_of};
use crate::names::{is_label, is_subdomain};
use crate::objects::ObjectMeta;
use crate::read::{Objects, Origin};

/// Checks every object that is not skipped.
pub(super) fn check(objects: &Objects, options: &CompileOptions, findings: &mut Findings) {
    let mut seen: HashMap<(String, String, String), String> = HashMap::new();
    let mut look = |origin: &Origin, group: &str, kind: &str, meta: &ObjectMeta| {
        let site = Site::new(origin, kind, meta, options).field("metadata.name");
        let name = name_of(meta);
        if !is_subdomain(name) {
            let message = format!(
                "`{name}` is not a name; use at most 253 lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit"
            );
            findings.problem(&site, message);
        }
        if !is_label(site.namespace) {
            let message = format!(
                "`{}` is not a namespace; use at most 63 lower-case letters, digits and `-`, beginning and ending with a letter or digit",
                site.namespace
            );
            findings.problem(
                &Site {
                    path: "metadata.namespace".to_owned(),
                    ..site.clone()
                },
                message,
            );
        }
        let key = (
            format!("{group}/{kind}"),
            site.namespace.to_owned(),
            name.to_owned(),
        );
        match seen.get(&key) {
            Some(first) => {
                findings.problem(
                    &site,
                    format!("the same object is also at {first}; keep one"),
                );
            }
            None => {
                seen.insert(key, site.shown());
            }
        }
    };
    let group = crate::read::group_of;
    for object in &objects.channels {
        look(
            &object.origin,
            group(&object.value.api_version),
            "Channel",
            &object.value.metadata,
        );
    }
    for object in &objects.implementations {
        look(
            &object.origin,
            group(&object.value.api_version),
            &object.value.kind,
            &object.value.metadata,
        );
    }
    for object in &objects.subscriptions {
        look(&object.origin, "", "Subscription", &object.value.metadata);
    }
    for object in &objects.sequences {
        look(&object.origin, "", "Sequence", &object.value.metadata);
    }
    for object in &objects.parallels {
        look(&object.origin, "", "Parallel", &object.value.metadata);
    }
    for object in &objects.brokers {
        look(&object.origin, "", "Broker", &object.value.metadata);
    }
    for object in &objects.triggers {
        look(&object.origin, "", "Trigger", &object.value.metadata);
    }
    for object in &objects.services {
        look(&object.origin, "", "Service", &object.value.metadata);
    }
    for object in &objects.endpoint_slices {
        look(&object.origin, "", "EndpointSlice", &object.value.metadata);
    }
    for object in &objects.config_maps {
        look(&object.origin, "", "ConfigMap", &object.value.metadata);
    }
    for object in &objects.secrets {
        look(&object.origin, "", "Secret", &object.value.metadata);
    }
    for object in &objects.hop_policies {
        look(&object.origin, "", "HopPolicy", &object.value.metadata);
    }
}
