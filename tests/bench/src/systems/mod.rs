//! The systems that are compared: each sets the same steps up in its own way. A new one is a file and two arms here.

mod direct;
mod steps;
mod towpath;

use crate::child::Running;
use crate::client::Client;
use crate::control::{RESET_PATH, RESULTS_PATH, Reset, Results};
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;

pub(crate) use steps::one as step;
pub(crate) use towpath::{Listening, idle_bytes, start_gateway};

/// A way to get an event from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    /// One plain POST from step to step, with nothing between.
    Direct,
    /// A Sequence over Towpath's memory channels; the steps reply.
    Towpath,
}

impl System {
    /// The name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Towpath => "towpath",
        }
    }

    /// Starts the processes of this system.
    ///
    /// # Errors
    /// One of them cannot be started.
    pub(crate) async fn start(self, gateway: &Path) -> Result<Deployment> {
        match self {
            Self::Direct => direct::start(),
            Self::Towpath => towpath::start(gateway).await,
        }
    }
}

/// A running system; dropped, its processes end.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// The two step processes: even steps, odd steps.
    steps: [Step; 2],
    /// What is between the steps, if anything: its processes count as the gateway's.
    between: Vec<Running>,
    /// Kept as long as the processes need it.
    _manifests: Option<tempfile::TempDir>,
    /// Whether steps POST on by themselves, and so need to know each other.
    forward: bool,
    /// Where the sender's events go.
    pub(crate) entry: Entry,
}

/// An address that takes events and answers when they are through the last step.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
}

/// A step process; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    /// For the control endpoint.
    pub(crate) control: Client,
}

impl Deployment {
    /// Makes the step processes forget what they measured and expect bodies of `size` bytes.
    ///
    /// # Errors
    /// A step process does not answer.
    pub(crate) async fn reset(&self, size: usize) -> Result<()> {
        let [even, odd] = &self.steps;
        for (step, other) in [(even, odd), (odd, even)] {
            let neighbour = self.forward.then_some(other.address);
            let reset = Reset { size, neighbour };
            step.control.json::<()>(RESET_PATH, &reset).await?;
        }
        Ok(())
    }

    /// What the two step processes have measured.
    ///
    /// # Errors
    /// A step process does not answer.
    pub(crate) async fn results(&self) -> Result<[Results; 2]> {
        let [even, odd] = &self.steps;
        Ok([
            even.control.json(RESULTS_PATH, &()).await?,
            odd.control.json(RESULTS_PATH, &()).await?,
        ])
    }

    /// Process ids of the steps.
    pub(crate) fn step_pids(&self) -> Vec<u32> {
        self.steps.iter().map(|step| step.running.pid()).collect()
    }

    /// Process ids of what is between the steps.
    pub(crate) fn between_pids(&self) -> Vec<u32> {
        self.between.iter().map(Running::pid).collect()
    }
}
