//! HCL2: text to syntax tree, and its expressions to values.

pub(crate) mod body;
pub(crate) mod eval;
pub(crate) mod operators;
pub(crate) mod scan;
pub(crate) mod scope;
pub(crate) mod template;
pub(crate) mod types;
pub(crate) mod variables;

use hcl_edit::{expr::Expression, structure::Body, template::Template};

use crate::diagnostic::{At, Fallible, Fault, Span};

/// Parses a file.
pub(crate) fn parse_body(text: &str, source: u32) -> Fallible<Body> {
    scan::check(text, source)?;
    hcl_edit::parser::parse_body(text).map_err(|error| syntax_fault(&error, text, source))
}

/// Parses one expression, as `-var` gives them.
pub(crate) fn parse_expression(text: &str, source: u32) -> Fallible<Expression> {
    scan::check(text, source)?;
    hcl_edit::parser::parse_expr(text).map_err(|error| syntax_fault(&error, text, source))
}

/// Parses a template, as the strings of HCL's JSON form are.
pub(crate) fn parse_template(text: &str, source: u32) -> Fallible<Template> {
    scan::check_template(text, source)?;
    hcl_edit::parser::parse_template(text).map_err(|error| syntax_fault(&error, text, source))
}

fn syntax_fault(error: &hcl_edit::parser::Error, text: &str, source: u32) -> Box<Fault> {
    let start = error.location().offset();
    let line = text.get(..start).map_or(text, |before| before.rsplit('\n').next().unwrap_or(before));
    let rest = text.get(start..).unwrap_or("");
    let message = error.message();
    let hint = if message.contains("redefined attribute") {
        "this attribute is set twice: remove one".to_owned()
    } else if message.contains("redefined object key") {
        "this key is set twice: remove one".to_owned()
    } else if message.contains("nesting depth") || message.contains("binary operation") {
        format!("the expression is too deep: {message}")
    } else if in_interpolation(line) && rest.starts_with(':') {
        "this is no expression; for a shell variable write $${...} instead of ${...}".to_owned()
    } else if rest.starts_with('"') && line.trim().is_empty() {
        "an attribute's name stands without quotes here; inside a map write name = { \"key\" = value }".to_owned()
    } else if rest.starts_with(',') && !line.contains('[') && !line.contains('(') {
        "a block holds one attribute a line: remove the comma and begin a new line".to_owned()
    } else if rest.trim_start_matches([' ', '\t']).starts_with(['\n', '\r']) || rest.is_empty() {
        if message.starts_with("invalid expression") {
            "a value is missing at the end of this line".to_owned()
        } else {
            format!("something is missing at the end of this line: {message}")
        }
    } else {
        format!("syntax error: {message}")
    };
    let word = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count().max(1);
    Fault::new(&At::Text(Span::new(source, start..start + word)), hint)
}

fn in_interpolation(line: &str) -> bool {
    line.rfind("${").is_some_and(|open| line.get(open..).is_some_and(|tail| !tail.contains('}')))
}
