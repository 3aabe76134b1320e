//! What lint and tests need beside cargo: found, installed, or named with the way to get it.

use crate::shell::{cargo, root, run, target};
use crate::steps::Steps;
use anyhow::{Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Installs everything that lint and tests need.
pub(crate) fn install(steps: &mut Steps) {
    steps.step("cargo-deny", || cargo_deny().map(drop));
    for_tests(steps);
}

/// Sees that what the tests need is there, and installs what can be installed.
pub(crate) fn for_tests(steps: &mut Steps) {
    steps.step("tools for tests", check_for_tests);
    steps.step("servers for tests", || {
        run(&mut at_root(&root().join("tests/servers/install")))
    });
}

/// Where cargo-deny is; installs it if it is nowhere.
///
/// # Errors
/// It is neither there nor can be installed.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    installed("cargo-deny")
}

/// Where cargo-fuzz is; installs it if it is nowhere.
///
/// # Errors
/// As [`cargo_deny`].
pub(crate) fn cargo_fuzz() -> Result<PathBuf> {
    installed("cargo-fuzz")
}

fn installed(name: &str) -> Result<PathBuf> {
    let folder = target().join("tools");
    let ours = folder.join("bin").join(name);
    let on_path = PathBuf::from(name);
    for program in [&ours, &on_path] {
        if works(program) {
            return Ok(program.clone());
        }
    }
    println!("{name} is not there: installing it once, some minutes");
    // Its build has a target folder of its own, gone afterwards; ours is not filled with it.
    run(cargo(&["install", name, "--locked", "--root"]).arg(&folder))?;
    Ok(ours)
}

/// The nightly toolchain, by the name that rustup has for it.
///
/// # Errors
/// There is none: one line with the way to get it.
pub(crate) fn nightly() -> Result<String> {
    let listed = Command::new("rustup").args(["toolchain", "list"]).output();
    let names = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    match first_nightly(&names.unwrap_or_default()) {
        Some(name) => Ok(name.to_owned()),
        None => bail!(
            "no nightly toolchain: the fuzzer needs its sanitizers; `rustup toolchain install nightly --profile minimal`"
        ),
    }
}

fn first_nightly(list: &str) -> Option<&str> {
    let mut names = list.lines().filter_map(|line| line.split(' ').next());
    names.find(|name| name.starts_with("nightly"))
}

/// Checks that what the tests need is there: beside Rust, a C compiler (for TLS and the allocator). Go, which builds the
/// servers, is asked for by their installer, and only when one of them is missing. Network namespaces need iproute2, which root
/// gets from apt; tests that want them are skipped where that is not possible.
///
/// # Errors
/// One line for what is missing, with the way to get it.
fn check_for_tests() -> Result<()> {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    if !works(Path::new(&compiler)) {
        bail!(
            "no C compiler ({}): install one, on Debian with `apt-get install --yes build-essential`",
            compiler.to_string_lossy()
        );
    }
    println!("a C compiler is there");
    for_namespaces();
    Ok(())
}

/// Sees that `ip` and `tc` are there; says so if they are not and cannot be installed.
fn for_namespaces() {
    let are_there = || runs("ip", &["-V"]) && runs("tc", &["-V"]);
    if !are_there() && runs("apt-get", &["--version"]) {
        println!("iproute2 is not there: installing it");
        for arguments in [&["update"][..], &["install", "--yes", "iproute2"]] {
            let mut command = Command::new("apt-get");
            // What went wrong it says itself.
            let _ = run(command.arg("--quiet").args(arguments));
        }
    }
    if are_there() {
        println!("iproute2 is there");
    } else {
        println!(
            "iproute2 is not there: tests of links between nodes are skipped; on Debian `apt-get install --yes iproute2`"
        );
    }
}

/// A command at the root of the workspace.
pub(crate) fn at_root(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

fn works(program: &Path) -> bool {
    runs(program, &["--version"])
}

fn runs(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::first_nightly;

    #[test]
    fn a_nightly_toolchain_is_found_by_its_name() {
        let list = "stable-x (default)\nnightly-2026-05-15-x (active)\n";
        assert_eq!(first_nightly(list), Some("nightly-2026-05-15-x"));
        assert_eq!(first_nightly("stable-x\n1.95.0-x\n"), None);
    }
}
