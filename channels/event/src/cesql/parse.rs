//! The grammar. One function for each level of precedence, from low to high (F1.5).

use winnow::combinator::{alt, cut_err, delimited, eof, opt, preceded, repeat, separated};
use winnow::error::{ContextError, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Stateful};

use super::ast::{Arithmetic, Comparison, Logic, Node, Test, TestKind};
use super::functions::Function;
use super::lex::{
    Input, Parsed, attribute, blanks, boolean, expected, fatal, function, integer, keyword, symbol,
    text,
};
use super::like::Pattern;
use super::{Expression, ParseError};

const OPERAND: &str =
    "a value: an attribute, a literal, a function, NOT, -, EXISTS or a parenthesis";

pub(super) fn parse(source: &str) -> Result<Node, ParseError> {
    if source.len() > Expression::MAX_BYTES {
        return Err(ParseError::new(
            source,
            Expression::MAX_BYTES,
            format!(
                "the end, as an expression may have {} bytes; make it shorter",
                Expression::MAX_BYTES
            ),
        ));
    }
    let input = Stateful {
        input: LocatingSlice::new(source),
        state: 0,
    };
    let end = cut_err(eof).context(expected("an operator or the end"));
    let whole = delimited(blanks, cut_err(expression), end);
    let mut whole = whole;
    whole
        .parse(input)
        .map_err(|error| ParseError::new(source, error.offset(), describe(error.inner())))
}

/// What the innermost parser that failed expected.
fn describe(error: &ContextError) -> &'static str {
    error
        .context()
        .find_map(|context| match context {
            StrContext::Expected(StrContextValue::Description(what)) => Some(*what),
            _ => None,
        })
        .unwrap_or(OPERAND)
}

/// Runs `parser` one level deeper, if there may be one.
fn nested<'s, T>(
    input: &mut Input<'s>,
    mut parser: impl FnMut(&mut Input<'s>) -> Parsed<T>,
) -> Parsed<T> {
    if input.state >= Expression::MAX_DEPTH {
        return fatal("at most 64 levels of nesting; split the expression");
    }
    input.state += 1;
    let result = parser(input);
    input.state -= 1;
    result
}

fn expression(input: &mut Input<'_>) -> Parsed<Node> {
    let operator = |input: &mut Input<'_>| {
        alt((
            keyword("and").value(Logic::And),
            keyword("or").value(Logic::Or),
            keyword("xor").value(Logic::Xor),
        ))
        .parse_next(input)
    };
    chain(input, comparison, operator, Node::Logic)
}

fn comparison(input: &mut Input<'_>) -> Parsed<Node> {
    let operator = |input: &mut Input<'_>| {
        alt((
            symbol("=").value(Comparison::Equal),
            symbol("!=").value(Comparison::NotEqual),
            symbol("<>").value(Comparison::NotEqual),
            symbol("<=").value(Comparison::LessOrEqual),
            symbol("<").value(Comparison::Less),
            symbol(">=").value(Comparison::GreaterOrEqual),
            symbol(">").value(Comparison::Greater),
        ))
        .parse_next(input)
    };
    chain(input, sum, operator, Node::Comparison)
}

fn sum(input: &mut Input<'_>) -> Parsed<Node> {
    let operator = |input: &mut Input<'_>| {
        alt((
            symbol("+").value(Arithmetic::Add),
            symbol("-").value(Arithmetic::Subtract),
        ))
        .parse_next(input)
    };
    chain(input, product, operator, Node::Arithmetic)
}

fn product(input: &mut Input<'_>) -> Parsed<Node> {
    let operator = |input: &mut Input<'_>| {
        alt((
            symbol("*").value(Arithmetic::Multiply),
            symbol("/").value(Arithmetic::Divide),
            symbol("%").value(Arithmetic::Remainder),
        ))
        .parse_next(input)
    };
    chain(input, tested, operator, Node::Arithmetic)
}

/// Operands with operators between them; a single operand stays what it is.
fn chain<'s, O>(
    input: &mut Input<'s>,
    operand: fn(&mut Input<'s>) -> Parsed<Node>,
    operator: impl FnMut(&mut Input<'s>) -> Parsed<O>,
    node: fn(Box<Node>, Vec<(O, Node)>) -> Node,
) -> Parsed<Node> {
    let first = operand(input)?;
    let rest: Vec<(O, Node)> = repeat(0.., (operator, cut_err(operand))).parse_next(input)?;
    Ok(if rest.is_empty() {
        first
    } else {
        node(Box::new(first), rest)
    })
}

/// An operand and the `LIKE` and `IN` that follow it.
fn tested(input: &mut Input<'_>) -> Parsed<Node> {
    let operand = unary(input)?;
    let tests: Vec<Test> = repeat(0.., test).parse_next(input)?;
    Ok(if tests.is_empty() {
        operand
    } else {
        Node::Tests(Box::new(operand), tests)
    })
}

fn test(input: &mut Input<'_>) -> Parsed<Test> {
    let negated = opt(keyword("not")).parse_next(input)?.is_some();
    let pattern = cut_err(text).context(expected("a string literal as the pattern of LIKE"));
    let like = preceded(keyword("like"), pattern)
        .map(|pattern: String| TestKind::Like(Pattern::new(&pattern)));
    let set = preceded(keyword("in"), cut_err(set)).map(TestKind::In);
    let kind = alt((like, set));
    let kind = if negated {
        cut_err(kind)
            .context(expected("LIKE or IN after NOT"))
            .parse_next(input)?
    } else {
        let mut kind = kind;
        kind.parse_next(input)?
    };
    Ok(Test { negated, kind })
}

fn set(input: &mut Input<'_>) -> Parsed<Vec<Node>> {
    let open = symbol("(").context(expected("( and the values of the set"));
    let values = separated(1.., inner, symbol(","));
    delimited(open, values, close).parse_next(input)
}

/// What stands in parentheses, one level deeper.
fn inner(input: &mut Input<'_>) -> Parsed<Node> {
    nested(input, expression)
}

fn close(input: &mut Input<'_>) -> Parsed<()> {
    symbol(")")
        .context(expected("an operator, a comma or a closing parenthesis"))
        .parse_next(input)
}

/// `NOT` and `-` bind tighter than everything that stands between operands.
fn unary(input: &mut Input<'_>) -> Parsed<Node> {
    let operand = |input: &mut Input<'_>| nested(input, unary);
    alt((
        preceded(keyword("not"), cut_err(operand)).map(|node| Node::Not(Box::new(node))),
        integer.map(Node::Integer),
        preceded(symbol("-"), cut_err(operand)).map(|node| Node::Negate(Box::new(node))),
        primary,
    ))
    .parse_next(input)
}

fn primary(input: &mut Input<'_>) -> Parsed<Node> {
    let exists = cut_err(attribute).context(expected("the name of an attribute after EXISTS"));
    alt((
        delimited(symbol("("), cut_err(inner), cut_err(close)),
        text.map(|text| Node::Text(text.into())),
        boolean.map(Node::Boolean),
        preceded(keyword("exists"), exists).map(|name| Node::Exists(name.into())),
        call,
        attribute.map(|name| Node::Attribute(name.into())),
    ))
    .context(expected(OPERAND))
    .parse_next(input)
}

fn call(input: &mut Input<'_>) -> Parsed<Node> {
    let name = function.parse_next(input)?;
    let arguments: Vec<Node> = if opt(symbol(")")).parse_next(input)?.is_some() {
        Vec::new()
    } else {
        cut_err(delimited((), separated(1.., inner, symbol(",")), close)).parse_next(input)?
    };
    Ok(Node::Call(
        Function::resolve(&name, arguments.len()),
        arguments,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("", 0, "a value", "the end")]
    #[case("ABC(", 4, "a value", "the end")]
    #[case("1 +", 3, "a value", "the end")]
    #[case("a = ", 4, "a value", "the end")]
    #[case("a b", 2, "an operator or the end", "\"b\"")]
    #[case("(a", 2, "a closing parenthesis", "the end")]
    #[case("a LIKE b", 7, "a string literal", "\"b\"")]
    #[case("a LIKE 123", 7, "a string literal", "\"123\"")]
    #[case("a NOT b", 6, "LIKE or IN after NOT", "\"b\"")]
    #[case("a IN b", 5, "the values of the set", "\"b\"")]
    #[case("a IN ()", 6, "a value", "\")\"")]
    #[case("f(a b)", 4, "a comma or a closing parenthesis", "\"b)\"")]
    #[case("EXISTS 'a'", 7, "the name of an attribute", "\"'a'\"")]
    #[case("'abc", 4, "its quote", "the end")]
    #[case(r"'abc\'", 6, "its quote", "the end")]
    #[case("2147483648", 10, "an integer from -2147483648", "the end")]
    #[case("my_attribute", 0, "a value", "\"my_attribute\"")]
    #[case("a = like", 4, "a value", "\"like\"")]
    #[case("a == 1", 3, "a value", "\"= 1\"")]
    #[case("\u{e9}", 0, "a value", "\"\u{e9}\"")]
    fn an_error_says_where_and_what(
        #[case] text: &str,
        #[case] at: usize,
        #[case] expected: &str,
        #[case] found: &str,
    ) {
        let error = Expression::parse(text).unwrap_err();
        assert_eq!(error.at, at, "{error}");
        assert!(error.expected.contains(expected), "{error}");
        assert_eq!(*error.found, *found, "{error}");
    }

    #[rstest]
    #[case("-2147483648")]
    #[case("+1 = 1")]
    #[case("4 -1")]
    #[case("a-1")]
    #[case("--10")]
    #[case("1a = 2")]
    #[case("123abc LIKE 'x'")]
    #[case("ABS (1)")]
    #[case("NOT\tNOT\r\na")]
    #[case("a NOT IN (b) LIKE 'true'")]
    #[case("EXISTS ANDROID AND android = 'x'")]
    #[case("unknown_function()")]
    #[case("'it''s' = 'it\\'s'")]
    #[case(r#""\\" = '\\'"#)]
    fn f1_11_what_knative_accepts_parses(#[case] text: &str) {
        let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(expression.as_str(), text);
    }

    #[test]
    fn is_bounded_in_length() {
        let text = format!("'{}'", "a".repeat(Expression::MAX_BYTES - 2));
        assert!(Expression::parse(&text).is_ok());
        let error = Expression::parse(&format!("{text} ")).unwrap_err();
        assert!(error.to_string().contains("16384 bytes"), "{error}");
    }

    #[rstest]
    #[case("(", "a", ")")]
    #[case("NOT ", "a", "")]
    #[case("- ", "a", "")]
    #[case("f(", "a", ")")]
    #[case("1 IN (", "a", ")")]
    #[case("1 + (2 * (", "a", "))")]
    fn is_bounded_in_depth(#[case] open: &str, #[case] inside: &str, #[case] close: &str) {
        let nested = |times: usize| {
            let text = format!("{}{inside}{}", open.repeat(times), close.repeat(times));
            Expression::parse(&text)
        };
        assert!(nested(32).is_ok());
        let error = nested(65).unwrap_err();
        assert!(error.to_string().contains("64 levels"), "{error}");
        assert!(nested(1600).is_err());
    }

    #[test]
    fn chains_do_not_nest() {
        for (operator, last) in [(" AND ", "a"), (" + ", "1"), (" = ", "a"), ("", "")] {
            let chain = match operator {
                "" => format!("a{}", " LIKE 'a'".repeat(1000)),
                _ => format!("{}{last}", format!("a{operator}").repeat(1000)),
            };
            assert!(Expression::parse(&chain).is_ok(), "{operator}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = Expression::parse(&text).map_err(|error| error.to_string());
        }
    }
}
