//! The pure function objects -> topology (DESIGN section 3): the same objects and options always give the same result.

mod annotations;
mod broker_defaults;
mod brokers;
mod build;
mod channels;
mod config_map;
mod defaults;
mod delivery;
mod dependency;
mod duplicates;
mod filter_text;
mod filters;
mod horizon;
mod lookup;
mod owned;
mod parallel;
mod plan;
mod policies;
mod presentation;
mod replicas;
mod report;
mod resolve;
mod secrets;
mod sequence;
mod subscriptions;
mod triggers;
mod urls;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub use replicas::replicas;
pub use report::{Hosted, Receiver, Report};

use crate::names;
use crate::problem::{Problem, Problems};
use crate::read::Objects;
use crate::settings::Settings;
use crate::topology::{Channel, ChannelKey, ChannelKind, Presentation, Replicas, Topology};
use plan::{Findings, Plan};

/// How a problem begins whose reason may be an object that could not be read.
pub(crate) const DANGLES: &str = "resolves to nothing";

/// Namespace that Knative is installed in: of its settings, of the brokers' ingress, of the Secrets that filters name.
const SYSTEM_NAMESPACE: &str = "knative-eventing";

/// What compiling needs to know besides the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileOptions {
    /// DNS domain of the cluster whose names the objects use; `cluster.local` by default.
    pub cluster_domain: String,
    /// `addresses` of the settings: `Kind/namespace/name` or a host, to the URL to send to.
    pub addresses: BTreeMap<String, String>,
    /// Namespace of objects that name none; `default` by default.
    pub default_namespace: String,
    /// `payloads.present` of the settings: for the report only, since the topology holds what objects say.
    pub presentation: Presentation,
    /// `store.ttl` of the settings: how long a payload is kept at most; 24 hours by default.
    pub payload_ttl: Duration,
    /// `timeouts.attempt` of the settings: bound of an attempt whose delivery spec has none; 15 minutes by default.
    pub attempt_timeout: Duration,
    /// `delivery.backoffMax` of the settings: longest wait where no `HopPolicy` says one; 10 minutes by default.
    pub backoff_max: Duration,
}

impl Default for CompileOptions {
    /// Those of the default settings.
    fn default() -> Self {
        Settings::default().compile_options()
    }
}

impl CompileOptions {
    /// What settings say.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            cluster_domain: settings.cluster_domain.clone(),
            addresses: settings.addresses.clone(),
            default_namespace: "default".to_owned(),
            presentation: settings.payloads.present,
            payload_ttl: settings.store.ttl,
            attempt_timeout: settings.timeouts.attempt,
            backoff_max: settings.delivery.backoff_max,
        }
    }
}

/// What objects compile to.
#[derive(Debug)]
pub struct Compiled {
    /// What a gateway obeys.
    pub topology: Topology,
    /// Who stands behind the Services, from the EndpointSlices.
    pub replicas: Replicas,
    /// What would run and what would not, for `towpath check`.
    pub report: Report,
}

/// Compiles objects to a topology: expands Sequences and Parallels (A10.1, A10.2) and channel templates (A9), hosts
/// Brokers with their Triggers (B1, B4) and compiles filters (B5), resolves references (A8.3), applies delivery
/// inheritance (A7.5, A7.6, B4.13) checks the rules (A4.1, A4.3, A8.1, B4.11, C8.7), merges HopPolicies, and looks
/// whether deliveries end before their payloads are deleted.
///
/// A cycle of replies is legal: the hop budget stops it at run time.
///
/// # Errors
/// Every rule that is broken and every reference that resolves to nothing, over all objects.
pub fn compile(objects: &Objects, options: &CompileOptions) -> Result<Compiled, Problems> {
    let mut findings = Findings::default();
    let found = &mut findings;
    let defaults = defaults::read(objects, options, found);
    let broker_defaults = broker_defaults::read(objects, options, found);
    let mut plan = Plan::default();
    let mut owned = owned::Owned::new(objects, options);
    sequence::expand(objects, options, &defaults, &mut owned, &mut plan, found);
    parallel::expand(objects, options, &defaults, &mut owned, &mut plan, found);
    channels::plan(objects, options, &defaults, &owned, &mut plan, found);
    brokers::plan(objects, options, &broker_defaults, &mut plan, found);
    subscriptions::plan(objects, options, &owned, &mut plan, found);
    let verifying = triggers::plan(objects, options, &mut plan, found);
    duplicates::check(objects, options, found);

    let hosts = hosts(&plan, options, found);
    let resolver = resolve::Resolver::new(objects, options, &plan, &hosts);
    let services = presentation::Services::read(objects, options, found);
    let mut builder = build::Builder {
        plan: &plan,
        options,
        resolver: &resolver,
        services: &services,
        policies: policies::Policies::read(objects, options, &plan, found),
    };
    let channels = builder.build(found);
    let policies = builder.policies.into_report();
    dependency::check(objects, options, &resolver, found);
    let secrets = secrets::collect(objects, options, &verifying, found);
    let replicas = replicas::collect(objects, options, &mut findings);

    let Findings {
        problems,
        mut notes,
        used_addresses,
    } = findings;
    let unused = options
        .addresses
        .keys()
        .filter(|key| !used_addresses.contains(*key));
    notes.extend(unused.map(|key| unused_address(key)));
    let report = Report {
        policies,
        ..report::report(&channels, &plan, objects, options, notes, &replicas)
    };
    let topology = Topology {
        channels,
        hosts,
        secrets,
    };
    Problems::or(
        problems,
        Compiled {
            topology,
            replicas,
            report,
        },
    )
}

/// An entry of the settings that nothing refers to is mostly a typo.
fn unused_address(key: &str) -> Problem {
    Problem {
        file: String::new(),
        line: 0,
        column: 0,
        object: None,
        path: format!("addresses.{key}"),
        message: "nothing in the files refers to this object or host".to_owned(),
    }
}

/// The hosts that lead to each channel: all forms of its address (C1.3), and the address that a dump from a cluster
/// says it has there. Brokers share a host, but for those that a dump gives one of their own.
fn hosts(
    plan: &Plan<'_>,
    options: &CompileOptions,
    findings: &mut Findings,
) -> HashMap<Arc<str>, ChannelKey> {
    let mut hosts: HashMap<Arc<str>, ChannelKey> = HashMap::new();
    let with_host = |(key, _): &(&ChannelKey, _)| key.kind == ChannelKind::Channel;
    for (key, channel) in plan.channels.iter().filter(with_host) {
        let service = names::child_name(&key.name, channels::SERVICE_SUFFIX);
        for host in names::host_forms(&service, &key.namespace, &options.cluster_domain) {
            if let Some(other) = hosts.insert(host.as_str().into(), key.clone()) {
                findings.problem(
                    &channel.site,
                    format!("its host `{host}` is also that of {other}; rename one"),
                );
            }
        }
    }
    for (key, channel) in &plan.channels {
        if let Some(host) = channel.status.and_then(urls::own_host) {
            hosts
                .entry(host.as_str().into())
                .or_insert_with(|| key.clone());
        }
    }
    hosts
}

/// Channels of the topology, as they are built.
type Channels = BTreeMap<ChannelKey, Arc<Channel>>;

/// The order of problems and notes is that of the files, so callers may collect them in any order.
fn sorted(mut found: Vec<Problem>) -> Vec<Problem> {
    found.sort();
    found.dedup();
    found
}
