//! What would become of an event: which subscriptions match and why, and where it would go. Sends nothing.

use std::collections::HashSet;
use std::fmt;

use towpath_config::topology::{
    Channel, ChannelKey, Destination, Presentation, Subscription, Target, Topology,
};
use towpath_config::{Compiled, Settings};
use towpath_event::Attributes;
use towpath_event::cesql::Environment;

use crate::ingress::{AddressError, resolve};
use crate::routing::{Ask, DataAt, Here, Router, Tried};

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
    /// Where it would be sent, and why to that replica.
    pub subscriber: String,
    /// How the subscriber would get the data.
    pub presentation: Presentation,
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

/// Explains what would become of an event with `attributes` and `size` bytes of data that is sent to `address`: the URL of a
/// channel or broker, or its path. Replicas are chosen as a gateway with these settings would that has just started.
///
/// # Errors
/// [`NoSuchAddress`].
pub fn explain(
    compiled: &Compiled,
    settings: &Settings,
    address: &http::Uri,
    attributes: &Attributes,
    size: u64,
) -> Result<Explained, NoSuchAddress> {
    let Topology { channels, .. } = &compiled.topology;
    let key =
        resolve(&compiled.topology, address.host(), address.path()).map_err(
            |error| match error {
                AddressError::Unknown(text) => NoSuchAddress(text),
                AddressError::Malformed(text) => NoSuchAddress(text.into()),
            },
        )?;
    let router = Router::new(Here::of(settings));
    router.follow(&compiled.replicas, &[], HashSet::new());
    let asked = Asked {
        attributes,
        size,
        router,
        settings,
    };
    let environment = compiled.topology.environment();
    let channel = channels.get(&key);
    let subscriptions = channel.map_or_else(Vec::new, |channel| {
        let Channel { subscriptions, .. } = &**channel;
        subscriptions
            .iter()
            .map(|subscription| asked.one(subscription, &environment))
            .collect()
    });
    Ok(Explained {
        channel: key,
        subscriptions,
    })
}

/// What is asked, by whom.
struct Asked<'a> {
    attributes: &'a Attributes,
    size: u64,
    router: Router,
    settings: &'a Settings,
}

impl Asked<'_> {
    fn one(&self, subscription: &Subscription, environment: &Environment) -> ExplainedSubscription {
        let explanation = subscription.filter.explain(self.attributes, environment);
        let is_bulky = self.size > self.settings.limits.inline_max;
        let wanted = subscription
            .presentation
            .unwrap_or(self.settings.payloads.present);
        let presentation = if is_bulky {
            wanted
        } else {
            Presentation::Inline
        };
        let inline = |destination: &Destination| self.place(destination, Presentation::Inline);
        ExplainedSubscription {
            name: subscription.name.to_string(),
            matches: explanation.matches,
            why: format!("{}: {}", explanation.part, explanation.reason),
            subscriber: subscription.subscriber.as_ref().map_or_else(
                || "nobody; it is itself the reply".into(),
                |subscriber| self.place(subscriber, presentation),
            ),
            presentation,
            reply: subscription.reply.as_ref().map(inline),
            dead_letter: subscription.dead_letter.as_ref().map(inline),
            retry: subscription.delivery.retry,
        }
    }

    /// The URL, the replica that the next attempt would go to, and why to that one.
    fn place(&self, destination: &Destination, presentation: Presentation) -> String {
        let url = &destination.url;
        let ask = Ask {
            origin: None,
            data_at: if self.size > self.settings.limits.inline_max {
                DataAt::Here
            } else {
                DataAt::Event
            },
            size: self.size,
            by_reference: presentation != Presentation::Inline,
        };
        match &destination.target {
            Target::Hosted(key) => format!("{url} ({key}, in this process)"),
            Target::Uri => url.to_string(),
            Target::Service(_) => match self.router.route(destination, &ask, &Tried::new()) {
                Ok(route) => format!(
                    "{url} (next: {}, {}, because {})",
                    route.endpoint.peer,
                    route.placement.as_str().replace('_', " "),
                    route.reason.explain()
                ),
                Err(error) => format!("{url} ({error})"),
            },
        }
    }
}

fn how(presentation: Presentation) -> &'static str {
    match presentation {
        Presentation::Inline => "inline",
        Presentation::Reference => "by reference (URL)",
        Presentation::File => "by reference (file)",
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
                presentation,
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
                    "    to {subscriber}, payload {}, {} at most",
                    how(*presentation),
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
