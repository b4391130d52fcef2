//! Checks of the workspace itself, run as `cargo run -p xtask -- NAME`.
//!
//! | name | asks |
//! |---|---|
//! | `layers` | do the crates depend on each other as ARCHITECTURE.md allows, and do the pure ones stay pure? |
//! | `deps` | do the dependencies keep to deny.toml: licences, sources, duplicates, who may use what? |
//! | `again LOG [CARGO ARGS]` | do the tests that failed in this output of `cargo test` pass alone, if they may be flaky? |
//!
//! Every check is a function from what was read (`cargo metadata`, source text, deny.toml) to a list of violations. Reading and printing
//! happen here; the checks touch nothing and are tested with planted violations.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod again;
mod deps;
mod headers;
mod layers;
mod metadata;
mod purity;
mod scan;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::layers::Kind;
use crate::metadata::Graph;

const USAGE: &str = "usage: cargo run -p xtask -- layers | deps | again LOG [CARGO ARGS]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(violations) if violations.is_empty() => ExitCode::SUCCESS,
        Ok(violations) => {
            for violation in &violations {
                println!("{violation}");
            }
            println!("{} violations", violations.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[&str]) -> Result<Vec<String>> {
    let root = workspace_root()?;
    match args {
        ["layers"] => check_layers(&root),
        ["deps"] => check_deps(&root),
        ["again", log, cargo_args @ ..] => run_again(&root, Path::new(log), cargo_args),
        ["-h" | "--help" | "help"] => {
            println!("{USAGE}");
            Ok(Vec::new())
        }
        _ => bail!("{USAGE}"),
    }
}

fn check_layers(root: &Path) -> Result<Vec<String>> {
    let graph = Graph::load(root)?;
    let mut violations = layers::check(&graph);
    let (mut sources, mut crates, mut edges) = (0, 0, 0);
    for package in graph.members() {
        crates += 1;
        edges += graph.floe_edges(package).count();
        for path in rust_files(&package.directory)? {
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            violations.extend(headers::check(&shown, &text));
            sources += 1;
        }
        if layers::kind_of(&package.name) == Some(Kind::Pure) {
            violations.extend(purity::check(package, &read_sources(&package.directory.join("src"))?));
        }
    }
    println!("layers: {crates} crates, {edges} edges between them, {sources} source files");
    Ok(violations)
}

fn check_deps(root: &Path) -> Result<Vec<String>> {
    let graph = Graph::load(root)?;
    let path = root.join("deny.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let policy = deps::Policy::parse(&text)?;
    println!("deps: {} packages; known vulnerabilities (advisories) are not looked up here, `cargo deny check` does", graph.packages.len());
    Ok(deps::check(&policy, &graph))
}

/// Runs failed tests once more, one after the other, and names those that passed: they are flaky.
fn run_again(root: &Path, log: &Path, cargo_args: &[&str]) -> Result<Vec<String>> {
    let text = std::fs::read(log).with_context(|| format!("read {}", log.display()))?;
    let targets = match again::plan(&String::from_utf8_lossy(&text)) {
        Ok(targets) => targets,
        Err(reason) => return Ok(vec![format!("no failed test is run again: {reason}")]),
    };
    let mut violations = Vec::new();
    for again::Again { target, tests } in targets {
        // The whole workspace, as before: a part of it would resolve other features and build everything again.
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root).args(["test", "--workspace", "--test", &target]).args(cargo_args);
        let run =
            cargo.args(["--", "--exact", "--test-threads=1"]).args(&tests).stderr(Stdio::inherit()).output().context("run cargo test")?;
        let output = String::from_utf8_lossy(&run.stdout);
        print!("{output}");
        for test in tests {
            if again::has_passed(&output, &test) {
                println!("FLAKY: {test} of {target} failed beside others and passed alone");
            } else {
                violations.push(format!("{test} of {target} failed twice"));
            }
        }
    }
    Ok(violations)
}

/// The workspace this binary was built in, wherever it is called from.
fn workspace_root() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(own.parent().context("find the workspace: xtask has no parent folder")?.to_path_buf())
}

/// Rust files below `directory`, sorted, so that reports do not depend on the file system.
fn rust_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() && path.file_name() != Some("target".as_ref()) {
                open.push(path);
            } else if path.extension() == Some("rs".as_ref()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Source files with their paths relative to the crate, such as `src/lib.rs`.
fn read_sources(directory: &Path) -> Result<Vec<(PathBuf, String)>> {
    let base = directory.parent().unwrap_or(directory);
    rust_files(directory)?
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            Ok((path.strip_prefix(base).unwrap_or(&path).to_path_buf(), text))
        })
        .collect()
}
