//! What Triggers cost: one event through a broker with one Trigger, and with many of which one takes it.

mod compile;
mod manifests;
mod report;
mod round;

use crate::options::TriggersOptions;
use crate::run::gateway_binary;
use anyhow::{Context, Result};
use manifests::Filters;
use report::Report;

/// Runs what the options ask for, writes `triggers.json` and `triggers.md`, and prints the latter.
///
/// # Errors
/// Any error in any round: then nothing is written.
pub(crate) async fn run(options: &TriggersOptions) -> Result<()> {
    let plan = options.plan();
    let gateway = gateway_binary(plan.gateway.as_deref())?;
    let mut report = Report::new(&plan);
    let mut brokers = Vec::new();
    for filters in Filters::ALL {
        let broker = round::Broker::start(&gateway, filters, plan.triggers)?;
        brokers.push((filters, broker));
    }
    for number in 0..plan.rounds {
        for (filters, broker) in &brokers {
            let measured = broker
                .measure(&plan, number)
                .await
                .with_context(|| format!("{}, round {number}", filters.name()))?;
            eprintln!("{}", report::progress(&measured));
            report.rounds.push(measured);
        }
    }
    // the gateways of the rounds are gone before the processes that are timed start
    drop(brokers);
    report.compiling = compile::measure(&gateway, plan.compiled, plan.rounds)?;
    report.write(&plan.out)
}
