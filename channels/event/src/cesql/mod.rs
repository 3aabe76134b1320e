//! CESQL, the CloudEvents expression language, version 1.0: parsed once, evaluated on the attributes of an event.

mod ast;
mod cast;
mod correlation;
mod environment;
mod error;
mod eval;
mod functions;
mod lex;
mod like;
mod parse;

pub use environment::Environment;
pub use error::{EvalError, ParseError};

use std::borrow::Cow;
use std::fmt;

use crate::Attributes;

/// A parsed CESQL expression (F1). Parsing it bounds it, so that evaluating it needs little stack and always ends;
/// evaluation has no side effects. Unknown functions are found when it is evaluated, not when it is parsed (F1.11).
///
/// Two are equal when their texts are.
#[derive(Clone)]
pub struct Expression {
    text: Box<str>,
    root: ast::Node,
}

/// What an expression gives: text, a signed 32-bit integer, or a boolean (F1.1). Text is borrowed from the
/// attributes or the expression wherever it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// String
    Text(Cow<'a, str>),
    /// Integer
    Integer(i32),
    /// Boolean
    Boolean(bool),
}

/// The outcome of an evaluation (F1.7). After an error there is still a value: what the function that failed gives
/// for it, or the empty value of the type that the outermost operation has: `""`, 0 or `false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated<'a> {
    /// The value.
    pub value: Value<'a>,
    /// The first error, which ended the evaluation.
    pub error: Option<EvalError>,
}

impl Expression {
    /// Bytes that an expression may have.
    pub const MAX_BYTES: usize = 16 * 1024;
    /// How deep parentheses, arguments, sets, `NOT` and `-` may nest. Chains of operators do not nest.
    pub const MAX_DEPTH: usize = 64;

    /// Parses an expression.
    ///
    /// # Errors
    /// It is longer than [`Expression::MAX_BYTES`], nests deeper than [`Expression::MAX_DEPTH`], or does not follow
    /// the grammar (F1.2 to F1.5). The error says where and what was expected.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self {
            text: text.into(),
            root: parse::parse(text)?,
        })
    }

    /// The text that was parsed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value of the expression for an event with these attributes (F1.7). The first error ends the evaluation,
    /// as in Knative's own engine (F1.11). Nothing is allocated unless a function makes new text.
    pub fn evaluate<'a>(
        &'a self,
        attributes: &'a Attributes,
        environment: &'a Environment,
    ) -> Evaluated<'a> {
        match eval::eval(&self.root, eval::Scope::new(attributes, environment)) {
            Ok(value) => Evaluated { value, error: None },
            Err(failure) => Evaluated {
                value: failure.value,
                error: Some(failure.error),
            },
        }
    }

    /// Whether an event with these attributes passes this expression as a filter: it does if the value is `true`
    /// and there was no error (F1.12, B5.7).
    pub fn matches(&self, attributes: &Attributes, environment: &Environment) -> bool {
        let scope = eval::Scope::new(attributes, environment);
        matches!(eval::eval(&self.root, scope), Ok(Value::Boolean(true)))
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

/// The text only: the tree says the same at length.
impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(truth) => write!(f, "{truth}"),
        }
    }
}
