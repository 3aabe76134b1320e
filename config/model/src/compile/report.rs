//! What would run and what would not: the text of `towpath check`.

use std::collections::HashMap;
use std::fmt;

use super::plan::Plan;
use super::{Channels, CompileOptions};
use crate::problem::Problem;
use crate::read::{Objects, Skipped};
use crate::topology::{
    Channel, ChannelKind, Destination, Presentation, Replicas, Subscription, Target,
};

/// What would run, what is skipped, and what a user may not expect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Every channel that is hosted, in the order of namespace and name, and then every broker.
    pub hosted: Vec<Hosted>,
    /// Every Sequence, as `namespace/name`, with the URL of its first channel.
    pub sequences: Vec<(String, String)>,
    /// Every Parallel, as `namespace/name`, with the URL of its input channel.
    pub parallels: Vec<(String, String)>,
    /// Every HopPolicy, as `namespace/name`, with what it is for: `Service demo/first`, say.
    pub policies: Vec<(String, String)>,
    /// Objects that do not run here.
    pub skipped: Vec<Skipped>,
    /// What is legal and may surprise, sorted by file and line.
    pub notes: Vec<Problem>,
}

/// A channel or broker that is hosted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosted {
    /// Kind, namespace and name, as `InMemoryChannel demo/orders`.
    pub object: String,
    /// URL that producers send to.
    pub url: String,
    /// Its subscriptions or Triggers, in the order of their keys.
    pub receivers: Vec<Receiver>,
}

/// A subscription of a hosted channel, or a Trigger of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Name of the Subscription or Trigger, with the namespace of a Trigger that is in another than its Broker.
    pub name: String,
    /// Which events it takes, in short; all if this is absent.
    pub filter: Option<String>,
    /// Where its events go.
    pub subscriber: Option<String>,
    /// Where replies go; they are dropped if this is absent. Not given for Triggers, whose replies go to their Broker.
    pub reply: Option<String>,
    /// Where failed events go; they are dropped if this is absent.
    pub dead_letter: Option<String>,
    /// Further attempts after the first.
    pub retry: u32,
    /// How the subscriber gets payloads that were set aside, by its object or by the settings. `Inline` for one that
    /// is hosted here, which gets no payload at all: it passes on.
    pub presentation: Presentation,
}

pub(super) fn report(
    channels: &Channels,
    plan: &Plan<'_>,
    objects: &Objects,
    options: &CompileOptions,
    notes: Vec<Problem>,
    replicas: &Replicas,
) -> Report {
    let shown = |destination: &Option<Destination>| {
        destination
            .as_ref()
            .map(|destination| show(destination, replicas))
    };
    let filters: HashMap<&str, &str> = plan
        .subscriptions
        .iter()
        .filter_map(|wanted| Some((wanted.key.as_str(), wanted.filter.as_ref()?.1.as_str())))
        .filter(|(_, shown)| !shown.is_empty())
        .collect();
    let name = |channel: &Channel, subscription: &Subscription| {
        if subscription.namespace == channel.key.namespace {
            subscription.name.to_string()
        } else {
            format!("{}/{}", subscription.namespace, subscription.name)
        }
    };
    let hosted = channels
        .values()
        .map(|channel| Hosted {
            object: format!(
                "{} {}/{}",
                channel.object_kind, channel.key.namespace, channel.key.name
            ),
            url: channel.url.to_string(),
            receivers: channel
                .subscriptions
                .iter()
                .map(|subscription| Receiver {
                    name: name(channel, subscription),
                    filter: filters
                        .get(&*subscription.key.0)
                        .map(|shown| (*shown).to_owned()),
                    subscriber: shown(&subscription.subscriber),
                    reply: match channel.key.kind {
                        ChannelKind::Channel => shown(&subscription.reply),
                        ChannelKind::Broker => None,
                    },
                    dead_letter: shown(&subscription.dead_letter),
                    retry: subscription.delivery.retry,
                    presentation: presentation(subscription, options),
                })
                .collect(),
        })
        .collect();
    let flows = |kind: &str| {
        let flows = plan.flows.iter().filter(|(flow, _)| flow.kind == kind);
        flows
            .filter_map(|(flow, key)| {
                let name = format!("{}/{}", flow.namespace, flow.name);
                Some((name, channels.get(key)?.url.to_string()))
            })
            .collect()
    };
    Report {
        hosted,
        sequences: flows("Sequence"),
        parallels: flows("Parallel"),
        policies: Vec::new(),
        skipped: objects.skipped.clone(),
        notes: super::sorted(notes),
    }
}

fn presentation(subscription: &Subscription, options: &CompileOptions) -> Presentation {
    match &subscription.subscriber {
        Some(Destination {
            target: Target::Service(_) | Target::Uri,
            ..
        }) => subscription.presentation.unwrap_or(options.presentation),
        Some(Destination {
            target: Target::Hosted(_),
            ..
        })
        | None => Presentation::Inline,
    }
}

/// URL, and who stands behind it.
fn show(destination: &Destination, replicas: &Replicas) -> String {
    let behind = match &destination.target {
        Target::Hosted(key) => format!(" ({key}, in process)"),
        Target::Service(port) => match replicas
            .by_port
            .get(port)
            .map(|replicas| replicas.ready.len())
        {
            None => " (by DNS)".to_owned(),
            Some(1) => " (1 replica)".to_owned(),
            Some(count) => format!(" ({count} replicas)"),
        },
        Target::Uri
            if destination
                .uri
                .host()
                .is_some_and(|host| destination.url.contains(host)) =>
        {
            String::new()
        }
        Target::Uri => format!(" (sent to {})", destination.uri),
    };
    format!("{}{behind}", destination.url)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, url) in &self.sequences {
            writeln!(f, "Sequence {name} at {url}")?;
        }
        for (name, url) in &self.parallels {
            writeln!(f, "Parallel {name} at {url}")?;
        }
        for channel in &self.hosted {
            writeln!(f, "{} at {}", channel.object, channel.url)?;
            for receiver in &channel.receivers {
                let nobody = "nobody".to_owned();
                writeln!(
                    f,
                    "  {} -> {}",
                    receiver.name,
                    receiver.subscriber.as_ref().unwrap_or(&nobody)
                )?;
                if let Some(filter) = &receiver.filter {
                    writeln!(f, "    filter {filter}")?;
                }
                for (what, to) in [
                    ("reply", &receiver.reply),
                    ("dead letter sink", &receiver.dead_letter),
                ] {
                    if let Some(to) = to {
                        writeln!(f, "    {what} -> {to}")?;
                    }
                }
                if receiver.retry > 0 {
                    writeln!(f, "    retry {}", receiver.retry)?;
                }
                if receiver.presentation != Presentation::Inline {
                    writeln!(f, "    payload {}", receiver.presentation)?;
                }
            }
        }
        for (name, target) in &self.policies {
            writeln!(f, "HopPolicy {name} for {target}")?;
        }
        for skipped in &self.skipped {
            let namespace = skipped.namespace.as_deref();
            let object = crate::read::label(&skipped.kind, namespace, &skipped.name);
            writeln!(f, "skipped: {}:{}: {object}", skipped.file, skipped.line)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
