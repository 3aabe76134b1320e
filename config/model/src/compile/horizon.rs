//! How long a delivery may take at most, against how long a payload is kept: the TTL of the stores is a backstop, and must
//! not delete what is still to be delivered (DESIGN section 5).

use std::collections::HashMap;
use std::time::Duration;

use super::CompileOptions;
use super::plan::{Findings, Site};
use crate::period::show;
use crate::topology::{Backoff, Delivery};

/// Delivery specs that may take longer than payloads are kept; each once, however many subscriptions have it.
#[derive(Debug, Default)]
pub(super) struct Horizons<'p> {
    long: Vec<Long<'p>>,
    by_horizon: HashMap<Horizon, usize>,
}

#[derive(Debug)]
struct Long<'p> {
    site: Site<'p>,
    horizon: Horizon,
    /// Further subscriptions of which the same is true.
    others: usize,
}

/// What a delivery spec comes to, at the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Horizon {
    attempts: u64,
    /// Bound of each attempt.
    timeout: Duration,
    /// All waits between the attempts.
    waits: Duration,
    /// Who gets the event one after the other, each by the same spec: subscriber, reply, dead letter sink.
    legs: usize,
}

impl Horizon {
    fn of(delivery: &Delivery, legs: usize, options: &CompileOptions) -> Self {
        let cap = delivery.backoff_max.unwrap_or(options.backoff_max);
        Self {
            attempts: u64::from(delivery.retry) + 1,
            timeout: delivery.timeout.unwrap_or(options.attempt_timeout),
            waits: waits(delivery, cap),
            legs,
        }
    }

    /// One attempt and all waits, for one of the legs.
    fn least(&self) -> Duration {
        self.timeout.saturating_add(self.waits)
    }

    /// All attempts and all waits, for all legs.
    fn most(&self) -> Duration {
        let attempts = self.timeout.as_nanos().saturating_mul(self.attempts.into());
        let leg = attempts.saturating_add(self.waits.as_nanos());
        from_nanos(leg.saturating_mul(u128::try_from(self.legs).unwrap_or(u128::MAX)))
    }
}

impl<'p> Horizons<'p> {
    /// Looks at the delivery of one subscription, which was written at `site`, to so many destinations. It is a problem
    /// if a payload could be gone although the subscriber was never slow: a single attempt, and all waits, take longer
    /// than the TTL.
    pub(super) fn check(
        &mut self,
        delivery: &Delivery,
        legs: usize,
        site: &Site<'p>,
        options: &CompileOptions,
        findings: &mut Findings,
    ) {
        let horizon = Horizon::of(delivery, legs.max(1), options);
        let ttl = options.payload_ttl;
        if horizon.least() > ttl {
            let attempts = match horizon.attempts {
                1 => "its one attempt".to_owned(),
                attempts => format!(
                    "the waits between its {attempts} attempts may take {}, and one of these",
                    show(horizon.waits)
                ),
            };
            let message = format!(
                "{attempts} may take {}: longer than the {} for which a payload is kept (setting store.ttl), so it could be gone before \
                 it is delivered; raise that, or lower `timeout`, `retry`, `backoffDelay`, `retryAfterMax` or setting delivery.backoffMax",
                show(horizon.timeout),
                show(ttl)
            );
            findings.problem(site, message);
        } else if horizon.most() > ttl {
            match self.by_horizon.get(&horizon) {
                Some(at) => {
                    if let Some(long) = self.long.get_mut(*at) {
                        long.others += 1;
                    }
                }
                None => {
                    self.by_horizon.insert(horizon, self.long.len());
                    self.long.push(Long {
                        site: site.clone(),
                        horizon,
                        others: 0,
                    });
                }
            }
        }
    }

    /// Notes what was found.
    pub(super) fn note(self, options: &CompileOptions, findings: &mut Findings) {
        for Long {
            site,
            horizon,
            others,
        } in self.long
        {
            let each = if horizon.legs > 1 {
                format!(", for each of {} destinations", horizon.legs)
            } else {
                String::new()
            };
            let attempts = match horizon.attempts {
                1 => "1 attempt".to_owned(),
                attempts => format!("{attempts} attempts"),
            };
            let others = match others {
                0 => String::new(),
                1 => "; the same is true of 1 other subscription".to_owned(),
                others => format!("; the same is true of {others} other subscriptions"),
            };
            let message = format!(
                "may take {} ({attempts} of {}, and {} between them{each}), longer than the {} for which a payload is kept (setting \
                 store.ttl); raise that, or set a shorter `timeout` or fewer `retry`, lest the last attempts find no payload{others}",
                show(horizon.most()),
                show(horizon.timeout),
                show(horizon.waits),
                show(options.payload_ttl)
            );
            findings.note(&site, message);
        }
    }
}

/// The sum of all waits of a delivery spec (C8.3, C8.6): each is the back-off, at most `cap`, and at least `retryAfterMax`,
/// which every answer may ask for. Saturates.
fn waits(delivery: &Delivery, cap: Duration) -> Duration {
    let retries = u128::from(delivery.retry);
    let cap = cap.as_nanos();
    let asked = delivery.retry_after_max.unwrap_or_default().as_nanos();
    let (grown, count) = match delivery.backoff {
        None => (0, 0),
        Some(Backoff::Linear(delay)) => linear(delay.as_nanos(), retries, asked, cap),
        Some(Backoff::Exponential(delay)) => exponential(delay.as_nanos(), retries, asked, cap),
    };
    let last = match delivery.backoff {
        Some(Backoff::Linear(delay) | Backoff::Exponential(delay)) if !delay.is_zero() => cap,
        _ => 0,
    };
    let rest = (retries - count).saturating_mul(last.max(asked));
    from_nanos(rest.saturating_add(grown))
}

/// The waits before they reach `cap`, and how many they are.
fn linear(delay: u128, retries: u128, asked: u128, cap: u128) -> (u128, u128) {
    if delay == 0 {
        return (0, 0);
    }
    let sum_to = |last: u128| last.saturating_mul(last + 1) / 2;
    let count = (cap / delay).min(retries);
    let under = (asked / delay).min(count);
    let over = delay.saturating_mul(sum_to(count) - sum_to(under));
    (asked.saturating_mul(under).saturating_add(over), count)
}

fn exponential(delay: u128, retries: u128, asked: u128, cap: u128) -> (u128, u128) {
    let (mut sum, mut count, mut wait) = (0_u128, 0, delay);
    while wait > 0 && wait < cap && count < retries {
        sum = sum.saturating_add(wait.max(asked));
        count += 1;
        wait = wait.saturating_mul(2);
    }
    (sum, count)
}

fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos / SECOND).unwrap_or(u64::MAX);
    let rest = u32::try_from(nanos % SECOND).unwrap_or_default();
    Duration::new(seconds, rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, one wait after the other.
    fn slowly(delivery: &Delivery, cap: Duration) -> Duration {
        let wait = |retry: u32| {
            let backoff = match delivery.backoff {
                None => Duration::ZERO,
                Some(Backoff::Linear(delay)) => delay.saturating_mul(retry),
                Some(Backoff::Exponential(delay)) => {
                    (1..retry).fold(delay, |delay, _| delay.saturating_mul(2))
                }
            };
            backoff
                .min(cap)
                .max(delivery.retry_after_max.unwrap_or_default())
        };
        (1..=delivery.retry).map(wait).sum()
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_waits(
            retry in 0_u32..60,
            delay in prop_oneof![Just(0), 1_u64..2000],
            is_linear in any::<bool>(),
            has_backoff in any::<bool>(),
            asked in proptest::option::of(0_u64..5000),
            cap in 1_u64..20_000,
        ) {
            let delay = Duration::from_millis(delay);
            let backoff = if is_linear { Backoff::Linear(delay) } else { Backoff::Exponential(delay) };
            let delivery = Delivery {
                retry,
                backoff: has_backoff.then_some(backoff),
                retry_after_max: asked.map(Duration::from_millis),
                ..Delivery::default()
            };
            let cap = Duration::from_millis(cap);
            prop_assert_eq!(waits(&delivery, cap), slowly(&delivery, cap));
        }

        #[test]
        fn nothing_overflows(retry in any::<u32>(), delay in any::<u64>(), cap in any::<u64>(), is_linear in any::<bool>()) {
            let delay = Duration::from_secs(delay);
            let delivery = Delivery {
                retry,
                backoff: Some(if is_linear { Backoff::Linear(delay) } else { Backoff::Exponential(delay) }),
                retry_after_max: Some(Duration::MAX),
                ..Delivery::default()
            };
            for delay in [Duration::from_nanos(1), Duration::MAX] {
                let tiny = Delivery { backoff: Some(Backoff::Linear(delay)), ..delivery.clone() };
                let _ = (waits(&tiny, Duration::from_secs(cap)), waits(&tiny, Duration::MAX));
            }
            let horizon = Horizon {
                attempts: u64::from(retry) + 1,
                timeout: Duration::MAX,
                waits: waits(&delivery, Duration::from_secs(cap)),
                legs: 3,
            };
            let _ = (horizon.least(), horizon.most());
        }
    }
}
