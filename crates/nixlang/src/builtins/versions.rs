//! Version strings.

use std::cmp::Ordering;

use super::{Builtin, Call, builtin};
use crate::error::Fallible;
use crate::eval::Evaluator;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Builtin] = &[
    builtin("builtins.compareVersions", 2, compare_versions),
    builtin("builtins.parseDrvName", 1, parse_drv_name),
    builtin("builtins.splitVersion", 1, split_version),
];

/// The parts of a version: runs of digits and runs of other characters, where
/// `.` and `-` only separate.
fn components(version: &str) -> impl Iterator<Item = &str> {
    let mut rest = version;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['.', '-']);
        let is_digit = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| matches!(c, '.' | '-') || c.is_ascii_digit() != is_digit);
        let (component, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(component)
    })
}

/// `pre` comes before everything, an end before a number, words before numbers.
fn order(a: &str, b: &str) -> Ordering {
    let rank = |part: &str| match part {
        "pre" => 0,
        "" => 2,
        part if part.parse::<u64>().is_ok() => 3,
        _ => 1,
    };
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        // A word and an end are ordered as texts: the end is the lesser.
        _ if rank(a).max(rank(b)) <= 2 && rank(a).min(rank(b)) >= 1 => a.cmp(b),
        _ => rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)),
    }
}

fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (components(a), components(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (a, b) => match order(a.unwrap_or(""), b.unwrap_or("")) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

fn compare_versions(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let a = call.str(evaluator, 0)?;
    let b = call.str(evaluator, 1)?;
    evaluator.burn_bulk(a.len() + b.len(), call.site)?;
    Ok(Value::Int(compare(&a, &b) as i64))
}

fn split_version(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let version = call.str(evaluator, 0)?;
    let mut parts = Vec::new();
    for part in components(&version) {
        let part = evaluator.string(part, call.site)?;
        parts.push(evaluator.done(part, call.site)?);
    }
    evaluator.list(parts, call.site)
}

/// The version begins after the first dash that no letter follows.
fn parse_drv_name(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let full = call.str(evaluator, 0)?;
    evaluator.burn_bulk(full.len(), call.site)?;
    let starts_version =
        |&(at, _): &(usize, &str)| full.get(at + 1..).and_then(|rest| rest.chars().next()).is_some_and(|c| !c.is_ascii_alphabetic());
    let split = full.match_indices('-').find(starts_version).map(|(at, _)| at);
    let (name, version) = match split {
        Some(at) => (full.get(..at).unwrap_or(""), full.get(at + 1..).unwrap_or("")),
        None => (&*full, ""),
    };
    let mut entries = Vec::with_capacity(2);
    for (key, text) in [("name", name), ("version", version)] {
        let text = evaluator.string(text, call.site)?;
        entries.push((evaluator.intern(key, call.site)?, evaluator.done(text, call.site)?));
    }
    evaluator.attrs(entries, call.site)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_nix_orders_them() {
        let rising = ["1.0pre1", "1.0", "1.0.0", "1.2", "1.10", "2.0"];
        for pair in rising.windows(2) {
            let [a, b] = pair else { continue };
            assert_eq!(compare(a, b), Ordering::Less, "{a} < {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} > {a}");
        }
        assert_eq!(compare("1.2", "1.2"), Ordering::Equal);
        assert_eq!(compare("2.3", "2.3a"), Ordering::Less);
        assert_eq!(compare("2.3a", "2.3.1"), Ordering::Less);
        assert_eq!(compare("2.3a", "2.3c"), Ordering::Less);
        assert_eq!(compare("2.3pre1", "2.3c"), Ordering::Less);
    }

    #[test]
    fn components_are_cut() {
        assert_eq!(components("1.2a-3").collect::<Vec<_>>(), ["1", "2", "a", "3"]);
        assert_eq!(components("..-").count(), 0);
    }
}
