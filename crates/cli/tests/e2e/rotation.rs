//! The cluster's authority is replaced while everything runs on.

use crate::{
    agent::Agent,
    api::text,
    cluster::{three, three_with},
    http::Request,
    job::{service, web},
    world::{World, eventually, world},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

fn rotate(world: &World, server: &Agent, flags: &[&str]) -> crate::command::Outcome {
    let api = format!("http://{}", server.http());
    world.floe(&[&["operator", "ca", "rotate", "-address", &api], flags].concat())
}

/// The authorities' fingerprints and the step, as a server says.
fn authorities(server: &Agent) -> Option<(Vec<String>, String)> {
    let answer = server.api().try_get("/v1/operator/ca")?;
    let fingerprints = answer["Authorities"].as_array()?.iter().map(|a| text(&a["Fingerprint"]).to_owned());
    Some((fingerprints.collect(), text(&answer["Step"]).to_owned()))
}

/// Waits until there is one authority, and not this one.
fn wait_replaced(server: &Agent, old: &str) {
    eventually("the authority is replaced", || {
        let (fingerprints, step) = authorities(server)?;
        (step.is_empty() && fingerprints.len() == 1 && fingerprints[0] != old).then_some(())
    });
}

fn present(server: &Agent) -> String {
    authorities(server).unwrap().0.remove(0)
}

/// Writes jobs that place nothing to one server after the other until it is told to stop; returns what was refused.
fn write_until(stop: &AtomicBool, servers: &[SocketAddr]) -> (usize, Vec<String>) {
    let mut failed = Vec::new();
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        let job = service(&format!("load-{}", written % 5), "true").copies(0);
        let request = Request::new("PUT", "/v1/jobs").body(json!({ "Job": job.json() }).to_string());
        match request.send(servers[written % servers.len()]) {
            Ok(response) if response.status() == 200 => {}
            Ok(response) => failed.push(response.text()),
            Err(error) => failed.push(error.to_string()),
        }
        written += 1;
    }
    (written, failed)
}

#[test]
fn the_authority_is_replaced_while_everything_runs_on() {
    world(|world| {
        let servers = three(world);
        let clients: Vec<Arc<Agent>> = ["c1", "c2"].iter().map(|name| world.agent(name).client_of(&servers[0]).start()).collect();
        let away = world.agent("c3").client_of(&servers[0]).start();
        assert!(away.terminate().success());
        eventually("it counts as down", || {
            let nodes = servers[0].api().get("/v1/nodes");
            nodes.as_array()?.iter().any(|n| n["Name"] == "c3" && n["Status"] == "down").then_some(())
        });
        let alloc = servers[0].api().run_one(&web("web"));
        let host = clients.iter().find(|c| c.try_task_pid(&alloc, "t").is_some()).unwrap();
        let pid = host.task_pid(&alloc, "t");
        let unused = text(&servers[0].api().put("/v1/operator/join-token", &json!({ "Role": "client" }))["Token"]).to_owned();
        let old = present(&servers[0]);
        let stop = AtomicBool::new(false);
        let addresses: Vec<SocketAddr> = servers.iter().map(|s| s.http()).collect();
        let (written, failed) = thread::scope(|scope| {
            let load = scope.spawn(|| write_until(&stop, &addresses));
            rotate(world, &servers[1], &[]).ok();
            rotate(world, &servers[2], &[]).fails(1, &["is being replaced already"]);
            wait_replaced(&servers[0], &old);
            // Each is asked to go on with the new one alone.
            for agent in servers.iter().chain(&clients) {
                eventually(&format!("{} trusts the new one alone", agent.name()), || agent.log().contains("trusted=1").then_some(()));
            }
            stop.store(true, Ordering::Relaxed);
            load.join().unwrap()
        });
        assert!(failed.is_empty() && written > 10, "of {written} writes failed: {failed:#?}");
        assert_eq!(host.task_pid(&alloc, "t"), pid, "tasks run on");
        for agent in servers.iter().chain(&clients) {
            assert!(agent.terminate().success());
            agent.start();
            eventually(&format!("{} works", agent.name()), || agent.api().try_get("/v1/jobs").map(drop));
        }
        assert_eq!(host.task_pid(&alloc, "t"), pid);
        let again = servers[2].api().put("/v1/operator/join-token", &json!({ "Role": "client" }));
        assert!(
            world
                .agent("c4")
                .set(|c| {
                    c["server"]["enabled"] = json!(false);
                    c["client"]["servers"] = json!([servers[0].rpc()]);
                    c["join_token_file"] = json!(world.file("c4.token", text(&again["Token"])));
                })
                .start()
                .log()
                .contains("joining the cluster")
        );
        // Who was away trusts nobody that is there, and says so; so does a token of before.
        away.launch();
        eventually("the one that was away says why", || away.log().contains("no authority that this agent trusts signed").then_some(()));
        away.terminate();
        fs::remove_dir_all(away.data()).unwrap();
        world.file("c3.token", unused);
        away.launch();
        eventually("the old token is refused", || {
            away.log().contains("a token ends when its cluster's authority is replaced").then_some(())
        });
        assert!(away.terminate().success());
        let fresh = servers[0].api().put("/v1/operator/join-token", &json!({ "Role": "client" }));
        world.file("c3.token", text(&fresh["Token"]));
        away.start();
    });
}

#[test]
fn a_replacement_goes_on_by_itself_whoever_is_killed() {
    world(|world| {
        let servers = three(world);
        let old = present(&servers[0]);
        rotate(world, &servers[1], &[]).ok();
        // First the one that has the only copy of the new key, then the others.
        for server in [&servers[1], &servers[0], &servers[2]] {
            server.kill();
            server.launch();
            eventually("they agree again", || server.api().try_get("/v1/jobs").map(drop));
        }
        wait_replaced(&servers[0], &old);
        let between = present(&servers[0]);
        rotate(world, &servers[2], &[]).ok();
        wait_replaced(&servers[1], &between);
    });
}

#[test]
fn who_is_waited_for_is_named_and_can_be_left_behind() {
    world(|world| {
        // A client that is silent for long counts as down, and then nobody waits for it.
        let patient = |c: &mut Value| ["min_heartbeat_ttl", "heartbeat_grace"].iter().for_each(|what| c["server"][*what] = json!("1h"));
        let servers = three_with(world, patient);
        let client = world.agent("c1").client_of(&servers[0]).start();
        let (api, old) = (format!("http://{}", servers[0].http()), present(&servers[0]));
        rotate(world, &servers[0], &["-force"]).fails(1, &["no change of the authority is under way"]);
        client.signal(Signal::SIGSTOP);
        rotate(world, &servers[0], &[]).ok();
        let named = || world.floe(&["operator", "ca", "status", "-address", &api]).ok();
        eventually("only the client is waited for", || {
            let out = named();
            (out.contains("step 1 of 2") && out.contains("c1") && !out.contains("s2")).then_some(())
        });
        rotate(world, &servers[0], &["-cancel"]).ok();
        assert_eq!(authorities(&servers[0]).unwrap(), (vec![old.clone()], String::new()));
        rotate(world, &servers[0], &[]).ok();
        eventually("only the client is waited for again", || (named().contains("c1") && !named().contains("s3")).then_some(()));
        rotate(world, &servers[0], &["-force"]).ok();
        eventually("step 2", || named().contains("step 2 of 2").then_some(()));
        rotate(world, &servers[0], &["-cancel"]).fails(1, &["signs already"]);
        eventually("the servers have their certificates", || {
            let answer = servers[0].api().try_get("/v1/operator/ca")?;
            answer["Pending"].as_array()?.iter().all(|p| p["Role"] != "server").then_some(())
        });
        rotate(world, &servers[0], &["-force"]).ok();
        wait_replaced(&servers[0], &old);
        // A connection that is there goes on; its next start needs a new one.
        client.kill();
        client.launch();
        eventually("the client that was left behind says why", || {
            client.log().contains("no authority that this agent trusts signed").then_some(())
        });
        client.terminate();
        world.agent("c2").client_of(&servers[0]).start();
    });
}
