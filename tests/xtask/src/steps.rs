//! Named steps with their durations, and the table at the end.

use anyhow::Result;
use std::process::ExitCode;
use std::time::Duration;
// Nothing is paused here: these are minutes of a person's life, not of a test's.
#[allow(clippy::disallowed_types)]
use std::time::Instant;

/// The steps of this run, in order. The first that fails is the last that runs.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
    failed: Option<(&'static str, anyhow::Error)>,
}

impl Steps {
    /// Runs a step, unless one has failed before it.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) {
        if self.failed.is_some() {
            return;
        }
        println!("\n==> {name}");
        #[allow(clippy::disallowed_types)] // as above
        let start = Instant::now();
        let outcome = work();
        let took = start.elapsed();
        println!("<== {name}: {:.1} s", took.as_secs_f64());
        self.done.push((name, took));
        if let Err(error) = outcome {
            self.failed = Some((name, error));
        }
    }

    /// Prints the table of minutes; the exit code says whether every step went well.
    pub(crate) fn finish(self) -> ExitCode {
        let total: Duration = self.done.iter().map(|(_, took)| *took).sum();
        println!("\n| step | minutes |\n|---|---|");
        for (name, took) in &self.done {
            println!("| {name} | {:.1} |", took.as_secs_f64() / 60.0);
        }
        println!("| all | {:.1} |", total.as_secs_f64() / 60.0);
        match self.failed {
            None => ExitCode::SUCCESS,
            Some((name, error)) => {
                println!("\n{name} failed: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn after_a_failure_nothing_runs() {
        let mut steps = Steps::default();
        let mut ran = Vec::new();
        steps.step("one", || Ok(()));
        steps.step("two", || anyhow::bail!("broken"));
        steps.step("three", || {
            ran.push("three");
            Ok(())
        });
        assert_eq!(
            steps.done.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["one", "two"]
        );
        assert_eq!(ran, Vec::<&str>::new());
        let code = format!("{:?}", steps.finish());
        assert_eq!(code, format!("{:?}", std::process::ExitCode::FAILURE));
    }
}
