//! Functions on lists and maps.

use std::rc::Rc;

use super::{Call, Done, Failure, Function, function, int};
use crate::{
    budget::Budget,
    limits::MAX_ELEMENTS,
    value::{Entries, Number, Value},
};

pub(super) const FUNCTIONS: &[Function] = &[
    function("chunklist", 2, 2, chunk_list),
    function("coalesce", 1, super::ANY, |c| {
        c.args.iter().find(|v| !matches!(v, Value::Null)).cloned().ok_or_else(|| Failure::from("all arguments are null"))
    }),
    function("coalescelist", 1, super::ANY, coalesce_list),
    function("compact", 1, 1, compact),
    function("concat", 1, super::ANY, concat),
    function("contains", 2, 2, |c| Ok(Value::Bool(position(c, &c.list(0)?.items, c.arg(1))?.is_some()))),
    function("distinct", 1, 1, |c| c.make_list(distinct(c.list(0)?.items.clone(), c.budget)?)),
    function("element", 2, 2, element),
    function("flatten", 1, 1, flatten),
    function("index", 2, 2, index),
    function("keys", 1, 1, |c| c.make_texts(c.map(0)?.entries.keys().cloned())),
    function("length", 1, 1, |c| match c.arg(0) {
        Value::List(list) => Ok(int(list.items.len())),
        Value::Map(map) => Ok(int(map.entries.len())),
        Value::Text(text) => Ok(int(text.chars().count())),
        _ => Err(c.wrong(0, "a list, a map or text")),
    }),
    function("lookup", 2, 3, lookup),
    function("merge", 0, super::ANY, merge),
    function("range", 1, 3, range),
    function("reverse", 1, 1, |c| c.make_list(c.list(0)?.items.iter().rev().cloned().collect())),
    function("slice", 3, 3, slice),
    function("sort", 1, 1, |c| {
        let mut texts = c.texts(0)?;
        texts.sort();
        c.make_texts(texts.into_iter())
    }),
    function("values", 1, 1, |c| c.make_list(c.map(0)?.entries.values().cloned().collect())),
    function("zipmap", 2, 2, zip_map),
];

fn position(c: &Call<'_>, items: &[Value], wanted: &Value) -> Result<Option<usize>, Failure> {
    for (i, item) in items.iter().enumerate() {
        if c.same(item, wanted)? {
            return Ok(Some(i));
        }
    }
    Ok(None)
}

/// The elements without those that came before, in their order. Text is compared by a set, the rest one by one.
pub(crate) fn distinct(items: Vec<Value>, budget: &Budget) -> Result<Vec<Value>, Failure> {
    let mut seen: std::collections::BTreeSet<Rc<str>> = std::collections::BTreeSet::new();
    let mut kept: Vec<Value> = Vec::new();
    let mut others: Vec<Value> = Vec::new();
    for item in items {
        budget.work(1)?;
        let new = if let Value::Text(text) = &item {
            seen.insert(text.clone())
        } else {
            let mut new = true;
            for other in &others {
                if other.equals(&item, budget)? {
                    new = false;
                    break;
                }
            }
            if new {
                others.push(item.clone());
            }
            new
        };
        if new {
            kept.push(item);
        }
    }
    Ok(kept)
}

fn chunk_list(c: &Call<'_>) -> Done {
    let (items, size) = (&c.list(0)?.items, c.count(1)?);
    if size == 0 {
        return c.make_list(vec![c.arg(0).clone()]);
    }
    let chunks = items.chunks(size).map(|chunk| c.make_list(chunk.to_vec())).collect::<Result<Vec<_>, _>>()?;
    c.make_list(chunks)
}

fn coalesce_list(c: &Call<'_>) -> Done {
    for i in 0..c.len() {
        if !c.list(i)?.items.is_empty() {
            return Ok(c.arg(i).clone());
        }
    }
    Err("all lists are empty".into())
}

fn compact(c: &Call<'_>) -> Done {
    let kept = |v: &&Value| !matches!(v, Value::Null) && !matches!(v, Value::Text(text) if text.is_empty());
    c.make_list(c.list(0)?.items.iter().filter(kept).cloned().collect())
}

fn concat(c: &Call<'_>) -> Done {
    let mut all = Vec::new();
    for i in 0..c.len() {
        let items = &c.list(i)?.items;
        c.room(size_of_val(items.as_slice()))?;
        all.extend(items.iter().cloned());
    }
    c.make_list(all)
}

fn element(c: &Call<'_>) -> Done {
    let items = &c.list(0)?.items;
    let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let at = c.int(1)?.checked_rem_euclid(len).ok_or("the list is empty")?;
    Ok(usize::try_from(at).ok().and_then(|i| items.get(i)).cloned().unwrap_or(Value::Null))
}

fn flatten(c: &Call<'_>) -> Done {
    let mut out = Vec::new();
    flatten_into(c, &c.list(0)?.items, &mut out)?;
    c.make_list(out)
}

/// Recursion is as deep as the value, which is bounded; elements are paid for, because shared parts count each time.
fn flatten_into(c: &Call<'_>, items: &[Value], out: &mut Vec<Value>) -> Result<(), Failure> {
    c.room(size_of_val(items))?;
    for item in items {
        match item {
            Value::List(inner) => flatten_into(c, &inner.items, out)?,
            other => out.push(other.clone()),
        }
    }
    Ok(())
}

fn index(c: &Call<'_>) -> Done {
    match c.arg(0) {
        Value::Map(map) => {
            let key = c.text(1)?;
            map.entries.get(&key).cloned().ok_or_else(|| format!("the map has no key {}", crate::diagnostic::quoted(&key)).into())
        }
        _ => match position(c, &c.list(0)?.items, c.arg(1))? {
            Some(at) => Ok(int(at)),
            None => Err(format!("the list does not hold {}", c.arg(1).describe()).into()),
        },
    }
}

fn lookup(c: &Call<'_>) -> Done {
    let key = c.text(1)?;
    match (c.map(0)?.entries.get(&key), c.len()) {
        (Some(value), _) => Ok(value.clone()),
        (None, 3) => Ok(c.arg(2).clone()),
        (None, _) => Err(format!("the map has no key {}; a third argument would be the default", crate::diagnostic::quoted(&key)).into()),
    }
}

fn merge(c: &Call<'_>) -> Done {
    let mut entries = Entries::new();
    for i in 0..c.len() {
        if matches!(c.arg(i), Value::Null) {
            continue;
        }
        let map = c.map(i)?;
        c.room(map.entries.len() * size_of::<Value>())?;
        entries.extend(map.entries.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    c.make_map(entries)
}

fn range(c: &Call<'_>) -> Done {
    let (start, limit) = if c.len() == 1 { (0, c.int(0)?) } else { (c.int(0)?, c.int(1)?) };
    let step = match c.len() {
        3 => c.int(2)?,
        _ if limit < start => -1,
        _ => 1,
    };
    if step == 0 {
        return Err("the step must not be zero".into());
    }
    let mut numbers = Vec::new();
    let mut at = start;
    while (step > 0 && at < limit) || (step < 0 && at > limit) {
        if numbers.len() >= MAX_ELEMENTS {
            return Err(Failure::Bound(format!("range makes more than {MAX_ELEMENTS} elements, the limit")));
        }
        numbers.push(Value::Number(Number::Int(at)));
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    c.make_list(numbers)
}

fn slice(c: &Call<'_>) -> Done {
    let items = &c.list(0)?.items;
    let (start, end) = (c.count(1)?, c.count(2)?);
    match items.get(start..end) {
        Some(part) => c.make_list(part.to_vec()),
        None => Err(format!("elements {start} to {end} are not all there: the list has {}", items.len()).into()),
    }
}

fn zip_map(c: &Call<'_>) -> Done {
    let (keys, values) = (c.texts(0)?, &c.list(1)?.items);
    if keys.len() != values.len() {
        return Err(format!("{} keys and {} values: there must be as many of both", keys.len(), values.len()).into());
    }
    c.make_map(keys.into_iter().zip(values.iter().cloned()).collect())
}
