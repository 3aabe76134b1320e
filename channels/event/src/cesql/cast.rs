//! Casts between the three types, implicit and by function (F1.6).

use std::borrow::Cow;

use super::{EvalError, Value};
use crate::invalid::shown;

impl<'a> Value<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The canonical text.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Boolean(truth) => Cow::Borrowed(if truth { "true" } else { "false" }),
        }
    }

    /// Text must be an optional sign and digits, within 32 bits.
    pub(super) fn to_integer(&self) -> Result<i32, EvalError> {
        match self {
            Self::Text(text) => text.parse().map_err(|_| failed(text, "an Integer")),
            Self::Integer(number) => Ok(*number),
            Self::Boolean(truth) => Ok(i32::from(*truth)),
        }
    }

    /// Text must be `true` or `false` in any case; of integers only 0 is false.
    pub(super) fn to_boolean(&self) -> Result<bool, EvalError> {
        match self {
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Self::Text(text) => Err(failed(text, "a Boolean")),
            Self::Integer(number) => Ok(*number != 0),
            Self::Boolean(truth) => Ok(*truth),
        }
    }

    /// Whether `self`, cast to the type of `like`, equals `like`.
    pub(super) fn equals_as(&self, like: &Value<'_>) -> Result<bool, EvalError> {
        Ok(match like {
            Value::Text(text) => match self {
                Self::Text(own) => own == text,
                Self::Integer(number) => is_text_of(text, *number),
                Self::Boolean(truth) => *text == if *truth { "true" } else { "false" },
            },
            Value::Integer(number) => self.to_integer()? == *number,
            Value::Boolean(truth) => self.to_boolean()? == *truth,
        })
    }
}

/// Whether `text` is the canonical text of `number`; without making that text.
fn is_text_of(text: &str, number: i32) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = text == "0" || !digits.starts_with(['0', '+']);
    canonical && text.parse() == Ok(number)
}

fn failed(text: &str, to: &'static str) -> EvalError {
    EvalError::Cast {
        value: shown(text).into(),
        to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("10", Some(10))]
    #[case("+10", Some(10))]
    #[case("-2147483648", Some(i32::MIN))]
    #[case("2147483648", None)]
    #[case("", None)]
    #[case("+", None)]
    #[case(" 1", None)]
    #[case("1.0", None)]
    #[case("0x1", None)]
    fn f1_6_text_to_integer(#[case] text: &str, #[case] number: Option<i32>) {
        assert_eq!(Value::text(text).to_integer().ok(), number);
    }

    #[rstest]
    #[case("TrUe", Some(true))]
    #[case("false", Some(false))]
    #[case("1", None)]
    #[case("", None)]
    fn f1_6_text_to_boolean(#[case] text: &str, #[case] truth: Option<bool>) {
        assert_eq!(Value::text(text).to_boolean().ok(), truth);
    }

    #[test]
    fn f1_6_equality_takes_the_type_of_the_other_side() {
        let equal = |left: Value<'_>, right: Value<'_>| left.equals_as(&right);
        assert_eq!(equal(Value::text("TRUE"), Value::Boolean(true)), Ok(true));
        assert_eq!(equal(Value::Boolean(true), Value::text("TRUE")), Ok(false));
        assert_eq!(equal(Value::Integer(5), Value::text("5")), Ok(true));
        assert_eq!(equal(Value::text("05"), Value::Integer(5)), Ok(true));
        assert!(equal(Value::text("five"), Value::Integer(5)).is_err());
    }

    #[rstest]
    #[case("0", 0, true)]
    #[case("-0", 0, false)]
    #[case("+5", 5, false)]
    #[case("05", 5, false)]
    #[case("-5", -5, true)]
    #[case("-05", -5, false)]
    #[case("", 0, false)]
    #[case("-2147483648", i32::MIN, true)]
    fn an_integer_equals_only_its_own_text(
        #[case] text: &str,
        #[case] number: i32,
        #[case] equal: bool,
    ) {
        assert_eq!(number.to_string() == text, equal, "the definition");
        assert_eq!(
            Value::Integer(number).equals_as(&Value::text(text)),
            Ok(equal)
        );
    }

    #[test]
    fn an_error_names_the_value_and_the_type() {
        let error = Value::text("ABC").to_integer().unwrap_err();
        assert_eq!(error.to_string(), r#"cannot read "ABC" as an Integer"#);
    }
}
