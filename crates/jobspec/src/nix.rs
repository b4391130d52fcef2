//! Nix: the file is evaluated by floe's own evaluator; what comes out is data whose places are paths like `job.web.group`.

use std::collections::BTreeMap;

use floe_nixlang::{EvalError, Evaluation, NixPath, Request};
use serde_json::{Map, Value as Json};

use crate::{
    ParseInput,
    data::{Data, Entry, Node},
    diagnostic::{At, Diagnostic, Fallible, Fault, ParseErrors, Place},
    files::{Files, FilesError},
    limits::{Limits, MAX_DEPTH, MAX_VARIABLES},
    value::Number,
};

/// The job's folder as the evaluator wants it, with the job file itself in it.
struct Folder<'a> {
    files: &'a dyn Files,
    name: &'a str,
    source: &'a str,
}

impl floe_nixlang::Files for Folder<'_> {
    fn read(&self, path: &NixPath, max_bytes: usize) -> Result<String, floe_nixlang::FilesError> {
        if path.as_str() == self.name {
            return Ok(self.source.to_owned());
        }
        let bytes = self.files.read(path.as_str(), max_bytes).map_err(|error| match error {
            FilesError::NotFound => floe_nixlang::FilesError::NotFound,
            FilesError::IsFolder => floe_nixlang::FilesError::IsFolder,
            FilesError::TooLarge(most) => floe_nixlang::FilesError::TooLarge(most),
            other @ (FilesError::Refused | FilesError::Other(_)) => floe_nixlang::FilesError::Other(other.to_string()),
        })?;
        String::from_utf8(bytes).map_err(|_| floe_nixlang::FilesError::NotText)
    }
    fn exists(&self, path: &NixPath) -> bool {
        path.as_str() == self.name || self.files.exists(path.as_str()).unwrap_or(false)
    }
}

fn limits(ours: &Limits) -> floe_nixlang::Limits {
    floe_nixlang::Limits {
        source_bytes: ours.source_bytes,
        output_bytes: ours.output_bytes,
        string_bytes: ours.value_bytes,
        fuel: ours.steps,
        memory_bytes: ours.allocated_bytes,
        ..floe_nixlang::Limits::default()
    }
}

/// The value of the file, and what `builtins.trace` and `builtins.warn` said.
pub(crate) fn evaluate(input: &ParseInput<'_>) -> Result<(Json, Vec<String>), ParseErrors> {
    // The job's folder is where the job file is: within it the file has only its own name.
    let name = input.name.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("job.nix");
    let folder = Folder { files: input.files, name, source: input.source };
    let args = arguments(input, &folder)?;
    let run = |source: &str, args: Option<&Map<String, Json>>| -> Result<Evaluation, EvalError> {
        floe_nixlang::evaluate(&Request { source_name: name, source, files: &folder, limits: &limits(&input.limits), args })
    };
    let evaluation = run(input.source, (!args.is_empty()).then_some(&args)).map_err(|error| report(&error, name, input.name))?;
    Ok((evaluation.value, evaluation.messages))
}

fn refuse(input: &ParseInput<'_>, message: String) -> ParseErrors {
    ParseErrors { errors: vec![Diagnostic { file: input.name.to_owned(), place: None, message }], truncated: false }
}

/// Variables are the arguments of a file that is a function. They are text, or JSON where they begin with `[` or `{`.
fn arguments(input: &ParseInput<'_>, folder: &Folder<'_>) -> Result<Map<String, Json>, ParseErrors> {
    let mut args = Map::new();
    if input.variables.flags.len() + input.variables.environment.len() > MAX_VARIABLES {
        return Err(refuse(input, format!("more than {MAX_VARIABLES} variables are given, the limit")));
    }
    if !input.variables.environment.is_empty() {
        let wanted = wanted_arguments(input, folder)?;
        add(&mut args, input.variables.environment.iter().filter(|(name, _)| wanted.contains(name)));
    }
    for file in &input.variables.files {
        if !file.name.ends_with(".json") {
            let message = format!("not supported yet: the variable file {} in HCL for a job in Nix: write it in JSON", file.name);
            return Err(refuse(input, message));
        }
        match serde_json::from_str::<Map<String, Json>>(&file.text) {
            Ok(map) => args.extend(map),
            Err(error) => return Err(refuse(input, format!("the variable file {}: {error}", file.name))),
        }
    }
    add(&mut args, input.variables.flags.iter());
    Ok(args)
}

fn add<'v>(args: &mut Map<String, Json>, values: impl Iterator<Item = (&'v String, &'v String)>) {
    for (name, text) in values {
        let parsed = if text.starts_with(['[', '{']) { serde_json::from_str(text).ok() } else { None };
        args.insert(name.clone(), parsed.unwrap_or_else(|| Json::from(text.as_str())));
    }
}

/// The arguments that the file names: variables of the environment that it does not name are none of its business.
fn wanted_arguments(input: &ParseInput<'_>, folder: &Folder<'_>) -> Result<Vec<String>, ParseErrors> {
    let question = format!(
        "let job = import (./. + {}); in if builtins.isFunction job then builtins.attrNames (builtins.functionArgs job) else [ ]",
        Json::from(format!("/{}", folder.name)).to_string().replace("${", "\\${")
    );
    let request = Request { source_name: "arguments.nix", source: &question, files: folder, limits: &limits(&input.limits), args: None };
    let answer = floe_nixlang::evaluate(&request).map_err(|error| report(&error, folder.name, input.name))?;
    let names = answer.value.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}

fn report(error: &EvalError, name: &str, given: &str) -> ParseErrors {
    let file = if error.file == name { given.to_owned() } else { error.file.clone() };
    let mut message = error.message.clone();
    for step in &error.trace {
        message.push_str(&format!("; {} ({}:{}:{})", step.message, step.file, step.line, step.column));
    }
    let caret = error.column.saturating_sub(1);
    // A line that the evaluator has cut says nothing of where its column went.
    let shown = error.line_text.chars().count() >= error.column && !error.line_text.starts_with("...");
    let place = shown.then(|| Place { line: error.line, column: error.column, line_text: error.line_text.clone(), caret, caret_len: 1 });
    let message = if shown { message } else { format!("line {}: {message}", error.line) };
    ParseErrors { errors: vec![Diagnostic { file, place, message }], truncated: false }
}

/// Evaluated Nix as data.
pub(crate) fn data(json: &Json) -> Fallible<Data> {
    convert(json, "", 0)
}

fn convert(json: &Json, path: &str, depth: usize) -> Fallible<Data> {
    let at = At::Path(path.into());
    if depth > MAX_DEPTH {
        return Err(Fault::fatal(&at, format!("nested deeper than {MAX_DEPTH} levels, the limit")));
    }
    let node = match json {
        Json::Null => Node::Null,
        Json::Bool(b) => Node::Bool(*b),
        Json::String(text) => Node::Text(text.as_str().into()),
        Json::Number(n) => match n.as_i64().map(Number::Int).or_else(|| n.as_f64().and_then(Number::from_f64)) {
            Some(number) => Node::Number(number),
            None => return Err(Fault::new(&at, "this number is too large")),
        },
        Json::Array(items) => {
            let item = |(i, item): (usize, &Json)| convert(item, &format!("{path}[{i}]"), depth + 1);
            Node::List(items.iter().enumerate().map(item).collect::<Fallible<_>>()?)
        }
        Json::Object(map) => {
            let sorted: BTreeMap<&String, &Json> = map.iter().collect();
            let entry = |(key, value): (&String, &Json)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                Ok(Entry { key: key.as_str().into(), key_at: At::Path(path.as_str().into()), value: convert(value, &path, depth + 1)? })
            };
            Node::Map(sorted.into_iter().map(entry).collect::<Fallible<_>>()?)
        }
    };
    Ok(Data { at, node })
}
