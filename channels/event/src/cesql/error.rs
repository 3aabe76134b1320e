//! What can be wrong with an expression: when it is parsed, and when it is evaluated.

use std::sync::Arc;

use crate::invalid::shown;

/// Why a text is no expression. `Display` says where, what was expected and what is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CESQL at byte {at}: expected {expected}, found {found}")]
pub struct ParseError {
    /// Where it is wrong: a position in the text, in bytes, from 0.
    pub at: usize,
    /// What would have been right there.
    pub expected: Box<str>,
    /// What is there, in quotes and cut to 64 characters, or `the end`.
    pub found: Box<str>,
}

impl ParseError {
    /// `expected` was expected in `text` at byte `at`, which is cut to the text's length.
    pub(super) fn new(text: &str, at: usize, expected: impl Into<Box<str>>) -> Self {
        let found = match text.get(at..).unwrap_or_default() {
            "" => "the end".into(),
            rest => shown(rest).into(),
        };
        Self {
            at: at.min(text.len()),
            expected: expected.into(),
            found,
        }
    }
}

/// Why an expression has no proper value for an event (F1.7). The variants are the kinds of error that CESQL names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The event has no such attribute (F1.8).
    #[error("the event has no attribute {0:?}; test for it with EXISTS {0}")]
    MissingAttribute(Arc<str>),
    /// A value is not of the type that an operator or function takes, and does not read as one (F1.6).
    #[error("cannot read {value} as {to}")]
    Cast {
        /// The value, in quotes and cut to 64 characters.
        value: Box<str>,
        /// The type.
        to: &'static str,
    },
    /// A division by zero, or a result beyond 32 bits (F1.9).
    #[error("{0}")]
    Math(&'static str),
    /// There is no function of this name with this number of arguments (F1.10).
    #[error("there is no function {name} that takes {arguments} arguments")]
    MissingFunction {
        /// The name, in upper case.
        name: Arc<str>,
        /// How many arguments it was given.
        arguments: usize,
    },
    /// A function does not take the value of one of its arguments (F1.10).
    #[error("{0}")]
    FunctionEvaluation(&'static str),
}
