//! The binary under test: where it is, and how its commands are run.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command as Build, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::process::Command;

use crate::poll::within;

/// The bound of a command that ends by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a finished command left.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

/// Where the binary is: `TOWPATH_BIN`, else built once per test process in the profile of the tests.
///
/// # Errors
/// When it cannot be built.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| match env::var_os("TOWPATH_BIN") {
        Some(path) => Ok(PathBuf::from(path)),
        None => build().map_err(|error| format!("{error:#}")),
    });
    found.clone().map_err(|error| anyhow!(error))
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

fn build() -> Result<PathBuf> {
    let release = !cfg!(debug_assertions);
    let mut cargo = Build::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(workspace())
        .args(["build", "--quiet", "-p", "towpath"])
        .stdin(Stdio::null());
    if release {
        cargo.arg("--release");
    }
    let status = cargo.status().context("cargo build -p towpath")?;
    ensure!(
        status.success(),
        "cargo build -p towpath: {status}; set TOWPATH_BIN to use a binary that exists"
    );
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    Ok(target
        .join(if release { "release" } else { "debug" })
        .join("towpath"))
}

/// A command of the binary, with no stdin and the environment of `TOWPATH_*` cleared. Dies with its handle.
///
/// # Errors
/// When there is no binary.
pub fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Command> {
    let command = Command::new(binary()?);
    Ok(with(command, args))
}

/// The same in the network namespace of that name. Only root can start it.
///
/// # Errors
/// When there is no binary.
pub fn command_in(
    namespace: &str,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Command> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(binary()?);
    Ok(with(command, args))
}

fn with(mut command: Command, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("TOWPATH_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command of the binary to its end.
///
/// # Errors
/// When it does not end within a minute.
pub async fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Finished> {
    let output = within("the command's end", PATIENCE, command(args)?.output()).await??;
    Ok(Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
