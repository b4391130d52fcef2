//! What a container may not do, and what a task is told.

use crate::{
    agent::Agent,
    api::{id, text},
    job::{Job, batch, service},
    restart::port,
    world::world,
};
use serde_json::json;
use std::{collections::BTreeMap, fs};

/// Runs a batch to its end; returns what it printed.
fn output(agent: &Agent, job: &Job) -> String {
    let alloc = agent.api().run_one(job);
    let full = agent.api().wait_alloc(&alloc, "is over", |a| ["complete", "failed"].contains(&text(&a["ClientStatus"])));
    assert_eq!(full["ClientStatus"], "complete", "{full:#}");
    agent.api().logs(&alloc, "t", "stdout")
}

#[test]
fn a_container_has_no_privileges() {
    world(|world| {
        let agent = world.start_agent("n1");
        let script = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; \
            mount -t tmpfs x /mnt 2>/dev/null && echo mounted; \
            unshare -Ur true 2>/dev/null && echo unshared; \
            echo 1 2>/dev/null >/proc/sys/kernel/panic && echo panic; \
            echo b 2>/dev/null >/proc/sysrq-trigger && echo sysrq; \
            mknod /tmp/sda b 8 0 2>/dev/null && echo mknod; \
            ls /dev | tr '\\n' ' '; echo; \
            chown 0 /local 2>/dev/null && echo chowned; \
            kill -0 1 2>/dev/null; ls /proc | grep -c '^[0-9]'; \
            for f in /sys/kernel/uevent_helper /proc/sys/kernel/core_pattern; do [ -w $f ] && echo writable $f; done; \
            hostname changed 2>/dev/null && echo renamed; \
            dmesg >/dev/null 2>&1 && echo dmesg; true";
        let said = output(&agent, &batch("b", script));
        for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(said.contains(line), "{line:?} is not in {said}");
        }
        for word in ["mounted", "unshared", "panic", "sysrq", "mknod", "chowned", "writable", "renamed", "dmesg", "sda", "vda", "kmsg"] {
            assert!(!said.contains(word), "{word}: {said}");
        }
        let processes = said.lines().find_map(|l| l.parse::<u32>().ok()).unwrap();
        assert!(processes < 8, "it sees {processes} processes: {said}");
    });
}

#[test]
fn root_in_a_container_is_nobody_outside() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "id -u; echo up; exec sleep 10000").task(|t| t["User"] = json!("root"));
        let alloc = agent.api().run_one(&job);
        assert_eq!(agent.api().wait_output(&alloc, "t", "up"), "0\nup\n");
        let status = fs::read_to_string(format!("/proc/{}/status", agent.task_pid(&alloc, "t"))).unwrap();
        let uid = status.lines().find_map(|l| l.strip_prefix("Uid:")?.split_whitespace().next()?.parse::<u32>().ok()).unwrap();
        assert!(uid >= 100_000, "{uid}");
    });
}

#[test]
fn allocations_cannot_read_each_other() {
    world(|world| {
        let agent = world.start_agent("n1");
        let secret = service("secret", "echo hidden >/secrets/key; echo hidden >/local/key; echo up; exec sleep 10000");
        let alloc = agent.api().run_one(&secret);
        agent.api().wait_output(&alloc, "t", "up");
        let path = agent.data().join("alloc").join(&alloc);
        let script = format!(
            "cat {0}/t/secrets/key {0}/t/local/key; cat /proc/*/root/secrets/key; ls {1}; find / -name key -path '*secrets*' 2>/dev/null; true",
            path.display(),
            agent.data().display()
        );
        let said = output(&agent, &batch("thief", &format!("{{ {script}; }} 2>/dev/null")));
        assert!(!said.contains("hidden") && said.trim().is_empty(), "{said}");
    });
}

#[test]
fn a_task_is_told_its_ports_and_addresses() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "env | grep ^NOMAD_ | sort; cat /etc/hosts; echo up; exec sleep 10000")
            .network("bridge")
            .dynamic_port("http", 8080)
            .static_port("admin", 9999, 0);
        let alloc = agent.api().run_one(&job);
        let said = agent.api().wait_output(&alloc, "t", "up");
        let full = agent.api().alloc(&alloc);
        let own = text(&full["NetworkStatus"]["Address"]);
        let env: BTreeMap<&str, &str> = said.lines().filter_map(|l| l.split_once('=')).collect();
        let host_port = port(&full, "http").to_string();
        for (name, value) in [
            ("NOMAD_PORT_http", "8080"),
            ("NOMAD_HOST_PORT_http", &host_port),
            ("NOMAD_HOST_IP_http", "192.0.2.1"),
            ("NOMAD_HOST_ADDR_http", &format!("192.0.2.1:{host_port}")),
            ("NOMAD_ALLOC_PORT_http", "8080"),
            ("NOMAD_ALLOC_IP_http", own),
            ("NOMAD_ALLOC_ADDR_http", &format!("{own}:8080")),
            ("NOMAD_PORT_admin", "9999"),
            ("NOMAD_HOST_PORT_admin", "9999"),
            ("NOMAD_ALLOC_ID", &alloc),
            ("NOMAD_ALLOC_NAME", "s.g[0]"),
            ("NOMAD_NAMESPACE", "default"),
            ("NOMAD_REGION", "global"),
        ] {
            assert_eq!(env.get(name), Some(&value), "{name} in {said}");
        }
        assert!(said.lines().any(|l| l.starts_with(own)), "{own} is not in its hosts file: {said}");
    });
}

#[test]
fn odd_arguments_and_variables_arrive_as_they_were_written() {
    world(|world| {
        let agent = world.start_agent("n1");
        let odd = ["", " two  words ", "quo\"te", "back\\slash", "new\nline", "$HOME `id` $(id)", "ünï©ødé", "-", "--", "%s%n"];
        let job = batch("b", "").task(|t| {
            let arguments: Vec<&str> = std::iter::once("[%s]").chain(odd).collect();
            t["Config"] = json!({ "command": "/usr/bin/printf", "args": arguments });
        });
        let expected: String = odd.iter().map(|o| format!("[{o}]")).collect();
        assert_eq!(output(&agent, &job), expected);
        let env = batch("e", "printf '[%s]' \"$ODD\" \"$EMPTY\" \"$BRACES\"; env | grep -c ^EMPTY=$").task(|t| {
            t["Env"] = json!({ "ODD": "a=b \"c\" 'd'\n$e", "EMPTY": "", "BRACES": "${NOMAD_JOB_NAME}-${unknown.thing}" });
        });
        assert_eq!(output(&agent, &env), "[a=b \"c\" 'd'\n$e][][e-${unknown.thing}]1\n");
    });
}

#[test]
fn what_cannot_be_started_says_why() {
    world(|world| {
        let agent = world.start_agent("n1");
        let folder = batch("folder", "").task(|t| t["Config"] = json!({ "command": "/usr" }));
        let text_file = batch("text", "").task(|t| t["Config"] = json!({ "command": "/etc/hosts" }));
        let user = batch("user", "true").task(|t| t["User"] = json!("no-such-user"));
        let many: BTreeMap<String, String> = (0..20).map(|n| (format!("LONG_{n}"), "x".repeat(130_000))).collect();
        let long = batch("long", "true").task(|t| t["Env"] = json!(many));
        let work_dir = batch("dir", "true").task(|t| t["Config"]["work_dir"] = json!("/no/such/dir"));
        let cases = [
            (folder, "/usr"),
            (text_file, "/etc/hosts"),
            (user, "no-such-user"),
            (long, "too large for the kernel"),
            (work_dir, "/no/such/dir"),
        ];
        for (job, words) in cases {
            agent.api().submit(&job);
            let failed = agent.api().wait(&format!("{} fails", job.id()), &job.path("/allocations"), |all| {
                all.as_array()?.iter().find(|a| a["ClientStatus"] == "failed").map(id)
            });
            let full = agent.api().alloc(&failed);
            let said = full["TaskStates"]["t"]["Events"].to_string();
            assert!(said.contains(words), "{}: {words:?} is not in {:#}", job.id(), full["TaskStates"]["t"]["Events"]);
        }
    });
}
