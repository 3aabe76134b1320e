//! The memory channel: a bounded queue in this process.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::Notify;
use towpath_config::topology::SubscriptionKey;
use towpath_event::Message;

use crate::{Channel, Delivery, Position, PublishError, Settle, Settlement};

/// A queue in this process, bounded in messages; their bytes are bounded by whoever publishes.
///
/// As Knative's InMemoryChannel it loses nothing that was acknowledged, because the producer is answered when
/// all is settled; a channel that answers when the message is held (async-handler) passes
/// [`Settlement::none`].
#[derive(Debug, Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_events: usize,
    state: Mutex<State>,
    /// Something can be read, or nothing ever will be.
    readable: Notify,
    /// Closed and empty.
    drained: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Held>,
    /// Messages queued or in the reader's hands.
    unsettled: usize,
    next_sequence: u64,
    subscriptions: BTreeMap<SubscriptionKey, Place>,
    closed: bool,
}

#[derive(Debug, Clone, Default)]
struct Place {
    start: u64,
    parked: u64,
}

#[derive(Debug)]
struct Held {
    message: Arc<Message>,
    sequence: u64,
    only: Option<SubscriptionKey>,
    deliveries: u32,
    settlement: Settlement,
}

impl Memory {
    /// An empty channel that holds at most `max_events` unsettled messages, at least one.
    #[must_use]
    pub fn new(max_events: usize) -> Self {
        let shared = Shared {
            max_events: max_events.max(1),
            state: Mutex::default(),
            readable: Notify::new(),
            drained: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes a message in, still in hand.
    fn take_in(&self, message: Message, settlement: Settlement) -> Result<Held, PublishError> {
        let mut state = self.shared.state();
        if state.closed {
            return Err(PublishError::Closed);
        }
        self.shared.make_room(&mut state)?;
        let sequence = state.next_sequence;
        state.next_sequence += 1;
        Ok(Held {
            message: Arc::new(message),
            sequence,
            only: None,
            deliveries: 0,
            settlement,
        })
    }

    fn put(&self, message: Message, settlement: Settlement) -> Result<(), PublishError> {
        let held = self.take_in(message, settlement)?;
        self.shared.state().queue.push_back(held);
        self.shared.readable.notify_one();
        Ok(())
    }

    fn set_aside(
        &self,
        delivery: &Delivery,
        subscription: &SubscriptionKey,
    ) -> Result<(), PublishError> {
        let mut state = self.shared.state();
        self.shared.make_room(&mut state)?;
        state
            .subscriptions
            .entry(subscription.clone())
            .or_default()
            .parked += 1;
        state.queue.push_back(Held {
            message: Arc::clone(&delivery.message),
            sequence: delivery.sequence,
            only: Some(subscription.clone()),
            deliveries: 0,
            settlement: delivery.settlement.clone(),
        });
        drop(state);
        self.shared.readable.notify_one();
        Ok(())
    }

    fn set_subscriptions(&self, wanted: &[SubscriptionKey]) {
        let kept: HashSet<_> = wanted.iter().collect();
        let mut state = self.shared.state();
        let State {
            subscriptions,
            queue,
            unsettled,
            next_sequence,
            ..
        } = &mut *state;
        subscriptions.retain(|key, _| kept.contains(key));
        for key in wanted {
            subscriptions.entry(key.clone()).or_insert(Place {
                start: *next_sequence,
                parked: 0,
            });
        }
        let before = queue.len();
        queue.retain(|held| {
            held.only
                .as_ref()
                .is_none_or(|only| subscriptions.contains_key(only))
        });
        *unsettled -= before - queue.len();
        self.shared.announce_drained(&state);
    }

    fn take(&self) -> Option<Held> {
        self.shared.state().queue.pop_front()
    }

    fn hand_out(&self, mut held: Held) -> Delivery {
        held.deliveries += 1;
        let message = Arc::clone(&held.message);
        let settlement = held.settlement.clone();
        let (sequence, deliveries, only) = (held.sequence, held.deliveries, held.only.clone());
        let settle = InHand {
            shared: Arc::clone(&self.shared),
            held,
        };
        let delivery = Delivery::new(message, sequence, deliveries, settlement, Box::new(settle));
        match only {
            Some(subscription) => delivery.for_only(subscription),
            None => delivery,
        }
    }
}

impl Channel for Memory {
    fn publish(
        &self,
        message: Message,
        settlement: Settlement,
    ) -> BoxFuture<'_, Result<(), PublishError>> {
        ready(self.put(message, settlement)).boxed()
    }

    fn publish_in_hand(
        &self,
        message: Message,
        settlement: Settlement,
    ) -> BoxFuture<'_, Result<Option<Delivery>, PublishError>> {
        let held = self.take_in(message, settlement);
        ready(held.map(|held| Some(self.hand_out(held)))).boxed()
    }

    fn next(&self) -> BoxFuture<'_, Option<Delivery>> {
        async move {
            loop {
                let readable = self.shared.readable.notified();
                if let Some(held) = self.take() {
                    return Some(self.hand_out(held));
                }
                if self.shared.state().is_drained() {
                    // Wakes the next reader, if there is one, to the same end.
                    self.shared.readable.notify_one();
                    return None;
                }
                readable.await;
            }
        }
        .boxed()
    }

    fn subscribe(
        &self,
        subscriptions: &[SubscriptionKey],
    ) -> BoxFuture<'_, Result<(), PublishError>> {
        self.set_subscriptions(subscriptions);
        ready(Ok(())).boxed()
    }

    fn park(
        &self,
        delivery: &Delivery,
        subscription: &SubscriptionKey,
    ) -> BoxFuture<'_, Result<(), PublishError>> {
        ready(self.set_aside(delivery, subscription)).boxed()
    }

    fn positions(&self) -> BoxFuture<'_, Vec<Position>> {
        let position = |(key, place): (&SubscriptionKey, &Place)| Position {
            subscription: key.clone(),
            start: place.start,
            parked: place.parked,
        };
        ready(
            self.shared
                .state()
                .subscriptions
                .iter()
                .map(position)
                .collect(),
        )
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        {
            let mut state = self.shared.state();
            state.closed = true;
            self.shared.announce_drained(&state);
        }
        async move {
            loop {
                let drained = self.shared.drained.notified();
                if self.shared.state().is_drained() {
                    return;
                }
                drained.await;
            }
        }
        .boxed()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_room(&self, state: &mut State) -> Result<(), PublishError> {
        if state.unsettled >= self.max_events {
            return Err(PublishError::Full {
                held: state.unsettled,
                setting: "memory.maxEvents",
            });
        }
        state.unsettled += 1;
        Ok(())
    }

    fn announce_drained(&self, state: &State) {
        if state.is_drained() {
            self.drained.notify_waiters();
            self.readable.notify_one();
        }
    }
}

impl State {
    fn is_drained(&self) -> bool {
        self.closed && self.unsettled == 0
    }
}

/// A message in the reader's hands.
#[derive(Debug)]
struct InHand {
    shared: Arc<Shared>,
    held: Held,
}

impl Settle for InHand {
    fn ack(self: Box<Self>) {
        let mut state = self.shared.state();
        state.unsettled -= 1;
        if let Some(place) = self
            .held
            .only
            .as_ref()
            .and_then(|only| state.subscriptions.get_mut(only))
        {
            place.parked = place.parked.saturating_sub(1);
        }
        self.shared.announce_drained(&state);
    }

    fn give_back(self: Box<Self>) {
        let Self { shared, held } = *self;
        let mut state = shared.state();
        let gone = held
            .only
            .as_ref()
            .is_some_and(|only| !state.subscriptions.contains_key(only));
        if gone {
            state.unsettled -= 1;
            shared.announce_drained(&state);
            return;
        }
        // At the end, so that a message that always fails holds nobody else up.
        state.queue.push_back(held);
        drop(state);
        shared.readable.notify_one();
    }

    /// A queue in this process hands nothing out twice.
    fn extend(&self) {}
}
