//! What bulky payloads cost: hops by file, cut-through, memory under load, and the bytes of control.

mod gateway;
mod manifests;
mod objects;
mod pace;
mod pattern;
mod producer;
mod protocol;
mod report;
mod scenarios;
pub(crate) mod worker;
mod workers;

use crate::options::PayloadsOptions;
use crate::proc;
use crate::run::gateway_binary;
use anyhow::{Result, bail};
use gateway::Setup;
use report::{Outcome, Report};
use scenarios::Load;
use tokio::time::Instant;

pub(crate) use scenarios::Scenario;

/// Runs what the options ask for, writes `payloads.json` and `payloads.md`, and prints the latter. A scenario that
/// goes wrong has an error instead of figures; the others run all the same.
///
/// # Errors
/// The first thing that voided a scenario is in the report; here only that some did.
pub(crate) async fn run(options: &PayloadsOptions) -> Result<()> {
    let setup = Setup {
        gateway: gateway_binary(options.gateway.as_deref())?,
        settings: options.set.clone(),
        scratch: options.scratch.clone(),
        longest: options.longest,
    };
    gateway::make_scratch(&setup.scratch)?;
    // an empty cgroup of a run that was killed costs nothing, so neither does one that cannot be removed
    let _ = towpath_harness::memory::remove_left();
    let mut load = if options.smoke {
        Load::smoke()
    } else {
        Load::full(options.rounds, options.memory_rounds)
    };
    if options.fast {
        load = load.with_fewer_producers();
    }
    let mut report = Report {
        full: !options.smoke && !options.fast,
        outcomes: Vec::new(),
    };
    for scenario in options.scenarios() {
        let outcome = one(scenario, &setup, &load).await;
        match &outcome.error {
            Some(error) => eprintln!("{}: error: {error}", outcome.scenario),
            None => eprintln!("{}: done", outcome.scenario),
        }
        report.outcomes.push(outcome);
    }
    report.write(&options.out)?;
    match report.errors() {
        0 => Ok(()),
        errors => bail!("{errors} scenarios went wrong"),
    }
}

async fn one(scenario: Scenario, setup: &Setup, load: &Load) -> Outcome {
    let before = proc::all_cpu_seconds();
    let start = Instant::now();
    let ran = scenario.run(setup, load).await;
    let after = proc::all_cpu_seconds();
    let others = before
        .ok()
        .zip(after.ok())
        .and_then(|(before, after)| proc::share(after.others_since(before), start.elapsed()).ok());
    let (lines, error) = match ran {
        Ok(lines) => (lines, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    Outcome {
        scenario: scenario.name(),
        lines,
        error,
        others_cpu_share: others,
    }
}
