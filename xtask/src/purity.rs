//! Pure crates name no files, sockets, processes, threads, clocks or random ids in the code they ship.
//!
//! Time, randomness and input are arguments there: that is what lets every server apply an entry to the same result, and a whole cluster
//! run in one thread with a simulated clock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::metadata::Package;
use crate::scan::{Scan, scan};

/// What pure code may not name, with the reason a reader gets.
const FORBIDDEN: &[(&str, &str)] = &[
    ("std::fs", "reads or writes files; take the content or a trait"),
    ("std::net", "opens sockets; addresses are core::net"),
    ("std::os", "asks the operating system"),
    ("std::env", "reads the environment; take the value"),
    ("std::process", "starts or ends processes"),
    ("std::thread", "starts or blocks threads"),
    ("std::time::Instant", "reads a clock; take the time"),
    ("std::time::SystemTime", "reads a clock; take the time"),
    ("std::time::UNIX_EPOCH", "belongs to a clock; take the time"),
    ("std::io::stdin", "reads the terminal"),
    ("std::io::stdout", "writes to the terminal"),
    ("std::io::stderr", "writes to the terminal"),
    ("jiff::Timestamp::now", "reads a clock; take the time"),
    ("jiff::Zoned::now", "reads a clock; take the time"),
];

/// Plain data inside a forbidden module: addresses do no I/O.
const DATA: &[&str] = &[
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
    "std::net::SocketAddrV6",
    "std::net::AddrParseError",
];

/// One use that is allowed, and why. One that is no longer needed is a violation too.
struct Exception {
    package: &'static str,
    file: &'static str,
    path: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    // Hostile nesting must end in an error, not in a stack overflow: the evaluator runs on one thread with a stack of known size and waits
    // for it. Nothing else about it is concurrent.
    Exception { package: "floe-nixlang", file: "src/evaluation.rs", path: "std::thread" },
];

/// All forbidden uses in the sources of a pure crate, given as (path inside the crate, text).
pub(crate) fn check(package: &Package, sources: &[(PathBuf, String)]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut scans = Vec::new();
    for (file, text) in sources {
        match scan(text) {
            Ok(scan) => scans.push((file.as_path(), scan)),
            Err(error) => violations.push(format!("{}/{}: cannot be read as Rust: {error}", package.name, file.display())),
        }
    }
    let tests = test_files(&scans);
    let mut used = BTreeSet::new();
    for (file, scan) in &scans {
        if tests.iter().any(|test| file.starts_with(test)) {
            continue;
        }
        for named in &scan.named {
            let Some((rule, why)) = forbidden(&named.path) else { continue };
            if let Some(at) = exception(package, file, &named.path) {
                used.insert(at);
                continue;
            }
            let (name, path) = (&package.name, named.path.join("::"));
            violations.push(format!("{name}/{}:{}: {path}: a pure crate may not use {rule}: it {why}", file.display(), named.line));
        }
    }
    violations.extend(unused_exceptions(package, &used));
    violations
}

fn forbidden(path: &[String]) -> Option<(&'static str, &'static str)> {
    if DATA.iter().any(|data| starts_with(path, data)) {
        return None;
    }
    let rule = FORBIDDEN.iter().find(|(rule, _)| match path.split_last() {
        // `use std::time::*` brings in a clock as well.
        Some((last, prefix)) if last == "*" => {
            starts_with(path, rule) || rule.split("::").zip(prefix).filter(|(a, b)| a == b).count() == prefix.len()
        }
        _ => starts_with(path, rule),
    });
    rule.copied()
}

fn starts_with(path: &[String], prefix: &str) -> bool {
    let wanted: Vec<&str> = prefix.split("::").collect();
    path.len() >= wanted.len() && wanted.iter().zip(path).all(|(a, b)| a == b)
}

fn exception(package: &Package, file: &Path, path: &[String]) -> Option<usize> {
    EXCEPTIONS
        .iter()
        .position(|exception| exception.package == package.name && file == Path::new(exception.file) && starts_with(path, exception.path))
}

fn unused_exceptions(package: &Package, used: &BTreeSet<usize>) -> Vec<String> {
    EXCEPTIONS
        .iter()
        .enumerate()
        .filter(|(at, exception)| exception.package == package.name && !used.contains(at))
        .map(|(_, exception)| {
            format!(
                "xtask/src/purity.rs: {}/{} does not use {} any more: remove the exception",
                exception.package, exception.file, exception.path
            )
        })
        .collect()
}

/// Files and folders that hold tests only, because their `mod` line says so.
fn test_files(scans: &[(&Path, Scan)]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (file, scan) in scans {
        let folder = file.parent().unwrap_or(Path::new(""));
        let stem = file.file_stem().unwrap_or_default();
        let is_root = stem == "lib" || stem == "main" || stem == "mod";
        let children = if is_root { folder.to_path_buf() } else { folder.join(stem) };
        for module in &scan.test_modules {
            match &module.path {
                Some(path) => found.push(folder.join(path)),
                None => found.extend([children.join(format!("{}.rs", module.name)), children.join(&module.name)]),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(name: &str, files: &[(&str, &str)]) -> Vec<String> {
        let package = Package { name: name.to_owned(), ..Package::default() };
        let sources: Vec<_> = files.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect();
        check(&package, &sources)
    }

    #[test]
    fn planted_violations_are_named_with_file_and_line() {
        let found = check_one(
            "floe-state",
            &[("src/lib.rs", "//! A.\nuse std::collections::BTreeMap;\nuse std::{fs, time::{Duration, Instant}};\n")],
        );
        assert_eq!(
            found,
            [
                "floe-state/src/lib.rs:3: std::fs: a pure crate may not use std::fs: it reads or writes files; take the content or a trait",
                "floe-state/src/lib.rs:3: std::time::Instant: a pure crate may not use std::time::Instant: it reads a clock; take the time",
            ]
        );
    }

    #[test]
    fn every_way_to_name_a_forbidden_thing_is_found() {
        for text in [
            "use std::time::*;",
            "use std::*;",
            "use std::fs::*;",
            "use std::time; fn f() { time::SystemTime::now(); }",
            "fn f() { std::thread::spawn(g); }",
            "fn f() { println!(\"{:?}\", std::env::var(\"A\")); }",
            "use jiff::Timestamp; fn f() { Timestamp::now(); }",
            "use std::net::{IpAddr, TcpStream};",
            "use ::std::process::Command;",
        ] {
            assert_eq!(check_one("floe-state", &[("src/lib.rs", text)]).len(), 1, "{text}");
        }
    }

    #[test]
    fn pure_code_passes() {
        for text in [
            "use std::time::Duration;",
            "use core::net::IpAddr; use std::net::{Ipv4Addr, SocketAddr};",
            "use std::collections::*;",
            "mod process; use crate::process::Process; fn f() { process::run(); }",
            "use jiff::Timestamp; fn f(now: Timestamp) {}",
        ] {
            assert_eq!(check_one("floe-state", &[("src/lib.rs", text)]), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn files_of_tests_may_do_anything_and_others_may_not() {
        let found = check_one(
            "floe-state",
            &[
                ("src/lib.rs", "#[cfg(test)] mod tests; mod plan;"),
                ("src/tests.rs", "use std::fs;"),
                ("src/plan.rs", "#[cfg(test)] mod tests; #[cfg(test)] #[path = \"plan_golden.rs\"] mod golden;"),
                ("src/plan/tests/deep.rs", "use std::fs;"),
                ("src/plan_golden.rs", "use std::fs;"),
                ("src/plan/steps.rs", "use std::fs;"),
            ],
        );
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|text| text.starts_with("floe-state/src/plan/steps.rs:1:")), "{found:?}");
    }

    #[test]
    fn an_exception_holds_for_its_file_only_and_must_be_needed() {
        let text = "use std::thread;";
        assert_eq!(check_one("floe-nixlang", &[("src/evaluation.rs", text)]), Vec::<String>::new());
        assert_eq!(check_one("floe-nixlang", &[("src/evaluation.rs", text), ("src/lib.rs", text)]).len(), 1);
        assert_eq!(check_one("floe-nixlang", &[("src/evaluation.rs", "")]).len(), 1, "an exception nobody needs");
        assert_eq!(check_one("floe-state", &[("src/evaluation.rs", text)]).len(), 1);
    }
}
