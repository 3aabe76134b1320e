//! From a channel to its subscriptions: reads, fans out, acknowledges when every hop is settled.

mod attempt;
mod backoff;
mod by_owner;
mod dead_letter;
mod exchange;
mod for_peers;
mod hop;
mod order;
mod outcome;
mod presentation;
mod reply;
mod structured;
mod tries;

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use towpath_channels::Delivery;
use towpath_config::topology::{ChannelKind, Replicas, Topology};

use crate::state::{Lane, Live, Opened, Served, State};
pub(crate) use for_peers::ForPeers;
use hop::Hop;
pub(crate) use order::InOrder;

/// Puts a new topology in force, whole, and gives each new channel its reader.
pub(crate) async fn put_in_force(state: &Arc<State>, topology: Arc<Topology>, replicas: &Replicas) {
    for opened in state.apply(topology, replicas).await {
        tokio::spawn(read(Arc::clone(state), opened));
    }
}

/// Reads a channel until it is closed and empty. Each message is delivered by a task of its own, so that one
/// in hand holds nobody up.
async fn read(state: Arc<State>, opened: Opened) {
    let Opened {
        key,
        channel,
        mut served,
    } = opened;
    while let Some(delivery) = channel.next().await {
        let live = state.live.load_full();
        // A channel that was removed finishes what it holds as it was last.
        if let Some(hosted) = live.hosted(&key) {
            served = Arc::clone(&hosted.served);
        }
        start(&state, &live, &served, delivery);
    }
}

/// Delivers one message, by a task of its own on this thread.
pub(crate) fn start(
    state: &Arc<State>,
    live: &Arc<Live>,
    served: &Arc<Served>,
    delivery: Delivery,
) {
    let delivering = deliver(
        Arc::clone(state),
        Arc::clone(live),
        Arc::clone(served),
        delivery,
    );
    state.unsettled.spawn(delivering);
}

/// Delivers one message to every subscription that it is for, and acknowledges it when all are settled.
async fn deliver(state: Arc<State>, live: Arc<Live>, served: Arc<Served>, delivery: Delivery) {
    match served.spec.key.kind {
        ChannelKind::Channel => {
            let lanes = served.lanes.iter().filter(|lane| is_for(lane, &delivery));
            fan_out(&state, &live, &served, lanes, &delivery).await;
        }
        ChannelKind::Broker => {
            let attributes = &delivery.message.event.attributes;
            let candidates = served.spec.index.candidates(attributes);
            let lanes = candidates
                .filter_map(|position| served.lanes.get(position))
                .filter(|lane| is_for(lane, &delivery))
                .filter(|lane| lane.spec.filter.matches(attributes, &live.environment));
            fan_out(&state, &live, &served, lanes, &delivery).await;
        }
    }
    delivery.ack();
}

async fn fan_out<'a>(
    state: &'a Arc<State>,
    live: &'a Arc<Live>,
    served: &'a Served,
    mut lanes: impl Iterator<Item = &'a Arc<Lane>>,
    delivery: &Delivery,
) {
    let hop = |lane| Hop {
        state,
        live,
        channel: &served.spec,
        lane,
        message: Arc::clone(&delivery.message),
        settlement: delivery.settlement.clone(),
    };
    match (lanes.next(), lanes.next()) {
        (None, _) => {}
        (Some(only), None) => hop(only).run().await,
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(lanes);
            let mut hops: FuturesUnordered<_> = all.map(|lane| hop(lane).run()).collect();
            while hops.next().await.is_some() {}
        }
    }
}

/// A parked copy is for one subscription; any other message for all that were there when it was published.
fn is_for(lane: &Lane, delivery: &Delivery) -> bool {
    match &delivery.only {
        Some(only) => lane.spec.key == *only,
        None => delivery.sequence >= lane.start,
    }
}
