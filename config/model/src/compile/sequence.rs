//! Sequences, expanded as Knative's controller does it: the same channels and Subscriptions under the same names (A10.1).

use std::borrow::Cow;

use super::CompileOptions;
use super::annotations::Annotations;
use super::channels::{from_template, insert};
use super::defaults::Defaults;
use super::owned::Owned;
use super::plan::{
    Findings, Flow, Place, Plan, PlannedChannel, Site, To, Wanted, channel_key, name_of,
    namespace_of,
};
use crate::names::child_name;
use crate::objects::Sequence;
use crate::read::{Object, Objects};
use crate::topology::Presentation;

/// Expands every Sequence into the plan.
pub(super) fn expand<'a>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    defaults: &'a Defaults<'a>,
    owned: &mut Owned<'a>,
    plan: &mut Plan<'a>,
    findings: &mut Findings,
) {
    for object in &objects.sequences {
        let site = Site::new(&object.origin, "Sequence", &object.value.metadata, options);
        if object.value.spec.steps.is_empty() {
            findings.problem(
                &site.field("spec.steps"),
                "a Sequence needs at least one step",
            );
            continue;
        }
        let namespace = namespace_of(&object.value.metadata, options);
        let name = name_of(&object.value.metadata);
        let flow = Flow::sequence(namespace, name);
        if plan.flows.contains_key(&flow) {
            // The same Sequence twice is reported with all other kinds.
            continue;
        }
        plan.flows
            .insert(flow.clone(), channel_key(namespace, &step_name(name, 0)));
        channels(object, &site, defaults, plan, findings);
        let presentation =
            Annotations::new(&object.value.metadata.annotations, &site).presentation(findings);
        subscriptions(object, &site, presentation, plan);
        let names = (0..object.value.spec.steps.len())
            .map(|step| step_name(name, step))
            .collect();
        owned.take_over(&flow, &names);
    }
}

/// Name of the channel and of the Subscription of a step (A10.1, A6.2).
fn step_name(sequence: &str, step: usize) -> String {
    child_name(sequence, &format!("-kn-sequence-{step}"))
}

fn channels<'a>(
    object: &'a Object<Sequence>,
    site: &Site<'a>,
    defaults: &'a Defaults<'a>,
    plan: &mut Plan<'a>,
    findings: &mut Findings,
) {
    let spec = &object.value.spec;
    let (template, template_site) = match &spec.channel_template {
        Some(template) => (template, site.field("spec.channelTemplate")),
        None => defaults.of(site),
    };
    let made = from_template(template, &template_site, findings);
    for step in 0..spec.steps.len() {
        let planned = PlannedChannel {
            object_kind: made.kind.1.clone(),
            known_as: vec![made.kind.clone()],
            site: site.clone(),
            backend: made.backend.clone(),
            delivery: made.delivery.clone(),
            status: None,
        };
        let key = channel_key(
            site.namespace,
            &step_name(name_of(&object.value.metadata), step),
        );
        insert(plan, key, planned, findings);
    }
}

fn subscriptions<'a>(
    object: &'a Object<Sequence>,
    site: &Site<'a>,
    presentation: Option<Presentation>,
    plan: &mut Plan<'a>,
) {
    let spec = &object.value.spec;
    let sequence = name_of(&object.value.metadata);
    for (step, value) in spec.steps.iter().enumerate() {
        let name = step_name(sequence, step);
        let step_site = site.field(&format!("spec.steps[{step}]"));
        let reply = if step + 1 < spec.steps.len() {
            Some(To::Channel(channel_key(
                site.namespace,
                &step_name(sequence, step + 1),
            )))
        } else {
            spec.reply
                .as_ref()
                .map(|reply| To::Written(Cow::Borrowed(reply), site.field("spec.reply")))
        };
        let channel = channel_key(site.namespace, &name);
        plan.subscriptions.push(Wanted {
            subscriber: Some(To::Written(
                Cow::Owned(value.destination()),
                step_site.clone(),
            )),
            reply,
            delivery: value
                .delivery
                .as_ref()
                .map(|delivery| (Cow::Borrowed(delivery), step_site.field("delivery"))),
            presentation,
            place: Some(Place::Step { sequence, step }),
            ..Wanted::of_flow(name, channel, step_site)
        });
    }
}
