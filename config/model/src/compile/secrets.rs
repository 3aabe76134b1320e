//! Secrets that filters name (B5.8): only these, and only of the system namespace, become part of a topology.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::plan::{Findings, Site, name_of, namespace_of};
use super::{CompileOptions, SYSTEM_NAMESPACE};
use crate::objects::Secret;
use crate::read::{Object, Objects};
use crate::topology::SecretKeys;

/// The Secrets that the expressions name, by name.
pub(super) fn collect<'a>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    verifying: &[(&str, Site<'_>)],
    findings: &mut Findings,
) -> BTreeMap<Arc<str>, SecretKeys> {
    let system: HashMap<&str, &Object<Secret>> = objects
        .secrets
        .iter()
        .filter(|object| namespace_of(&object.value.metadata, options) == SYSTEM_NAMESPACE)
        .map(|object| (name_of(&object.value.metadata), object))
        .collect();
    let mut named = HashSet::new();
    for (expression, site) in verifying {
        let found: Vec<&str> = quoted(expression)
            .filter_map(|text| system.get_key_value(text))
            .map(|(name, _)| *name)
            .collect();
        if found.is_empty() {
            let message = format!(
                "names no Secret of namespace {SYSTEM_NAMESPACE} that is in the files, so that no correlation id is valid here"
            );
            findings.note(site, message);
        }
        named.extend(found);
    }
    let mut secrets = BTreeMap::new();
    for (name, object) in system.into_iter().filter(|(name, _)| named.contains(name)) {
        let site = Site::new(&object.origin, "Secret", &object.value.metadata, options);
        secrets.insert(name.into(), keys(&object.value, &site, findings));
    }
    secrets
}

/// All that stands between quotes, and what stands between these: the name of a Secret is one of it.
fn quoted(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(['"', '\''])
}

/// `data` decoded, with `stringData` over it, as an API server does it. No message holds a value.
fn keys(secret: &Secret, site: &Site<'_>, findings: &mut Findings) -> SecretKeys {
    let mut keys = BTreeMap::new();
    for (name, encoded) in &secret.data {
        let text: String = encoded.0.split_ascii_whitespace().collect();
        match STANDARD.decode(text) {
            Ok(bytes) => {
                keys.insert(Arc::from(name.as_str()), Arc::from(bytes));
            }
            Err(_) => findings.problem(
                &site.field("data").key(name),
                "is not base64; encode it, or put it under `stringData`",
            ),
        }
    }
    for (name, text) in &secret.string_data {
        keys.insert(Arc::from(name.as_str()), Arc::from(text.0.as_bytes()));
    }
    SecretKeys(keys)
}
