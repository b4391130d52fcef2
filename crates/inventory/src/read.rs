//! An inventory's file, read by floe's Nix evaluator and checked by the very text that `lib.mkCluster` goes by.
//!
//! ```text
//! FILE --evaluate--> data --rules (nix/lib/inventory.nix, built in)--> errors, warnings, or what is declared
//! ```
//!
//! What only Nix can evaluate is said by [`ReadError::NeedsNix`]: whoever has a Nix lets it evaluate the file and hands the data to [`check_data`],
//! so that the rules are the same.

use crate::declared::Declared;
use floe_nixlang::{ErrorKind, EvalError, Files, FilesError, Limits, NixPath, Request};
use serde::Deserialize;
use serde_json::Value;

/// The rules. There is one text of them.
pub const RULES: &str = include_str!("../../../nix/lib/inventory.nix");

/// Largest data that Nix may have made of an inventory, in bytes.
pub const MAX_DATA_BYTES: usize = 8 << 20;

/// Names that no file beside an inventory has: the rules, the data, and the expression that puts both together.
const RULES_FILE: &str = ".floe-rules.nix";
const DATA_FILE: &str = ".floe-data.json";
const ROOT_FILE: &str = ".floe-check.nix";

/// What the rules say of something that is given: only what is right is looked at further.
const CHECK: &str = "
  found = import ./.floe-rules.nix given;
in
{ inherit (found) errors warnings; } // (if found.errors == [ ] then { inherit (found) cluster hosts; } else { })
";

/// What the rules found.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Everything that is wrong, each with the host's name and what to do.
    pub errors: Vec<String>,
    /// What is allowed and unwise.
    pub warnings: Vec<String>,
    /// What is declared; `None` exactly when there are errors.
    pub declared: Option<Declared>,
}

/// Why a file could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nix itself may be able to evaluate it. With the construct, and where it stands.
    #[error("{0}")]
    NeedsNix(String),
    /// It is no Nix, or says nothing, or goes round in circles. With what is wrong and where.
    #[error("{0}")]
    Wrong(String),
}

/// What a file in a folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A set with hosts, or with a cluster.
    Inventory,
    /// A function, which may give an inventory when somebody calls it.
    Function,
    /// Anything else.
    Other,
}

/// What a file is, as far as that shows without evaluating all of it.
///
/// # Errors
/// Where the file is not Nix, or even its outermost part cannot be evaluated.
pub fn kind_of(name: &str, files: &dyn Files) -> Result<Kind, ReadError> {
    let root = format!(
        "let file = import {}; in
         if builtins.isFunction file then \"function\"
         else if builtins.isAttrs file && (file ? hosts || file ? cluster) then \"inventory\" else \"other\"",
        path_of(name)
    );
    let kind = evaluate(&root, &Beside { files, data: "" }).map_err(|e| read_error(&e, false))?;
    Ok(match kind.as_str() {
        Some("inventory") => Kind::Inventory,
        Some("function") => Kind::Function,
        _ => Kind::Other,
    })
}

/// Reads and checks the file `name` of a folder. A file that is a function gets floe's part of nixpkgs' `lib`, if it asks for that.
///
/// # Errors
/// Where it cannot be evaluated here: by nobody, or by Nix alone.
pub fn check_file(name: &str, files: &dyn Files) -> Result<Checked, ReadError> {
    let files = Beside { files, data: "" };
    let path = path_of(name);
    let asks = "builtins.filter (a: a != \"lib\" && !args.${a}) (builtins.attrNames args)";
    let root = format!("let file = import {path}; args = builtins.functionArgs file; in if builtins.isFunction file then {asks} else null");
    let asked = evaluate(&root, &files).map_err(|e| read_error(&e, false))?;
    if let Some(first) = asked.get(0).and_then(Value::as_str) {
        return Err(ReadError::NeedsNix(format!("{name}: it is a function that asks for {first:?}")));
    }
    let is_function = asked.is_array();
    let root = format!(
        "{{ lib }}:
let
  file = import {path};
  args = builtins.functionArgs file;
  all = {{ inherit lib; }};
  given = if builtins.isFunction file then file (if args == {{ }} then all else builtins.intersectAttrs args all) else file;{CHECK}"
    );
    checked(evaluate(&root, &files).map_err(|e| read_error(&e, is_function))?)
}

/// Checks data that something else made of an inventory: JSON, at most [`MAX_DATA_BYTES`].
///
/// # Errors
/// Where it is no JSON, or too large.
pub fn check_data(json: &str) -> Result<Checked, ReadError> {
    let root = format!("let\n  given = builtins.fromJSON (builtins.readFile ./{DATA_FILE});{CHECK}");
    let files = Beside { files: &floe_nixlang::MemoryFiles::default(), data: json };
    checked(evaluate(&root, &files).map_err(|e| read_error(&e, false))?)
}

fn checked(found: Value) -> Result<Checked, ReadError> {
    #[derive(Deserialize)]
    struct Found {
        errors: Vec<String>,
        warnings: Vec<String>,
    }
    let unread = |e: serde_json::Error| ReadError::Wrong(format!("the rules let something through that cannot be used: {e}"));
    let Found { errors, warnings } = Found::deserialize(&found).map_err(unread)?;
    let declared = if errors.is_empty() { Some(Declared::deserialize(found).map_err(unread)?) } else { None };
    Ok(Checked { errors, warnings, declared })
}

/// The folder's file `name` as a path of Nix, whatever its letters.
fn path_of(name: &str) -> String {
    let mut text = String::from("(./. + \"/");
    for c in name.chars() {
        if matches!(c, '"' | '\\' | '$') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push_str("\")");
    text
}

fn evaluate(root: &str, files: &Beside<'_>) -> Result<Value, EvalError> {
    let limits = Limits { source_bytes: MAX_DATA_BYTES, ..Limits::default() };
    let request = Request { source_name: ROOT_FILE, source: root, files, limits: &limits, args: None };
    floe_nixlang::evaluate(&request).map(|evaluation| evaluation.value)
}

/// The error in words, without the steps through floe's own files.
fn read_error(error: &EvalError, is_function: bool) -> ReadError {
    let text: Vec<String> = error.to_string().lines().filter(|l| !l.contains("(.floe-")).map(str::to_owned).collect();
    let text = text.join("\n");
    // A file outside of the folder is nothing that floe reads, and nothing to Nix. What floe's part of lib does not have, nixpkgs' may.
    let is_outside =
        error.kind == ErrorKind::File && error.message.contains("is refused:") || error.message.contains("leaves the job file's folder");
    let is_of_lib = is_function && error.kind == ErrorKind::Evaluation && error.message.starts_with("attribute '");
    match error.kind == ErrorKind::Unsupported || is_outside || is_of_lib {
        true => ReadError::NeedsNix(text),
        false => ReadError::Wrong(text),
    }
}

/// The inventory's folder, with the rules and the data in it.
struct Beside<'a> {
    files: &'a dyn Files,
    data: &'a str,
}

impl Files for Beside<'_> {
    fn read(&self, path: &NixPath, max_bytes: usize) -> Result<String, FilesError> {
        let own = match path.as_str() {
            RULES_FILE => RULES,
            DATA_FILE => self.data,
            _ => return self.files.read(path, max_bytes),
        };
        if own.len() > max_bytes { Err(FilesError::TooLarge(max_bytes)) } else { Ok(own.to_owned()) }
    }

    fn exists(&self, path: &NixPath) -> bool {
        [RULES_FILE, DATA_FILE].contains(&path.as_str()) || self.files.exists(path)
    }
}
