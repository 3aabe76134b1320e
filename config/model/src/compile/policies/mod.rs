//! `HopPolicy`: which of them say something about a subscription, from the nearest to the widest, merged field by field
//! (DESIGN section 6).

mod fields;
mod period;
mod target;
mod weights;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::CompileOptions;
use super::plan::{Findings, Place, Plan, Site, Wanted, WantedKind, name_of};
use crate::names;
use crate::read::Objects;
use crate::topology::{Destination, Policy, Target};
use fields::Fields;
use target::{Known, Scope};

/// Every `HopPolicy` of the objects, by its target.
#[derive(Debug, Default)]
pub(super) struct Policies<'a> {
    all: Vec<Fields>,
    /// Position in `all` by namespace and target.
    by_target: HashMap<(&'a str, Scope<'a>), usize>,
    /// Namespace and name of the Services that have a policy, by every form of their host.
    hosts: HashMap<String, (&'a str, &'a str)>,
    report: Vec<(String, String)>,
    /// What each chain of policies comes to.
    merged: HashMap<Vec<usize>, Merged>,
    /// Equal policies are one.
    shared: HashSet<Arc<Policy>>,
    nothing: Merged,
}

/// What the policies say about one destination.
#[derive(Debug, Clone, Default)]
pub(super) struct Merged {
    /// How its replica is chosen.
    pub(super) policy: Arc<Policy>,
    /// What they say beside that.
    pub(super) fields: Arc<Fields>,
}

impl<'a> Policies<'a> {
    /// Reads and checks all of them. A target must be there, and have one policy.
    pub(super) fn read(
        objects: &'a Objects,
        options: &'a CompileOptions,
        plan: &Plan<'_>,
        findings: &mut Findings,
    ) -> Self {
        let mut policies = Self::default();
        if objects.hop_policies.is_empty() {
            return policies;
        }
        policies.shared.insert(Arc::clone(&policies.nothing.policy));
        let known = Known::new(objects, options, plan);
        let mut names = HashSet::new();
        let mut sites: Vec<Site<'a>> = Vec::new();
        for object in &objects.hop_policies {
            let meta = &object.value.metadata;
            let site = Site::new(&object.origin, "HopPolicy", meta, options);
            if !names.insert((site.namespace, name_of(meta))) {
                // The same HopPolicy twice is reported with all other kinds.
                continue;
            }
            let spec = &object.value.spec;
            let fields = fields::read(spec, &site.field("spec"), findings);
            let target_site = site.field("spec.targetRef");
            let Some(scope) = known.scope(spec.target_ref.as_ref(), &target_site, findings) else {
                continue;
            };
            let shown = scope.shown(site.namespace);
            let place = (site.namespace, scope);
            if let Some(first) = policies.by_target.get(&place).and_then(|at| sites.get(*at)) {
                let message = format!(
                    "{} at {} is for {shown} as well; keep one of them",
                    first.object,
                    first.shown()
                );
                findings.problem(&target_site, message);
                continue;
            }
            if let Scope::Service(name) = scope {
                let hosts = names::host_forms(name, site.namespace, &options.cluster_domain);
                let hosts = hosts.map(|host| (host, (site.namespace, name)));
                policies.hosts.extend(hosts);
            }
            policies
                .report
                .push((format!("{}/{}", site.namespace, name_of(meta)), shown));
            policies.by_target.insert(place, policies.all.len());
            policies.all.push(fields);
            sites.push(site);
        }
        policies
    }

    /// Every policy, as `namespace/name`, with what it is for.
    pub(super) fn into_report(self) -> Vec<(String, String)> {
        self.report
    }

    /// What counts for a subscription and its subscriber: its own policy, then that of its place in a Sequence or
    /// Parallel, then that of the subscriber's Service, then that of the subscription's namespace.
    pub(super) fn of_subscriber(
        &mut self,
        wanted: &Wanted<'_>,
        subscriber: Option<&Destination>,
    ) -> Merged {
        if self.all.is_empty() {
            return self.nothing.clone();
        }
        let namespace = wanted.site.namespace;
        let name = wanted.name.as_str();
        let own = match wanted.kind {
            WantedKind::Subscription | WantedKind::Entry => Scope::Subscription(name),
            WantedKind::Trigger => Scope::Trigger(name),
        };
        let mut chain = self.chain([(namespace, own)]);
        match wanted.place {
            None => {}
            Some(Place::Step { sequence, step }) => {
                let scope = |step| (namespace, Scope::Sequence(sequence, step));
                chain.extend(self.chain([scope(Some(step)), scope(None)]));
            }
            Some(Place::Branch {
                parallel,
                branch,
                part,
            }) => {
                let scope = |branch, part| (namespace, Scope::Parallel(parallel, branch, part));
                chain.extend(self.chain([
                    scope(Some(branch), Some(part)),
                    scope(Some(branch), None),
                    scope(None, Some(part)),
                    scope(None, None),
                ]));
            }
        }
        self.widen(&mut chain, namespace, subscriber);
        self.merge(chain)
    }

    /// What counts for a reply's destination or a dead letter sink: the policy of its Service, then that of the
    /// subscription's namespace.
    pub(super) fn of_other(&mut self, namespace: &str, to: &Destination) -> Arc<Policy> {
        if self.all.is_empty() || matches!(to.target, Target::Hosted(_)) {
            return Arc::clone(&self.nothing.policy);
        }
        let mut chain = Vec::new();
        self.widen(&mut chain, namespace, Some(to));
        self.merge(chain).policy
    }

    /// Positions of the policies that there are for these targets.
    fn chain<const N: usize>(&self, targets: [(&str, Scope<'_>); N]) -> Vec<usize> {
        let at = |target| self.by_target.get(&target).copied();
        targets.into_iter().filter_map(at).collect()
    }

    /// Adds the policies of a destination's Service and of a namespace.
    fn widen(&self, chain: &mut Vec<usize>, namespace: &str, to: Option<&Destination>) {
        if let Some((namespace, name)) = to.and_then(|to| self.service_of(to)) {
            chain.extend(self.chain([(namespace, Scope::Service(name))]));
        }
        chain.extend(self.chain([(namespace, Scope::Namespace)]));
    }

    /// The Service that a destination's URL means, also where the settings send elsewhere instead. It may be a Knative
    /// Service, whose host has the same form.
    fn service_of<'s>(&'s self, to: &'s Destination) -> Option<(&'s str, &'s str)> {
        match &to.target {
            Target::Hosted(_) => None,
            Target::Service(port) => Some((&port.namespace, &port.service)),
            Target::Uri if self.hosts.is_empty() => None,
            Target::Uri => {
                let url = url::Url::parse(&to.url).ok()?;
                let host = names::normal_host(url.host_str()?);
                self.hosts.get(&host).copied()
            }
        }
    }

    /// Of each field what the first policy of the chain says that sets it.
    fn merge(&mut self, chain: Vec<usize>) -> Merged {
        if chain.is_empty() {
            return self.nothing.clone();
        }
        if let Some(merged) = self.merged.get(&chain) {
            return merged.clone();
        }
        let mut fields = Fields::default();
        for wider in chain.iter().filter_map(|at| self.all.get(*at)) {
            fields.fill(wider);
        }
        let policy = Arc::new(fields.policy());
        let policy = match self.shared.get(&policy) {
            Some(equal) => Arc::clone(equal),
            None => {
                self.shared.insert(Arc::clone(&policy));
                policy
            }
        };
        let merged = Merged {
            policy,
            fields: Arc::new(fields),
        };
        self.merged.insert(chain, merged.clone());
        merged
    }
}
