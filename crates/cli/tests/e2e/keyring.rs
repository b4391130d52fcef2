//! The root keys: made, rotated, prepublished and removed; a key-encryption key that was stolen, or is missing; and a cluster that begins again on
//! another machine, under its old authority, out of a backup.

use crate::{
    agent::{Agent, AgentBuilder},
    api::text,
    cluster::{quick, three_with, wait_voters, write, written},
    command::Outcome,
    http::Request,
    job::web,
    world::{World, eventually, hosts::Host, world},
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf, sync::Arc};

/// A new key-encryption key in a file.
pub(crate) fn kek(world: &World, name: &str) -> PathBuf {
    let path = world.dir().join(name);
    world.floe(&["server", "keyring-key", "-out", path.to_str().unwrap()]).ok();
    path
}

pub(crate) fn keyring(world: &World, agent: &Agent, words: &[&str]) -> Outcome {
    let address = format!("http://{}", agent.http());
    world.floe(&[&["operator", "root", "keyring"], words, &["-address", &address]].concat())
}

fn keys(agent: &Agent) -> Option<Vec<Value>> {
    agent.api().try_get("/v1/operator/keyring/keys")?.as_array().cloned()
}

fn id(key: &Value) -> String {
    text(&key["KeyID"]).to_owned()
}

/// Waits until the active key has sealed the authority's key and all else that is sealed, and this server can open all keys; returns the active one.
pub(crate) fn settled(agent: &Agent) -> Value {
    eventually(&format!("{} opens all keys, and one has sealed the authority", agent.name()), || {
        let keys = keys(agent)?;
        let active = keys.iter().find(|key| key["State"] == "active")?;
        let sealed: u64 = keys.iter().filter_map(|key| key["Sealed"].as_u64()).sum();
        let is_well = sealed > 0 && active["Sealed"] == sealed && keys.iter().all(|key| key["Closed"] == "");
        is_well.then(|| active.clone())
    })
}

/// The key that seals, as a server says.
fn active_of(agent: &Agent) -> Value {
    keys(agent).unwrap().into_iter().find(|key| key["State"] == "active").unwrap()
}

/// The state of a key, as a server says.
fn state_of(agent: &Agent, id: &str) -> Option<String> {
    keys(agent)?.iter().find(|key| key["KeyID"] == id).map(|key| text(&key["State"]).to_owned())
}

/// Restarts the servers one by one with other keyring blocks.
fn reconfigure(servers: &[Arc<Agent>], blocks: &Value) {
    for server in servers {
        assert!(server.terminate().success());
        server.reconfigure(|c| c["keyring"] = blocks.clone());
        server.start();
        wait_voters(server, &["s1", "s2", "s3"]);
    }
}

#[test]
fn keys_are_rotated_prepublished_and_removed() {
    world(|world| {
        let file = kek(world, "a.kek");
        let servers = three_with(world, |c| c["keyring"] = json!({ "file": { "path": file } }));
        let first = id(&settled(&servers[0]));
        servers.iter().for_each(|server| assert_eq!(id(&settled(server)), first, "all have the same key"));
        keyring(world, &servers[0], &["remove", &first]).fails(1, &["is active: rotate first"]);
        let shown = keyring(world, &servers[1], &["rotate", "-verbose"]).ok();
        assert!(shown.contains("active") && shown.contains("file:") | shown.contains("key:"), "{shown}");
        eventually("the first one is inactive", || (state_of(&servers[2], &first)? == "inactive").then_some(()));
        keyring(world, &servers[2], &["remove", &first]).fails(1, &["sealed with root key", "-full"]);
        keyring(world, &servers[2], &["rotate", "-full"]).ok();
        let third = id(&settled(&servers[0]));
        assert_eq!(state_of(&servers[0], &first).as_deref(), Some("inactive"), "all is sealed anew");
        for old in keys(&servers[0]).unwrap().iter().map(id).filter(|id| *id != third) {
            keyring(world, &servers[1], &["remove", &old[..8]]).ok();
        }
        keyring(world, &servers[0], &["rotate", "-full", "-prepublish", "1h"]).fails(1, &["cannot be used with"]);
        keyring(world, &servers[1], &["rotate", "-prepublish", "3s"]).ok();
        let next = eventually("it is there before its time", || {
            let found = keys(&servers[2])?.iter().find(|key| key["State"] == "prepublished").cloned()?;
            (found["Closed"] == "" && found["PublishTime"].as_i64()? > 0).then(|| id(&found))
        });
        eventually("it is active in its time", || (state_of(&servers[0], &next)? == "active").then_some(()));
        assert_eq!(state_of(&servers[0], &third).as_deref(), Some("inactive"));
        // Whoever leads next has it, too.
        servers[0].kill();
        eventually("the others take writes", || write(&servers[1], "after").then_some(()));
        keyring(world, &servers[1], &["rotate", "-full"]).ok();
        settled(&servers[2]);
        servers[0].start();
        settled(&servers[0]);
        let all = keyring(world, &servers[0], &["list"]).ok();
        assert!(all.contains("Key") && all.contains("Publish Time") && all.matches("inactive").count() == 2, "{all}");
        assert!(servers.iter().all(|server| !server.log().contains("cannot be opened")));
    });
}

#[test]
fn a_stolen_key_encryption_key_opens_nothing_once_it_is_replaced() {
    world(|world| {
        let (stolen, new) = (kek(world, "stolen.kek"), kek(world, "new.kek"));
        let servers = three_with(world, |c| c["keyring"] = json!({ "file": { "path": stolen } }));
        let first = settled(&servers[0]);
        let old_kek = text(&first["WrappedBy"][0]).to_owned();
        reconfigure(&servers, &json!({ "file": [{ "path": new }, { "path": stolen, "active": false }] }));
        eventually("the new one opens the key, too", || {
            let wraps = keys(&servers[0])?[0]["WrappedBy"].as_array()?.len();
            (wraps == 2).then_some(())
        });
        keyring(world, &servers[0], &["rotate", "-full"]).ok();
        eventually("another key has sealed", || (id(&settled(&servers[1])) != id(&first)).then_some(()));
        keyring(world, &servers[1], &["remove", &id(&first)]).ok();
        let left = keys(&servers[2]).unwrap();
        assert!(left.iter().all(|key| !key["WrappedBy"].as_array().unwrap().contains(&json!(old_kek))), "{left:#?}");
        // Nobody needs it any more.
        fs::remove_file(&stolen).unwrap();
        reconfigure(&servers, &json!({ "file": { "path": new } }));
        servers.iter().for_each(|server| drop(settled(server)));
    });
}

#[test]
fn a_server_that_cannot_open_a_key_says_so_and_goes_on() {
    world(|world| {
        let file = kek(world, "a.kek");
        let servers = three_with(world, |c| c["keyring"] = json!({ "file": { "path": file } }));
        settled(&servers[0]);
        let other = &servers[2];
        assert!(other.terminate().success());
        other.reconfigure(|c| c["keyring"] = json!({ "file": { "path": world.dir().join("nowhere") } }));
        let said = other.command_for_reading().output().unwrap();
        assert!(!said.status.success() && String::from_utf8_lossy(&said.stderr).contains("nowhere"), "{said:?}");
        other.reconfigure(|c| drop(c.as_object_mut().unwrap().remove("keyring")));
        other.start();
        eventually("it says so", || other.log().contains("a root key cannot be opened here").then_some(()));
        assert!(other.log().contains("it needs one for any of these key-encryption keys"));
        let health = other.api().get("/v1/agent/health");
        assert!(health["server"]["ok"] == true && text(&health["server"]["message"]).contains("cannot be opened here"), "{health}");
        let metrics = other.api().send(Request::get("/v1/metrics?format=prometheus")).text();
        assert!(metrics.contains("floe_root_keys_closed 1"), "{metrics}");
        keyring(world, other, &["rotate"]).fails(1, &["no key-encryption key", "keyring \"file\""]);
        assert!(keyring(world, other, &["list"]).ok().contains("active"));
        written(other, "goes-on");
    });
}

#[test]
fn a_lost_key_encryption_key_is_replaced_by_a_full_rotation() {
    world(|world| {
        let (lost, new) = (kek(world, "lost.kek"), kek(world, "new.kek"));
        let agent = world.agent("a").server_only().set(|c| c["keyring"] = json!({ "file": { "path": lost } })).start();
        let old = id(&settled(&agent));
        assert!(agent.terminate().success());
        fs::remove_file(&lost).unwrap();
        agent.reconfigure(|c| c["keyring"] = json!({ "file": { "path": new } }));
        agent.start();
        eventually("it cannot open the key", || (keys(&agent)?[0]["Closed"] != "").then_some(()));
        keyring(world, &agent, &["rotate", "-full"]).ok();
        // What the server has of the authority on its own disk is sealed with the new one.
        eventually("nothing is sealed with the old one", || {
            let keys = keys(&agent)?;
            let found = keys.iter().find(|key| key["KeyID"] == old.as_str())?;
            (found["Sealed"] == 0 && found["State"] == "inactive").then_some(())
        });
        keyring(world, &agent, &["remove", &old]).ok();
        settled(&agent);
    });
}

#[test]
fn keys_work_after_everything_was_wiped_and_restored() {
    world(|world| {
        let file = kek(world, "a.kek");
        let set = |c: &mut Value| c["keyring"] = json!({ "file": { "path": file } });
        let agent = world.agent("a").server_only().set(set).start();
        let old = id(&settled(&agent));
        let snapshot = world.dir().join("backup.snap");
        let address = format!("http://{}", agent.http());
        let name = snapshot.to_str().unwrap();
        world.floe(&["var", "put", "app/db", "password=hunter2", "-address", &address]).ok();
        world.floe(&["operator", "snapshot", "save", name, "-address", &address]).ok();
        let shown = world.floe(&["operator", "snapshot", "inspect", name]).ok();
        assert!(shown.contains(&old) && shown.contains("the authority's key"), "{shown}");
        assert!(agent.terminate().success());
        fs::remove_dir_all(agent.data()).unwrap();
        agent.start();
        let own = id(&settled(&agent));
        assert_ne!(own, old);
        world.floe(&["operator", "snapshot", "restore", name, "-address", &address]).ok();
        eventually("the old key is there, and opens", || {
            let keys = keys(&agent)?;
            let found = keys.iter().find(|key| key["KeyID"] == old.as_str())?;
            (found["State"] == "inactive" && found["Closed"] == "" && agent.log().matches(&old).count() > 1).then_some(())
        });
        assert_eq!(id(&active_of(&agent)), own, "the cluster's own key stays active");
        let read = || world.floe(&["var", "get", "-item", "password", "app/db", "-address", &address]).ok();
        assert_eq!(read(), "hunter2\n", "what it sealed is read");
        keyring(world, &agent, &["remove", &old]).fails(1, &["1 things are sealed with root key"]);
        keyring(world, &agent, &["rotate", "-full"]).ok();
        eventually("all is sealed anew", || {
            let keys = keys(&agent)?;
            keys.iter().all(|key| key["Sealed"] == if key["State"] == "active" { 2 } else { 0 }).then_some(())
        });
        keyring(world, &agent, &["remove", &old]).ok();
        assert_eq!(read(), "hunter2\n");
    });
}

/// A server on a host of its own, with this key-encryption key.
fn server_on<'w>(world: &'w World, name: &str, host: Host, kek: &PathBuf) -> AgentBuilder<'w> {
    quick(world.agent(name).server_only().on(host)).set(|c| c["keyring"] = json!({ "file": { "path": kek } }))
}

#[test]
fn a_cluster_begins_again_on_another_machine_and_its_clients_never_notice() {
    world(|world| {
        let (file, other_kek) = (kek(world, "a.kek"), kek(world, "other.kek"));
        let hosts = [world.host(), world.host(), world.host(), world.host()];
        let old = server_on(world, "s1", hosts[0], &file).start();
        let new = server_on(world, "s2", hosts[1], &file).build();
        let servers = json!([old.rpc(), new.rpc()]);
        let client = world.agent("c").client_of(&old).on(hosts[2]).set(|c| c["client"]["servers"] = servers).start();
        let alloc = old.api().run_one(&web("web"));
        let pid = client.task_pid(&alloc, "t");
        settled(&old);
        let snapshot = world.dir().join("backup.snap");
        let name = snapshot.to_str().unwrap();
        let address = format!("http://{}", old.http());
        hosts[0].run(|| world.floe(&["operator", "snapshot", "save", name, "-address", &address]).ok());
        // The machine is gone, with its disk.
        old.kill();
        let aside = world.dir().join("s1.disk");
        fs::rename(old.data(), &aside).unwrap();
        let recover = |more: &[&str]| {
            let config = new.config().to_str().unwrap();
            world.floe(&[&["operator", "recover", "-from-snapshot", name, "-config", config], more].concat())
        };
        new.reconfigure(|c| c["keyring"] = json!({ "file": { "path": other_kek } }));
        recover(&["-confirm"]).fails(1, &["no key-encryption key of this agent opens root key"]);
        new.reconfigure(|c| drop(c.as_object_mut().unwrap().remove("keyring")));
        recover(&["-confirm"]).fails(1, &["no keyring block"]);
        new.reconfigure(|c| c["keyring"] = json!({ "file": { "path": file } }));
        assert!(recover(&[]).ok().contains("Nothing was changed"));
        assert!(!new.data().exists(), "it only looked");
        assert!(recover(&["-confirm"]).ok().contains("Start its agent"));
        recover(&["-confirm"]).fails(1, &["is not empty"]);
        new.start();
        eventually("the node is back", || {
            let nodes = new.api().try_get("/v1/nodes")?;
            (nodes.as_array()?.len() == 1 && nodes[0]["Status"] == "ready").then_some(())
        });
        settled(&new);
        assert_eq!(jobs_of(&new), ["web"]);
        new.api().run(&web("web").copies(2));
        assert_eq!(client.task_pid(&alloc, "t"), pid, "the task never noticed");
        assert!(fs::exists(format!("/proc/{pid}")).unwrap(), "and runs");
        // It is a cluster as any other: it grows, and its keys rotate.
        let third = server_on(world, "s3", hosts[3], &file).joins(&new).start();
        wait_voters(&new, &["s2", "s3"]);
        settled(&third);
        // The old server comes back after all, with its old disk, and is told that it is over.
        fs::rename(&aside, old.data()).unwrap();
        old.reconfigure(|c| c["server"]["retry_join"] = json!([new.rpc()]));
        old.launch();
        eventually("it knows", || old.log().contains("was removed from the cluster").then_some(()));
        wait_voters(&new, &["s2", "s3"]);
        old.terminate();
        assert_eq!(client.task_pid(&alloc, "t"), pid);
    });
}

#[test]
fn servers_that_joined_after_the_backup_are_refused_by_what_goes_on_from_it() {
    world(|world| {
        let file = kek(world, "a.kek");
        let hosts = [world.host(), world.host(), world.host(), world.host()];
        let old = server_on(world, "s1", hosts[0], &file).start();
        let new = server_on(world, "s4", hosts[3], &file).build();
        on(hosts[0], || written(&old, "before"));
        settled(&old);
        let snapshot = world.dir().join("backup.snap");
        let (name, address) = (snapshot.to_str().unwrap(), format!("http://{}", old.http()));
        hosts[0].run(|| world.floe(&["operator", "snapshot", "save", name, "-address", &address]).ok());
        // Two servers that the backup does not know, and that are a majority of the old cluster.
        let late: Vec<Arc<Agent>> =
            [("s2", hosts[1]), ("s3", hosts[2])].map(|(name, host)| server_on(world, name, host, &file).joins(&old).start()).to_vec();
        wait_voters(&old, &["s1", "s2", "s3"]);
        on(hosts[1], || written(&late[0], "lost-with-the-backup"));
        [&old, &late[0], &late[1]].iter().for_each(|server| server.kill());
        let config = new.config().to_str().unwrap();
        let said = world.floe(&["operator", "recover", "-from-snapshot", name, "-config", config, "-confirm"]).ok();
        assert!(said.contains("all that joined after the snapshot was made"), "{said}");
        new.start();
        for server in &late {
            server.reconfigure(|c| c["server"]["retry_join"] = json!([new.rpc(), late[0].rpc(), late[1].rpc()]));
            server.launch();
        }
        for server in &late {
            eventually("it hears that it is over, and what to do", || {
                let log = server.log();
                (log.contains("from a backup of which this cluster")
                    && log.contains("remove its data folder")
                    && log.contains("was removed"))
                .then_some(())
            });
        }
        // They are a majority of the old cluster, and make none.
        eventually("they carry nothing out", || {
            let refused = on(hosts[1], || !write(&late[0], "in-a-second-cluster"));
            refused.then_some(())
        });
        eventually("the new one says who was refused", || {
            let log = new.log();
            (log.contains("(s2 at ") && log.contains("(s3 at ") && log.contains("join as a new server with a token")).then_some(())
        });
        wait_voters(&new, &["s4"]);
        assert_eq!(jobs_of(&new), ["before"]);
        // As a new one it is welcome.
        late[0].terminate();
        late[1].terminate();
        fs::remove_dir_all(late[0].data()).unwrap();
        let token = new.api().put("/v1/operator/join-token", &json!({ "Role": "server" }));
        world.file("s2.token", text(&token["Token"]));
        late[0].start();
        wait_voters(&new, &["s2", "s4"]);
        assert_eq!(jobs_of(&late[0]), ["before"]);
        // What was recovered still meets the other one at times, and does not mind.
        late[1].launch();
        eventually("the last one hears it again", || {
            (late[1].log().matches("from a backup of which this cluster").count() > 1).then_some(())
        });
        wait_voters(&new, &["s2", "s4"]);
        on(hosts[1], || written(&late[0], "after"));
        late[1].terminate();
    });
}

/// Runs something on the host whose agent is asked.
fn on<T: Send>(host: Host, run: impl FnOnce() -> T + Send) -> T {
    host.run(run)
}

fn jobs_of(agent: &Agent) -> Vec<String> {
    let jobs = agent.api().get("/v1/jobs");
    jobs.as_array().unwrap().iter().map(|job| text(&job["ID"]).to_owned()).collect()
}
