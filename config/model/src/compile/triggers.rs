//! Triggers: the subscriptions of brokers (B4).

use std::borrow::Cow;
use std::collections::HashSet;

use super::annotations::Annotations;
use super::filters::Compiler;
use super::plan::{Findings, Plan, Site, To, Wanted, WantedKind, channel_key, name_of};
use super::resolve::named;
use super::{CompileOptions, brokers, filter_text};
use crate::objects::Trigger;
use crate::read::{EVENTING, Objects};
use crate::topology::ChannelKey;

/// Makes a Broker named `default` in some installations (B4.11).
const INJECTION: &str = "eventing.knative.dev/injection";

/// Plans every Trigger. Gives back the expressions that look up Secrets.
pub(super) fn plan<'a>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    plan: &mut Plan<'a>,
    findings: &mut Findings,
) -> Vec<(&'a str, Site<'a>)> {
    let mut verifying = Vec::new();
    let mut keys = HashSet::new();
    for object in &objects.triggers {
        let trigger = &object.value;
        let site = Site::new(&object.origin, "Trigger", &trigger.metadata, options);
        let key = format!("Trigger/{}/{}", site.namespace, name_of(&trigger.metadata));
        if !keys.insert(key.clone()) {
            // The same Trigger twice is reported with all other kinds.
            continue;
        }
        check_injection(trigger, &site, findings);
        let broker = broker(trigger, &site, plan, findings);
        let annotations = Annotations::new(&trigger.metadata.annotations, &site);
        let presentation = annotations.presentation(findings);
        let class = broker
            .as_ref()
            .and_then(|key| plan.foreign_classes.get(key));
        if let Some(class) = class.filter(|_| presentation.is_some()) {
            annotations.note_foreign_class(class, findings);
        }
        let mut compiler = Compiler {
            findings,
            verifying: &mut verifying,
        };
        let filter = compiler.of_trigger(&trigger.spec, &site);
        if trigger.spec.subscriber.is_none() {
            findings.problem(
                &site.field("spec.subscriber"),
                "missing; a Trigger needs somebody who gets the events",
            );
        }
        let (subscriber, delivery) = (&trigger.spec.subscriber, &trigger.spec.delivery);
        let is_complete = broker.is_some() && filter.is_some();
        let shown = filter_text::of_trigger(&trigger.spec).unwrap_or_default();
        plan.subscriptions.push(Wanted {
            name: name_of(&trigger.metadata).to_owned(),
            uid: trigger.metadata.uid.as_deref(),
            subscriber: subscriber
                .as_ref()
                .map(|to| To::Written(Cow::Borrowed(to), site.field("spec.subscriber"))),
            // B6.2: replies come back as new events.
            reply: broker.clone().map(To::Channel),
            delivery: delivery
                .as_ref()
                .map(|delivery| (Cow::Borrowed(delivery), site.field("spec.delivery"))),
            // One that is incomplete: references are checked all the same, and nothing is built.
            channel: broker
                .filter(|_| is_complete)
                .unwrap_or_else(|| channel_key("", "")),
            filter: filter.map(|filter| (filter, shown)),
            site,
            key,
            kind: WantedKind::Trigger,
            presentation,
            place: None,
        });
    }
    verifying
}

/// The Broker: `spec.broker` or `spec.brokerRef`, which may be in another namespace (B4.1, B4.11).
fn broker(
    trigger: &Trigger,
    site: &Site<'_>,
    plan: &Plan<'_>,
    findings: &mut Findings,
) -> Option<ChannelKey> {
    let spec = &trigger.spec;
    let name = spec.broker.as_deref().filter(|name| !name.is_empty());
    match (name, &spec.broker_ref) {
        (Some(name), None) => {
            let field = site.field("spec.broker");
            brokers::find(plan, site.namespace, name, &field, findings)
        }
        (None, Some(reference)) => {
            let field = site.field("spec.brokerRef");
            let found = named(reference, &field, findings)?;
            if (found.group, found.kind) != (EVENTING, "Broker") {
                let message = format!(
                    "{} of `{}` is not a Broker of `{EVENTING}`",
                    found.kind, found.group
                );
                findings.problem(&field.field("kind"), message);
                return None;
            }
            brokers::find(plan, found.namespace, found.name, &field, findings)
        }
        (Some(_), Some(_)) => {
            findings.problem(
                &site.field("spec.brokerRef"),
                "given beside `broker`; keep one of them",
            );
            None
        }
        (None, None) => {
            findings.problem(
                &site.field("spec.broker"),
                "missing; a Trigger needs a `broker` or a `brokerRef`",
            );
            None
        }
    }
}

fn check_injection(trigger: &Trigger, site: &Site<'_>, findings: &mut Findings) {
    let Some(value) = trigger.metadata.annotations.get(INJECTION) else {
        return;
    };
    let site = site.field(&format!("metadata.annotations[{INJECTION}]"));
    if !matches!(value.as_str(), "enabled" | "disabled") {
        findings.problem(&site, format!("`{value}` is not one of: enabled, disabled"));
    }
    if trigger.spec.broker.as_deref() != Some("default") {
        findings.problem(&site, "is for the Broker `default` only; leave it out");
    }
}
