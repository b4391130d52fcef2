//! Functions over sets.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Builtin, Call, builtin};
use crate::error::Fallible;
use crate::eval::Evaluator;
use crate::syntax::Symbol;
use crate::value::{Attrs, ThunkId, Value};

pub(super) const FUNCTIONS: &[Builtin] = &[
    builtin("builtins.attrNames", 1, attr_names),
    builtin("builtins.attrValues", 1, attr_values),
    builtin("builtins.catAttrs", 2, cat_attrs),
    builtin("builtins.getAttr", 2, get_attr),
    builtin("builtins.hasAttr", 2, has_attr),
    builtin("builtins.intersectAttrs", 2, intersect_attrs),
    builtin("builtins.listToAttrs", 1, list_to_attrs),
    builtin("builtins.mapAttrs", 2, map_attrs),
    builtin("builtins.removeAttrs", 2, remove_attrs),
    builtin("builtins.zipAttrsWith", 2, zip_attrs_with),
];

fn attr_names(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let attrs = call.attrs(evaluator, 0)?;
    let mut names = Vec::with_capacity(attrs.len());
    for (name, _) in evaluator.sorted(&attrs, call.site)? {
        names.push(evaluator.done(Value::Str(name), call.site)?);
    }
    evaluator.list(names, call.site)
}

fn attr_values(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let attrs = call.attrs(evaluator, 0)?;
    let values = evaluator.sorted(&attrs, call.site)?.into_iter().map(|(_, value)| value).collect();
    evaluator.list(values, call.site)
}

fn get_attr(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let name = call.str(evaluator, 0)?;
    let set = call.value(evaluator, 1)?;
    let name = evaluator.intern(&name, call.site)?;
    evaluator.attribute(&set, name, call.site)
}

fn has_attr(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let name = call.str(evaluator, 0)?;
    let attrs = call.attrs(evaluator, 1)?;
    Ok(Value::Bool(evaluator.program.lookup(&name).is_some_and(|name| attrs.get(name).is_some())))
}

fn remove_attrs(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let attrs = call.attrs(evaluator, 0)?;
    let mut removed = BTreeSet::new();
    for &name in call.list(evaluator, 1)?.iter() {
        match evaluator.force(name, call.site)? {
            Value::Str(name) => removed.extend(evaluator.program.lookup(&name)),
            other => {
                let message = format!("the names must be strings, got {}", other.describe());
                return Err(call.error(evaluator, message));
            }
        }
    }
    keep(evaluator, call, &attrs, |name| !removed.contains(&name))
}

fn intersect_attrs(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let names = call.attrs(evaluator, 0)?;
    let attrs = call.attrs(evaluator, 1)?;
    keep(evaluator, call, &attrs, |name| names.get(name).is_some())
}

fn keep(evaluator: &mut Evaluator<'_>, call: &Call<'_>, attrs: &Attrs, is_kept: impl Fn(Symbol) -> bool) -> Fallible<Value> {
    evaluator.charge_len(attrs.len(), call.site)?;
    let kept = attrs.iter().filter(|&(name, _)| is_kept(name)).collect();
    Ok(Value::Attrs(Rc::new(Attrs::from_sorted(kept))))
}

fn list_to_attrs(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let name_symbol = evaluator.intern("name", call.site)?;
    let value_symbol = evaluator.intern("value", call.site)?;
    let mut entries = Vec::new();
    for &item in call.list(evaluator, 0)?.iter() {
        evaluator.burn(1, call.site)?;
        let item = evaluator.force(item, call.site)?;
        let name = match evaluator.attribute(&item, name_symbol, call.site)? {
            Value::Str(name) => evaluator.intern(&name, call.site)?,
            other => {
                let message = format!("'name' must be a string, got {}", other.describe());
                return Err(call.error(evaluator, message));
            }
        };
        let value = match &item {
            Value::Attrs(attrs) => attrs.get(value_symbol),
            _ => None,
        };
        match value {
            Some(value) => entries.push((name, value)),
            None => return Err(call.error(evaluator, "an element has no attribute 'value'")),
        }
    }
    evaluator.attrs(entries, call.site)
}

fn map_attrs(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let attrs = call.attrs(evaluator, 1)?;
    evaluator.charge_len(attrs.len(), call.site)?;
    let mut entries = Vec::with_capacity(attrs.len());
    for (name, value) in attrs.iter() {
        evaluator.burn(1, call.site)?;
        entries.push((name, apply_named(evaluator, call, name, value)?));
    }
    Ok(Value::Attrs(Rc::new(Attrs::from_sorted(entries))))
}

/// `f name value`, later, where `f` is the first argument.
fn apply_named(evaluator: &mut Evaluator<'_>, call: &Call<'_>, name: Symbol, value: ThunkId) -> Fallible<ThunkId> {
    let text = evaluator.program.name(name);
    let text = evaluator.done(Value::Str(text), call.site)?;
    let partial = evaluator.apply_later(call.arg(0), text, call.site)?;
    evaluator.apply_later(partial, value, call.site)
}

fn cat_attrs(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let name = call.str(evaluator, 0)?;
    let name = evaluator.intern(&name, call.site)?;
    let mut found = Vec::new();
    for &item in call.list(evaluator, 1)?.iter() {
        evaluator.burn(1, call.site)?;
        match evaluator.force(item, call.site)? {
            Value::Attrs(attrs) => found.extend(attrs.get(name)),
            other => return Err(call.error(evaluator, format!("expected sets in the list, got {}", other.describe()))),
        }
    }
    evaluator.list(found, call.site)
}

fn zip_attrs_with(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let mut collected = BTreeMap::<Symbol, Vec<ThunkId>>::new();
    for &item in call.list(evaluator, 1)?.iter() {
        match evaluator.force(item, call.site)? {
            Value::Attrs(attrs) => {
                evaluator.charge_len(attrs.len(), call.site)?;
                for (name, value) in attrs.iter() {
                    collected.entry(name).or_default().push(value);
                }
            }
            other => return Err(call.error(evaluator, format!("expected sets in the list, got {}", other.describe()))),
        }
    }
    let mut entries = Vec::with_capacity(collected.len());
    for (name, values) in collected {
        let values = evaluator.list(values, call.site)?;
        let values = evaluator.done(values, call.site)?;
        entries.push((name, apply_named(evaluator, call, name, values)?));
    }
    evaluator.attrs(entries, call.site)
}
