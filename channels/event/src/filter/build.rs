//! Building filters: what is invalid is refused, never skipped.

use super::{Dialect, Filter, Node, Pair};
use crate::cesql::{Expression, ParseError};
use crate::invalid::shown;

/// Why there is no such filter. `Display` names the dialect, the value and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// A pair without an attribute.
    #[error(
        "{dialect}: the name of an attribute is empty (its value is {}); name the attribute to compare",
        shown(value)
    )]
    EmptyAttribute {
        /// The dialect of the filter.
        dialect: &'static str,
        /// The value beside it.
        value: Box<str>,
    },
    /// A pair without a value, which only the attributes filter may have.
    #[error(
        "{dialect}: attribute {} has an empty value, which would match everything or nothing; give a value, or test for presence with cesql: EXISTS",
        shown(attribute)
    )]
    EmptyValue {
        /// The dialect of the filter.
        dialect: &'static str,
        /// The attribute.
        attribute: Box<str>,
    },
    /// A dialect that needs something in it has nothing in it (F6.1).
    #[error(
        "{dialect}: it is empty; give it at least one entry, or leave the filter out to match everything"
    )]
    Empty {
        /// The dialect of the filter.
        dialect: &'static str,
    },
    /// A CESQL expression that does not parse.
    #[error("cesql: {0}")]
    Cesql(#[from] ParseError),
    /// Filters nest too deep.
    #[error(
        "filters nest {depth} deep, and {} is the limit; nest them less deep",
        Filter::MAX_DEPTH
    )]
    TooDeep {
        /// How deep they would nest.
        depth: usize,
    },
    /// There are too many filters in one.
    #[error(
        "the filter has {nodes} filters and attributes in it, and {} is the limit; use fewer",
        Filter::MAX_NODES
    )]
    TooMany {
        /// How many there would be.
        nodes: usize,
    },
}

impl Filter {
    /// The filter of a Trigger (B5.1): if `filters` has any, all of them must match and `attributes`, the older form,
    /// does not count; else `attributes` must match; if that is empty too, every event does.
    ///
    /// # Errors
    /// As [`Filter::all`] and [`Filter::attributes`].
    pub fn of_trigger<A, V>(
        filters: Vec<Filter>,
        attributes: impl IntoIterator<Item = (A, V)>,
    ) -> Result<Self, InvalidFilter>
    where
        A: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        if filters.is_empty() {
            Self::attributes(attributes)
        } else {
            Self::all(filters)
        }
    }

    /// The empty filter object, which every event passes; in a list it has no say (B5.5, B5.6).
    pub fn everything() -> Self {
        Self {
            node: Node::Everything,
            depth: 1,
            nodes: 1,
        }
    }

    /// All of these must match (B5.5).
    ///
    /// # Errors
    /// There are none, or the filter grows over [`Filter::MAX_DEPTH`] or [`Filter::MAX_NODES`].
    pub fn all(filters: Vec<Filter>) -> Result<Self, InvalidFilter> {
        Self::list("all", filters, Node::All)
    }

    /// At least one of these must match (B5.5).
    ///
    /// # Errors
    /// As [`Filter::all`].
    pub fn any(filters: Vec<Filter>) -> Result<Self, InvalidFilter> {
        Self::list("any", filters, Node::Any)
    }

    /// Matches what `filter` does not match; `not` of the empty filter has no say either (B5.6).
    ///
    /// # Errors
    /// The filter grows over [`Filter::MAX_DEPTH`] or [`Filter::MAX_NODES`].
    // A constructor in the words of the dialects, not the operator of a value.
    #[allow(clippy::should_implement_trait, reason = "it can fail")]
    pub fn not(filter: Filter) -> Result<Self, InvalidFilter> {
        let (depth, nodes) = (filter.depth + 1, filter.nodes + 1);
        Self::bounded(Node::Not(Box::new(filter)), depth, nodes)
    }

    /// Each attribute must have exactly its value (B5.5).
    ///
    /// # Errors
    /// There are no pairs, a name or value is empty, or there are more pairs than [`Filter::MAX_NODES`] allows.
    pub fn exact<A, V>(pairs: impl IntoIterator<Item = (A, V)>) -> Result<Self, InvalidFilter>
    where
        A: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        Self::pairs(Dialect::Exact, pairs)
    }

    /// Each attribute must begin with its value (B5.5).
    ///
    /// # Errors
    /// As [`Filter::exact`].
    pub fn prefix<A, V>(pairs: impl IntoIterator<Item = (A, V)>) -> Result<Self, InvalidFilter>
    where
        A: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        Self::pairs(Dialect::Prefix, pairs)
    }

    /// Each attribute must end with its value (B5.5).
    ///
    /// # Errors
    /// As [`Filter::exact`].
    pub fn suffix<A, V>(pairs: impl IntoIterator<Item = (A, V)>) -> Result<Self, InvalidFilter>
    where
        A: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        Self::pairs(Dialect::Suffix, pairs)
    }

    /// `filter.attributes` of a Trigger: each attribute must have exactly its value, or any value where that is empty
    /// (B5.2). Without pairs it is [`Filter::everything`].
    ///
    /// # Errors
    /// A name is empty, or there are more pairs than [`Filter::MAX_NODES`] allows.
    pub fn attributes<A, V>(pairs: impl IntoIterator<Item = (A, V)>) -> Result<Self, InvalidFilter>
    where
        A: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        match Self::pairs(Dialect::Attributes, pairs) {
            Err(InvalidFilter::Empty { .. }) => Ok(Self::everything()),
            filter => filter,
        }
    }

    /// The CESQL expression must be true without an error (B5.7).
    ///
    /// # Errors
    /// The expression does not parse; see [`Expression::parse`].
    pub fn cesql(expression: &str) -> Result<Self, InvalidFilter> {
        let expression = Expression::parse(expression)?;
        Self::bounded(Node::Cesql(Box::new(expression)), 1, 1)
    }

    fn list(
        dialect: &'static str,
        filters: Vec<Filter>,
        node: fn(Box<[Filter]>) -> Node,
    ) -> Result<Self, InvalidFilter> {
        let Some(depth) = filters.iter().map(|filter| filter.depth).max() else {
            return Err(InvalidFilter::Empty { dialect });
        };
        let nodes: usize = filters.iter().map(|filter| filter.nodes).sum();
        Self::bounded(node(filters.into()), depth + 1, nodes + 1)
    }

    fn pairs<A, V>(
        dialect: Dialect,
        pairs: impl IntoIterator<Item = (A, V)>,
    ) -> Result<Self, InvalidFilter>
    where
        A: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let pairs = pairs
            .into_iter()
            .map(|(attribute, value)| Pair::new(dialect, attribute.into(), value.into()))
            .collect::<Result<Box<[Pair]>, _>>()?;
        if pairs.is_empty() {
            let dialect = dialect.as_str();
            return Err(InvalidFilter::Empty { dialect });
        }
        let nodes = pairs.len();
        Self::bounded(Node::Pairs(dialect, pairs), 1, nodes)
    }

    fn bounded(node: Node, depth: usize, nodes: usize) -> Result<Self, InvalidFilter> {
        if depth > Self::MAX_DEPTH {
            return Err(InvalidFilter::TooDeep { depth });
        }
        if nodes > Self::MAX_NODES {
            return Err(InvalidFilter::TooMany { nodes });
        }
        Ok(Self { node, depth, nodes })
    }
}

impl Pair {
    fn new(dialect: Dialect, attribute: Box<str>, value: Box<str>) -> Result<Self, InvalidFilter> {
        if attribute.is_empty() {
            return Err(InvalidFilter::EmptyAttribute {
                dialect: dialect.as_str(),
                value,
            });
        }
        if value.is_empty() && dialect != Dialect::Attributes {
            return Err(InvalidFilter::EmptyValue {
                dialect: dialect.as_str(),
                attribute,
            });
        }
        Ok(Self { attribute, value })
    }
}
