//! What one `HopPolicy` says, checked: everything but its target.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::period::{MayBeZero, period};
use super::weights;
use crate::compile::plan::{Findings, Site};
use crate::objects::{HopPolicySpec, PolicyHealthCheck, PolicyOutlier};
use crate::period::show;
use crate::topology::{HealthCheck, Order, Outlier, Policy, Presentation, Strategy};

const THRESHOLD: RangeInclusive<u32> = 1..=100;
const CONCURRENCY: RangeInclusive<u32> = 1..=100_000;
const QUEUE: RangeInclusive<u32> = 0..=1_000_000;
const FAILURES: RangeInclusive<u32> = 0..=1000;

/// Defaults of a health check.
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
const HEALTHY: NonZeroU32 = NonZeroU32::MIN;
const UNHEALTHY: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);

/// The fields of a policy, or of several that were merged; `None` is left to a wider one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::compile) struct Fields {
    strategy: Option<Strategy>,
    health_check: Option<HealthCheck>,
    outlier: Option<Outlier>,
    slow_start: Option<Duration>,
    replica_concurrency: Option<NonZeroU32>,
    replica_queue: Option<u32>,
    pub(in crate::compile) presentation: Option<Presentation>,
    pub(in crate::compile) cut_through: Option<bool>,
    pub(in crate::compile) backoff_max: Option<Duration>,
    pub(in crate::compile) order: Option<Order>,
}

impl Fields {
    /// Takes what is not set yet from a wider policy.
    pub(super) fn fill(&mut self, wider: &Self) {
        fn fill<T: Clone>(field: &mut Option<T>, wider: &Option<T>) {
            if field.is_none() {
                field.clone_from(wider);
            }
        }
        // Taken apart by name, so that a new field cannot be forgotten here.
        let Self {
            strategy,
            health_check,
            outlier,
            slow_start,
            replica_concurrency,
            replica_queue,
            presentation,
            cut_through,
            backoff_max,
            order,
        } = self;
        fill(strategy, &wider.strategy);
        fill(health_check, &wider.health_check);
        fill(outlier, &wider.outlier);
        fill(slow_start, &wider.slow_start);
        fill(replica_concurrency, &wider.replica_concurrency);
        fill(replica_queue, &wider.replica_queue);
        fill(presentation, &wider.presentation);
        fill(cut_through, &wider.cut_through);
        fill(backoff_max, &wider.backoff_max);
        fill(order, &wider.order);
    }

    /// How a replica is chosen, with the defaults for what nobody says.
    pub(super) fn policy(&self) -> Policy {
        let default = Policy::default();
        Policy {
            strategy: self.strategy.clone().unwrap_or(default.strategy),
            health_check: self.health_check.clone(),
            outlier: self.outlier.clone().unwrap_or(default.outlier),
            slow_start: self.slow_start.unwrap_or(default.slow_start),
            replica_concurrency: self.replica_concurrency.or(default.replica_concurrency),
            replica_queue: self.replica_queue.unwrap_or(default.replica_queue),
        }
    }
}

/// Reads a `spec`; what is wrong is reported, and says nothing.
pub(super) fn read(spec: &HopPolicySpec, site: &Site<'_>, findings: &mut Findings) -> Fields {
    let HopPolicySpec {
        target_ref: _,
        strategy: _,
        weights: _,
        health_check,
        outlier,
        slow_start,
        replica_concurrency,
        replica_queue,
        presentation,
        cut_through,
        backoff_max,
        order,
    } = spec;
    let concurrency = site.field("replicaConcurrency");
    let concurrency = count(*replica_concurrency, CONCURRENCY, &concurrency, findings);
    Fields {
        strategy: weights::strategy(spec, site, findings),
        health_check: health_check
            .as_ref()
            .and_then(|check| read_check(check, &site.field("healthCheck"), findings)),
        outlier: outlier
            .as_ref()
            .map(|outlier| read_outlier(outlier, &site.field("outlier"), findings)),
        slow_start: period(
            slow_start.as_ref(),
            MayBeZero::Yes,
            &site.field("slowStart"),
            findings,
        ),
        replica_concurrency: concurrency.and_then(NonZeroU32::new),
        replica_queue: count(*replica_queue, QUEUE, &site.field("replicaQueue"), findings),
        presentation: presentation.as_ref().and_then(|word| {
            let read = word.parse::<Presentation>();
            read.map_err(|error| findings.problem(&site.field("presentation"), error.to_string()))
                .ok()
        }),
        cut_through: *cut_through,
        backoff_max: period(
            backoff_max.as_ref(),
            MayBeZero::No,
            &site.field("backoffMax"),
            findings,
        ),
        order: order.as_ref().and_then(|word| match word.as_str() {
            "None" => Some(Order::None),
            "Key" => Some(Order::Key),
            _ => {
                let message = format!("`{word}` is not one of: None, Key");
                findings.problem(&site.field("order"), message);
                None
            }
        }),
    }
}

/// A whole number within its bounds.
fn count(
    value: Option<i64>,
    range: RangeInclusive<u32>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<u32> {
    let value = value?;
    let within = u32::try_from(value)
        .ok()
        .filter(|value| range.contains(value));
    if within.is_none() {
        let message = format!("{value} is not from {} to {}", range.start(), range.end());
        findings.problem(site, message);
    }
    within
}

/// A default that is not given gives way to what is, so that nobody has to know it.
fn read_check(
    check: &PolicyHealthCheck,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<HealthCheck> {
    let PolicyHealthCheck {
        path,
        interval,
        timeout,
        healthy_threshold,
        unhealthy_threshold,
    } = check;
    let path_site = site.field("path");
    match path {
        None => findings.problem(
            &path_site,
            "missing; a health check needs a path, as `/healthz`",
        ),
        Some(path) if !is_path(path) => {
            let message = format!(
                "`{path}` is not a path; write it as `/healthz` or `/healthz?full=1`, beginning with `/`"
            );
            findings.problem(&path_site, message);
        }
        Some(_) => {}
    }
    let mut over_zero = |field: &str, text: &Option<String>| {
        period(text.as_ref(), MayBeZero::No, &site.field(field), findings)
    };
    let given_interval = over_zero("interval", interval);
    let given_timeout = over_zero("timeout", timeout);
    let interval =
        given_interval.unwrap_or_else(|| INTERVAL.max(given_timeout.unwrap_or_default()));
    let timeout = given_timeout.unwrap_or(TIMEOUT.min(interval));
    if timeout > interval {
        let message = format!(
            "{} is over `interval` ({}), so checks would overlap; shorten it",
            show(timeout),
            show(interval)
        );
        findings.problem(&site.field("timeout"), message);
    }
    let mut threshold = |field: &str, value: Option<i64>, default: NonZeroU32| {
        let value = count(value, THRESHOLD, &site.field(field), findings);
        value.and_then(NonZeroU32::new).unwrap_or(default)
    };
    Some(HealthCheck {
        path: path.as_deref()?.into(),
        interval,
        timeout,
        healthy_threshold: threshold("healthyThreshold", *healthy_threshold, HEALTHY),
        unhealthy_threshold: threshold("unhealthyThreshold", *unhealthy_threshold, UNHEALTHY),
    })
}

/// Whether a text can stand in a request line.
fn is_path(text: &str) -> bool {
    // A fragment would be cut off without a word.
    text.starts_with('/')
        && text.is_ascii()
        && !text.contains('#')
        && http::uri::PathAndQuery::try_from(text).is_ok()
}

/// As for a health check, a default gives way to what is given.
fn read_outlier(outlier: &PolicyOutlier, site: &Site<'_>, findings: &mut Findings) -> Outlier {
    let PolicyOutlier {
        consecutive_failures,
        base_ejection,
        max_ejection,
    } = outlier;
    let default = Outlier::default();
    let failures = site.field("consecutiveFailures");
    let failures = count(*consecutive_failures, FAILURES, &failures, findings);
    let mut over_zero = |field: &str, text: &Option<String>| {
        period(text.as_ref(), MayBeZero::No, &site.field(field), findings)
    };
    let base = over_zero("baseEjection", base_ejection);
    let max = over_zero("maxEjection", max_ejection);
    if let (Some(base), Some(max)) = (base, max)
        && max < base
    {
        let message = format!(
            "{} is under `baseEjection` ({}); raise it",
            show(max),
            show(base)
        );
        findings.problem(&site.field("maxEjection"), message);
    }
    let base = base.unwrap_or_else(|| {
        let most = max.unwrap_or(default.max_ejection);
        default.base_ejection.min(most)
    });
    Outlier {
        consecutive_failures: failures.unwrap_or(default.consecutive_failures),
        base_ejection: base,
        max_ejection: max.unwrap_or(default.max_ejection.max(base)),
    }
}
