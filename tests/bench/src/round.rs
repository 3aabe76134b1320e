//! One round: warm up, load one system for some seconds, and read what it cost. Any error voids it.

use crate::control::{Results, STEPS, TIMED_HOPS};
use crate::histogram::Times;
use crate::proc;
use crate::sender::Sender;
use crate::systems::{Deployment, System};
use anyhow::{Result, bail};
use serde::Serialize;
use std::time::Duration;

/// One cell of the benchmark: what a round does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Cell {
    /// Bytes of each body.
    pub(crate) size: usize,
    /// Events in flight.
    pub(crate) workflows: u32,
}

/// What a round measured. Times in nanoseconds, memory in bytes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    pub(crate) system: System,
    #[serde(flatten)]
    pub(crate) cell: Cell,
    pub(crate) round: u32,
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    /// Hops from step to step that were timed: four of each event.
    pub(crate) timed_hops: u64,
    pub(crate) hop_p50_nanos: u64,
    pub(crate) hop_p99_nanos: u64,
    pub(crate) event_p50_nanos: u64,
    pub(crate) events_per_second: f64,
    /// CPU seconds of what is between the steps, per 1,000 deliveries (five of each event).
    pub(crate) between_cpu_per_1000: f64,
    /// CPU seconds of the step processes, per 1,000 deliveries.
    pub(crate) steps_cpu_per_1000: f64,
    /// Peak memory of what is between the steps.
    pub(crate) between_peak_bytes: u64,
    /// Peak memory of the two step processes, added.
    pub(crate) steps_peak_bytes: u64,
    /// Share of the machine's CPU time that went to processes other than the benchmark's: 0 to 1.
    pub(crate) others_cpu_share: f64,
    /// Whether the peaks are those of this round; else they are since the processes started.
    pub(crate) peak_is_of_round: bool,
}

/// Runs one round.
///
/// # Errors
/// Any event that failed, any body that differed, any event too many or too few at any step.
pub(crate) async fn run(
    system: System,
    deployment: &Deployment,
    cell: Cell,
    round: u32,
    seconds: Duration,
) -> Result<Measured> {
    let sender = Sender::new(&deployment.entry, cell.size);
    deployment.reset(cell.size).await?;
    sender.load(cell.workflows, seconds / 10).await?;
    check_errors(&deployment.results().await?)?;

    let (between, steps) = (deployment.between_pids(), deployment.step_pids());
    deployment.reset(cell.size).await?;
    let mut peak_is_of_round = true;
    for pid in between.iter().chain(&steps) {
        peak_is_of_round &= proc::reset_peak(*pid);
    }
    let own = [std::process::id()];
    let machine_before = proc::machine_cpu_seconds()?;
    let (between_before, steps_before, own_before) = (cpu(&between)?, cpu(&steps)?, cpu(&own)?);
    let sent = sender.load(cell.workflows, seconds).await?;
    let (between_after, steps_after, own_after) = (cpu(&between)?, cpu(&steps)?, cpu(&own)?);
    let machine_used = proc::machine_cpu_seconds()? - machine_before;
    let (between_peak_bytes, steps_peak_bytes) = (peak(&between)?, peak(&steps)?);

    let results = deployment.results().await?;
    let hops = judge(&results, sent.events)?;
    let (between_used, steps_used) = (between_after - between_before, steps_after - steps_before);
    let ours = between_used + steps_used + own_after - own_before;
    let per_1000 = 1000.0 / (sent.events as f64 * STEPS as f64);
    Ok(Measured {
        system,
        cell,
        round,
        events: sent.events,
        seconds: sent.elapsed.as_secs_f64(),
        timed_hops: hops.count(),
        hop_p50_nanos: hops.quantile(0.5),
        hop_p99_nanos: hops.quantile(0.99),
        event_p50_nanos: sent.whole.quantile(0.5),
        events_per_second: sent.events as f64 / sent.elapsed.as_secs_f64(),
        between_cpu_per_1000: between_used * per_1000,
        steps_cpu_per_1000: steps_used * per_1000,
        between_peak_bytes,
        steps_peak_bytes,
        others_cpu_share: proc::share(machine_used - ours, sent.elapsed)?,
        peak_is_of_round,
    })
}

/// Every event went through every step exactly once, unchanged; else the round is void.
fn judge(results: &[Results; 2], events: u64) -> Result<Times> {
    check_errors(results)?;
    for step in 0..STEPS {
        let received: u64 = results
            .iter()
            .filter_map(|result| result.received.get(step))
            .sum();
        if received != events {
            bail!("step {step} received {received} events, but {events} were sent and answered");
        }
    }
    let mut hops = Times::new()?;
    for result in results {
        hops.add(&result.hops);
    }
    if hops.count() != events * TIMED_HOPS {
        bail!(
            "{} hops were timed, not {} for each of {events} events",
            hops.count(),
            TIMED_HOPS
        );
    }
    Ok(hops)
}

fn check_errors(results: &[Results; 2]) -> Result<()> {
    for result in results {
        if result.error_count > 0 {
            bail!(
                "{} errors in a step, first {:?}",
                result.error_count,
                result.errors
            );
        }
    }
    Ok(())
}

fn cpu(pids: &[u32]) -> Result<f64> {
    pids.iter().map(|pid| proc::cpu_seconds(*pid)).sum()
}

fn peak(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| proc::peak_bytes(*pid)).sum()
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::control::Results;
    use crate::histogram::Cells;

    /// One event that went through all five steps.
    fn one_event() -> [Results; 2] {
        let process = |received, hops| Results {
            received,
            hops: Cells(hops),
            ..Results::default()
        };
        [
            process([1, 0, 1, 0, 1], vec![(20_000, 2)]),
            process([0, 1, 0, 1, 0], vec![(21_000, 2)]),
        ]
    }

    #[test]
    fn a_clean_round_counts() {
        assert_eq!(judge(&one_event(), 1).unwrap().count(), 4);
    }

    #[test]
    fn a_lost_or_doubled_event_voids_the_round() {
        for received in [0, 2] {
            let mut results = one_event();
            results[1].received[3] = received;
            let error = judge(&results, 1).unwrap_err().to_string();
            assert!(error.contains("step 3"), "{error}");
        }
    }

    #[test]
    fn an_error_in_a_step_voids_the_round() {
        let mut results = one_event();
        results[0].error_count = 1;
        assert!(judge(&results, 1).is_err());
    }

    #[test]
    fn an_untimed_hop_voids_the_round() {
        let mut results = one_event();
        results[0].hops.0.clear();
        assert!(judge(&results, 1).is_err());
    }
}
