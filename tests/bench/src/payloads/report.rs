//! The results: one line for each thing measured, with its bar; JSON with every round, and Markdown.

use crate::report::{caveats, publish, spread};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use towpath_harness::memory::Peak;

/// One thing that was measured in every round.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    /// What.
    pub(super) what: String,
    /// In which unit; empty for ratios.
    pub(super) unit: &'static str,
    /// The value of each round.
    pub(super) rounds: Vec<f64>,
    /// What it is held against, in words.
    pub(super) bar: String,
    /// Whether it holds; none where there is no bar, or the run was too short for one.
    pub(super) holds: Option<bool>,
    /// What else there is to say.
    pub(super) note: String,
}

/// A bound on a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bar {
    /// For the median of the rounds.
    MedianAtMost(f64),
    /// For the round with the greatest value.
    AtMost(f64),
    /// For the round with the least value.
    AtLeast(f64),
}

impl Line {
    /// A line without a bar.
    pub(super) fn new(what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self {
            what: what.into(),
            unit,
            rounds,
            bar: String::new(),
            holds: None,
            note: String::new(),
        }
    }

    /// Holds it against a bar.
    pub(super) fn bar(mut self, bar: Bar) -> Self {
        let worst = |by: fn(f64, f64) -> f64| self.rounds.iter().copied().reduce(by);
        let (text, holds) = match bar {
            Bar::MedianAtMost(most) => (
                format!("at most {most}"),
                (!self.rounds.is_empty())
                    .then(|| crate::report::median(self.rounds.clone()) <= most),
            ),
            Bar::AtMost(most) => (
                format!("at most {most}, each round"),
                worst(f64::max).map(|worst| worst <= most),
            ),
            Bar::AtLeast(least) => (
                format!("at least {least}, each round"),
                worst(f64::min).map(|worst| worst >= least),
            ),
        };
        self.bar = text;
        self.holds = holds;
        self
    }

    /// Adds a note.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// A scenario with what it measured, or why it measured nothing.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) scenario: &'static str,
    pub(super) lines: Vec<Line>,
    pub(super) error: Option<String>,
    /// Share of the machine's CPU time that went to processes other than the benchmark's; 0 to 1. None if not known.
    pub(super) others_cpu_share: Option<f64>,
}

/// Everything of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether the loads were those that the bars are for.
    pub(super) full: bool,
    pub(super) outcomes: Vec<Outcome>,
}

impl Report {
    /// Writes `payloads.json` and `payloads.md`, and prints the latter.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        publish(folder, "payloads", self, &self.markdown()?)
    }

    /// How many scenarios ended with an error.
    pub(super) fn errors(&self) -> usize {
        let failed = |outcome: &&Outcome| outcome.error.is_some();
        self.outcomes.iter().filter(failed).count()
    }

    fn markdown(&self) -> Result<String> {
        let mut out = String::from(
            "Medians over the rounds (least to most).\n\n\
             | what | measured | bar | holds | |\n|---|---|---|---|---|\n",
        );
        for outcome in &self.outcomes {
            if let Some(error) = &outcome.error {
                let error = error.replace('|', "/").replace('\n', " ");
                writeln!(out, "| {} | | | error | {error} |", outcome.scenario)?;
                continue;
            }
            for line in &outcome.lines {
                let holds = match line.holds.filter(|_| self.full) {
                    Some(true) => "yes",
                    Some(false) => "NO",
                    None => "",
                };
                writeln!(
                    out,
                    "| {} | {} {} | {} | {holds} | {} |",
                    line.what,
                    spread(line.rounds.clone()),
                    line.unit,
                    line.bar,
                    line.note
                )?;
            }
        }
        if !self.full {
            out.push_str("\nSmaller loads than the bars are for: nothing is held against them.\n");
        }
        let others = self
            .outcomes
            .iter()
            .filter_map(|outcome| outcome.others_cpu_share);
        out.push_str(&caveats(others)?);
        Ok(out)
    }
}

/// A line on peaks of memory, with the parts of the greatest.
pub(super) fn peaks(what: impl Into<String>, peaks: &[Peak], counts_dirty_pages: bool) -> Line {
    let totals = peaks.iter().map(|peak| mebibytes(peak.sample.total()));
    let worst = peaks.iter().max_by_key(|peak| peak.sample.total());
    let sample = worst.map(|peak| peak.sample).unwrap_or_default();
    let dirty = if counts_dirty_pages {
        format!("{:.0} dirty", mebibytes(sample.dirty))
    } else {
        "dirty pages not counted here".to_owned()
    };
    Line::new(what, "MiB", totals.collect()).note(format!(
        "the most: {:.0} anonymous, {:.0} shared, {dirty}",
        mebibytes(sample.rss),
        mebibytes(sample.shmem),
    ))
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::{Bar, Line, Outcome, Report};

    fn line(bar: Bar) -> Option<bool> {
        Line::new("x", "ms", vec![1.0, 2.0, 9.0]).bar(bar).holds
    }

    #[test]
    fn bars_hold_for_the_median_or_for_every_round() {
        assert_eq!(line(Bar::MedianAtMost(2.0)), Some(true));
        assert_eq!(line(Bar::MedianAtMost(1.9)), Some(false));
        assert_eq!(line(Bar::AtMost(2.0)), Some(false));
        assert_eq!(line(Bar::AtMost(9.0)), Some(true));
        assert_eq!(line(Bar::AtLeast(1.0)), Some(true));
        assert_eq!(line(Bar::AtLeast(2.0)), Some(false));
        assert_eq!(
            Line::new("x", "", Vec::new()).bar(Bar::AtMost(1.0)).holds,
            None
        );
    }

    #[test]
    fn an_error_has_no_figures_and_a_small_run_no_verdict() {
        let figures = Line::new("speed", "ms", vec![1.0]).bar(Bar::AtMost(2.0));
        let outcome = |error: Option<&str>| Outcome {
            scenario: "speed",
            lines: vec![figures.clone()],
            error: error.map(str::to_owned),
            others_cpu_share: Some(0.0),
        };
        let report = |full, error| Report {
            full,
            outcomes: vec![outcome(error)],
        };
        let text = report(true, None).markdown().unwrap();
        assert!(
            text.contains("| speed | 1.00 (1.00 to 1.00) ms | at most 2, each round | yes |"),
            "{text}"
        );
        let text = report(false, None).markdown().unwrap();
        assert!(!text.contains("yes"), "{text}");
        let failed = report(true, Some("it | broke"));
        assert_eq!(failed.errors(), 1);
        let text = failed.markdown().unwrap();
        assert!(
            text.contains("error | it / broke") && !text.contains("1.00"),
            "{text}"
        );
    }
}
