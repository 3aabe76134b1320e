//! The default channel: what `Channel` and Sequence use when they have no template (A9.5).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::CompileOptions;
use super::config_map::{self, Entry};
use super::plan::{Findings, Site};
use crate::objects::ChannelTemplate;
use crate::read::{Objects, Unknown};

const ENTRY: Entry = Entry {
    name: "default-ch-webhook",
    key: "default-ch-config",
    holds: "the default channel",
};

/// Templates by namespace, and the one for all others.
#[derive(Debug, Default)]
pub(super) struct Defaults<'a> {
    config: Config,
    built_in: ChannelTemplate,
    /// The ConfigMap's value.
    site: Option<Site<'a>>,
}

impl Defaults<'_> {
    /// The template for channels of a namespace, and where to point if something is wrong with it. References in it
    /// mean objects of the channel's namespace.
    pub(super) fn of<'s>(&'s self, channel: &Site<'s>) -> (&'s ChannelTemplate, Site<'s>) {
        let Config {
            cluster_default,
            namespace_defaults,
        } = &self.config;
        let by_namespace = namespace_defaults
            .get(channel.namespace)
            .map(|template| (template, format!("namespaceDefaults.{}", channel.namespace)));
        let by_cluster = || {
            cluster_default
                .as_ref()
                .map(|template| (template, "clusterDefault".to_owned()))
        };
        match (by_namespace.or_else(by_cluster), &self.site) {
            (Some((template, path)), Some(site)) => (
                template,
                Site {
                    namespace: channel.namespace,
                    ..site.field(&path)
                },
            ),
            _ => (&self.built_in, channel.clone()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    cluster_default: Option<ChannelTemplate>,
    namespace_defaults: BTreeMap<String, ChannelTemplate>,
}

/// Reads the ConfigMap, if the objects hold it; else every default is an InMemoryChannel.
pub(super) fn read<'a>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    findings: &mut Findings,
) -> Defaults<'a> {
    let unknown = |path: &str| {
        // The specification of a channel of any vendor.
        if path.ends_with(".spec") {
            Unknown::Ignore
        } else {
            Unknown::Refuse
        }
    };
    let (config, site) = config_map::value(objects, options, &ENTRY, &unknown, findings).unzip();
    Defaults {
        config: config.unwrap_or_default(),
        built_in: ChannelTemplate {
            api_version: Some("messaging.knative.dev/v1".to_owned()),
            kind: Some("InMemoryChannel".to_owned()),
            ..ChannelTemplate::default()
        },
        site,
    }
}
