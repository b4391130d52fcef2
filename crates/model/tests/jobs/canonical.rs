//! Defaults.

use crate::generate::{self, canonical, set};
use floe_model::{
    Job, JobType, Nanos,
    canonical::{canonicalize, combined_meta, default_migrate, default_reschedule, default_restart, default_update},
    support::unsupported,
    validate::validate,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const GROUP: &str = "/TaskGroups/0";
const TASK: &str = "/TaskGroups/0/Tasks/0";

/// Sets `given` in an ordinary job of the type and looks at one place after the defaults were filled in.
fn after(job_type: JobType, given: &[(&str, Value)], at: &str) -> Value {
    let mut job = generate::ordinary(job_type);
    for (pointer, value) in given {
        set(&mut job, pointer, value.clone());
    }
    serde_json::to_value(canonical(job)).unwrap().pointer(at).unwrap_or_else(|| panic!("no {at}")).clone()
}

#[test]
fn absent_fields_have_the_defaults_of_the_job_language() {
    let secs = |s: i64| json!(s * 1_000_000_000);
    let table = [
        ("/Name", json!("web")),
        ("/Region", json!("global")),
        ("/Namespace", json!("default")),
        ("/Priority", json!(50)),
        ("/Datacenters", json!(["*"])),
        ("/NodePool", json!("default")),
        ("/TaskGroups/0/Count", json!(1)),
        ("/TaskGroups/0/EphemeralDisk", json!({"Sticky": false, "Migrate": false, "SizeMB": 300})),
        ("/TaskGroups/0/Networks/0/DynamicPorts/0/HostNetwork", json!("default")),
        ("/TaskGroups/0/Services/0/Provider", json!("nomad")),
        ("/TaskGroups/0/Services/0/AddressMode", json!("auto")),
        ("/TaskGroups/0/Services/0/OnUpdate", json!("require_healthy")),
        ("/TaskGroups/0/Tasks/0/KillTimeout", secs(5)),
        ("/TaskGroups/0/Tasks/0/Resources/CPU", json!(100)),
        ("/TaskGroups/0/Tasks/0/Resources/MemoryMB", json!(64)),
        ("/TaskGroups/0/Tasks/0/Resources/MemoryMaxMB", json!(0)),
        ("/TaskGroups/0/Tasks/0/LogConfig", json!({"MaxFiles": 10, "MaxFileSizeMB": 10, "Enabled": null, "Disabled": false})),
        ("/TaskGroups/0/Tasks/0/Templates/0/ChangeMode", json!("restart")),
        ("/TaskGroups/0/Tasks/0/Templates/0/ChangeSignal", json!("")),
        ("/TaskGroups/0/Tasks/0/Templates/0/Splay", secs(5)),
        ("/TaskGroups/0/Tasks/0/Templates/0/Perms", json!("0644")),
        ("/TaskGroups/0/Tasks/0/Templates/0/LeftDelim", json!("{{")),
        ("/TaskGroups/0/Tasks/0/Templates/0/RightDelim", json!("}}")),
        ("/TaskGroups/0/Tasks/0/Templates/0/Once", json!(false)),
        ("/TaskGroups/0/Tasks/0/Templates/0/Envvars", json!(false)),
        ("/TaskGroups/0/Tasks/0/Templates/0/Uid", Value::Null),
    ];
    for (at, want) in table {
        assert_eq!(after(JobType::Service, &[], at), want, "{at}");
    }
    assert_eq!(
        after(JobType::Service, &[("/TaskGroups/0/Tasks/0/Resources", Value::Null)], "/TaskGroups/0/Tasks/0/Resources/MemoryMB"),
        300
    );
    assert_eq!(after(JobType::Service, &[("/TaskGroups/0/Networks/0/Mode", json!(""))], "/TaskGroups/0/Networks/0/Mode"), "host");
}

#[test]
fn policies_depend_on_the_type() {
    for job_type in JobType::ALL {
        let job = canonical(generate::ordinary(*job_type));
        let (group, task) = (&job.task_groups[0], &job.task_groups[0].tasks[0]);
        let updates = matches!(job_type, JobType::Service | JobType::System).then(default_update);
        assert_eq!((&job.update, &group.update), (&updates, &updates), "{job_type}");
        assert_eq!(group.reschedule_policy, default_reschedule(*job_type), "{job_type}");
        assert_eq!(group.migrate, (*job_type == JobType::Service).then(default_migrate), "{job_type}");
        assert_eq!(group.restart_policy, Some(default_restart(*job_type)), "{job_type}");
        assert_eq!(task.restart_policy, group.restart_policy, "{job_type}");
    }
    let batch = default_restart(JobType::Sysbatch);
    assert_eq!((batch.attempts, batch.interval), (Some(3), Some(Nanos::from_hours(24))));
    let service = default_restart(JobType::System);
    assert_eq!((service.attempts, service.interval), (Some(2), Some(Nanos::from_mins(30))));
}

#[test]
fn what_is_said_nearer_wins_and_the_rest_is_inherited() {
    let given = [("/Update", json!({"MaxParallel": 3, "Canary": 2})), ("/TaskGroups/0/Update", json!({"Canary": 0}))];
    let update = after(JobType::Service, &given, "/TaskGroups/0/Update");
    assert_eq!((&update["MaxParallel"], &update["Canary"], &update["Stagger"]), (&json!(3), &json!(0), &json!(30_000_000_000i64)));
    // A type without updates keeps what was written, for `validate` to refuse.
    assert_eq!(after(JobType::Batch, &given, "/TaskGroups/0/Update")["MaxParallel"], 3);

    let given = [("/TaskGroups/0/RestartPolicy", json!({"Attempts": 9})), ("/TaskGroups/0/Tasks/0/RestartPolicy", json!({"Delay": "1s"}))];
    let restart = after(JobType::Service, &given, "/TaskGroups/0/Tasks/0/RestartPolicy");
    assert_eq!(
        restart,
        json!({"Attempts": 9, "Delay": 1_000_000_000i64, "Interval": 1_800_000_000_000i64, "Mode": "fail", "RenderTemplates": false})
    );

    let given = [("/Migrate", json!({"MaxParallel": 5}))];
    assert_eq!(after(JobType::Service, &given, "/TaskGroups/0/Migrate")["MaxParallel"], 5);
}

#[test]
fn rescheduling_is_limited_or_unlimited_but_never_both() {
    let policy = |job_type, given: Value| {
        let r = after(job_type, &[("/Reschedule", given)], "/TaskGroups/0/ReschedulePolicy");
        (r["Attempts"].as_i64().unwrap(), r["Interval"].as_i64().unwrap(), r["Unlimited"].as_bool().unwrap())
    };
    assert_eq!(policy(JobType::Batch, json!({"Unlimited": true})), (0, 0, true));
    assert_eq!(policy(JobType::Service, json!({"Attempts": 3, "Interval": "1h"})), (3, 3_600_000_000_000, false));
    assert_eq!(policy(JobType::Service, json!({"Delay": "10s"})), (0, 0, true));
    assert_eq!(policy(JobType::Service, json!({"Attempts": 0, "Unlimited": false})), (0, 0, false));
    // A contradiction that was written stays, for `validate` to refuse.
    assert_eq!(policy(JobType::Service, json!({"Attempts": 2, "Interval": "1h", "Unlimited": true})), (2, 3_600_000_000_000, true));
}

#[test]
fn blocks_are_completed_where_they_are_written() {
    let scaling = [("/TaskGroups/0/Scaling", json!({"Min": 4, "Max": 8}))];
    assert_eq!(after(JobType::Service, &scaling, "/TaskGroups/0/Count"), 4);
    let scaling = [("/TaskGroups/0/Scaling", json!({"Max": 8})), ("/TaskGroups/0/Count", json!(3))];
    assert_eq!(after(JobType::Service, &scaling, "/TaskGroups/0/Scaling/Min"), 3);
    let table: &[(&str, Value, &str, Value)] = &[
        ("/Priority", json!(0), "/Priority", json!(50)),
        ("/Constraints", json!([{"LTarget": "a", "RTarget": "b"}]), "/Constraints/0/Operand", json!("=")),
        ("/Affinities", json!([{"LTarget": "a", "RTarget": "b"}]), "/Affinities/0/Weight", json!(50)),
        ("/Spreads", json!([{"Attribute": "a"}]), "/Spreads/0/Weight", json!(50)),
        ("/Periodic", json!({"Spec": "@daily"}), "/Periodic/TimeZone", json!("UTC")),
        ("/ParameterizedJob", json!({}), "/ParameterizedJob/Payload", json!("optional")),
        ("/TaskGroups/0/Disconnect", json!({}), "/TaskGroups/0/Disconnect/Replace", json!(true)),
        ("/TaskGroups/0/Disconnect", json!({}), "/TaskGroups/0/Disconnect/Reconcile", json!("best_score")),
        ("/TaskGroups/0/Volumes", json!({"d": {}}), "/TaskGroups/0/Volumes/d/Name", json!("d")),
        ("/TaskGroups/0/Consul", json!({}), "/TaskGroups/0/Consul/Cluster", json!("default")),
        ("/TaskGroups/0/Tasks/0/Resources", json!({"Cores": 2}), "/TaskGroups/0/Tasks/0/Resources/CPU", json!(0)),
        ("/TaskGroups/0/Tasks/0/LogConfig", json!({"Enabled": false}), "/TaskGroups/0/Tasks/0/LogConfig/Disabled", json!(true)),
        ("/TaskGroups/0/Tasks/0/KillSignal", json!("sigterm"), "/TaskGroups/0/Tasks/0/KillSignal", json!("SIGTERM")),
        (
            "/TaskGroups/0/Tasks/0/Templates/0/ChangeSignal",
            json!("sighup"),
            "/TaskGroups/0/Tasks/0/Templates/0/ChangeSignal",
            json!("SIGHUP"),
        ),
        (
            "/TaskGroups/0/Tasks/0/Templates/0/ChangeMode",
            json!("signal"),
            "/TaskGroups/0/Tasks/0/Templates/0/ChangeSignal",
            json!("SIGHUP"),
        ),
        ("/TaskGroups/0/Tasks/0/Templates/0/Uid", json!(-1), "/TaskGroups/0/Tasks/0/Templates/0/Uid", Value::Null),
        ("/TaskGroups/0/Tasks/0/Templates/0/Uid", json!(0), "/TaskGroups/0/Tasks/0/Templates/0/Uid", json!(0)),
        (
            "/TaskGroups/0/Tasks/0/Artifacts",
            json!([{"GetterSource": "https://x/a.tgz"}]),
            "/TaskGroups/0/Tasks/0/Artifacts/0/RelativeDest",
            json!("local/"),
        ),
        (
            "/TaskGroups/0/Tasks/0/Artifacts",
            json!([{"GetterSource": "https://x/a.tgz", "GetterMode": "file"}]),
            "/TaskGroups/0/Tasks/0/Artifacts/0/RelativeDest",
            json!("local/a.tgz"),
        ),
        ("/TaskGroups/0/Tasks/0/Vault", json!({}), "/TaskGroups/0/Tasks/0/Vault/Env", json!(true)),
        ("/TaskGroups/0/Tasks/0/CSIPluginConfig", json!({"ID": "p"}), "/TaskGroups/0/Tasks/0/CSIPluginConfig/MountDir", json!("/csi")),
        ("/TaskGroups/0/Services/0/Weights", json!({}), "/TaskGroups/0/Services/0/Weights/Passing", json!(1)),
        ("/TaskGroups/0/Services/0/Checks", json!([{"Type": "http"}]), "/TaskGroups/0/Services/0/Checks/0/Method", json!("GET")),
    ];
    for (given, value, at, want) in table {
        assert_eq!(after(JobType::Service, &[(given, value.clone())], at), *want, "{given} = {value}");
    }
}

#[test]
fn services_are_named_after_where_they_stand() {
    let name =
        |name: &str| after(JobType::Service, &[(&format!("{GROUP}/Services/0/Name"), json!(name))], &format!("{GROUP}/Services/0/Name"));
    assert_eq!(name(""), "web-front-group");
    assert_eq!(name("${JOB}-api"), "web-api");
    assert_eq!(name("${NOMAD_DC}-${TASKGROUP}"), "${NOMAD_DC}-front");
    let in_task =
        after(JobType::Service, &[(&format!("{TASK}/Services"), json!([{}, {"Name": "${BASE}-x"}]))], &format!("{TASK}/Services"));
    assert_eq!((&in_task[0]["Name"], &in_task[1]["Name"]), (&json!("web-front-server"), &json!("web-front-server-x")));
}

#[test]
fn metadata_of_the_task_covers_the_groups_and_the_jobs() {
    let job = generate::changed(&[
        ("/Meta", json!({"a": "job", "b": "job", "c": "job"})),
        ("/TaskGroups/0/Meta", json!({"b": "group", "c": "group"})),
        ("/TaskGroups/0/Tasks/0/Meta", json!({"c": "task"})),
    ]);
    let group = &job.task_groups[0];
    let meta = serde_json::to_value(combined_meta(&job, group, &group.tasks[0])).unwrap();
    assert_eq!(meta, json!({"a": "job", "b": "group", "c": "task"}));
}

#[test]
fn an_ordinary_job_of_each_type_is_valid_and_supported() {
    for job_type in JobType::ALL {
        let job = canonical(generate::ordinary(*job_type));
        assert_eq!(validate(&job).unwrap().0, Vec::<String>::new(), "{job_type}");
        assert_eq!(unsupported(&job), Vec::<String>::new(), "{job_type}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn defaults_are_filled_in_once(job in generate::job()) {
        let mut once: Job = job;
        canonicalize(&mut once);
        let mut twice = once.clone();
        canonicalize(&mut twice);
        prop_assert_eq!(once, twice);
    }
}
