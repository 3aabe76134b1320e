//! Destinations: from what users write to a URL and who stands behind it (A8.3, C4.7).

use std::collections::HashMap;
use std::sync::Arc;

use super::channels::is_channel_kind;
use super::lookup::Lookup;
use super::plan::{Findings, Flow, Plan, PlannedChannel, Site, To, broker_key, channel_key};
use super::urls::{absolute, address, check_certificates, joined, sendable};
use super::{CompileOptions, DANGLES, brokers};
use crate::names;
use crate::objects::{Destination as Written, KReference};
use crate::read::{EVENTING, FLOWS, Objects, group_of};
use crate::topology::{ChannelKey, ChannelKind, Destination, Policy, ServicePort, Target};

/// Resolves destinations against everything that was read.
pub(super) struct Resolver<'a> {
    options: &'a CompileOptions,
    plan: &'a Plan<'a>,
    hosts: &'a HashMap<Arc<str>, ChannelKey>,
    lookup: Lookup<'a>,
    /// What every destination has until a policy says otherwise.
    policy: Arc<Policy>,
}

/// A URL with what comes with it.
#[derive(Debug, Default)]
pub(super) struct Base<'a> {
    pub(super) url: String,
    pub(super) ca_certs: Option<&'a str>,
    pub(super) audience: Option<&'a str>,
    /// Where to send instead, if the settings say so.
    pub(super) instead: Option<&'a str>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        objects: &'a Objects,
        options: &'a CompileOptions,
        plan: &'a Plan<'a>,
        hosts: &'a HashMap<Arc<str>, ChannelKey>,
    ) -> Self {
        Self {
            options,
            plan,
            hosts,
            lookup: Lookup::new(objects, options),
            policy: Arc::default(),
        }
    }

    /// Address of a channel or broker, as Knative publishes it (A6.4, B2.2).
    pub(super) fn url_of(&self, key: &ChannelKey) -> String {
        if key.kind == ChannelKind::Broker {
            return brokers::url(key, self.options);
        }
        let service = names::child_name(&key.name, super::channels::SERVICE_SUFFIX);
        let host = names::service_host(&service, &key.namespace, &self.options.cluster_domain);
        format!("http://{host}")
    }

    /// The channel that a Subscription names. Group and kind must be those of the channel.
    pub(super) fn channel(
        reference: &KReference,
        site: &Site<'_>,
        plan: &Plan<'_>,
        findings: &mut Findings,
    ) -> Option<ChannelKey> {
        let Named {
            group,
            kind,
            name,
            namespace,
        } = named(reference, site, findings)?;
        if !is_channel_kind(group, kind) {
            findings.problem(
                &site.field("kind"),
                format!("{kind} of `{group}` is not a kind of channel"),
            );
            return None;
        }
        let key = channel_key(namespace, name);
        match plan.channels.get(&key) {
            Some(channel)
                if channel
                    .known_as
                    .iter()
                    .any(|known| known.0 == group && known.1 == kind) =>
            {
                Some(key)
            }
            Some(channel) => {
                let message = format!(
                    "{key} is of kind {}, not {kind}; correct the reference",
                    channel.object_kind
                );
                findings.problem(&site.field("kind"), message);
                None
            }
            None => {
                let names = plan
                    .channels
                    .keys()
                    .filter(|key| &*key.namespace == namespace)
                    .map(|key| &*key.name);
                let hint = names::nearest(name, names)
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                findings.problem(
                    site,
                    format!("{DANGLES}: no object {kind} {namespace}/{name} in the files{hint}"),
                );
                None
            }
        }
    }

    /// Resolves a destination; what is wrong is reported, and then there is none.
    pub(super) fn resolve(&self, to: &To<'_>, findings: &mut Findings) -> Option<Destination> {
        match to {
            To::Channel(key) => {
                let base = Base {
                    url: self.url_of(key),
                    ..Base::default()
                };
                let uri = base.url.parse().ok()?;
                Some(self.finish(&base, uri, Target::Hosted(key.clone())))
            }
            To::Url(destination, site) => self.written(destination, site, site, findings),
            To::Written(destination, site) => {
                self.written(destination, site, &site.field("uri"), findings)
            }
        }
    }

    fn written(
        &self,
        to: &Written,
        site: &Site<'_>,
        uri_site: &Site<'_>,
        findings: &mut Findings,
    ) -> Option<Destination> {
        let uri = to.uri.as_deref().filter(|uri| !uri.is_empty());
        let mut base = match (&to.reference, uri) {
            (None, None) => {
                findings.problem(site, "needs a `ref` or a `uri`");
                return None;
            }
            (None, Some(uri)) => Base {
                url: absolute(uri, uri_site, findings)?,
                ..Base::default()
            },
            (Some(reference), uri) => {
                let mut base = self.reference(
                    reference,
                    to.ca_certs.is_some(),
                    &site.field("ref"),
                    findings,
                )?;
                if let Some(uri) = uri {
                    base.url = joined(&base.url, uri, uri_site, findings)?;
                }
                base
            }
        };
        if let Some(ca_certs) = to.ca_certs.as_deref().filter(|pem| !pem.trim().is_empty()) {
            check_certificates(ca_certs, &site.field("CACerts"), findings);
            base.ca_certs = Some(ca_certs);
        }
        base.audience = to
            .audience
            .as_deref()
            .filter(|audience| !audience.is_empty())
            .or(base.audience);
        let place = if uri.is_some() {
            uri_site.clone()
        } else {
            site.field("ref")
        };
        self.target(&base, &place, findings)
    }

    /// URL of the object that a reference names.
    fn reference(
        &self,
        reference: &KReference,
        has_certificates: bool,
        site: &Site<'_>,
        findings: &mut Findings,
    ) -> Option<Base<'_>> {
        let Named {
            group,
            kind,
            name,
            namespace,
        } = named(reference, site, findings)?;
        let setting = format!("{kind}/{namespace}/{name}");
        let instead = self.setting(&setting, findings);
        let hosted = self
            .plan
            .channels
            .contains_key(&channel_key(namespace, name));
        if is_channel_kind(group, kind) && (hosted || instead.is_none()) {
            let key = Self::channel(reference, site, self.plan, findings)?;
            return Some(Base {
                url: self.url_of(&key),
                ..Base::default()
            });
        }
        if let Some(key) = self.entry(group, kind, namespace, name) {
            return Some(Base {
                url: self.url_of(&key),
                ..Base::default()
            });
        }
        if (group, kind) == ("", "Service")
            && (instead.is_some() || self.lookup.has_service(namespace, name))
        {
            let scheme = if has_certificates { "https" } else { "http" };
            let host = names::service_host(name, namespace, &self.options.cluster_domain);
            return Some(Base {
                url: format!("{scheme}://{host}"),
                instead,
                ..Base::default()
            });
        }
        let found = self.lookup.skipped(group, kind, namespace, name);
        let status = found.and_then(|object| object.status.as_ref());
        if let Some(mut base) =
            status.and_then(|status| address(status, reference.address.as_deref()))
        {
            base.url = absolute(&base.url, site, findings)?;
            return Some(Base { instead, ..base });
        }
        if let Some(url) = instead {
            return Some(Base {
                url: absolute(url, site, findings)?,
                ..Base::default()
            });
        }
        let message = self.lookup.nothing(
            group,
            kind,
            namespace,
            name,
            reference.address.as_deref(),
            &self.entries(group, kind, namespace),
        );
        findings.problem(site, message);
        None
    }

    /// Where events enter a Broker, Sequence or Parallel of the files.
    fn entry(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<ChannelKey> {
        match (group, kind) {
            (EVENTING, "Broker") => {
                let key = broker_key(namespace, name);
                self.plan.channels.contains_key(&key).then_some(key)
            }
            (FLOWS, _) => {
                let kind = Flow::KINDS.into_iter().find(|flow| *flow == kind)?;
                let flow = Flow::new(kind, namespace, name);
                self.plan.flows.get(&flow).cloned()
            }
            _ => None,
        }
    }

    /// Names of the Brokers, Sequences or Parallels of a namespace, for hints.
    fn entries(&self, group: &str, kind: &str, namespace: &str) -> Vec<&'a str> {
        match (group, kind) {
            (EVENTING, "Broker") => brokers::names(self.plan, namespace).collect(),
            (FLOWS, _) => {
                let flows = self.plan.flows.keys();
                flows
                    .filter(|flow| flow.kind == kind && flow.namespace == namespace)
                    .map(|flow| flow.name.as_str())
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether the files show an object to be not ready (B4.9).
    pub(super) fn is_unready(&self, group: &str, kind: &str, namespace: &str, name: &str) -> bool {
        let skipped = self.lookup.skipped(group, kind, namespace, name);
        let key = match (group, kind) {
            (EVENTING, "Broker") => broker_key(namespace, name),
            _ => channel_key(namespace, name),
        };
        let known = |channel: &&PlannedChannel<'_>| {
            channel
                .known_as
                .iter()
                .any(|known| known.0 == group && known.1 == kind)
        };
        let hosted = self.plan.channels.get(&key).filter(known);
        let status = skipped
            .and_then(|object| object.status.as_ref())
            .or_else(|| hosted.and_then(|channel| channel.status));
        status.is_some_and(|status| {
            status.conditions.iter().any(|condition| {
                condition.condition_type.as_deref() == Some("Ready")
                    && condition.status.as_deref() == Some("False")
            })
        })
    }

    /// Namespace and name of the Service of the files that a destination's URL means, also where the settings send
    /// elsewhere instead. A channel or broker that is hosted here has none.
    pub(super) fn service_of<'s>(&'s self, to: &'s Destination) -> Option<(&'s str, &'s str)> {
        match &to.target {
            Target::Hosted(_) => None,
            Target::Service(port) => Some((&port.namespace, &port.service)),
            Target::Uri => {
                let url = url::Url::parse(&to.url).ok()?;
                self.lookup
                    .service_of_host(&names::normal_host(url.host_str()?))
            }
        }
    }

    /// Who stands behind a URL.
    fn target(
        &self,
        base: &Base<'_>,
        site: &Site<'_>,
        findings: &mut Findings,
    ) -> Option<Destination> {
        let uri = sendable(&base.url, site, findings)?;
        if let Some(instead) = base.instead {
            return self.instead(base, &uri, instead, site, findings);
        }
        let host = names::normal_host(uri.host().unwrap_or_default());
        let is_https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let default_port = if is_https { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        if let Some(key) = self
            .hosts
            .get(host.as_str())
            .filter(|_| port == default_port)
        {
            if uri
                .path_and_query()
                .is_some_and(|path| path.as_str() != "/")
            {
                findings.problem(
                    site,
                    format!("{key} takes events at the path `/` only (C1.2); leave the path out"),
                );
                return None;
            }
            return Some(self.finish(base, uri, Target::Hosted(key.clone())));
        }
        let path = uri.path().strip_suffix('/').unwrap_or(uri.path());
        let address = (host.clone(), path.to_owned());
        let broker = self.plan.broker_addresses.get(&address);
        if let Some(key) = broker.filter(|_| port == default_port) {
            return Some(self.finish(base, uri, Target::Hosted(key.clone())));
        }
        let by_port = self.setting(&format!("{host}:{port}"), findings);
        if let Some(instead) = by_port.or_else(|| self.setting(&host, findings)) {
            return self.instead(base, &uri, instead, site, findings);
        }
        if let Some((namespace, service)) = self.lookup.service_of_host(&host) {
            if let Some(message) = self.lookup.missing_port(namespace, service, port) {
                findings.problem(site, message);
                return None;
            }
            let port = ServicePort {
                namespace: namespace.into(),
                service: service.into(),
                port,
            };
            return Some(self.finish(base, uri, Target::Service(port)));
        }
        if brokers::is_ingress(&host, self.options) {
            let message = format!(
                "no Broker in the files has the address `{}`, so its host is looked up in DNS",
                base.url
            );
            findings.note(site, message);
        }
        Some(self.finish(base, uri, Target::Uri))
    }

    /// An entry of `addresses`.
    fn setting(&self, key: &str, findings: &mut Findings) -> Option<&'a str> {
        let url = self.options.addresses.get(key)?;
        findings.used_addresses.insert(key.to_owned());
        Some(url)
    }

    /// The URL of the settings, with the path of the original unless it has one of its own.
    fn instead(
        &self,
        base: &Base<'_>,
        uri: &http::Uri,
        instead: &str,
        site: &Site<'_>,
        findings: &mut Findings,
    ) -> Option<Destination> {
        let mut parts = sendable(&absolute(instead, site, findings)?, site, findings)?.into_parts();
        if parts
            .path_and_query
            .as_ref()
            .is_none_or(|path| path.as_str() == "/")
        {
            parts.path_and_query = uri.path_and_query().cloned();
        }
        let uri = http::Uri::from_parts(parts).ok()?;
        Some(self.finish(base, uri, Target::Uri))
    }

    fn finish(&self, base: &Base<'_>, uri: http::Uri, target: Target) -> Destination {
        Destination {
            url: base.url.as_str().into(),
            uri,
            ca_certs: base.ca_certs.map(Into::into),
            audience: base.audience.map(Into::into),
            target,
            policy: Arc::clone(&self.policy),
        }
    }
}

/// A reference with what it must have.
pub(super) struct Named<'r> {
    pub(super) group: &'r str,
    pub(super) kind: &'r str,
    pub(super) name: &'r str,
    pub(super) namespace: &'r str,
}

pub(super) fn named<'r>(
    reference: &'r KReference,
    site: &Site<'r>,
    findings: &mut Findings,
) -> Option<Named<'r>> {
    let given = |text: &'r Option<String>| text.as_deref().filter(|text| !text.is_empty());
    let group = given(&reference.api_version)
        .map(group_of)
        .or(given(&reference.group));
    let (kind, name) = (given(&reference.kind), given(&reference.name));
    for (field, missing) in [
        ("apiVersion", group.is_none()),
        ("kind", kind.is_none()),
        ("name", name.is_none()),
    ] {
        if missing {
            findings.problem(
                &site.field(field),
                "missing; a reference needs apiVersion, kind and name",
            );
        }
    }
    let namespace = given(&reference.namespace).unwrap_or(site.namespace);
    Some(Named {
        group: group?,
        kind: kind?,
        name: name?,
        namespace,
    })
}
