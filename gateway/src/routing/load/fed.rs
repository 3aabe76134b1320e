//! What the owner of a replica says of it to the gateways that have it as a candidate.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::average::{Average, get, set};

/// How often owners look for changes, in nanoseconds: what they said holds at each of these moments until they say otherwise.
pub const FEED_EVERY_NANOS: u64 = 20_000_000;

/// Share of the newest number in the average of others' hops.
const NEWEST: f64 = 1.0 / 16.0;

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
    ///
    /// [`Facts::service_nanos`]: super::Facts::service_nanos
    pub service_nanos: u64,
    /// [`Facts::slots`] at the owner; 0 if it does not know.
    ///
    /// [`Facts::slots`]: super::Facts::slots
    pub slots: u32,
}

/// What an owner estimates of a replica beyond its [`Feed`]. It changes slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detail {
    /// [`Facts::slots_sure`] at the owner.
    ///
    /// [`Facts::slots_sure`]: super::Facts::slots_sure
    pub slots_sure: bool,
    /// Variance of service times as a share of their squared mean, in thousandths, at least 1; 0 if the owner does not know.
    pub service_spread_permille: u32,
    /// [`Facts::turn_nanos`] at the owner; 0 if it does not know.
    ///
    /// [`Facts::turn_nanos`]: super::Facts::turn_nanos
    pub turn_nanos: u64,
    /// [`Facts::between_nanos`] at the owner; 0 if it does not know.
    ///
    /// [`Facts::between_nanos`]: super::Facts::between_nanos
    pub between_nanos: u64,
}

/// What the feed said last.
#[derive(Debug, Default)]
pub(super) struct Fed {
    /// When; 0 for never, or the feed was lost.
    at_nanos: AtomicU64,
    others: AtomicU32,
    /// Bits of an `f64`: `others`, averaged.
    usual_others: AtomicU64,
    others_pulling_nanos: AtomicU64,
    service_nanos: AtomicU64,
    slots: AtomicU32,
    /// A [`Detail`] came.
    detailed: AtomicBool,
    slots_sure: AtomicBool,
    service_spread_permille: AtomicU32,
    turn_nanos: AtomicU64,
    between_nanos: AtomicU64,
}

impl Fed {
    pub(super) fn take(&self, feed: &Feed, now_nanos: u64) {
        let others = feed.in_flight.saturating_sub(feed.yours);
        let usual = get(&self.usual_others);
        set(
            &self.usual_others,
            usual + (f64::from(others) - usual) * NEWEST,
        );
        self.others.store(others, Ordering::Relaxed);
        self.others_pulling_nanos
            .store(feed.others_pulling_nanos, Ordering::Relaxed);
        self.service_nanos
            .store(feed.service_nanos, Ordering::Relaxed);
        self.slots.store(feed.slots, Ordering::Relaxed);
        self.at_nanos.store(now_nanos.max(1), Ordering::Relaxed);
    }

    pub(super) fn take_detail(&self, detail: &Detail) {
        let Detail {
            slots_sure,
            service_spread_permille,
            turn_nanos,
            between_nanos,
        } = *detail;
        self.detailed.store(true, Ordering::Relaxed);
        self.slots_sure.store(slots_sure, Ordering::Relaxed);
        self.service_spread_permille
            .store(service_spread_permille, Ordering::Relaxed);
        self.turn_nanos.store(turn_nanos, Ordering::Relaxed);
        self.between_nanos.store(between_nanos, Ordering::Relaxed);
    }

    /// Only what this gateway sees counts.
    pub(super) fn lose(&self) {
        let nothing = Feed {
            in_flight: 0,
            yours: 0,
            others_pulling_nanos: 0,
            service_nanos: 0,
            slots: 0,
        };
        self.take(&nothing, 0);
        self.take_detail(&Detail::default());
        self.detailed.store(false, Ordering::Relaxed);
        set(&self.usual_others, 0.0);
        self.at_nanos.store(0, Ordering::Relaxed);
    }

    pub(super) fn at_nanos(&self) -> Option<u64> {
        let at = self.at_nanos.load(Ordering::Relaxed);
        (at > 0).then_some(at)
    }

    /// Hops of other gateways, as said last.
    pub(super) fn others(&self) -> u32 {
        self.others.load(Ordering::Relaxed)
    }

    /// Hops of other gateways as they may be by now: with the time since the owner looked, what it saw gives way to what it
    /// usually sees, and faster the shorter the service is.
    pub(super) fn others_expected(&self, now_nanos: u64) -> f64 {
        let said = f64::from(self.others());
        let (Some(at), Some(service)) = (self.at_nanos(), self.service_nanos()) else {
            return said;
        };
        let age = (now_nanos.saturating_sub(at) % FEED_EVERY_NANOS) as f64;
        // what is left on average of a service that is under way
        let left = service * (1.0 + self.service_spread().unwrap_or(1.0)) / 2.0;
        let usual = get(&self.usual_others);
        usual + (said - usual) * (-age / left).exp()
    }

    pub(super) fn others_pulling_nanos(&self) -> u64 {
        self.others_pulling_nanos.load(Ordering::Relaxed)
    }

    pub(super) fn service_nanos(&self) -> Option<f64> {
        said(self.service_nanos.load(Ordering::Relaxed))
    }

    pub(super) fn slots(&self) -> Option<u32> {
        let slots = self.slots.load(Ordering::Relaxed);
        (slots > 0).then_some(slots)
    }

    /// As said; an owner that says nothing of it is believed.
    pub(super) fn slots_sure(&self) -> bool {
        self.slots_sure.load(Ordering::Relaxed) || !self.detailed.load(Ordering::Relaxed)
    }

    /// As said; that of exponential times where nothing is said of it.
    fn service_spread(&self) -> Option<f64> {
        if !self.detailed.load(Ordering::Relaxed) {
            return Some(1.0);
        }
        let permille = self.service_spread_permille.load(Ordering::Relaxed);
        said(permille.into()).map(|permille| permille / 1e3)
    }

    /// Standard error of the owner's average, as a share of it.
    pub(super) fn service_error(&self) -> Option<f64> {
        self.service_spread().map(Average::error_of)
    }

    pub(super) fn turn_nanos(&self) -> Option<f64> {
        said(self.turn_nanos.load(Ordering::Relaxed))
    }

    pub(super) fn between_nanos(&self) -> Option<f64> {
        said(self.between_nanos.load(Ordering::Relaxed))
    }
}

/// 0 stands for what is not known.
fn said(figure: u64) -> Option<f64> {
    (figure > 0).then_some(figure as f64)
}
