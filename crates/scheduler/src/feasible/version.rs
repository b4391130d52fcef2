//! Versions and conditions on them.
//!
//! Two readings: `version` is lenient (`1.2`, `v1.2.3`, `1.2beta`) and keeps pre-releases out unless the condition names one of the
//! same numbers; `semver` is strict Semantic Versioning 2.0, where a pre-release is simply older than its release.

use std::cmp::Ordering;

/// A version: numbers, and the parts of a pre-release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    numbers: Vec<u64>,
    pre: Vec<String>,
}

impl Version {
    /// Reads a lenient version; build metadata does not count.
    pub(crate) fn lenient(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(t, _)| t);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, pre) = text.split_at(end);
        // `1.2.rc1` leaves a dot before the pre-release.
        let numbers: Option<Vec<u64>> = numbers.trim_end_matches('.').split('.').map(|n| n.parse().ok()).collect();
        let pre = pre.strip_prefix('-').unwrap_or(pre);
        let pre_parts: Vec<String> = if pre.is_empty() { Vec::new() } else { pre.split('.').map(str::to_owned).collect() };
        let is_word = |p: &String| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'~'));
        Some(Self { numbers: numbers?, pre: pre_parts }).filter(|v| v.pre.iter().all(is_word))
    }

    /// Reads a semantic version.
    pub(crate) fn strict(text: &str) -> Option<Self> {
        let version = semver::Version::parse(text.trim()).ok()?;
        let pre = if version.pre.is_empty() { Vec::new() } else { version.pre.split('.').map(str::to_owned).collect() };
        Some(Self { numbers: vec![version.major, version.minor, version.patch], pre })
    }

    fn number(&self, i: usize) -> u64 {
        self.numbers.get(i).copied().unwrap_or(0)
    }

    fn compare_numbers(&self, other: &Version) -> Ordering {
        let len = self.numbers.len().max(other.numbers.len());
        (0..len).map(|i| self.number(i).cmp(&other.number(i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare_numbers(other).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }
}

/// Numbers before words, numbers by value, words by bytes; the shorter first when one begins the other.
fn compare_pre(a: &[String], b: &[String]) -> Ordering {
    let part = |x: &String, y: &String| match (x.parse::<u64>(), y.parse::<u64>()) {
        (Ok(m), Ok(n)) => m.cmp(&n),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => x.cmp(y),
    };
    a.iter().zip(b).map(|(x, y)| part(x, y)).find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Pessimistic,
}

/// Longer words first, so that `>=` is not read as `>`.
const RELATIONS: &[(&str, Relation)] = &[
    ("!=", Relation::NotEqual),
    (">=", Relation::GreaterOrEqual),
    ("<=", Relation::LessOrEqual),
    ("~>", Relation::Pessimistic),
    ("=", Relation::Equal),
    (">", Relation::Greater),
    ("<", Relation::Less),
];

/// Conditions that must all hold, as in `>= 1.2, < 2.0`.
#[derive(Clone, Debug)]
pub(crate) struct Requirement {
    strict: bool,
    parts: Vec<(Relation, Version)>,
}

impl Requirement {
    /// Reads conditions; `None` when one of them is none.
    pub(crate) fn parse(text: &str, strict: bool) -> Option<Self> {
        let parts: Option<Vec<_>> = text.split(',').map(|part| parse_part(part.trim(), strict)).collect();
        parts.map(|parts| Self { strict, parts })
    }

    /// Whether the version in `text` meets all conditions; never when it is no version.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let version = if self.strict { Version::strict(text) } else { Version::lenient(text) };
        version.is_some_and(|v| self.parts.iter().all(|(relation, wanted)| relation.holds(&v, wanted, self.strict)))
    }
}

fn parse_part(part: &str, strict: bool) -> Option<(Relation, Version)> {
    let found = RELATIONS.iter().find_map(|(word, r)| part.strip_prefix(word).map(|rest| (*r, rest)));
    let (relation, rest) = found.unwrap_or((Relation::Equal, part));
    if strict && relation == Relation::Pessimistic {
        return None;
    }
    let version = if strict { Version::strict(rest)? } else { Version::lenient(rest)? };
    Some((relation, version))
}

impl Relation {
    fn holds(self, found: &Version, wanted: &Version, strict: bool) -> bool {
        match self {
            Relation::Equal => found == wanted || found.cmp(wanted).is_eq(),
            Relation::NotEqual => found.cmp(wanted).is_ne(),
            _ if !strict && !pre_release_allowed(found, wanted) => false,
            Relation::Greater => found > wanted,
            Relation::GreaterOrEqual => found >= wanted,
            Relation::Less => found < wanted,
            Relation::LessOrEqual => found <= wanted,
            Relation::Pessimistic => pessimistic(found, wanted),
        }
    }
}

/// A pre-release meets a condition only when the condition names a pre-release of the same numbers.
fn pre_release_allowed(found: &Version, wanted: &Version) -> bool {
    found.pre.is_empty() || (!wanted.pre.is_empty() && found.compare_numbers(wanted).is_eq())
}

/// `~> 1.2.3` is `>= 1.2.3, < 1.3`: all written numbers but the last must be equal.
fn pessimistic(found: &Version, wanted: &Version) -> bool {
    if !wanted.pre.is_empty() && found.pre.is_empty() {
        return false;
    }
    found >= wanted && (0..wanted.numbers.len().saturating_sub(1)).all(|i| found.number(i) == wanted.number(i))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn check(condition: &str, strict: bool, good: &[&str], bad: &[&str]) {
        let requirement = Requirement::parse(condition, strict).unwrap_or_else(|| panic!("{condition:?} is no condition"));
        for version in good {
            assert!(requirement.holds(version), "{version} should meet {condition}");
        }
        for version in bad {
            assert!(!requirement.holds(version), "{version} should not meet {condition}");
        }
    }

    #[test]
    fn lists_of_conditions_must_all_hold() {
        check(">= 1.2, < 2.0", false, &["1.2", "1.2.0", "v1.9.9", "1.10"], &["1.1.9", "2.0", "2", "3", "x", ""]);
        check("1.2.3", false, &["1.2.3", "v1.2.3", "1.2.3+build"], &["1.2.4", "1.2.3-rc1"]);
        check("!= 1.2", false, &["1.3", "1.2-beta"], &["1.2.0"]);
        check("<=1.0.0", false, &["1.0", "0.9"], &["1.0.1"]);
    }

    #[test]
    fn pessimistic_conditions_fix_all_but_the_last_number() {
        check("~> 1.2.3", false, &["1.2.3", "1.2.9"], &["1.3.0", "1.2.2", "2.0.0"]);
        check("~> 1.2", false, &["1.2", "1.9.1"], &["2.0", "1.1"]);
        check("~> 1", false, &["1.0", "2.5"], &["0.9"]);
        check("~> 1.2.3-beta", false, &["1.2.3-beta", "1.2.3-rc"], &["1.2.3", "1.2.4"]);
    }

    #[test]
    fn lenient_conditions_keep_pre_releases_out() {
        check(">= 1.2", false, &["1.3"], &["1.3-beta", "2.0-rc1"]);
        check(">= 1.3-alpha", false, &["1.3-beta", "1.3", "1.4"], &["1.4-beta", "1.2"]);
        check("< 2.0", false, &["1.9"], &["2.0-beta"]);
    }

    #[test]
    fn strict_conditions_order_pre_releases() {
        check(">= 1.2.0", true, &["1.2.0", "1.3.0-beta"], &["1.2.0-rc.1", "1.2", "v1.2.0"]);
        check("> 1.0.0-alpha.1", true, &["1.0.0-alpha.2", "1.0.0-alpha.10", "1.0.0-beta", "1.0.0"], &["1.0.0-alpha", "1.0.0-1"]);
        assert!(Requirement::parse("~> 1.2.0", true).is_none());
        assert!(Requirement::parse("1.2", true).is_none());
    }

    #[test]
    fn nonsense_is_no_condition() {
        for bad in ["", ">=", "banana", "1.2,,3", ">> 1", "1..2", "99999999999999999999999"] {
            assert!(Requirement::parse(bad, false).is_none(), "{bad}");
        }
    }
}
