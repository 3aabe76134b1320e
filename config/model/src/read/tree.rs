//! YAML and JSON text as a tree of nodes that know their place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::{DuplicateKeyPolicy, Options};

use crate::problem::Place;

/// Most events that aliases may add to a document: against alias bombs, far above any honest file.
const MAX_REPLAYED_EVENTS: usize = 100_000;
/// Most nodes of a document: a dump of a large cluster has a few hundred thousand.
const MAX_NODES: usize = 5_000_000;

/// Levels that a manifest may have. A filter may have 32 in it, at two levels each, and schemas of other kinds some 60.
/// Only for [`with_stack`].
pub(crate) const DEEP: usize = 128;
/// Levels that settings may have: few enough for the stack of any thread.
pub(crate) const SHALLOW: usize = 24;
/// Deserializers take up to 40 KiB of stack for a level of a document, in a build without optimization.
const STACK: usize = 16 * 1024 * 1024;

/// Runs `work` where there is stack enough for [`DEEP`] documents: threads have 2 MiB, as a rule.
///
/// # Errors
/// The operating system has no thread for it.
pub(crate) fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new()
            .name("manifests".to_owned())
            .stack_size(STACK);
        match builder.spawn_scoped(scope, work)?.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// How errors of the parser begin that are about the levels of a document: our bound, and one of its own above that.
const DEPTH_ERRORS: [&str; 2] = ["budget breached: Depth", "recursion limit exceeded"];

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// A YAML value. Mappings keep their order and repeated keys.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    String(String),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key of a mapping and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

/// A document that is not YAML: where, and why.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) place: Place,
    pub(crate) message: String,
}

impl Node {
    /// Entries of a mapping, else none.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            Value::Null
            | Value::Bool(_)
            | Value::Unsigned(_)
            | Value::Signed(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Sequence(_) => &[],
        }
    }

    /// The value of a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// The text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Unsigned(_)
            | Value::Signed(_)
            | Value::Float(_)
            | Value::Sequence(_)
            | Value::Mapping(_) => None,
        }
    }
}

impl Value {
    /// What it is, for messages: `a string`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// Parses every document of `text`, each of at most `depth` levels. A document that is broken hides none of the others: `---` at the start of a
/// line always separates documents in YAML, so the text is split there first.
pub(crate) fn parse(text: &str, depth: usize) -> Vec<Result<Node, SyntaxError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    for (first_line, chunk) in split(text) {
        if is_blank(chunk) {
            continue;
        }
        match serde_saphyr::from_multiple_with_options::<Spanned<Value>>(chunk, options(depth)) {
            Ok(nodes) => documents.extend(
                nodes
                    .into_iter()
                    .map(|spanned| Node::from(spanned).moved(first_line))
                    .filter(|node| !matches!(node.value, Value::Null))
                    .map(Ok),
            ),
            Err(error) => documents.push(Err(syntax_error(&error, first_line, depth))),
        }
    }
    documents
}

/// The documents of a stream with the number of lines before each.
fn split(text: &str) -> Vec<(u32, &str)> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut start_line = 0;
    let mut offset = 0;
    for (line, content) in (0_u32..).zip(text.split_inclusive('\n')) {
        let is_marker = content
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if is_marker && offset > start {
            chunks.push((start_line, text.get(start..offset).unwrap_or_default()));
            start = offset;
            start_line = line;
        }
        offset += content.len();
    }
    chunks.push((start_line, text.get(start..).unwrap_or_default()));
    chunks
}

/// Whether a document holds only comments, markers and directives.
fn is_blank(chunk: &str) -> bool {
    chunk.lines().all(|line| {
        let line = line.strip_prefix("---").unwrap_or(line).trim();
        line.is_empty() || line.starts_with('#') || line.starts_with('%') || line == "..."
    })
}

fn options(depth: usize) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_depth: depth,
            max_events: 4 * MAX_NODES,
        },
        // Forwarded, so that a repeated key is one problem among others and not the end of the document.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED_EVENTS,
        },
        // As YAML 1.2 has it: a zone called `no` is a name.
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    }
}

fn syntax_error(error: &serde_saphyr::Error, first_line: u32, depth: usize) -> SyntaxError {
    let location = error.location().unwrap_or(serde_saphyr::Location::UNKNOWN);
    let mut place = place_of(&location);
    place.line = place.line.max(1).saturating_add(first_line);
    let message = error.without_snippet().to_string();
    // Said by `place` already, and counted from the top of the file there.
    let message = message.split(" at line ").next().unwrap_or_default();
    let message = if DEPTH_ERRORS.iter().any(|text| message.starts_with(text)) {
        format!("nests deeper than {depth} levels, which is the limit; nest it less deep")
    } else {
        one_line(message)
    };
    SyntaxError { place, message }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn place_of(location: &serde_saphyr::Location) -> Place {
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Place {
        line: narrow(location.line()),
        column: narrow(location.column()),
    }
}

impl Node {
    /// The node as a part of a text in which `lines` lines come before it.
    fn moved(mut self, lines: u32) -> Self {
        if lines > 0 {
            self.move_down(lines);
        }
        self
    }

    fn move_down(&mut self, lines: u32) {
        self.place.line = self.place.line.saturating_add(lines);
        match &mut self.value {
            Value::Sequence(nodes) => nodes.iter_mut().for_each(|node| node.move_down(lines)),
            Value::Mapping(entries) => {
                for entry in entries {
                    entry.key_place.line = entry.key_place.line.saturating_add(lines);
                    entry.node.move_down(lines);
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
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self {
            place: place_of(&spanned.referenced),
            value: spanned.value,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(spanned) = access.next_element::<Spanned<Value>>()? {
            nodes.push(spanned.into());
        }
        Ok(Value::Sequence(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = access.next_entry::<Spanned<String>, Spanned<Value>>()? {
            entries.push(Entry {
                key_place: place_of(&key.referenced),
                key: key.value,
                node: node.into(),
            });
        }
        Ok(Value::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Node {
        let mut documents = parse(text, DEEP);
        assert_eq!(documents.len(), 1, "{documents:?}");
        documents.remove(0).unwrap()
    }

    #[test]
    fn places_of_keys_and_values() {
        let node = only("# comment\na: 1\nb:\n  c:\n  - x: true\n    y: text\n");
        let b = &node.entries()[1];
        assert_eq!((b.key_place.line, b.key_place.column), (3, 1));
        let Value::Sequence(items) = &b.node.get("c").unwrap().value else {
            panic!("{b:?}")
        };
        let y = &items[0].entries()[1];
        assert_eq!((y.key_place.line, y.key_place.column), (6, 5));
        assert_eq!(y.node.as_str(), Some("text"));
    }

    #[test]
    fn documents_are_counted_from_the_top_of_the_file() {
        let documents = parse("a: 1\n---\n# nothing\n---\nb: 2\n--- \nc: 3\n", DEEP);
        let lines: Vec<_> = documents
            .iter()
            .map(|d| d.as_ref().unwrap().entries()[0].key_place.line)
            .collect();
        assert_eq!(lines, [1, 5, 7]);
    }

    #[test]
    fn a_broken_document_hides_no_other() {
        let documents = parse("a: 1\n---\nb: [1\n---\nc: 3\n", DEEP);
        assert_eq!(documents.len(), 3);
        let error = documents[1].as_ref().unwrap_err();
        assert!((3..=4).contains(&error.place.line), "{error:?}");
        assert!(documents[2].is_ok());
    }

    #[test]
    fn json_is_yaml() {
        let node = only("{\n\t\"a\": {\"b\": [1, -2, 1.5, null, \"\\u0041\"]}\n}\n");
        let Value::Sequence(items) = &node.get("a").unwrap().get("b").unwrap().value else {
            panic!()
        };
        assert!(matches!(items[1].value, Value::Signed(-2)));
        assert_eq!(items[4].as_str(), Some("A"));
    }

    #[test]
    fn repeated_keys_are_kept() {
        assert_eq!(only("a: 1\na: 2\n").entries().len(), 2);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..9 {
            let items = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{items}]\n"));
        }
        assert!(parse(&text, DEEP)[0].is_err());
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(parse(&"[".repeat(100_000), DEEP)[0].is_err());
        assert!(parse(&"{a: ".repeat(100_000), DEEP)[0].is_err());
    }
}
