//! The `filter` parameter of lists: a boolean expression over each object of the answer, in the dialect of go-bexpr.
//!
//! ```text
//! or       = and { "or" and }
//! and      = not { "and" not }
//! not      = { "not" } ( "(" or ")" | each | match )
//! each     = ( "any" | "all" ) selector "as" name [ "," name ] "{" or "}"
//! match    = selector ( "==" | "!=" | [ "not" ] "contains" | [ "not" ] "matches" ) value
//!          | selector "is" [ "not" ] "empty"
//!          | value [ "not" ] "in" selector
//! selector = name { "." name | "[" text "]" } | JSON pointer in double quotes
//! value    = bare word or number | "text" | `text`
//! ```
//!
//! Selectors are the JSON names of the answer, in exactly that case. What is tested decides how a value is read: beside a number it must
//! be a number, beside a boolean one of Go's words for it, beside text it is text. `contains` (and `in`, which is the same turned round)
//! means an element of a list, a key of an object, or a part of a text. In `any` and `all`, one name stands for the element of a list or
//! the key of an object, two names for index or key and the element.
//!
//! Where a path leads to nothing (or to `null`), nothing is equal to it, nothing is in it, and it is empty. Only a first name that no
//! object of a list has is an error, because it is a misspelling or a part that was not asked for. There are no `<` and `>`, as there
//! are none in the original.
//!
//! A recursive descent of this size needs no parser library; the crate `regex` never backtracks, whatever the pattern.

mod evaluate;
mod expression;
mod lex;
mod parse;
mod pattern;

use expression::Expression;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// The longest expression in bytes.
pub const MAX_LENGTH: usize = 4096;
/// How deep parentheses and the bodies of `any` and `all` nest.
pub const MAX_DEPTH: usize = 32;
/// How many comparisons an expression has at most.
pub const MAX_TERMS: usize = 128;
/// The size of one compiled pattern of `matches`, in bytes.
pub const MAX_PATTERN_BYTES: usize = 32 << 10;
/// How many patterns an expression has at most.
pub const MAX_PATTERNS: usize = 16;
/// How many steps the evaluation over a whole list takes at most: about half a second. A comparison, an element that is looked at and
/// [`BYTES_PER_STEP`] bytes of text that are searched are one step each; a byte that is matched is one for each 512 bytes of the pattern.
pub const MAX_STEPS: u64 = 10_000_000;
/// How many bytes of text are searched in one step.
pub const BYTES_PER_STEP: usize = 64;

/// A parsed filter.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    root: Expression,
    /// The first names of all paths, with their places.
    fields: Vec<(String, usize)>,
}

/// A filter that cannot be read, or that does not fit the objects that it is put to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    /// What is wrong.
    pub message: String,
    /// Where: the place of a character, counted from one.
    pub position: usize,
    /// The expression.
    pub text: String,
}

/// What is wrong at which byte.
#[derive(Debug)]
struct Problem {
    message: String,
    at: usize,
}

impl Problem {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Problem { message: message.into(), at }
    }
}

/// How many characters of the expression an error shows before the place, and after it.
const SHOWN: (usize, usize) = (60, 20);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.position.saturating_sub(1);
        let from = at.saturating_sub(SHOWN.0);
        let window = self.text.chars().skip(from).take(at - from + SHOWN.1);
        // A line break would part the caret from what it points at.
        let shown: String = window.map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "filter: {} at character {}\n  {shown}\n  {:>width$}", self.message, self.position, '^', width = at - from + 1)
    }
}

impl Filter {
    /// Parses an expression.
    ///
    /// # Errors
    /// When it has no meaning, or is larger than the bounds of this module.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let (root, fields) = parse::parse(text).map_err(|p| located(text, p))?;
        Ok(Filter { text: text.to_owned(), root, fields })
    }

    /// Begins to put the expression to the objects of a list.
    pub fn selection(&self) -> Selection<'_> {
        Selection { filter: self, left: MAX_STEPS, missing: self.fields.iter().collect(), last: Value::Null }
    }
}

/// An expression on its way through a list.
#[derive(Debug)]
pub struct Selection<'f> {
    filter: &'f Filter,
    /// Steps that may still be taken.
    left: u64,
    /// The first names that no object had so far.
    missing: Vec<&'f (String, usize)>,
    last: Value,
}

impl Selection<'_> {
    /// Whether the expression is true of the next object.
    ///
    /// # Errors
    /// When a value cannot be compared with what is there, and when the list has taken more than [`MAX_STEPS`].
    pub fn keeps(&mut self, object: &impl Serialize) -> Result<bool, FilterError> {
        let text = &self.filter.text;
        let object = serde_json::to_value(object);
        self.last = object.map_err(|e| located(text, Problem::new(0, format!("write an object of the list as JSON: {e}"))))?;
        self.missing.retain(|(name, _)| self.last.get(name).is_none());
        evaluate::holds(&self.filter.root, text, &self.last, &mut self.left).map_err(|p| located(text, p))
    }

    /// Ends the list, or the part of it that is wanted.
    ///
    /// # Errors
    /// When a path begins with a name that no object had, although there were some.
    pub fn finish(self) -> Result<(), FilterError> {
        match self.missing.first() {
            Some((name, at)) if !self.last.is_null() => Err(located(&self.filter.text, Problem::new(*at, unknown(name, &self.last)))),
            _ => Ok(()),
        }
    }
}

fn located(text: &str, problem: Problem) -> FilterError {
    let before = text.get(..problem.at).unwrap_or(text).chars().count();
    FilterError { message: problem.message, position: before + 1, text: text.to_owned() }
}

fn unknown(name: &str, object: &Value) -> String {
    let names: Vec<&str> = object.as_object().map(|o| o.keys().map(String::as_str).collect()).unwrap_or_default();
    let near = floe_model::wire::nearest(name, &names).map(|n| format!(" (did you mean {n}?)")).unwrap_or_default();
    format!("no object of this list has a field {name:?}{near}")
}

#[cfg(test)]
mod tests;
