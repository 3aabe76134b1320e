//! The steps of `lint`, `test` and `soak`.

use crate::shell::{cargo, run};
use crate::steps::Steps;
use crate::tools;

/// What can be judged without running anything.
pub(crate) fn lint(steps: &mut Steps) {
    steps.step("fmt", || {
        run(&mut cargo(&["fmt", "--all", "--check"]))?;
        // a workspace of its own, which --all does not reach
        let fuzz = ["fmt", "--manifest-path", "tests/fuzz/Cargo.toml", "--check"];
        run(&mut cargo(&fuzz))
    });
    steps.step("clippy", || {
        let arguments = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        run(&mut cargo(&arguments))
    });
    steps.step("doc", || {
        let arguments = [
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ];
        run(cargo(&arguments).env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.step("deny", || {
        let program = tools::cargo_deny()?;
        println!(
            "advisories are not part of this: they need a git fetch from outside the crate registry; \
             where that is open, run `cargo deny check advisories`"
        );
        run(tools::at_root(&program).args(["check", "bans", "licenses", "sources"]))
    });
}

/// All tests, against the binary that is built first.
pub(crate) fn test(steps: &mut Steps) {
    tools::for_tests(steps);
    steps.step("build", || {
        run(&mut cargo(&["build", "--package", "towpath"]))
    });
    steps.step("test", || {
        run(&mut cargo(&["test", "--workspace", "--no-fail-fast"]))
    });
}

/// The scenarios with all their events: what is too long for every change.
pub(crate) fn soak(steps: &mut Steps) {
    tools::for_tests(steps);
    steps.step("build", || {
        run(&mut cargo(&["build", "--release", "--package", "towpath"]))
    });
    steps.step("scenarios, long", || {
        let arguments = [
            "test",
            "--release",
            "--package",
            "towpath-harness",
            "--test",
            "scenario",
        ];
        run(cargo(&arguments).env("TOWPATH_SOAK", "1"))
    });
}
