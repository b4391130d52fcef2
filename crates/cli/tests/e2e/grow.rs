//! From one server to three, to five, and back to one, while clients write on all of them and a task runs.

use crate::{
    agent::{Agent, AgentBuilder},
    api::{id, text},
    cluster::{leader, members, quick, wait_voters},
    command::Outcome,
    job::web,
    load::Load,
    world::{World, eventually, world},
};
use serde_json::json;
use std::{collections::BTreeSet, fs, sync::Arc};

/// Up to five servers on a busy machine: an election takes longer, and so comes only when somebody is gone.
fn patient(builder: AgentBuilder<'_>) -> AgentBuilder<'_> {
    quick(builder).set(|c| c["server"]["raft_multiplier"] = json!(3))
}

/// A command of an operator, asked of this server.
fn operator(world: &World, server: &Agent, words: &[&str]) -> Outcome {
    world.floe(&[words, &["-address", &format!("http://{}", server.http())]].concat())
}

/// Brings in a server as the guide says: a token from any server, and its first start.
fn join(world: &World, name: &str, by: &Agent) -> Arc<Agent> {
    let token = world.file(&format!("{name}.token"), operator(world, by, &["server", "token", "-server"]).ok());
    let builder = patient(world.agent(name).server_only()).set(|c| {
        c["join_token_file"] = json!(token);
        c["server"]["retry_join"] = json!([by.rpc()]);
    });
    builder.start()
}

/// What the list of the members says of their number on standard error.
fn warned(world: &World, server: &Agent, words: &str) {
    let out = operator(world, server, &["operator", "raft", "list-peers"]);
    assert!(out.stderr.contains(words), "{words:?} is not in {out:#?}");
}

/// Grows by one, and waits until the new one votes and all take writes.
fn grow(world: &World, servers: &mut Vec<Arc<Agent>>, load: &Load, even: Option<&str>) {
    let name = format!("s{}", servers.len() + 1);
    // The newest one makes the token: any member will do.
    let new = join(world, &name, servers.last().unwrap());
    servers.push(new.clone());
    let mut names: Vec<&str> = servers.iter().map(|s| s.name()).collect();
    names.sort_unstable();
    wait_voters(&new, &names);
    load.add(&new);
    load.wait_taken(&format!("with {} servers", servers.len()));
    let out = operator(world, &new, &["operator", "raft", "list-peers"]);
    match even {
        Some(words) => warned(world, &servers[0], words),
        None => assert!(!out.stderr.contains("voters:"), "{out:#?}"),
    }
    load.check_so_far(&new);
}

/// Removes the server that leads; one that stays is asked to. Returns what was said.
fn remove_leader(world: &World, servers: &mut Vec<Arc<Agent>>, load: &Load) -> String {
    let old = leader(servers, servers.last().unwrap()).clone();
    servers.retain(|s| s.name() != old.name());
    let peer = members(&servers[0]).unwrap().into_iter().find(|m| m["Node"] == old.name()).unwrap();
    let out = operator(world, &servers[0], &["operator", "raft", "remove-peer", "-peer-id", text(&peer["ID"])]);
    assert_eq!(out.code, Some(0), "{out:#?}");
    let mut names: Vec<&str> = servers.iter().map(|s| s.name()).collect();
    names.sort_unstable();
    wait_voters(&servers[0], &names);
    eventually("the removed one knows", || old.log().contains("this server was removed from the cluster").then_some(()));
    load.remove(&old);
    load.wait_taken(&format!("with {} servers, after {} led and was removed", servers.len(), old.name()));
    assert!(old.terminate().success());
    fs::remove_dir_all(old.data()).unwrap();
    load.check_so_far(&servers[0]);
    out.stderr
}

#[test]
fn from_one_to_five_and_back_to_one_nothing_is_lost() {
    world(|world| {
        let first = patient(world.agent("s1").server_only()).start();
        let client = world.agent("c").client_of(&first).start();
        let alloc = first.api().run_one(&web("web"));
        let pid = client.task_pid(&alloc, "t");
        let load = Load::default();
        load.add(&first);
        let mut servers = vec![first];
        load.during(|| {
            load.wait_taken("alone");
            grow(world, &mut servers, &load, Some("2 voters: the cluster tolerates no failure"));
            grow(world, &mut servers, &load, None);
            grow(world, &mut servers, &load, Some("4 voters: the cluster tolerates no more failures than with one server less"));
            grow(world, &mut servers, &load, None);
            // Under load a server may count as unhealthy for a moment.
            eventually("two of five may fail", || {
                let health = operator(world, &servers[4], &["operator", "autopilot", "health"]);
                health.stdout.contains("Failure tolerance: 2").then_some(())
            });
            for (left, even) in [(4, true), (3, false), (2, true), (1, false)] {
                let said = remove_leader(world, &mut servers, &load);
                assert_eq!(said.contains(&format!("{left} voters: the cluster")), even, "{said}");
            }
        });
        let last = &servers[0];
        load.check(last);
        assert_eq!(client.task_pid(&alloc, "t"), pid, "the task never noticed");
        // The client has the last of them, whom it did not know when it joined, and does what that one says.
        let grown: BTreeSet<String> = last.api().run(&web("web").copies(2)).iter().map(id).collect();
        assert!(grown.contains(&alloc) && client.task_pid(&alloc, "t") == pid);
        last.kill();
        last.start();
        load.check(last);
    });
}
