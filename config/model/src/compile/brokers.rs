//! Brokers: every one of the files is hosted, whatever its class, under the address of Knative's own ingress (B1, B2.2).

use std::borrow::Cow;

use super::annotations::Annotations;
use super::broker_defaults::{BrokerDefaults, Wanted};
use super::plan::{Findings, Plan, PlannedChannel, Site, broker_key, name_of};
use super::resolve::named;
use super::{CompileOptions, DANGLES, SYSTEM_NAMESPACE, channels};
use crate::names;
use crate::objects::{Broker, KReference};
use crate::read::{EVENTING, Object, Objects};
use crate::topology::{Backend, ChannelKey, ChannelKind, Memory, OnFull};

/// Service of the ingress of class MTChannelBasedBroker, whose addresses users write most (B2.2).
const INGRESS: &str = "broker-ingress";
/// Who runs a Broker in a cluster (B1.1).
const CLASS: &str = "eventing.knative.dev/broker.class";
/// Our class.
const TOWPATH_CLASS: &str = "Towpath";

/// URL of a broker.
pub(super) fn url(key: &ChannelKey, options: &CompileOptions) -> String {
    let host = names::service_host(INGRESS, SYSTEM_NAMESPACE, &options.cluster_domain);
    format!("http://{host}{}", path(&key.namespace, &key.name))
}

fn path(namespace: &str, name: &str) -> String {
    format!("/{namespace}/{name}")
}

/// The three forms of the host of a broker's URL (C1.3).
fn hosts(options: &CompileOptions) -> [String; 3] {
    names::host_forms(INGRESS, SYSTEM_NAMESPACE, &options.cluster_domain)
}

/// Whether this is the host of every broker's URL.
pub(super) fn is_ingress(host: &str, options: &CompileOptions) -> bool {
    host.starts_with(INGRESS) && hosts(options).iter().any(|form| form == host)
}

/// Names of the Brokers of a namespace.
pub(super) fn names<'p>(plan: &'p Plan<'_>, namespace: &str) -> impl Iterator<Item = &'p str> {
    plan.channels
        .keys()
        .filter(move |key| key.kind == ChannelKind::Broker && &*key.namespace == namespace)
        .map(|key| &*key.name)
}

/// The Broker of the files with this name.
pub(super) fn find(
    plan: &Plan<'_>,
    namespace: &str,
    name: &str,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<ChannelKey> {
    let key = broker_key(namespace, name);
    if plan.channels.contains_key(&key) {
        return Some(key);
    }
    let hint = names::nearest(name, names(plan, namespace))
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    findings.problem(
        site,
        format!("{DANGLES}: no object Broker {namespace}/{name} in the files{hint}"),
    );
    None
}

/// Plans every Broker.
pub(super) fn plan<'a>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    defaults: &'a BrokerDefaults<'a>,
    plan: &mut Plan<'a>,
    findings: &mut Findings,
) {
    for object in &objects.brokers {
        let site = Site::new(&object.origin, "Broker", &object.value.metadata, options);
        let key = broker_key(site.namespace, name_of(&object.value.metadata));
        addresses(&object.value, &key, options, plan);
        if let Some(class) = foreign_class(&object.value, defaults.class(site.namespace)) {
            plan.foreign_classes.insert(key.clone(), class.to_owned());
        }
        let planned = planned(object, site, objects, options, defaults, findings);
        channels::insert(plan, key, planned, findings);
    }
}

fn planned<'a>(
    object: &'a Object<Broker>,
    site: Site<'a>,
    objects: &Objects,
    options: &CompileOptions,
    defaults: &'a BrokerDefaults<'a>,
    findings: &mut Findings,
) -> PlannedChannel<'a> {
    let broker = &object.value;
    let class = class(broker, defaults.class(site.namespace));
    let annotations = Annotations::new(&broker.metadata.annotations, &site);
    annotations.note_presentation("Broker's Triggers", findings);
    if let Some(class) = foreign_class(broker, class) {
        let message = format!(
            "runs as a memory broker here: Towpath stands in for class {class}, and keeps events in its process"
        );
        let annotation = format!("metadata.annotations[{CLASS}]");
        findings.note(&site.field(&annotation), message);
    }
    if let Some(reference) = &broker.spec.config {
        let disallowed = defaults.disallows_other_namespaces(site.namespace);
        let site = site.field("spec.config");
        config(reference, &site, objects, options, disallowed, findings);
    }
    let config_kind = broker
        .spec
        .config
        .as_ref()
        .map(|reference| reference.kind.as_deref().unwrap_or_default());
    let delivery = match &broker.spec.delivery {
        Some(delivery) => Some((Cow::Borrowed(delivery), site.field("spec.delivery"))),
        None => defaults.delivery(&Wanted { class, config_kind }, &site),
    };
    let cut_through = annotations.flag(channels::CUT_THROUGH, true, findings);
    PlannedChannel {
        object_kind: "Broker".to_owned(),
        known_as: vec![(EVENTING.to_owned(), "Broker".to_owned())],
        // No setting of a broker's class is obeyed yet, so its ConfigMap may hold any keys (B1.4).
        backend: Backend::Memory(Memory {
            async_handler: false,
            on_full: OnFull::Reject,
            cut_through,
        }),
        delivery,
        status: broker.status.as_ref(),
        site,
    }
}

/// Who runs a Broker in a cluster, if the files say it (B1.1); `default` is for one that does not.
fn class<'a>(broker: &'a Broker, default: Option<&'a str>) -> Option<&'a str> {
    let written = broker.metadata.annotations.get(CLASS).map(String::as_str);
    written.filter(|class| !class.is_empty()).or(default)
}

/// Its class, unless that is ours.
fn foreign_class<'a>(broker: &'a Broker, default: Option<&'a str>) -> Option<&'a str> {
    class(broker, default).filter(|class| *class != TOWPATH_CLASS)
}

/// A ConfigMap must be there (B2.7); settings of other kinds belong to other classes.
fn config(
    reference: &KReference,
    site: &Site<'_>,
    objects: &Objects,
    options: &CompileOptions,
    disallowed: bool,
    findings: &mut Findings,
) {
    let Some(found) = named(reference, site, findings) else {
        return;
    };
    if disallowed && found.namespace != site.namespace {
        let message = format!(
            "`{}` is another namespace than the Broker's, which disallowDifferentNamespaceConfig of ConfigMap config-br-defaults forbids; \
             move the configuration to `{}`",
            found.namespace, site.namespace
        );
        findings.problem(&site.field("namespace"), message);
    }
    if (found.group, found.kind) != ("", "ConfigMap") {
        let message = format!(
            "a {} is not read: Towpath has settings of its own",
            found.kind
        );
        findings.note(&site.field("kind"), message);
        return;
    }
    let is_it = |meta: &crate::objects::ObjectMeta| {
        name_of(meta) == found.name && super::plan::namespace_of(meta, options) == found.namespace
    };
    let mut all = objects.config_maps.iter();
    if !all.any(|object| is_it(&object.value.metadata)) {
        let message = format!(
            "{DANGLES}: no object ConfigMap {}/{} in the files; add it, or leave `config` out",
            found.namespace, found.name
        );
        findings.problem(site, message);
    }
}

/// Notes the addresses by which a URI may mean this broker: ours in every form, and those that a dump shows.
fn addresses(broker: &Broker, key: &ChannelKey, options: &CompileOptions, plan: &mut Plan<'_>) {
    let path = path(&key.namespace, &key.name);
    for host in hosts(options) {
        plan.broker_addresses
            .insert((host, path.clone()), key.clone());
    }
    let status = broker.status.iter();
    let dumped = status.flat_map(|status| status.address.iter().chain(&status.addresses));
    for url in dumped.filter_map(|address| address.url.as_deref()) {
        if let Some(address) = super::urls::host_and_path(url) {
            plan.broker_addresses
                .entry(address)
                .or_insert_with(|| key.clone());
        }
    }
}
