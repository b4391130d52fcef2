//! Backups: saved under load, checked, and restored: on a machine that lost everything, and into a cluster that runs.

#[path = "../../../s3/tests/support/mod.rs"]
mod s3;

use crate::{
    agent::Agent,
    api::{id, text},
    cluster::{jobs, leader, three, three_with, write, written},
    command::Outcome,
    http::Request,
    job::web,
    world::{HOST, World, eventually, world},
};
use s3::{Fake, Fault};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// `floe operator snapshot` with these words, asked of this agent.
fn snapshot(world: &World, agent: &Agent, words: &[&str]) -> Outcome {
    let address = format!("http://{}", agent.http());
    world.floe(&[&["operator", "snapshot"], words, &["-address", &address]].concat())
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What is in a file.
fn inspect(world: &World, file: &Path) -> Value {
    world.floe(&["operator", "snapshot", "inspect", "-json", name(file)]).json()
}

/// What this server knows, by its digest.
fn digest(world: &World, agent: &Agent) -> String {
    let file = world.dir().join("digest.snap");
    snapshot(world, agent, &["save", "-stale", "-overwrite", name(&file)]).ok();
    text(&inspect(world, &file)["ContentDigest"]).to_owned()
}

/// Saves while jobs are registered one after the other; returns the file.
fn save_under_load(world: &World, agent: &Agent) -> PathBuf {
    let file = world.dir().join("backup.snap");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut n = 0;
            while !is_over.load(Ordering::Relaxed) {
                written(agent, &format!("load-{n}"));
                n += 1;
            }
            n
        });
        eventually("some jobs are there", || (jobs(agent).len() > 20).then_some(()));
        snapshot(world, agent, &["save", name(&file)]).ok();
        is_over.store(true, Ordering::Relaxed);
        assert!(load.join().unwrap() > 20);
    });
    file
}

#[test]
fn a_machine_that_lost_everything_gets_its_cluster_back() {
    world(|world| {
        let agent = world.start_agent("a");
        agent.api().run(&web("web").copies(2));
        let file = save_under_load(world, &agent);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let said = inspect(world, &file);
        snapshot(world, &agent, &["save", name(&file)]).fails(1, &["exists already", "-overwrite"]);
        assert!(world.floe(&["operator", "snapshot", "verify", name(&file)]).ok().contains("is whole"));
        let shown = world.floe(&["operator", "snapshot", "inspect", name(&file)]).ok();
        assert!(shown.contains(text(&said["ClusterID"])) && shown.contains("job_versions"), "{shown}");
        let redacted = world.dir().join("redacted.snap");
        world.floe(&["operator", "snapshot", "redact", name(&file), name(&redacted)]).ok();
        assert_eq!(inspect(world, &redacted)["Redacted"], true);
        snapshot(world, &agent, &["restore", name(&redacted)]).fails(1, &["it is redacted", "-force"]);
        // Everything is gone: the jobs, then the machine.
        agent.api().stop_all_jobs();
        assert!(agent.terminate().success());
        fs::remove_dir_all(agent.data()).unwrap();
        agent.start();
        assert_eq!(jobs(&agent), Vec::<String>::new());
        let cut = world.file("cut.snap", &fs::read(&file).unwrap()[..1000]);
        world.floe(&["operator", "snapshot", "verify", name(&cut)]).fails(1, &["cut off or damaged"]);
        snapshot(world, &agent, &["restore", name(&cut)]).fails(1, &["cut off or damaged"]);
        let refused = Request::new("PUT", "/v1/operator/snapshot").body(fs::read(&cut).unwrap()).send(agent.http()).unwrap();
        assert_eq!(refused.status(), 400, "{}", refused.text());
        assert_eq!(jobs(&agent), Vec::<String>::new(), "nothing was changed");
        let before = agent.api().send(Request::get("/v1/jobs")).index();
        let out = snapshot(world, &agent, &["restore", name(&file)]).ok();
        assert!(out.contains(text(&said["ContentDigest"])), "the content is what was saved: {out}, {said:#}");
        assert!(agent.api().send(Request::get("/v1/jobs")).index() > before.max(said["Index"].as_u64().unwrap()));
        assert!(jobs(&agent).len() > 20);
        // The node of the snapshot is no more; what ran there runs on the new one.
        let node = id(&agent.api().get("/v1/nodes?filter=Status==ready")[0]);
        agent.api().wait("the job runs again", "/v1/job/web/allocations", |allocs| {
            let up = |a: &&Value| a["ClientStatus"] == "running" && a["DesiredStatus"] == "run" && text(&a["NodeID"]) == node;
            (allocs.as_array()?.iter().filter(up).count() == 2).then_some(())
        });
    });
}

#[test]
fn a_running_cluster_goes_back_to_what_it_was() {
    world(|world| {
        let servers = three(world);
        let client = world.agent("c").client_of(&servers[0]).start();
        servers[0].api().run(&web("web"));
        servers[0].api().run(&web("kept"));
        let file = world.dir().join("backup.snap");
        snapshot(world, &client, &["save", name(&file)]).fails(1, &["from its servers"]);
        snapshot(world, &servers[2], &["save", name(&file)]).ok();
        let said = inspect(world, &file);
        let kept = id(&servers[0].api().get("/v1/job/kept/allocations")[0]);
        let pid = client.task_pid(&kept, "t");
        // A mistake: one job is gone, and another one came.
        servers[0].api().delete("/v1/job/web?purge=true");
        servers[1].api().run(&web("mistake"));
        servers[1].api().wait_quiet("/v1/jobs");
        let index = servers[1].api().send(Request::get("/v1/job/kept")).index();
        let waiting = thread::scope(|scope| {
            let (path, to) = (format!("/v1/job/kept?index={index}&wait=30s"), servers[1].http());
            let waiting = scope.spawn(move || Request::get(&path).send(to).unwrap().index());
            let out = snapshot(world, &servers[1], &["restore", name(&file)]).ok();
            assert!(out.contains(text(&said["ContentDigest"])), "{out}, {said:#}");
            waiting.join().unwrap()
        });
        assert!(waiting > said["Index"].as_u64().unwrap().max(index), "who waits for a job that did not change hears of it");
        for server in &servers {
            assert_eq!(jobs(server), ["kept", "web"]);
        }
        servers[0].api().wait("the job that was gone runs again", "/v1/job/web/allocations", |allocs| {
            let up = allocs.as_array()?.iter().find(|a| a["ClientStatus"] == "running" && a["DesiredStatus"] == "run")?;
            // The row came back with the snapshot; that it is true shows the process.
            let pid = client.try_task_pid(&id(up), "t")?;
            Path::new(&format!("/proc/{pid}")).exists().then_some(())
        });
        eventually("what came by mistake is gone", || {
            let own = client.api().get("/v1/allocations");
            own.as_array()?.iter().all(|a| a["JobID"] != "mistake").then_some(())
        });
        assert_eq!(client.task_pid(&kept, "t"), pid, "what was there all the time runs on");
        eventually("all servers have the same", || {
            let all: Vec<String> = servers.iter().map(|s| digest(world, s)).collect();
            all.iter().all(|d| *d == all[0]).then_some(())
        });
        // It is a cluster as before: servers come back, and leaders change.
        servers[0].kill();
        eventually("the others take writes", || write(&servers[1], "after").then_some(()));
        servers[0].start();
        eventually("it has what it missed", || jobs(&servers[0]).contains(&"after".to_owned()).then_some(()));
    });
}

/// A figure of an agent's metrics, of the snapshots in its folder.
fn metric(agent: &Agent, name: &str) -> Option<f64> {
    metric_of(agent, "local_storage", name)
}

/// The same of another target.
fn metric_of(agent: &Agent, target: &str, name: &str) -> Option<f64> {
    let text = Request::get("/v1/metrics?format=prometheus").send(agent.http()).ok()?.text();
    let name = format!("{name}{{target=\"{target}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse().ok())
}

/// The snapshots in a folder, by name; the oldest first.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| name(p).contains("/night-")).collect();
    files.sort();
    files
}

#[test]
fn the_leader_keeps_snapshots_and_the_next_one_goes_on() {
    world(|world| {
        let folder = world.dir().join("snapshots");
        let set = |c: &mut Value| {
            c["snapshot"] = json!({ "interval": "1s", "retain": 3, "prefix": "night", "local_storage": { "path": folder } });
        };
        let servers = three_with(world, set);
        fs::write(folder.join("night-somebody-elses.snap"), "mine").unwrap();
        let first = leader(&servers, &servers[0]).clone();
        write(&first, "job");
        let own = |folder: &Path| kept(folder).into_iter().filter(|p| !name(p).contains("somebody")).collect::<Vec<_>>();
        let begin = eventually("three are kept", || own(folder.as_path()).get(2).cloned());
        eventually("the oldest of them is gone", || (!begin.exists() && own(&folder).len() <= 4).then_some(()));
        for (server, leads) in servers.iter().map(|s| (s, s.name() == first.name())) {
            assert_eq!(metric(server, "floe_snapshot_made_total").unwrap() > 0.0, leads, "only the leader makes them");
            assert_eq!(metric(server, "floe_snapshot_age_seconds").is_some(), leads);
        }
        assert!(metric(&first, "floe_snapshot_age_seconds").unwrap() < 30.0);
        assert!(metric(&first, "floe_snapshot_size_bytes").unwrap() > 100.0);
        first.kill();
        let survivor = servers.iter().find(|s| s.is_running()).unwrap();
        eventually("writes go on", || write(survivor, "later").then_some(()));
        let next = leader(&servers, survivor);
        eventually("the next leader makes them", || metric(next, "floe_snapshot_made_total").filter(|n| *n >= 2.0));
        let newest = own(&folder).pop().unwrap();
        let copy = world.dir().join("newest.snap");
        fs::copy(&newest, &copy).unwrap();
        assert_eq!(fs::metadata(&newest).unwrap().permissions().mode() & 0o777, 0o600);
        world.floe(&["operator", "snapshot", "verify", name(&copy)]).ok();
        assert!(folder.join("night-somebody-elses.snap").exists());
        first.start();
    });
}

#[test]
fn a_snapshot_that_cannot_be_kept_is_told() {
    world(|world| {
        let file = world.file("no-folder", "a file");
        let agent = world.agent("a").server_only().set(|c| c["snapshot"] = json!({ "interval": "1s", "local_storage": { "path": file } }));
        let agent = agent.start();
        eventually("it fails again and again", || metric(&agent, "floe_snapshot_failures_total").filter(|n| *n >= 2.0));
        assert!(agent.log().contains("no snapshot was kept"), "{}", agent.log());
        assert_eq!(metric(&agent, "floe_snapshot_made_total"), Some(0.0));
        assert_eq!(metric(&agent, "floe_snapshot_age_seconds"), None);
        // As soon as it can be done it is.
        fs::remove_file(&file).unwrap();
        eventually("it works", || metric(&agent, "floe_snapshot_made_total").filter(|n| *n >= 1.0));
    });
}

/// What is in the store, the oldest first: names and contents.
fn in_store(store: &Fake) -> Vec<(String, Vec<u8>)> {
    store.state().objects.iter().map(|(key, stored)| (key.clone(), stored.bytes.to_vec())).collect()
}

#[test]
fn a_bucket_is_kept_beside_the_folder_and_the_next_leader_goes_on() {
    world(|world| {
        let store = Fake::start_tls(HOST.into());
        let (folder, ca) = (world.dir().join("snapshots"), world.file("ca.pem", s3::CA_CERT));
        let keys = world.file("keys", format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", s3::KEY_ID, s3::SECRET));
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
        let set = |c: &mut Value| {
            let bucket = json!({
                "s3_bucket": s3::BUCKET, "s3_region": s3::REGION, "s3_endpoint": store.endpoint(), "s3_key_prefix": "floe/prod",
                "credentials_file": keys, "ca_cert": ca,
            });
            c["snapshot"] = json!({ "interval": "1s", "retain": 3, "local_storage": { "path": folder }, "aws_storage": bucket });
        };
        store.state().objects.insert("floe/prod/notes.txt".to_owned(), s3::Stored::default());
        let servers = three_with(world, set);
        let first = leader(&servers, &servers[0]).clone();
        write(&first, "job");
        let own = || in_store(&store).into_iter().filter(|(key, _)| key.ends_with(".snap")).collect::<Vec<_>>();
        let begin = eventually("three are kept", || own().get(2).cloned());
        eventually("the oldest of them is gone", || (!own().contains(&begin) && own().len() <= 4).then_some(()));
        for server in &servers {
            let leads = server.name() == first.name();
            assert_eq!(metric_of(server, "aws_storage", "floe_snapshot_made_total").unwrap() > 0.0, leads, "only the leader makes them");
            assert_eq!(metric_of(server, "aws_storage", "floe_snapshot_age_seconds").is_some(), leads);
        }
        // The store has had enough: the folder goes on, and the log says why and not with which key.
        let before = metric_of(&first, "aws_storage", "floe_snapshot_failures_total").unwrap();
        store.fail("list", Fault::Refuse(403, "AccessDenied"));
        eventually("it fails", || metric_of(&first, "aws_storage", "floe_snapshot_failures_total").filter(|n| *n > before));
        let log = first.log();
        assert!(log.contains(&format!("bucket backups at {}", store.endpoint())) && log.contains("403 AccessDenied"), "{log}");
        assert!(!log.contains(s3::SECRET) && !log.contains(s3::KEY_ID), "{log}");
        first.kill();
        let survivor = servers.iter().find(|s| s.is_running()).unwrap();
        eventually("writes go on", || write(survivor, "later").then_some(()));
        let next = leader(&servers, survivor);
        for target in ["aws_storage", "local_storage"] {
            eventually("the next leader makes them", || metric_of(next, target, "floe_snapshot_made_total").filter(|n| *n >= 2.0));
        }
        let (key, bytes) = own().pop().unwrap();
        assert!(key.starts_with("floe/prod/floe-"), "{key}");
        let copy = world.file("newest.snap", bytes);
        world.floe(&["operator", "snapshot", "verify", name(&copy)]).ok();
        assert!(store.keys().contains(&"floe/prod/notes.txt".to_owned()));
        first.start();
    });
}
