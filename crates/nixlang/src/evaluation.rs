//! The way in: one file, on a thread of its own.
//!
//! Parsing and evaluating are recursive, and the depth that real files need does
//! not fit on the stack of an ordinary thread. Growing the stack in place would
//! need a dependency with assembly; bounding the depth to two megabytes would
//! refuse honest files. So each evaluation runs on a thread whose stack is
//! reserved for the limits. Only what is used of it is ever touched.

use std::thread;

use serde_json::{Map, Value as Json};

use crate::error::{ErrorKind, EvalError, Failure, Fallible};
use crate::eval::Evaluator;
use crate::files::{Files, NixPath};
use crate::limits::Limits;
use crate::syntax::{ExprId, Lambda, Param};
use crate::value::Value;

/// The most stack that one counted level of [`Limits::depth`] takes. Measured over
/// the endless programs of the tests: below 1 KiB in optimised and below 3 KiB in
/// unoptimised builds.
const STACK_BYTES_PER_LEVEL: usize = 8 << 10;

/// Stack for what is not counted in [`Limits::depth`]: parsing, lowering, rendering
/// and the regular expressions, each bounded by its own limit.
const BASE_STACK_BYTES: usize = 32 << 20;

/// The library's place among the arguments of a job file.
const LIBRARY_ARGUMENT: &str = "lib";

/// What to evaluate.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The file's path in the job's folder: relative imports start there, and
    /// errors show it.
    pub source_name: &'a str,
    /// The file's text.
    pub source: &'a str,
    /// The job's folder.
    pub files: &'a dyn Files,
    /// What the evaluation may use.
    pub limits: &'a Limits,
    /// If the file is a function of a set: the arguments it is called with. One
    /// that names `lib` gets floe's part of nixpkgs' lib unless it is given here.
    pub args: Option<&'a Map<String, Json>>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The value, completely evaluated.
    pub value: Json,
    /// What `builtins.trace` and `builtins.warn` said, in order; at most
    /// [`MAX_MESSAGES`](crate::limits::MAX_MESSAGES).
    pub messages: Vec<String>,
    /// The files that were imported or read, in order.
    pub read: Vec<NixPath>,
}

/// Evaluates a file to JSON. A function whose arguments all have defaults is
/// called with none.
///
/// # Errors
/// Whatever goes wrong, with its place; see [`EvalError`].
pub fn eval_file(source_name: &str, source: &str, files: &dyn Files, limits: &Limits) -> Result<Json, EvalError> {
    let request = Request { source_name, source, files, limits, args: None };
    evaluate(&request).map(|evaluation| evaluation.value)
}

/// Evaluates a file that is a function of a set, called with `args`.
///
/// # Errors
/// As [`eval_file`]; also where an argument is missing or unexpected, by name,
/// and where there are arguments but the file is no function.
pub fn eval_with_args(
    source_name: &str,
    source: &str,
    files: &dyn Files,
    limits: &Limits,
    args: &Map<String, Json>,
) -> Result<Json, EvalError> {
    let request = Request { source_name, source, files, limits, args: Some(args) };
    evaluate(&request).map(|evaluation| evaluation.value)
}

/// Evaluates on a thread of its own and waits for it, so it may be called on any
/// stack. It blocks for as long as the limits allow: up to seconds.
///
/// # Errors
/// As [`eval_with_args`].
pub fn evaluate(request: &Request<'_>) -> Result<Evaluation, EvalError> {
    let name = request.source_name;
    request.limits.check().map_err(|message| EvalError::whole_file(ErrorKind::Limit, name, message))?;
    let path = NixPath::new(name).map_err(|error| EvalError::whole_file(ErrorKind::File, name, error.to_string()))?;
    let stack = BASE_STACK_BYTES + request.limits.depth as usize * STACK_BYTES_PER_LEVEL;
    let failed = |message: String| EvalError::whole_file(ErrorKind::Internal, name, message);
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("nix-eval".into()).stack_size(stack);
        let thread = builder
            .spawn_scoped(scope, || run(request, &path))
            .map_err(|error| failed(format!("cannot start a thread to evaluate on: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(failed("the evaluator failed: please report this file".into())))
    })
}

fn run(request: &Request<'_>, path: &NixPath) -> Result<Evaluation, EvalError> {
    let early = |failure: Box<Failure>| EvalError::whole_file(failure.kind, request.source_name, failure.message.clone());
    let mut evaluator = Evaluator::new(request.limits, request.files).map_err(early)?;
    match render(&mut evaluator, request, path) {
        Ok(value) => Ok(Evaluation { value, messages: evaluator.messages, read: evaluator.imports.read }),
        Err(failure) if evaluator.program.sources.is_empty() => Err(early(failure)),
        Err(failure) => Err(EvalError::locate(*failure, &evaluator.program.sources)),
    }
}

fn render(evaluator: &mut Evaluator<'_>, request: &Request<'_>, path: &NixPath) -> Fallible<Json> {
    let (value, root) = evaluator.evaluate_root(path, request.source)?;
    let value = call_file(evaluator, value, root, request.args)?;
    let thunk = evaluator.done(value, root)?;
    crate::json::render(evaluator, thunk, root)
}

/// Calls the file's value if it is a function, with what it can be given.
fn call_file(evaluator: &mut Evaluator<'_>, value: Value, root: ExprId, args: Option<&Map<String, Json>>) -> Fallible<Value> {
    let Value::Lambda(lambda, _) = &value else {
        let first = args.and_then(|args| args.keys().next());
        return match first {
            Some(name) => {
                let message = format!("the argument '{name}' is given, but the file is not a function");
                Err(evaluator.error(root, message))
            }
            None => Ok(value),
        };
    };
    if let (None, &Param::Name(name)) = (args, &lambda.param) {
        let name = evaluator.program.name(name);
        let message = format!("the file is a function of '{name}', which is not given: give arguments, or write '{{ ... }}: ...'");
        return Err(evaluator.error(root, message));
    }
    let mut entries = Vec::new();
    for (name, json) in args.into_iter().flatten() {
        let argument = crate::json::value(evaluator, json.clone(), root)?;
        entries.push((evaluator.intern(name, root)?, evaluator.done(argument, root)?));
    }
    let library = evaluator.intern(LIBRARY_ARGUMENT, root)?;
    if names(lambda, library) && entries.iter().all(|entry| entry.0 != library) {
        entries.push((library, evaluator.library(root)?));
    }
    let argument = evaluator.attrs(entries, root)?;
    let argument = evaluator.done(argument, root)?;
    evaluator.call(value.clone(), argument, root)
}

fn names(lambda: &Lambda, argument: crate::syntax::Symbol) -> bool {
    match &lambda.param {
        Param::Name(_) => false,
        Param::Pattern(pattern) => pattern.formals.iter().any(|formal| formal.0 == argument),
    }
}
