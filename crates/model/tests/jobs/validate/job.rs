//! What is wrong with a job as a whole.

use super::{accept, expect, problems};
use crate::generate::{self, canonical, changed, set};
use floe_model::{
    JobType,
    validate::{MAX_DEVICE_COUNT, MAX_DEVICES, validate},
};
use serde_json::{Value, json};

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
        "group \"front\" -> task \"server\": driver is missing; set it to \"exec\", \"raw_exec\" or \"docker\"",
        "group \"front\" -> task \"server\" -> resources: memory must be at least 10 MB (it is 5)",
    ];
    assert_eq!(problems(&job), want);
    let text = validate(&job).unwrap_err().to_string();
    assert_eq!(text, format!("the job is not valid:\n* {}", want.join("\n* ")));
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

/// Names, counts and constraints of devices, each at its bound and past it.
#[test]
fn rules_of_devices() {
    let row = |changes: &[(&str, Value)], want: &[&str]| assert_eq!(problems(&changed(changes)), want, "{changes:?}");
    const POINTER: &str = "/TaskGroups/0/Tasks/0/Resources/Devices";
    let at = "group \"front\" -> task \"server\" -> resources";
    let full = json!([{"Name": "nvidia/gpu/H100", "Count": MAX_DEVICE_COUNT,
        "Constraints": [{"LTarget": "${device.attr.memory}", "Operand": ">=", "RTarget": "40 GiB"}],
        "Affinities": [{"LTarget": "${device.model}", "Operand": "=", "RTarget": "H100", "Weight": 50}]}]);
    row(&[(POINTER, full)], &[]);
    row(&[(POINTER, json!(vec![json!({"Name": "gpu"}); MAX_DEVICES]))], &[]);
    let many =
        format!("{at}: at most {MAX_DEVICES} devices are allowed (there are {}); split them over several jobs or groups", MAX_DEVICES + 1);
    row(&[(POINTER, json!(vec![json!({"Name": "gpu"}); MAX_DEVICES + 1]))], &[&many]);
    let more = format!("{at} -> device \"gpu\": count must be at most {MAX_DEVICE_COUNT} (it is {})", MAX_DEVICE_COUNT + 1);
    row(&[(POINTER, json!([{"Name": "gpu", "Count": MAX_DEVICE_COUNT + 1}]))], &[&more]);
    let form =
        format!("{at} -> device \"nvidia/\": name must be \"type\", \"vendor/type\" or \"vendor/type/name\", for example \"nvidia/gpu\"");
    row(&[(POINTER, json!([{"Name": "nvidia/"}]))], &[&form]);
    let target = format!(
        "{at} -> device \"gpu\": attribute \"${{attr.kernel.name}}\" is not of a device; use ${{device.model}}, ${{device.vendor}}, \
         ${{device.type}}, ${{device.ids}} or ${{device.attr.NAME}}"
    );
    let constraint = json!([{"LTarget": "${attr.kernel.name}", "Operand": "=", "RTarget": "linux"}]);
    row(&[(POINTER, json!([{"Name": "gpu", "Constraints": constraint}]))], &[&target]);
}
