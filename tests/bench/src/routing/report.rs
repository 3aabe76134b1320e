//! The results: JSON with every cell, and Markdown with how far the rule is from the best fixed strategy.

use super::cells::Cell;
use super::strategy::Way;
use crate::options::RoutingOptions;
use crate::report::{median, publish};
use anyhow::Result;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// Most that the mean may be above that of the best fixed strategy, in every cell.
const MEAN_BAR: f64 = 1.12;

/// As much for the 99th percentile.
const P99_BAR: f64 = 1.25;

/// What the median cell may be.
const MEDIAN_BAR: f64 = 1.005;

/// Cells that share deciders, slots and what deciders know of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Group {
    /// One decider, which sees everything; one slot a replica.
    One,
    /// Three with a feed every 20 ms; one slot.
    Three,
    /// One decider, four slots.
    OneFourSlots,
    /// Three with a feed every 20 ms, four slots.
    ThreeFourSlots,
    /// Three with a feed every 100 ms; one slot.
    SlowFeed,
    /// Three that see only what they sent; one slot.
    NoFeed,
}

/// Times of one strategy in one cell.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Figures {
    way: Way,
    mean_millis: f64,
    p99_millis: f64,
}

/// One cell.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) group: Group,
    pub(super) cell: Cell,
    pub(super) adaptive: Figures,
    pub(super) fixed: [Figures; 5],
}

/// A run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip)]
    plan: RoutingOptions,
    pub(super) cells: Vec<Measured>,
}

impl Group {
    pub(super) const ALL: [Self; 6] = [
        Self::One,
        Self::Three,
        Self::OneFourSlots,
        Self::ThreeFourSlots,
        Self::SlowFeed,
        Self::NoFeed,
    ];

    pub(super) fn deciders(self) -> usize {
        match self {
            Self::One | Self::OneFourSlots => 1,
            Self::Three | Self::ThreeFourSlots | Self::SlowFeed | Self::NoFeed => 3,
        }
    }

    pub(super) fn slots(self) -> usize {
        match self {
            Self::OneFourSlots | Self::ThreeFourSlots => 4,
            Self::One | Self::Three | Self::SlowFeed | Self::NoFeed => 1,
        }
    }

    /// Milliseconds between two messages of the feed; `None` without one.
    pub(super) fn feed_millis(self) -> Option<u32> {
        match self {
            Self::One | Self::OneFourSlots | Self::Three | Self::ThreeFourSlots => Some(20),
            Self::SlowFeed => Some(100),
            Self::NoFeed => None,
        }
    }

    /// Whether the bars hold for it: the other rows say what becomes of replicas that serve several at once, and what the
    /// feed is for.
    fn has_bars(self) -> bool {
        match self {
            Self::One | Self::Three => true,
            Self::OneFourSlots | Self::ThreeFourSlots | Self::SlowFeed | Self::NoFeed => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::One => "1 decider",
            Self::Three => "3 deciders, feed 20 ms",
            Self::OneFourSlots => "1 decider, 4 slots",
            Self::ThreeFourSlots => "3 deciders, feed 20 ms, 4 slots",
            Self::SlowFeed => "3 deciders, feed 100 ms",
            Self::NoFeed => "3 deciders, no feed",
        }
    }
}

impl Figures {
    /// Of these times in nanoseconds, which are sorted.
    pub(super) fn of(way: Way, times: &mut [u64]) -> Self {
        times.sort_unstable();
        let sum: f64 = times.iter().map(|nanos| *nanos as f64).sum();
        let place = times.len() * 99 / 100;
        let p99 = times.get(place).copied().unwrap_or_default();
        Self {
            way,
            mean_millis: sum / times.len().max(1) as f64 / 1e6,
            p99_millis: p99 as f64 / 1e6,
        }
    }
}

impl Measured {
    /// Mean and 99th percentile of `figures` over the least of any fixed strategy.
    fn ratios(&self, figures: &Figures) -> (f64, f64) {
        let least =
            |value: fn(&Figures) -> f64| self.fixed.iter().map(value).fold(f64::INFINITY, f64::min);
        (
            figures.mean_millis / least(|figures| figures.mean_millis),
            figures.p99_millis / least(|figures| figures.p99_millis),
        )
    }

    /// The fixed strategy with the least mean.
    fn best(&self) -> &'static str {
        let means =
            |one: &&Figures, other: &&Figures| one.mean_millis.total_cmp(&other.mean_millis);
        self.fixed
            .iter()
            .min_by(means)
            .map_or("", |best| best.way.name())
    }
}

/// How one strategy did over the cells of a group.
struct Summary {
    mean_median: f64,
    mean_worst: f64,
    p99_worst: f64,
    over: usize,
}

impl Report {
    pub(super) fn new(plan: &RoutingOptions) -> Self {
        Self {
            plan: plan.clone(),
            cells: Vec::new(),
        }
    }

    fn group(&self, group: Group) -> impl Iterator<Item = &Measured> {
        self.cells.iter().filter(move |cell| cell.group == group)
    }

    fn summary(&self, group: Group, figures: impl Fn(&Measured) -> Figures) -> Summary {
        let ratios: Vec<_> = self
            .group(group)
            .map(|cell| cell.ratios(&figures(cell)))
            .collect();
        let means = ratios.iter().map(|(mean, _)| *mean);
        let p99s = ratios.iter().map(|(_, p99)| *p99);
        let over = ratios
            .iter()
            .filter(|(mean, p99)| *mean > MEAN_BAR || *p99 > P99_BAR);
        Summary {
            over: over.count(),
            mean_worst: means.clone().fold(0.0, f64::max),
            p99_worst: p99s.fold(0.0, f64::max),
            mean_median: median(means.collect()),
        }
    }

    /// One line for a group that has just ended.
    pub(super) fn progress(&self, group: Group) -> String {
        let summary = self.summary(group, |cell| cell.adaptive);
        format!(
            "{}: {} cells, mean {:.3} in the median cell, at most {:.3}, p99 at most {:.3}, {} over a bar",
            group.name(),
            self.group(group).count(),
            summary.mean_median,
            summary.mean_worst,
            summary.p99_worst,
            summary.over,
        )
    }

    /// Which bars are missed, in words.
    pub(super) fn missed(&self) -> Vec<String> {
        let barred = Group::ALL.into_iter().filter(|group| group.has_bars());
        barred
            .filter_map(|group| {
                let summary = self.summary(group, |cell| cell.adaptive);
                let missed = summary.over > 0 || summary.mean_median > MEDIAN_BAR;
                missed.then(|| self.progress(group))
            })
            .collect()
    }

    /// Writes `routing.json` and `routing.md`, and prints the latter.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        publish(folder, "routing", self, &self.markdown()?)
    }

    fn markdown(&self) -> Result<String> {
        let mut out = String::new();
        writeln!(
            out,
            "{} runs of {} events for each cell and strategy, the first quarter not counted. Ratios to the least of any fixed \
             strategy in the same cell: bars {MEAN_BAR} for the mean, {P99_BAR} for the 99th percentile, 1.00 in the median cell.\n",
            self.plan.rounds, self.plan.events,
        )?;
        out.push_str(
            "| deciders | cells | strategy | mean: median cell | worst cell | p99: worst cell | cells over a bar |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for group in Group::ALL {
            self.row(&mut out, group, Way::Adaptive, |cell| cell.adaptive)?;
            for (place, way) in Way::FIXED.into_iter().enumerate() {
                self.row(&mut out, group, way, |cell| {
                    cell.fixed.get(place).copied().unwrap_or(cell.adaptive)
                })?;
            }
        }
        out.push_str("\nThe worst cells of `Adaptive`:\n\n| deciders | cell | best fixed | mean | p99 |\n|---|---|---|---|---|\n");
        for group in Group::ALL {
            for measured in self.worst(group) {
                let (mean, p99) = measured.ratios(&measured.adaptive);
                writeln!(
                    out,
                    "| {} | {} | {} | {mean:.3} | {p99:.3} |",
                    group.name(),
                    measured.cell.name(),
                    measured.best(),
                )?;
            }
        }
        Ok(out)
    }

    fn row(
        &self,
        out: &mut String,
        group: Group,
        way: Way,
        figures: impl Fn(&Measured) -> Figures,
    ) -> Result<()> {
        let summary = self.summary(group, figures);
        writeln!(
            out,
            "| {} | {} | {} | {:.3} | {:.3} | {:.3} | {} |",
            group.name(),
            self.group(group).count(),
            way.name(),
            summary.mean_median,
            summary.mean_worst,
            summary.p99_worst,
            summary.over,
        )?;
        Ok(())
    }

    /// The three cells that are worst against the bars.
    fn worst(&self, group: Group) -> Vec<&Measured> {
        let badness = |cell: &Measured| {
            let (mean, p99) = cell.ratios(&cell.adaptive);
            ((mean - 1.0) / (MEAN_BAR - 1.0)).max((p99 - 1.0) / (P99_BAR - 1.0))
        };
        let mut cells: Vec<_> = self.group(group).collect();
        cells.sort_by(|one, other| badness(other).total_cmp(&badness(one)));
        cells.truncate(3);
        cells
    }
}
