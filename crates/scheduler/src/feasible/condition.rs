//! A constraint (or affinity) made ready to be asked of many nodes.

use super::{facts::Question, target, units, version::Requirement};
use floe_model::{
    Node,
    group::{Affinity, Constraint},
};
use regex::{Regex, RegexBuilder};
use std::cmp::Ordering;

/// Bytes that a compiled pattern may take. Jobs are held to the same bound when they are registered.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A comparison of two targets.
#[derive(Debug)]
pub(crate) struct Condition<'a> {
    left: &'a str,
    right: &'a str,
    operand: &'a str,
    test: Test,
}

/// How the two are compared. What can be compiled once is, unless the right side differs from node to node.
#[derive(Debug)]
enum Test {
    Equal,
    NotEqual,
    Order(fn(Ordering) -> bool),
    Regexp(Option<Regex>),
    Version(Option<Requirement>),
    /// The right side is compiled for each node.
    Late(Late),
    ContainsAll,
    ContainsAny,
    IsSet,
    IsNotSet,
    /// Never holds.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum Late {
    Regexp,
    Version { strict: bool },
}

impl<'a> Condition<'a> {
    /// The condition of a constraint; `None` for those that are about siblings (`distinct_*`) and not about the node alone.
    pub(crate) fn of_constraint(c: &'a Constraint) -> Option<Self> {
        (!c.operand.starts_with("distinct_")).then(|| Self::new(&c.l_target, &c.operand, &c.r_target))
    }

    /// The condition of an affinity.
    pub(crate) fn of_affinity(a: &'a Affinity) -> Self {
        Self::new(&a.l_target, &a.operand, &a.r_target)
    }

    fn new(left: &'a str, operand: &'a str, right: &'a str) -> Self {
        Self { left, right, operand, test: Test::new(operand, right) }
    }

    /// What it asks of a node.
    pub(crate) fn question(&self) -> Question {
        Question::Condition { left: self.left.to_owned(), operand: self.operand.to_owned(), right: self.right.to_owned() }
    }

    /// Whether it holds on `node`.
    pub(crate) fn holds(&self, node: &Node) -> bool {
        self.test.holds(target::resolve(self.left, node), target::resolve(self.right, node))
    }

    /// Whether it holds where `resolve` says what targets stand for. Amounts with units are compared as amounts.
    pub(crate) fn holds_of(&self, resolve: impl Fn(&str) -> Option<String>) -> bool {
        let (left, right) = (resolve(self.left), resolve(self.right));
        match left.as_deref().zip(right.as_deref()).and_then(|(l, r)| units::comparable(l, r)).filter(|_| self.test.is_comparison()) {
            Some((left, right)) => self.test.holds(Some(&left), Some(&right)),
            None => self.test.holds(left.as_deref(), right.as_deref()),
        }
    }

    /// Whether one instance may be taken by a condition on a list of ids: it is among those that are named, or by itself as is wanted.
    pub(crate) fn allows_one(&self, ids: &str, resolve: impl Fn(&str) -> Option<String>) -> bool {
        let (left, right) = (resolve(self.left), resolve(self.right));
        match self.test {
            Test::ContainsAll | Test::ContainsAny | Test::Equal => {
                let (id, named) = if self.left == ids { (left, right) } else { (right, left) };
                id.zip(named).is_some_and(|(id, named)| members(&named).any(|m| m == id))
            }
            _ => self.test.holds(left.as_deref(), right.as_deref()),
        }
    }

    /// True when one of its sides is `target`.
    pub(crate) fn speaks_of(&self, target: &str) -> bool {
        self.left == target || self.right == target
    }
}

/// The words that explanations show, as the user wrote them.
impl std::fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operand = if self.operand.is_empty() { "=" } else { self.operand };
        write!(f, "{} {operand}", self.left)?;
        if !self.right.is_empty() {
            write!(f, " {}", self.right)?;
        }
        match self.test {
            Test::Regexp(None) => f.write_str(" (not a regular expression)"),
            Test::Version(None) => f.write_str(" (not a condition on a version)"),
            Test::Unknown => f.write_str(" (unknown operator)"),
            _ => Ok(()),
        }
    }
}

impl Test {
    fn new(operand: &str, right: &str) -> Self {
        let late = target::is_interpolated(right);
        match operand {
            "" | "=" | "==" | "is" => Test::Equal,
            "!=" | "not" => Test::NotEqual,
            "<" => Test::Order(Ordering::is_lt),
            "<=" => Test::Order(Ordering::is_le),
            ">" => Test::Order(Ordering::is_gt),
            ">=" => Test::Order(Ordering::is_ge),
            "regexp" if late => Test::Late(Late::Regexp),
            "regexp" => Test::Regexp(pattern(right)),
            "version" | "semver" if late => Test::Late(Late::Version { strict: operand == "semver" }),
            "version" | "semver" => Test::Version(Requirement::parse(right, operand == "semver")),
            "set_contains" | "set_contains_all" => Test::ContainsAll,
            "set_contains_any" => Test::ContainsAny,
            "is_set" => Test::IsSet,
            "is_not_set" => Test::IsNotSet,
            _ => Test::Unknown,
        }
    }

    fn is_comparison(&self) -> bool {
        matches!(self, Test::Equal | Test::NotEqual | Test::Order(_))
    }

    fn holds(&self, left: Option<&str>, right: Option<&str>) -> bool {
        match self {
            Test::NotEqual => return left != right,
            Test::IsSet => return left.is_some(),
            Test::IsNotSet => return left.is_none(),
            _ => {}
        }
        let (Some(left), Some(right)) = (left, right) else { return false };
        match self {
            Test::Equal => left == right,
            Test::Order(wanted) => wanted(order(left, right)),
            Test::Regexp(pattern) => pattern.as_ref().is_some_and(|p| p.is_match(left)),
            Test::Version(requirement) => requirement.as_ref().is_some_and(|r| r.holds(left)),
            Test::Late(Late::Regexp) => pattern(right).is_some_and(|p| p.is_match(left)),
            Test::Late(Late::Version { strict }) => Requirement::parse(right, *strict).is_some_and(|r| r.holds(left)),
            Test::ContainsAll => members(right).all(|wanted| members(left).any(|m| m == wanted)),
            Test::ContainsAny => members(right).any(|wanted| members(left).any(|m| m == wanted)),
            Test::NotEqual | Test::IsSet | Test::IsNotSet | Test::Unknown => false,
        }
    }
}

fn pattern(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).size_limit(MAX_PATTERN_BYTES).build().ok()
}

fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// As whole numbers when both are, else as numbers, else as text.
fn order(left: &str, right: &str) -> Ordering {
    if let (Ok(l), Ok(r)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return l.cmp(&r);
    }
    if let (Ok(l), Ok(r)) = (left.parse::<f64>(), right.parse::<f64>())
        && let Some(order) = l.partial_cmp(&r)
    {
        return order;
    }
    left.cmp(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(left: Option<&str>, operand: &str, right: &str) -> bool {
        Test::new(operand, right).holds(left, Some(right))
    }

    #[test]
    fn each_operator_holds_and_does_not() {
        for (left, operand, right, wanted) in [
            (Some("a"), "=", "a", true),
            (Some("a"), "is", "b", false),
            (None, "==", "a", false),
            (Some("a"), "!=", "b", true),
            (Some("a"), "not", "a", false),
            (None, "!=", "a", true),
            (Some("9"), "<", "10", true),
            (Some("9.5"), "<", "10", true),
            (Some("9a"), "<", "10", false),
            (Some("3"), ">=", "3", true),
            (Some("3"), "<=", "2", false),
            (None, ">", "1", false),
            (Some("linux-6.1"), "regexp", "^linux-[0-9.]+$", true),
            (Some("linux"), "regexp", "[", false),
            (None, "regexp", ".*", false),
            (Some("1.5"), "version", ">= 1.2, < 2", true),
            (Some("1.5"), "version", "banana", false),
            (Some("1.5.0-rc.1"), "semver", "> 1.4.0", true),
            (Some("a, b,c"), "set_contains", "c,a", true),
            (Some("a,b"), "set_contains_all", "a,d", false),
            (Some("a,b"), "set_contains_any", "d, b", true),
            (Some("a,b"), "set_contains_any", "d", false),
            (Some(""), "is_set", "", true),
            (None, "is_set", "", false),
            (None, "is_not_set", "", true),
            (Some("a"), "is_not_set", "", false),
            (Some("a"), "sounds_like", "a", false),
        ] {
            assert_eq!(holds(left, operand, right), wanted, "{left:?} {operand} {right:?}");
        }
    }

    #[test]
    fn the_right_side_may_differ_from_node_to_node() {
        let mut node = Node::default();
        node.attributes.insert("found".to_owned(), "1.5".to_owned());
        node.meta.insert("wanted".to_owned(), ">= 1.4".to_owned());
        let mut c =
            Constraint { l_target: "${attr.found}".to_owned(), r_target: "${meta.wanted}".to_owned(), operand: "version".to_owned() };
        assert!(Condition::of_constraint(&c).is_some_and(|c| c.holds(&node)));
        c.operand = "regexp".to_owned();
        assert!(Condition::of_constraint(&c).is_some_and(|c| !c.holds(&node)));
    }

    #[test]
    fn words_show_what_was_written_and_what_is_wrong() {
        let words = |l: &str, o: &str, r: &str| Condition::new(l, o, r).to_string();
        assert_eq!(words("${attr.kernel.name}", "=", "windows"), "${attr.kernel.name} = windows");
        assert_eq!(words("${meta.x}", "is_set", ""), "${meta.x} is_set");
        assert_eq!(words("${meta.x}", "regexp", "["), "${meta.x} regexp [ (not a regular expression)");
        assert_eq!(words("${meta.x}", "version", "y"), "${meta.x} version y (not a condition on a version)");
        assert_eq!(words("a", "like", "b"), "a like b (unknown operator)");
    }
}
