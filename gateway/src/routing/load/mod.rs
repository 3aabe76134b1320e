//! What is known of one replica: what is in flight there, its pace, whether it can take hops. Outlives every snapshot.

mod link;
mod pace;
mod standing;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

pub use link::{ELSEWHERE_BYTES_PER_SECOND, Link, SAME_ZONE_BYTES_PER_SECOND, assumed};
use pace::{Pace, Sample};
use standing::Standing;
pub use standing::{FIRST_BUSY, Health, LONGEST_BUSY, LONGEST_RETRY_AFTER};
use towpath_config::topology::Outlier;

/// The load of one replica (pod and port), shared by every task that sends there. Atomics only: no lock, and nothing on the
/// heap for a hop. Figures that are read together may be of slightly different moments.
///
/// Every moment is in nanoseconds since one start that all loads of the process share; nothing in here reads a clock.
#[derive(Debug)]
pub struct Load {
    /// When it appeared in a gateway that ran already; `None` if it was there from the start.
    known_since_nanos: Option<u64>,
    in_flight: AtomicU32,
    queued: AtomicU32,
    /// Pulls under way, in nanoseconds that they take.
    pulling_nanos: AtomicU64,
    /// When the last hop ended, or the first of those in flight began.
    moved_nanos: AtomicU64,
    pace: Pace,
    standing: Standing,
    fed: Fed,
}

/// What the owner's feed said last.
#[derive(Debug, Default)]
struct Fed {
    /// When; 0 for never, or the feed was lost.
    at_nanos: AtomicU64,
    others: AtomicU32,
    others_pulling_nanos: AtomicU64,
    service_nanos: AtomicU64,
    slots: AtomicU32,
}

/// One hop at a replica. Hand it to [`Load::end`], also when the hop is given up: a ticket that is dropped stays in flight for
/// ever, so keep it in something that ends it when dropped.
#[must_use = "a ticket that is dropped stays in flight for ever: hand it to `Load::end`"]
#[derive(Debug)]
pub struct Ticket {
    began_nanos: u64,
    crowd: u32,
    pull_nanos: u64,
    /// Of `pull_nanos`, what still counts as under way.
    pulling_nanos: u64,
    pulls_before_nanos: u64,
    probe: bool,
}

/// What came of a hop, as far as it says something of the replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered: 2xx, 3xx, or a 4xx that is about the event.
    Served,
    /// It answered 503 or 429, and perhaps when to come again.
    Refused {
        /// `Retry-After`, as a time from now. Believed up to 5 minutes.
        retry_after: Option<Duration>,
    },
    /// Another 5xx, no connection, or a broken one.
    Failed,
    /// No answer in time.
    TimedOut,
    /// Given up for a reason that is not the replica's: the source broke, the gateway ends.
    Abandoned,
}

/// What an owner says of a replica to one gateway that has it as a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feed {
    /// Hops in flight and waiting there, of every gateway.
    pub in_flight: u32,
    /// Those of the gateway that is told.
    pub yours: u32,
    /// Pulls of the other gateways under way, in nanoseconds that they take.
    pub others_pulling_nanos: u64,
    /// [`Facts::service_nanos`] at the owner; 0 if it does not know.
    pub service_nanos: u64,
    /// [`Facts::slots`] at the owner; 0 if it does not know.
    pub slots: u32,
}

/// All of a load that `choose` reads, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Hops in flight there: those of this gateway, and those of others as far as the owner told.
    pub in_flight: u32,
    /// Hops of this gateway that wait because `replica_concurrency` is reached.
    pub queued: u32,
    /// How many hops it serves at once, as estimated. At least 1.
    pub slots: u32,
    /// Nanoseconds in which it serves one hop; `None` if not known.
    pub service_nanos: Option<f64>,
    /// The same, but that a few outliers move it little: what tells a slower replica from one that had a bad moment. `None` if
    /// not known.
    pub typical_nanos: Option<f64>,
    /// Enough hops say so to tell it from chance: one slow hop, to a replica that was just started, is not.
    pub service_is_sure: bool,
    /// Pulls of payloads to it under way, in nanoseconds that they take.
    pub pulling_nanos: u64,
    /// For how long no hop of this gateway has ended there although some are in flight, in nanoseconds; 0 if none is.
    pub stalled_nanos: u64,
    /// It refused a hop or said busy to a check, and nothing says that it is over; or one hop is finding out.
    pub busy: bool,
    /// Active checks say that it does not answer.
    pub down: bool,
    /// It failed too often in a row.
    pub ejected: bool,
    /// Failed hops in a row.
    pub failures: u32,
    /// For how long it has been known, in nanoseconds; `None` if it was there when the gateway started.
    pub age_nanos: Option<u64>,
}

impl Load {
    /// Of a replica that appeared at `known_since_nanos`; `None` for one that was there when the gateway started, which
    /// then has no slow start.
    #[must_use]
    pub fn new(known_since_nanos: Option<u64>) -> Self {
        Self {
            known_since_nanos,
            in_flight: AtomicU32::new(0),
            queued: AtomicU32::new(0),
            pulling_nanos: AtomicU64::new(0),
            moved_nanos: AtomicU64::new(0),
            pace: Pace::new(),
            standing: Standing::default(),
            fed: Fed::default(),
        }
    }

    /// A hop to the replica begins, whose payload takes `pull_nanos` to get there ([`Choice::pull_nanos`]; 0 if nothing is
    /// pulled). Nobody else may be told of it before.
    ///
    /// [`Choice::pull_nanos`]: crate::routing::choose::Choice::pull_nanos
    pub fn begin(&self, pull_nanos: u64, now_nanos: u64) -> Ticket {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.ticket(before, pull_nanos, now_nanos)
    }

    /// As [`Load::begin`], if fewer than `most` hops of this gateway are in flight: however many try at once, no more get
    /// a ticket. `None` means to wait in the replica's queue.
    pub fn try_begin(&self, most: NonZeroU32, pull_nanos: u64, now_nanos: u64) -> Option<Ticket> {
        let room = |in_flight: u32| (in_flight < most.get()).then(|| in_flight + 1);
        let (order, read) = (Ordering::Relaxed, Ordering::Relaxed);
        let before = self.in_flight.fetch_update(order, read, room).ok()?;
        Some(self.ticket(before, pull_nanos, now_nanos))
    }

    fn ticket(&self, before: u32, pull_nanos: u64, now_nanos: u64) -> Ticket {
        if before == 0 {
            self.moved_nanos.store(now_nanos, Ordering::Relaxed);
        }
        let pulls_before = self.pulling_nanos.fetch_add(pull_nanos, Ordering::Relaxed);
        let others = self.fed.others.load(Ordering::Relaxed);
        let others_pull = self.fed.others_pulling_nanos.load(Ordering::Relaxed);
        Ticket {
            began_nanos: now_nanos,
            crowd: before.saturating_add(others).saturating_add(1),
            pull_nanos,
            pulling_nanos: pull_nanos,
            pulls_before_nanos: pulls_before.saturating_add(others_pull),
            probe: self.standing.begin(),
        }
    }

    /// The payload of this hop has arrived at the replica: its pull delays nobody any more.
    pub fn pulled(&self, ticket: &mut Ticket) {
        self.pulling_nanos
            .fetch_sub(ticket.pulling_nanos, Ordering::Relaxed);
        ticket.pulling_nanos = 0;
    }

    /// A hop is over. What came of it takes effect on the next choice.
    pub fn end(&self, mut ticket: Ticket, outcome: Outcome, outlier: &Outlier, now_nanos: u64) {
        self.pulled(&mut ticket);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.moved_nanos.store(now_nanos, Ordering::Relaxed);
        self.standing.end(ticket.probe);
        let began = ticket.began_nanos;
        match outcome {
            Outcome::Served => {
                self.standing.served(began, outlier, now_nanos);
                self.pace.observe(ticket.sample(now_nanos), now_nanos);
            }
            // it takes at least so long: without this a replica that never answers would look like the best
            Outcome::TimedOut => {
                self.standing.failed(began, outlier, now_nanos);
                self.pace.observe(ticket.sample(now_nanos), now_nanos);
            }
            Outcome::Refused { retry_after } => {
                self.standing.refused(began, retry_after, now_nanos);
            }
            // nothing of the pace: who fails at once is not fast
            Outcome::Failed => self.standing.failed(began, outlier, now_nanos),
            Outcome::Abandoned => {}
        }
    }

    /// A hop waits for the replica, if fewer than `most` do; returns whether it may.
    #[must_use]
    pub fn enqueue(&self, most: u32) -> bool {
        let room = |queued: u32| (queued < most).then(|| queued + 1);
        let (order, read) = (Ordering::Relaxed, Ordering::Relaxed);
        self.queued.fetch_update(order, read, room).is_ok()
    }

    /// A hop waits no more.
    pub fn dequeue(&self) {
        let fewer = |queued: u32| queued.checked_sub(1);
        let (order, read) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.queued.fetch_update(order, read, fewer);
    }

    /// A hop waits for the replica.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.queued.load(Ordering::Relaxed) > 0
    }

    /// What active checks say, from now on.
    pub fn set_health(&self, health: Health) {
        self.standing.set_health(health);
    }

    /// What active checks said last.
    #[must_use]
    pub fn health(&self) -> Health {
        self.standing.health()
    }

    /// The owner's newest word. It holds until the next, since only changes are sent, or until [`Load::feed_lost`].
    pub fn feed(&self, feed: &Feed, now_nanos: u64) {
        let others = feed.in_flight.saturating_sub(feed.yours);
        let fed = &self.fed;
        fed.others.store(others, Ordering::Relaxed);
        fed.others_pulling_nanos
            .store(feed.others_pulling_nanos, Ordering::Relaxed);
        fed.service_nanos
            .store(feed.service_nanos, Ordering::Relaxed);
        fed.slots.store(feed.slots, Ordering::Relaxed);
        fed.at_nanos.store(now_nanos.max(1), Ordering::Relaxed);
    }

    /// The owner is gone: only what this gateway sees counts.
    pub fn feed_lost(&self) {
        let fed = &self.fed;
        fed.at_nanos.store(0, Ordering::Relaxed);
        fed.others.store(0, Ordering::Relaxed);
        fed.others_pulling_nanos.store(0, Ordering::Relaxed);
        fed.service_nanos.store(0, Ordering::Relaxed);
        fed.slots.store(0, Ordering::Relaxed);
    }

    /// When the feed last said something; `None` if there is none. For people: a feed that is silent has nothing new.
    #[must_use]
    pub fn fed_nanos(&self) -> Option<u64> {
        let at = self.fed.at_nanos.load(Ordering::Relaxed);
        (at > 0).then_some(at)
    }

    /// Latency that jumps to peaks and decays by the factor e in 10 s, in nanoseconds; 0 if nothing was served yet.
    #[must_use]
    pub fn latency_nanos(&self, now_nanos: u64) -> f64 {
        self.pace.peak_nanos(now_nanos)
    }

    /// All that a choice reads.
    #[must_use]
    pub fn facts(&self, now_nanos: u64) -> Facts {
        let own = self.in_flight.load(Ordering::Relaxed);
        let standing = self.standing.seen(now_nanos);
        let fed_service = self.fed.service_nanos.load(Ordering::Relaxed);
        let fed_slots = self.fed.slots.load(Ordering::Relaxed);
        let stalled = now_nanos.saturating_sub(self.moved_nanos.load(Ordering::Relaxed));
        let pulling = self.pulling_nanos.load(Ordering::Relaxed);
        let others_pulling = self.fed.others_pulling_nanos.load(Ordering::Relaxed);
        Facts {
            in_flight: own.saturating_add(self.fed.others.load(Ordering::Relaxed)),
            queued: self.queued.load(Ordering::Relaxed),
            slots: if fed_slots > 0 {
                fed_slots
            } else {
                self.pace.slots()
            },
            service_nanos: if fed_service > 0 {
                Some(fed_service as f64)
            } else {
                self.pace.service_nanos(now_nanos)
            },
            typical_nanos: if fed_service > 0 {
                Some(fed_service as f64)
            } else {
                self.pace.typical_nanos(now_nanos)
            },
            service_is_sure: fed_service > 0 || self.pace.is_sure(now_nanos),
            pulling_nanos: pulling.saturating_add(others_pulling),
            stalled_nanos: if own > 0 { stalled } else { 0 },
            busy: standing.busy,
            down: standing.down,
            ejected: standing.ejected,
            failures: standing.failures,
            age_nanos: self
                .known_since_nanos
                .map(|since| now_nanos.saturating_sub(since)),
        }
    }
}

impl Ticket {
    fn sample(&self, now_nanos: u64) -> Sample {
        Sample {
            latency_nanos: now_nanos.saturating_sub(self.began_nanos),
            crowd: self.crowd,
            pull_nanos: self.pull_nanos,
            pulls_before_nanos: self.pulls_before_nanos,
        }
    }
}
