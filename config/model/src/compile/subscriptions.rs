//! Subscriptions: those of objects (A8), and those that a dump holds in `spec.subscribers` (A2.1).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::CompileOptions;
use super::annotations::Annotations;
use super::owned::Owned;
use super::plan::{
    Findings, Plan, Site, To, Wanted, WantedKind, channel_key, name_of, namespace_of,
};
use super::resolve::Resolver;
use crate::objects::{ChannelImplementation, Destination, SubscriberEntry};
use crate::read::{Object, Objects};
use crate::topology::ChannelKey;

/// Plans the subscriptions of objects and of `spec.subscribers`; those of Sequences and Parallels are planned already.
pub(super) fn plan<'a>(
    objects: &'a Objects,
    options: &'a CompileOptions,
    owned: &Owned<'a>,
    plan: &mut Plan<'a>,
    findings: &mut Findings,
) {
    let mut keys: HashMap<String, Site<'a>> = plan
        .subscriptions
        .iter()
        .map(|wanted| (wanted.key.clone(), wanted.site.clone()))
        .collect();
    for object in &objects.subscriptions {
        let meta = &object.value.metadata;
        let site = Site::new(&object.origin, "Subscription", meta, options);
        let (namespace, name) = (site.namespace, name_of(meta));
        if owned.replaces_subscription(namespace, name) {
            continue;
        }
        let key = format!("Subscription/{namespace}/{name}");
        if let Some(other) = keys.get(&key) {
            // Two objects of one name are reported with all other kinds.
            if other.object != site.object {
                let message = format!(
                    "{} at {} makes a Subscription of this name; rename this one",
                    other.object,
                    other.shown()
                );
                findings.problem(&site.field("metadata.name"), message);
            }
            continue;
        }
        keys.insert(key.clone(), site.clone());
        let spec = &object.value.spec;
        let written = |field: &str, to: &'a Option<Destination>| {
            to.as_ref()
                .map(|to| To::Written(Cow::Borrowed(to), site.field(field)))
        };
        if spec.subscriber.is_none() {
            findings.problem(
                &site.field("spec.subscriber"),
                "missing; a Subscription needs somebody who gets the events",
            );
        }
        let delivery = spec
            .delivery
            .as_ref()
            .map(|delivery| (Cow::Borrowed(delivery), site.field("spec.delivery")));
        let (subscriber, reply) = (
            written("spec.subscriber", &spec.subscriber),
            written("spec.reply", &spec.reply),
        );
        let channel = match &spec.channel {
            Some(channel) => {
                Resolver::channel(channel, &site.field("spec.channel"), plan, findings)
            }
            None => {
                findings.problem(
                    &site.field("spec.channel"),
                    "missing; a Subscription needs a channel",
                );
                None
            }
        };
        plan.subscriptions.push(Wanted {
            key,
            name: name.to_owned(),
            uid: meta.uid.as_deref(),
            // A channel that is not there: references are checked all the same, and nothing is built.
            channel: channel.unwrap_or_else(|| channel_key("", "")),
            filter: None,
            subscriber,
            reply,
            delivery,
            presentation: Annotations::new(&meta.annotations, &site).presentation(findings),
            site,
            kind: WantedKind::Subscription,
            place: None,
        });
    }
    let written = Written::of(plan);
    for object in &objects.implementations {
        let meta = &object.value.metadata;
        if !owned.replaces_channel(
            namespace_of(meta, options),
            name_of(meta),
            &object.value.kind,
        ) {
            entries(object, options, &written, plan, findings);
        }
    }
}

/// Subscriptions that are there as objects, by channel, with UID and name: they win over what was made of them.
struct Written<'a> {
    uids: HashSet<(ChannelKey, &'a str)>,
    names: HashSet<(ChannelKey, String)>,
}

impl<'a> Written<'a> {
    fn of(plan: &Plan<'a>) -> Self {
        let all = &plan.subscriptions;
        Self {
            uids: all
                .iter()
                .filter_map(|wanted| Some((wanted.channel.clone(), wanted.uid?)))
                .collect(),
            names: all
                .iter()
                .map(|wanted| (wanted.channel.clone(), wanted.name.clone()))
                .collect(),
        }
    }

    fn has(&self, channel: &ChannelKey, uid: Option<&str>, name: Option<&str>) -> bool {
        uid.is_some_and(|uid| self.uids.contains(&(channel.clone(), uid)))
            || name.is_some_and(|name| self.names.contains(&(channel.clone(), name.to_owned())))
    }
}

/// Plans the entries of `spec.subscribers`, but for those that are there as objects.
fn entries<'a>(
    object: &'a Object<ChannelImplementation>,
    options: &'a CompileOptions,
    written: &Written<'a>,
    plan: &mut Plan<'a>,
    findings: &mut Findings,
) {
    let channel = &object.value;
    let object_site = Site::new(&object.origin, &channel.kind, &channel.metadata, options);
    let key = channel_key(object_site.namespace, name_of(&channel.metadata));
    let mut seen = HashSet::new();
    for (index, entry) in channel.spec.subscribers.iter().enumerate() {
        let site = object_site.field(&format!("spec.subscribers[{index}]"));
        let uid = entry.uid.as_deref().filter(|uid| !uid.is_empty());
        let name = entry.name.as_deref().filter(|name| !name.is_empty());
        if entry.subscriber_uri.is_none() && entry.reply_uri.is_none() {
            findings.problem(&site, "needs a subscriberUri or a replyUri");
            continue;
        }
        let entry_key = match (uid, name) {
            (Some(uid), _) => uid.to_owned(),
            (None, Some(name)) => format!("Subscription/{}/{name}", site.namespace),
            (None, None) => format!("{}/{}/{}/{index}", channel.kind, site.namespace, key.name),
        };
        if !seen.insert(entry_key.clone()) {
            findings.problem(&site, format!("`{entry_key}` is given twice; keep one"));
            continue;
        }
        if !written.has(&key, uid, name) {
            plan.subscriptions
                .push(entry_wanted(entry, entry_key, name, key.clone(), site));
        }
    }
}

fn entry_wanted<'a>(
    entry: &'a SubscriberEntry,
    key: String,
    name: Option<&str>,
    channel: ChannelKey,
    site: Site<'a>,
) -> Wanted<'a> {
    let to = |field: &str,
              uri: &Option<String>,
              ca_certs: &Option<String>,
              audience: &Option<String>| {
        let uri = uri.clone()?;
        let destination = Destination {
            reference: None,
            uri: Some(uri),
            ca_certs: ca_certs.clone(),
            audience: audience.clone(),
        };
        Some(To::Url(destination, site.field(field)))
    };
    Wanted {
        name: name.unwrap_or(&key).to_owned(),
        uid: entry.uid.as_deref(),
        channel,
        filter: None,
        subscriber: to(
            "subscriberUri",
            &entry.subscriber_uri,
            &entry.subscriber_ca_certs,
            &entry.subscriber_audience,
        ),
        reply: to(
            "replyUri",
            &entry.reply_uri,
            &entry.reply_ca_certs,
            &entry.reply_audience,
        ),
        delivery: entry
            .delivery
            .as_ref()
            .map(|delivery| (Cow::Borrowed(delivery), site.field("delivery"))),
        site,
        key,
        kind: WantedKind::Entry,
        // An entry has no metadata, so only the subscriber's Service can say it.
        presentation: None,
        place: None,
    }
}
