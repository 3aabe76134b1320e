//! What a channel backend can do. The suite (feature `suite`) is its definition.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use towpath_config::topology::SubscriptionKey;
use towpath_event::Message;

use crate::Settlement;

/// A channel: accepts control messages and gives each to its one reader, which delivers it to every
/// subscription that matches.
///
/// At least once: a [`Delivery`] that is dropped, or whose process dies, comes again.
pub trait Channel: fmt::Debug + Send + Sync + 'static {
    /// Takes a message. `Ok` means: as durable as this channel promises. `settlement` is held until all that
    /// follows from the message is over (memory), or dropped once it is stored (durable channels).
    ///
    /// # Errors
    /// [`PublishError`]; the message is not in the channel then.
    fn publish(
        &self,
        message: Message,
        settlement: Settlement,
    ) -> BoxFuture<'_, Result<(), PublishError>>;

    /// Publishes, and may hand the message straight to the caller as if it had read it: then nobody has to be woken.
    /// `None` when it comes from [`next`](Self::next) as any other.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    fn publish_in_hand(
        &self,
        message: Message,
        settlement: Settlement,
    ) -> BoxFuture<'_, Result<Option<Delivery>, PublishError>> {
        Box::pin(async move { self.publish(message, settlement).await.map(|()| None) })
    }

    /// The next message that nobody has in hand; `None` after [`close`](Self::close), when none is left.
    fn next(&self) -> BoxFuture<'_, Option<Delivery>>;

    /// Says which subscriptions there are. A new one starts now (CONTRACT A8.8); one that was there keeps its
    /// position, whatever else about it changed; what was parked for one that is gone is dropped.
    fn subscribe(
        &self,
        subscriptions: &[SubscriptionKey],
    ) -> BoxFuture<'_, Result<(), PublishError>>;

    /// Sets a copy of the message aside for one subscription; it comes again from [`next`](Self::next) with
    /// [`Delivery::only`] set, so that the original can be acknowledged.
    ///
    /// # Errors
    /// [`PublishError`]; the copy was not stored then, and the original must not be acknowledged.
    fn park(
        &self,
        delivery: &Delivery,
        subscription: &SubscriptionKey,
    ) -> BoxFuture<'_, Result<(), PublishError>>;

    /// Where each subscription stands.
    fn positions(&self) -> BoxFuture<'_, Vec<Position>>;

    /// Refuses new messages, lets the reader have what is left, and resolves when everything is settled.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Where a subscription stands in its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Whose position it is.
    pub subscription: SubscriptionKey,
    /// The first sequence number that belongs to it.
    pub start: u64,
    /// Messages parked for it.
    pub parked: u64,
}

/// Why a channel did not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A bound of the channel is reached; trying again later can succeed.
    #[error("the channel holds {held} unsettled events, its limit (setting {setting})")]
    Full {
        /// Messages held.
        held: usize,
        /// The setting that holds the bound.
        setting: &'static str,
    },
    /// The channel is being removed, or the process is ending.
    #[error("the channel is closed")]
    Closed,
}

/// One message in the hands of the reader. Settled once, by consuming it; dropping it means redelivery.
#[derive(Debug)]
pub struct Delivery {
    /// The message. Shared, so that a hop can let go of it as soon as its reply is stored.
    pub message: Arc<Message>,
    /// Place in the channel: grows by one with each message published.
    pub sequence: u64,
    /// Set on a parked copy: the only subscription that it is for.
    pub only: Option<SubscriptionKey>,
    /// How often the backend has handed it out, counting this time.
    pub deliveries: u32,
    /// What the producer waits for.
    pub settlement: Settlement,
    settle: Option<Box<dyn Settle>>,
}

/// What a backend does when a delivery ends. Exactly one of the two is called, once.
pub trait Settle: fmt::Debug + Send + Sync {
    /// The outcome is final everywhere: the message is done with.
    fn ack(self: Box<Self>);
    /// The message comes again.
    fn give_back(self: Box<Self>);
    /// The delivery is alive: do not hand the message to anyone else yet.
    fn extend(&self);
}

impl Delivery {
    /// A delivery made by a backend; `settle` is told how it ended.
    #[must_use]
    pub fn new(
        message: Arc<Message>,
        sequence: u64,
        deliveries: u32,
        settlement: Settlement,
        settle: Box<dyn Settle>,
    ) -> Self {
        Self {
            message,
            sequence,
            only: None,
            deliveries,
            settlement,
            settle: Some(settle),
        }
    }

    /// As a parked copy for `subscription`.
    #[must_use]
    pub fn for_only(mut self, subscription: SubscriptionKey) -> Self {
        self.only = Some(subscription);
        self
    }

    /// Final everywhere: the message leaves the channel.
    pub fn ack(mut self) {
        if let Some(settle) = self.settle.take() {
            settle.ack();
        }
    }

    /// Comes again, as if it had been dropped.
    pub fn give_back(self) {}

    /// Keeps the message in these hands for longer.
    pub fn extend(&self) {
        if let Some(settle) = &self.settle {
            settle.extend();
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle.give_back();
        }
    }
}
