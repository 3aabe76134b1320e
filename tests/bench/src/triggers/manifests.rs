//! The manifests: a Broker, and Triggers of which the one in the middle takes the benchmark's events.

use crate::control::STEPS;
use serde::Serialize;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// Type of the events that the sender sends.
const TYPE: &str = "dev.towpath.bench";

/// Path of the broker.
pub(super) const PATH: &str = "/brokers/bench/events";

/// What the filters of the Triggers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Filters {
    /// One Trigger with an exact type: what the others are compared with.
    One,
    /// Exact types.
    Exact,
    /// Prefixes of the type, which differ at their ends only.
    Prefix,
    /// CESQL that is evaluated whole: two comparisons, one of them a pattern.
    Cesql,
}

impl Filters {
    /// In the order in which they are measured.
    pub(super) const ALL: [Self; 4] = [Self::One, Self::Exact, Self::Prefix, Self::Cesql];

    /// The name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Exact => "exact",
            Self::Prefix => "prefix",
            Self::Cesql => "cesql",
        }
    }

    /// How many Triggers the broker has.
    pub(super) fn count(self, triggers: u32) -> u32 {
        match self {
            Self::One => 1,
            Self::Exact | Self::Prefix | Self::Cesql => triggers,
        }
    }

    /// The filter of a Trigger that takes events of this type, as YAML.
    fn filter(self, kind: &str) -> String {
        match self {
            Self::One | Self::Exact => format!("{{exact: {{type: {kind}}}}}"),
            Self::Prefix => format!("{{prefix: {{type: {kind}}}}}"),
            Self::Cesql => {
                format!("{{cesql: \"type = '{kind}' OR source LIKE '/none/%/{kind}'\"}}")
            }
        }
    }

    /// A broker with so many Triggers of this kind; they deliver to the last step of a step process.
    pub(super) fn manifests(self, triggers: u32, step: SocketAddr) -> String {
        let count = self.count(triggers);
        let filters = (0..count).map(|index| self.filter(&kind(index, count)));
        broker(filters, step)
    }
}

/// A broker with so many Triggers, exact, prefix and CESQL in turns.
pub(super) fn mixed(triggers: u32) -> String {
    let kinds = [Filters::Exact, Filters::Prefix, Filters::Cesql];
    let filters = (0..triggers)
        .zip(kinds.into_iter().cycle())
        .map(|(index, filters)| filters.filter(&kind(index, triggers)));
    broker(filters, SocketAddr::from(([127, 0, 0, 1], 9)))
}

/// The event type of a Trigger: the benchmark's for the one in the middle.
fn kind(index: u32, count: u32) -> String {
    if index == count / 2 {
        TYPE.to_owned()
    } else {
        format!("{TYPE}.{index:06}")
    }
}

fn broker(filters: impl Iterator<Item = String>, step: SocketAddr) -> String {
    let mut yaml = String::from(
        "apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: events, namespace: bench}
",
    );
    for (index, filter) in filters.enumerate() {
        // writing to a string does not fail
        let _ = write!(
            yaml,
            "---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: trigger-{index}, namespace: bench}}
spec:
  broker: events
  filters: [{filter}]
  subscriber: {{uri: \"http://{step}/step/{}\"}}
",
            STEPS - 1
        );
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::{Filters, TYPE, mixed};
    use std::net::SocketAddr;

    #[test]
    fn one_trigger_takes_the_events() {
        let step = SocketAddr::from(([127, 0, 0, 1], 1));
        for filters in Filters::ALL {
            let yaml = filters.manifests(10, step);
            let count = if filters == Filters::One { 1 } else { 10 };
            assert_eq!(yaml.matches("kind: Trigger").count(), count, "{yaml}");
            let takers = yaml.lines().filter(|line| {
                line.contains("filters:")
                    && (line.contains(&format!("{TYPE}}}")) || line.contains(&format!("{TYPE}'")))
            });
            assert_eq!(takers.count(), 1, "{yaml}");
        }
        assert_eq!(mixed(9).matches("cesql").count(), 3);
    }
}
