//! Expressions and what they evaluate to: text in, JSON out. Each file in
//! `tests/golden` holds cases `expression`, `=> JSON`, parted by empty lines
//! before which stands such a result.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_nixlang::{Limits, MemoryFiles, eval_file};
use serde_json::Value;

fn cases(text: &str) -> Vec<(String, Value)> {
    let mut cases = Vec::new();
    let mut expression = String::new();
    for line in text.lines() {
        if let Some(result) = line.strip_prefix("=> ") {
            let value = serde_json::from_str(result).unwrap_or_else(|error| panic!("{line}: {error}"));
            cases.push((std::mem::take(&mut expression), value));
        } else if !(expression.is_empty() && line.is_empty()) {
            expression.push_str(line);
            expression.push('\n');
        }
    }
    assert_eq!(expression, "", "a case has no result");
    cases
}

fn check(text: &str, least: usize) {
    let cases = cases(text);
    let files = MemoryFiles::default();
    let mut failed = Vec::new();
    for (expression, want) in &cases {
        match eval_file("case.nix", expression, &files, &Limits::default()) {
            Ok(got) if got == *want => {}
            Ok(got) => failed.push(format!("{expression}   want {want}\n   got  {got}")),
            Err(error) => failed.push(format!("{expression}   want {want}\n   {error}")),
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
    assert!(cases.len() >= least, "only {} cases were read", cases.len());
}

#[test]
fn language() {
    check(include_str!("golden/language.txt"), 120);
}

#[test]
fn builtin_functions() {
    check(include_str!("golden/builtins.txt"), 60);
}

#[test]
fn library() {
    check(include_str!("golden/lib.txt"), 25);
}
