//! Whether a replica can take hops: refusals and how long they last, failures and ejection, active checks.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use towpath_config::topology::Outlier;

/// How long a replica that refused without `Retry-After` is left alone the first time; twice as long each time in a row.
pub const FIRST_BUSY: Duration = Duration::from_secs(1);

/// The longest without `Retry-After`.
pub const LONGEST_BUSY: Duration = Duration::from_secs(30);

/// The longest that `Retry-After` is believed.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// What active checks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// It answers, or nobody asks.
    #[default]
    Up,
    /// It is alive and says 503: as after a refused hop, it is used only where nothing else can serve.
    Busy,
    /// It does not answer.
    Down,
}

/// What one replica's answers say of it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    health: AtomicU8,
    /// When the refusal came with which the last busy time began.
    refused_nanos: AtomicU64,
    busy_until_nanos: AtomicU64,
    /// Busy times in a row; 0 once a hop succeeded.
    refusals: AtomicU32,
    /// Hops in flight that find out whether a busy time is over.
    probes: AtomicU32,
    /// Failures in a row.
    failures: AtomicU32,
    ejected_until_nanos: AtomicU64,
    /// Ejections in a row.
    ejections: AtomicU32,
}

/// [`Standing`] at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) busy: bool,
    pub(super) down: bool,
    pub(super) ejected: bool,
    pub(super) failures: u32,
}

impl Standing {
    pub(super) fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }

    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            value if value == Health::Down as u8 => Health::Down,
            value if value == Health::Busy as u8 => Health::Busy,
            _ => Health::Up,
        }
    }

    pub(super) fn seen(&self, now_nanos: u64) -> Seen {
        let health = self.health();
        Seen {
            busy: health == Health::Busy || self.is_refusing(now_nanos),
            down: health == Health::Down,
            ejected: now_nanos < self.ejected_until_nanos.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// Its busy time is not over, or one hop is finding out whether it is.
    fn is_refusing(&self, now_nanos: u64) -> bool {
        if self.refusals.load(Ordering::Relaxed) == 0 {
            return false;
        }
        now_nanos < self.busy_until_nanos.load(Ordering::Relaxed)
            || self.probes.load(Ordering::Relaxed) > 0
    }

    /// A hop begins; returns whether it is a probe.
    pub(super) fn begin(&self) -> bool {
        let probe = self.refusals.load(Ordering::Relaxed) > 0;
        if probe {
            self.probes.fetch_add(1, Ordering::Relaxed);
        }
        probe
    }

    /// A hop is over, whatever came of it.
    pub(super) fn end(&self, probe: bool) {
        if probe {
            self.probes.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A hop that began then was served.
    pub(super) fn served(&self, began_nanos: u64, outlier: &Outlier, now_nanos: u64) {
        self.failures.store(0, Ordering::Relaxed);
        // what began before the refusal was admitted by another replica than it is now
        if began_nanos >= self.refused_nanos.load(Ordering::Relaxed) {
            self.refusals.store(0, Ordering::Relaxed);
        }
        let ejections = self.ejections.load(Ordering::Relaxed);
        if ejections > 0 {
            // well for as long as it was out: the next ejection is a first one again
            let well = self
                .ejected_until_nanos
                .load(Ordering::Relaxed)
                .saturating_add(ejection_nanos(outlier, ejections));
            if now_nanos >= well {
                self.ejections.store(0, Ordering::Relaxed);
            }
        }
    }

    /// A hop that began then was refused with 503 or 429.
    pub(super) fn refused(&self, began_nanos: u64, retry_after: Option<Duration>, now_nanos: u64) {
        let refusals = self.refusals.load(Ordering::Relaxed);
        // those that were under way together are refused together: one busy time
        let again = refusals == 0 || began_nanos >= self.refused_nanos.load(Ordering::Relaxed);
        let busy = match retry_after {
            Some(wait) => wait.min(LONGEST_RETRY_AFTER),
            None if again => FIRST_BUSY
                .saturating_mul(1 << refusals.min(16))
                .min(LONGEST_BUSY),
            None => Duration::ZERO,
        };
        self.busy_until_nanos
            .fetch_max(now_nanos.saturating_add(nanos(busy)), Ordering::Relaxed);
        if again {
            self.refused_nanos.store(now_nanos, Ordering::Relaxed);
            self.refusals
                .store(refusals.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// A hop that began then failed.
    pub(super) fn failed(&self, began_nanos: u64, outlier: &Outlier, now_nanos: u64) {
        let until = self.ejected_until_nanos.load(Ordering::Relaxed);
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let limit = outlier.consecutive_failures;
        // what began before it was out says nothing of how it is since
        if limit == 0 || failures < limit || (until > 0 && began_nanos < until && now_nanos < until)
        {
            return;
        }
        let ejections = self.ejections.load(Ordering::Relaxed).saturating_add(1);
        self.ejections.store(ejections, Ordering::Relaxed);
        self.ejected_until_nanos.store(
            now_nanos.saturating_add(ejection_nanos(outlier, ejections)),
            Ordering::Relaxed,
        );
    }
}

fn ejection_nanos(outlier: &Outlier, ejections: u32) -> u64 {
    let out = outlier.base_ejection.saturating_mul(ejections);
    nanos(out.min(outlier.max_ejection))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
