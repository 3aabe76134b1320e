//! A child process that says on one line where it listens, and that ends with its handle.

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A running child process; dropped, it is killed and waited for.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program and reads the JSON line that it prints when it serves.
    ///
    /// # Errors
    /// It cannot be started, or ends or prints something else first.
    pub(crate) fn start<T: DeserializeOwned>(command: &mut Command) -> Result<(Self, T)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut running = Self(child);
        let stdout = running.0.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            bail!("{name} ended before it listened: {}", running.0.wait()?);
        }
        let started = serde_json::from_str(&line)
            .with_context(|| format!("{name} said something else than where it listens: {line}"))?;
        Ok((running, started))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // it may have ended by itself: nothing is left to do then
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
