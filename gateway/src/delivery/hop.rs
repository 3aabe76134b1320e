//! One hop: one delivery of one event to one subscription, and the acceptance of its reply.
//!
//! ```text
//!               2xx, no event
//!  subscriber ----------------------------------------> settled
//!    |    |     2xx + event            accepted
//!    |    +--------------------> reply ---------------> settled
//!    | final failure               | final failure
//!    +-----------> dead letter <---+
//!                    |    | accepted
//!                    |    +---------------------------> settled
//!                    | final failure, or there is none
//!                    +--------------------------------> dropped: counted, logged, told to the producer
//! ```
//!
//! Each leg is tried again as the delivery spec says; a reply that fails calls only the reply's destination
//! again (CONTRACT C5.7, I6), and the dead letter is always the original event (C5.8).

use std::sync::Arc;

use towpath_channels::{Failure as Lost, Settlement};
use towpath_config::topology::{self, Backend, ChannelKind, Destination, OnFull};
use towpath_event::{Message, PassThrough};

use super::attempt::Leg;
use super::dead_letter;
use super::outcome::Failure;
use super::reply::Reply;
use crate::state::{Lane, Live, State};

/// Everything that one hop works with.
pub(crate) struct Hop<'a> {
    pub(crate) state: &'a Arc<State>,
    pub(crate) live: &'a Arc<Live>,
    pub(crate) channel: &'a topology::Channel,
    pub(crate) lane: &'a Arc<Lane>,
    pub(crate) message: Arc<Message>,
    pub(crate) settlement: Settlement,
}

/// A leg that failed for good.
struct Failed<'a> {
    failure: Failure,
    /// Whose failure it is: what `knativeerrordest` says.
    at: &'a Destination,
    /// Headers that the dead letter carries: the original's, or after a failed reply the response's (C4.4).
    headers: PassThrough,
}

impl<'a> Hop<'a> {
    /// Runs the hop to its end.
    pub(crate) async fn run(self) {
        let overflow = self.overflow();
        let _counted = self.lane.count();
        let _turn = match self.lane.order() {
            Some(order) => order.turn(&self.message.event.attributes).await,
            None => None,
        };
        let end = match overflow {
            Some(failed) => Err(failed),
            None => self.deliver().await,
        };
        match end {
            Ok(()) => {}
            Err(failed) if failed.failure.gone => {
                tracing::debug!(subscription = %self.lane.spec.key, "the sender of an event broke off before its end");
            }
            Err(failed) => self.give_up(failed).await,
        }
    }

    async fn deliver(&self) -> Result<(), Failed<'a>> {
        let subscription: &'a topology::Subscription = &self.lane.spec;
        let message = &self.message;
        let reply = match &subscription.subscriber {
            Some(to) => {
                let leg = Leg::subscriber(self, to);
                leg.run().await.map_err(|failure| Failed {
                    failure,
                    at: to,
                    headers: message.headers.clone(),
                })?
            }
            // An entry without subscriber passes the event itself on (CONTRACT A8.2).
            None => Some(Reply::of_itself(message)),
        };
        let (Some(reply), Some(to)) = (reply, &subscription.reply) else {
            return Ok(());
        };
        let headers = reply.headers.clone();
        let leg = Leg::reply(self, to, reply);
        let end = match leg {
            Ok(leg) => leg.run().await.map(drop),
            Err(malformed) => Err(malformed),
        };
        end.map_err(|failure| Failed {
            failure,
            at: to,
            headers,
        })
    }

    /// The delivery is for a Trigger.
    pub(crate) fn is_of_broker(&self) -> bool {
        self.channel.key.kind == ChannelKind::Broker
    }

    /// An async channel whose subscription is over its bound, and that dead-letters what is over it.
    fn overflow(&self) -> Option<Failed<'a>> {
        let Backend::Memory(memory) = &self.channel.backend;
        let limit = self.state.settings.memory.backlog;
        let subscription: &'a topology::Subscription = &self.lane.spec;
        let dead_letters = memory.async_handler && memory.on_full == OnFull::DeadLetter;
        if !dead_letters || subscription.dead_letter.is_none() || self.lane.backlog() < limit {
            return None;
        }
        let text = format!(
            "the subscription has {limit} unsettled events, its limit (setting memory.backlog)"
        );
        Some(Failed {
            failure: Failure::ours(503, &text, false),
            at: subscription
                .subscriber
                .as_ref()
                .or(subscription.reply.as_ref())?,
            headers: self.message.headers.clone(),
        })
    }

    /// The dead letter sink has the last word; without one, or when it refuses to the end, the event is lost
    /// for this subscription, and said to be (C6.6, C6.8, I7).
    async fn give_up(&self, failed: Failed<'a>) {
        let Failed {
            failure,
            at,
            headers,
        } = failed;
        let subscription = &*self.lane.spec;
        let code = failure.code;
        let reason = match &subscription.dead_letter {
            None => "no_dead_letter_sink",
            Some(sink) => {
                let event = dead_letter::mark(&self.message.event, at, &failure);
                match Leg::dead_letter(self, sink, event, headers).run().await {
                    Ok(_) => {
                        self.state.metrics.dead_lettered(&self.lane.destination);
                        return;
                    }
                    Err(failure) if failure.gone => return,
                    Err(_) => "dead_letter_sink_failed",
                }
            }
        };
        self.state.metrics.dropped(&self.lane.destination, reason);
        tracing::warn!(
            channel = %self.channel.key,
            subscription = %subscription.key,
            event.id = self.message.event.attributes.id(),
            event.source = self.message.event.attributes.source(),
            code,
            reason,
            "an event was lost for a subscription: its delivery failed and no dead letter sink took it"
        );
        let name = &subscription.name;
        self.settlement.fail(Lost { reason: format!("subscription {name} failed with {code} and has no dead letter sink that took the event") });
    }
}
