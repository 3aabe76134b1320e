//! How many hops a replica serves at once, found out from how much longer they take when more are in flight.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The least numbers in flight of the classes in which hops are compared: two for each octave.
const CROWDS: [u32; 18] = [
    1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512,
];

/// Hops with more in flight say nothing that those with fewer do not.
const LARGEST_CROWD: u32 = 767;

/// Hops of a class that count at most: its average follows changes.
const MOST_HOPS: u32 = 64;

/// Up to so many hops of a class, each is a reason to think again; after that, every 16th hop.
const YOUNG: u32 = 16;

/// What no hop confirmed for so long is forgotten, and tried again: a replica may have been given more CPU.
const KEPT_SECONDS: u32 = 600;

/// How much worse than the best the fit of more slots may be, for each unit of noise, to be preferred. Slots that are
/// believed in are used, and so confirmed or not; those that are not believed in are never seen.
const OPTIMISM: f64 = 2.0;

/// Hops that make sure, and as many more for each unit of noise.
const SURE_HOPS: (f64, f64) = (2.0, 6.0);

/// So many times the hops that make sure are much evidence.
const MUCH: u32 = 4;

/// Least and most noise, as a variance of logarithms: constant service, and a very heavy tail.
const NOISE: (f64, f64) = (0.05, 3.0);

/// The estimate of one replica. Written by every hop that ends; updates that race lose one another.
#[derive(Debug)]
pub(super) struct Slots {
    classes: [AtomicU64; CROWDS.len()],
    estimate: AtomicU32,
    /// One more than the estimate where nobody knows what that would do.
    to_try: AtomicU32,
    sure: AtomicBool,
    /// Up to so many in flight, hops certainly take as long as one alone.
    alone: AtomicU32,
}

/// How long hops took that began with about so many in flight, as logarithms: heavy tails weigh less.
#[derive(Debug, Clone, Copy, Default)]
struct Class {
    mean_ln: f32,
    hops: u32,
    seconds: u32,
}

type Classes = [Class; CROWDS.len()];

impl Default for Slots {
    fn default() -> Self {
        Self {
            classes: [const { AtomicU64::new(0) }; CROWDS.len()],
            estimate: AtomicU32::new(1),
            to_try: AtomicU32::new(1),
            sure: AtomicBool::new(false),
            alone: AtomicU32::new(1),
        }
    }
}

impl Slots {
    /// As many as the evidence speaks for. At least 1.
    pub(super) fn estimate(&self) -> u32 {
        self.estimate.load(Ordering::Relaxed)
    }

    /// As many as should be tried: the estimate if it is sure, else one more.
    pub(super) fn to_try(&self) -> u32 {
        self.to_try.load(Ordering::Relaxed)
    }

    /// Up to so many in flight, none delays another: the estimate once much speaks for it, else 1.
    pub(super) fn alone(&self) -> u32 {
        self.alone.load(Ordering::Relaxed)
    }

    /// Whether both fewer and more in flight than the estimate were seen.
    pub(super) fn is_sure(&self) -> bool {
        self.sure.load(Ordering::Relaxed)
    }

    /// A hop took `nanos`, pulls left out, that began as one of `crowd` in flight. `spread` is the variance of service times
    /// as a share of their squared mean, `count` how many hops there were.
    pub(super) fn observe(&self, crowd: u32, nanos: f64, spread: f64, count: u32, now_nanos: u64) {
        let index = CROWDS.partition_point(|least| *least <= crowd.max(1)) - 1;
        let Some(cell) = self.classes.get(index).filter(|_| crowd <= LARGEST_CROWD) else {
            return;
        };
        let now = seconds(now_nanos);
        let mut class = Class::unpack(cell.load(Ordering::Relaxed)).fresh(now);
        class.hops = (class.hops + 1).min(MOST_HOPS);
        class.mean_ln += (nanos.max(1.0).ln() as f32 - class.mean_ln) / class.hops as f32;
        class.seconds = now;
        cell.store(class.pack(), Ordering::Relaxed);
        if class.hops <= YOUNG || count.is_multiple_of(16) {
            self.fit(spread, now);
        }
    }

    /// The number that explains best what hops took, as `max(1, crowd / slots)` times one service; of those that explain it
    /// about as well the largest.
    fn fit(&self, spread: f64, now_seconds: u32) {
        let mut classes: Classes = [Class::default(); CROWDS.len()];
        for (class, cell) in classes.iter_mut().zip(&self.classes) {
            *class = Class::unpack(cell.load(Ordering::Relaxed)).fresh(now_seconds);
        }
        let seen = |class: &Class| class.hops > 0;
        let (Some(smallest), Some(largest)) = (
            classes.iter().position(seen),
            classes.iter().rposition(seen),
        ) else {
            return;
        };
        // of a log-normal variable: the variance of its logarithm. Others are near enough
        let noise = (1.5 * spread.max(0.0).ln_1p()).clamp(NOISE.0, NOISE.1);
        let misfits = CROWDS
            .iter()
            .take(largest + 1)
            .map(|slots| misfit(&classes, *slots));
        let best = misfits.clone().fold(f64::INFINITY, f64::min);
        let chosen = misfits
            .enumerate()
            .filter(|(_, misfit)| *misfit <= best + OPTIMISM * noise)
            .map(|(index, _)| index)
            .next_back()
            .unwrap_or(0);
        let hops = |classes: &[Class]| classes.iter().map(|class| class.hops).sum::<u32>();
        let enough = (SURE_HOPS.0 + SURE_HOPS.1 * noise) as u32;
        let (below, above) = classes.split_at((chosen + 1).min(classes.len()));
        let tried = above.is_empty() || hops(above) >= enough;
        let slots = CROWDS.get(chosen).copied().unwrap_or(1);
        let next = CROWDS.get(chosen + 1).copied().unwrap_or(slots);
        // fewer slots than ever were in flight cannot be told apart: what is seen is taken for free
        let seen_fewer = chosen > smallest || smallest == 0;
        let sure = tried && seen_fewer && hops(below) >= enough;
        let alone = sure || hops(below) >= if seen_fewer { enough * MUCH } else { enough };
        self.alone
            .store(if alone { slots } else { 1 }, Ordering::Relaxed);
        self.sure.store(sure, Ordering::Relaxed);
        self.estimate.store(slots, Ordering::Relaxed);
        self.to_try
            .store(if sure { slots } else { next }, Ordering::Relaxed);
    }
}

/// Weighted squares of what `slots` leaves unexplained.
fn misfit(classes: &Classes, slots: u32) -> f64 {
    let seen = || {
        let classes = classes.iter().enumerate();
        classes
            .filter(|(_, class)| class.hops > 0)
            .map(|(index, class)| {
                let longer = (middle(index) / f64::from(slots)).max(1.0).ln();
                (f64::from(class.hops), f64::from(class.mean_ln) - longer)
            })
    };
    let (weights, sum) = seen().fold((0.0, 0.0), |(weights, sum), (weight, left)| {
        (weights + weight, sum + weight * left)
    });
    if weights == 0.0 {
        return 0.0;
    }
    let mean = sum / weights;
    seen()
        .map(|(weight, left)| weight * (left - mean).powi(2))
        .sum()
}

/// The number in flight that stands for a class.
fn middle(index: usize) -> f64 {
    let least = CROWDS.get(index).copied().unwrap_or(1);
    let next = CROWDS.get(index + 1).copied().unwrap_or(LARGEST_CROWD + 1);
    f64::from(least + next - 1) / 2.0
}

/// 24 bits: half a year, then they begin again, which forgets some evidence early or late.
const SECONDS: u32 = (1 << 24) - 1;

fn seconds(nanos: u64) -> u32 {
    (nanos / 1_000_000_000) as u32 & SECONDS
}

impl Class {
    /// Without what is too old to believe.
    fn fresh(self, now_seconds: u32) -> Self {
        let age = now_seconds.wrapping_sub(self.seconds) & SECONDS;
        if age > KEPT_SECONDS {
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
