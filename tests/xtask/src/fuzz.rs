//! The steps of `fuzz`: one build, then each target for its time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{self, root, target};
use crate::steps::Steps;
use crate::tools;

/// Seconds of each target in the long run.
const LONG: u32 = 600;
/// Of one allocation; over it, the input is a finding.
const ALLOCATION_MIB: u32 = 64;
/// Of the whole process, most of which is what the sanitizer keeps to find use after free.
const RESIDENT_MIB: u32 = 2048;
/// Over it, an input counts as a hang.
const HANG_SECONDS: u32 = 10;

/// Runs these targets, or all, each for so many seconds. A finding ends its target, not the others.
pub(crate) fn run(steps: &mut Steps, seconds: u32, only: &[String]) {
    steps.step("build fuzz targets", || {
        shell::run(&mut cargo_fuzz("build")?)
    });
    steps.step("fuzz", || {
        let mut findings = Vec::new();
        for name in chosen(targets()?, only)? {
            if let Err(finding) = one(&name, seconds) {
                println!("{name}: {finding:#}");
                findings.push(name);
            }
        }
        if !findings.is_empty() {
            bail!("findings in {}, shown above", findings.join(", "));
        }
        Ok(())
    });
}

/// Ten minutes of each target.
pub(crate) fn long(steps: &mut Steps) {
    run(steps, LONG, &[]);
}

/// Names of the targets: their files.
fn targets() -> Result<Vec<String>> {
    let folder = folder().join("targets");
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

fn chosen(all: Vec<String>, only: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = only.iter().find(|name| !all.contains(name)) {
        bail!("no fuzz target {unknown}: there are {}", all.join(", "));
    }
    let is_chosen = |name: &String| only.is_empty() || only.contains(name);
    Ok(all.into_iter().filter(is_chosen).collect())
}

fn one(name: &str, seconds: u32) -> Result<()> {
    println!("\n--> {name}, {seconds} s");
    // what the fuzzer finds worth keeping goes to the first folder and serves the next run; seeds it only reads
    let found = target().join("fuzz/corpus").join(name);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let dictionary = folder().join("dictionaries").join(format!("{name}.dict"));
    let mut command = cargo_fuzz("run")?;
    command
        .arg(name)
        .arg(&found)
        .arg(folder().join("seeds").join(name))
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-malloc_limit_mb={ALLOCATION_MIB}"))
        .arg(format!("-rss_limit_mb={RESIDENT_MIB}"))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .args(["-print_final_stats=1", "-print_funcs=0", "-verbosity=0"]);
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    shell::run(&mut command)
}

/// A command of cargo-fuzz for our targets: optimised, but with the checks of a debug build.
fn cargo_fuzz(command: &str) -> Result<Command> {
    let nightly = tools::nightly()?;
    let mut program = tools::at_root(&tools::cargo_fuzz()?);
    // the cargo that runs xtask is not the one that builds the targets
    program
        .env_remove("CARGO")
        .env("RUSTUP_TOOLCHAIN", nightly)
        .arg(command)
        .args(["--release", "--debug-assertions"])
        .arg("--fuzz-dir")
        .arg(folder())
        .arg("--target-dir")
        .arg(target().join("fuzz"));
    Ok(program)
}

fn folder() -> PathBuf {
    root().join("tests/fuzz")
}

#[cfg(test)]
mod tests {
    use super::{chosen, targets};

    #[test]
    fn all_targets_or_those_named() {
        let all = targets().unwrap();
        assert!(all.contains(&"cesql".to_owned()), "{all:?}");
        assert_eq!(chosen(all.clone(), &[]).unwrap(), all);
        let one = ["cesql".to_owned()];
        assert_eq!(chosen(all.clone(), &one).unwrap(), one);
        let error = chosen(all, &["nothing".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("cesql"), "{error}");
    }
}
