//! What a Trigger depends on (B4.9): checked as admission does it, and said if the files show it to be not ready.

use serde::Deserialize;

use super::CompileOptions;
use super::plan::{Findings, Site};
use super::resolve::Resolver;
use crate::read::{Objects, group_of};

/// Names an object that must be ready before a cluster uses the Trigger.
const DEPENDENCY: &str = "knative.dev/dependency";

/// `ObjectReference` of v1, of which more fields may be given.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    api_version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
}

/// Checks the annotation of every Trigger. An object that is not in the files, as a source seldom is, counts as ready.
pub(super) fn check(
    objects: &Objects,
    options: &CompileOptions,
    resolver: &Resolver<'_>,
    findings: &mut Findings,
) {
    for object in &objects.triggers {
        let meta = &object.value.metadata;
        if let Some(text) = meta.annotations.get(DEPENDENCY) {
            let site = Site::new(&object.origin, "Trigger", meta, options)
                .field(&format!("metadata.annotations[{DEPENDENCY}]"));
            one(text, &site, resolver, findings);
        }
    }
}

fn one(text: &str, site: &Site<'_>, resolver: &Resolver<'_>, findings: &mut Findings) {
    let reference: ObjectReference = match serde_json::from_str(text) {
        Ok(reference) => reference,
        Err(error) => {
            let message = format!(
                "is not an object reference in JSON: {error}; write {{\"apiVersion\": ..., \"kind\": ..., \"name\": ...}}"
            );
            return findings.problem(site, message);
        }
    };
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let named = (
        given(&reference.api_version),
        given(&reference.kind),
        given(&reference.name),
    );
    let (Some(api_version), Some(kind), Some(name)) = named else {
        return findings.problem(site, "needs apiVersion, kind and name, all strings");
    };
    let namespace = given(&reference.namespace);
    if let Some(namespace) = namespace.filter(|namespace| namespace != site.namespace) {
        let message = format!(
            "`{namespace}` is another namespace than the Trigger's, `{}`; leave it out",
            site.namespace
        );
        return findings.problem(site, message);
    }
    let group = group_of(&api_version);
    if resolver.is_unready(group, &kind, site.namespace, &name) {
        let message = format!(
            "{kind} {}/{name} is not ready according to its status, so a cluster would not use this Trigger; here it is used",
            site.namespace
        );
        findings.note(site, message);
    }
}
