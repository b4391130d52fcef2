//! A network namespace of its own for a bench, and the program that it measures.

use std::{path::PathBuf, process::Command};

/// Set within the namespace.
const INNER: &str = "FLOE_BENCH_INNER";

/// Runs this program again with `args` in new namespaces. Returns there, and only there. `./dev bench` has built floe beside it.
pub(crate) fn enter(args: &[String]) {
    if std::env::var_os(INNER).is_some() {
        return;
    }
    assert!(floe().exists(), "{} is not there: run this by ./dev bench", floe().display());
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
