//! How long many Triggers take to compile: `towpath check` on them, less `towpath check` on one.

use super::manifests::mixed;
use crate::clock::now_nanos;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// One round: the time of both processes, from start to end.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Compiling {
    pub(super) triggers: u32,
    /// With all Triggers.
    pub(super) many_nanos: u64,
    /// With one: what a process takes to start, read and print.
    pub(super) one_nanos: u64,
}

impl Compiling {
    /// What the Triggers themselves took: read, compiled and listed.
    pub(super) fn nanos(&self) -> u64 {
        self.many_nanos.saturating_sub(self.one_nanos)
    }
}

/// Times both, in turns, after one run of each that warms the caches of files.
///
/// # Errors
/// The binary refuses the manifests.
pub(super) fn measure(gateway: &Path, triggers: u32, rounds: u32) -> Result<Vec<Compiling>> {
    let folder = tempfile::tempdir()?;
    let (many, one) = (folder.path().join("many"), folder.path().join("one"));
    for (path, count) in [(&many, triggers), (&one, 1)] {
        fs::create_dir(path)?;
        fs::write(path.join("broker.yaml"), mixed(count))?;
        check(gateway, path)?;
    }
    (0..rounds)
        .map(|_| {
            Ok(Compiling {
                triggers,
                many_nanos: check(gateway, &many)?,
                one_nanos: check(gateway, &one)?,
            })
        })
        .collect()
}

/// Nanoseconds that `towpath check` takes.
fn check(gateway: &Path, folder: &Path) -> Result<u64> {
    let began = now_nanos();
    let output = Command::new(gateway)
        .arg("check")
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", gateway.display()))?;
    let took = now_nanos().saturating_sub(began);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let first = said.lines().next().unwrap_or_default();
        bail!("towpath check: {}: {first}", output.status);
    }
    Ok(took)
}
