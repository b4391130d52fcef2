//! Functions over lists.

use super::{Builtin, Call, builtin};
use crate::error::Fallible;
use crate::eval::Evaluator;
use crate::syntax::Symbol;
use crate::value::{ThunkId, Value};

pub(super) const FUNCTIONS: &[Builtin] = &[
    builtin("builtins.all", 2, |evaluator, call| quantify(evaluator, call, false)),
    builtin("builtins.any", 2, |evaluator, call| quantify(evaluator, call, true)),
    builtin("builtins.concatLists", 1, concat_lists),
    builtin("builtins.concatMap", 2, concat_map),
    builtin("builtins.elem", 2, elem),
    builtin("builtins.elemAt", 2, elem_at),
    builtin("builtins.filter", 2, filter),
    builtin("builtins.foldl'", 3, fold),
    builtin("builtins.genList", 2, gen_list),
    builtin("builtins.groupBy", 2, group_by),
    builtin("builtins.head", 1, head),
    builtin("builtins.length", 1, length),
    builtin("builtins.map", 2, map),
    builtin("builtins.partition", 2, partition),
    builtin("builtins.sort", 2, sort),
    builtin("builtins.tail", 1, tail),
];

fn map(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let items = call.list(evaluator, 1)?;
    evaluator.charge_len(items.len(), call.site)?;
    let mut mapped = Vec::with_capacity(items.len());
    for &item in items.iter() {
        evaluator.burn(1, call.site)?;
        mapped.push(evaluator.apply_later(call.arg(0), item, call.site)?);
    }
    Ok(Value::List(mapped.into()))
}

fn filter(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let mut kept = Vec::new();
    for &item in call.list(evaluator, 1)?.iter() {
        if call.test(evaluator, 0, &[item])? {
            kept.push(item);
        }
    }
    evaluator.list(kept, call.site)
}

fn fold(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let items = call.list(evaluator, 2)?;
    let function = call.value(evaluator, 0)?;
    let mut accumulated = call.arg(1);
    for &item in items.iter() {
        let partial = evaluator.call(function.clone(), accumulated, call.site)?;
        let value = evaluator.call(partial, item, call.site)?;
        accumulated = evaluator.done(value, call.site)?;
    }
    evaluator.force(accumulated, call.site)
}

fn length(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let length = call.list(evaluator, 0)?.len();
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn head(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    match call.list(evaluator, 0)?.first() {
        Some(&first) => evaluator.force(first, call.site),
        None => Err(call.error(evaluator, "the list is empty")),
    }
}

fn tail(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    match call.list(evaluator, 0)?.split_first() {
        Some((_, rest)) => evaluator.list(rest.to_vec(), call.site),
        None => Err(call.error(evaluator, "the list is empty")),
    }
}

fn elem_at(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let items = call.list(evaluator, 0)?;
    let index = call.int(evaluator, 1)?;
    match usize::try_from(index).ok().and_then(|index| items.get(index)) {
        Some(&item) => evaluator.force(item, call.site),
        None => Err(call.error(evaluator, format!("index {index} is outside of a list of {}", items.len()))),
    }
}

fn elem(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let wanted = call.value(evaluator, 0)?;
    for &item in call.list(evaluator, 1)?.iter() {
        evaluator.burn(1, call.site)?;
        let item = evaluator.force(item, call.site)?;
        if evaluator.equal(&wanted, &item, call.site)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

/// `any` stops at the first true, `all` at the first false.
fn quantify(evaluator: &mut Evaluator<'_>, call: &Call<'_>, stop_at: bool) -> Fallible<Value> {
    for &item in call.list(evaluator, 1)?.iter() {
        if call.test(evaluator, 0, &[item])? == stop_at {
            return Ok(Value::Bool(stop_at));
        }
    }
    Ok(Value::Bool(!stop_at))
}

fn concat_lists(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let mut joined = Joined::default();
    for &inner in call.list(evaluator, 0)?.iter() {
        let inner = evaluator.force(inner, call.site)?;
        joined.append(evaluator, call, &inner)?;
    }
    evaluator.list(joined.items, call.site)
}

fn concat_map(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let mut joined = Joined::default();
    for &item in call.list(evaluator, 1)?.iter() {
        let inner = evaluator.call_with(call.arg(0), &[item], call.site)?;
        joined.append(evaluator, call, &inner)?;
    }
    evaluator.list(joined.items, call.site)
}

#[derive(Default)]
struct Joined {
    items: Vec<ThunkId>,
}

impl Joined {
    /// Checks the length as it grows, not only at the end.
    fn append(&mut self, evaluator: &mut Evaluator<'_>, call: &Call<'_>, inner: &Value) -> Fallible<()> {
        let Value::List(inner) = inner else {
            return Err(call.error(evaluator, format!("expected a list of lists, got {} in it", inner.describe())));
        };
        evaluator.charge_len(inner.len(), call.site)?;
        self.items.extend_from_slice(inner);
        if self.items.len() > evaluator.limits.list_len {
            evaluator.charge_len(self.items.len(), call.site)?;
        }
        Ok(())
    }
}

fn gen_list(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let length = call.int(evaluator, 1)?;
    let Ok(count) = usize::try_from(length) else {
        return Err(call.error(evaluator, format!("the length {length} is negative")));
    };
    evaluator.charge_len(count, call.site)?;
    let mut items = Vec::with_capacity(count);
    for index in 0..length {
        evaluator.burn(1, call.site)?;
        let index = evaluator.done(Value::Int(index), call.site)?;
        items.push(evaluator.apply_later(call.arg(0), index, call.site)?);
    }
    Ok(Value::List(items.into()))
}

fn partition(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for &item in call.list(evaluator, 1)?.iter() {
        if call.test(evaluator, 0, &[item])? {
            right.push(item);
        } else {
            wrong.push(item);
        }
    }
    let mut entries = Vec::with_capacity(2);
    for (name, items) in [("right", right), ("wrong", wrong)] {
        let list = evaluator.list(items, call.site)?;
        entries.push((evaluator.intern(name, call.site)?, evaluator.done(list, call.site)?));
    }
    evaluator.attrs(entries, call.site)
}

fn group_by(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let mut groups = std::collections::BTreeMap::<Symbol, Vec<ThunkId>>::new();
    for &item in call.list(evaluator, 1)?.iter() {
        let name = match evaluator.call_with(call.arg(0), &[item], call.site)? {
            Value::Str(name) => evaluator.intern(&name, call.site)?,
            other => {
                let message = format!("the function must give a string, gave {}", other.describe());
                return Err(call.error(evaluator, message));
            }
        };
        evaluator.charge(crate::heap::SLOT_BYTES, call.site)?;
        groups.entry(name).or_default().push(item);
    }
    let mut entries = Vec::with_capacity(groups.len());
    for (name, items) in groups {
        let list = evaluator.list(items, call.site)?;
        entries.push((name, evaluator.done(list, call.site)?));
    }
    evaluator.attrs(entries, call.site)
}

/// A stable merge sort of our own: the function may fail, and it may contradict
/// itself, on which the standard library's sort panics.
fn sort(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let mut runs: Vec<Vec<ThunkId>> = call.list(evaluator, 1)?.iter().map(|&item| vec![item]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(left) = pairs.next() {
            merged.push(match pairs.next() {
                Some(right) => merge(evaluator, call, left, right)?,
                None => left,
            });
        }
        runs = merged;
    }
    evaluator.list(runs.pop().unwrap_or_default(), call.site)
}

fn merge(evaluator: &mut Evaluator<'_>, call: &Call<'_>, left: Vec<ThunkId>, right: Vec<ThunkId>) -> Fallible<Vec<ThunkId>> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some(&a), Some(&b)) = (left.peek(), right.peek()) {
        // Only a right item that is strictly less overtakes: that keeps it stable.
        merged.extend(if call.test(evaluator, 0, &[b, a])? { right.next() } else { left.next() });
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}
