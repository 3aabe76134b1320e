//! Why something is not a valid event: the text of the answer 400 (C2.4).

use std::fmt::Display;

/// Characters of a name or value that an error text repeats; the rest is cut.
const SHOWN_CHARS: usize = 64;

/// What is wrong with an event: which attribute or member, its value (cut to 64 characters and escaped, so that
/// it can be logged and sent back), and the rule that it breaks. `Display` is the text of the 400 (C2.4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Invalid {
    name: Box<str>,
    text: Box<str>,
}

impl Invalid {
    /// The attribute `name` has a value that breaks `rule`.
    pub(crate) fn attribute(name: &str, value: &str, rule: impl Display) -> Self {
        Self::new(
            name,
            format!("attribute {} is {}: {rule}", shown(name), shown(value)),
        )
    }

    /// The attribute `name` breaks `rule`, and its value cannot or need not be shown.
    pub(crate) fn bare(name: &str, rule: impl Display) -> Self {
        Self::new(name, format!("attribute {}: {rule}", shown(name)))
    }

    /// The required attribute `name` is not there (C3.4).
    pub(crate) fn missing(name: &str) -> Self {
        let rule = format!(
            "it is missing; send it as header ce-{name}, or as a member of a structured event"
        );
        Self::bare(name, rule)
    }

    /// The member `name` of a structured event, which is no attribute, breaks `rule`.
    pub(crate) fn member(name: &str, rule: impl Display) -> Self {
        Self::new(name, format!("member {}: {rule}", shown(name)))
    }

    /// The body of a structured event breaks `rule` as a whole.
    pub(crate) fn body(rule: impl Display) -> Self {
        Self::new("body", format!("body of the structured event: {rule}"))
    }

    fn new(name: &str, text: String) -> Self {
        Self {
            name: cut(name),
            text: text.into(),
        }
    }

    /// The attribute or member that is wrong, cut to 64 characters; `body` if it is a structured event as a whole.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// `text` cut to a bound, escaped and in quotes.
pub(crate) fn shown(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// At most [`SHOWN_CHARS`] characters of `text`, and a sign if there were more.
fn cut(text: &str) -> Box<str> {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_attribute_the_value_and_the_rule() {
        let invalid = Invalid::attribute("time", "lunchtime", "it must be an RFC 3339 timestamp");
        assert_eq!(
            invalid.to_string(),
            r#"attribute "time" is "lunchtime": it must be an RFC 3339 timestamp"#
        );
        assert_eq!(invalid.name(), "time");
    }

    #[test]
    fn cuts_and_escapes_what_it_repeats() {
        let text = Invalid::attribute("id", &"é\n".repeat(500), "no").to_string();
        assert!(text.len() < 64 * 4 + 60, "{text}");
        assert!(!text.contains('\n'), "{text}");
        assert!(text.contains("..."), "{text}");
    }
}
