//! What a Broker gets that does not say: its class and its delivery, from ConfigMap `config-br-defaults` (B1.3 to B1.6).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::CompileOptions;
use super::config_map::{self, Entry};
use super::plan::{Findings, Site};
use crate::objects::DeliverySpec;
use crate::read::{Objects, Unknown};

const ENTRY: Entry = Entry {
    name: "config-br-defaults",
    key: "default-br-config",
    holds: "the defaults of brokers",
};

/// The ConfigMap's value and where it is.
#[derive(Debug, Default)]
pub(super) struct BrokerDefaults<'a> {
    config: Config,
    site: Option<Site<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    cluster_default: Option<Entries>,
    namespace_defaults: BTreeMap<String, Entries>,
}

/// Defaults of a namespace, or of all that have none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entries {
    broker_class: Option<String>,
    api_version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    delivery: Option<DeliverySpec>,
    broker_classes: BTreeMap<String, OfClass>,
    disallow_different_namespace_config: Option<bool>,
}

/// Defaults of one class.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OfClass {
    delivery: Option<DeliverySpec>,
}

/// For which Broker.
pub(super) struct Wanted<'w> {
    /// Its class, also if that is a default.
    pub(super) class: Option<&'w str>,
    /// Kind of its `spec.config`, if it has one.
    pub(super) config_kind: Option<&'w str>,
}

/// A delivery as written and where it is in the value.
type Found<'d> = Option<(&'d DeliverySpec, String)>;

impl Entries {
    /// Whether it has settings for its own class. A namespace that has none uses the cluster's.
    fn has_settings(&self) -> bool {
        let reference = [&self.api_version, &self.kind, &self.name, &self.namespace];
        self.delivery.is_some() || reference.iter().any(|field| field.is_some())
    }

    fn delivery(&self, path: &str) -> Found<'_> {
        let delivery = self.delivery.as_ref()?;
        Some((delivery, format!("{path}.delivery")))
    }

    fn of_class(&self, class: &str, path: &str) -> Option<Found<'_>> {
        let found = self.broker_classes.get(class)?;
        let path = format!("{path}.brokerClasses.{class}.delivery");
        Some(found.delivery.as_ref().map(|delivery| (delivery, path)))
    }
}

impl BrokerDefaults<'_> {
    /// Class of Brokers of a namespace that name none: the namespace's, else the cluster's.
    pub(super) fn class(&self, namespace: &str) -> Option<&str> {
        let own = self.config.namespace_defaults.get(namespace);
        own.and_then(|own| own.broker_class.as_deref())
            .or_else(|| {
                self.config
                    .cluster_default
                    .as_ref()?
                    .broker_class
                    .as_deref()
            })
            .filter(|class| !class.is_empty())
    }

    /// Whether `spec.config` must be in the Broker's own namespace (B1.6).
    pub(super) fn disallows_other_namespaces(&self, namespace: &str) -> bool {
        let Config {
            cluster_default,
            namespace_defaults,
        } = &self.config;
        let of = |defaults: &Entries| defaults.disallow_different_namespace_config;
        namespace_defaults
            .get(namespace)
            .and_then(of)
            .or_else(|| cluster_default.as_ref().and_then(of))
            .unwrap_or_default()
    }

    /// Delivery of a Broker that has none: only the dead letter sink, `retry` and the back-off are handed down (B1.5).
    /// References in it mean objects of the Broker's namespace.
    pub(super) fn delivery<'s>(
        &'s self,
        wanted: &Wanted<'_>,
        broker: &Site<'s>,
    ) -> Option<(Cow<'s, DeliverySpec>, Site<'s>)> {
        let (delivery, path) = self.found(wanted, broker.namespace)?;
        let handed_down = DeliverySpec {
            dead_letter_sink: delivery.dead_letter_sink.clone(),
            retry: delivery.retry,
            backoff_policy: delivery.backoff_policy.clone(),
            backoff_delay: delivery.backoff_delay.clone(),
            ..DeliverySpec::default()
        };
        let site = Site {
            namespace: broker.namespace,
            ..self.site.as_ref()?.field(&path)
        };
        Some((Cow::Owned(handed_down), site))
    }

    /// The namespace's entry of the class, else the cluster's, else the cluster's default (B1.3).
    fn found(&self, wanted: &Wanted<'_>, namespace: &str) -> Found<'_> {
        // With a `spec.config`, Knative takes its kind for the class, which leads to the cluster's default (B1.4).
        let class = wanted.config_kind.or(wanted.class).unwrap_or_default();
        let cluster = self.config.cluster_default.as_ref();
        if let Some(own) = self.config.namespace_defaults.get(namespace) {
            let path = format!("namespaceDefaults.{namespace}");
            let is_default = own.broker_class.as_deref().unwrap_or_default() == class;
            if is_default && own.has_settings() {
                return own.delivery(&path);
            }
            if let Some(found) = own.of_class(class, &path).filter(|_| !is_default) {
                return found;
            }
        }
        let cluster = cluster.filter(|cluster| cluster.has_settings())?;
        let is_default = cluster.broker_class.as_deref() == Some(class);
        match cluster.of_class(class, "clusterDefault") {
            Some(found) if !is_default => found,
            _ => cluster.delivery("clusterDefault"),
        }
    }
}

/// Reads the ConfigMap, if the objects hold it; else nothing is defaulted.
pub(super) fn read<'a>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    findings: &mut Findings,
) -> BrokerDefaults<'a> {
    // Knative lets unknown fields be, and this part of it grows.
    let unknown = |_: &str| Unknown::RefuseTypos;
    let (config, site) = config_map::value(objects, options, &ENTRY, &unknown, findings).unzip();
    BrokerDefaults {
        config: config.unwrap_or_default(),
        site,
    }
}
