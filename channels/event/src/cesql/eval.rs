//! Evaluation: the value of each kind of node. The first error ends it (F1.7, F1.11).

use super::ast::{Arithmetic, Comparison, Logic, Node, TestKind};
use super::{Environment, EvalError, Value};
use crate::Attributes;
use crate::value::Typed;

/// What an expression sees: only attributes, and secrets for one function.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) attributes: &'a Attributes,
    pub(super) environment: &'a Environment,
}

impl<'a> Scope<'a> {
    pub(super) fn new(attributes: &'a Attributes, environment: &'a Environment) -> Self {
        Self {
            attributes,
            environment,
        }
    }
}

/// An error, with the value that goes with it if nothing stands around the node that failed.
pub(super) struct Failure<'a> {
    pub(super) error: EvalError,
    pub(super) value: Value<'a>,
}

impl<'a> Failure<'a> {
    /// The same error, now of a node with another value.
    fn now(self, value: Value<'a>) -> Self {
        Self { value, ..self }
    }

    pub(super) fn boolean(error: EvalError) -> Self {
        let value = Value::Boolean(false);
        Self { error, value }
    }

    pub(super) fn integer(error: EvalError) -> Self {
        let value = Value::Integer(0);
        Self { error, value }
    }
}

pub(super) type Evaluation<'a> = Result<Value<'a>, Failure<'a>>;

pub(super) fn eval<'a>(node: &'a Node, scope: Scope<'a>) -> Evaluation<'a> {
    match node {
        Node::Text(text) => Ok(Value::text(text)),
        Node::Integer(number) => Ok(Value::Integer(*number)),
        Node::Boolean(truth) => Ok(Value::Boolean(*truth)),
        Node::Attribute(name) => match attribute(name, scope.attributes) {
            Some(value) => Ok(value),
            None => Err(Failure::boolean(EvalError::MissingAttribute(name.clone()))),
        },
        Node::Exists(name) => Ok(Value::Boolean(scope.attributes.get(name).is_some())),
        Node::Not(operand) => Ok(Value::Boolean(!boolean(operand, scope)?)),
        Node::Negate(operand) => match integer(operand, scope)?.checked_neg() {
            Some(number) => Ok(Value::Integer(number)),
            None => Err(Failure::integer(OVERFLOW)),
        },
        Node::Tests(operand, tests) => {
            let mut value = eval(operand, scope).map_err(no_boolean)?;
            for test in tests {
                let found = match &test.kind {
                    TestKind::Like(pattern) => pattern.matches(&value.into_text()),
                    TestKind::In(set) => is_in(&value, set, scope)?,
                };
                value = Value::Boolean(found != test.negated);
            }
            Ok(value)
        }
        Node::Arithmetic(first, rest) => {
            let mut sum = integer(first, scope)?;
            for (operator, operand) in rest {
                sum = arithmetic(*operator, sum, integer(operand, scope)?)
                    .map_err(Failure::integer)?;
            }
            Ok(Value::Integer(sum))
        }
        Node::Comparison(first, rest) => {
            let mut value = eval(first, scope).map_err(no_boolean)?;
            for (operator, operand) in rest {
                let operand = eval(operand, scope).map_err(no_boolean)?;
                let truth = comparison(*operator, &value, &operand).map_err(Failure::boolean)?;
                value = Value::Boolean(truth);
            }
            Ok(value)
        }
        Node::Logic(first, rest) => logic(first, rest, scope),
        Node::Call(function, arguments) => function.call(arguments, scope),
    }
}

/// The attribute of this name: integers and booleans keep their type, all else is text (F1.1).
fn attribute<'a>(name: &str, attributes: &'a Attributes) -> Option<Value<'a>> {
    if name == "specversion" {
        return Some(Value::text(attributes.specversion().as_str()));
    }
    let (_, value) = attributes.values().find(|(present, _)| *present == name)?;
    Some(match value.typed() {
        Typed::Text(text) => Value::text(text),
        Typed::Integer(number) => Value::Integer(number),
        Typed::Boolean(truth) => Value::Boolean(truth),
    })
}

fn no_boolean(failure: Failure<'_>) -> Failure<'_> {
    failure.now(Value::Boolean(false))
}

fn boolean<'a>(node: &'a Node, scope: Scope<'a>) -> Result<bool, Failure<'a>> {
    let value = eval(node, scope).map_err(no_boolean)?;
    value.to_boolean().map_err(Failure::boolean)
}

fn integer<'a>(node: &'a Node, scope: Scope<'a>) -> Result<i32, Failure<'a>> {
    let value = eval(node, scope).map_err(|failure| failure.now(Value::Integer(0)))?;
    value.to_integer().map_err(Failure::integer)
}

/// Whether the set has the value; its members are cast to the value's type, up to the first that equals it (F1.6).
fn is_in<'a>(value: &Value<'a>, set: &'a [Node], scope: Scope<'a>) -> Result<bool, Failure<'a>> {
    for member in set {
        let member = eval(member, scope).map_err(no_boolean)?;
        if member.equals_as(value).map_err(Failure::boolean)? {
            return Ok(true);
        }
    }
    Ok(false)
}

const OVERFLOW: EvalError = EvalError::Math("the result does not fit into 32 bits");
const BY_ZERO: EvalError = EvalError::Math("division by zero");

fn arithmetic(operator: Arithmetic, left: i32, right: i32) -> Result<i32, EvalError> {
    let result = match operator {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide | Arithmetic::Remainder if right == 0 => return Err(BY_ZERO),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => Some(left.wrapping_rem(right)),
    };
    result.ok_or(OVERFLOW)
}

/// For equality the type of the right operand decides; order is of integers (F1.6).
fn comparison(
    operator: Comparison,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<bool, EvalError> {
    let ordered =
        |holds: fn(&i32, &i32) -> bool| Ok(holds(&left.to_integer()?, &right.to_integer()?));
    match operator {
        Comparison::Equal => left.equals_as(right),
        Comparison::NotEqual => left.equals_as(right).map(|equal| !equal),
        Comparison::Less => ordered(i32::lt),
        Comparison::LessOrEqual => ordered(i32::le),
        Comparison::Greater => ordered(i32::gt),
        Comparison::GreaterOrEqual => ordered(i32::ge),
    }
}

/// `a AND (b OR (c XOR d))`, walked from the left without recursion: AND and OR either end it with the value of their
/// left operand or have that of their right one; XOR with true turns around all that follows.
fn logic<'a>(first: &'a Node, rest: &'a [(Logic, Node)], scope: Scope<'a>) -> Evaluation<'a> {
    let mut left = boolean(first, scope)?;
    let mut inverted = false;
    for (operator, right) in rest {
        match operator {
            Logic::And if !left => break,
            Logic::Or if left => break,
            Logic::And | Logic::Or => {}
            Logic::Xor => inverted ^= left,
        }
        left = boolean(right, scope)?;
    }
    Ok(Value::Boolean(left != inverted))
}

#[cfg(test)]
mod tests {
    use super::super::{Evaluated, Expression};
    use super::*;
    use crate::{SpecVersion, Value as AttributeValue};
    use proptest::prelude::*;
    use rstest::rstest;

    fn attributes() -> Attributes {
        let attributes = Attributes::new(SpecVersion::V10, "1", "/s", "com.example.a").unwrap();
        [
            ("number", AttributeValue::from(7)),
            ("truth", true.into()),
            ("text", "7".into()),
            ("word", "caf\u{e9}".into()),
        ]
        .into_iter()
        .fold(attributes, |attributes, (name, value)| {
            attributes.with(name, value).unwrap()
        })
    }

    /// The value, and the error as text.
    fn evaluate(text: &str) -> (String, String) {
        let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let (attributes, environment) = (attributes(), Environment::default());
        let Evaluated { value, error } = expression.evaluate(&attributes, &environment);
        let matches = error.is_none() && value == Value::Boolean(true);
        assert_eq!(expression.matches(&attributes, &environment), matches);
        (
            value.to_string(),
            error.map(|error| error.to_string()).unwrap_or_default(),
        )
    }

    #[rstest]
    // Precedence (F1.5).
    #[case("NOT truth = false", "true")]
    #[case("1 + 2 * 3 - 4 / 2", "5")]
    #[case("10 - 3 - 2", "5")]
    #[case("-2 * -3", "6")]
    #[case("1 + 1 = 2", "true")]
    #[case("1 < 2 = true", "true")]
    #[case("3 > 2 > 1", "false")]
    #[case("NOT truth LIKE 'false'", "true")]
    #[case("1 IN (1) AND NOT 1 NOT IN (2)", "true")]
    // The logic level is one, and right-associative (F1.5, I13).
    #[case("false AND false OR true", "false")]
    #[case("true OR true AND false", "true")]
    #[case("true XOR true XOR true", "true")]
    #[case("true XOR false AND true", "true")]
    #[case("true XOR true OR false", "false")]
    #[case("false XOR true AND false OR true", "true")]
    #[case("(false AND false) OR true", "true")]
    // Operands that are not reached have no errors.
    #[case("false AND missing", "false")]
    #[case("true OR missing", "true")]
    #[case("1 IN (1, missing)", "true")]
    // Types of attributes (F1.1), casts (F1.6), names (F1.3).
    #[case("number + truth + text", "15")]
    #[case("number = '7'", "true")]
    #[case("text = 7", "true")]
    #[case("truth = 'TRUE'", "false")]
    #[case("'TRUE' = truth", "true")]
    #[case("text IN (7)", "true")]
    #[case("SpecVersion = '1.0' AND EXISTS SOURCE", "true")]
    #[case("NOT 10", "false")]
    #[case("word LIKE 'caf_'", "true")]
    #[case("-2147483648", "-2147483648")]
    #[case("-2147483648 % -1", "0")]
    #[case("-7 / 2", "-3")]
    #[case("-7 % 2", "-1")]
    #[case("'it''s'", "\"it's\"")]
    #[case(r"'a\b'", r#""a\\b""#)]
    fn without_error(#[case] text: &str, #[case] value: &str) {
        assert_eq!(evaluate(text), (value.to_owned(), String::new()));
    }

    #[rstest]
    #[case("missing", "false", "no attribute \"missing\"")]
    #[case("missing AND true", "false", "no attribute")]
    #[case("true OR missing OR true", "true", "")]
    #[case("1 + missing", "0", "no attribute")]
    #[case("(1 + missing) = 1", "false", "no attribute")]
    #[case("word + 1", "0", "cannot read \"caf\u{e9}\" as an Integer")]
    #[case("word AND true", "false", "as a Boolean")]
    #[case("1 IN ('a')", "false", "as an Integer")]
    #[case("missing NOT LIKE 'a'", "false", "no attribute")]
    #[case("missing NOT IN ('a')", "false", "no attribute")]
    #[case("1 / 0", "0", "division by zero")]
    #[case("2147483647 + 1", "0", "32 bits")]
    #[case("-2147483648 - 1", "0", "32 bits")]
    #[case("65536 * 65536", "0", "32 bits")]
    #[case("-2147483648 / -1", "0", "32 bits")]
    #[case("- -2147483648", "0", "32 bits")]
    #[case("nothing(1, 2)", "false", "no function NOTHING that takes 2 arguments")]
    #[case("ABS()", "false", "no function ABS that takes 0")]
    #[case("NOT nothing()", "false", "no function")]
    fn f1_7_an_error_comes_with_a_value(
        #[case] text: &str,
        #[case] value: &str,
        #[case] error: &str,
    ) {
        let (found, message) = evaluate(text);
        assert_eq!(found, value);
        assert!(
            message.contains(error) && message.is_empty() == error.is_empty(),
            "{message}"
        );
    }

    /// The logic level as the grammar has it: each operator takes all that follows.
    fn right_associative(first: bool, rest: &[(u8, bool)]) -> bool {
        let Some(((operator, second), rest)) = rest.split_first() else {
            return first;
        };
        let right = right_associative(*second, rest);
        match operator {
            0 => first && right,
            1 => first || right,
            _ => first != right,
        }
    }

    /// Text that is often an expression.
    fn expression_text() -> impl Strategy<Value = String> {
        let words = [
            "a",
            "type",
            "number",
            "truth",
            "word",
            "1",
            "0",
            "-2147483648",
            "'a%'",
            "\"7\"",
            "true",
            "AND",
            "OR",
            "XOR",
            "NOT",
            "-",
            "+",
            "*",
            "/",
            "%",
            "=",
            "!=",
            "<",
            "<=",
            "LIKE",
            "IN",
            "EXISTS",
            "(",
            ")",
            ",",
            "ABS(",
            "LEFT(",
            "SUBSTRING(",
            "CONCAT_WS(",
            "INT(",
            "nothing(",
        ];
        proptest::collection::vec(proptest::sample::select(words.to_vec()), 1..12)
            .prop_map(|words| words.join(" "))
    }

    proptest! {
        #[test]
        fn f1_5_logic_is_right_associative(
            first in any::<bool>(),
            rest in proptest::collection::vec((0..3u8, any::<bool>()), 0..8),
        ) {
            let mut text = first.to_string();
            for (operator, operand) in &rest {
                text.push_str([" AND ", " OR ", " XOR "][usize::from(*operator)]);
                text.push_str(&operand.to_string());
            }
            prop_assert_eq!(evaluate(&text).0, right_associative(first, &rest).to_string());
        }

        #[test]
        fn no_expression_panics(text in expression_text()) {
            if let Ok(expression) = Expression::parse(&text) {
                let (attributes, environment) = (attributes(), Environment::default());
                let Evaluated { value, error } = expression.evaluate(&attributes, &environment);
                let matches = error.is_none() && value == Value::Boolean(true);
                prop_assert_eq!(expression.matches(&attributes, &environment), matches);
            }
        }
    }

    /// The deepest tree that parses, on half the stack that a thread has by default, without optimisation.
    #[test]
    fn the_deepest_expression_needs_little_stack() {
        let open = "NOT (1 + (2 * ABS(1 IN (";
        let text = format!("{}a{}", open.repeat(12), "))))".repeat(12));
        let run = move || {
            let expression = Expression::parse(&text).unwrap();
            expression.matches(&attributes(), &Environment::default())
        };
        let thread = std::thread::Builder::new().stack_size(1024 * 1024);
        assert!(!thread.spawn(run).unwrap().join().unwrap());
    }
}
