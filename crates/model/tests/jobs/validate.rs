//! Problems.

use crate::generate::{self, canonical, changed, set};
use floe_model::{
    Job, JobType,
    canonical::canonicalize,
    validate::{
        MAX_AMOUNT, MAX_ARGUMENT_BYTES, MAX_GROUPS, MAX_JOB_BYTES, MAX_JOB_COUNT, MAX_JOB_ID_BYTES, MAX_LIST, MAX_NAME_BYTES, MAX_PATTERNS,
        MAX_TASKS, MAX_UI_DESCRIPTION_CHARS, SIGNALS, validate,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn problems(job: &Job) -> Vec<String> {
    validate(job).err().map(|e| e.0).unwrap_or_default()
}

/// Each row is one change to an ordinary job and the one problem that it makes.
fn expect(rows: &[(&str, Value, &str)]) {
    for (pointer, value, want) in rows {
        let found = problems(&changed(&[(pointer, value.clone())]));
        assert_eq!(found, [*want], "{pointer} = {}", value.to_string().chars().take(80).collect::<String>());
    }
}

fn accept(rows: &[(&str, Value)]) {
    for (pointer, value) in rows {
        let found = problems(&changed(&[(pointer, value.clone())]));
        assert_eq!(found, Vec::<String>::new(), "{pointer} = {}", value.to_string().chars().take(80).collect::<String>());
    }
}

#[test]
fn rules_of_the_job() {
    expect(&[
        ("/ID", json!("my web"), "job: id \"my web\" must not hold spaces; write - instead"),
        ("/Name", json!("a\u{7}"), "job: name \"a\\u{7}\" must not hold control characters; remove them"),
        ("/Priority", json!(101), "job: priority must be at most 100 (it is 101)"),
        ("/Priority", json!(-1), "job: priority must be at least 1 (it is -1)"),
        ("/NodePool", json!("a b"), "job: node_pool \"a b\" may only hold letters, digits, - and _; rename it"),
        ("/Datacenters", json!([""]), "job: a datacenter is missing; give it a name"),
        ("/TaskGroups", json!([]), "job: a job needs at least one group; add a group with a task"),
        ("/Meta", json!({"": "x"}), "job: meta has a value without a name; name it"),
        ("/UI", json!({"Links": [{"Label": "a"}]}), "ui -> link \"a\": url is missing; say where it leads"),
        (
            "/Periodic",
            json!({"Spec": "@daily"}),
            "periodic: periodic is only for jobs of type batch and sysbatch (this is service); remove it or set the type",
        ),
    ]);
    accept(&[("/Priority", json!(1)), ("/Priority", json!(100)), ("/ID", json!("a/b/c")), ("/Datacenters", json!(["*", "fsn*"]))]);
}

#[test]
fn every_problem_is_reported_at_once_in_the_order_of_the_file() {
    let job = changed(&[
        ("/Priority", json!(500)),
        ("/TaskGroups/0/Count", json!(-1)),
        ("/TaskGroups/0/Tasks/0/Resources/MemoryMB", json!(5)),
        ("/TaskGroups/0/Tasks/0/Driver", json!("")),
    ]);
    let want = [
        "job: priority must be at most 100 (it is 500)",
        "group \"front\": count must be at least 0 (it is -1)",
        "group \"front\" -> task \"server\": driver is missing; set it to \"exec\" or \"raw_exec\"",
        "group \"front\" -> task \"server\" -> resources: memory must be at least 10 MB (it is 5)",
    ];
    assert_eq!(problems(&job), want);
    let text = validate(&job).unwrap_err().to_string();
    assert_eq!(text, format!("the job is not valid:\n* {}", want.join("\n* ")));
}

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

#[test]
fn rules_of_constraints_affinities_and_spreads() {
    let c = |l: &str, op: &str, r: &str| json!([{"LTarget": l, "RTarget": r, "Operand": op}]);
    let g = "/TaskGroups/0/Constraints";
    let at = "group \"front\" -> constraint 1: ";
    let rows: &[(Value, &str)] = &[
        (
            c("a", "~", "b"),
            "operator \"~\" is unknown; use one of: = == is != not < <= > >= regexp version semver set_contains set_contains_all set_contains_any is_set is_not_set distinct_hosts distinct_property",
        ),
        (c("", "=", "b"), "attribute is missing; name one, for example \"${attr.kernel.name}\""),
        (c("a", "=", ""), "value is missing; say what the attribute is compared with"),
        (c("a", "set_contains", ""), "value is missing; say what the attribute is compared with"),
        (c("a", "regexp", "("), "value \"(\" is not a regular expression: unclosed group"),
        (c("a", "version", ">= x"), "value \">= x\" is not a condition on a version; write for example \">= 1.2, < 2.0\""),
        (c("a", "semver", "1.2beta"), "value \"1.2beta\" is not a condition on a version; write for example \">= 1.2, < 2.0\""),
        (c("a", "is_set", "x"), "operator \"is_set\" takes no value; remove it"),
        (c("", "distinct_hosts", "maybe"), "value of distinct_hosts \"maybe\" is unknown; use one of: true, false"),
        (
            c("a", "distinct_property", "0"),
            "value of distinct_property must be a number from 1 (it is \"0\"); it bounds how many allocations share one value",
        ),
    ];
    for (value, want) in rows {
        let found = problems(&changed(&[(g, value.clone())]));
        let found: Vec<String> = found.iter().map(|l| without_guess(l)).collect();
        assert_eq!(found, [format!("{at}{want}")], "{value}");
    }
    accept(&[
        (g, c("a", "regexp", "^x[0-9]+$")),
        (g, c("a", "regexp", "${meta.pattern}(")),
        (g, c("a", "version", ">= 1.2, < 2.0, ~> 1.5")),
        (g, c("a", "version", "1.2beta")),
        (g, c("a", "semver", ">= v1.2.3-rc.1")),
        (g, c("", "distinct_hosts", "true")),
        (g, c("", "distinct_hosts", "")),
        (g, c("${meta.rack}", "distinct_property", "")),
        (g, c("${meta.rack}", "distinct_property", "2")),
        (g, c("a", "is_not_set", "")),
        ("/Affinities", json!([{"LTarget": "a", "RTarget": "b", "Weight": -100}])),
        ("/Spreads", json!([{"Attribute": "a", "SpreadTarget": [{"Value": "x", "Percent": 60}, {"Value": "y", "Percent": 40}]}])),
    ]);
    expect(&[
        ("/Affinities", json!([{"LTarget": "a", "RTarget": "b", "Weight": 101}]), "affinity 1: weight must be at most 100 (it is 101)"),
        (
            "/Affinities",
            json!([{"LTarget": "a", "RTarget": "b", "Weight": 0}]),
            "affinity 1: weight must not be 0: it would have no effect; set it from -100 to 100",
        ),
        (
            "/Affinities",
            json!([{"Operand": "distinct_hosts"}]),
            "affinity 1: operator \"distinct_hosts\" is only for constraints; use spread",
        ),
        ("/Spreads", json!([{}]), "spread 1: attribute is missing; name one, for example \"${node.datacenter}\""),
        ("/Spreads", json!([{"Attribute": "a", "Weight": 101}]), "spread 1: weight must be at most 100 (it is 101)"),
        ("/Spreads", json!([{"Attribute": "a", "Weight": 0}]), "spread 1: weight must be at least 1 (it is 0)"),
    ]);
    let over = problems(&changed(&[(
        "/Spreads",
        json!([{"Attribute": "a", "SpreadTarget": [{"Value": "x", "Percent": 60}, {"Value": "y", "Percent": 41}]}]),
    )]));
    assert_eq!(over, ["spread 1: the percentages of the targets must be at most 100 together (they are 101); lower them"]);
    let in_task = problems(&changed(&[("/TaskGroups/0/Tasks/0/Constraints", c("", "distinct_hosts", "true"))]));
    assert_eq!(
        in_task,
        ["group \"front\" -> task \"server\": constraint \"distinct_hosts\" is not allowed in a task; move it to the group"]
    );
}

/// A line without its guess, which is `nearest`'s business.
fn without_guess(line: &str) -> String {
    match (line.find("did you mean"), line.find("? use one of")) {
        (Some(a), Some(b)) => format!("{}{}", &line[..a], &line[b + 2..]),
        _ => line.to_owned(),
    }
}

#[test]
fn rules_of_tasks() {
    let t = "group \"front\" -> task \"server\"";
    let row = |pointer: &'static str, value: Value, want: String| {
        let found = problems(&changed(&[(pointer, value)]));
        assert_eq!(found, [want], "{pointer}");
    };
    row(
        "/TaskGroups/0/Tasks/0/Name",
        json!("alloc"),
        "group \"front\" -> task \"alloc\": name \"alloc\" is taken by a directory of the allocation; choose another".into(),
    );
    row(
        "/TaskGroups/0/Tasks/0/Name",
        json!("a/b"),
        "group \"front\" -> task \"a/b\": name \"a/b\" must not hold / or \\: it names a directory; write - instead".into(),
    );
    row("/TaskGroups/0/Tasks/0/Name", json!(""), "group \"front\" -> task 1: name is missing; give it a name".into());
    row("/TaskGroups/0/Tasks/0/KillTimeout", json!("-1s"), format!("{t}: kill_timeout must be at least 0s (it is -1s)"));
    row(
        "/TaskGroups/0/Tasks/0/KillTimeout",
        json!("11m"),
        format!("{t}: kill_timeout (11m0s) must be at most the progress_deadline of the group's update (10m0s); raise that"),
    );
    row(
        "/TaskGroups/0/Tasks/0/KillSignal",
        json!("SIGTREM"),
        format!("{t}: kill_signal \"SIGTREM\" is not a signal of Linux; did you mean \"SIGTERM\"?"),
    );
    row(
        "/TaskGroups/0/Tasks/0/KillSignal",
        json!("hup"),
        format!("{t}: kill_signal \"HUP\" is not a signal of Linux; did you mean \"SIGHUP\"?"),
    );
    row("/TaskGroups/0/Tasks/0/Env", json!({"A=B": "x"}), format!("{t}: env \"A=B\" must hold no NUL, and no = in its name; remove it"));
    row(
        "/TaskGroups/0/Tasks/0/LogConfig",
        json!({"MaxFiles": 30}),
        format!(
            "{t} -> logs: max_files times max_file_size (300 MB) must be less than the group's ephemeral_disk (300 MB); raise its size"
        ),
    );
    row("/TaskGroups/0/Tasks/0/LogConfig", json!({"MaxFiles": 0}), format!("{t} -> logs: max_files must be at least 1 (it is 0)"));
    row(
        "/TaskGroups/0/Tasks/0/LogConfig",
        json!({"Enabled": true, "Disabled": true}),
        format!("{t} -> logs: enabled and disabled contradict each other; remove enabled"),
    );
    row("/TaskGroups/0/Tasks/0/Resources/CPU", json!(0), format!("{t} -> resources: cpu must be at least 1 MHz (it is 0)"));
    row("/TaskGroups/0/Tasks/0/Resources/MemoryMB", json!(9), format!("{t} -> resources: memory must be at least 10 MB (it is 9)"));
    row(
        "/TaskGroups/0/Tasks/0/Resources/MemoryMB",
        json!(MAX_AMOUNT + 1),
        format!("{t} -> resources: memory must be at most {MAX_AMOUNT} MB (it is {})", MAX_AMOUNT + 1),
    );
    row(
        "/TaskGroups/0/Tasks/0/Resources/MemoryMaxMB",
        json!(63),
        format!("{t} -> resources: memory_max (63 MB) must be at least memory (64 MB); raise it or remove it"),
    );
    row(
        "/TaskGroups/0/Tasks/0/Resources/MemoryMaxMB",
        json!(-2),
        format!("{t} -> resources: memory_max must be at least -1 MB (it is -2)"),
    );
    row(
        "/TaskGroups/0/Tasks/0/Resources",
        json!({"CPU": 100, "Cores": 1}),
        format!("{t} -> resources: cpu (100 MHz) and cores (1) exclude each other; keep one of them"),
    );
    row(
        "/TaskGroups/0/Tasks/0/Resources",
        json!({"NUMA": {"Affinity": "prefer"}}),
        format!("{t} -> resources -> numa: numa needs whole cores; set cores, or set affinity to \"none\""),
    );
    row(
        "/TaskGroups/0/Tasks/0/VolumeMounts",
        json!([{"Volume": "v", "Destination": "/v"}]),
        format!("{t} -> volume_mount \"v\": the group has no volume \"v\"; add a volume block with this label"),
    );
    accept(&[
        ("/TaskGroups/0/Tasks/0/KillTimeout", json!("10m")),
        ("/TaskGroups/0/Tasks/0/LogConfig", json!({"MaxFiles": 30, "Disabled": true})),
        ("/TaskGroups/0/Tasks/0/Resources", json!({"CPU": 1, "MemoryMB": 10, "MemoryMaxMB": 10})),
        ("/TaskGroups/0/Tasks/0/Resources", json!({"Cores": 1, "MemoryMB": MAX_AMOUNT, "MemoryMaxMB": -1})),
    ]);
    for signal in SIGNALS {
        accept(&[("/TaskGroups/0/Tasks/0/KillSignal", json!(signal.to_ascii_lowercase()))]);
    }
}

#[test]
fn rules_of_the_drivers() {
    let at = "group \"front\" -> task \"server\" -> config: ";
    let row = |driver: &str, config: Value, want: &str| {
        let found = problems(&changed(&[("/TaskGroups/0/Tasks/0/Driver", json!(driver)), ("/TaskGroups/0/Tasks/0/Config", config)]));
        assert_eq!(found, [format!("{at}{want}")]);
    };
    for driver in ["exec", "raw_exec"] {
        row(driver, json!({}), "command is missing; name the program to run, for example \"/bin/sleep\"");
        row(driver, json!({"command": null}), "command is missing; name the program to run, for example \"/bin/sleep\"");
        row(driver, json!({"command": ""}), "command is empty; name the program to run, for example \"/bin/sleep\"");
        row(driver, json!({"command": 7}), "command must be text (it is a number); rewrite it");
        row(driver, json!({"command": "x", "args": "y"}), "args must be a list of texts (it is text); rewrite it");
        row(driver, json!({"command": "x", "args": ["y", 8080]}), "args: item 2 must be text (it is a number); put it in quotes");
        row(driver, json!({"command": "x", "args": ["a\u{0}"]}), "args: \"a\\0\" must not hold NUL; remove it");
        row(driver, json!({"command": "x", "agrs": []}), &format!("\"agrs\" is unknown to driver \"{driver}\"; did you mean \"args\"?"));
    }
    row(
        "exec",
        json!({"command": "x", "image": "y"}),
        "\"image\" is unknown to driver \"exec\"; use one of: command, args, work_dir, pid_mode, ipc_mode, cap_add, cap_drop",
    );
    row(
        "exec",
        json!({"command": "x", "pid_mode": "hots"}),
        "pid_mode \"hots\" is unknown; did you mean \"host\"? use one of: private, host",
    );
    row("raw_exec", json!({"command": "x", "oom_score_adj": 1.5}), "oom_score_adj must be a whole number (it is a number); rewrite it");
    row(
        "raw_exec",
        json!({"command": "x", "cgroup_v1_override": {"cpu": 1}}),
        "cgroup_v1_override: \"cpu\" must be text (it is a number); put it in quotes",
    );
    let any = changed(&[("/TaskGroups/0/Tasks/0/Driver", json!("docker")), ("/TaskGroups/0/Tasks/0/Config", json!({"image": "x"}))]);
    assert_eq!(problems(&any), Vec::<String>::new(), "another driver judges its own config");
}

#[test]
fn rules_of_networks() {
    let n = "group \"front\" -> network";
    let row = |pointer: &str, value: Value, want: String| assert_eq!(problems(&changed(&[(pointer, value)])), [want], "{pointer}");
    row("/TaskGroups/0/Networks/1", json!({}), "group \"front\": only one network is allowed (there are 2); put all ports into one".into());
    row(
        "/TaskGroups/0/Networks/0/Mode",
        json!("brigde"),
        format!("{n}: mode \"brigde\" is unknown; use one of: bridge, host, none, cni/<name>"),
    );
    row("/TaskGroups/0/Networks/0/Mode", json!("cni/"), format!("{n}: mode \"cni/\" names no configuration; write \"cni/<name>\""));
    row(
        "/TaskGroups/0/Networks/0/Hostname",
        json!("a_b"),
        format!("{n}: hostname \"a_b\" is not a host name (letters, digits, dashes and dots); rename it"),
    );
    row(
        "/TaskGroups/0/Networks/0/DNS",
        json!({"Servers": ["ns1"]}),
        format!("{n} -> dns: server \"ns1\" is not an IP address; write for example \"192.0.2.53\""),
    );
    row("/TaskGroups/0/Networks/0/DNS", json!({"Searches": ["a b"]}), format!("{n} -> dns: \"a b\" must be one word; split it"));
    row("/TaskGroups/0/Networks/0/ReservedPorts/0/Value", json!(0), format!("{n} -> port \"admin\": static must be at least 1 (it is 0)"));
    row(
        "/TaskGroups/0/Networks/0/ReservedPorts/0/Value",
        json!(65_536),
        format!("{n} -> port \"admin\": static must be at most 65535 (it is 65536)"),
    );
    row(
        "/TaskGroups/0/Networks/0/DynamicPorts/0/Value",
        json!(80),
        format!("{n} -> port \"http\": a dynamic port has no number (it is 80); set static instead"),
    );
    row(
        "/TaskGroups/0/Networks/0/DynamicPorts/0/To",
        json!(65_536),
        format!("{n} -> port \"http\": to must be at most 65535 (it is 65536)"),
    );
    row("/TaskGroups/0/Networks/0/DynamicPorts/0/To", json!(-2), format!("{n} -> port \"http\": to must be at least -1 (it is -2)"));
    row(
        "/TaskGroups/0/Networks/0/DynamicPorts/1",
        json!({"Label": "http"}),
        "group \"front\": port \"http\" is there more than once; give each another name".into(),
    );
    row(
        "/TaskGroups/0/Networks/0/ReservedPorts/1",
        json!({"Label": "b", "Value": 9000}),
        format!("{n} -> port \"b\": static port 9000 is also port \"admin\"; choose another"),
    );
    accept(&[
        ("/TaskGroups/0/Networks/0/ReservedPorts/0/Value", json!(1)),
        ("/TaskGroups/0/Networks/0/ReservedPorts/0", json!({"Label": "admin", "Value": 65_535, "To": -1})),
        ("/TaskGroups/0/Networks/0/ReservedPorts/1", json!({"Label": "b", "Value": 9000, "HostNetwork": "lan"})),
        ("/TaskGroups/0/Networks/0/ReservedPorts/1", json!({"Label": "b", "Value": 9000, "IgnoreCollision": true})),
        ("/TaskGroups/0/Networks/0/Hostname", json!("web-${NOMAD_ALLOC_INDEX}")),
        ("/TaskGroups/0/Networks/0/DNS", json!({"Servers": ["192.0.2.1", "::1"], "Searches": ["a.b"], "Options": ["ndots:2"]})),
    ]);
    let warnings = validate(&changed(&[("/TaskGroups/0/Networks/0/MBits", json!(10))])).unwrap();
    assert_eq!(warnings.0, ["group \"front\" -> network: mbits has no effect; remove it"]);
}

#[test]
fn rules_of_services() {
    let s = "group \"front\" -> service \"front\"";
    let row = |pointer: &str, value: Value, want: String| assert_eq!(problems(&changed(&[(pointer, value)])), [want], "{pointer}");
    row(
        "/TaskGroups/0/Services/0/Name",
        json!("a_b"),
        "group \"front\" -> service \"a_b\": name \"a_b\" must be letters, digits and inner dashes, at most 63 (it names a host in DNS); rename it".into(),
    );
    row(
        "/TaskGroups/0/Services/0/PortLabel",
        json!("htpp"),
        format!("{s}: port \"htpp\" is not a port of the group; did you mean \"http\"? add it to the group's network"),
    );
    row("/TaskGroups/0/Services/0/PortLabel", json!("0"), format!("{s}: port must be at least 1 (it is 0)"));
    row("/TaskGroups/0/Services/0/Provider", json!("etcd"), format!("{s}: provider \"etcd\" is unknown; use one of: nomad, consul"));
    row(
        "/TaskGroups/0/Services/0/AddressMode",
        json!("hots"),
        format!("{s}: address_mode \"hots\" is unknown; did you mean \"host\"? use one of: auto, alloc, alloc_ipv6, driver, host"),
    );
    row("/TaskGroups/0/Services/0/TaskName", json!("ghost"), format!("{s}: task \"ghost\" is not in the group; name one of its tasks"));
    row(
        "/TaskGroups/0/Services/0/OnUpdate",
        json!("wait"),
        format!("{s}: on_update \"wait\" is unknown; use one of: require_healthy, ignore_warnings, ignore"),
    );
    row("/TaskGroups/0/Services/0/Connect", json!({}), format!("{s}: connect needs provider \"consul\"; remove connect"));
    row(
        "/TaskGroups/0/Services/1",
        json!({"Name": "front", "PortLabel": "http"}),
        format!("{s}: it is there more than once with port \"http\"; rename or remove one"),
    );
    row(
        "/TaskGroups/0/Services/0/Checks",
        json!([{"Name": "c", "Type": "http", "Interval": "10s", "Timeout": "1s"}]),
        format!("{s} -> check \"c\": path is missing; write for example \"/health\""),
    );
    row(
        "/TaskGroups/0/Services/0/Checks",
        json!([{"Name": "c", "Type": "grpc", "Interval": "10s", "Timeout": "1s"}]),
        format!("{s} -> check \"c\": type \"grpc\" is unknown; use one of: http, tcp"),
    );
    row(
        "/TaskGroups/0/Services/0/Checks",
        json!([{"Name": "c", "Type": "tcp", "Interval": "10s", "Timeout": "999ms"}]),
        format!("{s} -> check \"c\": timeout must be at least 1s (it is 999ms)"),
    );
    let address =
        changed(&[("/TaskGroups/0/Services/0/Address", json!("192.0.2.1")), ("/TaskGroups/0/Services/0/AddressMode", json!("host"))]);
    assert_eq!(problems(&address), [format!("{s}: address \"192.0.2.1\" needs address_mode \"auto\" (it is \"host\"); remove one")]);
    accept(&[
        ("/TaskGroups/0/Services/0/Name", json!("a-${NOMAD_ALLOC_INDEX}")),
        ("/TaskGroups/0/Services/0/PortLabel", json!("65535")),
        ("/TaskGroups/0/Services/0/PortLabel", json!("")),
        ("/TaskGroups/0/Services/0/TaskName", json!("server")),
        ("/TaskGroups/0/Services/1", json!({"Name": "front", "PortLabel": "admin"})),
        ("/TaskGroups/0/Services/0/Checks", json!([{"Type": "tcp", "Interval": "1s", "Timeout": "1s"}])),
        ("/TaskGroups/0/Tasks/0/Services", json!([{"PortLabel": "http", "TaskName": "server"}])),
    ]);
}

#[test]
fn rules_of_templates() {
    let t = "/TaskGroups/0/Tasks/0/Templates/0";
    let task = "group \"front\" -> task \"server\"";
    let row = |field: &str, value: Value, want: &str| {
        let found = problems(&changed(&[(&format!("{t}/{field}"), value)]));
        let found: Vec<&str> = found.iter().map(|l| l.strip_prefix(task).unwrap()).collect();
        assert_eq!(found, [want], "{field}");
    };
    row("DestPath", json!(""), " -> template 1: destination is missing; write for example \"local/app.conf\"");
    row(
        "DestPath",
        json!("/etc/a"),
        " -> template \"/etc/a\": destination \"/etc/a\" must be relative to the task's directory; write \"etc/a\"",
    );
    row(
        "DestPath",
        json!("local/../../a"),
        " -> template \"local/../../a\": destination \"local/../../a\" leads out of the task's directory; remove the ..",
    );
    row(
        "DestPath",
        json!("${NOMAD_TASK_DIR}/../../a"),
        " -> template \"${NOMAD_TASK_DIR}/../../a\": destination \"${NOMAD_TASK_DIR}/../../a\" leads out of the task's directory; remove the ..",
    );
    row("DestPath", json!("local/"), " -> template \"local/\": destination \"local/\" is not a file; add the file's name");
    row("EmbeddedTmpl", json!(""), " -> template \"local/a.conf\": the text is missing; set data or source");
    row("SourcePath", json!("local/x"), " -> template \"local/a.conf\": source and data are both set; keep one of them");
    row("Perms", json!("0999"), " -> template \"local/a.conf\": perms \"0999\" is not octal permissions; write for example \"0644\"");
    row("Perms", json!("10000"), " -> template \"local/a.conf\": perms \"10000\" is not octal permissions; write for example \"0644\"");
    row(
        "ChangeSignal",
        json!("SIGHUPP"),
        " -> template \"local/a.conf\": change_signal \"SIGHUPP\" is not a signal of Linux; did you mean \"SIGHUP\"?",
    );
    row("ChangeMode", json!("script"), " -> template \"local/a.conf\": change_script is missing; add it, or choose another change_mode");
    row("Splay", json!("-1s"), " -> template \"local/a.conf\": splay must be at least 0s (it is -1s)");
    row("Uid", json!(-2), " -> template \"local/a.conf\": uid must be at least 0 (it is -2)");
    row("Gid", json!(u32::MAX), " -> template \"local/a.conf\": gid must be at most 4294967294 (it is 4294967295)");
    row("Wait", json!({"Min": "2s", "Max": "1s"}), " -> template \"local/a.conf\": wait min (2s) must be at most wait max (1s); raise max");
    let signal = changed(&[(&format!("{t}/Envvars"), json!(true)), (&format!("{t}/ChangeMode"), json!("signal"))]);
    assert_eq!(
        problems(&signal),
        [format!(
            "{task} -> template \"local/a.conf\": env = true with change_mode \"signal\" cannot work: a running task keeps its environment; use \"restart\""
        )]
    );
    let twice = changed(&[("/TaskGroups/0/Tasks/0/Templates/1", json!({"DestPath": "./local//a.conf", "EmbeddedTmpl": "y"}))]);
    assert_eq!(
        problems(&twice),
        [format!("{task}: template destination \"local/a.conf\" is there more than once; give each another name")]
    );
    for (field, value) in [
        ("DestPath", json!("${NOMAD_SECRETS_DIR}/a")),
        ("DestPath", json!("secrets/../local/a")),
        ("Perms", json!("7777")),
        ("Uid", json!(u32::MAX - 1)),
    ] {
        accept(&[(&format!("{t}/{field}"), value)]);
    }
}

#[test]
fn names_are_unique_among_siblings() {
    let mut job = generate::ordinary(JobType::Service);
    let group = job["TaskGroups"][0].clone();
    set(&mut job, "/TaskGroups/1", group.clone());
    set(&mut job, "/TaskGroups/2", group);
    assert_eq!(problems(&canonical(job)), ["job: group \"front\" is there more than once; give each another name"]);
    let tasks = json!([1, 2].map(|_| json!({"Name": "server", "Driver": "x", "Leader": true})));
    let found = problems(&changed(&[("/TaskGroups/0/Tasks", tasks)]));
    assert_eq!(
        found,
        [
            "group \"front\": task \"server\" is there more than once; give each another name",
            "group \"front\": only one task may be the leader; remove leader from the others"
        ]
    );
}

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

#[test]
fn rules_of_blocks_that_are_refused_anyway() {
    let row = |changes: &[(&str, Value)], want: &[&str]| assert_eq!(problems(&changed(changes)), want, "{changes:?}");
    let volume = |value: Value| ("/TaskGroups/0/Volumes", json!({ "v": value }));
    let at = "group \"front\" -> volume \"v\"";
    row(
        &[volume(json!({}))],
        &[&format!("{at}: type is missing; set it to \"host\" or \"csi\""), &format!("{at}: source is missing; name the volume")],
    );
    row(
        &[volume(json!({"Type": "hots", "Source": "s"}))],
        &[&format!("{at}: type \"hots\" is unknown; did you mean \"host\"? use one of: host, csi")],
    );
    row(
        &[volume(json!({"Type": "csi", "Source": "s"}))],
        &[
            &format!("{at}: access_mode is missing; a CSI volume needs one"),
            &format!("{at}: attachment_mode is missing; a CSI volume needs one"),
        ],
    );
    row(&[volume(json!({"Type": "host", "Source": "s", "PerAlloc": true}))], &[]);
    let mut system = generate::ordinary(JobType::System);
    set(&mut system, "/TaskGroups/0/Volumes/v", json!({"Type": "host", "Source": "s", "PerAlloc": true}));
    assert_eq!(problems(&canonical(system)), [format!("{at}: per_alloc is not for jobs of type system; remove it")]);

    let order = "group \"front\" -> scaling: min (1), count (5) and max (3) must not decrease in this order; change one";
    row(&[("/TaskGroups/0/Count", json!(5)), ("/TaskGroups/0/Scaling", json!({"Min": 1, "Max": 3}))], &[order]);
    row(&[("/TaskGroups/0/Count", json!(3)), ("/TaskGroups/0/Scaling", json!({"Min": 1, "Max": 3}))], &[]);
    let device = json!([{"Name": "gpu", "Count": 0}]);
    let want = "group \"front\" -> task \"server\" -> resources -> device \"gpu\": count must be at least 1 (it is 0); remove the device if none is needed";
    row(&[("/TaskGroups/0/Tasks/0/Resources/Devices", device)], &[want]);
    let actions = json!([{"Name": "a"}, {"Name": "a"}]);
    let want = "group \"front\" -> task \"server\": action \"a\" is there more than once; give each another name";
    row(&[("/TaskGroups/0/Tasks/0/Actions", actions)], &[want]);
    let batch = |pointer: &str, value: Value| {
        let mut job = generate::ordinary(JobType::Batch);
        set(&mut job, pointer, value);
        problems(&canonical(job))
    };
    assert_eq!(batch("/Periodic", json!({"Spec": "a", "Specs": ["b"]})), ["periodic: cron and crons are both set; keep one of them"]);
    let twice = json!({"MetaRequired": ["a"], "MetaOptional": ["a"]});
    assert_eq!(batch("/ParameterizedJob", twice), ["parameterized: metadata key \"a\" is there more than once; give each another name"]);
}

#[test]
fn rules_of_checks_depend_on_the_provider() {
    let at = "group \"front\" -> service \"front\" -> check \"c\"";
    let check = |provider: &str, port: &str, mut check: Value| {
        for (key, value) in [("Name", json!("c")), ("Interval", json!("10s")), ("Timeout", json!("1s"))] {
            check[key] = value;
        }
        problems(&changed(&[
            ("/TaskGroups/0/Services/0/Provider", json!(provider)),
            ("/TaskGroups/0/Services/0/PortLabel", json!(port)),
            ("/TaskGroups/0/Services/0/Checks", json!([check])),
        ]))
    };
    let none: [String; 0] = [];
    assert_eq!(check("consul", "", json!({"Type": "script", "Command": "/bin/true"})), none);
    assert_eq!(check("consul", "http", json!({"Type": "grpc"})), none);
    assert_eq!(check("consul", "http", json!({"Type": "script"})), [format!("{at}: command is missing; name what is run")]);
    assert_eq!(check("nomad", "", json!({"Type": "tcp"})), [format!("{at}: port is missing; set it here or in the service")]);
    assert_eq!(check("nomad", "", json!({"Type": "tcp", "PortLabel": "http"})), none);
    assert_eq!(check("nomad", "http", json!({})), [format!("{at}: type is missing; set it to \"http\" or \"tcp\"")]);
    let limit = json!({"Type": "tcp", "CheckRestart": {"Limit": -1}});
    assert_eq!(check("nomad", "http", limit), [format!("{at}: check_restart limit must be at least 0 (it is -1)")]);
}
