//! The functions (F1.10), told apart by name and number of arguments.

use std::borrow::Cow;
use std::sync::Arc;

use super::ast::Node;
use super::correlation::{self, Expected};
use super::eval::{Evaluation, Failure, Scope, eval};
use super::{EvalError, Value};

/// A function as it is called.
#[derive(Clone, Debug)]
pub(super) enum Function {
    Abs,
    Bool,
    Concat,
    ConcatWs,
    Int,
    IsBool,
    IsInt,
    Left,
    Length,
    Lower,
    Right,
    String,
    Substring,
    Trim,
    Upper,
    /// Knative's own (B5.8).
    VerifyCorrelationId,
    /// No function has this name and number of arguments, which is an error only when it is called (F1.11).
    Unknown(Arc<str>),
}

impl Function {
    /// The function of this name, in upper case, that takes so many arguments.
    pub(super) fn resolve(name: &str, arguments: usize) -> Self {
        match (name, arguments) {
            ("ABS", 1) => Self::Abs,
            ("BOOL", 1) => Self::Bool,
            ("CONCAT", _) => Self::Concat,
            ("CONCAT_WS", 1..) => Self::ConcatWs,
            ("INT", 1) => Self::Int,
            ("IS_BOOL", 1) => Self::IsBool,
            ("IS_INT", 1) => Self::IsInt,
            ("LEFT", 2) => Self::Left,
            ("LENGTH", 1) => Self::Length,
            ("LOWER", 1) => Self::Lower,
            ("RIGHT", 2) => Self::Right,
            ("STRING", 1) => Self::String,
            ("SUBSTRING", 2 | 3) => Self::Substring,
            ("TRIM", 1) => Self::Trim,
            ("UPPER", 1) => Self::Upper,
            ("KN_VERIFY_CORRELATION_ID", 6) => Self::VerifyCorrelationId,
            _ => Self::Unknown(name.into()),
        }
    }

    /// The value of the function. If an argument has none, the error is the argument's and the value is the empty
    /// one of the function's type.
    pub(super) fn call<'a>(&self, arguments: &'a [Node], scope: Scope<'a>) -> Evaluation<'a> {
        let arguments = Arguments { arguments, scope };
        if let Self::Unknown(name) = self {
            return Err(Failure::boolean(EvalError::MissingFunction {
                name: name.clone(),
                arguments: arguments.arguments.len(),
            }));
        }
        let empty = |error| Failure {
            error,
            value: self.empty(),
        };
        match self {
            Self::Abs => {
                let number = arguments.integer(0).map_err(empty)?;
                number.checked_abs().map(Value::Integer).ok_or(Failure {
                    error: EvalError::Math("the absolute value does not fit into 32 bits"),
                    value: Value::Integer(i32::MAX),
                })
            }
            Self::Left => arguments.end(|text, chars| cut(text, chars).0),
            Self::Right => {
                arguments.end(|text, chars| cut(text, text.chars().count().saturating_sub(chars)).1)
            }
            _ => self.simple(arguments).map_err(empty),
        }
    }

    /// The functions whose value after an error is the empty one of their type.
    fn simple<'a>(&self, arguments: Arguments<'a>) -> Result<Value<'a>, EvalError> {
        Ok(match self {
            Self::Bool => Value::Boolean(arguments.value(0)?.to_boolean()?),
            Self::Int => Value::Integer(arguments.integer(0)?),
            Self::String => Value::Text(arguments.text(0)?),
            Self::IsBool => Value::Boolean(arguments.value(0)?.to_boolean().is_ok()),
            Self::IsInt => Value::Boolean(arguments.value(0)?.to_integer().is_ok()),
            Self::Concat => Value::Text(arguments.join("", 0)?),
            Self::ConcatWs => Value::Text(arguments.join(&arguments.text(0)?, 1)?),
            Self::Length => {
                let chars = arguments.text(0)?.chars().count();
                Value::Integer(i32::try_from(chars).unwrap_or(i32::MAX))
            }
            Self::Lower => Value::Text(changed(
                arguments.text(0)?,
                char::is_lowercase,
                str::to_lowercase,
            )),
            Self::Upper => Value::Text(changed(
                arguments.text(0)?,
                char::is_uppercase,
                str::to_uppercase,
            )),
            Self::Trim => Value::Text(map(arguments.text(0)?, str::trim)),
            Self::Substring => arguments.substring()?,
            Self::VerifyCorrelationId => Value::Boolean(correlation::verify(
                &arguments.text(0)?,
                &Expected {
                    name: &arguments.text(1)?,
                    namespace: &arguments.text(2)?,
                    secret: &arguments.text(3)?,
                    pod: arguments.integer(4)?,
                    replicas: arguments.integer(5)?,
                },
                arguments.scope.environment,
            )),
            // Those that `call` itself answers.
            Self::Abs | Self::Left | Self::Right | Self::Unknown(_) => self.empty(),
        })
    }

    fn empty(&self) -> Value<'static> {
        match self {
            Self::Abs | Self::Int | Self::Length => Value::Integer(0),
            Self::Bool
            | Self::IsBool
            | Self::IsInt
            | Self::VerifyCorrelationId
            | Self::Unknown(_) => Value::Boolean(false),
            Self::Concat
            | Self::ConcatWs
            | Self::Left
            | Self::Lower
            | Self::Right
            | Self::String
            | Self::Substring
            | Self::Trim
            | Self::Upper => Value::text(""),
        }
    }
}

/// The arguments, evaluated as they are asked for.
#[derive(Clone, Copy)]
struct Arguments<'a> {
    arguments: &'a [Node],
    scope: Scope<'a>,
}

impl<'a> Arguments<'a> {
    fn value(&self, at: usize) -> Result<Value<'a>, EvalError> {
        match self.arguments.get(at) {
            Some(node) => eval(node, self.scope).map_err(|failure| failure.error),
            // Not so: functions are resolved with the number of their arguments.
            None => Ok(Value::Boolean(false)),
        }
    }

    fn text(&self, at: usize) -> Result<Cow<'a, str>, EvalError> {
        self.value(at).map(Value::into_text)
    }

    fn integer(&self, at: usize) -> Result<i32, EvalError> {
        self.value(at)?.to_integer()
    }

    /// The arguments from `start` on, as one text.
    fn join(&self, separator: &str, start: usize) -> Result<Cow<'a, str>, EvalError> {
        let mut joined = String::new();
        for at in start..self.arguments.len() {
            if at > start {
                joined.push_str(separator);
            }
            joined.push_str(&self.text(at)?);
        }
        Ok(Cow::Owned(joined))
    }

    /// `LEFT` and `RIGHT`: after a negative length the value is the whole text.
    fn end(&self, cut: fn(&str, usize) -> &str) -> Evaluation<'a> {
        let empty = |error| Failure {
            error,
            value: Value::text(""),
        };
        let text = self.text(0).map_err(empty)?;
        match usize::try_from(self.integer(1).map_err(empty)?) {
            Ok(chars) => Ok(Value::Text(map(text, |text| cut(text, chars)))),
            Err(_) => Err(Failure {
                error: EvalError::FunctionEvaluation(
                    "the length given to LEFT or RIGHT is negative",
                ),
                value: Value::Text(text),
            }),
        }
    }

    /// `SUBSTRING`: positions count from 1, negative ones from the end; 0 gives nothing.
    fn substring(&self) -> Result<Value<'a>, EvalError> {
        let text = self.text(0)?;
        let position = i64::from(self.integer(1)?);
        let length = match self.arguments.len() {
            3 => Some(self.integer(2)?),
            _ => None,
        };
        let chars = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        let start = match position {
            0 => return Ok(Value::text("")),
            1.. => position - 1,
            _ => chars + position,
        };
        let (Ok(start), true) = (usize::try_from(start), position <= chars) else {
            return Err(EvalError::FunctionEvaluation(
                "the position given to SUBSTRING lies outside the text",
            ));
        };
        let length = match length.map(usize::try_from) {
            None => usize::MAX,
            Some(Ok(length)) => length,
            Some(Err(_)) => {
                return Err(EvalError::FunctionEvaluation(
                    "the length given to SUBSTRING is negative",
                ));
            }
        };
        Ok(Value::Text(map(text, |text| {
            cut(cut(text, start).1, length).0
        })))
    }
}

/// The first `chars` characters, and the rest.
fn cut(text: &str, chars: usize) -> (&str, &str) {
    let at = text
        .char_indices()
        .nth(chars)
        .map_or(text.len(), |(at, _)| at);
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// A part of `text`, borrowed as long as `text` is.
fn map<'a>(text: Cow<'a, str>, part: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).to_owned()),
    }
}

/// `text` in another case; itself if it has no letter that would change.
fn changed<'a>(
    text: Cow<'a, str>,
    is_so: fn(char) -> bool,
    change: fn(&str) -> String,
) -> Cow<'a, str> {
    if text.chars().all(|c| is_so(c) || !c.is_alphabetic()) {
        text
    } else {
        Cow::Owned(change(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, Evaluated, Expression};
    use crate::{Attributes, SpecVersion};
    use rstest::rstest;

    fn evaluate(text: &str) -> (String, bool) {
        let attributes = Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap();
        let environment = Environment::default();
        let expression = Expression::parse(text).unwrap();
        let Evaluated { value, error } = expression.evaluate(&attributes, &environment);
        (value.to_string(), error.is_some())
    }

    #[rstest]
    #[case("LENGTH('h\u{e9}\u{1f30e}')", "3")]
    #[case("LEFT('h\u{e9}llo', 2)", "\"h\u{e9}\"")]
    #[case("RIGHT('\u{e9}t\u{e9}', 1)", "\"\u{e9}\"")]
    #[case("SUBSTRING('\u{e9}t\u{e9}', 2, 1)", "\"t\"")]
    #[case("SUBSTRING('abc', 3, 10)", "\"c\"")]
    #[case("SUBSTRING('abc', -3, 1)", "\"a\"")]
    #[case("SUBSTRING('abc', 1, 0)", "\"\"")]
    #[case("SUBSTRING('abc', 0, -1)", "\"\"")]
    #[case("UPPER('stra\u{df}e')", "\"STRASSE\"")]
    #[case("LOWER('\u{c9}A')", "\"\u{e9}a\"")]
    #[case("TRIM(CONCAT(' ', 1, true, ' '))", "\"1true\"")]
    #[case("CONCAT_WS('-', 1, 'b')", "\"1-b\"")]
    #[case("IS_INT('12') AND NOT IS_INT('x')", "true")]
    #[case("IS_BOOL('TRUE') AND NOT IS_BOOL('x')", "true")]
    #[case("LENGTH(LOWER('ABC'))", "3")]
    fn f1_10_values(#[case] text: &str, #[case] value: &str) {
        assert_eq!(evaluate(text), (value.to_owned(), false));
    }

    #[rstest]
    #[case("LEFT('abc', -1)", "\"abc\"")]
    #[case("LEFT(missing, -1)", "\"\"")]
    #[case("RIGHT('abc', 'x')", "\"\"")]
    #[case("LENGTH(LEFT('abc', -1))", "0")]
    #[case("SUBSTRING('abc', 4)", "\"\"")]
    #[case("SUBSTRING('abc', -4)", "\"\"")]
    #[case("SUBSTRING('', 1)", "\"\"")]
    #[case("SUBSTRING('abc', 1, -1)", "\"\"")]
    #[case("ABS(-2147483648)", "2147483647")]
    #[case("ABS(-2147483648) + 1", "0")]
    #[case("CONCAT('a', missing)", "\"\"")]
    #[case("IS_INT(missing)", "false")]
    #[case("STRING(missing)", "\"\"")]
    #[case("KN_VERIFY_CORRELATION_ID('a', 'b')", "false")]
    fn f1_10_values_after_an_error(#[case] text: &str, #[case] value: &str) {
        assert_eq!(evaluate(text), (value.to_owned(), true));
    }
}
