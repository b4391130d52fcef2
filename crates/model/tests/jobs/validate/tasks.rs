//! Tasks, drivers and templates.

use super::{accept, problems};
use crate::generate::changed;
use floe_model::validate::{MAX_AMOUNT, SIGNALS};
use serde_json::{Value, json};

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
    for driver in ["docker", "podman", "oci"] {
        row(driver, json!({}), "image is missing; name one, for example \"docker.io/library/nginx:1.29\"");
        row(driver, json!({"image": ""}), "image is empty; name one, for example \"docker.io/library/nginx:1.29\"");
        row(driver, json!({"image": "x", "imgae": "y"}), &format!("\"imgae\" is unknown to driver {driver:?}; did you mean \"image\"?"));
        row(driver, json!({"image": "x", "force_pull": "yes"}), "force_pull must be true or false (it is text); rewrite it");
        row(
            driver,
            json!({"image": "x", "shm_size": -1}),
            "shm_size must be a number of bytes, or a text such as \"64m\" (it is a number); rewrite it",
        );
        row(driver, json!({"image": "x", "auth": ["y"]}), "auth must be a block, or at most 1000 of them (it is a list); rewrite it");
        row(driver, json!({"image": "x", "sysctl": [{"a": 1}]}), "sysctl: \"a\" must be text (it is a number); put it in quotes");
    }
    let any = changed(&[("/TaskGroups/0/Tasks/0/Driver", json!("qemu")), ("/TaskGroups/0/Tasks/0/Config", json!({"image_path": "x"}))]);
    assert_eq!(problems(&any), Vec::<String>::new(), "another driver judges its own config");
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
