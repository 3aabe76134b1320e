//! Why a filter passes an event or not, for people.

use std::fmt;

use super::{Dialect, Filter, Node, Pair, Part, Verdict, lookup};
use crate::Attributes;
use crate::cesql::Environment;
use crate::invalid::shown;

/// Why a filter passes an event or not. `Display` is one line: `matches: all[1].prefix.type: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the event passes.
    pub matches: bool,
    /// The part of the filter that decided, as a path in it such as `all[1].not.exact.type`; the filter itself is
    /// named by its dialect, the empty filter by `{}`.
    pub part: String,
    /// What that part compared and found. Values are cut to 64 characters.
    pub reason: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            matches,
            part,
            reason,
        } = self;
        let verdict = if *matches {
            "matches"
        } else {
            "does not match"
        };
        write!(f, "{verdict}: {part}: {reason}")
    }
}

pub(super) fn explain(
    filter: &Filter,
    attributes: &Attributes,
    environment: &Environment,
) -> Explanation {
    let decision = filter.decide(attributes, environment);
    let mut part = String::new();
    locate(filter, decision.part, &mut part);
    Explanation {
        matches: decision.verdict != Verdict::Fail,
        part,
        reason: match decision.part {
            Part::Pair(dialect, pair) => compared(dialect, pair, attributes),
            Part::Whole(filter) => whole(filter, attributes, environment),
        },
    }
}

/// Writes the path to `part`, and says whether `filter` contains it.
fn locate(filter: &Filter, part: Part<'_>, path: &mut String) -> bool {
    let start = path.len();
    if start > 0 {
        path.push('.');
    }
    path.push_str(dialect(filter));
    let mut found = matches!(part, Part::Whole(whole) if std::ptr::eq(whole, filter));
    if found {
        return true;
    }
    match &filter.node {
        Node::All(filters) | Node::Any(filters) => {
            let end = path.len();
            found = filters.iter().enumerate().any(|(at, filter)| {
                path.truncate(end);
                path.push_str(&format!("[{at}]"));
                locate(filter, part, path)
            });
        }
        Node::Not(filter) => found = locate(filter, part, path),
        Node::Pairs(_, pairs) => {
            let pair = pairs.iter().find(
                |pair| matches!(part, Part::Pair(_, decided) if std::ptr::eq(decided, *pair)),
            );
            if let Some(pair) = pair {
                path.push('.');
                path.push_str(&pair.attribute);
                found = true;
            }
        }
        Node::Everything | Node::Cesql(_) => {}
    }
    if !found {
        path.truncate(start);
    }
    found
}

fn dialect(filter: &Filter) -> &'static str {
    match &filter.node {
        Node::Everything => "{}",
        Node::All(_) => "all",
        Node::Any(_) => "any",
        Node::Not(_) => "not",
        Node::Pairs(dialect, _) => dialect.as_str(),
        Node::Cesql(_) => "cesql",
    }
}

fn compared(dialect: Dialect, pair: &Pair, attributes: &Attributes) -> String {
    let wanted = match dialect {
        Dialect::Exact => format!("wants {}", shown(&pair.value)),
        Dialect::Attributes if pair.value.is_empty() => "wants any value".to_owned(),
        Dialect::Attributes => format!("wants {}", shown(&pair.value)),
        Dialect::Prefix => format!("wants a value that begins with {}", shown(&pair.value)),
        Dialect::Suffix => format!("wants a value that ends with {}", shown(&pair.value)),
    };
    let found = match lookup::text(attributes, &pair.attribute) {
        Some(text) if lookup::present(attributes, &pair.attribute) => {
            format!("the event has {}", shown(&text))
        }
        Some(text) => format!("the event has none, which counts as {}", shown(&text)),
        None => "the event has none".to_owned(),
    };
    format!("{wanted}; {found}")
}

fn whole(filter: &Filter, attributes: &Attributes, environment: &Environment) -> String {
    match &filter.node {
        Node::Everything => "it takes every event".to_owned(),
        Node::All(filters) => format!("none of its {} filters fails", filters.len()),
        Node::Any(filters) => format!("none of its {} filters passes", filters.len()),
        // Never the part that decided: that is what stands in it.
        Node::Not(_) => "it turns around what stands in it".to_owned(),
        Node::Pairs(_, pairs) => format!("all its {} attributes match", pairs.len()),
        Node::Cesql(expression) => {
            let evaluated = expression.evaluate(attributes, environment);
            match evaluated.error {
                Some(error) => format!("{expression} has no value: {error}"),
                None => format!("{expression} is {}", evaluated.value),
            }
        }
    }
}
