//! Settings that Knative keeps as YAML under one key of a ConfigMap.

use serde::de::DeserializeOwned;

use super::plan::{Findings, Site};
use super::{CompileOptions, SYSTEM_NAMESPACE};
use crate::objects::ConfigMap;
use crate::read::{Object, Objects, Unknown, tree, typed};

/// Which ConfigMap, which key in it, and what it holds, for messages.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) holds: &'static str,
}

/// Reads the value, and says where it is, if the objects hold the ConfigMap. What is wrong with it is reported.
pub(super) fn value<'a, T: DeserializeOwned + Default>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    entry: &Entry,
    unknown: &dyn Fn(&str) -> Unknown,
    findings: &mut Findings,
) -> Option<(T, Site<'a>)> {
    let object = find(objects, entry.name)?;
    let site = Site::new(&object.origin, "ConfigMap", &object.value.metadata, options)
        .field("data")
        .field(entry.key);
    let Some(text) = object.value.data.get(entry.key) else {
        let message = format!(
            "missing; {} holds {} under this key",
            entry.name, entry.holds
        );
        findings.problem(&site, message);
        return None;
    };
    let mut value = T::default();
    for document in tree::parse(text, tree::SHALLOW) {
        let node = match document {
            Ok(node) => node,
            Err(error) => {
                findings.problem(
                    &site,
                    format!("line {} of the value: {}", error.place.line, error.message),
                );
                continue;
            }
        };
        let mut faults = Vec::new();
        if let Some(read) = typed(&node, unknown, &mut faults) {
            value = read;
        }
        for fault in faults {
            let message = format!(
                "line {} of the value: {}: {}",
                fault.place.line, fault.path, fault.message
            );
            findings.problem(&site, message);
        }
    }
    Some((value, site))
}

/// The one in the namespace that Knative installs it in, else any.
fn find<'a>(objects: &'a Objects, name: &str) -> Option<&'a Object<ConfigMap>> {
    let named = |object: &&Object<ConfigMap>| object.value.metadata.name.as_deref() == Some(name);
    let system = |object: &&Object<ConfigMap>| {
        object.value.metadata.namespace.as_deref() == Some(SYSTEM_NAMESPACE)
    };
    let mut candidates = objects.config_maps.iter().filter(named);
    candidates
        .clone()
        .find(system)
        .or_else(|| candidates.next())
}
