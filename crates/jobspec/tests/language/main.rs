//! The job language, one part after the other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod functions;
mod heredocs;
mod hostile;
mod limits;
mod variables;

use floe_jobspec::{Format, MemoryFiles, ParseErrors, ParseInput, Parsed, parse};

/// Parses HCL with two files beside it.
fn hcl(source: &str) -> Result<Parsed, ParseErrors> {
    let files = MemoryFiles(
        [
            ("a.txt".to_owned(), b"text of a".to_vec()),
            ("conf/x.conf".to_owned(), b"x".to_vec()),
            ("conf/deep/y.conf".to_owned(), b"y".to_vec()),
            ("binary".to_owned(), vec![0xff, 0]),
        ]
        .into(),
    );
    parse(&ParseInput { files: &files, ..ParseInput::text(source, "job.hcl", Format::Hcl2) })
}

/// The value of an expression, as JSON text.
fn value(expression: &str) -> Result<String, String> {
    let source = format!("locals {{\n  x = {expression}\n}}\njob \"j\" {{\n  name = jsonencode(local.x)\n}}\n");
    hcl(&source).map(|p| p.job.name).map_err(|e| e.errors[0].message.clone())
}
