//! The tree of an expression. Chains of operators are flat lists, so that only nesting makes it deeper.

use std::sync::Arc;

use super::functions::Function;
use super::like::Pattern;

/// A part of an expression that has a value.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(Box<str>),
    Integer(i32),
    Boolean(bool),
    /// The value of an attribute. Names are in lower case (F1.3).
    Attribute(Arc<str>),
    /// `EXISTS attribute`
    Exists(Box<str>),
    /// `NOT x`
    Not(Box<Node>),
    /// `-x`
    Negate(Box<Node>),
    /// `x LIKE 'a' IN (b, c)`: each test applies to what the one before it gave.
    Tests(Box<Node>, Vec<Test>),
    /// From left to right; operators of one precedence only (F1.5).
    Arithmetic(Box<Node>, Vec<(Arithmetic, Node)>),
    /// From left to right.
    Comparison(Box<Node>, Vec<(Comparison, Node)>),
    /// From right to left (F1.5, I13).
    Logic(Box<Node>, Vec<(Logic, Node)>),
    Call(Function, Vec<Node>),
}

/// What follows an operand in `x LIKE 'pattern'` and `x IN (a, b)`.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) negated: bool,
    pub(super) kind: TestKind,
}

#[derive(Clone, Debug)]
pub(super) enum TestKind {
    Like(Pattern),
    In(Vec<Node>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Logic {
    And,
    Or,
    Xor,
}
