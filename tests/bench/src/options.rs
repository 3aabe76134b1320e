//! The command line of the benchmark.

use crate::payloads::Scenario;
use crate::systems::System;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Measures the hops of a 5-step workflow over several systems, interleaved in one run.
#[derive(Debug, Parser)]
#[command(name = "towpath-bench")]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Systems to compare; ratios are against the first.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["direct", "towpath"])]
    pub(crate) systems: Vec<System>,
    /// Body sizes in bytes; K and M stand for 1024 and 1024 x 1024. At least 128 bytes, at most 1024M.
    #[arg(long, value_delimiter = ',', value_parser = parse_size, default_values = ["1K", "64K", "2M", "10M"])]
    pub(crate) sizes: Vec<usize>,
    /// Workflows that run at once: events in flight, each in a closed loop. 1 to 1024.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024), default_values = ["1", "32"])]
    pub(crate) workflows: Vec<u32>,
    /// Rounds for each system, size and number of workflows; the systems take turns.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000), default_value = "5")]
    pub(crate) rounds: u32,
    /// Seconds of one round, after a warm-up of a tenth of it.
    #[arg(long, value_parser = parse_seconds, default_value = "3")]
    pub(crate) seconds: Duration,
    /// A smoke test of some seconds: 1 KB and 2 MB, 1 and 4 workflows, 2 rounds of 0.3 s. Its figures mean little.
    #[arg(long, conflicts_with_all = ["sizes", "workflows", "rounds", "seconds"])]
    pub(crate) quick: bool,
    /// The gateway's binary; without it, `towpath` beside this program.
    #[arg(long)]
    pub(crate) gateway: Option<PathBuf>,
    /// Folder for the JSON and the Markdown; without it, `target/bench`.
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
}

/// What a child process of the benchmark does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves steps of the workflow until its standard input closes.
    #[command(hide = true)]
    Step(StepOptions),
    /// Serves steps of the benchmark of payloads until its standard input closes.
    #[command(hide = true)]
    PayloadStep,
    /// Measures what bulky payloads cost: hops by file, cut-through, peak memory, control bytes.
    Payloads(PayloadsOptions),
    /// Measures what the Triggers of a broker cost an event that one of them takes, and how long they take to compile.
    Triggers(TriggersOptions),
    /// Simulates where hops go, against the best fixed strategy of each setting.
    Routing(RoutingOptions),
}

/// What to simulate of routing. The same options give the same figures on every machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct RoutingOptions {
    /// Events of one run. 1000 to 1000000.
    #[arg(long, value_parser = parse_events, default_value = "10000")]
    pub(crate) events: usize,
    /// Runs of each cell and strategy, with other events. 1 to 100.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100), default_value = "3")]
    pub(crate) rounds: u32,
    /// All combinations: nine times as many cells.
    #[arg(long)]
    pub(crate) whole: bool,
    /// Every thirteenth cell, one run of 2,000 events: half a minute without optimisation. The bars do not hold: replicas get to
    /// be known for most of it.
    #[arg(long, conflicts_with_all = ["events", "rounds", "whole"])]
    pub(crate) smoke: bool,
    /// Folder for the JSON and the Markdown; without it, `target/bench`.
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
}

impl RoutingOptions {
    /// These, after `--smoke` was applied.
    pub(crate) fn plan(&self) -> Self {
        if !self.smoke {
            return self.clone();
        }
        Self {
            events: 2000,
            rounds: 1,
            ..self.clone()
        }
    }
}

/// What to measure of Triggers.
#[derive(Debug, Clone, Args)]
pub(crate) struct TriggersOptions {
    /// Triggers of the broker, but for the one that it is compared with, which has one. 2 to 100000.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=100_000), default_value = "1000")]
    pub(crate) triggers: u32,
    /// Triggers of the folder whose compiling is timed. 2 to 100000.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=100_000), default_value = "5000")]
    pub(crate) compiled: u32,
    /// Body size; as for the hops.
    #[arg(long, value_parser = parse_size, default_value = "1K")]
    pub(crate) size: usize,
    /// Events in flight, each in a closed loop. 1 to 1024.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024), default_value = "1")]
    pub(crate) workflows: u32,
    /// Rounds for each kind of filter; the kinds take turns.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000), default_value = "7")]
    pub(crate) rounds: u32,
    /// Seconds of one round, after a warm-up of a tenth of it.
    #[arg(long, value_parser = parse_seconds, default_value = "3")]
    pub(crate) seconds: Duration,
    /// A smoke test of some seconds: 2 rounds of 0.3 s, 500 Triggers to compile. Its figures mean little.
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "compiled"])]
    pub(crate) quick: bool,
    /// The gateway's binary; without it, `towpath` beside this program.
    #[arg(long)]
    pub(crate) gateway: Option<PathBuf>,
    /// Folder for the JSON and the Markdown; without it, `target/bench`.
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
}

impl TriggersOptions {
    /// These, after `--quick` was applied.
    pub(crate) fn plan(&self) -> Self {
        if !self.quick {
            return self.clone();
        }
        Self {
            rounds: 2,
            seconds: Duration::from_millis(300),
            compiled: 500,
            ..self.clone()
        }
    }
}

/// What to measure of payloads.
#[derive(Debug, Clone, Args)]
pub(crate) struct PayloadsOptions {
    /// Scenarios to run, in this order; without any, all.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Rounds of the scenarios that time hops or count control bytes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000), default_value = "5")]
    pub(crate) rounds: u32,
    /// Rounds of the scenarios that measure memory, each with a fresh gateway.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100), default_value = "2")]
    pub(crate) memory_rounds: u32,
    /// 20 producers x 16 MB, the slow ones at 8 MB/s, instead of 200 x 64 MB at 1 MB/s.
    #[arg(long)]
    pub(crate) fast: bool,
    /// A smoke test of less than a minute: small loads, one round. Its figures mean little.
    #[arg(long, conflicts_with_all = ["rounds", "memory_rounds", "fast"])]
    pub(crate) smoke: bool,
    /// Longest time that one event may take, with every refusal; seconds.
    #[arg(long, value_parser = parse_seconds, default_value = "1800")]
    pub(crate) longest: Duration,
    /// Settings of the gateway, `key=value`; may be given more than once.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Folder for payloads, made if need be; what is written in it is gone at the end. Best on a disk: on a tmpfs the
    /// payloads count as the gateway's memory.
    #[arg(long, default_value = "/var/tmp")]
    pub(crate) scratch: PathBuf,
    /// The gateway's binary; without it, `towpath` beside this program.
    #[arg(long)]
    pub(crate) gateway: Option<PathBuf>,
    /// Folder for the JSON and the Markdown; without it, `target/bench`.
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
}

impl PayloadsOptions {
    /// The scenarios that these options ask for.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if self.only.is_empty() {
            return Scenario::value_variants().to_vec();
        }
        self.only.clone()
    }
}

/// How a step process answers.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct StepOptions {
    /// POST the event on to the next step before answering, instead of replying with it.
    #[arg(long)]
    pub(crate) forward: bool,
}

/// What to measure: the options, after `--quick` was applied.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) systems: Vec<System>,
    pub(crate) sizes: Vec<usize>,
    pub(crate) workflows: Vec<u32>,
    pub(crate) rounds: u32,
    pub(crate) seconds: Duration,
}

impl Options {
    /// The plan that these options ask for.
    pub(crate) fn plan(&self) -> Plan {
        if self.quick {
            return Plan {
                systems: self.systems.clone(),
                sizes: vec![1024, 2 << 20],
                workflows: vec![1, 4],
                rounds: 2,
                seconds: Duration::from_millis(300),
            };
        }
        Plan {
            systems: self.systems.clone(),
            sizes: self.sizes.clone(),
            workflows: self.workflows.clone(),
            rounds: self.rounds,
            seconds: self.seconds,
        }
    }
}

fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'M']) {
        Some(digits) if text.ends_with('K') => (digits, 1 << 10),
        Some(digits) => (digits, 1 << 20),
        None => (text, 1),
    };
    let size = digits
        .parse::<usize>()
        .ok()
        .and_then(|count| count.checked_mul(unit));
    match size {
        Some(size) if (128..=1 << 30).contains(&size) => Ok(size),
        _ => Err(format!(
            "size {text}: give bytes from 128 to 1024M, such as 1K, 64K or 2M"
        )),
    }
}

fn parse_events(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(events) if (1000..=1_000_000).contains(&events) => Ok(events),
        _ => Err(format!("events {text}: give a number from 1000 to 1000000")),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("seconds {text}: give a number from 0.05 to 3600")),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_seconds, parse_size};

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(parse_size("1K"), Ok(1024));
        assert_eq!(parse_size("2M"), Ok(2 << 20));
        assert_eq!(parse_size("1000"), Ok(1000));
        for bad in ["", "K", "1k", "127", "1025M", "-1", "99999999999999999999M"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_have_bounds() {
        assert!(parse_seconds("0.5").is_ok());
        for bad in ["0", "-1", "NaN", "inf", "3601"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
