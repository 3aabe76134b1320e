//! The last step: references resolved, deliveries inherited, policies applied, subscriptions in the order of their keys and
//! indexed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use towpath_event::{Filter, FilterIndex};

use super::delivery::{self, Checked};
use super::horizon::Horizons;
use super::plan::{Findings, Plan, PlannedChannel, Site, To, Wanted, WantedKind};
use super::policies::{Merged, Policies};
use super::presentation::{self, Services};
use super::resolve::Resolver;
use super::{Channels, CompileOptions};
use crate::topology::{Channel, ChannelKey, Delivery, Destination, Subscription, SubscriptionKey};

/// What subscriptions are built with.
pub(super) struct Builder<'b, 'p> {
    pub(super) plan: &'p Plan<'p>,
    pub(super) options: &'b CompileOptions,
    pub(super) resolver: &'b Resolver<'p>,
    pub(super) services: &'b Services<'p>,
    pub(super) policies: Policies<'b>,
}

impl<'p> Builder<'_, 'p> {
    /// Resolves and inherits: the channels with their subscriptions.
    pub(super) fn build(&mut self, findings: &mut Findings) -> Channels {
        let Self { plan, resolver, .. } = *self;
        let deliveries: HashMap<&ChannelKey, Checked> = plan
            .channels
            .iter()
            .filter_map(|(key, channel)| {
                let (spec, site) = channel.delivery.as_ref()?;
                Some((key, delivery::check(spec, site, resolver, findings)))
            })
            .collect();
        let mut by_channel: BTreeMap<&ChannelKey, Vec<Arc<Subscription>>> = BTreeMap::new();
        let mut horizons = Horizons::default();
        for wanted in &plan.subscriptions {
            let channel = deliveries.get(&wanted.channel);
            let subscription = self.subscription(wanted, channel, findings);
            let Subscription {
                subscriber,
                reply,
                dead_letter,
                delivery,
                ..
            } = &subscription;
            let legs = [subscriber, reply, dead_letter]
                .into_iter()
                .flatten()
                .count();
            let site = self.site_of_delivery(wanted);
            horizons.check(delivery, legs, site, self.options, findings);
            by_channel
                .entry(&wanted.channel)
                .or_default()
                .push(Arc::new(subscription));
        }
        horizons.note(self.options, findings);
        let build = |(key, channel): (&ChannelKey, &PlannedChannel<'_>)| {
            let mut subscriptions = by_channel.remove(key).unwrap_or_default();
            subscriptions.sort_by(|a, b| a.key.cmp(&b.key));
            let filters = subscriptions
                .iter()
                .map(|subscription| &subscription.filter);
            let channel = Channel {
                key: key.clone(),
                object_kind: channel.object_kind.as_str().into(),
                url: resolver.url_of(key).into(),
                backend: channel.backend.clone(),
                index: FilterIndex::new(filters.enumerate()),
                subscriptions,
            };
            (key.clone(), Arc::new(channel))
        };
        plan.channels.iter().map(build).collect()
    }

    /// Where the delivery spec that counts was written; the object itself if there is none.
    fn site_of_delivery(&self, wanted: &'p Wanted<'p>) -> &'p Site<'p> {
        let of_channel = || {
            let inherits = wanted.kind != WantedKind::Entry;
            let channel = self.plan.channels.get(&wanted.channel);
            channel.filter(|_| inherits)?.delivery.as_ref()
        };
        let spec = wanted.delivery.as_ref().or_else(of_channel);
        spec.map_or(&wanted.site, |(_, site)| site)
    }

    fn subscription(
        &mut self,
        wanted: &Wanted<'_>,
        channel: Option<&Checked>,
        findings: &mut Findings,
    ) -> Subscription {
        let Self {
            resolver, services, ..
        } = *self;
        let policies = &mut self.policies;
        let own = wanted
            .delivery
            .as_ref()
            .map(|(spec, site)| delivery::check(spec, site, resolver, findings));
        let checked = match wanted.kind {
            WantedKind::Subscription => Checked::inherit(own, channel),
            WantedKind::Entry => own.unwrap_or_default(),
            WantedKind::Trigger => Checked::inherit_whole(own, channel),
        };
        // C4.3: that of the channel, or of the Trigger.
        let namespace = match wanted.kind {
            WantedKind::Subscription | WantedKind::Entry => Arc::clone(&wanted.channel.namespace),
            WantedKind::Trigger => wanted.site.namespace.into(),
        };
        let filter = match &wanted.filter {
            Some((filter, _)) => filter.clone(),
            None => Filter::everything(),
        };
        let mut resolve =
            |to: &Option<To<'_>>| to.as_ref().and_then(|to| resolver.resolve(to, findings));
        let subscriber = resolve(&wanted.subscriber);
        let reply = resolve(&wanted.reply);
        let Merged { policy, fields } = policies.of_subscriber(wanted, subscriber.as_ref());
        let mut other = |to: Option<Destination>| {
            to.map(|to| Destination {
                policy: policies.of_other(wanted.site.namespace, &to),
                ..to
            })
        };
        let (reply, dead_letter) = (other(reply), other(checked.dead_letter));
        Subscription {
            key: SubscriptionKey(wanted.key.as_str().into()),
            namespace,
            name: wanted.name.as_str().into(),
            filter,
            presentation: fields.presentation.or_else(|| {
                // Every policy counts before any annotation.
                presentation::of(wanted, subscriber.as_ref(), services, resolver)
            }),
            cut_through: fields.cut_through,
            subscriber: subscriber.map(|subscriber| Destination {
                policy,
                ..subscriber
            }),
            reply,
            dead_letter,
            delivery: Delivery {
                backoff_max: fields.backoff_max,
                order: fields.order.unwrap_or_default(),
                ..checked.delivery
            },
        }
    }
}
