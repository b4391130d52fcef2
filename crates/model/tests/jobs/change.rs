//! In place, or a new allocation.

use crate::generate::{self, canonical, changed};
use floe_model::{
    JobType,
    canonical::canonicalize,
    change::{clear_server_fields, needs_replacement, spec_changed},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn reason(pointer: &str, value: Value) -> Option<String> {
    needs_replacement(&changed(&[]), &changed(&[(pointer, value)]), "front")
}

#[test]
fn what_a_task_was_started_with_cannot_change_under_it() {
    let table = [
        ("/TaskGroups/0/Tasks/0/Driver", json!("raw_exec"), "task \"server\": driver changed"),
        ("/TaskGroups/0/Tasks/0/User", json!("www"), "task \"server\": user changed"),
        ("/TaskGroups/0/Tasks/0/Config/args", json!(["61"]), "task \"server\": config changed"),
        ("/TaskGroups/0/Tasks/0/Env", json!({"A": "1"}), "task \"server\": env changed"),
        ("/TaskGroups/0/Tasks/0/Meta", json!({"a": "1"}), "task \"server\": meta changed"),
        ("/TaskGroups/0/Meta", json!({"a": "1"}), "task \"server\": meta changed"),
        ("/Meta", json!({"a": "1"}), "task \"server\": meta changed"),
        ("/TaskGroups/0/Tasks/0/Templates/0/EmbeddedTmpl", json!("y"), "task \"server\": template changed"),
        ("/TaskGroups/0/Tasks/0/Resources/MemoryMB", json!(65), "task \"server\": resources changed"),
        ("/TaskGroups/0/Tasks/0/Resources/MemoryMaxMB", json!(65), "task \"server\": resources changed"),
        ("/TaskGroups/0/Tasks/0/LogConfig", json!({"Disabled": true}), "task \"server\": logs disabled changed"),
        ("/TaskGroups/0/RestartPolicy", json!({"RenderTemplates": true}), "task \"server\": restart render_templates changed"),
        ("/TaskGroups/0/Tasks/0/Artifacts", json!([{"GetterSource": "x"}]), "task \"server\": artifact changed"),
        ("/TaskGroups/0/Tasks/0/Vault", json!({}), "task \"server\": vault changed"),
        ("/TaskGroups/0/Tasks/0/Consul", json!({"Cluster": "x"}), "task \"server\": consul changed"),
        ("/TaskGroups/0/Tasks/0/Secrets", json!([{}]), "task \"server\": secret changed"),
        ("/TaskGroups/0/Tasks/0/Identities", json!([{}]), "task \"server\": identity changed"),
        ("/TaskGroups/0/Tasks/0/VolumeMounts", json!([{}]), "task \"server\": volume_mount changed"),
        ("/TaskGroups/0/Tasks/0/CSIPluginConfig", json!({}), "task \"server\": csi_plugin changed"),
        ("/TaskGroups/0/Tasks/0/Lifecycle", json!({"Hook": "poststop"}), "task \"server\": lifecycle changed"),
        ("/TaskGroups/0/Tasks/0/After", json!([{"Task": "x"}]), "task \"server\": after changed"),
        ("/TaskGroups/0/Tasks/0/Name", json!("other"), "task \"server\" is gone"),
        ("/TaskGroups/0/Tasks/1", json!({"Name": "side"}), "the number of tasks changed from 1 to 2"),
        ("/TaskGroups/0/Networks/0/Mode", json!("host"), "network changed"),
        ("/TaskGroups/0/Networks/0/Hostname", json!("h"), "network changed"),
        ("/TaskGroups/0/Networks/0/DNS", json!({}), "network changed"),
        ("/TaskGroups/0/Networks/0/CNI", json!({}), "network changed"),
        ("/TaskGroups/0/Networks/0/DynamicPorts/0/To", json!(81), "network changed"),
        ("/TaskGroups/0/Networks/0/ReservedPorts/0/Value", json!(9001), "network changed"),
        ("/TaskGroups/0/EphemeralDisk", json!({"SizeMB": 301}), "ephemeral_disk changed"),
        ("/TaskGroups/0/Volumes", json!({"v": {}}), "volume changed"),
        ("/TaskGroups/0/Consul", json!({"Cluster": "x"}), "consul changed"),
        ("/TaskGroups/0/Services/0/Connect", json!({}), "connect changed"),
        ("/TaskGroups/0/Tasks/0/Services", json!([{"Connect": {}}]), "task \"server\": connect changed"),
        ("/TaskGroups/0/Name", json!("back"), "group \"front\" is not in both versions"),
    ];
    for (pointer, value, want) in table {
        assert_eq!(reason(pointer, value).as_deref(), Some(want), "{pointer}");
    }
}

#[test]
fn the_rest_is_taken_over_in_place() {
    let table = [
        ("/Priority", json!(60)),
        ("/Datacenters", json!(["x"])),
        ("/Constraints", json!([{"LTarget": "a", "RTarget": "b"}])),
        ("/UI", json!({"Description": "x"})),
        ("/Update", json!({"MaxParallel": 2})),
        ("/Reschedule", json!({"Delay": "20s"})),
        ("/TaskGroups/0/Count", json!(5)),
        ("/TaskGroups/0/Affinities", json!([{"LTarget": "a", "RTarget": "b"}])),
        ("/TaskGroups/0/Spreads", json!([{"Attribute": "a"}])),
        ("/TaskGroups/0/RestartPolicy", json!({"Attempts": 1})),
        ("/TaskGroups/0/ShutdownDelay", json!("5s")),
        ("/TaskGroups/0/Scaling", json!({"Max": 3})),
        ("/TaskGroups/0/Services/0/Name", json!("other")),
        ("/TaskGroups/0/Services/0/Checks", json!([{"Type": "tcp"}])),
        ("/TaskGroups/0/Networks/0/MBits", json!(7)),
        ("/TaskGroups/0/Tasks/0/KillTimeout", json!("6s")),
        ("/TaskGroups/0/Tasks/0/KillSignal", json!("SIGINT")),
        ("/TaskGroups/0/Tasks/0/LogConfig", json!({"MaxFiles": 3})),
        ("/TaskGroups/0/Tasks/0/Constraints", json!([{"LTarget": "a", "RTarget": "b"}])),
        ("/TaskGroups/0/Tasks/0/Services", json!([{"Name": "x"}])),
        ("/TaskGroups/0/Tasks/0/ShutdownDelay", json!("1s")),
        ("/TaskGroups/0/Tasks/0/Leader", json!(true)),
        ("/TaskGroups/1", json!({"Name": "another"})),
        ("/TaskGroups/0/Consul", json!({})),
    ];
    for (pointer, value) in table {
        assert_eq!(reason(pointer, value.clone()), None, "{pointer}");
        assert!(spec_changed(&changed(&[]), &changed(&[(pointer, value)])), "{pointer}");
    }
}

#[test]
fn the_order_of_ports_and_tasks_means_nothing() {
    let ports = "/TaskGroups/0/Networks/0/DynamicPorts";
    let (a, b) = (json!({"Label": "a"}), json!({"Label": "b"}));
    let old = changed(&[(ports, json!([a, b])), ("/TaskGroups/0/Tasks/1", json!({"Name": "z"}))]);
    let mut new = changed(&[(ports, json!([b, a])), ("/TaskGroups/0/Tasks/1", json!({"Name": "z"}))]);
    new.task_groups[0].tasks.reverse();
    assert_eq!(needs_replacement(&old, &new, "front"), None);
}

#[test]
fn what_the_server_writes_is_no_change_but_stop_is() {
    let full = canonical(generate::full());
    let mut cleared = full.clone();
    clear_server_fields(&mut cleared);
    assert_ne!(full, cleared);
    assert!(!spec_changed(&full, &cleared));
    let (before, after) = (serde_json::to_value(&full).unwrap(), serde_json::to_value(&cleared).unwrap());
    let reset: Vec<&String> = before.as_object().unwrap().keys().filter(|k| before[*k] != after[*k]).collect();
    let want = [
        "CreateIndex",
        "JobModifyIndex",
        "ModifyIndex",
        "NomadTokenID",
        "Stable",
        "Status",
        "StatusDescription",
        "SubmitTime",
        "Version",
        "VersionTag",
    ];
    assert_eq!(reset, want);
    let mut running = full.clone();
    running.stop = false;
    assert!(spec_changed(&full, &running));
    assert!(!spec_changed(&canonical(generate::ordinary(JobType::Batch)), &canonical(generate::ordinary(JobType::Batch))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_same_job_needs_nothing(job in generate::job(), other in generate::job()) {
        let [mut job, mut other] = [job, other];
        canonicalize(&mut job);
        canonicalize(&mut other);
        prop_assert!(!spec_changed(&job, &job));
        // Where names are there more than once, the first is meant.
        let names_once = |names: Vec<&str>| names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len();
        for group in &job.task_groups {
            _ = needs_replacement(&job, &other, &group.name);
            if names_once(job.task_groups.iter().map(|g| g.name.as_str()).collect())
                && names_once(group.tasks.iter().map(|t| t.name.as_str()).collect())
            {
                prop_assert_eq!(needs_replacement(&job, &job, &group.name), None);
            }
        }
    }
}
