//! The one door into a channel: hop budget, backlog, publish (DESIGN section 13, invariant 1).

use std::sync::Arc;
use std::time::SystemTime;

use towpath_channels::{PublishError, Settlement};
use towpath_config::topology::{Backend, ChannelKey, ChannelKind, OnFull};
use towpath_event::{Event, Message, Origin, PassThrough, TraceContext};

use crate::state::{Hosted, Live, State};
use crate::{broker, delivery};

/// An event that wants to enter a channel, from outside or as a reply, a dead letter or a chained channel.
pub(crate) struct Arrival {
    pub(crate) event: Event,
    pub(crate) headers: PassThrough,
    pub(crate) trace: TraceContext,
    /// Acceptances that may follow from this one.
    pub(crate) hops: u8,
    pub(crate) origin: Option<Origin>,
}

/// Why a channel did not take an event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no {0}")]
    Unknown(ChannelKey),
    #[error("{0}")]
    Publish(#[from] PublishError),
    #[error(
        "the event has entered brokers {limit} times, the limit (attribute knativebrokerttl, setting limits.hops)"
    )]
    Ttl { limit: u8 },
    #[error(
        "subscription {subscription} has {limit} unsettled events, its limit (setting memory.backlog)"
    )]
    Backlog {
        subscription: Arc<str>,
        limit: usize,
    },
    #[error("the sender of the event broke off before its end")]
    SourceBroke,
}

/// Gives `arrival` to the channel `key` of `live`. `settlement` is held until all that follows is over; an
/// async channel lets go of it at once.
pub(crate) async fn accept(
    state: &Arc<State>,
    live: &Arc<Live>,
    key: &ChannelKey,
    arrival: Arrival,
    settlement: Settlement,
) -> Result<(), Refusal> {
    let hosted = live
        .hosted(key)
        .ok_or_else(|| Refusal::Unknown(key.clone()))?;
    let Backend::Memory(memory) = &hosted.served.spec.backend;
    let settlement = if memory.async_handler {
        if memory.on_full == OnFull::Reject {
            check_backlogs(state, hosted)?;
        }
        // Nobody waits for it, except the process when it ends.
        Settlement::held_by(state.unsettled.token())
    } else {
        settlement
    };
    let Arrival {
        mut event,
        headers,
        trace,
        hops,
        origin,
    } = arrival;
    let limit = state.settings.limits.hops;
    if key.kind == ChannelKind::Broker && !broker::enter(&mut event.attributes, limit) {
        return Err(Refusal::Ttl { limit });
    }
    if !memory.cut_through
        && let Some(stored) = event.payload.stored()
    {
        stored.completed().await.map_err(|_| Refusal::SourceBroke)?;
    }
    let message = Message {
        event,
        headers,
        trace,
        hops,
        origin,
        accepted: SystemTime::now(),
    };
    let channel = &hosted.running.channel;
    if let Some(delivery) = channel.publish_in_hand(message, settlement).await? {
        delivery::start(state, live, &hosted.served, delivery);
    }
    Ok(())
}

/// The slowest subscription of an async channel decides whether the channel takes more (DESIGN section 12).
fn check_backlogs(state: &State, hosted: &Hosted) -> Result<(), Refusal> {
    let limit = state.settings.memory.backlog;
    match hosted
        .served
        .lanes
        .iter()
        .find(|lane| lane.backlog() >= limit)
    {
        Some(lane) => Err(Refusal::Backlog {
            subscription: Arc::clone(&lane.spec.name),
            limit,
        }),
        None => Ok(()),
    }
}
