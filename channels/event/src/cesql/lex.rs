//! The words of the language: keywords, names, literals. Each parser also takes the blanks that follow its word.

use winnow::combinator::{alt, delimited, not, opt, peek, preceded, repeat, terminated};
use winnow::error::{ContextError, ErrMode, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Stateful};
use winnow::token::{any, none_of, take_while};

/// The text, with how deep the parser is nested.
pub(super) type Input<'s> = Stateful<LocatingSlice<&'s str>, usize>;
pub(super) type Parsed<T> = ModalResult<T>;

/// Words that are neither attributes nor functions.
const KEYWORDS: [&str; 9] = [
    "and", "or", "xor", "not", "like", "exists", "in", "true", "false",
];

/// Says in an error what was expected.
pub(super) fn expected(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

/// An error that no alternative can mend.
pub(super) fn fatal<T>(what: &'static str) -> Parsed<T> {
    let mut error = ContextError::new();
    error.push(expected(what));
    Err(ErrMode::Cut(error))
}

pub(super) fn blanks(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., [' ', '\t', '\r', '\n'])
        .void()
        .parse_next(input)
}

/// A punctuation mark or operator.
pub(super) fn symbol<'s>(text: &'static str) -> impl Parser<Input<'s>, (), ErrMode<ContextError>> {
    terminated(text, blanks).void()
}

/// A keyword, in any case, that is not the start of a longer word.
pub(super) fn keyword<'s>(text: &'static str) -> impl Parser<Input<'s>, (), ErrMode<ContextError>> {
    terminated(
        word.verify(move |word: &str| word.eq_ignore_ascii_case(text)),
        blanks,
    )
    .void()
}

/// The longest run of what keywords, attributes and functions are made of.
fn word<'s>(input: &mut Input<'s>) -> Parsed<&'s str> {
    take_while(1.., |c: char| c.is_ascii_alphanumeric() || c == '_').parse_next(input)
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// The name of an attribute, in lower case (F1.3).
pub(super) fn attribute(input: &mut Input<'_>) -> Parsed<String> {
    terminated(
        word.verify(|word: &str| !word.contains('_') && !is_keyword(word)),
        blanks,
    )
    .map(str::to_ascii_lowercase)
    .parse_next(input)
}

/// The name of a function and its opening parenthesis; the name in upper case. Letters and `_` only.
pub(super) fn function(input: &mut Input<'_>) -> Parsed<String> {
    let name = word.verify(|word: &str| {
        !is_keyword(word)
            && !word.starts_with('_')
            && !word.bytes().any(|byte| byte.is_ascii_digit())
    });
    terminated(terminated(name, blanks), symbol("("))
        .map(str::to_ascii_uppercase)
        .parse_next(input)
}

pub(super) fn boolean(input: &mut Input<'_>) -> Parsed<bool> {
    alt((keyword("true").value(true), keyword("false").value(false))).parse_next(input)
}

/// An integer with its sign, so that the least one can be written (F1.2).
pub(super) fn integer(input: &mut Input<'_>) -> Parsed<i32> {
    let digits = take_while(1.., |c: char| c.is_ascii_digit());
    let more = peek(not(take_while(1.., |c: char| {
        c.is_ascii_alphanumeric() || c == '_'
    })));
    let text = terminated((opt(alt(('+', '-'))), digits).take(), more).parse_next(input)?;
    let Ok(number) = text.parse() else {
        return fatal("an integer from -2147483648 to 2147483647");
    };
    blanks(input)?;
    Ok(number)
}

/// A string literal. The delimiter in it is escaped by a backslash or by doubling; a backslash before any other
/// character stays, so that patterns can use it (F1.2).
pub(super) fn text(input: &mut Input<'_>) -> Parsed<String> {
    terminated(alt((quoted('\''), quoted('"'))), blanks).parse_next(input)
}

fn quoted<'s>(quote: char) -> impl Parser<Input<'s>, String, ErrMode<ContextError>> {
    let escaped = move |input: &mut Input<'s>| {
        preceded('\\', any)
            .map(|c| Piece::escaped(c, quote))
            .parse_next(input)
    };
    let piece = alt((
        escaped,
        (quote, quote).value(Piece::One(quote)),
        none_of([quote, '\\']).map(Piece::One),
    ));
    let pieces = repeat(0.., piece).fold(String::new, |mut text, piece| {
        match piece {
            Piece::One(c) => text.push(c),
            Piece::Kept(c) => text.extend(['\\', c]),
        }
        text
    });
    delimited(
        quote,
        pieces,
        winnow::combinator::cut_err(quote).context(expected("the end of the string: its quote")),
    )
}

#[derive(Clone)]
enum Piece {
    One(char),
    /// After its backslash.
    Kept(char),
}

impl Piece {
    fn escaped(c: char, quote: char) -> Self {
        if c == quote {
            Self::One(c)
        } else {
            Self::Kept(c)
        }
    }
}
