//! Errors, strictness, files, and what steers the evaluation otherwise.

use std::collections::HashSet;
use std::rc::Rc;

use super::{Builtin, Call, builtin};
use crate::error::{ErrorKind, Failure, Fallible};
use crate::eval::Evaluator;
use crate::files::NixPath;
use crate::limits::MAX_MESSAGES;
use crate::value::{ThunkId, Value};

pub(super) const FUNCTIONS: &[Builtin] = &[
    builtin("builtins.abort", 1, abort),
    builtin("builtins.addErrorContext", 2, second),
    builtin("builtins.deepSeq", 2, deep_seq),
    builtin("builtins.import", 1, import),
    builtin("builtins.pathExists", 1, path_exists),
    builtin("builtins.readFile", 1, read_file),
    builtin("builtins.seq", 2, seq),
    builtin("builtins.throw", 1, throw),
    builtin("builtins.trace", 2, trace),
    builtin("builtins.traceVerbose", 2, second),
    builtin("builtins.tryEval", 1, try_eval),
    builtin("builtins.warn", 2, trace),
];

fn throw(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let message = call.str(evaluator, 0)?;
    Err(Failure::new(ErrorKind::Thrown, evaluator.span(call.site), &*message))
}

fn abort(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let message = call.str(evaluator, 0)?;
    let message = format!("evaluation aborted: {message}");
    Err(Failure::new(ErrorKind::Aborted, evaluator.span(call.site), message))
}

fn try_eval(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let value = match call.value(evaluator, 0) {
        Ok(value) => Some(value),
        Err(failure) if failure.is_catchable() => None,
        Err(failure) => return Err(failure),
    };
    let success = Value::Bool(value.is_some());
    let mut entries = Vec::with_capacity(2);
    for (name, value) in [("success", success), ("value", value.unwrap_or(Value::Bool(false)))] {
        entries.push((evaluator.intern(name, call.site)?, evaluator.done(value, call.site)?));
    }
    evaluator.attrs(entries, call.site)
}

fn second(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    call.value(evaluator, 1)
}

fn seq(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    call.value(evaluator, 0)?;
    call.value(evaluator, 1)
}

/// Follows a list of what is left to do, so that a deep or cyclic value needs no
/// deep stack.
fn deep_seq(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let mut seen = HashSet::from([call.arg(0)]);
    let mut open: Vec<ThunkId> = vec![call.arg(0)];
    while let Some(thunk) = open.pop() {
        evaluator.burn(1, call.site)?;
        let inner: Vec<ThunkId> = match evaluator.force(thunk, call.site)? {
            Value::List(items) => items.to_vec(),
            Value::Attrs(attrs) => attrs.iter().map(|(_, value)| value).collect(),
            _ => continue,
        };
        evaluator.charge_len(inner.len(), call.site)?;
        open.extend(inner.into_iter().filter(|&thunk| seen.insert(thunk)));
    }
    call.value(evaluator, 1)
}

/// Keeps the message for the caller of the evaluator; nothing is printed.
fn trace(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let message: Rc<str> = match call.value(evaluator, 0)? {
        Value::Str(text) => text,
        Value::Int(int) => int.to_string().into(),
        other => other.describe().into(),
    };
    evaluator.charge_string(message.len(), call.site)?;
    if evaluator.messages.len() < MAX_MESSAGES {
        evaluator.messages.push(message.to_string());
    }
    call.value(evaluator, 1)
}

fn path(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Rc<NixPath>> {
    match call.value(evaluator, 0)? {
        Value::Path(path) => Ok(path),
        Value::Str(text) => {
            let example = "write it as a path, such as ./file.nix";
            match NixPath::new(&text) {
                Err(error) => Err(evaluator.bad_path(call.site, &error)),
                Ok(_) => Err(call.error(evaluator, format!("the string '{text}' is not a path: {example}"))),
            }
        }
        other => Err(call.wrong_type(evaluator, 0, "a path", &other)),
    }
}

fn import(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let path = path(evaluator, call)?;
    evaluator.import(&path, call.site)
}

fn read_file(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let path = path(evaluator, call)?;
    Ok(Value::Str(evaluator.read_text(&path, call.site)?))
}

fn path_exists(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let path = path(evaluator, call)?;
    // A question to the file system is much dearer than a step.
    evaluator.burn(FILE_QUESTION_FUEL, call.site)?;
    Ok(Value::Bool(evaluator.files.exists(&path)))
}

/// What `pathExists` costs: a million questions would take seconds.
const FILE_QUESTION_FUEL: u64 = 100;
