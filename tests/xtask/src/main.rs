//! What `cargo xtask` runs: the same for a person and for continuous integration.

mod bench;
mod checks;
mod fuzz;
mod shell;
mod steps;
mod tools;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use steps::Steps;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Builds, checks and measures Towpath")]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds the binary and runs all tests; the servers that they need are installed first.
    Test,
    /// Formatting, clippy, documentation, licences and sources of dependencies; warnings are errors.
    Lint,
    /// All that a change must pass: lint, test, and a short run of the benchmark.
    Ci,
    /// The benchmarks of hops and of Triggers, in release; with options after `--`, the one that they ask for (see
    /// `tests/bench/README.md`).
    Bench {
        /// Options of the benchmark, such as `--sizes 1K --rounds 3` or `triggers --quick`.
        #[arg(last = true)]
        options: Vec<String>,
    },
    /// Every fuzz target for some time; needs a nightly toolchain (see `tests/fuzz/README.md`).
    Fuzz {
        /// Seconds for each target, beside the build. 1 to 86400.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=86_400), default_value = "60")]
        seconds: u32,
        /// Only these targets.
        targets: Vec<String>,
    },
    /// The long variants: scenarios with all their events, ten minutes of each fuzz target, and a long benchmark.
    Soak,
    /// Installs what lint needs into `target/tools`, and the servers that tests need (see `tests/servers/README.md`).
    Tools,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut steps = Steps::default();
    match &options.task {
        Task::Test => checks::test(&mut steps),
        Task::Lint => checks::lint(&mut steps),
        Task::Ci => {
            checks::lint(&mut steps);
            checks::test(&mut steps);
            bench::smoke(&mut steps);
        }
        Task::Bench { options } => bench::run(&mut steps, options),
        Task::Fuzz { seconds, targets } => fuzz::run(&mut steps, *seconds, targets),
        Task::Soak => {
            checks::soak(&mut steps);
            fuzz::long(&mut steps);
            bench::long(&mut steps);
        }
        Task::Tools => tools::install(&mut steps),
    }
    steps.finish()
}
