//! The whole benchmark: every cell with fresh processes, its rounds interleaved over the systems.

use crate::options::Options;
use crate::report::{self, Report};
use crate::round::{self, Cell};
use crate::systems::{System, idle_bytes};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Runs what the options ask for, writes `hops.json` and `hops.md`, and prints the latter.
///
/// # Errors
/// Any error in any round: then nothing is written.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let plan = options.plan();
    let gateway = if plan.systems.contains(&System::Towpath) {
        gateway_binary(options.gateway.as_deref())?
    } else {
        PathBuf::new()
    };
    let mut report = Report {
        plan: plan.clone(),
        idle_bytes: None,
        rounds: Vec::new(),
    };
    if plan.systems.contains(&System::Towpath) {
        report.idle_bytes = Some(idle_bytes(&gateway).await?);
    }
    for &size in &plan.sizes {
        for &workflows in &plan.workflows {
            let cell = Cell { size, workflows };
            let mut deployments = Vec::new();
            for &system in &plan.systems {
                deployments.push((system, system.start(&gateway).await?));
            }
            for round in 0..plan.rounds {
                for (system, deployment) in &deployments {
                    let name = system.name();
                    let measured = round::run(*system, deployment, cell, round, plan.seconds)
                        .await
                        .with_context(|| {
                            format!("{name}, {size} bytes x {workflows}, round {round}")
                        })?;
                    eprintln!("{}", report::progress(&measured));
                    report.rounds.push(measured);
                }
            }
        }
    }
    report::write(&report, &options.out)
}

/// The binary to measure: the one named, or the one built beside this program.
///
/// # Errors
/// It is not there.
pub(crate) fn gateway_binary(named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("towpath"),
    };
    if !path.is_file() {
        bail!(
            "no gateway binary at {}: run `cargo build --release -p towpath`, or name one with --gateway",
            path.display()
        );
    }
    Ok(path)
}
