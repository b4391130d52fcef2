//! Bounds, at the limit and one past it.

use super::problems;
use crate::generate::{self, canonical, changed, set};
use floe_model::{
    JobType,
    canonical::canonicalize,
    validate::{
        MAX_AMOUNT, MAX_ARGUMENT_BYTES, MAX_GROUPS, MAX_JOB_BYTES, MAX_JOB_COUNT, MAX_JOB_ID_BYTES, MAX_LIST, MAX_NAME_BYTES, MAX_PATTERNS,
        MAX_TASKS, MAX_UI_DESCRIPTION_CHARS, validate,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Whether `make(n)` is accepted at the bound and refused one past it.
fn bound(limit: usize, word: &str, make: impl Fn(usize) -> Vec<(&'static str, Value)>) {
    let at = problems(&changed(&make(limit)));
    assert!(!at.iter().any(|l| l.contains(word)), "at {limit}: {at:#?}");
    let past = problems(&changed(&make(limit + 1)));
    assert!(past.iter().any(|l| l.contains(word)), "past {limit}: {past:#?}");
}

#[test]
fn every_bound_holds_at_the_limit_and_one_past_it() {
    let text = |n: usize| json!("a".repeat(n));
    bound(MAX_JOB_ID_BYTES, "id must be at most", |n| vec![("/ID", text(n))]);
    bound(MAX_JOB_ID_BYTES, "name must be at most", |n| vec![("/Name", text(n))]);
    bound(MAX_NAME_BYTES, "name must be at most", |n| vec![("/TaskGroups/0/Name", text(n))]);
    bound(MAX_NAME_BYTES, "name must be at most", |n| vec![("/TaskGroups/0/Tasks/0/Name", text(n))]);
    bound(MAX_GROUPS, "groups are allowed", |n| {
        let group = |i| json!({"Name": format!("g{i}"), "Tasks": [{"Name": "t", "Driver": "x"}]});
        vec![("/TaskGroups", Value::Array((0..n).map(group).collect()))]
    });
    bound(MAX_TASKS, "tasks are allowed", |n| {
        vec![("/TaskGroups/0/Tasks", Value::Array((0..n).map(|i| json!({"Name": format!("t{i}"), "Driver": "x"})).collect()))]
    });
    bound(MAX_LIST, "constraints are allowed", |n| {
        vec![("/Constraints", Value::Array(vec![json!({"LTarget": "a", "RTarget": "b", "Operand": "="}); n]))]
    });
    let patterns = |n: usize, pattern: &str| Value::Array(vec![json!({"LTarget": "a", "RTarget": pattern, "Operand": "regexp"}); n]);
    for place in ["/Constraints", "/TaskGroups/0/Constraints", "/TaskGroups/0/Tasks/0/Constraints", "/Affinities"] {
        bound(MAX_PATTERNS, "regular expressions are allowed", |n| vec![(place, patterns(n, "^x$"))]);
    }
    bound(MAX_LIST, "after are allowed", |n| {
        let other = json!({ "Name": "other", "Driver": "exec", "Config": { "command": "/bin/true" } });
        vec![("/TaskGroups/0/Tasks/1", other), ("/TaskGroups/0/Tasks/0/After", json!(vec![json!({ "Task": "other" }); n]))]
    });
    bound(MAX_LIST, "meta may have at most", |n| vec![("/Meta", (0..n).map(|i| (format!("k{i}"), json!("v"))).collect())]);
    bound(MAX_LIST, "args may have at most", |n| vec![("/TaskGroups/0/Tasks/0/Config/args", json!(vec!["a"; n]))]);
    bound(MAX_ARGUMENT_BYTES, "args must be at most", |n| vec![("/TaskGroups/0/Tasks/0/Config/args", json!([text(n)]))]);
    bound(MAX_ARGUMENT_BYTES, "env \"AB\" must be at most", |n| vec![("/TaskGroups/0/Tasks/0/Env", json!({"AB": text(n - 3)}))]);
    bound(MAX_UI_DESCRIPTION_CHARS, "description must be at most", |n| vec![("/UI", json!({"Description": "é".repeat(n)}))]);
    bound(usize::try_from(MAX_JOB_COUNT).unwrap(), "must be at most 50000", |n| vec![("/TaskGroups/0/Count", json!(n))]);
    bound(usize::try_from(MAX_AMOUNT).unwrap(), "cpu must be at most", |n| vec![("/TaskGroups/0/Tasks/0/Resources/CPU", json!(n))]);
    bound(1_000, "max_files must be at most", |n| vec![("/TaskGroups/0/Tasks/0/LogConfig", json!({"MaxFiles": n, "Disabled": true}))]);
}

#[test]
fn hostile_patterns_are_refused_soon() {
    // Each would compile to gigabytes.
    let hostile = json!({"LTarget": "a", "RTarget": "((a{1000}){1000}){1000}", "Operand": "regexp"});
    let found = problems(&changed(&[("/Constraints", Value::Array(vec![hostile; MAX_PATTERNS]))]));
    assert_eq!(found.len(), MAX_PATTERNS);
    assert!(found[0].contains("is not a regular expression: "), "{}", found[0]);
    let deep = json!([{"LTarget": "a", "RTarget": "(".repeat(100_000), "Operand": "regexp"}]);
    assert_eq!(problems(&changed(&[("/Constraints", deep)])).len(), 1);
}

#[test]
fn counts_are_bounded_over_all_groups() {
    let with = |second: i64| {
        let mut job = generate::ordinary(JobType::Service);
        set(&mut job, "/TaskGroups/0/Count", json!(MAX_JOB_COUNT - 1));
        set(&mut job, "/TaskGroups/1", json!({"Name": "b", "Count": second, "Tasks": [{"Name": "t", "Driver": "x"}]}));
        problems(&canonical(job))
    };
    assert_eq!(with(1), Vec::<String>::new());
    assert_eq!(with(2), ["job: the counts of all groups must be at most 50000 together (they are 50001); split the job"]);
}

#[test]
fn a_job_is_bounded_in_bytes() {
    let mut job = changed(&[]);
    let room = MAX_JOB_BYTES - serde_json::to_vec(&job).unwrap().len();
    job.status_description = "a".repeat(room);
    assert_eq!(problems(&job), Vec::<String>::new());
    job.status_description.push('a');
    let found = problems(&job);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("at most 4194304 bytes of JSON (it is 4194305)"), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_job_makes_it_panic(job in generate::job()) {
        _ = validate(&job);
        let mut job = job;
        canonicalize(&mut job);
        if let Err(e) = validate(&job) {
            prop_assert!(!e.0.is_empty());
            for line in e.0 {
                prop_assert!(!line.contains(char::is_control), "{:?}", line);
            }
        }
    }
}
