//! Event types as a label: the first so many distinct ones, then `other`, so that no producer can make series.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// Longest event type that becomes a label value, in bytes.
const LONGEST: usize = 128;

/// The types that have a label value of their own.
#[derive(Debug)]
pub(crate) struct EventTypes {
    most: usize,
    known: RwLock<HashSet<Box<str>>>,
}

impl EventTypes {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            known: RwLock::default(),
        }
    }

    /// The label value for `ty`.
    pub(crate) fn label<'a>(&self, ty: &'a str) -> &'a str {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.contains(ty) {
                return ty;
            }
            if known.len() >= self.most || ty.len() > LONGEST {
                return "other";
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.most {
            known.insert(ty.into());
            return ty;
        }
        "other"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_types_keep_their_name() {
        let types = EventTypes::new(2);
        assert_eq!(
            (types.label("a"), types.label("b"), types.label("c")),
            ("a", "b", "other")
        );
        assert_eq!((types.label("a"), types.label("c")), ("a", "other"));
        assert_eq!(EventTypes::new(2).label(&"x".repeat(129)), "other");
    }
}
