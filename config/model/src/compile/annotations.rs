//! Annotations that objects carry for whoever hosts them: found with their place, read with the exact words.

use std::collections::BTreeMap;

use super::plan::{Findings, Site};
use crate::topology::Presentation;

/// How subscribers get payloads that were set aside (DESIGN section 5).
const PAYLOAD: &str = "towpath.dev/payload";

/// The annotations of one object or template.
#[derive(Debug, Clone)]
pub(super) struct Annotations<'a, 's> {
    values: &'a BTreeMap<String, String>,
    /// The object or template.
    site: &'s Site<'a>,
}

impl<'a, 's> Annotations<'a, 's> {
    pub(super) fn new(values: &'a BTreeMap<String, String>, site: &'s Site<'a>) -> Self {
        Self { values, site }
    }

    /// The value of an annotation, and its place.
    pub(super) fn get(&self, name: &str) -> Option<(&'a str, Site<'a>)> {
        let value = self.values.get(name)?;
        Some((value, self.place(name)))
    }

    fn place(&self, name: &str) -> Site<'a> {
        self.site.field(&format!("metadata.annotations[{name}]"))
    }

    /// A boolean; what is none is reported, and then it is `default`.
    pub(super) fn flag(&self, name: &str, default: bool, findings: &mut Findings) -> bool {
        let Some((value, site)) = self.get(name) else {
            return default;
        };
        parse_bool(value).unwrap_or_else(|| {
            findings.problem(
                &site,
                format!("`{value}` is not a boolean; write \"true\" or \"false\""),
            );
            default
        })
    }

    /// How subscribers get payloads, if this object says it; a wrong word is reported, and says nothing.
    pub(super) fn presentation(&self, findings: &mut Findings) -> Option<Presentation> {
        let (value, site) = self.get(PAYLOAD)?;
        match value.parse::<Presentation>() {
            Ok(presentation) => Some(presentation),
            Err(error) => {
                findings.problem(&site, error.to_string());
                None
            }
        }
    }

    /// Notes that a class of brokers that is not ours leaves the presentation of its Triggers alone in a cluster.
    pub(super) fn note_foreign_class(&self, class: &str, findings: &mut Findings) {
        let message =
            format!("is obeyed here; in a cluster class {class} runs this Broker, and ignores it");
        findings.note(&self.place(PAYLOAD), message);
    }

    /// Notes an annotation that is given and not read.
    pub(super) fn note_unread(&self, name: &str, message: &str, findings: &mut Findings) {
        if let Some((_, site)) = self.get(name) {
            findings.note(&site, message);
        }
    }

    /// Notes a presentation on a channel or broker: `receivers` are where it belongs.
    pub(super) fn note_presentation(&self, receivers: &str, findings: &mut Findings) {
        let message = format!("has no effect here; put it on the {receivers}");
        self.note_unread(PAYLOAD, &message, findings);
    }
}

/// Go's `strconv.ParseBool`, by which Knative reads the annotation (A3.3).
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
