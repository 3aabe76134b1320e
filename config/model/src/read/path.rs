//! Paths of fields inside an object, and the table from path to place.

use std::collections::HashMap;
use std::fmt;

use super::tree::{Node, Value};
use crate::problem::Place;

/// A path under construction: each step borrows the one before.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            // Annotations and labels have dots and slashes in their keys.
            Self::Key(parent, key) if key.contains(['.', '/']) => write!(f, "{parent}[{key}]"),
            Self::Key(Path::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Path to place, for every field of an object.
#[derive(Debug, Clone, Default)]
pub struct Places {
    by_path: HashMap<Box<str>, Place>,
}

impl Places {
    /// Takes the places of an object. What no rule looks at (`managedFields`) is left out.
    pub(crate) fn of(object: &Node) -> Self {
        let mut places = Self::default();
        places.by_path.insert("".into(), start(object));
        places.add(object, Path::Root);
        places
    }

    fn add(&mut self, node: &Node, path: Path<'_>) {
        match &node.value {
            Value::Mapping(entries) => {
                for entry in entries.iter().filter(|entry| entry.key != "managedFields") {
                    let path = Path::Key(&path, &entry.key);
                    self.by_path
                        .entry(path.to_string().into())
                        .or_insert(entry.key_place);
                    self.add(&entry.node, path);
                }
            }
            Value::Sequence(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    let path = Path::Index(&path, index);
                    self.by_path.insert(path.to_string().into(), start(node));
                    self.add(node, path);
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Unsigned(_)
            | Value::Signed(_)
            | Value::Float(_)
            | Value::String(_) => {}
        }
    }

    /// The place of a field, or of the nearest field around it that is there.
    pub(crate) fn get(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.by_path.get(path) {
                return *place;
            }
            match path.rfind(['.', '[']).and_then(|end| path.get(..end)) {
                Some(parent) => path = parent,
                None => return self.by_path.get("").copied().unwrap_or_default(),
            }
        }
    }
}

/// Where an object begins: its first key, or the node itself.
pub(crate) fn start(node: &Node) -> Place {
    node.entries()
        .first()
        .map_or(node.place, |entry| entry.key_place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_back_to_the_nearest_field_around() {
        let node = crate::read::tree::parse(
            "spec:\n  steps:\n  - ref:\n      name: a\n",
            crate::read::tree::DEEP,
        )
        .remove(0)
        .unwrap();
        let places = Places::of(&node);
        assert_eq!(places.get("spec.steps[0].ref.name").line, 4);
        assert_eq!(places.get("spec.steps[0].uri").line, 3);
        assert_eq!(places.get("spec.steps[7].uri").line, 2);
        assert_eq!(places.get("metadata.name").line, 1);
    }
}
