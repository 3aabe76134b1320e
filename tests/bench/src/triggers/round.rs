//! One round of one broker: load it for some seconds, and read what it cost. Any error voids it.

use super::manifests::{Filters, PATH};
use crate::child::Running;
use crate::control::{RESET_PATH, RESULTS_PATH, Reset, Results, STEPS};
use crate::histogram::Times;
use crate::options::TriggersOptions;
use crate::proc;
use crate::sender::Sender;
use crate::systems::{Entry, Step, start_gateway, step};
use anyhow::{Result, bail};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// A gateway with one broker, and the step that its one matching Trigger delivers to.
#[derive(Debug)]
pub(super) struct Broker {
    filters: Filters,
    triggers: u32,
    step: Step,
    gateway: Running,
    entry: Entry,
    _manifests: tempfile::TempDir,
}

/// What a round measured. Times in nanoseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) filters: Filters,
    pub(super) triggers: u32,
    pub(super) round: u32,
    pub(super) events: u64,
    pub(super) seconds: f64,
    /// CPU time of the gateway for one event.
    pub(super) gateway_cpu_nanos: f64,
    /// From the start of the POST to its answer, which comes after the delivery.
    pub(super) event_p50_nanos: u64,
    pub(super) event_p99_nanos: u64,
    /// From the start of the POST until the subscriber has the whole body.
    pub(super) delivery_p50_nanos: u64,
    /// Share of the machine's CPU time that went to processes other than the benchmark's: 0 to 1.
    pub(super) others_cpu_share: f64,
}

impl Broker {
    /// Starts a step and a gateway with so many Triggers (one, if that is the kind).
    ///
    /// # Errors
    /// A process cannot be started, or the gateway refuses the manifests.
    pub(super) fn start(gateway: &Path, filters: Filters, triggers: u32) -> Result<Self> {
        let step = step(false)?;
        let folder = tempfile::tempdir()?;
        let manifests = filters.manifests(triggers, step.address);
        fs::write(folder.path().join("broker.yaml"), manifests)?;
        let (running, listening) = start_gateway(gateway, folder.path())?;
        Ok(Self {
            filters,
            triggers: filters.count(triggers),
            step,
            gateway: running,
            entry: Entry {
                address: listening.listening,
                path: PATH.to_owned(),
            },
            _manifests: folder,
        })
    }

    /// Runs one round.
    ///
    /// # Errors
    /// Any event that failed, any body that differed, any event that was not delivered exactly once.
    pub(super) async fn measure(&self, plan: &TriggersOptions, round: u32) -> Result<Measured> {
        let sender = Sender::new(&self.entry, plan.size);
        self.reset(plan.size).await?;
        sender.load(plan.workflows, plan.seconds / 10).await?;
        self.reset(plan.size).await?;

        let machine_before = proc::machine_cpu_seconds()?;
        let before = self.cpu()?;
        let sent = sender.load(plan.workflows, plan.seconds).await?;
        let after = self.cpu()?;
        let machine_used = proc::machine_cpu_seconds()? - machine_before;

        let results: Results = self.step.control.json(RESULTS_PATH, &()).await?;
        let deliveries = judge(&results, sent.events)?;
        let used = after.all - before.all;
        Ok(Measured {
            filters: self.filters,
            triggers: self.triggers,
            round,
            events: sent.events,
            seconds: sent.elapsed.as_secs_f64(),
            gateway_cpu_nanos: (after.gateway - before.gateway) * 1e9 / sent.events as f64,
            event_p50_nanos: sent.whole.quantile(0.5),
            event_p99_nanos: sent.whole.quantile(0.99),
            delivery_p50_nanos: deliveries.quantile(0.5),
            others_cpu_share: proc::share(machine_used - used, sent.elapsed)?,
        })
    }

    async fn reset(&self, size: usize) -> Result<()> {
        let neighbour = None;
        self.step
            .control
            .json::<()>(RESET_PATH, &Reset { size, neighbour })
            .await
    }

    fn cpu(&self) -> Result<Cpu> {
        let gateway = proc::cpu_seconds(self.gateway.pid())?;
        let step = proc::cpu_seconds(self.step.running.pid())?;
        let own = proc::cpu_seconds(std::process::id())?;
        Ok(Cpu {
            gateway,
            all: gateway + step + own,
        })
    }
}

/// CPU seconds since the processes started.
struct Cpu {
    gateway: f64,
    /// Of the gateway, the step and the sender.
    all: f64,
}

/// Every event was delivered exactly once, unchanged; else the round is void.
fn judge(results: &Results, events: u64) -> Result<Times> {
    if results.error_count > 0 {
        bail!(
            "{} errors in the step, first {:?}",
            results.error_count,
            results.errors
        );
    }
    let received = results.received.get(STEPS - 1).copied().unwrap_or_default();
    let all: u64 = results.received.iter().sum();
    if received != events || all != events {
        bail!("the subscriber received {all} events, but {events} were sent and answered");
    }
    let mut deliveries = Times::new()?;
    deliveries.add(&results.hops);
    if deliveries.count() != events {
        bail!(
            "{} deliveries were timed, of {events} events",
            deliveries.count()
        );
    }
    Ok(deliveries)
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::control::Results;
    use crate::histogram::Cells;

    fn results(received: [u64; 5], timed: u64) -> Results {
        Results {
            received,
            hops: Cells(vec![(20_000, timed)]),
            ..Results::default()
        }
    }

    #[test]
    fn one_delivery_of_each_event_counts() {
        let deliveries = judge(&results([0, 0, 0, 0, 3], 3), 3).unwrap();
        assert_eq!(deliveries.count(), 3);
    }

    #[test]
    fn a_lost_doubled_or_failed_delivery_voids_the_round() {
        assert!(judge(&results([0, 0, 0, 0, 2], 2), 3).is_err());
        assert!(judge(&results([0, 0, 0, 0, 4], 4), 3).is_err());
        assert!(judge(&results([0, 0, 0, 1, 3], 4), 3).is_err());
        assert!(judge(&results([0, 0, 0, 0, 3], 2), 3).is_err());
        let failed = Results {
            error_count: 1,
            ..results([0, 0, 0, 0, 3], 3)
        };
        assert!(judge(&failed, 3).is_err());
    }
}
