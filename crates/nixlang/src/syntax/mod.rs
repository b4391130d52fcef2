//! From text to expressions: a guard over the tokens, the rnix parser, and the
//! lowering of its tree into [`ast`]. Nothing of rnix is visible outside.

mod ast;
mod bindings;
mod lower;
mod names;
mod problem;
mod scan;
mod strings;

pub(crate) use ast::{BinaryOp, BindValue, Bindings, Expr, ExprId, Key, Lambda, Param, Part, Pattern, Program, Span, Symbol};
pub(crate) use lower::Lowering;
pub(crate) use names::nearest;

use crate::error::{ErrorKind, Failure, Fallible};
use crate::files::NixPath;
use crate::limits::{Limits, MAX_SOURCE_TOKENS};
use crate::value::Value;

/// Stack that the parser and its tree need for each token of a hostile source:
/// a chain of operators is parsed, or dropped, recursively by rnix and rowan.
/// Measured below 700 bytes in unoptimised builds.
const STACK_BYTES_PER_TOKEN: usize = 1_024;

/// Stack to reserve for parsing, in bytes; only what is used is ever touched.
pub(crate) const PARSER_STACK_BYTES: usize = MAX_SOURCE_TOKENS * STACK_BYTES_PER_TOKEN;

/// A file to parse: its number among the sources, and the folder in which its
/// relative paths start.
pub(crate) struct Unit<'a> {
    pub(crate) file: u32,
    pub(crate) text: &'a str,
    pub(crate) folder: NixPath,
}

/// Parses `unit` into `program`; `globals` are the names visible everywhere.
pub(crate) fn parse(program: &mut Program, unit: &Unit<'_>, globals: &dyn Fn(&str) -> Option<Value>, limits: &Limits) -> Fallible<ExprId> {
    let start = Span { file: unit.file, start: 0, end: 0 };
    if unit.text.len() > limits.source_bytes {
        let message = format!("the source has {} bytes, limit source_bytes is {}", unit.text.len(), limits.source_bytes);
        return Err(Failure::new(ErrorKind::Limit, start, message));
    }
    scan::check(unit.text, unit.file)?;
    let parsed = rnix::Root::parse(unit.text);
    if let Some(failure) = problem::first(parsed.errors(), unit) {
        return Err(failure);
    }
    let root = parsed.tree().expr();
    Lowering::new(program, unit, globals).file(root)
}
