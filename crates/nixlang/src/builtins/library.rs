//! The part of nixpkgs' `lib` that job files use: `lib.nix`, written in Nix, over
//! a few primitives that are shorter or faster here.

use std::rc::Rc;

use super::{Builtin, Call, builtin};
use crate::error::Fallible;
use crate::eval::Evaluator;
use crate::heap::{Pending, Thunk};
use crate::syntax::ExprId;
use crate::value::Value;

/// A function from the primitives to the set of library functions.
pub(crate) const LIBRARY_SOURCE: &str = include_str!("lib.nix");

const PRIMITIVES: &[Builtin] = &[
    builtin("lib.hasInfix", 2, |evaluator, call| test(evaluator, call, |part, text| text.contains(part))),
    builtin("lib.hasPrefix", 2, |evaluator, call| test(evaluator, call, |part, text| text.starts_with(part))),
    builtin("lib.hasSuffix", 2, |evaluator, call| test(evaluator, call, |part, text| text.ends_with(part))),
    builtin("lib.removePrefix", 2, |evaluator, call| strip(evaluator, call, |part, text| text.strip_prefix(part).unwrap_or(text))),
    builtin("lib.removeSuffix", 2, |evaluator, call| strip(evaluator, call, |part, text| text.strip_suffix(part).unwrap_or(text))),
    builtin("lib.splitString", 2, split_string),
    builtin("lib.toInt", 1, to_int),
    builtin("lib.toLower", 1, |evaluator, call| change_case(evaluator, call, str::make_ascii_lowercase)),
    builtin("lib.toUpper", 1, |evaluator, call| change_case(evaluator, call, str::make_ascii_uppercase)),
];

/// The module system, which a job file has no use for.
const REFUSED: [&str; 11] = [
    "lib.evalModules",
    "lib.mkAfter",
    "lib.mkBefore",
    "lib.mkDefault",
    "lib.mkEnableOption",
    "lib.mkForce",
    "lib.mkIf",
    "lib.mkMerge",
    "lib.mkOption",
    "lib.mkOverride",
    "lib.types",
];

/// The argument of [`LIBRARY_SOURCE`].
pub(crate) fn library_primitives(evaluator: &mut Evaluator<'_>, site: ExprId) -> Fallible<Value> {
    let mut entries = Vec::with_capacity(PRIMITIVES.len() + REFUSED.len());
    for function in PRIMITIVES {
        let thunk = evaluator.done(Value::Builtin(function), site)?;
        entries.push((evaluator.intern(function.short_name(), site)?, thunk));
    }
    for name in REFUSED {
        let short = name.split_once('.').map_or(name, |(_, short)| short);
        let thunk = evaluator.alloc(Thunk::Pending(Pending::Refused(name)), site)?;
        entries.push((evaluator.intern(short, site)?, thunk));
    }
    evaluator.attrs(entries, site)
}

fn two(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<(Rc<str>, Rc<str>)> {
    let part = call.str(evaluator, 0)?;
    let text = call.str(evaluator, 1)?;
    evaluator.burn_bulk(part.len() + text.len(), call.site)?;
    Ok((part, text))
}

fn test(evaluator: &mut Evaluator<'_>, call: &Call<'_>, holds: fn(&str, &str) -> bool) -> Fallible<Value> {
    let (part, text) = two(evaluator, call)?;
    Ok(Value::Bool(holds(&part, &text)))
}

fn strip(evaluator: &mut Evaluator<'_>, call: &Call<'_>, strip: for<'t> fn(&str, &'t str) -> &'t str) -> Fallible<Value> {
    let (part, text) = two(evaluator, call)?;
    evaluator.string(strip(&part, &text), call.site)
}

fn split_string(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let (separator, text) = two(evaluator, call)?;
    if separator.is_empty() {
        return Err(call.error(evaluator, "the separator is empty"));
    }
    let mut parts = Vec::new();
    for part in text.split(&*separator) {
        let part = evaluator.string(part, call.site)?;
        parts.push(evaluator.done(part, call.site)?);
    }
    evaluator.list(parts, call.site)
}

/// As in nixpkgs, a leading zero is refused: it may mean octal or decimal.
fn to_int(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let text = call.str(evaluator, 0)?;
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix('-').unwrap_or(trimmed);
    let is_ambiguous = digits.len() > 1 && digits.starts_with('0');
    let is_decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match trimmed.parse() {
        Ok(int) if is_decimal && !is_ambiguous => Ok(Value::Int(int)),
        _ => {
            let shown: String = text.chars().take(80).collect();
            Err(call.error(evaluator, format!("'{shown}' is not an integer without leading zeros")))
        }
    }
}

/// ASCII letters only, as in nixpkgs.
fn change_case(evaluator: &mut Evaluator<'_>, call: &Call<'_>, change: fn(&mut str)) -> Fallible<Value> {
    let mut text = call.str(evaluator, 0)?.to_string();
    change(&mut text);
    evaluator.string(&text, call.site)
}
