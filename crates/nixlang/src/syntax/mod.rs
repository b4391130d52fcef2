//! From text to expressions: rnix's tokens, a parser that makes a `tree` of them,
//! and its lowering into [`ast`]. Nothing of rnix is visible outside.

mod ast;
mod attributes;
mod bindings;
mod functions;
mod lower;
mod names;
mod operators;
mod parser;
mod scan;
mod strings;
mod tree;

pub(crate) use ast::{BinaryOp, BindValue, Bindings, Expr, ExprId, Key, Lambda, Param, Part, Pattern, Program, Span, Symbol};
pub(crate) use names::nearest;

use lower::Lowering;

use crate::error::{ErrorKind, Failure, Fallible};
use crate::files::NixPath;
use crate::limits::Limits;
use crate::value::Value;

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
    let tokens = scan::tokens(unit.text, unit.file)?;
    let (tree, root) = parser::Parser::new(program, unit, &tokens).file()?;
    Lowering::new(program, unit, &tree, globals).expr(root)
}
