//! What is simulated: the cells of the sweep, and the hops of one cell, the same for every strategy.

use fastrand::Rng;
use serde::Serialize;

/// One setting of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Cell {
    /// Share of the replicas' time that serving takes, without pulls.
    pub(super) load: f64,
    pub(super) size_bytes: u64,
    pub(super) gigabits: u32,
    pub(super) service_millis: u32,
    pub(super) variance: Variance,
    /// Share of the events whose data is on the node of the first replica; the others' is spread over the other nodes.
    pub(super) skew: f64,
    pub(super) replicas: usize,
    pub(super) slots: usize,
    pub(super) deciders: usize,
}

/// How service times vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Variance {
    /// Not at all.
    Constant,
    /// Exponential.
    Exponential,
    /// Log-normal, sigma 1.5: one in a hundred takes ten times the mean.
    HeavyTail,
}

/// One event, before it is decided where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at_nanos: u64,
    pub(super) decider: usize,
    /// The node, and so the replica, where its data is.
    pub(super) data_at: usize,
    pub(super) service_nanos: u64,
}

const LOADS: [f64; 3] = [0.3, 0.55, 0.8];
const SIZES: [u64; 3] = [64 << 10, 2 << 20, 64 << 20];
const GIGABITS: [u32; 2] = [1, 10];
const SERVICES: [u32; 3] = [5, 30, 200];
const VARIANCES: [Variance; 3] = [
    Variance::Constant,
    Variance::Exponential,
    Variance::HeavyTail,
];
const REPLICAS: [usize; 3] = [2, 4, 10];

/// Every combination of load, size, bandwidth, variance and skew for so many deciders and slots. Service times and numbers
/// of replicas take turns over them; with `whole` they are combined as well.
pub(super) fn sweep(deciders: usize, slots: usize, whole: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (service, replicas) in SERVICES
        .iter()
        .flat_map(|service| REPLICAS.iter().map(move |replicas| (*service, *replicas)))
    {
        for skew in [1.0 / replicas as f64, 0.6, 0.9] {
            for load in LOADS {
                for size_bytes in SIZES {
                    for gigabits in GIGABITS {
                        for variance in VARIANCES {
                            cells.push(Cell {
                                load,
                                size_bytes,
                                gigabits,
                                service_millis: service,
                                variance,
                                skew,
                                replicas,
                                slots,
                                deciders,
                            });
                        }
                    }
                }
            }
        }
    }
    if whole {
        return cells;
    }
    // each combination of the inner five once; 5 and the number of combinations have no common divisor with 9
    let inner = cells.len() / (SERVICES.len() * REPLICAS.len());
    (0..inner)
        .filter_map(|index| {
            let outer = (index * 5 + index / 9) % (SERVICES.len() * REPLICAS.len());
            cells.get(outer * inner + index).copied()
        })
        .collect()
}

impl Cell {
    /// Nanoseconds that the data takes from one node to another.
    pub(super) fn pull_nanos(&self) -> u64 {
        (self.size_bytes as f64 * 8.0 / f64::from(self.gigabits)) as u64
    }

    /// `count` events; the same for the same seed.
    pub(super) fn arrivals(&self, count: usize, seed: u64) -> Vec<Arrival> {
        let mut rng = Rng::with_seed(seed);
        let mean_service = f64::from(self.service_millis) * 1e6;
        let places = (self.replicas * self.slots) as f64;
        let between = mean_service / (self.load * places);
        let mut at = 0.0;
        (0..count)
            .map(|_| {
                at += between * exponential(&mut rng);
                let data_at = if rng.f64() < self.skew {
                    0
                } else {
                    rng.usize(1..self.replicas)
                };
                Arrival {
                    at_nanos: at as u64,
                    decider: rng.usize(0..self.deciders),
                    data_at,
                    service_nanos: (mean_service * self.variance.draw(&mut rng)) as u64,
                }
            })
            .collect()
    }

    /// In words, for tables.
    pub(super) fn name(&self) -> String {
        format!(
            "load {}, {} KiB, {} Gbit/s, {} ms {}, skew {:.2}, {} replicas",
            self.load,
            self.size_bytes >> 10,
            self.gigabits,
            self.service_millis,
            self.variance.name(),
            self.skew,
            self.replicas,
        )
    }
}

impl Variance {
    fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Exponential => "exponential",
            Self::HeavyTail => "heavy tail",
        }
    }

    /// A factor of the mean; 1 on average.
    fn draw(self, rng: &mut Rng) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Exponential => exponential(rng),
            Self::HeavyTail => {
                let sigma = 1.5_f64;
                let radius = (2.0 * exponential(rng)).sqrt();
                let normal = radius * (std::f64::consts::TAU * rng.f64()).cos();
                (sigma * normal - sigma * sigma / 2.0).exp()
            }
        }
    }
}

/// Of mean 1.
fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_combination_once() {
        let whole = sweep(1, 1, true);
        assert_eq!(whole.len(), 3 * 3 * 2 * 3 * 3 * 3 * 3);
        let some = sweep(1, 1, false);
        assert_eq!(some.len(), 162);
        for replicas in REPLICAS {
            for service in SERVICES {
                let those = some
                    .iter()
                    .filter(|cell| cell.replicas == replicas && cell.service_millis == service);
                assert!(those.count() >= 10, "{replicas} {service}");
            }
        }
    }

    #[test]
    fn draws_have_mean_one() {
        for variance in VARIANCES {
            let mut rng = Rng::with_seed(7);
            let sum: f64 = (0..200_000).map(|_| variance.draw(&mut rng)).sum();
            let mean = sum / 200_000.0;
            assert!((0.95..1.05).contains(&mean), "{variance:?} {mean}");
        }
    }
}
