//! Data folders of earlier builds, which every later one must read; and of later ones, which this one must leave alone.
//!
//! `crates/cli/tests/fixtures/VERSION/folder.tar.gz` is what an agent of that cluster version left behind. The test makes one anew each time and reads
//! it, too, so that what makes them is known to work:
//!
//! ```text
//! FLOE_SAVE_FOLDER=1 cargo test -p floe --test e2e folders::     also puts it where those of all versions are
//! ```

use crate::{
    agent::{Agent, AgentBuilder},
    api::{id, text},
    cluster::{quick, wait_voters, written},
    command::run,
    job::{batch, service, web},
    keyring::{kek, keyring, settled},
    world::{World, eventually, world},
};
use floe_state::command::CLUSTER_VERSION;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where the folders of all versions are.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
/// The most bytes of one that is kept with the source.
const KEPT_BYTES: u64 = 100 << 10;
/// Longer than any fixture will be kept.
const NEVER: &str = "876000h";

/// A server and client that forgets nothing because of its age, and waits for no node.
fn lasting<'w>(world: &'w World, name: &str, kek: &Path) -> AgentBuilder<'w> {
    quick(world.agent(name)).set(|c| {
        c["keyring"] = json!({ "file": { "path": kek } });
        for what in ["eval_gc", "batch_eval_gc", "job_gc", "node_gc", "deployment_gc", "root_key_gc"] {
            c["server"][format!("{what}_threshold")] = json!(NEVER);
        }
        for what in ["min_heartbeat_ttl", "heartbeat_grace"] {
            c["server"][what] = json!("1h");
        }
    })
}

/// What the folder's server says, without a node that could change it: what a later build must find, and the digest of all of it.
fn told(world: &World, agent: &Agent) -> Value {
    let pick = |row: &Value, fields: &[&str]| -> Value { fields.iter().map(|f| ((*f).to_owned(), row[*f].clone())).collect() };
    let rows =
        |path: &str, fields: &[&str]| -> Value { agent.api().get(path).as_array().unwrap().iter().map(|r| pick(r, fields)).collect() };
    let file = world.dir().join("told.snap");
    let address = format!("http://{}", agent.http());
    world.floe(&["operator", "snapshot", "save", "-overwrite", file.to_str().unwrap(), "-address", &address]).ok();
    let saved = world.floe(&["operator", "snapshot", "inspect", "-json", file.to_str().unwrap()]).json();
    let variables: Value =
        agent.api().get("/v1/vars").as_array().unwrap().iter().map(|v| agent.api().get(&format!("/v1/var/{}", text(&v["Path"])))).collect();
    json!({
        "version": CLUSTER_VERSION,
        "digest": saved["ContentDigest"],
        "cluster": saved["ClusterID"],
        "jobs": rows("/v1/jobs", &["ID", "Status", "Stop", "JobModifyIndex"]),
        "versions": agent.api().get("/v1/job/idle/versions")["Versions"].as_array().unwrap().iter().map(|v| v["Version"].clone()).collect::<Vec<_>>(),
        "allocations": rows("/v1/allocations", &["ID", "JobID", "DesiredStatus", "ClientStatus", "NodeID"]),
        "evaluations": rows("/v1/evaluations", &["ID", "JobID", "Status", "TriggeredBy"]),
        "deployments": rows("/v1/deployments", &["ID", "JobID", "Status"]),
        "services": agent.api().get("/v1/services"),
        "nodes": rows("/v1/nodes", &["ID", "Name"]),
        "keys": rows("/v1/operator/keyring/keys", &["KeyID", "State", "Closed", "Sealed"]),
        "variables": variables,
    })
}

/// The agent without its client, which changes nothing; what it tells. It is stopped again.
fn tell_alone(world: &World, agent: &Agent) -> Value {
    let client = |enabled: bool| agent.reconfigure(|c| c["client"]["enabled"] = json!(enabled));
    client(false);
    agent.start();
    wait_voters(agent, &[agent.name()]);
    settled(agent);
    let told = told(world, agent);
    assert!(agent.terminate().success());
    client(true);
    told
}

/// Lives through some of everything, and packs what is on the disk then: the data folder, the key-encryption key, and what is in it.
fn make(world: &World) -> PathBuf {
    let parts = world.dir().join("parts");
    fs::create_dir(&parts).unwrap();
    let key = kek(world, "parts/a.kek");
    let agent = lasting(world, "a", &key).set(|c| c["data_dir"] = json!(parts.join("data"))).start();
    let other = quick(world.agent("b")).joins(&agent).set(|c| c["keyring"] = json!({ "file": { "path": key } })).start();
    wait_voters(&agent, &["a", "b"]);
    settled(&agent);
    let api = agent.api();
    api.run(&batch("done", "echo done"));
    api.stop(&{
        let gone = service("gone", "exec sleep 10000");
        api.run(&gone);
        gone
    });
    for edition in 0..3 {
        api.evaluate(&service("idle", "true").copies(0).set(|j| j["Meta"] = json!({ "edition": edition.to_string() })));
    }
    api.put("/v1/var/app/db", &json!({ "Items": { "password": "hunter2" } }));
    let alloc = api.run_one(&web("web").announced("web", &["a"]).restarts(10, 10));
    api.wait("web is deployed", "/v1/job/web/deployment", |d| (d["Status"] == "successful").then_some(()));
    // A membership of one, and a snapshot, which a recovered server makes when it starts.
    other.kill();
    agent.kill();
    let data = agent.data().to_str().unwrap();
    world.floe(&["operator", "recover", "-data-dir", data, "-confirm"]).ok();
    agent.start();
    written(&agent, "after-the-snapshot");
    let snapshots = fs::read_dir(agent.data().join("server/snapshots")).unwrap().count();
    assert!(snapshots > 0, "no snapshot was made");
    let pid = agent.task_pid(&alloc, "t");
    agent.api().wait_quiet("/v1/evaluations");
    assert!(agent.terminate().success());
    // As on a machine that was switched off: nothing runs any more.
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("the task ends", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    fs::write(parts.join("told.json"), format!("{:#}", tell_alone(world, &agent))).unwrap();
    let packed = world.dir().join("folder.tar.gz");
    let tar = world.program("tar", &["--sparse", "-czf", packed.to_str().unwrap(), "-C", parts.to_str().unwrap(), "."]);
    run(tar).ok();
    agent.start();
    packed
}

/// Unpacks a folder; an agent on it, not started, and what it must tell.
fn unpack(world: &World, packed: &Path) -> (Arc<Agent>, Value) {
    let parts = world.dir().join("unpacked");
    fs::create_dir(&parts).unwrap();
    run(world.program("tar", &["-xzf", packed.to_str().unwrap(), "-C", parts.to_str().unwrap()])).ok();
    let told = serde_json::from_slice(&fs::read(parts.join("told.json")).unwrap()).unwrap();
    (lasting(world, "a", &parts.join("a.kek")).set(|c| c["data_dir"] = json!(parts.join("data"))).build(), told)
}

/// This build reads the folder whole, and goes on with it.
fn goes_on(packed: &Path) {
    world(|world| {
        let (agent, mut expected) = unpack(world, packed);
        let mut found = tell_alone(world, &agent);
        if expected.get("variables").is_none() {
            // There were none before version 5.
            expected["variables"] = json!([]);
        }
        if expected["version"] != CLUSTER_VERSION {
            // Rows may have come to hold more since; all else must be as it was.
            for told in [&mut expected, &mut found] {
                ["version", "digest"].iter().for_each(|field| told[*field] = Value::Null);
            }
        }
        assert_eq!(found, expected, "left: what this build reads, right: what was written");
        agent.start();
        let api = agent.api();
        api.wait("the node is the same one, and there", "/v1/nodes", |nodes| {
            (nodes.as_array()?.len() == 1 && nodes[0]["ID"] == expected["nodes"][0]["ID"] && nodes[0]["Status"] == "ready").then_some(())
        });
        let old = expected["allocations"].as_array().unwrap().iter().find(|a| a["JobID"] == "web").unwrap();
        let alloc = id(old);
        eventually("the task that was to run runs again", || {
            let pid = agent.try_task_pid(&alloc, "t")?;
            Path::new(&format!("/proc/{pid}")).exists().then_some(())
        });
        written(&agent, "by-a-later-build");
        api.run(&batch("again", "echo again"));
        keyring(world, &agent, &["rotate", "-full"]).ok();
        settled(&agent);
        agent.kill();
        agent.start();
        let jobs = api.get("/v1/jobs");
        let names: Vec<&str> = jobs.as_array().unwrap().iter().map(|j| text(&j["ID"])).collect();
        assert_eq!(names, ["after-the-snapshot", "again", "by-a-later-build", "done", "gone", "idle", "web"]);
    });
}

#[test]
fn a_data_folder_of_any_version_is_read_whole_and_goes_on() {
    let held = tempfile::tempdir().unwrap();
    let made = held.path().join("folder.tar.gz");
    world(|world| assert!(fs::copy(make(world), &made).unwrap() > 0));
    let own = Path::new(FIXTURES).join(CLUSTER_VERSION.to_string()).join("folder.tar.gz");
    if std::env::var_os("FLOE_SAVE_FOLDER").is_some() {
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::copy(&made, &own).unwrap();
    }
    assert!(
        own.is_file(),
        "version {CLUSTER_VERSION} has no folder for later builds to read: FLOE_SAVE_FOLDER=1 cargo test -p floe --test e2e folders::"
    );
    goes_on(&made);
    for version in fs::read_dir(FIXTURES).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let packed = version.join("folder.tar.gz");
        let size = fs::metadata(&packed).unwrap().len();
        assert!(size < KEPT_BYTES, "{} has {size} bytes, which is too much to keep with the source", packed.display());
        eprintln!("{}", packed.display());
        goes_on(&packed);
    }
}

/// The content of all files of a folder, but for the lock, in which each agent that tries writes its pid, and the log, in which redb notes that it was
/// opened: what is in that one is compared by what a server tells.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(content(&entry.path()));
        } else if entry.file_type().unwrap().is_file() && !["lock", "raft.redb"].contains(&entry.file_name().to_str().unwrap()) {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn a_data_folder_of_a_newer_version_is_refused_and_left_as_it_is() {
    world(|world| {
        let own = Path::new(FIXTURES).join(CLUSTER_VERSION.to_string()).join("folder.tar.gz");
        let (agent, expected) = unpack(world, &own);
        let snapshots = agent.data().join("server/snapshots");
        let snapshot = fs::read_dir(snapshots).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "snap"));
        let snapshot = snapshot.expect("the folder has a snapshot");
        let bytes = fs::read(&snapshot).unwrap();
        // The version of the file's form stands behind eight bytes that say what it is.
        let mut newer = bytes.clone();
        let form = u32::from_be_bytes(newer[8..12].try_into().unwrap());
        newer[8..12].copy_from_slice(&(form + 1).to_be_bytes());
        fs::write(&snapshot, &newer).unwrap();
        let before = content(agent.data());
        let said = run(agent.command_for_reading())
            .fails(1, &[&format!("has format {}, but this build reads up to {form}", form + 1), "upgrade floe on this server"]);
        assert!(said.contains(snapshot.file_name().unwrap().to_str().unwrap()), "{said}");
        let after = content(agent.data());
        let changed: Vec<_> = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(changed.is_empty(), "changed by an agent that refused to start: {changed:?}");
        // With the newer build (here: as it was) nothing is missing.
        fs::write(&snapshot, bytes).unwrap();
        assert_eq!(tell_alone(world, &agent), expected);
    });
}
