//! Which crate may use which: the table of ARCHITECTURE.md as data, and the check that the manifests keep to it.
//!
//! What must never be: a pure crate that reaches an I/O crate, the servers' side knowing how containers run, or two crates that both talk
//! to the same edge library (one crate owns each, so replacing it touches one crate).

use std::collections::BTreeSet;

use crate::metadata::{DepKind, Dependency, Graph, Package};

/// What a crate may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No I/O, no clock, no threads, no randomness: the same input gives the same output.
    Pure,
    /// Requests, responses and the client that speaks them.
    Contract,
    /// Talks to a disk, a network, the kernel, or other processes.
    Edge,
    /// The binary: it may use every crate.
    Front,
    /// Holds tests alone. No other crate may use it.
    Test,
}

/// One row of the table.
struct Layer {
    name: &'static str,
    kind: Kind,
    /// The floe crates it may depend on, without `floe-`.
    may_use: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer { name: "model", kind: Kind::Pure, may_use: &[] },
    Layer { name: "nixlang", kind: Kind::Pure, may_use: &[] },
    Layer { name: "inventory", kind: Kind::Pure, may_use: &["model", "nixlang"] },
    Layer { name: "jobspec", kind: Kind::Pure, may_use: &["model", "nixlang"] },
    Layer { name: "template", kind: Kind::Pure, may_use: &["model"] },
    Layer { name: "cdi", kind: Kind::Pure, may_use: &[] },
    Layer { name: "state", kind: Kind::Pure, may_use: &["model"] },
    Layer { name: "scheduler", kind: Kind::Pure, may_use: &["model", "state"] },
    Layer { name: "control", kind: Kind::Pure, may_use: &["model", "state"] },
    Layer { name: "tasks", kind: Kind::Pure, may_use: &["model"] },
    Layer { name: "history", kind: Kind::Pure, may_use: &[] },
    Layer { name: "api", kind: Kind::Contract, may_use: &["model"] },
    Layer { name: "store", kind: Kind::Edge, may_use: &["model", "state"] },
    Layer { name: "consensus", kind: Kind::Edge, may_use: &["model", "state", "store"] },
    Layer { name: "sim", kind: Kind::Test, may_use: &["model", "state", "store", "consensus", "history", "api", "server"] },
    Layer { name: "pki", kind: Kind::Edge, may_use: &["model"] },
    Layer { name: "https", kind: Kind::Edge, may_use: &[] },
    Layer { name: "keyring", kind: Kind::Edge, may_use: &["model", "https"] },
    Layer { name: "rpc", kind: Kind::Edge, may_use: &["pki"] },
    Layer { name: "s3", kind: Kind::Edge, may_use: &["https"] },
    Layer {
        name: "server",
        kind: Kind::Edge,
        may_use: &["model", "state", "api", "consensus", "control", "scheduler", "jobspec", "template", "pki", "keyring", "rpc", "s3"],
    },
    Layer { name: "images", kind: Kind::Edge, may_use: &["https"] },
    Layer { name: "runtime", kind: Kind::Edge, may_use: &["model"] },
    Layer { name: "network", kind: Kind::Edge, may_use: &["model"] },
    Layer {
        name: "client",
        kind: Kind::Edge,
        may_use: &["model", "api", "store", "tasks", "images", "runtime", "network", "template", "cdi", "pki", "rpc"],
    },
    Layer {
        name: "cli",
        kind: Kind::Front,
        may_use: &[
            "model",
            "nixlang",
            "inventory",
            "jobspec",
            "template",
            "state",
            "scheduler",
            "control",
            "tasks",
            "api",
            "store",
            "consensus",
            "pki",
            "keyring",
            "rpc",
            "s3",
            "server",
            "images",
            "runtime",
            "network",
            "client",
            "history",
        ],
    },
];

/// Libraries that exactly one crate may use directly. deny.toml says the same for the whole graph.
pub(crate) const OWNED: &[(&str, &str)] = &[
    ("redb", "store"),
    ("openraft", "consensus"),
    ("rcgen", "pki"),
    ("x509-parser", "pki"),
    ("rustls-webpki", "pki"),
    ("x25519-dalek", "keyring"),
    ("bech32", "keyring"),
    ("hyper-rustls", "https"),
    ("rustls-native-certs", "https"),
    ("aws-sigv4", "s3"),
    ("aws-credential-types", "s3"),
    ("roxmltree", "s3"),
    ("tar", "images"),
    ("ruzstd", "images"),
    ("libcontainer", "runtime"),
    ("libcgroups", "runtime"),
    ("rtnetlink", "network"),
    ("netlink-sys", "network"),
    ("netlink-proto", "network"),
    ("netlink-packet-core", "network"),
    ("netlink-packet-utils", "network"),
    ("netlink-packet-route", "network"),
    ("netlink-packet-netfilter", "network"),
];

/// Libraries that a pure crate may not name: they do I/O, read a clock, or draw random numbers.
const IMPURE: &[&str] = &[
    "libc",
    "nix",
    "rustix",
    "rand",
    "rand_core",
    "getrandom",
    "fastrand",
    "uuid",
    "tracing-subscriber",
    "chrono",
    "time",
    "rayon",
    "crossbeam",
];

/// Libraries that a pure crate may not reach through any other.
const IMPURE_ANYWHERE: &[&str] =
    &["tokio", "mio", "async-std", "smol", "hyper", "reqwest", "axum", "socket2", "redb", "openraft", "libcontainer", "rtnetlink"];

/// The package of the binary; every other package is called floe-NAME.
const BINARY: (&str, &str) = ("floe", "cli");

/// What kind of crate `package` is, or `None` when the table has no row for it.
pub(crate) fn kind_of(package: &str) -> Option<Kind> {
    row(package).map(|layer| layer.kind)
}

/// All edges of the workspace that the table does not allow.
pub(crate) fn check(graph: &Graph) -> Vec<String> {
    let mut violations = Vec::new();
    for package in graph.members().filter(|package| package.name != "xtask") {
        let Some(layer) = row(&package.name) else {
            violations.push(format!("{}: no row in xtask/src/layers.rs; add one here and in ARCHITECTURE.md", package.name));
            continue;
        };
        for dependency in &package.declared {
            violations.extend(check_edge(layer, package, dependency));
        }
        if layer.kind == Kind::Pure {
            violations.extend(check_reach(graph, package));
        }
    }
    violations
}

fn check_edge(layer: &Layer, package: &Package, dependency: &Dependency) -> Option<String> {
    let (from, to) = (&package.name, &dependency.name);
    let how = if dependency.kind == DepKind::Dev { "in tests " } else { "" };
    if let Some(short) = to.strip_prefix("floe-") {
        // A test may look further down, but a pure crate's test stays pure: it runs in milliseconds and in the simulation.
        let allowed = layer.may_use.contains(&short);
        let pure_test = dependency.kind == DepKind::Dev && kind_of(to) == Some(Kind::Pure);
        return (!allowed && !pure_test).then(|| format!("{from} -> {to}: {} may not {how}use {short}", layer.name));
    }
    if let Some((_, owner)) = OWNED.iter().find(|(library, owner)| library == to && *owner != layer.name) {
        return Some(format!("{from} -> {to}: only {owner} may use it; ask for what you need there"));
    }
    let impure = layer.kind == Kind::Pure && (IMPURE.contains(&to.as_str()) || IMPURE_ANYWHERE.contains(&to.as_str()));
    impure.then(|| format!("{from} -> {to}: {} is pure and may not {how}use it", layer.name))
}

/// Impure libraries that a pure crate reaches through others. Tests may: proptest and insta write files.
fn check_reach(graph: &Graph, package: &Package) -> Vec<String> {
    let direct: BTreeSet<&str> = package.declared.iter().map(|dependency| dependency.name.as_str()).collect();
    let Some(id) = graph.member_id(&package.name) else { return Vec::new() };
    graph
        .closure(vec![id], &[DepKind::Normal])
        .iter()
        .filter_map(|reached| graph.packages.get(reached))
        .filter(|reached| IMPURE_ANYWHERE.contains(&reached.name.as_str()) && !direct.contains(reached.name.as_str()))
        .map(|reached| {
            format!(
                "{} ~> {}: a pure crate reaches it through its dependencies (cargo tree -i {})",
                package.name, reached.name, reached.name
            )
        })
        .collect()
}

fn row(package: &str) -> Option<&'static Layer> {
    let short = if package == BINARY.0 { BINARY.1 } else { package.strip_prefix("floe-")? };
    LAYERS.iter().find(|layer| layer.name == short)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::metadata::tests::graph;

    fn violations(edges: &[(&str, &str, DepKind)]) -> Vec<String> {
        check(&graph(edges))
    }

    /// Everything that `name` can reach by the table.
    fn reach(name: &str) -> BTreeSet<&'static str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(next) = open.pop() {
            for target in LAYERS.iter().find(|layer| layer.name == next).unwrap().may_use {
                if seen.insert(*target) {
                    open.push((*target).to_owned());
                }
            }
        }
        seen
    }

    #[test]
    fn the_table_keeps_its_direction() {
        for layer in LAYERS {
            let reached = reach(layer.name);
            assert!(!reached.contains(layer.name), "{} reaches itself", layer.name);
            if layer.kind == Kind::Pure {
                assert!(reached.iter().all(|name| kind_of(&format!("floe-{name}")) == Some(Kind::Pure)), "{} is not pure", layer.name);
            }
        }
        assert!(!reach("server").contains("runtime"), "the servers' side must not know how containers run");
        for edge in ["runtime", "network"] {
            assert!(!reach(edge).contains("server"), "{edge} must not know the server");
        }
        assert!(!reach("scheduler").contains("store"));
    }

    #[test]
    fn allowed_edges_pass() {
        let edges = [
            ("floe-server", "floe-consensus", DepKind::Normal),
            ("floe-server", "floe-jobspec", DepKind::Normal),
            ("floe-consensus", "openraft", DepKind::Normal),
            ("floe-client", "floe-template", DepKind::Normal),
            ("floe-client", "tokio", DepKind::Normal),
            ("floe", "floe-network", DepKind::Normal),
            ("floe-tasks", "floe-state", DepKind::Dev),
            ("floe-tasks", "proptest", DepKind::Dev),
        ];
        assert_eq!(violations(&edges), Vec::<String>::new());
    }

    #[test]
    fn planted_violations_are_named() {
        for (from, to, kind) in [
            ("floe-server", "floe-runtime", DepKind::Normal),
            ("floe-runtime", "floe-server", DepKind::Normal),
            ("floe-model", "floe-state", DepKind::Normal),
            ("floe-scheduler", "floe-store", DepKind::Dev),
            ("floe-server", "floe-runtime", DepKind::Dev),
            ("floe-server", "redb", DepKind::Normal),
            ("floe-store", "openraft", DepKind::Normal),
            ("floe-client", "libcontainer", DepKind::Normal),
            ("floe-api", "floe-pki", DepKind::Normal),
            ("floe-server", "rcgen", DepKind::Dev),
            ("floe-client", "libcgroups", DepKind::Build),
            ("floe-client", "netlink-packet-route", DepKind::Dev),
            ("floe-state", "tokio", DepKind::Normal),
            ("floe-state", "rand", DepKind::Dev),
            ("floe-state", "uuid", DepKind::Normal),
            ("floe-network", "rtnetlink", DepKind::Normal),
        ] {
            let found = violations(&[(from, to, kind)]);
            let expected = usize::from(from != "floe-network");
            assert_eq!(found.len(), expected, "{from} -> {to} {kind:?}: {found:?}");
            assert!(found.iter().all(|text| text.starts_with(&format!("{from} -> {to}: "))), "{found:?}");
        }
    }

    #[test]
    fn a_crate_without_a_row_is_a_violation() {
        let found = violations(&[("floe-mesh", "serde", DepKind::Normal)]);
        assert_eq!(found, ["floe-mesh: no row in xtask/src/layers.rs; add one here and in ARCHITECTURE.md"]);
    }

    #[test]
    fn a_pure_crate_may_not_reach_an_io_crate_through_another() {
        let found = violations(&[("floe-state", "helper", DepKind::Normal), ("helper", "tokio", DepKind::Normal)]);
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|text| text.starts_with("floe-state ~> tokio: ")), "{found:?}");
        let in_tests = violations(&[("floe-state", "helper", DepKind::Dev), ("helper", "tokio", DepKind::Normal)]);
        assert_eq!(in_tests, Vec::<String>::new());
    }
}
