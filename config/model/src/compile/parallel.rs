//! Parallels, expanded as Knative's controller does it: the same channels and Subscriptions under the same names (A10.2).

use std::borrow::Cow;
use std::collections::HashSet;

use super::CompileOptions;
use super::annotations::Annotations;
use super::channels::{from_template, insert};
use super::defaults::Defaults;
use super::owned::Owned;
use super::plan::{
    Findings, Flow, Part, Place, Plan, PlannedChannel, Site, To, Wanted, channel_key, name_of,
    namespace_of,
};
use crate::names::child_name;
use crate::objects::{Destination, Parallel, ParallelBranch, ParallelSpec};
use crate::read::{Object, Objects};
use crate::topology::{ChannelKey, Presentation};

/// Expands every Parallel into the plan.
pub(super) fn expand<'a>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    defaults: &'a Defaults<'a>,
    owned: &mut Owned<'a>,
    plan: &mut Plan<'a>,
    findings: &mut Findings,
) {
    for object in &objects.parallels {
        let site = Site::new(&object.origin, "Parallel", &object.value.metadata, options);
        if object.value.spec.branches.is_empty() {
            findings.problem(
                &site.field("spec.branches"),
                "a Parallel needs at least one branch",
            );
            continue;
        }
        let names = Names(name_of(&object.value.metadata));
        let namespace = namespace_of(&object.value.metadata, options);
        let flow = Flow::parallel(namespace, names.0);
        if plan.flows.contains_key(&flow) {
            // The same Parallel twice is reported with all other kinds.
            continue;
        }
        plan.flows
            .insert(flow.clone(), channel_key(namespace, &names.input()));
        channels(object, names, &site, defaults, plan, findings);
        let presentation =
            Annotations::new(&object.value.metadata.annotations, &site).presentation(findings);
        let expansion = Expansion {
            spec: &object.value.spec,
            names,
            presentation,
        };
        for (index, branch) in object.value.spec.branches.iter().enumerate() {
            let branch_site = site.field(&format!("spec.branches[{index}]"));
            expansion.branch(index, branch, &branch_site, plan, findings);
        }
        owned.take_over(&flow, &names.all(object.value.spec.branches.len()));
    }
}

/// The names that a Parallel gives to what is made of it (A10.2, A6.2).
#[derive(Clone, Copy)]
struct Names<'n>(&'n str);

impl Names<'_> {
    /// The channel that every event comes to.
    fn input(self) -> String {
        child_name(self.0, "-kn-parallel")
    }

    /// The channel of a branch, and the Subscription behind it.
    fn branch(self, index: usize) -> String {
        child_name(self.0, &format!("-kn-parallel-{index}"))
    }

    /// The Subscription of the input channel whose replies go to the branch's channel.
    fn filter(self, index: usize) -> String {
        child_name(self.0, &format!("-kn-parallel-filter-{index}"))
    }

    fn all(self, branches: usize) -> HashSet<String> {
        let of_branch = |index| [self.branch(index), self.filter(index)];
        std::iter::once(self.input())
            .chain((0..branches).flat_map(of_branch))
            .collect()
    }
}

fn channels<'a>(
    object: &'a Object<Parallel>,
    names: Names<'_>,
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
    let branches = (0..spec.branches.len()).map(|index| names.branch(index));
    for name in std::iter::once(names.input()).chain(branches) {
        let planned = PlannedChannel {
            object_kind: made.kind.1.clone(),
            known_as: vec![made.kind.clone()],
            site: site.clone(),
            backend: made.backend.clone(),
            delivery: made.delivery.clone(),
            status: None,
        };
        insert(plan, channel_key(site.namespace, &name), planned, findings);
    }
}

/// A Parallel on its way to Subscriptions.
struct Expansion<'a> {
    spec: &'a ParallelSpec,
    names: Names<'a>,
    presentation: Option<Presentation>,
}

impl<'a> Expansion<'a> {
    /// The two Subscriptions of a branch.
    fn branch(
        &self,
        index: usize,
        branch: &'a ParallelBranch,
        site: &Site<'a>,
        plan: &mut Plan<'a>,
        findings: &mut Findings,
    ) {
        let Self {
            spec,
            names,
            presentation,
        } = *self;
        let written = |field: &str, to: &'a Option<Destination>| {
            to.as_ref()
                .map(|to| To::Written(Cow::Borrowed(to), site.field(field)))
        };
        if branch.subscriber.is_none() {
            findings.problem(
                &site.field("subscriber"),
                "missing; a branch needs somebody who gets the events",
            );
        }
        let wanted = |name: String, channel: ChannelKey, part: Part| Wanted {
            presentation,
            place: Some(Place::Branch {
                parallel: names.0,
                branch: index,
                part,
            }),
            ..Wanted::of_flow(name, channel, site.clone())
        };
        let input = channel_key(site.namespace, &names.input());
        let own = channel_key(site.namespace, &names.branch(index));
        let filter = written("filter", &branch.filter);
        plan.subscriptions.push(Wanted {
            reply: filter.is_some().then(|| To::Channel(own.clone())),
            subscriber: filter.or_else(|| Some(To::Channel(own.clone()))),
            ..wanted(names.filter(index), input, Part::Filter)
        });
        let whole = Site {
            path: "spec.reply".to_owned(),
            ..site.clone()
        };
        plan.subscriptions.push(Wanted {
            subscriber: written("subscriber", &branch.subscriber),
            reply: written("reply", &branch.reply).or_else(|| {
                spec.reply
                    .as_ref()
                    .map(|to| To::Written(Cow::Borrowed(to), whole))
            }),
            delivery: branch
                .delivery
                .as_ref()
                .map(|delivery| (Cow::Borrowed(delivery), site.field("delivery"))),
            ..wanted(names.branch(index), own, Part::Subscriber)
        });
    }
}
