//! `builtins.typeOf` and the questions about types.

use super::{Builtin, Call, builtin};
use crate::error::Fallible;
use crate::eval::Evaluator;
use crate::syntax::Param;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Builtin] = &[
    builtin("builtins.typeOf", 1, type_of),
    builtin("builtins.isAttrs", 1, |evaluator, call| is(evaluator, call, "set")),
    builtin("builtins.isBool", 1, |evaluator, call| is(evaluator, call, "bool")),
    builtin("builtins.isFloat", 1, |evaluator, call| is(evaluator, call, "float")),
    builtin("builtins.isFunction", 1, |evaluator, call| is(evaluator, call, "lambda")),
    builtin("builtins.isInt", 1, |evaluator, call| is(evaluator, call, "int")),
    builtin("builtins.isList", 1, |evaluator, call| is(evaluator, call, "list")),
    builtin("builtins.isNull", 1, |evaluator, call| is(evaluator, call, "null")),
    builtin("builtins.isPath", 1, |evaluator, call| is(evaluator, call, "path")),
    builtin("builtins.isString", 1, |evaluator, call| is(evaluator, call, "string")),
    builtin("builtins.functionArgs", 1, function_args),
];

fn type_of(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let name = call.value(evaluator, 0)?.type_name();
    evaluator.string(name, call.site)
}

fn is(evaluator: &mut Evaluator<'_>, call: &Call<'_>, name: &str) -> Fallible<Value> {
    Ok(Value::Bool(call.value(evaluator, 0)?.type_name() == name))
}

/// The formals of a function, each with whether it has a default.
fn function_args(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let mut entries = Vec::new();
    match call.value(evaluator, 0)? {
        Value::Lambda(lambda, _) => {
            if let Param::Pattern(pattern) = &lambda.param {
                for &(name, default) in &pattern.formals {
                    entries.push((name, evaluator.done(Value::Bool(default.is_some()), call.site)?));
                }
            }
        }
        Value::Builtin(_) | Value::Partial(_) => {}
        other => return Err(call.wrong_type(evaluator, 0, "a function", &other)),
    }
    evaluator.attrs(entries, call.site)
}
