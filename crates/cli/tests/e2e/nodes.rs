//! Nodes that die and come back, and agents that are only one of server and client.

use crate::{
    agent::Agent,
    api::{id, text},
    cluster::{members, three_with},
    job::{service, web},
    restart::port,
    traffic::{page, wait_page},
    world::{HOST, World, eventually, world},
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

/// A server that notices a silent node within a few seconds, and two clients.
fn cluster(world: &World) -> (Arc<Agent>, [Arc<Agent>; 2]) {
    let quick = |c: &mut Value| {
        c["server"]["min_heartbeat_ttl"] = json!("1s");
        c["server"]["heartbeat_grace"] = json!("1s");
    };
    let server = world.agent("s").server_only().set(quick).start();
    let clients = ["c1", "c2"].map(|name| world.agent(name).client_of(&server).start());
    (server, clients)
}

fn node_of<'a>(agents: &'a [Arc<Agent>; 2], alloc: &Value) -> &'a Arc<Agent> {
    agents.iter().find(|a| alloc["NodeName"] == a.name()).unwrap()
}

fn wait_node(server: &Agent, name: &str, status: &str) -> Value {
    server.api().wait(&format!("node {name} is {status}"), "/v1/nodes", |nodes| {
        nodes.as_array()?.iter().find(|n| n["Name"] == name && n["Status"] == status).cloned()
    })
}

#[test]
fn work_of_a_dead_node_moves_and_its_stale_tasks_end_when_it_is_back() {
    world(|world| {
        let (server, clients) = cluster(world);
        // A node that was thought dead finds tasks that nobody wants any more; nothing of that is an error.
        let job = web("web").copies(3).announced("web", &["a"]);
        let before = server.api().run(&job);
        let victim = node_of(&clients, &before[0]).clone();
        let survivor = clients.iter().find(|c| c.name() != victim.name()).unwrap();
        let stale: Vec<&Value> = before.iter().filter(|a| a["NodeName"] == victim.name()).collect();
        let stale_pids: Vec<i32> = stale.iter().map(|a| victim.task_pid(&id(a), "t")).collect();
        victim.kill();
        wait_node(&server, victim.name(), "down");
        let moved = server.api().wait("three run on the other node", &job.path("/allocations"), |all| {
            let running = all.as_array()?.iter().filter(|a| a["ClientStatus"] == "running" && a["NodeName"] == survivor.name());
            Some(running.cloned().collect::<Vec<_>>()).filter(|r| r.len() == 3)
        });
        for alloc in &stale {
            let full = server.api().alloc(&id(alloc));
            assert_eq!((&full["ClientStatus"], &full["DesiredStatus"]), (&json!("lost"), &json!("stop")), "{full:#}");
            assert!(text(&full["DesiredDescription"]).contains("node is down"), "{}", full["DesiredDescription"]);
        }
        let instances = server.api().wait("the catalogue knows where", "/v1/service/web", |instances| {
            let all = instances.as_array()?;
            let nodes: Vec<&Value> = all.iter().map(|i| &i["NodeID"]).collect();
            (all.len() == 3 && nodes.iter().all(|n| **n == moved[0]["NodeID"])).then(|| all.clone())
        });
        for instance in instances {
            let port = u16::try_from(instance["Port"].as_u64().unwrap()).unwrap();
            assert_eq!(wait_page(HOST, port).trim(), text(&instance["AllocID"]));
        }
        let alive = |pid: &i32| Path::new(&format!("/proc/{pid}")).exists();
        assert!(stale_pids.iter().all(alive), "tasks of a dead agent run on");
        victim.start();
        wait_node(&server, victim.name(), "ready");
        eventually("the stale tasks end", || (!stale_pids.iter().any(alive)).then_some(()));
        for alloc in stale {
            assert_eq!(server.api().alloc(&id(alloc))["ClientStatus"], "lost");
        }
        let running = server.api().allocs(&job).iter().filter(|a| a["ClientStatus"] == "running").count();
        assert_eq!(running, 3, "nothing is placed anew because a node is back");
    });
}

#[test]
fn a_system_job_follows_the_nodes() {
    world(|world| {
        let (server, clients) = cluster(world);
        let job = service("sys", "exec sleep 10000").kind("system");
        let running = |names: &[&str]| {
            server.api().wait(&format!("it runs on {names:?}"), &job.path("/allocations"), |all| {
                let running = all.as_array()?.iter().filter(|a| a["ClientStatus"] == "running" && a["DesiredStatus"] == "run");
                let mut found: Vec<&str> = running.map(|a| text(&a["NodeName"])).collect();
                found.sort_unstable();
                (found == names).then_some(())
            });
        };
        server.api().submit(&job);
        running(&["c1", "c2"]);
        clients[0].kill();
        wait_node(&server, "c1", "down");
        running(&["c2"]);
        clients[0].start();
        running(&["c1", "c2"]);
    });
}

#[test]
fn an_agent_without_a_server_passes_requests_on() {
    world(|world| {
        let (server, clients) = cluster(world);
        let job = web("web").copies(2);
        let allocs = clients[1].api().run(&job);
        assert_eq!(server.api().allocs(&job).len(), 2);
        for alloc in &allocs {
            let id = id(alloc);
            let full = server.api().alloc(&id);
            assert_eq!(page(HOST, port(&full, "http")).as_deref().map(str::trim), Some(id.as_str()));
        }
        // Output is read through any agent, wherever the task runs.
        let talker = service("talk", "echo hello; exec sleep 10000").kind("system").group(|g| g["Name"] = json!("g"));
        server.api().submit(&talker);
        let all = server.api().wait("both talk", &talker.path("/allocations"), |all| {
            let running: Vec<String> = all.as_array()?.iter().filter(|a| a["ClientStatus"] == "running").map(id).collect();
            (running.len() == 2).then_some(running)
        });
        for asked in [&server, &clients[0], &clients[1]] {
            for alloc in &all {
                assert_eq!(asked.api().wait_output(alloc, "t", "hello"), "hello\n");
            }
        }
        assert_eq!(clients[0].api().get("/v1/agent/health")["client"]["ok"], true);
        assert_eq!(clients[0].api().get("/v1/agent/self")["config"]["NodeName"], "c1");
    });
}

#[test]
fn clients_outlive_their_server() {
    world(|world| {
        let (server, clients) = cluster(world);
        let job = service("s", "exec sleep 10000").copies(2);
        let before: Vec<(String, i32)> =
            server.api().run(&job).iter().map(|a| (id(a), node_of(&clients, a).task_pid(&id(a), "t"))).collect();
        for round in 0..3 {
            if round == 1 {
                assert!(server.terminate().success())
            } else {
                server.kill()
            }
            server.start();
            let more = service(&format!("more{round}"), "exec sleep 10000");
            server.api().run_one(&more);
        }
        for name in ["c1", "c2"] {
            wait_node(&server, name, "ready");
        }
        for (alloc, pid) in before {
            assert_eq!(server.api().alloc(&alloc)["ClientStatus"], "running");
            assert!(Path::new(&format!("/proc/{pid}")).exists());
        }
        assert_eq!(server.api().allocs(&job).len(), 2);
    });
}

#[test]
fn a_client_goes_on_when_its_server_is_removed_and_stays_up() {
    world(|world| {
        let servers = three_with(world, |_| {});
        let client = world.agent("c").client_of(&servers[1]).start();
        let alloc = servers[0].api().run_one(&service("old", "exec sleep 10000"));
        let pid = client.task_pid(&alloc, "t");
        let peers = members(&servers[0]).unwrap();
        let id = text(&peers.iter().find(|m| m["Node"] == "s2").unwrap()["ID"]).to_owned();
        world.floe(&["operator", "raft", "remove-peer", "-peer-id", &id, "-address", &format!("http://{}", servers[0].http())]).ok();
        eventually("the removed one knows", || servers[1].log().contains("this server was removed from the cluster").then_some(()));
        // What it should run now it hears from another one.
        servers[0].api().run(&service("new", "exec sleep 10000"));
        assert_eq!(servers[0].api().get(&format!("/v1/allocation/{alloc}"))["ClientStatus"], "running");
        assert_eq!(client.task_pid(&alloc, "t"), pid, "the task never noticed");
        servers[1].terminate();
    });
}
