//! An index over the filters of a broker, so that only those that can match are asked.

use std::collections::{BTreeMap, HashMap};

use smallvec::SmallVec;

use super::{Dialect, Filter, Node, Pair, lookup};
use crate::Attributes;

/// Which filters can match an event. A filter that needs an attribute to have one of certain values (exact filters,
/// alone or in `all`; `any` of them; the older attributes filter) is found by hashing that attribute's value; the others are
/// candidates for every event. It may name filters that do not match, never leave out one that does.
#[derive(Clone, Debug, Default)]
pub struct FilterIndex {
    /// Those that no value leads to, in order.
    always: Vec<usize>,
    /// For each attribute that some filter needs: value -> filters, in order.
    attributes: Vec<(Box<str>, ByValue)>,
}

/// Positions of filters under the value that they need, in order.
type ByValue = HashMap<Box<str>, Vec<usize>>;

impl FilterIndex {
    /// An index of these filters under the positions that the caller gives them. Takes memory in proportion to
    /// their number and size.
    pub fn new<'f>(filters: impl IntoIterator<Item = (usize, &'f Filter)>) -> Self {
        let mut always = Vec::new();
        let mut attributes: BTreeMap<&str, ByValue> = BTreeMap::new();
        for (position, filter) in filters {
            match required(filter) {
                None => always.push(position),
                Some(pairs) => {
                    for Pair { attribute, value } in pairs {
                        let values = attributes.entry(attribute).or_default();
                        values.entry(value.clone()).or_default().push(position);
                    }
                }
            }
        }
        always.sort_unstable();
        for list in attributes.values_mut().flat_map(HashMap::values_mut) {
            list.sort_unstable();
        }
        let attributes = attributes
            .into_iter()
            .map(|(name, values)| (name.into(), values));
        Self {
            always,
            attributes: attributes.collect(),
        }
    }

    /// The positions of the filters that can match an event with these attributes, each once, in order. Costs one
    /// look-up for each attribute that filters need, and then what there are candidates.
    pub fn candidates<'i>(
        &'i self,
        attributes: &Attributes,
    ) -> impl Iterator<Item = usize> + use<'i> {
        let found = self.attributes.iter().filter_map(|(name, values)| {
            values
                .get(&*lookup::text(attributes, name)?)
                .map(Vec::as_slice)
        });
        let mut lists: SmallVec<[&[usize]; 4]> = std::iter::once(self.always.as_slice())
            .chain(found)
            .collect();
        std::iter::from_fn(move || {
            let next = lists
                .iter()
                .filter_map(|list| list.first().copied())
                .min()?;
            for list in &mut lists {
                while let [first, rest @ ..] = *list
                    && *first == next
                {
                    *list = rest;
                }
            }
            Some(next)
        })
    }
}

/// Pairs of which an event must have at least one to pass `filter`, if there are such.
fn required(filter: &Filter) -> Option<Vec<&Pair>> {
    match &filter.node {
        Node::Pairs(Dialect::Exact | Dialect::Attributes, pairs) => pairs
            .iter()
            .filter(|pair| !pair.value.is_empty())
            .min_by_key(|pair| rank(pair))
            .map(|pair| vec![pair]),
        // Each one on its own must not fail, so each has a say; the most telling is taken.
        Node::All(filters) => filters
            .iter()
            .filter_map(required)
            .min_by_key(|pairs| (pairs.iter().map(|pair| rank(pair)).max(), pairs.len())),
        // One of them must pass; those that have no say cannot.
        Node::Any(filters) => filters
            .iter()
            .map(required)
            .collect::<Option<Vec<_>>>()
            .map(|pairs| pairs.concat()),
        Node::Everything
        | Node::Not(_)
        | Node::Cesql(_)
        | Node::Pairs(Dialect::Prefix | Dialect::Suffix, _) => None,
    }
}

/// Which attribute leads to the fewest filters: the type, as a rule.
fn rank(pair: &Pair) -> u8 {
    match &*pair.attribute {
        "type" => 0,
        "source" | "subject" => 1,
        _ => 2,
    }
}
