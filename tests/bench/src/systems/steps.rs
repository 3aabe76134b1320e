//! Starts the two processes that share the steps: neighbouring steps never share one.

use super::Step;
use crate::child::Running;
use crate::client::Client;
use crate::control::Started;
use anyhow::Result;
use std::process::Command;

/// Starts the process of the even and that of the odd steps.
///
/// # Errors
/// One of them cannot be started.
pub(super) fn start(forward: bool) -> Result<[Step; 2]> {
    Ok([one(forward)?, one(forward)?])
}

/// Starts one step process, which serves every step.
///
/// # Errors
/// It cannot be started.
pub(crate) fn one(forward: bool) -> Result<Step> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("step");
    if forward {
        command.arg("--forward");
    }
    let (running, started) = Running::start::<Started>(&mut command)?;
    let address = started.listening;
    Ok(Step {
        running,
        address,
        control: Client::new(address),
    })
}
