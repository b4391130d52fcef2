//! The dependency policy of deny.toml, checked from `cargo metadata` alone.
//!
//! deny.toml is cargo-deny's own file. Building cargo-deny takes longer than testing floe, so this reads the same file and checks the same
//! four things: licences, sources, duplicate versions, and which crate may use which. What it cannot do is look up known vulnerabilities.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use spdx::Licensee;
use toml::Table;

use crate::metadata::{Graph, Package};

/// The parts of deny.toml that are checked.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    licences: Vec<Licensee>,
    /// Further licences for one crate.
    exceptions: BTreeMap<String, Vec<Licensee>>,
    /// What a crate without an SPDX expression is licensed as, by the file it carries.
    clarified: BTreeMap<String, String>,
    registries: BTreeSet<String>,
    /// Crates that may appear in several versions.
    duplicates: BTreeSet<String>,
    /// Banned crates, with the packages that may depend on them directly all the same.
    pub(crate) wrappers: BTreeMap<String, BTreeSet<String>>,
}

impl Policy {
    /// Reads the text of deny.toml.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse().context("parse deny.toml")?;
        let section = |name: &str| table.get(name).and_then(toml::Value::as_table).with_context(|| format!("deny.toml has no [{name}]"));
        let (licenses, bans, sources) = (section("licenses")?, section("bans")?, section("sources")?);
        Ok(Self {
            licences: licensees(&strings(licenses, "allow"))?,
            exceptions: per_crate(licenses, "exceptions", "allow")
                .into_iter()
                .map(|(name, one)| Ok((name, licensees(&one)?)))
                .collect::<Result<_>>()?,
            clarified: entries(licenses, "clarify")
                .filter_map(|entry| Some((crate_of(entry)?, entry.get("expression")?.as_str()?.to_owned())))
                .collect(),
            registries: strings(sources, "allow-registry"),
            duplicates: per_crate(bans, "skip", "").into_keys().collect(),
            wrappers: per_crate(bans, "deny", "wrappers"),
        })
    }
}

/// Everything in the graph that the policy does not allow.
pub(crate) fn check(policy: &Policy, graph: &Graph) -> Vec<String> {
    let mut violations = Vec::new();
    for package in graph.packages.values() {
        violations.extend(check_licence(policy, package));
        violations.extend(check_source(policy, package));
    }
    violations.extend(check_duplicates(policy, graph));
    violations.extend(check_wrappers(policy, graph));
    violations
}

fn check_licence(policy: &Policy, package: &Package) -> Option<String> {
    let Package { name, version, .. } = package;
    let Some(text) = package.license.as_ref().or_else(|| policy.clarified.get(name)) else {
        return Some(format!("{name} {version}: its manifest names no licence"));
    };
    let expression = match spdx::Expression::parse_mode(text, spdx::ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("{name} {version}: its licence `{text}` is no SPDX expression: {}", error.reason)),
    };
    let extra = policy.exceptions.get(name);
    let allowed = expression
        .evaluate(|requirement| policy.licences.iter().chain(extra.into_iter().flatten()).any(|licensee| licensee.satisfies(requirement)));
    (!allowed).then(|| format!("{name} {version}: licence `{text}` is not allowed by deny.toml"))
}

fn check_source(policy: &Policy, package: &Package) -> Option<String> {
    let Package { name, version, .. } = package;
    let Some(source) = &package.source else {
        return (!package.is_member).then(|| format!("{name} {version}: comes from a path outside the workspace"));
    };
    let registry = source.strip_prefix("registry+").or_else(|| source.strip_prefix("sparse+"));
    let known = registry.is_some_and(|registry| policy.registries.contains(registry));
    (!known).then(|| format!("{name} {version}: comes from {source}, which deny.toml does not allow"))
}

fn check_duplicates(policy: &Policy, graph: &Graph) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in graph.packages.values() {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let several = |name: &str| versions.get(name).is_some_and(|versions| versions.len() > 1);
    let mut violations = Vec::new();
    for (name, versions) in &versions {
        if versions.len() > 1 && !policy.duplicates.contains(*name) {
            let versions = versions.join(", ");
            violations.push(format!(
                "{name}: several versions ({versions}); agree on one (cargo tree -i {name}@VERSION) or add it to [bans] skip with a reason"
            ));
        }
    }
    let stale = policy.duplicates.iter().filter(|name| !several(name));
    violations.extend(stale.map(|name| format!("{name}: in [bans] skip of deny.toml, but only one version is left: remove it there")));
    violations
}

fn check_wrappers(policy: &Policy, graph: &Graph) -> Vec<String> {
    let mut violations = Vec::new();
    for package in graph.packages.values() {
        let targets: BTreeSet<&str> =
            package.resolved.iter().filter_map(|(id, _)| graph.packages.get(id)).map(|target| target.name.as_str()).collect();
        for target in targets {
            if policy.wrappers.get(target).is_some_and(|wrappers| !wrappers.contains(&package.name)) {
                violations.push(format!("{} {} -> {target}: deny.toml lets only its wrappers use {target}", package.name, package.version));
            }
        }
    }
    violations
}

fn strings(table: &Table, key: &str) -> BTreeSet<String> {
    let values = table.get(key).and_then(toml::Value::as_array);
    values.into_iter().flatten().filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

fn licensees(texts: &BTreeSet<String>) -> Result<Vec<Licensee>> {
    texts.iter().map(|text| Licensee::parse(text).with_context(|| format!("deny.toml: `{text}` is no SPDX licence"))).collect()
}

/// The tables of `key = [{ crate = "...", ... }, ...]`.
fn entries<'a>(table: &'a Table, key: &str) -> impl Iterator<Item = &'a Table> {
    table.get(key).and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_table)
}

/// The name in `crate = "name"` or `crate = "name@version"`.
fn crate_of(entry: &Table) -> Option<String> {
    Some(entry.get("crate")?.as_str()?.split('@').next()?.to_owned())
}

/// The list `field` of each entry of `key`, by crate.
fn per_crate(table: &Table, key: &str, field: &str) -> BTreeMap<String, BTreeSet<String>> {
    entries(table, key).filter_map(|entry| Some((crate_of(entry)?, strings(entry, field)))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::layers::OWNED;
    use crate::metadata::{DepKind, tests::graph};

    const POLICY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "ISC"]
        exceptions = [{ crate = "tables", allow = ["Unicode-3.0"] }]
        clarify = [{ crate = "silent", expression = "MIT" }]
        [bans]
        skip = [{ crate = "old@0.1", reason = "two of them" }]
        deny = [{ crate = "redb", wrappers = ["floe-store"] }]
        [sources]
        allow-registry = ["https://github.com/rust-lang/crates.io-index"]
    "#;

    /// A workspace of one crate that uses `one` and both versions of `old`.
    fn small() -> Graph {
        let mut graph = graph(&[("floe-a", "one", DepKind::Normal), ("floe-a", "old", DepKind::Normal)]);
        let mut older = graph.packages.get("old").unwrap().clone();
        older.version = "0.1.0".to_owned();
        graph.packages.insert("old-0.1".to_owned(), older);
        graph
    }

    fn check_with(change: impl FnOnce(&mut Graph)) -> Vec<String> {
        let mut graph = small();
        change(&mut graph);
        check(&Policy::parse(POLICY).unwrap(), &graph)
    }

    fn change_one(change: impl FnOnce(&mut Package)) -> Vec<String> {
        check_with(|graph| change(graph.packages.get_mut("one").unwrap()))
    }

    #[test]
    fn what_the_policy_allows_passes() {
        assert_eq!(check_with(|_| {}), Vec::<String>::new());
        for licence in ["MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND ISC"] {
            assert_eq!(change_one(|package| package.license = Some(licence.to_owned())), Vec::<String>::new(), "{licence}");
        }
        let exception = change_one(|package| {
            package.name = "tables".to_owned();
            package.license = Some("MIT AND Unicode-3.0".to_owned());
        });
        assert_eq!(exception, Vec::<String>::new());
        let clarified = change_one(|package| {
            package.name = "silent".to_owned();
            package.license = None;
        });
        assert_eq!(clarified, Vec::<String>::new());
    }

    #[test]
    fn licences_outside_the_policy_are_named() {
        for licence in [Some("GPL-3.0"), Some("MIT AND GPL-3.0"), Some("Unicode-3.0"), Some("nonsense here"), None] {
            let found = change_one(|package| package.license = licence.map(str::to_owned));
            assert!(matches!(found.as_slice(), [one] if one.starts_with("one 1.0.0: ")), "{licence:?}: {found:?}");
        }
    }

    #[test]
    fn sources_outside_the_policy_are_named() {
        for source in [Some("git+https://example.org/one#abc"), Some("registry+https://example.org/index"), None] {
            let found = change_one(|package| package.source = source.map(str::to_owned));
            assert!(matches!(found.as_slice(), [one] if one.starts_with("one 1.0.0: comes from ")), "{source:?}: {found:?}");
        }
    }

    #[test]
    fn a_second_version_needs_a_reason_and_a_reason_needs_a_second_version() {
        let second = check_with(|graph| {
            let mut second = graph.packages.get("one").unwrap().clone();
            second.version = "2.0.0".to_owned();
            graph.packages.insert("one-2".to_owned(), second);
        });
        assert!(matches!(second.as_slice(), [one] if one.starts_with("one: several versions (1.0.0, 2.0.0)")), "{second:?}");
        let stale = check_with(|graph| drop(graph.packages.remove("old-0.1")));
        assert!(matches!(stale.as_slice(), [one] if one.starts_with("old: in [bans] skip")), "{stale:?}");
    }

    #[test]
    fn only_a_wrapper_may_use_a_banned_crate() {
        let used_by = |name: &str| {
            let mut with_redb = graph(&[(name, "redb", DepKind::Dev)]);
            with_redb.packages.append(&mut small().packages);
            check(&Policy::parse(POLICY).unwrap(), &with_redb)
        };
        assert_eq!(used_by("floe-store"), Vec::<String>::new());
        assert_eq!(used_by("floe-server"), ["floe-server 1.0.0 -> redb: deny.toml lets only its wrappers use redb"]);
    }

    #[test]
    fn a_policy_without_a_section_is_an_error() {
        let error = Policy::parse("[licenses]\nallow = []").unwrap_err();
        assert_eq!(error.to_string(), "deny.toml has no [bans]");
    }

    #[test]
    fn deny_toml_and_the_layers_agree_on_who_owns_what() {
        let policy = Policy::parse(include_str!("../../deny.toml")).unwrap();
        for (library, owner) in OWNED {
            let wrappers = policy.wrappers.get(*library).unwrap_or_else(|| panic!("deny.toml does not restrict {library}"));
            let ours: Vec<&String> = wrappers.iter().filter(|name| name.starts_with("floe-")).collect();
            assert_eq!(ours, [&format!("floe-{owner}")], "{library}");
        }
        let known: BTreeSet<&str> = OWNED.iter().map(|(library, _)| *library).collect();
        assert!(
            policy.wrappers.keys().all(|library| known.contains(library.as_str())),
            "deny.toml restricts a crate that layers.rs does not"
        );
    }
}
