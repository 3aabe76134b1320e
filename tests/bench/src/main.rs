//! The benchmarks: what one hop of a 5-step workflow costs, side by side over several systems; what Triggers cost;
//! what bulky payloads cost; and, simulated, how well hops are routed.

mod child;
mod client;
mod clock;
mod control;
mod frames;
mod histogram;
mod options;
mod payload;
mod payloads;
mod proc;
mod report;
mod round;
mod routing;
mod run;
mod sender;
mod step;
mod systems;
mod triggers;

use clap::Parser;
use options::{Command, Options};
use std::process::ExitCode;

/// The steps of the benchmark hold whole bodies, as functions do; with this allocator they hand
/// large buffers back and forth without a page fault each, so what is measured is the hop.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    // One thread each: a step is a function in a pod, and a wake-up on another core of its own would
    // be charged to every system alike and so flatter all ratios.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| match &options.command {
            Some(Command::Step(step)) => runtime.block_on(step::run(step)),
            Some(Command::PayloadStep) => runtime.block_on(payloads::worker::run()),
            Some(Command::Payloads(options)) => runtime.block_on(payloads::run(options)),
            Some(Command::Triggers(options)) => runtime.block_on(triggers::run(options)),
            Some(Command::Routing(options)) => routing::run(options),
            None => runtime.block_on(run::run(&options)),
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("towpath-bench: no result: {error:#}");
            ExitCode::FAILURE
        }
    }
}
