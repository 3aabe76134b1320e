//! What would become of an event: which subscriptions match and why, and where it would go. Sends nothing.

use std::fmt;

use towpath_config::Compiled;
use towpath_config::topology::{Channel, ChannelKey, Destination, Subscription, Target, Topology};
use towpath_event::Attributes;
use towpath_event::cesql::Environment;

use crate::ingress::{AddressError, resolve};
use crate::routing::{ReplicaTable, choose};

/// What would become of an event at one address, by the code that would do it.
#[derive(Debug)]
pub struct Explained {
    /// The channel or broker that the address names.
    pub channel: ChannelKey,
    /// Each subscription, in order.
    pub subscriptions: Vec<ExplainedSubscription>,
}

/// What one subscription would do with the event.
#[derive(Debug)]
pub struct ExplainedSubscription {
    /// Name of the Subscription or Trigger.
    pub name: String,
    /// Whether it would be delivered.
    pub matches: bool,
    /// The part of the filter that decides, and what it found.
    pub why: String,
    /// Where it would be sent.
    pub subscriber: String,
    /// Where a reply would be sent, if not nowhere.
    pub reply: Option<String>,
    /// Where it would be sent when all attempts have failed, if not nowhere.
    pub dead_letter: Option<String>,
    /// Further attempts after the first.
    pub retry: u32,
}

/// The address names nothing that is hosted here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoSuchAddress(String);

/// Explains what would become of an event with `attributes` that is sent to `address`: the URL of a channel or
/// broker, or its path.
///
/// # Errors
/// [`NoSuchAddress`].
pub fn explain(
    compiled: &Compiled,
    address: &http::Uri,
    attributes: &Attributes,
) -> Result<Explained, NoSuchAddress> {
    let Topology { channels, .. } = &compiled.topology;
    let key =
        resolve(&compiled.topology, address.host(), address.path()).map_err(
            |error| match error {
                AddressError::Unknown(text) => NoSuchAddress(text),
                AddressError::Malformed(text) => NoSuchAddress(text.into()),
            },
        )?;
    let replicas = ReplicaTable::following(&ReplicaTable::default(), &compiled.replicas);
    let environment = compiled.topology.environment();
    let channel = channels.get(&key);
    let subscriptions = channel.map_or_else(Vec::new, |channel| {
        let Channel { subscriptions, .. } = &**channel;
        subscriptions
            .iter()
            .map(|subscription| one(subscription, &replicas, attributes, &environment))
            .collect()
    });
    Ok(Explained {
        channel: key,
        subscriptions,
    })
}

fn one(
    subscription: &Subscription,
    replicas: &ReplicaTable,
    attributes: &Attributes,
    environment: &Environment,
) -> ExplainedSubscription {
    let explanation = subscription.filter.explain(attributes, environment);
    let place = |destination: &Destination| place(destination, replicas);
    ExplainedSubscription {
        name: subscription.name.to_string(),
        matches: explanation.matches,
        why: format!("{}: {}", explanation.part, explanation.reason),
        subscriber: subscription
            .subscriber
            .as_ref()
            .map_or_else(|| "nobody; it is itself the reply".into(), place),
        reply: subscription.reply.as_ref().map(place),
        dead_letter: subscription.dead_letter.as_ref().map(place),
        retry: subscription.delivery.retry,
    }
}

/// The URL, and the replica that the next attempt would go to.
fn place(destination: &Destination, replicas: &ReplicaTable) -> String {
    let url = &destination.url;
    match &destination.target {
        Target::Hosted(key) => format!("{url} ({key}, in this process)"),
        Target::Uri => url.to_string(),
        Target::Service(_) => match choose(replicas, destination) {
            Ok(choice) => format!("{url} (next: {})", choice.endpoint.peer),
            Err(error) => format!("{url} ({error})"),
        },
    }
}

fn attempts(retry: u32) -> String {
    match retry {
        0 => "1 attempt".into(),
        more => format!("{} attempts", u64::from(more) + 1),
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channel,
            subscriptions,
        } = self;
        let matching = subscriptions
            .iter()
            .filter(|subscription| subscription.matches)
            .count();
        writeln!(
            f,
            "{channel}: {matching} of {} subscriptions match",
            subscriptions.len()
        )?;
        for subscription in subscriptions {
            let ExplainedSubscription {
                name,
                matches,
                why,
                subscriber,
                reply,
                dead_letter,
                retry,
            } = subscription;
            let verdict = if *matches {
                "matches"
            } else {
                "does not match"
            };
            writeln!(f, "  {name} {verdict}: {why}")?;
            if *matches {
                writeln!(
                    f,
                    "    to {subscriber}, payload inline, {} at most",
                    attempts(*retry)
                )?;
                if let Some(reply) = reply {
                    writeln!(f, "    reply to {reply}")?;
                }
                if let Some(sink) = dead_letter {
                    writeln!(f, "    dead letters to {sink}")?;
                }
            }
        }
        Ok(())
    }
}
