//! The steps that measure: the benchmarks of hops, of Triggers and of payloads, their smoke test and their long run.

use crate::shell::{self, cargo, target};
use crate::steps::Steps;
use crate::tools::at_root;

/// The benchmark in release, with the options given; without any, all benchmarks whole.
pub(crate) fn run(steps: &mut Steps, options: &[String]) {
    release(steps);
    steps.step("bench", || {
        measure("release", options.iter().map(String::as_str))
    });
    if options.is_empty() {
        steps.step("bench of Triggers", || measure("release", ["triggers"]));
        steps.step("bench of payloads", || measure("release", ["payloads"]));
    }
}

/// That the benchmarks run without an error. Debug builds, which the tests have made already: the figures say
/// nothing and go where nobody takes them for results.
pub(crate) fn smoke(steps: &mut Steps) {
    steps.step("build bench", || {
        run_cargo(&[
            "build",
            "--package",
            "towpath",
            "--package",
            "towpath-bench",
        ])
    });
    steps.step("bench smoke", || {
        let out = target().join("bench-smoke");
        let out = out.to_string_lossy();
        measure("debug", ["--quick", "--out", out.as_ref()])?;
        measure("debug", ["triggers", "--quick", "--out", out.as_ref()])?;
        measure("debug", ["payloads", "--smoke", "--out", out.as_ref()])
    });
}

/// The benchmarks with rounds enough for figures to quote.
pub(crate) fn long(steps: &mut Steps) {
    release(steps);
    steps.step("bench, long", || {
        let long = ["--rounds", "15", "--seconds", "10"];
        measure("release", long)?;
        measure("release", std::iter::once("triggers").chain(long))
    });
}

fn release(steps: &mut Steps) {
    steps.step("build bench", || {
        run_cargo(&[
            "build",
            "--release",
            "--package",
            "towpath",
            "--package",
            "towpath-bench",
        ])
    });
}

fn run_cargo(arguments: &[&str]) -> anyhow::Result<()> {
    shell::run(&mut cargo(arguments))
}

fn measure<'a>(profile: &str, options: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
    let program = target().join(profile).join("towpath-bench");
    shell::run(at_root(&program).args(options))
}
