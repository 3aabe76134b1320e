//! A hop's place at a replica: counted while it lasts, waited for in order of arrival where the policy bounds how many there are.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;
use towpath_config::topology::Policy;

use super::choose::NoChoice;
use super::load::{Load, Outcome, Ticket};

/// A replica as hops see it: its load, and who waits for room there.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) load: Arc<Load>,
    queue: Mutex<VecDeque<Waiter>>,
}

/// One hop at a replica. Dropped before its end it was given up.
#[derive(Debug)]
pub(crate) struct Seat {
    slot: Arc<Slot>,
    ticket: Option<Ticket>,
    policy: Arc<Policy>,
    clock: Clock,
}

/// A hop that waits for a place.
#[derive(Debug)]
struct Waiter {
    policy: Arc<Policy>,
    most: NonZeroU32,
    pull_nanos: u64,
    clock: Clock,
    place: oneshot::Sender<Seat>,
}

/// What all loads of a process count from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The moment that it counts from.
    pub(crate) fn began(self) -> Instant {
        self.0
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Slot {
    pub(crate) fn new(load: Load) -> Self {
        Self {
            load: Arc::new(load),
            queue: Mutex::default(),
        }
    }

    /// Takes a place, when there is one.
    ///
    /// # Errors
    /// [`NoChoice::QueueFull`].
    pub(crate) async fn sit(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        pull_nanos: u64,
        clock: Clock,
    ) -> Result<Seat, NoChoice> {
        let Some(most) = policy.replica_concurrency else {
            let ticket = self.load.begin(pull_nanos, clock.now());
            return Ok(self.seat(ticket, policy, clock));
        };
        let place = {
            let mut queue = self.queue();
            if queue.is_empty()
                && let Some(ticket) = self.load.try_begin(most, pull_nanos, clock.now())
            {
                return Ok(self.seat(ticket, policy, clock));
            }
            if !self.load.enqueue(policy.replica_queue) {
                return Err(NoChoice::QueueFull {
                    waiting: self.load.facts(clock.now()).queued,
                    most: policy.replica_queue,
                });
            }
            let (place, granted) = oneshot::channel();
            queue.push_back(Waiter {
                policy: Arc::clone(policy),
                most,
                pull_nanos,
                clock,
                place,
            });
            granted
        };
        // A place may have become free before this hop was in the queue.
        fence(Ordering::SeqCst);
        self.grant();
        let _waits = Waits(&self.load);
        // A waiter is let go of only with a place.
        let closed = NoChoice::QueueFull {
            waiting: 0,
            most: policy.replica_queue,
        };
        place.await.map_err(|_| closed)
    }

    fn seat(self: &Arc<Self>, ticket: Ticket, policy: &Arc<Policy>, clock: Clock) -> Seat {
        Seat {
            slot: Arc::clone(self),
            ticket: Some(ticket),
            policy: Arc::clone(policy),
            clock,
        }
    }

    /// Gives places to those who wait, as long as there are some.
    fn grant(self: &Arc<Self>) {
        while let Some((place, seat)) = self.next() {
            // Who has gone meanwhile gives it back, outside of the lock.
            drop(place.send(seat));
        }
    }

    fn next(self: &Arc<Self>) -> Option<(oneshot::Sender<Seat>, Seat)> {
        let mut queue = self.queue();
        while queue.front().is_some_and(|first| first.place.is_closed()) {
            queue.pop_front();
        }
        let first = queue.front()?;
        let now = first.clock.now();
        let ticket = self.load.try_begin(first.most, first.pull_nanos, now)?;
        let first = queue.pop_front()?;
        let seat = self.seat(ticket, &first.policy, first.clock);
        Some((first.place, seat))
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that waits, counted while this lives.
struct Waits<'a>(&'a Load);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.dequeue();
    }
}

impl Seat {
    /// The whole payload has arrived there.
    pub(crate) fn pulled(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            self.slot.load.pulled(ticket);
        }
    }

    /// The hop is over.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            let (load, now) = (&self.slot.load, self.clock.now());
            load.end(ticket, outcome, &self.policy.outlier, now);
            // Others may wait here under a policy that is not this hop's.
            fence(Ordering::SeqCst);
            if load.is_waited_for() {
                self.slot.grant();
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.finish(Outcome::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn capped(most: u32, queue: u32) -> Arc<Policy> {
        Arc::new(Policy {
            replica_concurrency: NonZeroU32::new(most),
            replica_queue: queue,
            ..Policy::default()
        })
    }

    #[tokio::test]
    async fn places_are_given_in_order_of_arrival() {
        let (slot, policy, clock) = (
            Arc::new(Slot::new(Load::new(None))),
            capped(1, 2),
            Clock::start(),
        );
        let first = slot.sit(&policy, 0, clock).await.unwrap();
        let mut second = Box::pin(slot.sit(&policy, 0, clock));
        let mut third = Box::pin(slot.sit(&policy, 0, clock));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        let full = slot.sit(&policy, 0, clock).await.unwrap_err();
        assert_eq!(
            full,
            NoChoice::QueueFull {
                waiting: 2,
                most: 2
            }
        );
        first.end(Outcome::Served);
        assert!((&mut third).now_or_never().is_none());
        let seat = second.now_or_never().unwrap().unwrap();
        drop(seat);
        let seat = third.now_or_never().unwrap().unwrap();
        assert_eq!(slot.load.facts(0).in_flight, 1);
        drop(seat);
        let facts = slot.load.facts(0);
        assert_eq!((facts.in_flight, facts.queued), (0, 0));
    }

    #[tokio::test]
    async fn who_leaves_the_queue_leaves_no_gap() {
        let (slot, policy, clock) = (
            Arc::new(Slot::new(Load::new(None))),
            capped(1, 9),
            Clock::start(),
        );
        let first = slot.sit(&policy, 0, clock).await.unwrap();
        let mut left = Box::pin(slot.sit(&policy, 0, clock));
        let mut granted = Box::pin(slot.sit(&policy, 0, clock));
        let mut last = Box::pin(slot.sit(&policy, 0, clock));
        for waiting in [&mut left, &mut granted, &mut last] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(left);
        first.end(Outcome::Served);
        // It has its place, and leaves without having seen it.
        drop(granted);
        assert!(last.now_or_never().unwrap().is_ok());
        let facts = slot.load.facts(0);
        assert_eq!((facts.in_flight, facts.queued), (0, 0));
    }
}
