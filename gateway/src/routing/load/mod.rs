//! What is known of one replica: what is in flight there, its pace, whether it can take hops. Outlives every snapshot.

mod average;
mod fed;
mod link;
mod pace;
mod slots;
mod standing;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use fed::Fed;
pub use fed::{Detail, FEED_EVERY_NANOS, Feed};
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
    stalled_nanos: u64,
    probe: bool,
}

/// What came of a hop, as far as it says something of the replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered: 2xx, 3xx, or a 4xx that is about the event.
    Served,
    /// It answered 503 or 429, and perhaps when to come again; or nobody took the connection.
    Refused {
        /// `Retry-After`, as a time from now. Believed up to 5 minutes.
        retry_after: Option<Duration>,
    },
    /// Another 5xx, or a connection that broke.
    Failed,
    /// No answer in time.
    TimedOut,
    /// Given up for a reason that is not the replica's: the source broke, the gateway ends.
    Abandoned,
}

/// All of a load that `choose` reads, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Hops in flight there: those of this gateway, and those of others as far as the owner told.
    pub in_flight: u32,
    /// Hops of this gateway that wait because `replica_concurrency` is reached.
    pub queued: u32,
    /// As many as `in_flight`, but what the owner told of others is weighed by how long ago that was.
    pub in_flight_expected: f64,
    /// How many hops it serves at once, as estimated. At least 1; where that is not sure, as many as should be tried.
    pub slots: u32,
    /// Whether both fewer and more hops at once than `slots` were seen.
    pub slots_sure: bool,
    /// Nanoseconds in which it serves one hop; `None` if not known.
    pub service_nanos: Option<f64>,
    /// Standard error of `service_nanos`, as a share of it; `None` after too few hops.
    pub service_error: Option<f64>,
    /// Variance of service times as a share of their squared mean, where this gateway sees every hop; `None` elsewhere.
    pub service_spread: Option<f64>,
    /// Average nanoseconds from one answer to the next while hops wait there; `None` if too few did.
    pub turn_nanos: Option<f64>,
    /// Average nanoseconds from the beginning of one hop there to that of the next; `None` if not known.
    pub between_nanos: Option<f64>,
    /// For how long no hop of this gateway has begun there, in nanoseconds.
    pub since_begun_nanos: u64,
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
            pace: Pace::default(),
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
        self.pace.begin(now_nanos);
        Ticket {
            began_nanos: now_nanos,
            crowd: before.saturating_add(self.fed.others()).saturating_add(1),
            pull_nanos,
            pulling_nanos: pull_nanos,
            pulls_before_nanos: pulls_before.saturating_add(self.fed.others_pulling_nanos()),
            stalled_nanos: now_nanos.saturating_sub(self.moved_nanos.load(Ordering::Relaxed)),
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
        self.fed.take(feed, now_nanos);
    }

    /// What the owner estimates beyond that; it holds as long.
    pub fn feed_detail(&self, detail: &Detail) {
        self.fed.take_detail(detail);
    }

    /// The owner is gone: only what this gateway sees counts.
    pub fn feed_lost(&self) {
        self.fed.lose();
    }

    /// What an owner tells beside the [`Feed`], rounded so that it changes seldom.
    #[must_use]
    pub fn detail(&self, now_nanos: u64) -> Detail {
        let spread = |spread: f64| rounded((spread * 1e3) as u64).max(1) as u32;
        let nanos = |time: Option<f64>| rounded(time.unwrap_or_default() as u64);
        Detail {
            slots_sure: self.pace.slots().is_sure(),
            service_spread_permille: self.pace.spread().map_or(0, spread),
            turn_nanos: nanos(self.pace.turn_nanos(now_nanos)),
            between_nanos: nanos(self.pace.between_nanos(now_nanos)),
        }
    }

    /// When the feed last said something; `None` if there is none. For people: a feed that is silent has nothing new.
    #[must_use]
    pub fn fed_nanos(&self) -> Option<u64> {
        self.fed.at_nanos()
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
        let stalled = now_nanos.saturating_sub(self.moved_nanos.load(Ordering::Relaxed));
        let pulling = self.pulling_nanos.load(Ordering::Relaxed);
        let estimates = self.estimates(now_nanos);
        Facts {
            in_flight: own.saturating_add(self.fed.others()),
            in_flight_expected: f64::from(own) + self.fed.others_expected(now_nanos),
            queued: self.queued.load(Ordering::Relaxed),
            slots: estimates.slots,
            slots_sure: estimates.slots_sure,
            service_nanos: estimates.service_nanos,
            service_error: estimates.service_error,
            service_spread: self.pace.spread().filter(|_| self.fed.at_nanos().is_none()),
            turn_nanos: estimates.turn_nanos,
            between_nanos: self
                .fed
                .between_nanos()
                .or_else(|| self.pace.between_nanos(now_nanos)),
            since_begun_nanos: self.pace.since_begun_nanos(now_nanos),
            pulling_nanos: pulling.saturating_add(self.fed.others_pulling_nanos()),
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

    /// The owner's estimates if it told any, since it sees every hop; else our own.
    fn estimates(&self, now_nanos: u64) -> Estimates {
        let fed = &self.fed;
        let own = self.pace.service(now_nanos);
        let (service_nanos, service_error) = match fed.service_nanos() {
            Some(service) => (Some(service), fed.service_error()),
            None => (own.map(|own| own.mean), own.and_then(|own| own.error)),
        };
        match fed.slots() {
            Some(slots) => Estimates {
                slots,
                slots_sure: fed.slots_sure(),
                service_nanos,
                service_error,
                turn_nanos: fed.turn_nanos(),
            },
            None => Estimates {
                slots: self.pace.slots().to_try(),
                slots_sure: self.pace.slots().is_sure(),
                service_nanos,
                service_error,
                turn_nanos: self.pace.turn_nanos(now_nanos),
            },
        }
    }
}

/// What is estimated of a replica.
struct Estimates {
    slots: u32,
    slots_sure: bool,
    service_nanos: Option<f64>,
    service_error: Option<f64>,
    turn_nanos: Option<f64>,
}

/// The four highest bits of a figure: within 7 %.
fn rounded(figure: u64) -> u64 {
    let dropped = (u64::BITS - figure.leading_zeros()).saturating_sub(4);
    figure >> dropped << dropped
}

impl Ticket {
    fn sample(&self, now_nanos: u64) -> Sample {
        Sample {
            latency_nanos: now_nanos.saturating_sub(self.began_nanos),
            crowd: self.crowd,
            pull_nanos: self.pull_nanos,
            pulls_before_nanos: self.pulls_before_nanos,
            stalled_nanos: self.stalled_nanos,
        }
    }
}
