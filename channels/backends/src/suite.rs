//! The suite that defines a backend: every channel kind passes these checks, against `&dyn Channel`.
//!
//! Each function takes a fresh, empty channel that holds at least 10,000 messages, and panics with what does
//! not hold. A backend's own test calls [`all`] with a way to make such channels.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests, shared by several crates"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use towpath_config::topology::SubscriptionKey;
use towpath_event::{Attributes, Event, Message, PassThrough, Payload, SpecVersion, TraceContext};

use crate::{Channel, Delivery, Failure, PublishError, Settlement};

/// How long the suite waits for something that must happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs every check, each on a channel of its own.
pub async fn all<F>(mut make: F)
where
    F: FnMut() -> BoxFuture<'static, Arc<dyn Channel>>,
{
    delivers_in_order_with_growing_sequence(&*make().await).await;
    redelivers_what_is_dropped_or_given_back(&*make().await).await;
    hands_over_what_is_published_in_hand_once(&*make().await).await;
    one_message_in_hand_holds_nobody(&*make().await).await;
    positions_survive_edits(&*make().await).await;
    parks_for_one_subscription(&*make().await).await;
    drops_what_was_parked_for_one_that_is_gone(&*make().await).await;
    closes_and_drains(make().await).await;
    settlement_follows_the_message(&*make().await).await;
    loses_nothing_over_many_give_backs(&*make().await).await;
}

/// Messages come in the order in which they were published, numbered upwards, with their content.
pub async fn delivers_in_order_with_growing_sequence(channel: &dyn Channel) {
    for i in 0..10 {
        publish(channel, i).await;
    }
    let mut last = None;
    for i in 0..10 {
        let delivery = next(channel).await;
        assert_eq!(number(&delivery), i);
        assert_eq!(delivery.message.event.payload.to_bytes().unwrap(), body(i));
        assert_eq!((delivery.deliveries, &delivery.only), (1, &None));
        assert!(last < Some(delivery.sequence), "sequence numbers grow");
        last = Some(delivery.sequence);
        delivery.ack();
    }
    assert_empty(channel);
}

/// A delivery that is dropped or given back comes again and is counted; one that is acknowledged does not.
pub async fn redelivers_what_is_dropped_or_given_back(channel: &dyn Channel) {
    publish(channel, 1).await;
    drop(next(channel).await);
    next(channel).await.give_back();
    let third = next(channel).await;
    assert_eq!((number(&third), third.deliveries), (1, 3));
    third.extend();
    third.ack();
    assert_empty(channel);
}

/// What is published in hand comes once: to the publisher, or to the reader; given back, it comes to the reader.
pub async fn hands_over_what_is_published_in_hand_once(channel: &dyn Channel) {
    publish(channel, 0).await;
    let published = within(channel.publish_in_hand(message(1), Settlement::none())).await;
    let queued = next(channel).await;
    assert_eq!(number(&queued), 0);
    let in_hand = match published.unwrap() {
        Some(delivery) => delivery,
        None => next(channel).await,
    };
    assert_eq!((number(&in_hand), in_hand.deliveries), (1, 1));
    assert!(queued.sequence < in_hand.sequence);
    assert_empty(channel);
    in_hand.give_back();
    let again = next(channel).await;
    assert_eq!((number(&again), again.deliveries), (1, 2));
    again.ack();
    queued.ack();
    assert_empty(channel);
}

/// A message that stays in hand does not keep later ones from the reader.
pub async fn one_message_in_hand_holds_nobody(channel: &dyn Channel) {
    publish(channel, 0).await;
    let slow = next(channel).await;
    for i in 1..=100 {
        publish(channel, i).await;
        let delivery = next(channel).await;
        assert_eq!(number(&delivery), i);
        delivery.ack();
    }
    assert_eq!(number(&slow), 0);
    slow.ack();
}

/// A subscription starts at now and keeps its position however the set around it is edited.
pub async fn positions_survive_edits(channel: &dyn Channel) {
    let (a, b) = (key("a"), key("b"));
    channel.subscribe(std::slice::from_ref(&a)).await.unwrap();
    publish(channel, 0).await;
    let first = start(channel, &a).await;
    channel.subscribe(&[b.clone(), a.clone()]).await.unwrap();
    publish(channel, 1).await;
    channel.subscribe(&[a.clone(), b.clone()]).await.unwrap();

    assert_eq!(
        start(channel, &a).await,
        first,
        "an edit keeps the position"
    );
    let (zero, one) = (next(channel).await, next(channel).await);
    assert!(
        zero.sequence >= first,
        "what was published after a subscription belongs to it"
    );
    let later = start(channel, &b).await;
    assert!(
        zero.sequence < later && one.sequence >= later,
        "a new subscription starts at now"
    );
    zero.ack();
    one.ack();
}

/// A parked copy comes again for its subscription only, and outlives the original.
pub async fn parks_for_one_subscription(channel: &dyn Channel) {
    let (slow, other) = (key("slow"), key("other"));
    channel
        .subscribe(&[slow.clone(), other.clone()])
        .await
        .unwrap();
    publish(channel, 7).await;
    let original = next(channel).await;
    channel.park(&original, &slow).await.unwrap();
    original.ack();

    assert_eq!(parked(channel, &slow).await, 1);
    let copy = next(channel).await;
    assert_eq!((number(&copy), copy.only.as_ref()), (7, Some(&slow)));
    copy.give_back();
    let again = next(channel).await;
    assert_eq!((again.only.as_ref(), again.deliveries), (Some(&slow), 2));
    again.ack();
    assert_eq!(parked(channel, &slow).await, 0);
    assert_empty(channel);
}

/// Parked copies of a subscription that is removed go with it; others stay.
pub async fn drops_what_was_parked_for_one_that_is_gone(channel: &dyn Channel) {
    let (gone, stays) = (key("gone"), key("stays"));
    channel
        .subscribe(&[gone.clone(), stays.clone()])
        .await
        .unwrap();
    publish(channel, 1).await;
    let original = next(channel).await;
    channel.park(&original, &gone).await.unwrap();
    channel.park(&original, &stays).await.unwrap();
    original.ack();
    channel
        .subscribe(std::slice::from_ref(&stays))
        .await
        .unwrap();
    let copy = next(channel).await;
    assert_eq!(copy.only.as_ref(), Some(&stays));
    copy.ack();
    assert_empty(channel);
}

/// After close nothing more is taken, what is there can be finished, and close then resolves.
pub async fn closes_and_drains(channel: Arc<dyn Channel>) {
    publish(&*channel, 1).await;
    publish(&*channel, 2).await;
    let in_hand = next(&*channel).await;
    let mut closing = channel.close();
    assert!(
        (&mut closing).now_or_never().is_none(),
        "not drained while a message is in hand"
    );
    let refused = channel.publish(message(3), Settlement::none()).await;
    assert_eq!(refused, Err(PublishError::Closed));
    next(&*channel).await.ack();
    in_hand.give_back();
    let again = next(&*channel).await;
    assert_eq!(
        number(&again),
        1,
        "what is given back while closing still comes again"
    );
    again.ack();
    within(closing).await;
    assert!(within(channel.next()).await.is_none());
    assert!(
        within(channel.next()).await.is_none(),
        "and stays at its end"
    );
}

/// The producer is answered when the message is settled (or, on a durable channel, stored), never before
/// it is published, and hears of a failure.
pub async fn settlement_follows_the_message(channel: &dyn Channel) {
    let (settlement, settled) = Settlement::new();
    within(channel.publish(message(1), settlement))
        .await
        .unwrap();
    drop(next(channel).await);
    let delivery = next(channel).await;
    delivery.settlement.fail(Failure {
        reason: "no dead letter sink".into(),
    });
    let waits = delivery.settlement.clone();
    delivery.ack();
    drop(waits);
    // A durable channel has let go at publish: then the producer was answered with success.
    if let Err(failure) = within(settled).await {
        assert_eq!(failure.reason, "no dead letter sink");
    }
}

/// 10,000 messages, one in three given back at random, several at a time in hand: each is acknowledged once,
/// none is lost.
pub async fn loses_nothing_over_many_give_backs(channel: &dyn Channel) {
    const MESSAGES: u64 = 10_000;
    let mut random = fastrand::Rng::with_seed(7);
    for i in 0..MESSAGES {
        publish(channel, i).await;
    }
    let mut in_hand = Vec::new();
    let mut seen = BTreeSet::new();
    let mut deliveries: BTreeMap<u64, u32> = BTreeMap::new();
    while (seen.len() as u64) < MESSAGES {
        while in_hand.len() < 16
            && (in_hand.len() + seen.len()) < usize::try_from(MESSAGES).unwrap()
        {
            in_hand.push(next(channel).await);
        }
        let delivery = in_hand.swap_remove(random.usize(..in_hand.len()));
        let (number, count) = (number(&delivery), delivery.deliveries);
        assert_eq!(
            deliveries.insert(number, count).unwrap_or(0) + 1,
            count,
            "deliveries are counted"
        );
        match random.u8(..6) {
            0 => delivery.give_back(),
            1 => drop(delivery),
            _ => {
                assert!(
                    seen.insert(number),
                    "{number} came again after it was acknowledged"
                );
                delivery.ack();
            }
        }
    }
    assert!(
        deliveries.values().any(|count| *count > 1),
        "the test gave something back"
    );
    assert_empty(channel);
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("the channel answers within the suite's deadline")
}

async fn publish(channel: &dyn Channel, i: u64) {
    within(channel.publish(message(i), Settlement::none()))
        .await
        .unwrap();
}

async fn next(channel: &dyn Channel) -> Delivery {
    within(channel.next()).await.expect("the channel is open")
}

fn assert_empty(channel: &dyn Channel) {
    assert!(
        channel.next().now_or_never().is_none(),
        "nothing is left to read"
    );
}

async fn start(channel: &dyn Channel, of: &SubscriptionKey) -> u64 {
    let positions = within(channel.positions()).await;
    positions
        .iter()
        .find(|p| p.subscription == *of)
        .expect("the subscription has a position")
        .start
}

async fn parked(channel: &dyn Channel, of: &SubscriptionKey) -> u64 {
    let positions = within(channel.positions()).await;
    positions
        .iter()
        .find(|p| p.subscription == *of)
        .expect("the subscription has a position")
        .parked
}

fn key(name: &str) -> SubscriptionKey {
    SubscriptionKey(Arc::from(format!("Subscription/default/{name}")))
}

fn body(i: u64) -> Vec<u8> {
    format!("payload of {i}").into_bytes()
}

fn message(i: u64) -> Message {
    let attributes = Attributes::new(
        SpecVersion::V10,
        i.to_string(),
        "/suite",
        "dev.towpath.suite",
    )
    .unwrap();
    Message {
        event: Event::new(attributes, Payload::from(body(i))),
        headers: PassThrough::default(),
        trace: TraceContext::root(),
        hops: 255,
        origin: None,
        accepted: SystemTime::UNIX_EPOCH,
    }
}

fn number(delivery: &Delivery) -> u64 {
    delivery.message.event.attributes.id().parse().unwrap()
}
