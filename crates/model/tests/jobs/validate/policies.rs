//! Groups, restarts, and the policies of updates.

use super::{accept, expect, problems};
use crate::generate::{self, canonical, changed, set};
use floe_model::JobType;
use serde_json::{Value, json};

#[test]
fn rules_of_groups_and_restarts() {
    expect(&[
        ("/TaskGroups/0/Tasks", json!([]), "group \"front\": a group needs at least one main task; add a task"),
        (
            "/TaskGroups/0/Tasks/0/Lifecycle",
            json!({}),
            "group \"front\": a group needs at least one main task; remove lifecycle from the task that does the work",
        ),
    ]);
    // A group's restart policy is also its tasks', and is named once.
    let once = |value: Value, message: &str| {
        let found = problems(&changed(&[("/TaskGroups/0/RestartPolicy", value)]));
        assert_eq!(found, [format!("group \"front\" -> restart: {message}")]);
    };
    once(json!({"Interval": "4s", "Attempts": 0}), "interval must be at least 5s (it is 4s)");
    once(json!({"Delay": "-1s"}), "delay must be at least 0s (it is -1s)");
    once(
        json!({"Attempts": 0, "Mode": "delay"}),
        "mode \"delay\" with 0 attempts never restarts and never fails; set attempts to at least 1, or mode to \"fail\"",
    );
    once(
        json!({"Attempts": 5, "Delay": "1m", "Interval": "4m"}),
        "5 attempts with a delay of 1m0s take 5m0s, more than the interval of 4m0s; raise interval or lower attempts",
    );
}

#[test]
fn rules_of_reschedule_update_and_the_other_policies() {
    let r = "/TaskGroups/0/ReschedulePolicy";
    let u = "/TaskGroups/0/Update";
    expect(&[
        (r, json!({"Delay": "4s"}), "group \"front\" -> reschedule: delay must be at least 5s (it is 4s)"),
        (r, json!({"MaxDelay": "10s"}), "group \"front\" -> reschedule: max_delay (10s) must be at least the delay (30s); raise max_delay"),
        (
            r,
            json!({"Attempts": 1, "Interval": "14s", "Delay": "5s", "DelayFunction": "constant"}),
            "group \"front\" -> reschedule: interval must be at least 15s (it is 14s)",
        ),
        (
            r,
            json!({"Attempts": 2, "Interval": "1h", "Unlimited": true}),
            "group \"front\" -> reschedule: unlimited and 2 attempts contradict each other; set attempts to 0, or unlimited to false",
        ),
        (
            r,
            json!({"Attempts": 4, "Interval": "20s", "Delay": "6s", "DelayFunction": "constant"}),
            "group \"front\" -> reschedule: 4 attempts with a delay of 6s take 24s, more than the interval of 20s; raise interval or lower attempts",
        ),
        // 10 + 20 + 40 seconds.
        (
            r,
            json!({"Attempts": 3, "Interval": "69s", "Delay": "10s", "MaxDelay": "1h"}),
            "group \"front\" -> reschedule: 3 attempts do not fit into the interval of 1m9s; raise interval or lower attempts",
        ),
        // 10 + 10 + 20 + 30 seconds.
        (
            r,
            json!({"Attempts": 4, "Interval": "69s", "Delay": "10s", "MaxDelay": "1h", "DelayFunction": "fibonacci"}),
            "group \"front\" -> reschedule: 4 attempts do not fit into the interval of 1m9s; raise interval or lower attempts",
        ),
        // 10 + 15 + 15 seconds.
        (
            r,
            json!({"Attempts": 3, "Interval": "39s", "Delay": "10s", "MaxDelay": "15s"}),
            "group \"front\" -> reschedule: 3 attempts do not fit into the interval of 39s; raise interval or lower attempts",
        ),
        (u, json!({"MaxParallel": -1}), "group \"front\" -> update: max_parallel must be at least 0 (it is -1)"),
        (u, json!({"Stagger": 0}), "group \"front\" -> update: stagger must be at least 1ns (it is 0s)"),
        (
            u,
            json!({"MinHealthyTime": "5m"}),
            "group \"front\" -> update: min_healthy_time (5m0s) must be less than healthy_deadline (5m0s); raise healthy_deadline",
        ),
        (
            u,
            json!({"HealthyDeadline": "10m"}),
            "group \"front\" -> update: healthy_deadline (10m0s) must be less than progress_deadline (10m0s); raise progress_deadline",
        ),
        (
            u,
            json!({"AutoPromote": true}),
            "group \"front\" -> update: auto_promote needs canaries; set canary to at least 1, or remove auto_promote",
        ),
        (
            "/TaskGroups/0/Migrate",
            json!({"HealthCheck": "manual"}),
            "group \"front\" -> migrate: health_check \"manual\" is not for migrate; use \"checks\" or \"task_states\"",
        ),
        (
            "/TaskGroups/0/Disconnect",
            json!({"LostAfter": "1m", "StopOnClientAfter": "1m"}),
            "group \"front\" -> disconnect: lost_after and stop_on_client_after exclude each other; keep one of them",
        ),
        (
            "/TaskGroups/0/MaxRunDuration",
            json!("1h"),
            "group \"front\": max_run_duration is only for jobs of type batch and sysbatch (this is service); remove it",
        ),
        ("/TaskGroups/0/ShutdownDelay", json!("-1s"), "group \"front\": shutdown_delay must be at least 0s (it is -1s)"),
        (
            "/TaskGroups/0/Scaling",
            json!({}),
            "group \"front\" -> scaling: max is missing; set it to the most allocations that scaling may ask for",
        ),
    ]);
    accept(&[
        (r, json!({"Attempts": 3, "Interval": "70s", "Delay": "10s", "MaxDelay": "1h"})),
        (r, json!({"Attempts": 4, "Interval": "70s", "Delay": "10s", "MaxDelay": "1h", "DelayFunction": "fibonacci"})),
        (r, json!({"Attempts": 3, "Interval": "40s", "Delay": "10s", "MaxDelay": "15s"})),
        (r, json!({"Attempts": 0, "Unlimited": false, "Delay": 0})),
        (r, json!({"Delay": "5s"})),
        (u, json!({"MaxParallel": 0, "AutoPromote": true})),
        (u, json!({"ProgressDeadline": 0})),
        ("/TaskGroups/0/RestartPolicy", json!({"Interval": "5s", "Attempts": 1, "Delay": "5s"})),
        ("/TaskGroups/0/EphemeralDisk", json!({"SizeMB": 101})),
    ]);
    let small =
        changed(&[("/TaskGroups/0/EphemeralDisk", json!({"SizeMB": 9})), ("/TaskGroups/0/Tasks/0/LogConfig", json!({"Disabled": true}))]);
    assert_eq!(problems(&small), ["group \"front\" -> ephemeral_disk: size must be at least 10 MB (it is 9)"]);
}

#[test]
fn attempts_of_any_number_are_judged_at_once() {
    for delay_function in ["exponential", "fibonacci", "constant"] {
        let policy = json!({"Attempts": i64::MAX, "Interval": "1h", "Delay": 0, "MaxDelay": i64::MAX, "DelayFunction": delay_function});
        assert!(!problems(&changed(&[("/TaskGroups/0/ReschedulePolicy", policy)])).is_empty());
    }
}

#[test]
fn policies_keep_to_their_types() {
    let of = |job_type: JobType, pointer: &str, value: Value| {
        let mut job = generate::ordinary(job_type);
        set(&mut job, pointer, value);
        problems(&canonical(job))
    };
    let some = |lines: Vec<String>, text: &str| assert!(lines.iter().any(|l| l.contains(text)), "{text}: {lines:#?}");
    some(of(JobType::Batch, "/Update", json!({})), "update is only for jobs of type service and system (this is batch)");
    some(of(JobType::Batch, "/Migrate", json!({})), "migrate is only for jobs of type service (this is batch)");
    some(
        of(JobType::System, "/TaskGroups/0/Migrate", json!({})),
        "group \"front\" -> migrate: migrate is only for jobs of type service (this is system)",
    );
    some(of(JobType::System, "/Reschedule", json!({})), "reschedule is not for jobs of type system");
    some(of(JobType::Sysbatch, "/TaskGroups/0/ReschedulePolicy", json!({})), "reschedule is not for jobs of type sysbatch");
    some(of(JobType::System, "/Affinities", json!([{"LTarget": "a", "RTarget": "b"}])), "affinity is not for jobs of type system");
    some(of(JobType::Sysbatch, "/TaskGroups/0/Spreads", json!([{"Attribute": "a"}])), "spread is not for jobs of type sysbatch");
    some(of(JobType::System, "/TaskGroups/0/Count", json!(2)), "count must be at most 1 in a job of type system (it is 2)");
    some(
        of(JobType::System, "/TaskGroups/0/Disconnect", json!({"StopOnClientAfter": "1m"})),
        "stop_on_client_after is only for jobs of type service and batch",
    );
    assert_eq!(of(JobType::Batch, "/TaskGroups/0/MaxRunDuration", json!("1h")), Vec::<String>::new());
    assert_eq!(of(JobType::Batch, "/Periodic", json!({"Spec": "@daily"})), Vec::<String>::new());
    assert_eq!(of(JobType::Batch, "/Periodic", json!({})), ["periodic: a time is missing; set cron or crons"]);
    assert_eq!(
        of(JobType::Batch, "/ParameterizedJob", json!({"Payload": "optionl"})),
        ["parameterized: payload \"optionl\" is unknown; did you mean \"optional\"? use one of: optional, required, forbidden"]
    );
    assert_eq!(of(JobType::Sysbatch, "/Affinities", json!([{"LTarget": "a", "RTarget": "b"}])), Vec::<String>::new());
    assert_eq!(of(JobType::System, "/TaskGroups/0/Count", json!(0)), Vec::<String>::new());
}
