//! The results: JSON with every round, and a Markdown table with medians, ratios and their spread.

use crate::options::Plan;
use crate::round::{Cell, Measured};
use crate::systems::System;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Share of the machine's CPU time up to which a run counts as quiet. On two cores the direct 1 KB hop took 0.039 ms
/// on a quiet machine and 0.012 ms beside a build, so what others do moves ratios in both directions.
const QUIET: f64 = 0.05;

/// A run without any error.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(skip)]
    pub(crate) plan: Plan,
    /// Resident bytes of a gateway with manifests and no events, 2 s after its start.
    pub(crate) idle_bytes: Option<u64>,
    pub(crate) rounds: Vec<Measured>,
}

/// One line for a round that has just ended.
pub(crate) fn progress(measured: &Measured) -> String {
    format!(
        "{} {} x {} round {}: {} events, hop p50 {:.3} ms, p99 {:.3} ms",
        measured.system.name(),
        size_name(measured.cell.size),
        measured.cell.workflows,
        measured.round,
        measured.events,
        millis(measured.hop_p50_nanos),
        millis(measured.hop_p99_nanos),
    )
}

/// Writes `hops.json` and `hops.md` into a folder, which is made if need be, and prints the Markdown.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn write(report: &Report, folder: &Path) -> Result<()> {
    publish(folder, "hops", report, &markdown(report)?)
}

/// Writes `<name>.json` and `<name>.md` into a folder, which is made if need be, and prints the Markdown.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn publish(
    folder: &Path,
    name: &str,
    report: &impl Serialize,
    markdown: &str,
) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let json = serde_json::to_vec_pretty(report)?;
    for (ending, bytes) in [("json", json.as_slice()), ("md", markdown.as_bytes())] {
        let path = folder.join(format!("{name}.{ending}"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{markdown}");
    Ok(())
}

fn markdown(report: &Report) -> Result<String> {
    let mut out = String::new();
    let plan = &report.plan;
    writeln!(
        out,
        "{} rounds of {} s each; medians over the rounds; ratios of p50 to {}: median (least to most).\n",
        plan.rounds,
        plan.seconds.as_secs_f64(),
        plan.systems.first().map_or("none", |system| system.name()),
    )?;
    out.push_str(
        "| body | workflows | system | hop p50 ms | hop p99 ms | ratio | events/s | CPU s per 1,000 hops: between | steps | peak MiB: between | steps |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for &size in &plan.sizes {
        for &workflows in &plan.workflows {
            for &system in &plan.systems {
                row(&mut out, report, Cell { size, workflows }, system)?;
            }
        }
    }
    if let Some(bytes) = report.idle_bytes {
        writeln!(
            out,
            "\nIdle gateway: {:.1} MB resident.",
            bytes as f64 / 1e6
        )?;
    }
    let others = report.rounds.iter().map(|round| round.others_cpu_share);
    out.push_str(&caveats(others)?);
    if report.rounds.iter().any(|round| !round.peak_is_of_round) {
        out.push_str("\nPeaks are since the start of the processes: this machine does not permit to reset them.\n");
    }
    Ok(out)
}

/// Whether figures from rounds with these shares of the machine taken by others are to be quoted.
pub(crate) fn caveats(others: impl Iterator<Item = f64>) -> Result<String> {
    let mut out = String::new();
    let most = others.fold(0.0, f64::max);
    let verdict = if most > QUIET {
        ": the machine was not quiet, so these are no figures to quote"
    } else {
        ""
    };
    writeln!(
        out,
        "\nOther processes took at most {:.0} % of the machine's CPU time in a round{verdict}.",
        most * 100.0
    )?;
    if cfg!(debug_assertions) {
        out.push_str("\nBuilt without optimisation: these are no figures to quote.\n");
    }
    Ok(out)
}

fn row(out: &mut String, report: &Report, cell: Cell, system: System) -> Result<()> {
    let rounds = of(report, cell, system);
    let middle = |value: &dyn Fn(&Measured) -> f64| {
        median(rounds.iter().map(|round| value(round)).collect())
    };
    writeln!(
        out,
        "| {} | {} | {} | {:.3} | {:.3} | {} | {:.0} | {:.3} | {:.3} | {:.0} | {:.0} |",
        size_name(cell.size),
        cell.workflows,
        system.name(),
        middle(&|round| millis(round.hop_p50_nanos)),
        middle(&|round| millis(round.hop_p99_nanos)),
        ratio(report, cell, system),
        middle(&|round| round.events_per_second),
        middle(&|round| round.between_cpu_per_1000),
        middle(&|round| round.steps_cpu_per_1000),
        middle(&|round| mebibytes(round.between_peak_bytes)),
        middle(&|round| mebibytes(round.steps_peak_bytes)),
    )?;
    Ok(())
}

/// The ratio of p50 to the first system's, round by round: neighbours in time share what else the machine did.
fn ratio(report: &Report, cell: Cell, system: System) -> String {
    let Some(&first) = report.plan.systems.first() else {
        return String::new();
    };
    if first == system {
        return "1".to_owned();
    }
    let ratios: Vec<f64> = of(report, cell, system)
        .iter()
        .zip(of(report, cell, first))
        .map(|(round, base)| round.hop_p50_nanos as f64 / base.hop_p50_nanos as f64)
        .collect();
    spread(ratios)
}

/// Median, least and most.
pub(crate) fn spread(values: Vec<f64>) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.2} ({least:.2} to {most:.2})", median(values))
}

fn of(report: &Report, cell: Cell, system: System) -> Vec<&Measured> {
    let is_of = |round: &&Measured| round.cell == cell && round.system == system;
    report.rounds.iter().filter(is_of).collect()
}

/// The middle value; of an even number the mean of the middle two; of none, 0.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2);
    let lower = values.get(values.len().saturating_sub(1) / 2);
    match (lower, upper) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => 0.0,
    }
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

pub(crate) fn size_name(size: usize) -> String {
    match size {
        size if size >= 1 << 20 && size.is_multiple_of(1 << 20) => format!("{} MB", size >> 20),
        size if size >= 1 << 10 && size.is_multiple_of(1 << 10) => format!("{} KB", size >> 10),
        size => format!("{size} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::{median, size_name};

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn sizes_have_names() {
        assert_eq!(size_name(1024), "1 KB");
        assert_eq!(size_name(2 << 20), "2 MB");
        assert_eq!(size_name(1000), "1000 B");
    }
}
