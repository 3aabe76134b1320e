//! The one binary: the gateway, and the user's commands.

mod check;
mod demo;
mod display;
mod event;
mod explain;
mod gateway;
mod logging;
mod output;
mod send;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A drop-in Knative channel and broker that speaks CloudEvents.
///
/// Runs the Channels, Subscriptions, Sequences, Parallels, Brokers and Triggers of a folder of manifests, with no
/// cluster and no change of a function. Begin with `towpath demo`; then point `towpath check` and `towpath gateway` at
/// the manifests that you have.
#[derive(Debug, Parser)]
#[command(name = "towpath", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Gateway(gateway::Arguments),
    Check(check::Arguments),
    Send(send::Arguments),
    Display(display::Arguments),
    Demo(demo::Arguments),
    Explain(explain::Arguments),
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("towpath: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match command {
            Command::Gateway(arguments) => gateway::run(arguments).await,
            Command::Check(arguments) => check::run(&arguments),
            Command::Send(arguments) => send::run(arguments).await,
            Command::Display(arguments) => display::run(arguments).await,
            Command::Explain(arguments) => explain::run(&arguments),
            Command::Demo(arguments) => demo::run(arguments).await,
        }
    });
    match result {
        Ok(code) => code,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("towpath: {error:#}");
            ExitCode::FAILURE
        }
    }
}
