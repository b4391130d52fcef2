//! Built-in functions: what a call looks like to them, and the tables by which
//! they are found. What real Nix has and this evaluator refuses is in [`refused`].

mod attrs;
mod control;
mod library;
mod lists;
mod numbers;
mod posix;
mod refused;
mod strings;
mod types;
mod versions;

use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) use library::{LIBRARY_SOURCE, library_primitives};
pub(crate) use refused::{refusal, refused_global};

use crate::error::{Failure, Fallible};
use crate::eval::{Evaluator, NOWHERE};
use crate::heap::{Pending, Thunk};
use crate::syntax::ExprId;
use crate::value::{Attrs, ThunkId, Value};

type Run = fn(&mut Evaluator<'_>, &Call<'_>) -> Fallible<Value>;

/// A function written in Rust. It runs when it has `arity` arguments.
#[derive(Debug)]
pub(crate) struct Builtin {
    /// In full, such as `builtins.map`.
    pub(crate) name: &'static str,
    pub(crate) arity: usize,
    pub(crate) run: Run,
}

const fn builtin(name: &'static str, arity: usize, run: Run) -> Builtin {
    Builtin { name, arity, run }
}

impl Builtin {
    /// The attribute's name: what follows the dot.
    fn short_name(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, name)| name)
    }
}

/// A call of a built-in function, with exactly as many arguments as its arity.
pub(crate) struct Call<'a> {
    pub(crate) name: &'static str,
    pub(crate) args: &'a [ThunkId],
    pub(crate) site: ExprId,
}

impl Call<'_> {
    /// The argument `index`, counted from 0, not evaluated.
    fn arg(&self, index: usize) -> ThunkId {
        *self.args.get(index).expect("invariant: a built-in function runs with `arity` arguments")
    }

    fn value(&self, evaluator: &mut Evaluator<'_>, index: usize) -> Fallible<Value> {
        evaluator.force(self.arg(index), self.site)
    }

    fn int(&self, evaluator: &mut Evaluator<'_>, index: usize) -> Fallible<i64> {
        match self.value(evaluator, index)? {
            Value::Int(int) => Ok(int),
            other => Err(self.wrong_type(evaluator, index, "an integer", &other)),
        }
    }

    fn str(&self, evaluator: &mut Evaluator<'_>, index: usize) -> Fallible<Rc<str>> {
        match self.value(evaluator, index)? {
            Value::Str(text) => Ok(text),
            set @ Value::Attrs(_) => evaluator.coerce_strict(set, self.site),
            other => Err(self.wrong_type(evaluator, index, "a string", &other)),
        }
    }

    fn list(&self, evaluator: &mut Evaluator<'_>, index: usize) -> Fallible<Rc<[ThunkId]>> {
        match self.value(evaluator, index)? {
            Value::List(items) => Ok(items),
            other => Err(self.wrong_type(evaluator, index, "a list", &other)),
        }
    }

    fn attrs(&self, evaluator: &mut Evaluator<'_>, index: usize) -> Fallible<Rc<Attrs>> {
        match self.value(evaluator, index)? {
            Value::Attrs(attrs) => Ok(attrs),
            other => Err(self.wrong_type(evaluator, index, "a set", &other)),
        }
    }

    /// Calls the function in argument `index` with `args` and wants a Boolean.
    fn test(&self, evaluator: &mut Evaluator<'_>, index: usize, args: &[ThunkId]) -> Fallible<bool> {
        match evaluator.call_with(self.arg(index), args, self.site)? {
            Value::Bool(value) => Ok(value),
            other => {
                let message = format!("{}: the function must give a Boolean, gave {}", self.name, other.describe());
                Err(evaluator.error(self.site, message))
            }
        }
    }

    fn wrong_type(&self, evaluator: &Evaluator<'_>, index: usize, wanted: &str, got: &Value) -> Box<Failure> {
        let got = got.describe();
        self.error(evaluator, format!("argument {} must be {wanted}, got {got}", index + 1))
    }

    fn error(&self, evaluator: &Evaluator<'_>, message: impl std::fmt::Display) -> Box<Failure> {
        evaluator.error(self.site, format!("{}: {message}", self.name))
    }
}

/// The names that are bound without `builtins.`, besides `true`, `false` and `null`.
const GLOBAL_NAMES: [&str; 9] = ["map", "toString", "throw", "abort", "import", "removeAttrs", "baseNameOf", "dirOf", "isNull"];

fn tables() -> impl Iterator<Item = &'static Builtin> {
    [attrs::FUNCTIONS, control::FUNCTIONS, lists::FUNCTIONS, numbers::FUNCTIONS, strings::FUNCTIONS, types::FUNCTIONS, versions::FUNCTIONS]
        .into_iter()
        .flatten()
}

/// Everything that is bound in an empty scope, `builtins` included.
pub(crate) fn globals(evaluator: &mut Evaluator<'_>) -> Fallible<BTreeMap<&'static str, Value>> {
    let constants = [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)];
    let mut globals = BTreeMap::from(constants.clone());
    let mut entries = Vec::new();
    for (name, value) in constants {
        entries.push((evaluator.intern(name, NOWHERE)?, evaluator.done(value, NOWHERE)?));
    }
    let version = evaluator.done(Value::Int(LANGUAGE_VERSION), NOWHERE)?;
    entries.push((evaluator.intern("langVersion", NOWHERE)?, version));
    for function in tables() {
        let name = function.short_name();
        if GLOBAL_NAMES.contains(&name) {
            globals.insert(name, Value::Builtin(function));
        }
        let thunk = evaluator.done(Value::Builtin(function), NOWHERE)?;
        entries.push((evaluator.intern(name, NOWHERE)?, thunk));
    }
    for &name in refused::NAMES {
        let short = name.split_once('.').map_or(name, |(_, short)| short);
        let thunk = evaluator.alloc(Thunk::Pending(Pending::Refused(name)), NOWHERE)?;
        entries.push((evaluator.intern(short, NOWHERE)?, thunk));
    }
    globals.insert("builtins", evaluator.attrs(entries, NOWHERE)?);
    Ok(globals)
}

/// `builtins.langVersion`: the language of Nix 2.3 and later.
const LANGUAGE_VERSION: i64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let mut names: Vec<&str> = tables().map(|function| function.name).collect();
        names.extend(refused::NAMES);
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        for global in GLOBAL_NAMES {
            assert!(names.contains(&format!("builtins.{global}").as_str()), "{global}");
        }
    }
}
