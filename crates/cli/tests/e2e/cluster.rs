//! Several servers: they join, agree, die, come back under other addresses, lose their disks, and go.

use crate::{
    agent::{Agent, AgentBuilder},
    api::text,
    command::run,
    http::Request,
    job::{service, web},
    world::{World, eventually, world},
};
use serde_json::{Value, json};
use std::{fs, sync::Arc};

/// A server that gives others their votes soon.
pub(crate) fn quick(builder: AgentBuilder<'_>) -> AgentBuilder<'_> {
    builder.set(|c| c["autopilot"] = json!({ "server_stabilization_time": "1s", "last_contact_threshold": "1s" }))
}

/// Three servers, all of them voters; the first one made the cluster.
pub(crate) fn three(world: &World) -> Vec<Arc<Agent>> {
    three_with(world, |_| {})
}

/// As [`three`], with more settings.
pub(crate) fn three_with(world: &World, set: impl Fn(&mut Value)) -> Vec<Arc<Agent>> {
    let mut servers = vec![quick(world.agent("s1").server_only()).set(&set).start()];
    for name in ["s2", "s3"] {
        servers.push(quick(world.agent(name)).joins(&servers[0]).set(&set).start());
    }
    wait_voters(&servers[0], &["s1", "s2", "s3"]);
    servers
}

pub(crate) fn members(server: &Agent) -> Option<Vec<Value>> {
    server.api().try_get("/v1/operator/raft/configuration")?["Servers"].as_array().cloned()
}

/// Waits until exactly these are members, and vote.
pub(crate) fn wait_voters(server: &Agent, names: &[&str]) {
    eventually(&format!("{names:?} vote"), || {
        let mut voters: Vec<String> =
            members(server)?.iter().map(|m| if m["Voter"] == true { text(&m["Node"]).to_owned() } else { "-".to_owned() }).collect();
        voters.sort();
        (voters == names).then_some(())
    });
}

/// The server that leads, as `server` sees it.
pub(crate) fn leader<'a>(servers: &'a [Arc<Agent>], server: &Agent) -> &'a Arc<Agent> {
    let name = eventually("there is a leader", || {
        let all = members(server)?;
        let found = all.iter().find(|m| m["Leader"] == true).map(|m| text(&m["Node"]).to_owned())?;
        servers.iter().any(|s| s.name() == found && s.is_running()).then_some(found)
    });
    servers.iter().find(|s| s.name() == name).unwrap()
}

/// Registers a job that places nothing; true when that was acknowledged.
pub(crate) fn write(server: &Agent, id: &str) -> bool {
    let job = service(id, "true").copies(0);
    let request = Request::new("PUT", "/v1/jobs").body(json!({ "Job": job.json() }).to_string());
    request.send(server.http()).is_ok_and(|response| response.status() == 200)
}

/// Registers it until that was acknowledged: on a busy machine a leader may be lost on the way.
pub(crate) fn written(server: &Agent, id: &str) {
    eventually("a write", || write(server, id).then_some(()));
}

pub(crate) fn jobs(server: &Agent) -> Vec<String> {
    server.api().get("/v1/jobs").as_array().unwrap().iter().map(|j| text(&j["ID"]).to_owned()).collect()
}

#[test]
fn three_servers_survive_each_of_them_and_shrink_back_to_one() {
    world(|world| {
        let servers = three(world);
        for server in &servers {
            assert!(write(server, &format!("by-{}", server.name())), "every server takes writes");
            assert!(jobs(server).contains(&format!("by-{}", server.name())), "and shows at once what it took");
        }
        for round in 0..3 {
            let victim = leader(&servers, &servers[round]).clone();
            victim.kill();
            let survivor = servers.iter().find(|s| s.is_running()).unwrap();
            eventually("the others take writes again", || write(survivor, &format!("round-{round}")).then_some(()));
            victim.start();
            eventually("it has what it missed", || {
                let stale = victim.api().try_get("/v1/jobs?stale")?;
                stale.as_array()?.iter().any(|j| j["ID"] == format!("round-{round}")).then_some(())
            });
        }
        let all = jobs(&servers[0]);
        assert_eq!(all.len(), 6, "nothing acknowledged is lost: {all:?}");
        for gone in ["s3", "s2"] {
            let server = servers.iter().find(|s| s.name() == gone).unwrap();
            let out = world.floe(&[
                "operator",
                "raft",
                "remove-peer",
                "-address",
                &format!("http://{}", servers[0].http()),
                "-peer-address",
                &server.rpc(),
            ]);
            assert!(out.ok().contains("Removed"));
            eventually("it is gone", || members(&servers[0])?.iter().all(|m| m["Node"] != gone).then_some(()));
            eventually("it knows", || server.log().contains("this server was removed from the cluster").then_some(()));
            server.terminate();
            // It has its identity and its log, and is let in no more.
            server.launch();
            eventually("it knows again", || (server.log().matches("this server was removed").count() > 1).then_some(()));
            assert!(members(&servers[0]).unwrap().iter().all(|m| m["Node"] != gone));
            server.terminate();
        }
        written(&servers[0], "alone");
        wait_voters(&servers[0], &["s1"]);
    });
}

#[test]
fn a_token_lets_one_machine_in() {
    world(|world| {
        let first = quick(world.agent("s1").server_only()).start();
        let second = quick(world.agent("s2")).joins(&first).start();
        wait_voters(&first, &["s1", "s2"]);
        let thief = quick(world.agent("thief")).joins(&first).set(|c| c["join_token_file"] = json!(world.dir().join("s2.token"))).build();
        let out = run(thief.command_for_reading()).fails(1, &["does not let this machine in", "used already", "floe server token"]);
        assert!(!out.contains("panicked"));
        let as_client = world.agent("c").client_of(&first).set(|c| {
            c["client"]["enabled"] = json!(false);
            c["server"] = json!({ "enabled": true, "retry_join": [first.rpc()] });
        });
        run(as_client.build().command_for_reading()).fails(1, &["is for a client", "-server"]);
        // A machine that is in needs no token, nor its file, any more.
        second.terminate();
        fs::remove_file(world.dir().join("s2.token")).unwrap();
        second.start();
        wait_voters(&first, &["s1", "s2"]);
    });
}

#[test]
fn a_client_goes_on_with_another_server_when_its_own_dies() {
    world(|world| {
        let servers = three(world);
        let client = world.agent("c").client_of(&servers[0]).start();
        let job = web("web").copies(2);
        servers[1].api().run(&job);
        assert_eq!(jobs(&client), ["web"], "a client passes requests on");
        servers[0].kill();
        eventually("the client finds another server", || client.api().try_get("/v1/jobs").map(drop));
        eventually("the others place work on it", || write(&servers[1], "other").then_some(()));
        let grown = web("web").copies(3);
        servers[2].api().run(&grown);
        let node = &servers[2].api().get("/v1/nodes")[0];
        assert_eq!(node["Status"], "ready", "{node:#}");
        servers[0].start();
    });
}

#[test]
fn a_cluster_whose_addresses_all_changed_finds_itself_again() {
    world(|world| {
        let servers = three(world);
        written(&servers[0], "before");
        servers.iter().for_each(|s| assert!(s.terminate().success()));
        for (server, port) in servers.iter().zip(7001..) {
            server.reconfigure(|c| {
                c["ports"]["rpc"] = json!(port);
                c["server"]["retry_join"] = json!(["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"]);
            });
        }
        servers.iter().for_each(|s| s.launch());
        servers.iter().for_each(|s| s.wait_ready());
        eventually("the membership has the new addresses", || {
            let all = members(&servers[0])?;
            all.iter().all(|m| text(&m["Address"]).starts_with("127.0.0.1:700")).then_some(())
        });
        written(&servers[1], "after");
        assert_eq!(jobs(&servers[2]), ["after", "before"]);
    });
}

#[test]
fn without_a_majority_writes_name_who_is_missing_and_work_goes_on() {
    world(|world| {
        let servers = three(world);
        let client = world.agent("c").client_of(&servers[0]).start();
        let job = web("web");
        let alloc = servers[0].api().run_one(&job);
        let pid = client.task_pid(&alloc, "t");
        servers[1].kill();
        servers[2].kill();
        // The first one may still be in the log of a leader that does not know yet that it is alone.
        let refused = eventually("writes are refused", || {
            let body = json!({ "Job": service("lost", "true").copies(0).json() }).to_string();
            let response = Request::new("PUT", "/v1/jobs").body(body).send(servers[0].http()).ok()?;
            let text = response.text();
            (response.status() != 200 && !text.contains("may still be carried out")).then_some(text)
        });
        for name in ["s2", "s3", &servers[1].rpc(), &servers[2].rpc()] {
            assert!(refused.contains(name), "{name} is not in: {refused}");
        }
        let stale = servers[0].api().get("/v1/jobs?stale");
        assert_eq!(stale[0]["ID"], "web", "stale reads go on");
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "tasks run on");
        servers[1].start();
        eventually("two are a majority", || write(&servers[0], "again").then_some(()));
        servers[2].start();
        assert_eq!(client.task_pid(&alloc, "t"), pid);
    });
}

#[test]
fn a_server_that_lost_its_disk_joins_as_a_new_one() {
    world(|world| {
        let servers = three(world);
        let lost = &servers[2];
        let old = members(&servers[0]).unwrap().into_iter().find(|m| m["Node"] == "s3").unwrap();
        lost.kill();
        // Without its log alone it must not come back at all.
        fs::rename(lost.data().join("server"), world.dir().join("server.gone")).unwrap();
        let out = run(lost.command_for_reading()).fails(1, &["log is gone", "join again with a token"]);
        assert!(!out.contains("panicked"));
        fs::remove_dir_all(lost.data()).unwrap();
        let token = servers[0].api().put("/v1/operator/join-token", &json!({ "Role": "server" }));
        world.file("s3.token", text(&token["Token"]));
        world
            .floe(&["operator", "raft", "remove-peer", "-address", &format!("http://{}", servers[0].http()), "-peer-id", text(&old["ID"])])
            .ok();
        lost.start();
        wait_voters(&servers[0], &["s1", "s2", "s3"]);
        let new = members(&servers[0]).unwrap().into_iter().find(|m| m["Node"] == "s3").unwrap();
        assert_ne!(new["ID"], old["ID"]);
        written(lost, "by-the-new-one");
    });
}

#[test]
fn a_server_that_was_removed_is_taken_in_again_under_its_id() {
    world(|world| {
        let servers = three(world);
        let api = format!("http://{}", servers[0].http());
        let operator = |words: &[&str]| world.floe(&[&["operator", "raft", words[0], "-address", &api], &words[1..]].concat());
        let old = members(&servers[0]).unwrap().into_iter().find(|m| m["Node"] == "s3").unwrap();
        let (id, address) = (text(&old["ID"]), servers[2].rpc());
        let add = |id: &str, address: &str| operator(&["add-peer", "-peer-id", id, "-peer-address", address]);
        add(id, &address).fails(1, &["is a member already"]);
        add("11111111-1111-8111-8111-111111111111", &address).fails(1, &["was removed from this cluster", "floe server token -server"]);
        let out = operator(&["remove-peer", "-peer-id", id]);
        assert!(out.stderr.contains("2 voters: the cluster tolerates no failure"), "{out:#?}");
        eventually("it knows", || servers[2].log().contains("take it in again as it is").then_some(()));
        written(&servers[0], "meanwhile");
        add(id, "nowhere").fails(1, &["is no RPC address"]);
        for round in 0..2 {
            // Once while it runs, and once while it is off and comes back elsewhere.
            if round == 1 {
                operator(&["remove-peer", "-peer-id", id]).ok();
                servers[2].terminate();
            }
            assert!(add(id, &address).ok().contains("Took the server in again"));
            if round == 1 {
                servers[2].reconfigure(|c| c["ports"]["rpc"] = json!(7003));
                servers[2].start();
            }
            wait_voters(&servers[0], &["s1", "s2", "s3"]);
        }
        let new = members(&servers[0]).unwrap().into_iter().find(|m| m["Node"] == "s3").unwrap();
        assert_eq!((text(&new["ID"]), text(&new["Address"])), (id, "127.0.0.1:7003"));
        written(&servers[2], "again");
        assert_eq!(jobs(&servers[2]), ["again", "meanwhile"]);
    });
}

#[test]
fn a_server_that_autopilot_removed_comes_back_by_itself() {
    world(|world| {
        let servers = three_with(world, |c| c["autopilot"]["dead_server_timeout"] = json!("2s"));
        let id = |server: &Agent| members(server)?.iter().find(|m| m["Node"] == "s3").map(|m| text(&m["ID"]).to_owned());
        let old = id(&servers[0]).unwrap();
        servers[2].kill();
        eventually("autopilot removes it", || members(&servers[0])?.iter().all(|m| m["Node"] != "s3").then_some(()));
        written(&servers[0], "meanwhile");
        // Nobody lets it in again: it was dead, and is not any more.
        servers[2].start();
        wait_voters(&servers[0], &["s1", "s2", "s3"]);
        assert_eq!(id(&servers[1]).as_deref(), Some(old.as_str()), "it is the same one");
        written(&servers[2], "again");
        assert_eq!(jobs(&servers[2]), ["again", "meanwhile"]);
        // It counts: with it, one of the others may fail.
        servers[1].kill();
        eventually("writes go on", || write(&servers[2], "without-s2").then_some(()));
    });
}

#[test]
fn a_client_whose_certificate_is_revoked_is_refused_by_every_server() {
    world(|world| {
        let servers = three(world);
        let lost = world.agent("x1").client_of(&servers[0]).start();
        let node = text(&servers[0].api().get("/v1/nodes")[0]["ID"]).to_owned();
        let old = servers[0].api().run_one(&web("web"));
        let pid = lost.task_pid(&old, "t");
        world.agent("x2").client_of(&servers[1]).start();
        let api = format!("http://{}", servers[2].http());
        let revoke = |node: &str| world.floe(&["node", "revoke", "-address", &api, node]);
        revoke("11111111").fails(1, &["no node with id"]);
        let server = text(&members(&servers[0]).unwrap()[0]["ID"]).to_owned();
        revoke(&server).fails(1, &["is a server", "remove-peer"]);
        assert!(revoke("x1").ok().contains(&node));
        eventually("its work goes elsewhere", || {
            let allocs = servers[0].api().get("/v1/job/web/allocations");
            allocs.as_array()?.iter().any(|a| a["ClientStatus"] == "running" && a["ID"] != old).then_some(())
        });
        for server in &servers {
            let nodes = server.api().get("/v1/nodes");
            let status = |name: &str| nodes.as_array().unwrap().iter().find(|n| n["Name"] == name).unwrap()["Status"].clone();
            assert_eq!((status("x1"), status("x2")), (json!("down"), json!("ready")));
        }
        // Nothing that it asks is answered, by no server.
        let refused = |asked: &str| {
            lost.reconfigure(|c| c["client"]["servers"] = json!([asked]));
            lost.terminate();
            lost.launch();
            eventually(&format!("{asked} refuses it"), || {
                let response = Request::get("/v1/jobs").send(lost.http()).ok()?;
                (response.status() == 403).then(|| response.text())
            })
        };
        for server in &servers {
            assert!(refused(&server.rpc()).contains("was removed from the cluster for good"));
        }
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "what ran there runs on: nobody can tell it to stop");
        // Switched off and emptied it is welcome as a new one.
        lost.terminate();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        eventually("its task ends", || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
        fs::remove_dir_all(lost.data()).unwrap();
        let token = servers[0].api().put("/v1/operator/join-token", &json!({ "Role": "client" }));
        world.file("x1.token", text(&token["Token"]));
        lost.reconfigure(|c| c["client"]["servers"] = json!([servers[0].rpc()]));
        lost.start();
        let nodes = servers[0].api().get("/v1/nodes").as_array().unwrap().clone();
        assert_eq!(nodes.len(), 3);
        // A name counts more than the beginning of somebody's id.
        let other = text(&nodes.iter().find(|n| n["Name"] == "x2").unwrap()["ID"]).to_owned();
        let namesake = &other[..4];
        world.agent(namesake).client_of(&servers[0]).start();
        let said = revoke(namesake).ok();
        let nodes = servers[0].api().get("/v1/nodes");
        let meant = nodes.as_array().unwrap().iter().find(|n| n["Name"] == namesake).unwrap().clone();
        assert!(said.contains(text(&meant["ID"])) && !said.contains(&other), "{said}");
    });
}
