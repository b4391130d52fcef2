//! Crashes in the middle of something, and machines that lost part of what the agent had made.

use crate::{
    agent::Agent,
    api::{events, id, text},
    command::run,
    job::{batch, seconds, service, web},
    restart::port,
    traffic::{page, wait_page},
    world::{HOST, World, eventually, world},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

/// How long after a request the agent is killed, in milliseconds: from before it did anything to after it did all.
const MOMENTS: [u64; 12] = [0, 5, 10, 20, 30, 45, 60, 80, 110, 150, 200, 300];

fn wait_running(agent: &Agent, path: &str, count: usize) -> Vec<String> {
    agent.api().wait(&format!("{count} run"), path, |all| {
        let running: Vec<String> = all.as_array()?.iter().filter(|a| a["ClientStatus"] == "running").map(id).collect();
        (running.len() == count).then_some(running)
    })
}

fn shims(agent: &Agent) -> BTreeSet<String> {
    let entries = fs::read_dir(agent.data().join("client/shims")).unwrap().flatten();
    entries.map(|e| e.file_name().into_string().unwrap()).collect()
}

/// Runs a command on the world's host that must succeed.
fn host(world: &World, program: &str, arguments: &[&str]) {
    run(world.program(program, arguments)).ok();
}

#[test]
fn a_kill_at_any_moment_of_a_start_ends_with_one_task() {
    world(|world| {
        let agent = world.start_agent("n1");
        for (number, moment) in MOMENTS.into_iter().enumerate() {
            let job = web(&format!("w{number}"));
            agent.api().submit(&job);
            // This sleep chooses the moment; nothing waits for anything with it.
            thread::sleep(Duration::from_millis(moment));
            agent.kill();
            agent.start();
            let running = wait_running(&agent, &job.path("/allocations"), 1);
            let full = agent.api().alloc(&running[0]);
            assert_eq!(wait_page(HOST, port(&full, "http")).trim(), running[0], "after {moment} ms");
        }
        let all = wait_running(&agent, "/v1/allocations", MOMENTS.len());
        eventually("there is one supervisor for each allocation", || {
            (shims(&agent) == all.iter().map(|a| format!("{a}.t")).collect()).then_some(())
        });
        let addresses: BTreeSet<String> = all.iter().map(|a| text(&agent.api().alloc(a)["NetworkStatus"]["Address"]).to_owned()).collect();
        assert_eq!(addresses.len(), all.len(), "two allocations have one address: {addresses:?}");
    });
}

#[test]
fn a_kill_at_any_moment_of_a_stop_ends_with_none() {
    world(|world| {
        let agent = world.start_agent("n1");
        for (number, moment) in MOMENTS.into_iter().enumerate() {
            let job = web(&format!("w{number}"));
            let alloc = agent.api().run_one(&job);
            agent.api().delete(&job.path(""));
            thread::sleep(Duration::from_millis(moment));
            agent.kill();
            agent.start();
            agent.api().wait_status(&alloc, "complete");
        }
        eventually("no supervisor is left", || shims(&agent).is_empty().then_some(()));
    });
}

#[test]
fn a_restart_that_was_waited_for_comes_once_when_the_agent_was_killed_meanwhile() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job =
            service("s", "echo x >>/alloc/data/lives; [ $(wc -l </alloc/data/lives) -ge 2 ] && exec sleep 10000; exit 1").restarts(3, 1500);
        agent.api().submit(&job);
        let alloc = agent.api().wait("it waits for its restart", &job.path("/allocations"), |all| {
            all.as_array()?.iter().find(|a| events(a, "t").contains(&"Restarting".to_owned())).map(id)
        });
        agent.kill();
        agent.start();
        let full = agent.api().wait_alloc(&alloc, "runs again", |a| a["TaskStates"]["t"]["State"] == "running");
        let kinds = events(&full, "t");
        let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
        assert_eq!((count("Started"), count("Terminated"), count("Restarting")), (2, 1, 1), "{kinds:?}");
        assert_eq!(full["TaskStates"]["t"]["Restarts"], 1);
        let lives = fs::read_to_string(agent.data().join(format!("alloc/{alloc}/alloc/data/lives"))).unwrap();
        assert_eq!(lives, "x\nx\n");
    });
}

fn shim_pid(agent: &Agent, alloc: &str) -> Pid {
    let text = fs::read_to_string(agent.data().join(format!("client/shims/{alloc}.t/started.json"))).unwrap();
    let started: Value = serde_json::from_str(&text).unwrap();
    Pid::from_raw(i32::try_from(started["shim"]["pid"].as_i64().unwrap()).unwrap())
}

#[test]
fn a_task_whose_supervisor_is_killed_is_started_again() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web").restarts(5, 1);
        let alloc = agent.api().run_one(&job);
        let first = agent.task_pid(&alloc, "t");
        kill(shim_pid(&agent, &alloc), Signal::SIGKILL).unwrap();
        let again = |restarts: u64| {
            agent.api().wait_alloc(&alloc, "runs again", |a| {
                let state = &a["TaskStates"]["t"];
                state["State"] == "running" && state["Restarts"] == restarts
            })
        };
        let full = again(1);
        assert_eq!(wait_page(HOST, port(&full, "http")).trim(), alloc);
        assert!(!Path::new(&format!("/proc/{first}")).exists());
        // The same while the agent is dead.
        let second = agent.task_pid(&alloc, "t");
        agent.kill();
        kill(shim_pid(&agent, &alloc), Signal::SIGKILL).unwrap();
        agent.start();
        let full = again(2);
        assert_eq!(wait_page(HOST, port(&full, "http")).trim(), alloc);
        assert!(!Path::new(&format!("/proc/{second}")).exists());
    });
}

#[test]
fn a_host_that_lost_its_rules_and_bridge_gets_them_back() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web").restarts(5, 1);
        let alloc = agent.api().run_one(&job);
        let http = port(&agent.api().alloc(&alloc), "http");
        wait_page(HOST, http);
        let pid = agent.task_pid(&alloc, "t");
        agent.kill();
        host(world, "nft", &["delete", "table", "ip", agent.bridge()]);
        assert!(world.outside(|| page(HOST, http)).is_none());
        agent.start();
        assert_eq!(world.outside(|| wait_page(HOST, http)).trim(), alloc);
        assert_eq!(agent.task_pid(&alloc, "t"), pid, "rules are no reason to restart a task");
        agent.kill();
        host(world, "ip", &["link", "delete", agent.bridge()]);
        agent.start();
        assert_eq!(world.outside(|| wait_page(HOST, http)).trim(), alloc);
        // An allocation whose whole namespace is gone cannot go on where it was: its task starts anew.
        agent.kill();
        let netns = format!("/run/n1/netns/{alloc}");
        nix::mount::umount(netns.as_str()).unwrap();
        fs::remove_file(&netns).unwrap();
        agent.start();
        agent.api().wait_alloc(&alloc, "runs", |a| a["TaskStates"]["t"]["State"] == "running");
        eventually("the page is served again", || world.outside(|| page(HOST, http)));
    });
}

#[test]
fn a_machine_that_was_rebooted_starts_its_work_again() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web").restarts(5, 1);
        let alloc = agent.api().run_one(&job);
        let pid = agent.task_pid(&alloc, "t");
        agent.kill();
        // What a reboot takes: processes, namespaces, links, rules, and everything in /run.
        let shim = shim_pid(&agent, &alloc);
        kill(shim, Signal::SIGKILL).unwrap();
        eventually("the task is gone", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
        let netns = format!("/run/n1/netns/{alloc}");
        nix::mount::umount(netns.as_str()).unwrap();
        fs::remove_dir_all("/run/n1").unwrap();
        fs::remove_dir_all("/run/floe").unwrap();
        host(world, "nft", &["delete", "table", "ip", agent.bridge()]);
        host(world, "ip", &["link", "delete", agent.bridge()]);
        agent.start();
        let full = agent.api().wait_alloc(&alloc, "runs again", |a| a["TaskStates"]["t"]["State"] == "running");
        assert_eq!(wait_page(HOST, port(&full, "http")).trim(), alloc);
        assert_ne!(agent.task_pid(&alloc, "t"), pid);
    });
}

#[test]
fn a_node_whose_memory_was_moved_away_runs_its_work_anew() {
    world(|world| {
        let agent = world
            .agent("n1")
            .set(|c| {
                c["server"]["min_heartbeat_ttl"] = json!("1s");
                c["server"]["heartbeat_grace"] = json!("1s");
            })
            .start();
        let job = web("web").static_port("fixed", 8080, 9000);
        let alloc = agent.api().run_one(&job);
        let (pid, node) = (agent.task_pid(&alloc, "t"), agent.api().alloc(&alloc)["NodeID"].clone());
        agent.kill();
        fs::rename(agent.data().join("client/state.redb"), world.dir().join("moved.redb")).unwrap();
        agent.start();
        eventually("the task that nobody remembers ends", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
        // Its key says that it is the same node, so it is told again what it should run.
        eventually("it runs anew", || agent.try_task_pid(&alloc, "t").filter(|new| *new != pid));
        let again = agent.api().wait_status(&alloc, "running");
        assert_eq!(again["NodeID"], node);
        assert_eq!(wait_page(HOST, port(&again, "http")).trim(), alloc);
    });
}

#[test]
fn a_frozen_client_is_replaced_and_stops_its_work_when_it_thaws() {
    world(|world| {
        let quick = |c: &mut Value| {
            c["server"]["min_heartbeat_ttl"] = json!("1s");
            c["server"]["heartbeat_grace"] = json!("1s");
        };
        let server = world.agent("s").server_only().set(quick).start();
        let clients = ["c1", "c2"].map(|name| world.agent(name).client_of(&server).start());
        let job = web("web").static_port("fixed", 8080, 9000);
        let alloc = server.api().run_one(&job);
        let on = |a: &Value| clients.iter().find(|c| a["NodeName"] == c.name()).unwrap().clone();
        let frozen = on(&server.api().alloc(&alloc));
        let pid = frozen.task_pid(&alloc, "t");
        frozen.signal(Signal::SIGSTOP);
        let second = server.api().wait("it runs elsewhere", &job.path("/allocations"), |all| {
            all.as_array()?.iter().find(|a| a["ClientStatus"] == "running" && a["NodeName"] != frozen.name()).map(id)
        });
        frozen.signal(Signal::SIGCONT);
        eventually("the stale task ends", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
        let other = on(&server.api().alloc(&second));
        assert!(Path::new(&format!("/proc/{}", other.task_pid(&second, "t"))).exists());
        assert_eq!(server.api().alloc(&alloc)["ClientStatus"], "lost");
        assert_eq!(server.api().allocs(&job).iter().filter(|a| a["ClientStatus"] == "running").count(), 1);
    });
}

#[test]
fn an_agent_that_stops_does_not_wait_for_its_tasks() {
    world(|world| {
        let agent = world.start_agent("n1");
        let stubborn =
            service("s", "trap '' INT TERM; echo up; while :; do sleep 0.05; done").task(|t| t["KillTimeout"] = json!(seconds(30)));
        let alloc = agent.api().run_one(&stubborn);
        agent.api().wait_output(&alloc, "t", "up");
        let began = std::time::Instant::now();
        assert!(agent.terminate().success());
        assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
        agent.start();
        // A stop is remembered over a restart.
        agent.api().delete(&stubborn.path(""));
        agent.api().wait_alloc(&alloc, "is being killed", |a| events(a, "t").contains(&"Killing".to_owned()));
        assert!(agent.terminate().success());
        let pid = agent.task_pid(&alloc, "t");
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        agent.start();
        agent.api().wait_status(&alloc, "complete");
    });
}

#[test]
fn a_batch_that_ended_is_not_run_again_by_a_restart() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = batch("b", "echo x >>/alloc/data/lives");
        let alloc = agent.api().run_one(&job);
        agent.api().wait_status(&alloc, "complete");
        for _ in 0..3 {
            agent.kill();
            agent.start();
        }
        agent.api().evaluate(&job);
        assert_eq!(agent.api().allocs(&job).len(), 1);
        let lives = fs::read_to_string(agent.data().join(format!("alloc/{alloc}/alloc/data/lives"))).unwrap();
        assert_eq!(lives, "x\n");
        assert_eq!(agent.api().logs(&alloc, "t", "stdout"), "");
    });
}
