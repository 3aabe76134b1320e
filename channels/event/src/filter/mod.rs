//! Filters: which events a Trigger wants, compiled once and asked for every event.

mod build;
mod explain;
mod index;
mod lookup;

pub use build::InvalidFilter;
pub use explain::Explanation;
pub use index::FilterIndex;

use crate::Attributes;
use crate::cesql::{Environment, Expression};

/// A filter over the attributes of an event: the dialects of the Subscriptions API, and the attributes filter of
/// older Triggers (B5, F6). It never sees data (C9.4). A value of this type is always valid: what cannot be built
/// is refused whole, so an invalid filter never widens what matches.
///
/// Text is compared with what the event carries, never percent-decoded (C3.10); numbers and booleans by their canonical
/// text (B5.4). Names are those of B5.3: beside attributes also `datamediatype`, the content type without
/// parameters, and `schemaurl` and `dataschema` for the same thing. `time` is compared in UTC with the shortest
/// fraction, as Knative does, and as `0001-01-01T00:00:00Z` where the event has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    node: Node,
    /// Of the tree: 1 for a filter that contains none.
    depth: usize,
    /// Filters and pairs in the tree.
    nodes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Everything,
    All(Box<[Filter]>),
    Any(Box<[Filter]>),
    Not(Box<Filter>),
    Pairs(Dialect, Box<[Pair]>),
    Cesql(Box<Expression>),
}

/// How the pairs of a filter are compared; all of them must match (B5.2, B5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Exact,
    Prefix,
    Suffix,
    /// As exact, but an empty value takes any value, if the event has the attribute (B5.2).
    Attributes,
}

/// The name of an attribute and what its value is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    attribute: Box<str>,
    value: Box<str>,
}

/// What a filter says of an event (B5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Fail,
    /// It has no opinion: the empty filter. It passes where it stands alone, and in a list the others decide.
    Neutral,
}

/// A verdict and the part of the filter that decided it.
#[derive(Clone, Copy)]
struct Decision<'f> {
    verdict: Verdict,
    part: Part<'f>,
}

/// A part of a filter.
#[derive(Clone, Copy)]
enum Part<'f> {
    Whole(&'f Filter),
    Pair(Dialect, &'f Pair),
}

impl Filter {
    /// How deep filters may nest. A filter without filters in it has depth 1.
    pub const MAX_DEPTH: usize = 32;
    /// Filters and pairs of attribute and value that a filter may have in all.
    pub const MAX_NODES: usize = 1024;

    /// Whether an event with these attributes passes (B5.6). Allocates nothing, but for a `time` that is not in UTC
    /// and for CESQL functions that make text.
    pub fn matches(&self, attributes: &Attributes, environment: &Environment) -> bool {
        self.decide(attributes, environment).verdict != Verdict::Fail
    }

    /// Whether an event with these attributes passes, and which part of the filter decided that: the first that
    /// settled it. It asks the same code as [`Filter::matches`].
    pub fn explain(&self, attributes: &Attributes, environment: &Environment) -> Explanation {
        explain::explain(self, attributes, environment)
    }

    fn decide<'f>(&'f self, attributes: &Attributes, environment: &Environment) -> Decision<'f> {
        match &self.node {
            Node::Everything => self.whole(Verdict::Neutral),
            Node::All(filters) => self.first(filters, Verdict::Fail, attributes, environment),
            Node::Any(filters) => self.first(filters, Verdict::Pass, attributes, environment),
            Node::Not(filter) => {
                let inner = filter.decide(attributes, environment);
                Decision {
                    verdict: match inner.verdict {
                        Verdict::Pass => Verdict::Fail,
                        Verdict::Fail => Verdict::Pass,
                        Verdict::Neutral => Verdict::Neutral,
                    },
                    ..inner
                }
            }
            Node::Pairs(dialect, pairs) => {
                let failed = pairs.iter().find(|pair| !dialect.holds(pair, attributes));
                match (failed, &pairs[..]) {
                    (Some(pair), _) => Part::Pair(*dialect, pair).decides(Verdict::Fail),
                    (None, [pair]) => Part::Pair(*dialect, pair).decides(Verdict::Pass),
                    (None, _) => self.whole(Verdict::Pass),
                }
            }
            Node::Cesql(expression) => self.whole(if expression.matches(attributes, environment) {
                Verdict::Pass
            } else {
                Verdict::Fail
            }),
        }
    }

    /// The first of `filters` that gives `settling` decides. If none does, the others together have decided the
    /// opposite, unless all are neutral.
    fn first<'f>(
        &'f self,
        filters: &'f [Filter],
        settling: Verdict,
        attributes: &Attributes,
        environment: &Environment,
    ) -> Decision<'f> {
        let mut so_far = self.whole(Verdict::Neutral);
        for filter in filters {
            let decision = filter.decide(attributes, environment);
            if decision.verdict == settling {
                return decision;
            }
            so_far = match (decision.verdict, so_far.verdict) {
                (Verdict::Neutral, _) => so_far,
                (_, Verdict::Neutral) => decision,
                // Two or more: none of them alone decided.
                (verdict, _) => self.whole(verdict),
            };
        }
        so_far
    }

    fn whole(&self, verdict: Verdict) -> Decision<'_> {
        Part::Whole(self).decides(verdict)
    }
}

impl<'f> Part<'f> {
    fn decides(self, verdict: Verdict) -> Decision<'f> {
        Decision {
            verdict,
            part: self,
        }
    }
}

impl Dialect {
    fn holds(self, pair: &Pair, attributes: &Attributes) -> bool {
        if self == Self::Attributes && pair.value.is_empty() {
            return lookup::present(attributes, &pair.attribute);
        }
        let Some(text) = lookup::text(attributes, &pair.attribute) else {
            return false;
        };
        match self {
            Self::Exact | Self::Attributes => *text == *pair.value,
            Self::Prefix => text.starts_with(&*pair.value),
            Self::Suffix => text.ends_with(&*pair.value),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefix => "prefix",
            Self::Suffix => "suffix",
            Self::Attributes => "attributes",
        }
    }
}
