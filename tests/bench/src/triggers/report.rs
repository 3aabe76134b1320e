//! The results: JSON with every round, and Markdown with medians and what they are held against.

use super::compile::Compiling;
use super::manifests::Filters;
use super::round::Measured;
use crate::options::TriggersOptions;
use crate::report::{caveats, median, publish, size_name, spread};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// A run without any error.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip)]
    plan: TriggersOptions,
    pub(super) rounds: Vec<Measured>,
    pub(super) compiling: Vec<Compiling>,
}

/// One line for a round that has just ended.
pub(super) fn progress(measured: &Measured) -> String {
    format!(
        "{} ({} Triggers) round {}: {} events, gateway {:.1} us CPU an event, p50 {:.1} us",
        measured.filters.name(),
        measured.triggers,
        measured.round,
        measured.events,
        measured.gateway_cpu_nanos / 1e3,
        micros(measured.event_p50_nanos),
    )
}

impl Report {
    pub(super) fn new(plan: &TriggersOptions) -> Self {
        Self {
            plan: plan.clone(),
            rounds: Vec::new(),
            compiling: Vec::new(),
        }
    }

    /// Writes `triggers.json` and `triggers.md`, and prints the latter.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        publish(folder, "triggers", self, &self.markdown()?)
    }

    fn markdown(&self) -> Result<String> {
        let plan = &self.plan;
        let mut out = String::new();
        writeln!(
            out,
            "{} rounds of {} s each, bodies of {}, {} in flight; medians over the rounds, with least and most; \
             against the broker with one Trigger, round by round.\n",
            plan.rounds,
            plan.seconds.as_secs_f64(),
            size_name(plan.size),
            plan.workflows,
        )?;
        out.push_str(
            "| filters | Triggers | gateway CPU us an event | x one | us more a Trigger | event p50 us | x one | us more a Trigger | bar |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        for filters in Filters::ALL {
            self.row(&mut out, filters)?;
        }
        let took = self.compiling.iter().map(|round| millis(round.nanos()));
        let start = self.compiling.iter().map(|round| millis(round.one_nanos));
        writeln!(
            out,
            "\nCompiling {} Triggers (exact, prefix and CESQL in turns): {} ms, of `towpath check` on them less {} ms on one; bar 200 ms for 5,000.",
            plan.compiled,
            spread(took.collect()),
            spread(start.collect()),
        )?;
        out.push_str(&caveats(
            self.rounds.iter().map(|round| round.others_cpu_share),
        )?);
        Ok(out)
    }

    fn row(&self, out: &mut String, filters: Filters) -> Result<()> {
        let cpu = Compared::of(self, filters, |round| round.gateway_cpu_nanos / 1e3);
        let p50 = Compared::of(self, filters, |round| micros(round.event_p50_nanos));
        let bar = match filters {
            Filters::One => "",
            Filters::Exact => "1.2 x one",
            Filters::Prefix => "1 us a Trigger",
            Filters::Cesql => "3 us a Trigger",
        };
        writeln!(
            out,
            "| {} | {} | {:.1} | {} | {} | {:.1} | {} | {} | {bar} |",
            filters.name(),
            filters.count(self.plan.triggers),
            cpu.median,
            cpu.ratio,
            cpu.more,
            p50.median,
            p50.ratio,
            p50.more,
        )?;
        Ok(())
    }
}

/// A figure beside that of the broker with one Trigger in the same round.
struct Compared {
    median: f64,
    ratio: String,
    more: String,
}

impl Compared {
    fn of(report: &Report, filters: Filters, value: impl Fn(&Measured) -> f64) -> Self {
        let of = |filters| {
            let rounds = report.rounds.iter();
            rounds
                .filter(move |round| round.filters == filters)
                .map(&value)
                .collect::<Vec<_>>()
        };
        let (values, one) = (of(filters), of(Filters::One));
        let more = f64::from(filters.count(report.plan.triggers).saturating_sub(1));
        let compare = |by: &dyn Fn(f64, f64) -> f64| {
            if filters == Filters::One {
                return String::new();
            }
            let pairs = values.iter().zip(&one);
            spread(pairs.map(|(value, one)| by(*value, *one)).collect())
        };
        Self {
            ratio: compare(&|value, one| value / one),
            more: compare(&|value, one| (value - one) / more),
            median: median(values.clone()),
        }
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
