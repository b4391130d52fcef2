//! Rules of constraints, affinities and spreads.

use super::{MAX_PATTERN_BYTES, names::is_interpolated};
use crate::{
    group::{Affinity, Constraint, Spread},
    report::{Report, quoted},
    wire::nearest,
};

/// How a target is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Compare,
    Regexp,
    Version { strict: bool },
    Set,
    Presence,
    DistinctHosts,
    DistinctProperty,
}

/// The operator that compares with a regular expression.
pub(super) const REGEXP: &str = "regexp";

const OPERATORS: &[(&str, Operator)] = &[
    ("=", Operator::Compare),
    ("==", Operator::Compare),
    ("is", Operator::Compare),
    ("!=", Operator::Compare),
    ("not", Operator::Compare),
    ("<", Operator::Compare),
    ("<=", Operator::Compare),
    (">", Operator::Compare),
    (">=", Operator::Compare),
    (REGEXP, Operator::Regexp),
    ("version", Operator::Version { strict: false }),
    ("semver", Operator::Version { strict: true }),
    ("set_contains", Operator::Set),
    ("set_contains_all", Operator::Set),
    ("set_contains_any", Operator::Set),
    ("is_set", Operator::Presence),
    ("is_not_set", Operator::Presence),
    ("distinct_hosts", Operator::DistinctHosts),
    ("distinct_property", Operator::DistinctProperty),
];

pub(super) fn constraints(report: &mut Report, list: &[Constraint]) {
    if report.list("constraints", list.len()) {
        for (i, Constraint { l_target, r_target, operand }) in list.iter().enumerate() {
            report.within(format!("constraint {}", i + 1), |r| _ = comparison(r, l_target, operand, r_target));
        }
    }
}

/// Constraints of a task: what concerns siblings belongs to the group, which is placed as a whole.
pub(super) fn task_constraints(report: &mut Report, list: &[Constraint]) {
    constraints(report, list);
    for c in list.iter().filter(|c| c.operand.starts_with("distinct_")) {
        report.say(format_args!("constraint {} is not allowed in a task; move it to the group", quoted(&c.operand)));
    }
}

pub(super) fn affinities(report: &mut Report, list: &[Affinity]) {
    if !report.list("affinities", list.len()) {
        return;
    }
    for (i, Affinity { l_target, r_target, operand, weight }) in list.iter().enumerate() {
        report.within(format!("affinity {}", i + 1), |r| {
            let operator = comparison(r, l_target, operand, r_target);
            if matches!(operator, Some(Operator::DistinctHosts | Operator::DistinctProperty)) {
                r.say(format_args!("operator {operand:?} is only for constraints; use spread"));
            }
            let weight = i64::from(weight.unwrap_or_default());
            if weight == 0 {
                r.say("weight must not be 0: it would have no effect; set it from -100 to 100");
            }
            r.between("weight", weight, -100, 100, "");
        });
    }
}

pub(super) fn spreads(report: &mut Report, list: &[Spread]) {
    if report.list("spreads", list.len()) {
        for (i, s) in list.iter().enumerate() {
            report.within(format!("spread {}", i + 1), |r| spread(r, s));
        }
    }
}

fn spread(report: &mut Report, s: &Spread) {
    let Spread { attribute, weight, spread_target } = s;
    report.required("attribute", attribute, "name one, for example \"${node.datacenter}\"");
    report.between("weight", i64::from(weight.unwrap_or_default()), 1, 100, "");
    if !report.list("targets", spread_target.len()) {
        return;
    }
    super::names::unique(report, "target", spread_target.iter().map(|t| t.value.as_str()));
    let mut total = 0;
    for target in spread_target {
        report.required("target value", &target.value, "name a value of the attribute");
        report.between("percent", i64::from(target.percent), 0, 100, "");
        total += i64::from(target.percent);
    }
    if total > 100 {
        report.say(format_args!("the percentages of the targets must be at most 100 together (they are {total}); lower them"));
    }
}

/// Checks `left operand right`; says which operator it is when it is known.
fn comparison(report: &mut Report, left: &str, operand: &str, right: &str) -> Option<Operator> {
    let Some((_, operator)) = OPERATORS.iter().find(|(word, _)| *word == operand) else {
        let known: Vec<&str> = OPERATORS.iter().map(|(word, _)| *word).collect();
        let near = nearest(operand, &known).map(|n| format!("did you mean {n:?}? ")).unwrap_or_default();
        report.say(format_args!("operator {} is unknown; {near}use one of: {}", quoted(operand), known.join(" ")));
        return None;
    };
    if left.is_empty() && *operator != Operator::DistinctHosts {
        report.say("attribute is missing; name one, for example \"${attr.kernel.name}\"");
    }
    match operator {
        Operator::Compare | Operator::Set => report.required("value", right, "say what the attribute is compared with"),
        Operator::Regexp => regexp(report, right),
        Operator::Version { strict } => version(report, right, *strict),
        Operator::Presence if !right.is_empty() => report.say(format_args!("operator {operand:?} takes no value; remove it")),
        Operator::Presence => {}
        Operator::DistinctHosts => report.word("value of distinct_hosts", right, &["true", "false"]),
        Operator::DistinctProperty if right.is_empty() || right.parse::<u32>().is_ok_and(|n| n > 0) => {}
        Operator::DistinctProperty => report.say(format_args!(
            "value of distinct_property must be a number from 1 (it is {}); it bounds how many allocations share one value",
            quoted(right)
        )),
    }
    Some(*operator)
}

fn regexp(report: &mut Report, pattern: &str) {
    report.required("value", pattern, "write a regular expression");
    if is_interpolated(pattern) {
        return;
    }
    if let Err(e) = regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build() {
        // The last line of the message says why; those before draw the pattern.
        let text = e.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        report.say(format_args!("value {} is not a regular expression: {why}", quoted(pattern)));
    }
}

fn version(report: &mut Report, value: &str, strict: bool) {
    report.required("value", value, "write a condition like \">= 1.2, < 2.0\"");
    if value.is_empty() || is_interpolated(value) {
        return;
    }
    for part in value.split(',').map(str::trim) {
        let version = ["!=", ">=", "<=", "~>", "=", ">", "<"].iter().find_map(|op| part.strip_prefix(op)).unwrap_or(part).trim();
        if !is_version(version, strict) {
            report.say(format_args!("value {} is not a condition on a version; write for example \">= 1.2, < 2.0\"", quoted(part)));
        }
    }
}

/// `1`, `1.2`, `v1.2.3-rc.1+build`; `strict` forbids a pre-release that no dash sets apart (`1.2beta`).
fn is_version(text: &str, strict: bool) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = text.split_once('+').map_or((text, None), |(t, b)| (t, Some(b)));
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (numbers, pre) = text.split_at(end);
    let numbers_ok = numbers.split('.').all(|n| !n.is_empty() && n.len() <= 18);
    let pre_ok = pre.is_empty()
        || match pre.strip_prefix('-') {
            Some(p) => is_dotted(p),
            None => !strict && is_dotted(pre),
        };
    numbers_ok && pre_ok && build.is_none_or(is_dotted)
}

fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'~')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_known_by_their_form() {
        for good in ["1", "1.2", "v1.2.3", "1.2.3-rc.1", "1.2.3+build.5", "1.2.3-a+b"] {
            assert!(is_version(good, true), "{good}");
            assert!(is_version(good, false), "{good}");
        }
        assert!(is_version("1.2beta", false));
        for bad in ["", "v", "1.", ".1", "1..2", "x", "1.2beta", "1.2-", "1.2+", "1 2", "1234567890123456789"] {
            assert!(!is_version(bad, true), "{bad}");
        }
    }

    #[test]
    fn every_operator_is_there_once() {
        let words: std::collections::BTreeSet<_> = OPERATORS.iter().map(|(w, _)| *w).collect();
        assert_eq!(words.len(), OPERATORS.len());
    }
}
