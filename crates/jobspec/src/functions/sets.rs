//! Functions on sets. A set is a list without duplicates.

use super::{Call, Done, Failure, Function, collections::distinct, function};
use crate::{limits::MAX_ELEMENTS, value::Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function("setintersection", 1, super::ANY, intersection),
    function("setproduct", 1, super::ANY, product),
    function("setunion", 1, super::ANY, union),
];

fn union(c: &Call<'_>) -> Done {
    let mut all = Vec::new();
    for i in 0..c.len() {
        let items = &c.list(i)?.items;
        c.room(items.len() * size_of::<Value>())?;
        all.extend(items.iter().cloned());
    }
    c.make_list(distinct(all, c.budget)?)
}

fn intersection(c: &Call<'_>) -> Done {
    let mut kept = distinct(c.list(0)?.items.clone(), c.budget)?;
    for i in 1..c.len() {
        let other = &c.list(i)?.items;
        let mut both = Vec::new();
        for value in kept {
            for item in other {
                if c.same(&value, item)? {
                    both.push(value);
                    break;
                }
            }
        }
        kept = both;
    }
    c.make_list(kept)
}

fn product(c: &Call<'_>) -> Done {
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for i in 0..c.len() {
        let items = &c.list(i)?.items;
        let count = rows.len().saturating_mul(items.len());
        if count > MAX_ELEMENTS {
            return Err(Failure::Bound(format!("setproduct makes more than {MAX_ELEMENTS} elements, the limit")));
        }
        c.room(count.saturating_mul((i + 1) * size_of::<Value>()))?;
        rows = rows.iter().flat_map(|row| items.iter().map(|item| row.iter().chain([item]).cloned().collect())).collect();
    }
    let rows = rows.into_iter().map(|row| c.make_list(row)).collect::<Result<Vec<_>, _>>()?;
    c.make_list(rows)
}
