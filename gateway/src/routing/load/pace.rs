//! What the time that hops take says of a replica: how long it serves one, how many it serves at once, its peaks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Share of the newest hop in the average service time, once there were as many.
const SERVICE_HOPS: u32 = 32;

/// A service time of fewer hops may be chance.
const SURE_HOPS: u32 = 8;

/// A service time that no hop confirmed for so long tells its replica from others no more: one that was slow once, because
/// all came to it, would else never be asked again. What comes then counts for more than what was before.
const SURE_NANOS: u64 = 1_000_000_000;

/// A service time that no hop confirmed for so long is not known any more: what it says of then may not hold now.
const SERVICE_KEPT_NANOS: u64 = 10_000_000_000;

/// Latency falls from a peak by the factor e in so long.
const PEAK_DECAY_NANOS: f64 = 10e9;

/// The least numbers in flight of the classes in which hops are compared; two for each octave, the last is open.
const CROWDS: [u32; 18] = [
    1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512,
];

/// Hops of a class that make it evidence.
const EVIDENCE: u32 = 8;

/// Hops of a class that count at most: its average follows changes.
const MOST_WEIGHT: u32 = 64;

/// Evidence that nothing confirmed for so long is forgotten: then it is tried again.
const EVIDENCE_KEPT_SECONDS: u32 = 60;

/// How much worse than the best the fit of a larger number of slots may be to be preferred. Slots that are believed in
/// are used, and so confirmed or not; those that are not believed in are never seen.
const OPTIMISM: f64 = 1.0;

/// Estimates of one replica. Written by every hop that ends; updates that race lose one another, which an average bears.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bits of an `f64`, nanoseconds; 0 if not known.
    service: AtomicU64,
    /// Bits of an `f64`: the average of the logarithms, which a few outliers move little.
    service_ln: AtomicU64,
    served: AtomicU32,
    sampled_nanos: AtomicU64,
    slots: AtomicU32,
    classes: [AtomicU64; CROWDS.len()],
    /// Bits of an `f64`, nanoseconds.
    peak: AtomicU64,
    peak_nanos: AtomicU64,
}

/// A hop that has ended, for the estimates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) latency_nanos: u64,
    /// In flight there when it began, itself included.
    pub(super) crowd: u32,
    /// Time in which its own payload was pulled.
    pub(super) pull_nanos: u64,
    /// Pulls of others that were under way when it began.
    pub(super) pulls_before_nanos: u64,
}

/// How long hops took that began with about so many in flight, as logarithms: heavy tails weigh less.
#[derive(Debug, Clone, Copy, Default)]
struct Class {
    mean_ln: f32,
    hops: u32,
    seconds: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            service: AtomicU64::new(0),
            service_ln: AtomicU64::new(0),
            served: AtomicU32::new(0),
            sampled_nanos: AtomicU64::new(0),
            slots: AtomicU32::new(1),
            classes: [const { AtomicU64::new(0) }; CROWDS.len()],
            peak: AtomicU64::new(0),
            peak_nanos: AtomicU64::new(0),
        }
    }

    /// Nanoseconds that the replica serves one hop; `None` if not known.
    pub(super) fn service_nanos(&self, now_nanos: u64) -> Option<f64> {
        let service = f64::from_bits(self.service.load(Ordering::Relaxed));
        (service > 0.0 && self.age(now_nanos) <= SERVICE_KEPT_NANOS).then_some(service)
    }

    /// Nanoseconds that one hop typically takes, whatever a few outliers took; `None` if not known.
    pub(super) fn typical_nanos(&self, now_nanos: u64) -> Option<f64> {
        self.service_nanos(now_nanos)?;
        Some(f64::from_bits(self.service_ln.load(Ordering::Relaxed)).exp())
    }

    /// Enough hops were served for the service time to be more than chance.
    pub(super) fn is_sure(&self, now_nanos: u64) -> bool {
        self.served.load(Ordering::Relaxed) >= SURE_HOPS && self.age(now_nanos) <= SURE_NANOS
    }

    /// Since the last hop that was served, in nanoseconds.
    fn age(&self, now_nanos: u64) -> u64 {
        now_nanos.saturating_sub(self.sampled_nanos.load(Ordering::Relaxed))
    }

    /// How many hops the replica serves at once. At least 1; one more than is known where it was never tried.
    pub(super) fn slots(&self) -> u32 {
        self.slots.load(Ordering::Relaxed)
    }

    /// Latency that jumps to peaks and decays, in nanoseconds.
    pub(super) fn peak_nanos(&self, now_nanos: u64) -> f64 {
        let peak = f64::from_bits(self.peak.load(Ordering::Relaxed));
        peak * self.kept(now_nanos)
    }

    /// Share of the peak that is left.
    fn kept(&self, now_nanos: u64) -> f64 {
        let age = now_nanos.saturating_sub(self.peak_nanos.load(Ordering::Relaxed));
        (-(age as f64) / PEAK_DECAY_NANOS).exp()
    }

    pub(super) fn observe(&self, sample: Sample, now_nanos: u64) {
        self.observe_peak(sample.latency_nanos as f64, now_nanos);
        let work = self.observe_service(sample, now_nanos);
        let class = self.observe_class(sample.crowd, work, now_nanos);
        // a class that has just become evidence may add a slot at once
        if class.hops.is_multiple_of(EVIDENCE) {
            self.fit(now_nanos);
        }
    }

    fn observe_peak(&self, latency_nanos: f64, now_nanos: u64) {
        let kept = self.kept(now_nanos);
        let peak = f64::from_bits(self.peak.load(Ordering::Relaxed)) * kept;
        let next = if latency_nanos > peak {
            latency_nanos
        } else {
            peak * kept + latency_nanos * (1.0 - kept)
        };
        self.peak.store(next.to_bits(), Ordering::Relaxed);
        self.peak_nanos.store(now_nanos, Ordering::Relaxed);
    }

    /// Averages what the hop alone took: of `n` in flight on `slots`, each stands for `slots / n` of the time. Returns its
    /// latency without pulls, in nanoseconds.
    fn observe_service(&self, sample: Sample, now_nanos: u64) -> f64 {
        let latency = sample.latency_nanos.max(1) as f64;
        let (slots, crowd) = (f64::from(self.slots()), f64::from(sample.crowd.max(1)));
        let pulls = sample.pull_nanos as f64 + sample.pulls_before_nanos as f64 / slots;
        // what is assumed of a link may be wrong: something is left for the replica
        let work = (latency - pulls).max(latency / 16.0);
        let service = work * slots / crowd.max(slots);
        let known = f64::from_bits(self.service.load(Ordering::Relaxed));
        let served = match self.served.load(Ordering::Relaxed) {
            served if self.age(now_nanos) > SURE_NANOS => served.min(SURE_HOPS / 2),
            served => served,
        };
        let served = served.saturating_add(1);
        let next = if known > 0.0 {
            known + (service - known) / f64::from(served.min(SERVICE_HOPS))
        } else {
            service
        };
        let known_ln = f64::from_bits(self.service_ln.load(Ordering::Relaxed));
        let weight = 1.0 / f64::from(served.min(SERVICE_HOPS));
        let next_ln = known_ln + (service.ln() - known_ln) * weight;
        self.service_ln.store(next_ln.to_bits(), Ordering::Relaxed);
        self.served.store(served, Ordering::Relaxed);
        self.service.store(next.to_bits(), Ordering::Relaxed);
        self.sampled_nanos.store(now_nanos, Ordering::Relaxed);
        work
    }

    fn observe_class(&self, crowd: u32, work_nanos: f64, now_nanos: u64) -> Class {
        let index = class_of(crowd);
        let Some(cell) = self.classes.get(index) else {
            return Class::default();
        };
        let mut class = Class::unpack(cell.load(Ordering::Relaxed)).fresh(seconds(now_nanos));
        class.hops = (class.hops + 1).min(MOST_WEIGHT);
        class.mean_ln += (work_nanos.ln() as f32 - class.mean_ln) / class.hops as f32;
        class.seconds = seconds(now_nanos);
        cell.store(class.pack(), Ordering::Relaxed);
        class
    }

    /// Slots, such that what hops took is explained best: `max(1, crowd / slots)` times one service. Then one more if
    /// nobody knows what that would do.
    fn fit(&self, now_nanos: u64) {
        let now = seconds(now_nanos);
        let mut classes = [Class::default(); CROWDS.len()];
        for (class, cell) in classes.iter_mut().zip(&self.classes) {
            *class = Class::unpack(cell.load(Ordering::Relaxed)).fresh(now);
        }
        let evidence = |class: &Class| class.hops >= EVIDENCE;
        let largest = classes.iter().rposition(evidence).unwrap_or(0);
        let misfits = CROWDS
            .iter()
            .take(largest + 1)
            .map(|slots| misfit(&classes, *slots));
        let best = misfits.clone().fold(f64::INFINITY, f64::min);
        let chosen = misfits
            .enumerate()
            .filter(|(_, misfit)| *misfit <= best + OPTIMISM)
            .map(|(index, _)| index)
            .next_back()
            .unwrap_or(0);
        let untried = classes.get(chosen + 1).is_some_and(|next| !evidence(next));
        let index = if untried { chosen + 1 } else { chosen };
        let slots = CROWDS.get(index).copied().unwrap_or(1);
        self.slots.store(slots, Ordering::Relaxed);
    }
}

/// Weighted squares of what `slots` leaves unexplained.
fn misfit(classes: &[Class; CROWDS.len()], slots: u32) -> f64 {
    let known = || {
        let classes = classes.iter().enumerate();
        classes
            .filter(|(_, class)| class.hops >= EVIDENCE)
            .map(|(index, class)| {
                let longer = (middle(index) / f64::from(slots)).max(1.0).ln();
                (f64::from(class.hops), f64::from(class.mean_ln) - longer)
            })
    };
    let (weights, sum) = known().fold((0.0, 0.0), |(weights, sum), (weight, left)| {
        (weights + weight, sum + weight * left)
    });
    if weights == 0.0 {
        return 0.0;
    }
    let mean = sum / weights;
    known()
        .map(|(weight, left)| weight * (left - mean).powi(2))
        .sum()
}

/// The class of a number in flight.
fn class_of(crowd: u32) -> usize {
    CROWDS
        .partition_point(|least| *least <= crowd)
        .saturating_sub(1)
}

/// The number in flight that stands for a class.
fn middle(index: usize) -> f64 {
    let least = CROWDS.get(index).copied().unwrap_or(1);
    let next = CROWDS.get(index + 1).copied().unwrap_or(least + 1);
    f64::from(least + next - 1) / 2.0
}

fn seconds(nanos: u64) -> u32 {
    u32::try_from(nanos / 1_000_000_000).unwrap_or(u32::MAX) & SECONDS
}

/// 24 bits: half a year, then they begin again, which forgets some evidence early or late.
const SECONDS: u32 = (1 << 24) - 1;

impl Class {
    /// Without what is too old to believe.
    fn fresh(self, now_seconds: u32) -> Self {
        let age = now_seconds.wrapping_sub(self.seconds) & SECONDS;
        if age > EVIDENCE_KEPT_SECONDS {
            Self::default()
        } else {
            self
        }
    }

    /// In one word, so that a reader never sees half of it.
    fn pack(self) -> u64 {
        let low = (self.hops << 24) | (self.seconds & SECONDS);
        (u64::from(self.mean_ln.to_bits()) << 32) | u64::from(low)
    }

    fn unpack(word: u64) -> Self {
        let low = word as u32;
        Self {
            mean_ln: f32::from_bits((word >> 32) as u32),
            hops: low >> 24,
            seconds: low & SECONDS,
        }
    }
}
