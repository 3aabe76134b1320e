//! Where hops go: a simulation that drives the gateway's own `choose` and load over many settings, against the best fixed
//! strategy of each.

mod cells;
mod engine;
mod report;
mod strategy;

use crate::options::RoutingOptions;
use anyhow::{Result, bail};
use cells::{Cell, sweep};
use engine::{Engine, Knowledge};
use report::{Group, Measured, Report};
use strategy::Way;

/// One in so many events of a run, the first ones, is not counted: the replicas are empty and nothing is known of them yet.
const WARM_UP: usize = 4;

/// Runs the sweep, writes `routing.json` and `routing.md`, and prints the latter. Nothing here depends on the machine.
///
/// # Errors
/// The rule misses a bar, unless it is a smoke test; then the files are written all the same. Or they cannot be written.
pub(crate) fn run(options: &RoutingOptions) -> Result<()> {
    let plan = options.plan();
    let mut report = Report::new(&plan);
    for group in Group::ALL {
        let cells = sweep(group.deciders(), group.slots(), plan.whole);
        let every = if plan.smoke { 13 } else { 1 };
        for cell in cells.iter().skip(every / 2).step_by(every) {
            report.cells.push(measure(group, cell, &plan));
        }
        eprintln!("{}", report.progress(group));
    }
    report.write(&plan.out)?;
    let missed = report.missed();
    if !plan.smoke && !missed.is_empty() {
        bail!("bars are missed: {}", missed.join("; "));
    }
    Ok(())
}

/// One cell with every strategy, on the same events.
fn measure(group: Group, cell: &Cell, plan: &RoutingOptions) -> Measured {
    let figures = |way| {
        let mut times = Vec::new();
        for round in 0..plan.rounds {
            let seed = u64::from(round) + 1;
            let arrivals = cell.arrivals(plan.events, seed);
            let run = Engine::new(cell, group.knowledge(), way, seed << 32).run(&arrivals);
            times.extend(run.into_iter().skip(plan.events / WARM_UP));
        }
        report::Figures::of(way, &mut times)
    };
    Measured {
        group,
        cell: *cell,
        adaptive: figures(Way::Adaptive),
        fixed: Way::FIXED.map(figures),
    }
}

impl Group {
    fn knowledge(self) -> Knowledge {
        match self.feed_millis() {
            Some(millis) => Knowledge::Feed {
                every_nanos: u64::from(millis) * 1_000_000,
            },
            None => Knowledge::Own,
        }
    }
}
