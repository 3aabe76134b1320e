//! Whose hops a `HopPolicy` is for: an object that is there, or a part of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::plan::{Findings, Part, Plan, Site, WantedKind, name_of, namespace_of};
use crate::compile::{CompileOptions, DANGLES};
use crate::names::nearest;
use crate::objects::{Parallel, PolicyTarget, Sequence};
use crate::read::{Objects, group_of};
use crate::topology::ChannelKey;

/// Kinds that a policy can be for, as an error names them.
const KINDS: &str = "Service, Subscription, Trigger, Sequence, Parallel";
/// Group of Knative Services.
const SERVING: &str = "serving.knative.dev";

/// A target in the policy's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope<'a> {
    /// All of the namespace.
    Namespace,
    Service(&'a str),
    Subscription(&'a str),
    Trigger(&'a str),
    /// Which step; all of them without.
    Sequence(&'a str, Option<usize>),
    /// Which branch and which part of it; all of them without.
    Parallel(&'a str, Option<usize>, Option<Part>),
}

impl Scope<'_> {
    /// As it is called in messages and reports.
    pub(super) fn shown(self, namespace: &str) -> String {
        let part = |part: Option<Part>| part.map_or("", Part::shown);
        match self {
            Self::Namespace => format!("namespace {namespace}"),
            Self::Service(name) => format!("Service {namespace}/{name}"),
            Self::Subscription(name) => format!("Subscription {namespace}/{name}"),
            Self::Trigger(name) => format!("Trigger {namespace}/{name}"),
            Self::Sequence(name, None) => format!("Sequence {namespace}/{name}"),
            Self::Sequence(name, Some(step)) => {
                format!("step {step} of Sequence {namespace}/{name}")
            }
            Self::Parallel(name, None, None) => format!("Parallel {namespace}/{name}"),
            Self::Parallel(name, None, some) => {
                format!("every {} of Parallel {namespace}/{name}", part(some))
            }
            Self::Parallel(name, Some(branch), None) => {
                format!("branch {branch} of Parallel {namespace}/{name}")
            }
            Self::Parallel(name, Some(branch), some) => format!(
                "the {} of branch {branch} of Parallel {namespace}/{name}",
                part(some)
            ),
        }
    }
}

/// Namespace and name.
type Id<'p> = (&'p str, &'p str);

/// What there is for policies to be for.
pub(super) struct Known<'p> {
    services: BTreeSet<Id<'p>>,
    subscriptions: BTreeMap<Id<'p>, &'p ChannelKey>,
    triggers: BTreeMap<Id<'p>, &'p ChannelKey>,
    sequences: BTreeMap<Id<'p>, &'p Sequence>,
    parallels: BTreeMap<Id<'p>, &'p Parallel>,
    plan: &'p Plan<'p>,
}

impl<'p> Known<'p> {
    pub(super) fn new(
        objects: &'p Objects,
        options: &'p CompileOptions,
        plan: &'p Plan<'p>,
    ) -> Self {
        let services = objects.services.iter().map(|object| {
            let meta = &object.value.metadata;
            (namespace_of(meta, options), name_of(meta))
        });
        let of_settings = options.addresses.keys().filter_map(|key| {
            let rest = key.strip_prefix("Service/")?;
            rest.split_once('/')
        });
        let of_knative = objects.skipped.iter().filter_map(|object| {
            let is_it = group_of(&object.api_version) == SERVING && object.kind == "Service";
            let namespace = object.namespace.as_deref();
            let namespace = namespace.unwrap_or(&options.default_namespace);
            is_it.then_some((namespace, object.name.as_str()))
        });
        let wanted = |is_trigger: bool| {
            let all = plan.subscriptions.iter();
            all.filter(move |wanted| (wanted.kind == WantedKind::Trigger) == is_trigger)
                .map(|wanted| {
                    let id = (wanted.site.namespace, wanted.name.as_str());
                    (id, &wanted.channel)
                })
                .collect()
        };
        Self {
            services: services.chain(of_settings).chain(of_knative).collect(),
            subscriptions: wanted(false),
            triggers: wanted(true),
            sequences: objects
                .sequences
                .iter()
                .map(|object| {
                    let meta = &object.value.metadata;
                    ((namespace_of(meta, options), name_of(meta)), &object.value)
                })
                .collect(),
            parallels: objects
                .parallels
                .iter()
                .map(|object| {
                    let meta = &object.value.metadata;
                    ((namespace_of(meta, options), name_of(meta)), &object.value)
                })
                .collect(),
            plan,
        }
    }

    /// What a `targetRef` means; what is wrong with it is reported, and then it means nothing.
    pub(super) fn scope<'a>(
        &self,
        target: Option<&'a PolicyTarget>,
        site: &Site<'_>,
        findings: &mut Findings,
    ) -> Option<Scope<'a>> {
        let Some(target) = target else {
            return Some(Scope::Namespace);
        };
        let PolicyTarget {
            kind,
            name,
            step,
            branch,
            part,
        } = target;
        let given = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty());
        let (kind, name) = (given(kind), given(name));
        for (field, value) in [("kind", kind), ("name", name)] {
            if value.is_none() {
                let message = "missing; a target needs kind and name; leave `targetRef` out for the whole namespace";
                findings.problem(&site.field(field), message);
            }
        }
        let (kind, name) = (kind?, name?);
        let owners = [
            ("step", step.is_some(), "Sequence"),
            ("branch", branch.is_some(), "Parallel"),
            ("part", part.is_some(), "Parallel"),
        ];
        let mut fits = true;
        for (field, is_given, owner) in owners {
            if is_given && kind != owner {
                let message =
                    format!("is for kind {owner} only, and `kind` is {kind}; leave it out");
                findings.problem(&site.field(field), message);
                fits = false;
            }
        }
        let id = (site.namespace, name);
        match kind {
            "Service" => {
                let all = || self.services.iter().copied();
                let is_there = self.services.contains(&id);
                is_there_or(is_there, kind, id, all(), site, findings)?;
                fits.then_some(Scope::Service(name))
            }
            "Subscription" => {
                let all = self.subscriptions.keys().copied();
                let is_there = self.subscriptions.contains_key(&id);
                is_there_or(is_there, kind, id, all, site, findings)?;
                fits.then_some(Scope::Subscription(name))
            }
            "Trigger" => {
                let all = self.triggers.keys().copied();
                let broker = self.triggers.get(&id);
                is_there_or(broker.is_some(), kind, id, all, site, findings)?;
                let class = broker.and_then(|broker| self.plan.foreign_classes.get(*broker));
                if let Some(class) = class {
                    let message = format!(
                        "is obeyed here; in a cluster class {class} runs the Broker of this Trigger, and ignores it"
                    );
                    findings.note(site, message);
                }
                fits.then_some(Scope::Trigger(name))
            }
            "Sequence" => {
                let all = self.sequences.keys().copied();
                let sequence = self.sequences.get(&id);
                is_there_or(sequence.is_some(), kind, id, all, site, findings)?;
                let steps = sequence?.spec.steps.len();
                let step = number(*step, "step", steps, site, findings)?;
                fits.then_some(Scope::Sequence(name, step))
            }
            "Parallel" => {
                let all = self.parallels.keys().copied();
                let parallel = self.parallels.get(&id);
                is_there_or(parallel.is_some(), kind, id, all, site, findings)?;
                let (branch, part) = self.branch(target, parallel.copied()?, site, findings)?;
                fits.then_some(Scope::Parallel(name, branch, part))
            }
            _ => {
                let message = format!("`{kind}` is not one of: {KINDS}");
                findings.problem(&site.field("kind"), message);
                None
            }
        }
    }

    fn branch(
        &self,
        target: &PolicyTarget,
        parallel: &Parallel,
        site: &Site<'_>,
        findings: &mut Findings,
    ) -> Option<(Option<usize>, Option<Part>)> {
        let branches = &parallel.spec.branches;
        let branch = number(target.branch, "branch", branches.len(), site, findings);
        let part = match target.part.as_deref() {
            None => None,
            Some("filter") => Some(Part::Filter),
            Some("subscriber") => Some(Part::Subscriber),
            Some(other) => {
                let message = format!("`{other}` is not one of: filter, subscriber");
                findings.problem(&site.field("part"), message);
                return None;
            }
        };
        let branch = branch?;
        let named = |index: usize| branch.is_none_or(|branch| branch == index);
        let has_filter = (branches.iter().enumerate())
            .any(|(index, branch)| named(index) && branch.filter.is_some());
        if part == Some(Part::Filter) && !has_filter {
            let which = match branch {
                Some(branch) => format!("branch {branch} has"),
                None => "the branches have".to_owned(),
            };
            let message = format!("{which} no filter; leave it out, or write `subscriber`");
            findings.problem(&site.field("part"), message);
            return None;
        }
        Some((branch, part))
    }
}

/// The number of a step or branch, if it is given and there.
fn number(
    value: Option<i64>,
    what: &str,
    there_are: usize,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<Option<usize>> {
    let Some(value) = value else {
        return Some(None);
    };
    let number = usize::try_from(value)
        .ok()
        .filter(|number| *number < there_are);
    if number.is_none() {
        let message = match there_are.checked_sub(1) {
            None => format!("{value} is the number of no {what}: there are none"),
            Some(last) => format!(
                "{value} is the number of no {what}: there are {there_are}, counted from 0 to {last}"
            ),
        };
        findings.problem(&site.field(what), message);
    }
    number.map(Some)
}

/// Reports an object that is not there.
fn is_there_or<'n>(
    is_there: bool,
    kind: &str,
    (namespace, name): Id<'_>,
    all: impl Iterator<Item = Id<'n>>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<()> {
    if is_there {
        return Some(());
    }
    let names = all.filter(|id| id.0 == namespace).map(|id| id.1);
    let hint = nearest(name, names)
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    let message = format!(
        "{DANGLES}: no object {kind} {namespace}/{name} in the files, and a policy is for its own namespace only{hint}"
    );
    findings.problem(site, message);
    None
}
