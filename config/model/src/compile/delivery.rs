//! Delivery specs: the rules of C8.7, and what a subscription inherits from its channel or broker (A7.5, A7.6, B4.13).

use std::time::Duration;

use super::plan::{Findings, Site, To};
use super::resolve::Resolver;
use crate::objects::DeliverySpec;
use crate::period;
use crate::topology::{Backoff, Delivery, Destination, Format};

/// A delivery spec that has been checked, with its dead letter sink resolved.
#[derive(Debug, Clone, Default)]
pub(super) struct Checked {
    pub(super) delivery: Delivery,
    pub(super) dead_letter: Option<Destination>,
}

impl Checked {
    /// What a Subscription gets (A7.5, A7.6, I10): without a spec of its own the channel's numbers, with one only its
    /// own; a missing dead letter sink is the channel's in both cases. The channel's `format` is not handed down
    /// (A7.6); its own is obeyed, since whoever writes it there means it.
    pub(super) fn inherit(own: Option<Self>, channel: Option<&Self>) -> Self {
        let has_own = own.is_some();
        let mut checked = Self::inherit_whole(own, channel);
        if !has_own {
            checked.delivery.format = None;
        }
        checked
    }

    /// What a Trigger gets (B4.13, C8.9, I10): without a spec of its own all of the broker's, with one only its own,
    /// and 0 counts as set; a missing dead letter sink is the broker's in both cases.
    pub(super) fn inherit_whole(own: Option<Self>, broker: Option<&Self>) -> Self {
        match (own, broker) {
            (Some(own), broker) => Self {
                dead_letter: own
                    .dead_letter
                    .or_else(|| broker.and_then(|broker| broker.dead_letter.clone())),
                ..own
            },
            (None, broker) => broker.cloned().unwrap_or_default(),
        }
    }
}

/// Checks a delivery spec (C8.7).
pub(super) fn check(
    spec: &DeliverySpec,
    site: &Site<'_>,
    resolver: &Resolver<'_>,
    findings: &mut Findings,
) -> Checked {
    let retry = spec.retry.unwrap_or_default();
    if retry < 0 {
        findings.problem(
            &site.field("retry"),
            format!("{retry} is negative; write 0 for no further attempt"),
        );
    }
    let mut period = |field: &str, value: Option<&String>| -> Option<Duration> {
        let parsed = period::parse(value?);
        parsed
            .map_err(|error| findings.problem(&site.field(field), error.to_string()))
            .ok()
    };
    let delay = period("backoffDelay", spec.backoff_delay.as_ref());
    let timeout = period("timeout", spec.timeout.as_ref());
    let retry_after_max = period("retryAfterMax", spec.retry_after_max.as_ref());
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        let message = "must be over zero; leave it out for no time-out of the delivery spec";
        findings.problem(&site.field("timeout"), message);
    }
    let dead_letter = spec.dead_letter_sink.as_ref().and_then(|sink| {
        let to = To::Written(
            std::borrow::Cow::Borrowed(sink),
            site.field("deadLetterSink"),
        );
        resolver.resolve(&to, findings)
    });
    Checked {
        delivery: Delivery {
            retry: u32::try_from(retry).unwrap_or_default(),
            backoff: backoff(spec.backoff_policy.as_deref(), delay, site, findings),
            timeout,
            retry_after_max,
            format: format(spec.format.as_deref(), site, findings),
            ..Delivery::default()
        },
        dead_letter,
    }
}

/// Waits only if both policy and delay are set (C8.3).
fn backoff(
    policy: Option<&str>,
    delay: Option<Duration>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<Backoff> {
    match (policy?, delay) {
        ("linear", delay) => delay.map(Backoff::Linear),
        ("exponential", delay) => delay.map(Backoff::Exponential),
        (other, _) => {
            findings.problem(
                &site.field("backoffPolicy"),
                format!("`{other}` is not one of: linear, exponential"),
            );
            None
        }
    }
}

fn format(format: Option<&str>, site: &Site<'_>, findings: &mut Findings) -> Option<Format> {
    match format? {
        "json" => Some(Format::Json),
        "binary" => Some(Format::Binary),
        other => {
            findings.problem(
                &site.field("format"),
                format!("`{other}` is not one of: json, binary"),
            );
            None
        }
    }
}
