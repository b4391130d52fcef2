//! Several servers begin a cluster together: in any order, killed on the way, and never as two clusters.

use crate::{
    agent::Agent,
    api::text,
    command::run,
    http::Request,
    world::{World, eventually, world},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

/// A secret that the command line made, in a file as it must be.
fn secret(world: &World, name: &str) -> PathBuf {
    let path = world.file(name, world.floe(&["server", "bootstrap-secret"]).ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Servers that are to begin a cluster together; none is started.
fn founders(world: &World, count: usize) -> Vec<Arc<Agent>> {
    let secret = secret(world, "secret");
    let built: Vec<Arc<Agent>> = (1..=count).map(|n| world.agent(&format!("s{n}")).server_only().build()).collect();
    let all: Vec<String> = built.iter().map(|s| s.rpc()).collect();
    for server in &built {
        server.reconfigure(|c| {
            c["autopilot"] = json!({ "server_stabilization_time": "1s", "last_contact_threshold": "1s" });
            c["server"] = json!({
                "enabled": true,
                "bootstrap_expect": count,
                "bootstrap_secret_file": secret,
                "retry_join": all,
            });
        });
    }
    built
}

/// Waits until all of these are the voters of one cluster, as each of them says.
fn wait_one_cluster(servers: &[Arc<Agent>]) {
    let names: BTreeSet<String> = servers.iter().map(|s| s.name().to_owned()).collect();
    for server in servers {
        server.wait_ready();
        eventually(&format!("{} knows {names:?} as voters", server.name()), || {
            let answer = server.api().try_get("/v1/operator/raft/configuration")?;
            let members = answer["Servers"].as_array()?;
            let voters: BTreeSet<String> = members.iter().filter(|m| m["Voter"] == true).map(|m| text(&m["Node"]).to_owned()).collect();
            (voters == names && members.len() == names.len()).then_some(())
        });
    }
    let begun: usize = servers.iter().map(|s| s.log().matches("this server makes a new cluster").count()).sum();
    // It is said after it is on disk, so who is killed in between never says it.
    assert!(begun <= 1, "two clusters were made");
}

fn wait_log(server: &Agent, words: &str) {
    eventually(&format!("{} says {words:?}", server.name()), || server.log().contains(words).then_some(()));
}

fn restart_all(servers: &[Arc<Agent>]) {
    servers.iter().for_each(|s| assert!(s.terminate().success()));
    servers.iter().for_each(|s| s.launch());
    wait_one_cluster(servers);
}

#[test]
fn three_servers_begin_one_cluster_in_whatever_order_they_start() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        world(|world| {
            let servers = founders(world, 3);
            for n in order {
                servers[n].launch();
                wait_log(&servers[n], "waiting to begin a cluster of 3 servers");
                if n != order[2] {
                    // Long enough to be at it when the next one comes.
                    wait_log(&servers[n], "does not answer");
                }
            }
            wait_one_cluster(&servers);
        });
    }
}

#[test]
fn two_servers_begin_a_cluster_and_are_warned() {
    world(|world| {
        let servers = founders(world, 2);
        servers.iter().for_each(|s| s.launch());
        wait_one_cluster(&servers);
        assert!(servers[0].log().contains("2 voters: the cluster tolerates no failure"));
        restart_all(&servers);
    });
}

#[test]
fn five_servers_begin_a_cluster() {
    world(|world| {
        let servers = founders(world, 5);
        servers.iter().for_each(|s| s.launch());
        wait_one_cluster(&servers);
    });
}

#[test]
fn a_server_that_is_killed_on_the_way_is_in_the_cluster_all_the_same() {
    for moment in ["waiting to begin", "is to begin the cluster", "makes a new cluster", "this server leads", "joining the cluster"] {
        world(|world| {
            let servers = founders(world, 3);
            servers.iter().for_each(|s| s.launch());
            let victim = eventually(&format!("a server comes to {moment:?}"), || servers.iter().find(|s| s.log().contains(moment)));
            victim.kill();
            victim.launch();
            wait_one_cluster(&servers);
        });
    }
}

#[test]
fn servers_that_are_killed_again_and_again_begin_one_cluster_all_the_same() {
    world(|world| {
        let servers = founders(world, 3);
        servers.iter().for_each(|s| s.launch());
        // The pauses spread the kills over all that happens within the first second.
        for round in 0..24 {
            thread::sleep(Duration::from_millis(13 * (round * 7 % 24)));
            let victim = &servers[usize::try_from(round % 3).unwrap()];
            victim.kill();
            victim.launch();
        }
        wait_one_cluster(&servers);
        restart_all(&servers);
    });
}

#[test]
fn what_keeps_servers_from_beginning_is_said() {
    world(|world| {
        let servers = founders(world, 3);
        servers[0].launch();
        wait_log(&servers[0], "waiting for 2 more servers");
        let api = format!("http://{}", servers[0].http());
        let said = format!("{} does not answer: Connection refused", servers[1].rpc());
        wait_log(&servers[0], &said);
        world.floe(&["server", "members", "-address", &api]).fails(1, &["in no cluster yet", &said]);
        assert_eq!(Request::get("/healthz").send(servers[0].http()).unwrap().status(), 503);
        let other = secret(world, "other");
        let good = world.dir().join("secret");
        let with_secret = |server: &Agent, path: &Path| server.reconfigure(|c| c["server"]["bootstrap_secret_file"] = json!(path));
        let expecting = |server: &Agent, n: u16| server.reconfigure(|c| c["server"]["bootstrap_expect"] = json!(n));
        with_secret(&servers[1], &other);
        expecting(&servers[2], 5);
        servers[1].launch();
        servers[2].launch();
        wait_log(&servers[0], "was not understood: it was not sealed with this server's bootstrap secret");
        wait_log(&servers[0], &format!("{} has bootstrap_expect = 5, and this server 3", servers[2].rpc()));
        wait_log(&servers[2], &format!("{} has bootstrap_expect = 3, and this server 5", servers[0].rpc()));
        for server in [&servers[1], &servers[2]] {
            assert!(server.terminate().success(), "a server that waits ends when it is asked to");
        }
        with_secret(&servers[1], &good);
        expecting(&servers[2], 3);
        servers[1].launch();
        servers[2].launch();
        wait_one_cluster(&servers);
    });
}

#[test]
fn a_server_of_a_cluster_does_not_mind_how_it_began() {
    world(|world| {
        let servers = founders(world, 3);
        servers.iter().for_each(|s| s.launch());
        wait_one_cluster(&servers);
        restart_all(&servers);
        servers[0].reconfigure(|c| c["server"]["bootstrap_expect"] = json!(5));
        servers[1].reconfigure(|c| c["server"]["bootstrap_expect"] = json!(1));
        servers[1].reconfigure(|c| drop(c["server"].as_object_mut().unwrap().remove("bootstrap_secret_file")));
        servers[2].reconfigure(|c| c["server"]["bootstrap_secret_file"] = json!("/nowhere"));
        restart_all(&servers);
    });
}

#[test]
fn the_secret_lets_in_only_those_who_began_the_cluster() {
    world(|world| {
        let servers = founders(world, 3);
        servers.iter().for_each(|s| s.launch());
        wait_one_cluster(&servers);
        let late = world.agent("late").server_only().set(|c| {
            c["server"] = json!({
                "enabled": true,
                "bootstrap_expect": 3,
                "bootstrap_secret_file": world.dir().join("secret"),
                "retry_join": [servers[0].rpc(), servers[1].rpc()],
            });
        });
        run(late.build().command_for_reading()).fails(1, &["none of the servers that began this cluster", "floe server token -server"]);
        // A founder with an empty disk is another server; and one without the secret cannot even ask.
        servers[2].kill();
        fs::remove_dir_all(servers[2].data()).unwrap();
        run(servers[2].command_for_reading()).fails(1, &["none of the servers that began this cluster"]);
        fs::remove_file(world.dir().join("secret")).unwrap();
        run(servers[2].command_for_reading()).fails(1, &["there is no secret", "floe server bootstrap-secret"]);
    });
}
