//! A network namespace of its own for a bench, and the program that it measures.

use std::{path::PathBuf, process::Command};

/// Set within the namespace.
const INNER: &str = "FLOE_BENCH_INNER";

/// Builds floe as this program was built, and runs this program again with `args` in new namespaces. Returns there, and only there.
pub(crate) fn enter(args: &[String]) {
    if std::env::var_os(INNER).is_some() {
        return;
    }
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built = Command::new("cargo").args(["build", "-q", "--profile", profile, "-p", "floe", "--bin", "floe"]).status();
    assert!(built.expect("cargo is installed").success(), "floe could not be built");
    let in_namespace = ["--net", "--mount", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
    let exe = std::env::current_exe().expect("this program has a path");
    let status = Command::new("unshare").args(in_namespace).arg(exe).args(args).env(INNER, "1").status();
    std::process::exit(status.expect("unshare is installed").code().unwrap_or(1));
}

/// The floe that was built: it lies two folders above this program, which is an example.
pub(crate) fn floe() -> PathBuf {
    let exe = std::env::current_exe().expect("this program has a path");
    exe.ancestors().nth(2).expect("an example lies in target/PROFILE/examples").join("floe")
}
