//! Every metric of payload stores: names, units, labels (CONTRACT G1; table in the gateway's README).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts,
    Registry,
};

use crate::{PayloadStore, Swept, Tier, Usage};

/// Bounds in seconds: memory answers in microseconds, a far store in up to seconds.
const SECONDS: [f64; 14] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5,
    10.0,
];
const TIERS: [Tier; 4] = [Tier::Memory, Tier::Node, Tier::Object, Tier::Nats];

/// The metrics of the stores of one gateway. Cloning shares them.
#[derive(Clone)]
pub struct PayloadMetrics {
    inner: Arc<Inner>,
}

struct Inner {
    tiers: HashMap<Tier, TierMetrics>,
    orphans: IntCounterVec,
    spills: IntCounterVec,
    early_misses: IntCounter,
    watched: Watched,
}

/// What is counted for each byte that goes in or out.
#[derive(Clone)]
pub(crate) struct TierMetrics {
    pub(crate) bytes_in: IntCounter,
    pub(crate) bytes_out: IntCounter,
    pub(crate) fetch_seconds: Histogram,
    pub(crate) early_misses: IntCounter,
}

/// Stores whose contents are looked at when metrics are collected.
type Watched = Arc<Mutex<Vec<Arc<dyn PayloadStore>>>>;

impl PayloadMetrics {
    /// Registers everything.
    ///
    /// # Errors
    /// A metric of this name is there already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let bytes = counter(
            "towpath_payload_bytes_total",
            "Bytes that went into payload stores, and that were read from them",
            &["tier", "direction"],
        )?;
        let orphans = counter(
            "towpath_payload_orphans_total",
            "Payloads that a sweep deleted because no message referred to them",
            &["tier"],
        )?;
        let spills = counter(
            "towpath_payload_spills_total",
            "Payloads that went to this store because one before it had no room",
            &["tier"],
        )?;
        let early_misses = IntCounter::new(
            "towpath_payload_early_misses_total",
            "Payloads that were not in their store though a message referred to them; must stay 0",
        )?;
        registry.register(Box::new(early_misses.clone()))?;
        let opts = HistogramOpts::new(
            "towpath_payload_fetch_seconds",
            "Time to the first byte of a payload that is read",
        );
        let fetch_seconds = HistogramVec::new(opts.buckets(SECONDS.into()), &["tier"])?;
        registry.register(Box::new(fetch_seconds.clone()))?;
        let tier = |tier: Tier| {
            let name = tier.as_str();
            TierMetrics {
                bytes_in: bytes.with_label_values(&[name, "in"]),
                bytes_out: bytes.with_label_values(&[name, "out"]),
                fetch_seconds: fetch_seconds.with_label_values(&[name]),
                early_misses: early_misses.clone(),
            }
        };
        let watched = Watched::default();
        registry.register(Box::new(Contents::new(Arc::clone(&watched))?))?;
        Ok(Self {
            inner: Arc::new(Inner {
                tiers: TIERS.map(|each| (each, tier(each))).into(),
                orphans,
                spills,
                early_misses,
                watched,
            }),
        })
    }

    /// Shows what rests in `store` from now on.
    pub fn watch(&self, store: &Arc<dyn PayloadStore>) {
        let mut watched = lock(&self.inner.watched);
        watched.push(Arc::clone(store));
    }

    /// A sweep of a store of this tier deleted orphans.
    pub fn swept(&self, tier: Tier, swept: Swept) {
        let orphans = self.inner.orphans.with_label_values(&[tier.as_str()]);
        orphans.inc_by(swept.objects);
    }

    /// A payload was not there though a message refers to it. [`Stores`](crate::Stores) counts what it sees itself.
    pub fn early_miss(&self) {
        self.inner.early_misses.inc();
    }

    /// A payload went to this tier because one before it had no room.
    pub(crate) fn spilled(&self, tier: Tier) {
        self.inner.spills.with_label_values(&[tier.as_str()]).inc();
    }

    pub(crate) fn tier(&self, tier: Tier) -> Option<&TierMetrics> {
        self.inner.tiers.get(&tier)
    }
}

impl fmt::Debug for PayloadMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadMetrics")
    }
}

fn lock(watched: &Watched) -> std::sync::MutexGuard<'_, Vec<Arc<dyn PayloadStore>>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What rests in the stores, asked for when metrics are collected.
struct Contents {
    watched: Watched,
    objects: GaugeVec,
    bytes: GaugeVec,
    oldest: GaugeVec,
}

impl Contents {
    fn new(watched: Watched) -> prometheus::Result<Self> {
        let gauge = |name, help| GaugeVec::new(Opts::new(name, help), &["tier"]);
        Ok(Self {
            watched,
            objects: gauge("towpath_payload_objects", "Payloads that rest in the store")?,
            bytes: gauge(
                "towpath_payload_stored_bytes",
                "Bytes of the payloads that rest in the store",
            )?,
            oldest: gauge(
                "towpath_payload_oldest_seconds",
                "Age of the oldest payload that rests in the store; 0 if there is none",
            )?,
        })
    }

    fn show(&self, tier: Tier, usage: Usage, now: SystemTime) {
        let age = usage
            .oldest
            .and_then(|oldest| now.duration_since(oldest).ok());
        let age = age.unwrap_or_default().as_secs_f64();
        let of = |gauges: &GaugeVec| -> Gauge { gauges.with_label_values(&[tier.as_str()]) };
        #[allow(
            clippy::cast_precision_loss,
            reason = "gauges are floating point numbers"
        )]
        {
            of(&self.objects).set(usage.objects as f64);
            of(&self.bytes).set(usage.bytes as f64);
        }
        of(&self.oldest).set(age);
    }
}

impl Collector for Contents {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [&self.objects, &self.bytes, &self.oldest];
        gauges.into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut tiers: HashMap<Tier, Usage> = HashMap::new();
        // Cloned: looking into a store must not hold up whoever adds one.
        let stores = lock(&self.watched).clone();
        for store in &stores {
            let (all, usage) = (tiers.entry(store.tier()).or_default(), store.usage());
            all.objects += usage.objects;
            all.bytes += usage.bytes;
            all.oldest = all.oldest.into_iter().chain(usage.oldest).min();
        }
        let now = SystemTime::now();
        for (tier, usage) in tiers {
            self.show(tier, usage, now);
        }
        let gauges = [&self.objects, &self.bytes, &self.oldest];
        gauges.into_iter().flat_map(Collector::collect).collect()
    }
}
