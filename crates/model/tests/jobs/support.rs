//! Refusals.

use crate::generate::{self, canonical, changed, set};
use floe_model::{JobType, canonical::canonicalize, support::unsupported};
use proptest::prelude::*;
use serde_json::{Value, json};

fn refusals(changes: &[(&str, Value)]) -> Vec<String> {
    unsupported(&changed(changes)).into_iter().map(|l| l.strip_prefix("not supported yet: ").unwrap().to_owned()).collect()
}

#[test]
fn each_field_that_is_not_acted_on_is_refused_by_name() {
    let g = "group \"front\" -> ";
    let t = "group \"front\" -> task \"server\" -> ";
    let s = "group \"front\" -> service \"front\" -> ";
    let table: &[(&str, Value, &str, &str)] = &[
        ("/Region", json!("eu"), "", "region: "),
        ("/Namespace", json!("shop"), "", "namespace: "),
        ("/Multiregion", json!({}), "", "multiregion: "),
        ("/Periodic", json!({"Spec": "@daily"}), "", "periodic: "),
        ("/ParameterizedJob", json!({}), "", "parameterized: "),
        ("/Payload", json!("eA=="), "", "payload: "),
        ("/ParentID", json!("x"), "", "parent_id: "),
        ("/Dispatched", json!(true), "", "dispatched: "),
        ("/DispatchIdempotencyToken", json!("x"), "", "dispatch_idempotency_token: "),
        ("/ConsulNamespace", json!("x"), "", "consul_namespace"),
        ("/VaultNamespace", json!("x"), "", "vault_namespace"),
        ("/Update", json!({"Stagger": "31s"}), g, "update -> stagger: "),
        ("/Update", json!({"HealthCheck": "manual"}), g, "update -> health_check \"manual\": "),
        ("/Update", json!({"Canary": 1}), g, "update -> canary: "),
        ("/TaskGroups/0/Update", json!({"AutoRevert": true}), g, "update -> auto_revert: "),
        ("/TaskGroups/0/Update", json!({"AutoPromote": true}), g, "update -> auto_promote: "),
        ("/Migrate", json!({"MaxParallel": 2}), g, "migrate: "),
        ("/TaskGroups/0/EphemeralDisk", json!({"Sticky": true}), g, "ephemeral_disk -> sticky: "),
        ("/TaskGroups/0/EphemeralDisk", json!({"Migrate": true}), g, "ephemeral_disk -> migrate: "),
        ("/TaskGroups/0/Volumes", json!({"data": {}}), g, "volume \"data\""),
        ("/TaskGroups/0/Disconnect", json!({"LostAfter": "1m"}), g, "disconnect -> lost_after: "),
        ("/TaskGroups/0/Disconnect", json!({"Replace": false}), g, "disconnect -> replace: "),
        ("/TaskGroups/0/Disconnect", json!({"Reconcile": "longest_running"}), g, "disconnect -> reconcile \"longest_running\": "),
        ("/TaskGroups/0/StopAfterClientDisconnect", json!("1m"), g, "stop_after_client_disconnect: "),
        ("/TaskGroups/0/MaxClientDisconnect", json!("1m"), g, "max_client_disconnect: "),
        ("/TaskGroups/0/PreventRescheduleOnLost", json!(true), g, "prevent_reschedule_on_lost: "),
        ("/TaskGroups/0/Scaling", json!({"Max": 2}), g, "scaling: "),
        ("/TaskGroups/0/Consul", json!({"Cluster": "x"}), g, "consul: "),
        ("/TaskGroups/0/Networks/0/Mode", json!("cni/x"), g, "network -> mode \"cni/x\": "),
        ("/TaskGroups/0/Networks/0/CNI", json!({}), g, "network -> cni: "),
        ("/TaskGroups/0/Networks/0/Device", json!("eth0"), g, "network -> device: "),
        ("/TaskGroups/0/Networks/0/CIDR", json!("x"), g, "network -> cidr: "),
        ("/TaskGroups/0/Networks/0/IP", json!("x"), g, "network -> ip: "),
        ("/TaskGroups/0/Networks/0/DynamicPorts/0/HostNetwork", json!("lan"), g, "network -> port \"http\" -> host_network \"lan\": "),
        ("/TaskGroups/0/Networks/0/DynamicPorts/0/IgnoreCollision", json!(true), g, "network -> port \"http\" -> ignore_collision: "),
        ("/TaskGroups/0/Services/0/Provider", json!("consul"), s, "provider \"consul\": "),
        ("/TaskGroups/0/Services/0/AddressMode", json!("driver"), s, "address_mode \"driver\": "),
        ("/TaskGroups/0/Services/0/Checks", json!([{"Type": "tcp"}]), s, "check: "),
        ("/TaskGroups/0/Services/0/CheckRestart", json!({"Limit": 1}), s, "check_restart: "),
        ("/TaskGroups/0/Services/0/Connect", json!({}), s, "connect: "),
        ("/TaskGroups/0/Services/0/CanaryTags", json!(["a"]), s, "canary_tags: "),
        ("/TaskGroups/0/Services/0/CanaryMeta", json!({"a": "b"}), s, "canary_meta: "),
        ("/TaskGroups/0/Services/0/Meta", json!({"a": "b"}), s, "meta: "),
        ("/TaskGroups/0/Services/0/EnableTagOverride", json!(true), s, "enable_tag_override: "),
        ("/TaskGroups/0/Services/0/TaggedAddresses", json!({"a": "b"}), s, "tagged_addresses: "),
        ("/TaskGroups/0/Services/0/Weights", json!({}), s, "weights: "),
        ("/TaskGroups/0/Services/0/Identity", json!({}), s, "identity: "),
        ("/TaskGroups/0/Services/0/Kind", json!("x"), s, "kind: "),
        ("/TaskGroups/0/Services/0/Cluster", json!("x"), s, "cluster: "),
        ("/TaskGroups/0/Services/0/OnUpdate", json!("ignore"), s, "on_update \"ignore\": "),
        ("/TaskGroups/0/Tasks/0/Services", json!([{"Name": "x", "Kind": "y"}]), t, "service \"x\" -> kind: "),
        ("/TaskGroups/0/Tasks/0/Artifacts", json!([{}]), t, "artifact: "),
        ("/TaskGroups/0/Tasks/0/Vault", json!({}), t, "vault"),
        ("/TaskGroups/0/Tasks/0/Consul", json!({"Namespace": "x"}), t, "consul: "),
        ("/TaskGroups/0/Tasks/0/DispatchPayload", json!({}), t, "dispatch_payload"),
        ("/TaskGroups/0/Tasks/0/VolumeMounts", json!([{}]), t, "volume_mount"),
        ("/TaskGroups/0/Tasks/0/CSIPluginConfig", json!({}), t, "csi_plugin"),
        ("/TaskGroups/0/Tasks/0/Kind", json!("x"), t, "kind"),
        ("/TaskGroups/0/Tasks/0/ScalingPolicies", json!([{}]), t, "scaling: "),
        ("/TaskGroups/0/Tasks/0/Secrets", json!([{}]), t, "secret"),
        ("/TaskGroups/0/Tasks/0/Identity", json!({}), t, "identity"),
        ("/TaskGroups/0/Tasks/0/Identities", json!([{}]), t, "identity"),
        ("/TaskGroups/0/Tasks/0/Actions", json!([{}]), t, "action"),
        ("/TaskGroups/0/Tasks/0/Schedule", json!({}), t, "schedule"),
        ("/TaskGroups/0/Tasks/0/Resources/Cores", json!(1), t, "resources -> cores: "),
        ("/TaskGroups/0/Tasks/0/Resources/DiskMB", json!(1), t, "resources -> disk: "),
        ("/TaskGroups/0/Tasks/0/Resources/Networks", json!([{}]), t, "resources -> network: "),
        ("/TaskGroups/0/Tasks/0/Resources/NUMA", json!({}), t, "resources -> numa"),
        ("/TaskGroups/0/Tasks/0/Resources/SecretsMB", json!(1), t, "resources -> secrets: "),
        ("/TaskGroups/0/Tasks/0/Resources/IOPS", json!(1), t, "resources -> iops: "),
        ("/TaskGroups/0/Tasks/0/LogConfig", json!({"Enabled": true, "Disabled": false}), t, "logs -> enabled: "),
        ("/TaskGroups/0/Tasks/0/Templates/0/SourcePath", json!("x"), t, "template \"local/a.conf\" -> source: "),
        ("/TaskGroups/0/Tasks/0/Templates/0/ChangeMode", json!("script"), t, "template \"local/a.conf\" -> change_script: "),
        ("/TaskGroups/0/Tasks/0/Templates/0/ChangeScript", json!({}), t, "template \"local/a.conf\" -> change_script: "),
        ("/TaskGroups/0/Tasks/0/Templates/0/ErrMissingKey", json!(true), t, "template \"local/a.conf\" -> error_on_missing_key: "),
        ("/TaskGroups/0/Tasks/0/Templates/0/VaultGrace", json!("1s"), t, "template \"local/a.conf\" -> vault_grace: "),
        ("/TaskGroups/0/Tasks/0/Config/pid_mode", json!("host"), t, "config -> pid_mode: "),
        ("/TaskGroups/0/Tasks/0/Config/ipc_mode", json!("host"), t, "config -> ipc_mode: "),
        ("/TaskGroups/0/Tasks/0/Config/cap_add", json!(["net_raw"]), t, "config -> cap_add: "),
        ("/TaskGroups/0/Tasks/0/Config/cap_drop", json!(["all"]), t, "config -> cap_drop: "),
    ];
    for (pointer, value, place, want) in table {
        let lines = refusals(&[(pointer, value.clone())]);
        let [line] = lines.as_slice() else { panic!("{pointer}: {lines:#?}") };
        let rest = line.strip_prefix(place).unwrap_or_else(|| panic!("{pointer}: {line}"));
        // A reason follows wherever the table ends with a colon, and nothing follows elsewhere.
        let named = if want.ends_with(": ") { rest.len() > want.len() && rest.starts_with(want) } else { rest == *want };
        assert!(named, "{pointer}: {line}");
    }
}

#[test]
fn raw_exec_has_its_own_keys() {
    let raw = ("/TaskGroups/0/Tasks/0/Driver", json!("raw_exec"));
    for key in ["cgroup_v2_override", "cgroup_v1_override", "oom_score_adj", "denied_envvars"] {
        let lines = refusals(&[raw.clone(), (&format!("/TaskGroups/0/Tasks/0/Config/{key}"), json!(1))]);
        assert_eq!(lines, [format!("group \"front\" -> task \"server\" -> config -> {key}: remove it")]);
    }
    assert_eq!(refusals(&[raw.clone(), ("/TaskGroups/0/Tasks/0/Config/work_dir", json!("/srv"))]), Vec::<String>::new());
    let lines = refusals(&[raw, ("/TaskGroups/0/Tasks/0/Resources/Devices", json!([{"Name": "gpu"}]))]);
    let want = "group \"front\" -> task \"server\" -> resources -> device \"gpu\": driver raw_exec sees all devices of the node; use exec";
    assert_eq!(lines, [want]);
}

#[test]
fn images_have_their_own_keys() {
    let lines = |driver: &str, config: serde_json::Value| {
        refusals(&[("/TaskGroups/0/Tasks/0/Driver", json!(driver)), ("/TaskGroups/0/Tasks/0/Config", config)])
    };
    let at = "group \"front\" -> task \"server\" -> config -> ";
    let accepted = json!({
        "image": "x", "command": "y", "args": ["z"], "entrypoint": [], "hostname": "h", "readonly_rootfs": true, "cap_add": ["chown"],
        "cap_drop": ["all"], "ulimit": { "nofile": "1:2" }, "shm_size": 1, "sysctl": {}, "tmpfs": ["/x"], "volumes": ["local/a:/a"],
        "dns_servers": [], "dns_search_domains": [], "dns_options": [], "extra_hosts": [], "ports": ["http"], "auth": { "username": "u" },
        "image_pull_timeout": "5m", "force_pull": true, "privileged": false, "init": true, "tty": false,
    });
    for driver in ["docker", "podman", "oci"] {
        assert_eq!(lines(driver, accepted.clone()), Vec::<String>::new());
        for key in
            ["labels", "mount", "network_mode", "load", "port_map", "devices", "logging", "security_opt", "storage_opt", "pids_limit"]
        {
            let found = lines(driver, json!({ "image": "x", (key): 1 }));
            assert!(found.len() == 1 && found[0].starts_with(&format!("{at}{key}: ")), "{driver}: {found:?}");
        }
        assert_eq!(lines(driver, json!({ "image": "x", "privileged": true })).len(), 1);
    }
    assert_eq!(lines("docker", json!({ "image": "x", "working_dir": "/" })), [format!("{at}working_dir: driver docker calls it work_dir")]);
    assert_eq!(lines("podman", json!({ "image": "x", "work_dir": "/" })), [format!("{at}work_dir: driver podman calls it working_dir")]);
}

#[test]
fn what_is_acted_on_is_accepted() {
    let table = [
        ("/Datacenters", json!(["fsn*"])),
        ("/NodePool", json!("gpu")),
        ("/AllAtOnce", json!(true)),
        ("/UI", json!({"Description": "x"})),
        ("/Stop", json!(true)),
        (
            "/Update",
            json!({"MaxParallel": 2, "HealthCheck": "task_states", "MinHealthyTime": "1s", "HealthyDeadline": "1m", "ProgressDeadline": "2m"}),
        ),
        ("/Update", json!({"MaxParallel": 0})),
        ("/Migrate", json!({"MaxParallel": 1})),
        ("/TaskGroups/0/EphemeralDisk", json!({"SizeMB": 500})),
        ("/TaskGroups/0/ShutdownDelay", json!("1s")),
        ("/TaskGroups/0/Disconnect", json!({"StopOnClientAfter": "1m"})),
        ("/TaskGroups/0/RestartPolicy", json!({"RenderTemplates": true})),
        ("/TaskGroups/0/Tasks/0/RestartPolicy", json!({"Mode": "delay", "RenderTemplates": true})),
        ("/TaskGroups/0/MaxRunDuration", json!("1s")),
        ("/TaskGroups/0/Tasks/0/Lifecycle", json!({"Hook": "prestart", "Sidecar": true})),
        ("/TaskGroups/0/Tasks/0/After", json!([{"Task": "db", "State": "started"}])),
        ("/TaskGroups/0/Tasks/0/Leader", json!(true)),
        ("/TaskGroups/0/Tasks/0/ShutdownDelay", json!("1s")),
        // What clients write that fill in defaults by themselves.
        ("/TaskGroups/0/Consul", json!({})),
        ("/TaskGroups/0/Tasks/0/Consul", json!({"Cluster": "default"})),
        ("/TaskGroups/0/PreventRescheduleOnLost", json!(false)),
        ("/TaskGroups/0/StopAfterClientDisconnect", json!(0)),
        ("/TaskGroups/0/Tasks/0/Resources", json!({"Cores": 0, "DiskMB": 0, "IOPS": 0, "SecretsMB": 0, "Devices": null})),
        ("/TaskGroups/0/Networks/0/MBits", json!(10)),
        ("/TaskGroups/0/Networks/0/DNS", json!({"Servers": ["192.0.2.1"]})),
        ("/TaskGroups/0/Networks/0/Hostname", json!("front")),
        ("/TaskGroups/0/Networks/0/Mode", json!("host")),
        ("/TaskGroups/0/Networks", json!([{"Mode": "none", "Hostname": "h", "DNS": {}}])),
        ("/TaskGroups/0/Services/0/AddressMode", json!("alloc")),
        ("/TaskGroups/0/Services/0/TaskName", json!("server")),
        ("/TaskGroups/0/Tasks/0/Resources", json!({"CPU": 1, "MemoryMB": 10, "MemoryMaxMB": -1})),
        ("/TaskGroups/0/Tasks/0/Resources/Devices", json!([{"Name": "nvidia/gpu", "Count": 2}])),
        ("/TaskGroups/0/Tasks/0/LogConfig", json!({"Disabled": true})),
        ("/TaskGroups/0/Tasks/0/Config/pid_mode", json!("private")),
        ("/TaskGroups/0/Tasks/0/Templates/0/ChangeMode", json!("signal")),
        ("/TaskGroups/0/Tasks/0/Templates/0/Wait", json!({"Min": "1s", "Max": "2s"})),
        ("/TaskGroups/0/Tasks/0/Templates/0/Envvars", json!(true)),
        ("/TaskGroups/0/Tasks/0/Templates/0/Uid", json!(1000)),
        ("/TaskGroups/0/Tasks/0/Driver", json!("docker")),
    ];
    for (pointer, value) in table {
        assert_eq!(refusals(&[(pointer, value)]), Vec::<String>::new(), "{pointer}");
    }
}

#[test]
fn networks_are_refused_by_their_mode() {
    let host = ("/TaskGroups/0/Networks/0/Mode", json!("host"));
    let line = |lines: Vec<String>| lines.into_iter().map(|l| l.split(": ").next().unwrap().to_owned()).collect::<Vec<_>>();
    let dns = refusals(&[host.clone(), ("/TaskGroups/0/Networks/0/DNS", json!({}))]);
    assert_eq!(line(dns), ["group \"front\" -> network -> dns in host mode"]);
    let hostname = refusals(&[host, ("/TaskGroups/0/Networks/0/Hostname", json!("h"))]);
    assert_eq!(line(hostname), ["group \"front\" -> network -> hostname in host mode"]);
    let ports = refusals(&[("/TaskGroups/0/Networks", json!([{"Mode": "none", "DynamicPorts": [{"Label": "http"}]}]))]);
    assert_eq!(line(ports), ["group \"front\" -> network -> port \"http\" -> ports in mode \"none\""]);
}

#[test]
fn a_system_job_keeps_the_default_update() {
    let mut job = generate::ordinary(JobType::System);
    assert_eq!(unsupported(&canonical(job.clone())), Vec::<String>::new());
    set(&mut job, "/Update", json!({"MaxParallel": 2}));
    let lines = unsupported(&canonical(job));
    assert!(lines[0].starts_with("not supported yet: group \"front\" -> update -> its settings: "), "{lines:?}");
    assert_eq!(lines.len(), 1);
}

#[test]
fn a_job_with_everything_is_refused_in_every_place() {
    let lines = unsupported(&canonical(generate::full()));
    assert!(lines.len() > 50, "{} lines", lines.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_job_makes_it_panic(job in generate::job()) {
        let lines = unsupported(&job);
        let mut job = job;
        canonicalize(&mut job);
        for line in lines.into_iter().chain(unsupported(&job)) {
            prop_assert!(line.starts_with("not supported yet: ") || line.starts_with("and "), "{}", line);
            prop_assert!(!line.contains(char::is_control), "{:?}", line);
        }
    }
}
