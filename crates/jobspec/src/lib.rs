//! Job files in HCL2, JSON and Nix to the model, with positions in errors.
//!
//! The three syntaxes are one language. Each becomes a tree of blocks and attributes with their places; tables of the
//! language turn the tree into the wire's JSON, and [`floe_model::wire`] that into a [`Job`]:
//!
//! | step | modules |
//! |---|---|
//! | text to syntax | `hcl` (on the library's parser, behind `hcl::scan`), `json`, `nix` (on floe's evaluator) |
//! | expressions, variables, functions | `hcl::eval`, `hcl::variables`, `functions` |
//! | syntax to tree | `hcl::body`, `data_body` |
//! | tree to job | `schema`, `convert`; `api_form` for jobs as the API writes them |
//!
//! The job comes back as it was written: defaults are filled in by `floe_model::canonical`, rules checked by
//! `floe_model::validate`. Nothing here reads a file (but through [`Files`]), the environment, a clock or a random number.
//!
//! Job files are hostile input: size, nesting, counts, steps, memory and output are bounded by [`Limits`] and the constants of
//! [`limits`], and at a bound there is an error that names it.
#![forbid(unsafe_code)]

mod api_form;
mod budget;
mod convert;
mod data;
mod data_body;
mod diagnostic;
mod files;
mod functions;
mod hcl;
mod json;
pub mod limits;
mod nix;
mod nix_places;
mod parse;
mod schema;
mod tree;
mod value;

pub use diagnostic::{Diagnostic, ParseErrors, Place};
pub use files::{Files, FilesError, MemoryFiles, NoFiles};
pub use hcl::variables::{VariableFile, Variables};
pub use limits::Limits;
pub use parse::parse;

use floe_model::Job;
use std::collections::BTreeMap;

/// The syntax of a job file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// HCL, version 2: what Nomad's users write.
    Hcl2,
    /// JSON: HCL's JSON form, or a job as the API writes it.
    Json,
    /// Nix: the same blocks as attribute sets, or a job as the API writes it.
    Nix,
}

impl Format {
    /// By the file's name: `.nix`, `.json`, and everything else is HCL (`.hcl`, `.nomad`).
    pub fn from_path(path: &str) -> Format {
        match path.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
            Some("nix") => Format::Nix,
            Some("json") => Format::Json,
            _ => Format::Hcl2,
        }
    }

    /// By what a text without a name looks like: a `{` with a quote or `}` behind it begins JSON, another `{`, or `let`, `rec`
    /// or `with`, begins Nix, and the rest is HCL.
    pub fn sniff(text: &str) -> Format {
        let mut rest = text.trim_start_matches('\u{feff}').trim_start();
        while let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').map_or("", |(_, tail)| tail).trim_start();
        }
        if let Some(inside) = rest.strip_prefix('{') {
            let inside = inside.trim_start();
            return if inside.starts_with(['"', '}']) && !inside.trim_start_matches('}').trim_start().starts_with(':') {
                Format::Json
            } else {
                Format::Nix
            };
        }
        let word = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
        if matches!(word, "let" | "rec" | "with" | "import") { Format::Nix } else { Format::Hcl2 }
    }

    /// The word that a job's submission has for it: `hcl2`, `json` or `nix`.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Hcl2 => "hcl2",
            Format::Json => "json",
            Format::Nix => "nix",
        }
    }
}

/// A job file and all that parsing it may look at.
#[derive(Clone)]
pub struct ParseInput<'a> {
    /// The text.
    pub source: &'a str,
    /// The file's name, for messages. Functions name files relative to the folder that it stands in.
    pub name: &'a str,
    /// Its syntax.
    pub format: Format,
    /// The folder that the file stands in; [`NoFiles`] for a text that came over the network.
    pub files: &'a dyn Files,
    /// Values for the file's variables.
    pub variables: Variables,
    /// What parsing may use.
    pub limits: Limits,
}

impl<'a> ParseInput<'a> {
    /// A text without files and variables, as the HTTP API gets it.
    pub fn text(source: &'a str, name: &'a str, format: Format) -> Self {
        Self {
            source,
            name,
            format,
            files: &NoFiles,
            variables: Variables { strict: true, ..Variables::default() },
            limits: Limits::default(),
        }
    }
}

/// What a job file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The job as written: without defaults, not validated.
    pub job: Job,
    /// The syntax that it was written in.
    pub format: Format,
    /// The values of all declared variables, for the job's submission.
    pub variables: BTreeMap<String, serde_json::Value>,
    /// What is allowed but probably not meant, at most [`limits::MAX_WARNINGS`].
    pub warnings: Vec<Diagnostic>,
}

/// Parses HCL for the HTTP route: no files, no variables but the file's own defaults and `variables`, a text of `name = value`.
///
/// # Errors
/// As [`parse`].
pub fn parse_hcl_text(source: &str, variables: &str) -> Result<Parsed, ParseErrors> {
    let mut input = ParseInput::text(source, "job.hcl", Format::Hcl2);
    if !variables.trim().is_empty() {
        input.variables.files.push(VariableFile { name: "variables".to_owned(), text: variables.to_owned() });
    }
    parse(&input)
}
