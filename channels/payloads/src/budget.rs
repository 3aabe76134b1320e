//! The bound on payload bytes in flight, for the process and for each namespace.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes in flight, bounded. Cloning shares the budget.
#[derive(Debug, Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    total: u64,
    per_namespace: u64,
    settings: Settings,
    used: AtomicU64,
    namespaces: Mutex<HashMap<Arc<str>, Arc<AtomicU64>>>,
}

/// The settings that hold the bounds, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The bound of the process.
    pub total: &'static str,
    /// The bound of one namespace.
    pub per_namespace: &'static str,
}

/// On whose behalf bytes are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// An event from outside: leaves a quarter of the budget free.
    Door,
    /// A reply: may use the whole budget, so that a cycle of steps cannot block itself.
    Reply,
}

/// The budget has no room for what was asked. Nothing was taken; trying again later can succeed unless
/// `asked` is over `limit`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{asked} bytes do not fit: {used} of {limit} bytes are in use (setting {setting})")]
pub struct Full {
    /// Bytes asked for.
    pub asked: u64,
    /// Bytes in use when they were asked for.
    pub used: u64,
    /// The bound that was hit, in bytes.
    pub limit: u64,
    /// The setting that holds the bound.
    pub setting: &'static str,
}

/// A share of the budget. Dropping it gives the bytes back.
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Inner>,
    namespace: Arc<AtomicU64>,
    draw: Draw,
    /// Bytes of the process's bound that are left to others.
    leaving: u64,
    bytes: u64,
}

impl Budget {
    /// A budget of `total` bytes for the process, of which one namespace may hold `per_namespace`; `settings` are
    /// where these come from.
    #[must_use]
    pub fn new(total: u64, per_namespace: u64, settings: Settings) -> Self {
        Self {
            inner: Arc::new(Inner {
                total,
                per_namespace: per_namespace.min(total),
                settings,
                used: AtomicU64::new(0),
                namespaces: Mutex::default(),
            }),
        }
    }

    /// Takes `bytes` for an object of `namespace`.
    ///
    /// # Errors
    /// [`Full`] when the process's or the namespace's bound would be passed.
    pub fn take(&self, namespace: &Arc<str>, draw: Draw, bytes: u64) -> Result<Lease, Full> {
        self.take_leaving(0, namespace, draw, bytes)
    }

    /// The same, but leaves `leaving` bytes of the process's bound to others: for what can also go elsewhere.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_leaving(
        &self,
        leaving: u64,
        namespace: &Arc<str>,
        draw: Draw,
        bytes: u64,
    ) -> Result<Lease, Full> {
        let mut lease = Lease {
            budget: Arc::clone(&self.inner),
            namespace: self.counter(namespace),
            draw,
            leaving,
            bytes: 0,
        };
        lease.grow(bytes)?;
        Ok(lease)
    }

    /// Counts `bytes` that are there already, whatever the bounds say: over them nothing more is taken until enough
    /// of it is given back. For what an earlier process left in a store.
    #[must_use]
    pub fn count(&self, namespace: &Arc<str>, bytes: u64) -> Lease {
        let namespace = self.counter(namespace);
        self.inner.used.fetch_add(bytes, Ordering::Relaxed);
        namespace.fetch_add(bytes, Ordering::Relaxed);
        Lease {
            budget: Arc::clone(&self.inner),
            namespace,
            draw: Draw::Reply,
            leaving: 0,
            bytes,
        }
    }

    /// Bytes in use, for the whole process.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.inner.used.load(Ordering::Relaxed)
    }

    /// The bound of the whole process, in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.inner.total
    }

    /// The bytes in use of one namespace.
    fn counter(&self, namespace: &Arc<str>) -> Arc<AtomicU64> {
        let mut namespaces = self
            .inner
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A namespace that holds nothing needs no entry; this bounds the map by what is in flight.
        if namespaces.len() >= 1024 && !namespaces.contains_key(namespace) {
            namespaces.retain(|_, used| Arc::strong_count(used) > 1);
        }
        Arc::clone(namespaces.entry(Arc::clone(namespace)).or_default())
    }
}

impl Draw {
    /// What of a bound may be used on this behalf.
    fn share(self, bound: u64) -> u64 {
        match self {
            Self::Door => bound - bound / 4,
            Self::Reply => bound,
        }
    }
}

impl Lease {
    /// Takes `more` bytes besides those already held.
    ///
    /// # Errors
    /// [`Full`] as for [`Budget::take`]; what is already held stays held.
    pub fn grow(&mut self, more: u64) -> Result<(), Full> {
        let budget = &self.budget;
        let (limit, per_namespace) = (
            self.draw.share(budget.total).saturating_sub(self.leaving),
            self.draw.share(budget.per_namespace),
        );
        add_within(&budget.used, more, limit).map_err(|used| Full {
            asked: more,
            used,
            limit,
            setting: budget.settings.total,
        })?;
        if let Err(used) = add_within(&self.namespace, more, per_namespace) {
            budget.used.fetch_sub(more, Ordering::Relaxed);
            return Err(Full {
                asked: more,
                used,
                limit: per_namespace,
                setting: budget.settings.per_namespace,
            });
        }
        self.bytes += more;
        Ok(())
    }

    /// As much again, for the same namespace and on the same behalf.
    ///
    /// # Errors
    /// [`Full`].
    pub fn again(&self) -> Result<Self, Full> {
        let mut again = Self {
            budget: Arc::clone(&self.budget),
            namespace: Arc::clone(&self.namespace),
            draw: self.draw,
            leaving: self.leaving,
            bytes: 0,
        };
        again.grow(self.bytes)?;
        Ok(again)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.namespace.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Adds `more` unless the sum would pass `limit`; the error is what was in use.
fn add_within(used: &AtomicU64, more: u64, limit: u64) -> Result<(), u64> {
    let add = |now: u64| now.checked_add(more).filter(|sum| *sum <= limit);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        total: "limits.bytesInFlight",
        per_namespace: "limits.bytesInFlightPerNamespace",
    };

    fn budget(total: u64, per_namespace: u64) -> Budget {
        Budget::new(total, per_namespace, SETTINGS)
    }

    fn ns(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    #[test]
    fn a_lease_gives_back_what_it_holds() {
        let budget = budget(100, 100);
        let mut lease = budget.take(&ns("a"), Draw::Door, 10).unwrap();
        lease.grow(20).unwrap();
        assert_eq!(budget.used(), 30);
        drop(lease);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn the_last_quarter_is_for_replies() {
        let budget = budget(100, 100);
        let held = budget.take(&ns("a"), Draw::Door, 75).unwrap();
        let full = budget.take(&ns("a"), Draw::Door, 1).unwrap_err();
        assert_eq!(
            (full.used, full.limit, full.setting),
            (75, 75, "limits.bytesInFlight")
        );
        let reply = budget.take(&ns("a"), Draw::Reply, 25).unwrap();
        budget.take(&ns("a"), Draw::Reply, 1).unwrap_err();
        drop((held, reply));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_namespace_cannot_take_all() {
        let budget = budget(100, 40);
        let held = budget.take(&ns("a"), Draw::Door, 30).unwrap();
        let full = budget.take(&ns("a"), Draw::Door, 1).unwrap_err();
        assert_eq!(full.setting, "limits.bytesInFlightPerNamespace");
        let reply = budget.take(&ns("a"), Draw::Reply, 10).unwrap();
        budget.take(&ns("a"), Draw::Reply, 1).unwrap_err();
        assert_eq!(budget.used(), 40, "a refused take changes nothing");
        budget.take(&ns("b"), Draw::Door, 30).unwrap();
        drop((held, reply));
        budget.take(&ns("a"), Draw::Reply, 40).unwrap();
    }

    #[test]
    fn what_is_there_already_counts_over_the_bounds() {
        let budget = budget(100, 40);
        let there = budget.count(&ns(""), 120);
        let full = budget.take(&ns("a"), Draw::Reply, 1).unwrap_err();
        assert_eq!((full.used, full.limit), (120, 100));
        drop(there);
        budget.take(&ns("a"), Draw::Reply, 40).unwrap();
    }

    #[test]
    fn what_can_go_elsewhere_leaves_room() {
        let budget = budget(100, 100);
        let take = |draw, bytes| budget.take_leaving(25, &ns("a"), draw, bytes);
        let door = take(Draw::Door, 50).unwrap();
        take(Draw::Door, 1).unwrap_err();
        let reply = take(Draw::Reply, 25).unwrap();
        assert_eq!(take(Draw::Reply, 1).unwrap_err().limit, 75);
        budget.take(&ns("a"), Draw::Reply, 25).unwrap();
        drop((door, reply));
    }

    #[test]
    fn a_sum_that_overflows_is_refused() {
        let budget = budget(u64::MAX, u64::MAX);
        let _held = budget.take(&ns("a"), Draw::Reply, 10).unwrap();
        budget.take(&ns("a"), Draw::Reply, u64::MAX).unwrap_err();
        assert_eq!(budget.used(), 10);
    }

    #[test]
    fn idle_namespaces_are_forgotten() {
        let budget = budget(1 << 20, 1 << 20);
        for i in 0..3000 {
            drop(budget.take(&ns(&format!("ns-{i}")), Draw::Door, 1).unwrap());
        }
        assert!(budget.inner.namespaces.lock().unwrap().len() <= 1024);
    }
}
