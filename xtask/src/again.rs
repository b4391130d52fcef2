//! Which failed tests get a second run, alone: decided from what `cargo test --no-fail-fast` printed.
//!
//! Tests with real clocks, processes and networks race with whatever else the machine does. One that fails beside the others and passes alone is
//! flaky: a defect of the test or of floe that is to be mended, but not a reason to refuse the change that met it. What has no clock has no such
//! excuse, and many failures at once have another cause; see docs/decisions/0033-flaky-tests.md.

use std::collections::BTreeSet;

use crate::layers::{Kind, kind_of};

/// How many tests may be flaky in one run.
const MOST: usize = 3;

/// Tests of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// The name of the integration test.
    pub(crate) target: String,
    /// Their whole names.
    pub(crate) tests: BTreeSet<String>,
}

/// The tests to be run again, or why the run failed for good.
pub(crate) fn plan(log: &str) -> Result<Vec<Again>, String> {
    let mut all: Vec<Again> = Vec::new();
    let mut failed = BTreeSet::new();
    for line in log.lines() {
        if line.trim_start().starts_with("Running ") || line.trim_start().starts_with("Doc-tests ") {
            failed = BTreeSet::new();
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            failed.insert(name.to_owned());
        } else if let Some((_, target)) = line.split_once("to rerun pass `") {
            let shown = target.trim_end_matches('`');
            let tests = std::mem::take(&mut failed);
            if tests.is_empty() {
                return Err(format!("{shown} ended without saying which test failed"));
            }
            let target = with_a_clock(shown).ok_or_else(|| format!("{shown} failed, whose tests have no clock"))?;
            all.push(Again { target, tests });
        }
    }
    match all.iter().map(|again| again.tests.len()).sum() {
        0 => Err("it was no test that failed".to_owned()),
        count if count > MOST => Err(format!("{count} tests failed, and at most {MOST} are run again")),
        _ => Ok(all),
    }
}

/// The integration test that cargo names so, if it is one of a crate that touches the machine. Unit tests decide without one.
fn with_a_clock(target: &str) -> Option<String> {
    match target.split_whitespace().collect::<Vec<_>>()[..] {
        ["-p", package, "--test", name] if matches!(kind_of(package), Some(Kind::Edge | Kind::Front)) => Some(name.to_owned()),
        _ => None,
    }
}

/// Whether this output of `cargo test` says that the test ran and passed.
pub(crate) fn has_passed(output: &str, test: &str) -> bool {
    let wanted = format!("test {test} ... ok");
    output.lines().any(|line| line == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: &str = "
     Running tests/recover.rs (target/debug/deps/recover-fb)
test one ... ok
test two ... FAILED
test three - should panic ... ok
test result: FAILED. 2 passed; 1 failed
error: test failed, to rerun pass `-p floe-consensus --test recover`
     Running tests/snapshots.rs (target/debug/deps/snapshots-fb)
test two ... ok
";

    fn failing(package: &str, kind: &str, count: usize) -> String {
        let tests: String = (0..count).map(|n| format!("test t{n} ... FAILED\n")).collect();
        format!("     Running x (y)\n{tests}error: test failed, to rerun pass `-p {package} {kind}`\n")
    }

    #[test]
    fn a_failed_test_of_the_system_is_run_again_and_no_other() {
        let tests = BTreeSet::from(["two".to_owned()]);
        assert_eq!(plan(SYSTEM), Ok(vec![Again { target: "recover".to_owned(), tests }]));
    }

    #[test]
    fn tests_of_several_targets_are_kept_apart() {
        let log = failing("floe", "--test e2e", 2) + &failing("floe-runtime", "--test lifecycle", 1);
        let counts: Vec<usize> = plan(&log).unwrap_or_default().iter().map(|again| again.tests.len()).collect();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn what_has_no_clock_is_not_run_again() {
        for (package, kind) in
            [("floe-scheduler", "--test properties"), ("floe-consensus", "--lib"), ("floe", "--bin floe"), ("xtask", "--test x")]
        {
            assert!(plan(&failing(package, kind, 1)).is_err(), "{package} {kind}");
        }
        let mixed = failing("floe", "--test e2e", 1) + &failing("floe-model", "--lib", 1);
        assert!(plan(&mixed).is_err());
    }

    #[test]
    fn many_failures_are_not_run_again() {
        assert!(plan(&failing("floe", "--test e2e", MOST)).is_ok());
        assert!(plan(&failing("floe", "--test e2e", MOST + 1)).is_err());
        let spread = failing("floe", "--test e2e", MOST) + &failing("floe-network", "--test machine", 1);
        assert!(plan(&spread).is_err());
    }

    #[test]
    fn what_died_or_did_not_compile_is_not_run_again() {
        assert!(plan("error: could not compile `floe-store` (lib)\n").is_err());
        assert!(plan("     Running x (y)\ntest a ... ok\nerror: test failed, to rerun pass `-p floe --test e2e`\n").is_err());
        // A name of an earlier target is no name of this one.
        let died = "     Running x (y)\ntest a ... FAILED\n     Running z (y)\nerror: test failed, to rerun pass `-p floe --test e2e`\n";
        assert!(plan(died).is_err());
    }

    #[test]
    fn what_did_not_run_has_not_passed() {
        assert!(has_passed(SYSTEM, "one"));
        assert!(!has_passed("test two ... FAILED\n", "two"));
        assert!(!has_passed(SYSTEM, "on") && !has_passed("running 0 tests\n", "one"));
    }
}
