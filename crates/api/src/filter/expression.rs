//! The parsed form of a filter.

use super::pattern::Pattern;

/// A boolean expression. Chains of `and` and `or` are one list, so that only parentheses and bodies nest.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Match { selector: Selector, test: Test },
    Each { quantifier: Quantifier, over: Selector, names: Names, body: Box<Expression> },
}

/// What is asked of the value that a selector finds. Negated operators are a `Not` around these.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Equals(Literal),
    Contains(Literal),
    IsEmpty,
    Matches(Pattern),
}

/// A value of the expression: what it means depends on what it is compared with.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    pub(super) text: String,
    /// The byte at which it begins.
    pub(super) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Any,
    All,
}

/// How many names a body has for the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    One,
    Two,
}

/// A path to a value.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) base: Base,
    pub(super) path: Vec<String>,
    /// The bytes of the expression that it is written in.
    pub(super) span: (usize, usize),
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// At the object.
    Object,
    /// At a name of the body at this depth (the outermost is zero): its first or its second.
    Name { depth: usize, second: bool },
}
