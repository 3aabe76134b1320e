//! Periods of a `HopPolicy`: ISO-8601, with bounds.

use std::time::Duration;

use crate::compile::plan::{Findings, Site};
use crate::period;

/// Longest period: clocks must be able to add it.
const YEAR: Duration = Duration::from_hours(24 * 365);

/// Whether zero means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MayBeZero {
    Yes,
    No,
}

/// A period, if it is given and within its bounds; else what is wrong with it is reported.
pub(super) fn period(
    text: Option<&String>,
    may_be_zero: MayBeZero,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<Duration> {
    let text = text?;
    let problem = match period::parse(text) {
        Err(error) => error.to_string(),
        Ok(period) if period.is_zero() && may_be_zero == MayBeZero::No => {
            format!("`{text}` is zero; write a period over zero, as `PT5S`")
        }
        Ok(period) if period > YEAR => format!("`{text}` is over a year; write at most `P365D`"),
        Ok(period) => return Some(period),
    };
    findings.problem(site, problem);
    None
}
