//! What `cargo metadata` says about the workspace, reduced to what the checks ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The platform whose dependency graph is checked; floe runs on Linux only, and packages for other systems are never built.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// How a package depends on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DepKind {
    Normal,
    Build,
    Dev,
}

/// One dependency of a package, as its manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: DepKind,
}

/// A package of the resolved graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression of the manifest.
    pub(crate) license: Option<String>,
    /// Where it was fetched from; `None` for a package of this workspace.
    pub(crate) source: Option<String>,
    /// The folder of its manifest.
    pub(crate) directory: PathBuf,
    pub(crate) is_member: bool,
    pub(crate) declared: Vec<Dependency>,
    /// Package ids it depends on after resolution, per kind.
    pub(crate) resolved: Vec<(String, DepKind)>,
}

/// All packages by id.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) packages: BTreeMap<String, Package>,
}

impl Graph {
    /// Asks cargo about the workspace at `root`.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let metadata = cargo(root, &["metadata", "--format-version", "1", "--locked", "--filter-platform", PLATFORM])?;
        let mut graph = Self::parse(&serde_json::from_str(&metadata).context("parse the output of cargo metadata")?)?;
        // The metadata also holds packages that only a feature nobody turned on would bring in. `cargo tree` lists what is built.
        let tree = cargo(
            root,
            &["tree", "--workspace", "--locked", "--target", PLATFORM, "--edges", "all", "--prefix", "none", "--format", "{p}"],
        )?;
        let built: BTreeSet<(String, String)> = tree.lines().filter_map(parse_tree_line).collect();
        graph.packages.retain(|_, package| built.contains(&(package.name.clone(), package.version.clone())));
        Ok(graph)
    }

    /// Reads the JSON of `cargo metadata`.
    pub(crate) fn parse(value: &Value) -> Result<Self> {
        let members: Vec<&str> = list(value, "workspace_members").iter().filter_map(Value::as_str).collect();
        let mut packages = BTreeMap::new();
        for package in list(value, "packages") {
            let id = text(package, "id").context("cargo metadata: a package has no id")?;
            packages.insert(id.clone(), parse_package(package, members.contains(&id.as_str()))?);
        }
        for node in value.get("resolve").map(|resolve| list(resolve, "nodes")).unwrap_or_default() {
            let id = text(node, "id").context("cargo metadata: a node has no id")?;
            if let Some(package) = packages.get_mut(&id) {
                package.resolved = parse_resolved(node);
            }
        }
        // Packages that only other platforms use are listed, but no node refers to them.
        let mut graph = Self { packages };
        let reachable = graph.closure(graph.member_ids(), &[DepKind::Normal, DepKind::Build, DepKind::Dev]);
        graph.packages.retain(|id, _| reachable.contains(id));
        Ok(graph)
    }

    /// The packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|package| package.is_member)
    }

    /// The declared dependencies of `package` on other crates of floe.
    pub(crate) fn floe_edges<'a>(&self, package: &'a Package) -> impl Iterator<Item = &'a Dependency> {
        package.declared.iter().filter(|dependency| dependency.name.starts_with("floe-"))
    }

    /// The ids of `starts` and all they reach over edges of these kinds. A development dependency counts only at the start: nobody builds
    /// those of a dependency.
    pub(crate) fn closure(&self, starts: Vec<String>, kinds: &[DepKind]) -> BTreeSet<String> {
        let mut seen: BTreeSet<String> = starts.iter().cloned().collect();
        let mut open: Vec<(String, bool)> = starts.into_iter().map(|id| (id, true)).collect();
        while let Some((id, is_start)) = open.pop() {
            let Some(package) = self.packages.get(&id) else { continue };
            for (target, kind) in &package.resolved {
                let counts = kinds.contains(kind) && (is_start || *kind != DepKind::Dev);
                if counts && seen.insert(target.clone()) {
                    open.push((target.clone(), false));
                }
            }
        }
        seen
    }

    /// The id of the member called `name`.
    pub(crate) fn member_id(&self, name: &str) -> Option<String> {
        self.packages.iter().find(|(_, package)| package.is_member && package.name == name).map(|(id, _)| id.clone())
    }

    fn member_ids(&self) -> Vec<String> {
        self.packages.iter().filter(|(_, package)| package.is_member).map(|(id, _)| id.clone()).collect()
    }
}

/// Runs cargo and returns what it prints.
fn cargo(root: &Path, arguments: &[&str]) -> Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let shown = arguments.first().copied().unwrap_or_default();
    let output = Command::new(program).args(arguments).current_dir(root).output().with_context(|| format!("run cargo {shown}"))?;
    if !output.status.success() {
        bail!("cargo {shown} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("read the output of cargo {shown}"))
}

/// `serde v1.0.229 (*)` is serde, 1.0.229.
fn parse_tree_line(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?);
    Some((name.to_owned(), version.strip_prefix('v')?.to_owned()))
}

fn parse_package(package: &Value, is_member: bool) -> Result<Package> {
    let manifest = PathBuf::from(text(package, "manifest_path").context("cargo metadata: a package has no manifest_path")?);
    Ok(Package {
        name: text(package, "name").context("cargo metadata: a package has no name")?,
        version: text(package, "version").unwrap_or_default(),
        license: text(package, "license"),
        source: text(package, "source"),
        directory: manifest.parent().unwrap_or(&manifest).to_path_buf(),
        is_member,
        declared: list(package, "dependencies")
            .iter()
            .filter_map(|dependency| Some(Dependency { name: text(dependency, "name")?, kind: kind(dependency) }))
            .collect(),
        resolved: Vec::new(),
    })
}

fn parse_resolved(node: &Value) -> Vec<(String, DepKind)> {
    let mut resolved = Vec::new();
    for dependency in list(node, "deps") {
        if let Some(id) = text(dependency, "pkg") {
            resolved.extend(list(dependency, "dep_kinds").iter().map(|entry| (id.clone(), kind(entry))));
        }
    }
    resolved
}

fn kind(dependency: &Value) -> DepKind {
    match dependency.get("kind").and_then(Value::as_str) {
        Some("dev") => DepKind::Dev,
        Some("build") => DepKind::Build,
        _ => DepKind::Normal,
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;

    /// A graph of workspace members with the given declared edges, and of outside packages wherever an edge names one that is no member.
    pub(crate) fn graph(edges: &[(&str, &str, DepKind)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to, kind) in edges {
            for name in [from, to] {
                graph.packages.entry((*name).to_owned()).or_insert_with(|| package(name));
            }
            let package = graph.packages.get_mut(*from).unwrap();
            package.declared.push(Dependency { name: (*to).to_owned(), kind: *kind });
            package.resolved.push(((*to).to_owned(), *kind));
        }
        graph
    }

    fn package(name: &str) -> Package {
        let is_member = name == "floe" || name.starts_with("floe-");
        let source = (!is_member).then(|| "registry+https://github.com/rust-lang/crates.io-index".to_owned());
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: Some("MIT".to_owned()),
            source,
            is_member,
            ..Package::default()
        }
    }

    #[test]
    fn reads_members_edges_and_drops_what_no_edge_reaches() {
        let value = json!({
            "workspace_members": ["a-id"],
            "packages": [
                {"id": "a-id", "name": "a", "version": "0.1.0", "license": null, "source": null, "manifest_path": "/w/a/Cargo.toml",
                 "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}]},
                {"id": "b-id", "name": "b", "version": "1.0.0", "license": "MIT", "source": "registry+x", "manifest_path": "/r/b/Cargo.toml", "dependencies": []},
                {"id": "w-id", "name": "winapi", "version": "1.0.0", "license": "MIT", "source": "registry+x", "manifest_path": "/r/w/Cargo.toml", "dependencies": []},
            ],
            "resolve": {"nodes": [{"id": "a-id", "deps": [{"pkg": "b-id", "dep_kinds": [{"kind": null}]}]}, {"id": "b-id", "deps": []}]},
        });
        let graph = Graph::parse(&value).unwrap();
        assert_eq!(graph.packages.keys().collect::<Vec<_>>(), ["a-id", "b-id"]);
        let a = graph.packages.get("a-id").unwrap();
        assert!(a.is_member);
        assert_eq!(a.directory, Path::new("/w/a"));
        assert_eq!(a.declared.get(1).unwrap(), &Dependency { name: "c".to_owned(), kind: DepKind::Dev });
        assert_eq!(a.resolved, [("b-id".to_owned(), DepKind::Normal)]);
    }

    #[test]
    fn the_lines_of_a_tree_are_packages() {
        let package = |name: &str, version: &str| Some((name.to_owned(), version.to_owned()));
        assert_eq!(parse_tree_line("serde v1.0.229 (*)"), package("serde", "1.0.229"));
        assert_eq!(parse_tree_line("floe v0.1.0 (/w/crates/cli)"), package("floe", "0.1.0"));
        assert_eq!(parse_tree_line(""), None);
        assert_eq!(parse_tree_line("[build-dependencies]"), None);
    }

    #[test]
    fn a_closure_follows_development_edges_of_the_start_only() {
        let graph = graph(&[("floe-a", "x", DepKind::Dev), ("x", "y", DepKind::Normal), ("x", "z", DepKind::Dev)]);
        let reached = graph.closure(vec!["floe-a".to_owned()], &[DepKind::Normal, DepKind::Dev]);
        assert_eq!(reached.into_iter().collect::<Vec<_>>(), ["floe-a", "x", "y"]);
    }
}
