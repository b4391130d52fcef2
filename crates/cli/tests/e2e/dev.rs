//! The agent's own command line: `-dev`, configurations in pieces, and `floe up` where not all is as usual.

use crate::{
    api::Api,
    command::{Running, run},
    job::{service, web},
    traffic::{page, wait_page},
    world::{HOST, World, eventually, world, world_with_defaults},
};
use nix::sys::signal::Signal;
use serde_json::json;
use std::{
    io::Write,
    net::{Ipv4Addr, TcpListener},
    process::Stdio,
    time::{Duration, Instant},
};

fn api() -> Api {
    Api::new((Ipv4Addr::LOCALHOST, 4646).into(), None)
}

fn dev(world: &World, arguments: &[&str]) -> Running {
    let mut all = vec!["agent", "-dev"];
    all.extend(arguments);
    let running = Running::start(world.command(&all));
    eventually("the agent is ready", || {
        let health = api().try_get("/v1/agent/health")?;
        (health["server"]["ok"] == true && health["client"]["ok"] == true).then_some(())
    });
    running
}

#[test]
fn a_dev_agent_is_ready_in_seconds_and_leaves_nothing() {
    world_with_defaults(|world| {
        let began = Instant::now();
        let agent = dev(world, &[]);
        // A second when the machine is idle; tests share theirs.
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        api().run_one(&web("web").group(|g| g["Networks"][0]["DynamicPorts"] = json!(null)).static_port("http", 8080, 0));
        wait_page(HOST, 8080);
        // Nobody else can reach the API.
        assert!(world.outside(|| page(HOST, 4646)).is_none());
        agent.signal(Signal::SIGTERM);
        assert!(agent.wait().success());
        assert!(page(HOST, 8080).is_none());
    });
}

#[test]
fn a_killed_dev_agent_is_tidied_up_after_by_the_next() {
    world_with_defaults(|world| {
        let first = dev(world, &[]);
        api().run_one(&web("web"));
        first.signal(Signal::SIGKILL);
        first.wait();
        let second = dev(world, &[]);
        assert_eq!(api().get("/v1/jobs"), json!([]));
        second.signal(Signal::SIGINT);
        assert!(second.wait().success());
    });
}

#[test]
fn a_dev_agent_with_a_folder_keeps_its_work() {
    world_with_defaults(|world| {
        let data = world.dir().join("kept");
        let arguments = ["-data-dir", data.to_str().unwrap()];
        let first = dev(world, &arguments);
        let job = service("s", "exec sleep 10000");
        let alloc = api().run_one(&job);
        first.signal(Signal::SIGTERM);
        assert!(first.wait().success());
        let second = dev(world, &arguments);
        assert_eq!(api().alloc(&alloc)["ClientStatus"], "running");
        assert_eq!(api().alloc(&alloc)["TaskStates"]["t"]["Restarts"], 0);
        api().stop(&job);
        second.signal(Signal::SIGTERM);
        assert!(second.wait().success());
        // What stays is what the next start wants.
        run(world.program("ip", &["link", "delete", "floe"])).ok();
        run(world.program("nft", &["delete", "table", "ip", "floe"])).ok();
        for entry in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let _ = std::fs::remove_dir(entry.path().join("floe.slice/shims"));
            let _ = std::fs::remove_dir(entry.path().join("floe.slice"));
        }
        let _ = std::fs::remove_dir("/sys/fs/cgroup/floe.slice");
    });
}

#[test]
fn a_configuration_may_come_in_pieces() {
    world(|world| {
        let agent = world.agent("n1").build();
        world.file("pieces/10-base.json", std::fs::read(agent.config()).unwrap());
        world.file("pieces/20-more.hcl", "datacenter = \"dc9\"\nclient {\n  node_class = \"big\"\n  meta {\n    rack = \"r7\"\n  }\n}\n");
        world.file("pieces/ignored.txt", "not a configuration");
        let pieces = world.dir().join("pieces");
        let last = world.file("last.hcl", "client {\n  node_class = \"bigger\"\n}\n");
        let running = Running::start(world.command(&[
            "agent",
            "-config",
            pieces.to_str().unwrap(),
            "-config",
            last.to_str().unwrap(),
            "-node",
            "named",
        ]));
        let node = eventually("the node is ready", || {
            let nodes = api().try_get("/v1/nodes")?;
            nodes.as_array()?.first().filter(|n| n["Status"] == "ready").cloned()
        });
        assert_eq!((&node["Name"], &node["Datacenter"], &node["NodeClass"]), (&json!("named"), &json!("dc9"), &json!("bigger")));
        let full = api().get(&format!("/v1/node/{}", node["ID"].as_str().unwrap()));
        assert_eq!(full["Meta"]["rack"], "r7");
        let job = service("s", "exec sleep 10000").set(|j| {
            j["Constraints"] = json!([{ "LTarget": "${meta.rack}", "Operand": "=", "RTarget": "r7" }, { "LTarget": "${node.class}", "Operand": "=", "RTarget": "bigger" }]);
        });
        api().run_one(&job);
        api().stop(&job);
        running.signal(Signal::SIGTERM);
        assert!(running.wait().success());
    });
}

#[test]
fn up_makes_way_for_who_has_the_ports_already() {
    world_with_defaults(|world| {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 4646)).unwrap();
        let example = format!("{}/../../examples/hello.nix", env!("CARGO_MANIFEST_DIR"));
        let running = Running::start(world.command(&["up", &example, "--once"]));
        assert!(running.wait().success(), "{}", running.stdout());
        assert!(!running.stdout().contains("http://127.0.0.1:4646,"), "{}", running.stdout());
        drop(holder);
    });
}

#[test]
fn up_beside_an_agent_that_runs_as_a_service_disturbs_nobody() {
    world_with_defaults(|world| {
        let agent = world.start_agent("n1");
        let alloc = agent.api().run_one(&web("web"));
        let http = crate::restart::port(&agent.api().alloc(&alloc), "http");
        let example = format!("{}/../../examples/hello.nix", env!("CARGO_MANIFEST_DIR"));
        // The service's network overlaps with what this command takes; it says so, or comes up beside it.
        let running = Running::start(world.command(&["up", &example, "--once"]));
        let status = running.wait();
        assert!(status.success(), "{}", running.stdout());
        assert_eq!(wait_page(HOST, http).trim(), alloc);
        assert_eq!(agent.api().alloc(&alloc)["TaskStates"]["t"]["Restarts"], 0);
        agent.api().stop_all_jobs();
    });
}

#[test]
fn up_with_a_job_that_cannot_come_up_says_why_and_leaves_nothing() {
    world_with_defaults(|world| {
        let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)).unwrap();
        let file = |job: &crate::job::Job| world.file("job.json", json!({ "Job": job.json() }).to_string());
        let quick = |job: crate::job::Job| {
            job.set(|j| {
                j["Update"]["HealthyDeadline"] = json!(crate::job::seconds(2));
                j["Update"]["ProgressDeadline"] = json!(crate::job::seconds(3));
                j["TaskGroups"][0]["Tasks"][0]["KillTimeout"] = json!(crate::job::seconds(1));
            })
        };
        let taken = quick(web("web").group(|g| g["Networks"][0]["DynamicPorts"] = json!(null)).static_port("http", 8080, 0));
        let running = Running::start(world.command(&["up", file(&taken).to_str().unwrap(), "--once"]));
        assert_eq!(running.wait().code(), Some(2), "{}", running.stdout());
        assert!(running.stdout().contains("8080"), "{}", running.stdout());
        world.check_nothing_left();
        drop(holder);
        let too_big = web("big").task(|t| t["Resources"]["MemoryMB"] = json!(100_000_000));
        let running = Running::start(world.command(&["up", file(&too_big).to_str().unwrap(), "--once"]));
        running.wait_for("memory");
        running.signal(Signal::SIGINT);
        running.wait();
        world.check_nothing_left();
        let bad = world.file("bad.hcl", "job \"x\" {");
        run(world.command(&["up", bad.to_str().unwrap()])).fails(1, &["bad.hcl"]);
    });
}

#[test]
fn a_job_comes_from_standard_input_with_variables() {
    world(|world| {
        let agent = world.start_agent("n1");
        let text = "variable \"count\" {\n  type = number\n}\nvariable \"greeting\" {\n  default = \"hello\"\n}\n\
                    job \"piped\" {\n  group \"g\" {\n    count = var.count\n    task \"t\" {\n      driver = \"exec\"\n      config {\n        \
                    command = \"/bin/sh\"\n        args = [\"-c\", \"echo ${var.greeting} $${NOMAD_ALLOC_INDEX}; exec sleep 1000\"]\n      }\n    }\n  }\n}\n";
        let file = world.file("values.vars", "greeting = \"bonjour\"\n");
        let piped = |arguments: &[&str]| {
            let mut all = vec!["job", "run", "-detach"];
            all.extend(arguments);
            all.push("-");
            let mut child = world.command(&all).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
        };
        let (code, said) = piped(&[]);
        assert!(code == Some(1) && said.contains("count"), "{said}");
        let (code, said) = piped(&["-var", "count=2", "-var-file", file.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        let allocs = agent.api().wait("both run", "/v1/job/piped/allocations", |all| {
            let all = all.as_array()?;
            (all.len() == 2 && all.iter().all(|a| a["ClientStatus"] == "running")).then(|| all.clone())
        });
        let mut said: Vec<String> = allocs.iter().map(|a| agent.api().wait_output(&crate::api::id(a), "t", "bonjour")).collect();
        said.sort();
        assert_eq!(said, ["bonjour 0\n", "bonjour 1\n"]);
        let (code, said) = piped(&["-var", "count=2", "-var", "unknown=1"]);
        assert!(code == Some(1) && said.contains("unknown"), "{said}");
    });
}

#[test]
fn completions_and_the_manual_are_written() {
    world(|world| {
        let script = world.floe(&["completions", "bash"]).ok();
        let file = world.file("floe.bash", &script);
        run(world.program("bash", &["-n", file.to_str().unwrap()])).ok();
        assert!(script.contains("floe") && script.contains("validate"));
        for shell in ["fish", "zsh"] {
            assert!(world.floe(&["completions", shell]).ok().contains("floe"));
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        world.floe(&["man", folder.to_str().unwrap()]).ok();
        for (page, says) in [("floe.1", "cluster appliance"), ("floe-job-run.1", "detach"), ("floe-operator-raft-list-peers.1", "raft")] {
            let page = std::fs::read_to_string(folder.join(page)).unwrap();
            assert!(page.contains(".TH floe") && page.contains(says), "{page}");
        }
        world.floe(&["man", "/nowhere"]).fails(1, &["write pages into /nowhere"]);
        assert!(world.floe(&["--help"]).ok().contains("agent"));
        assert!(world.floe(&["version"]).ok().starts_with("floe v"));
    });
}
