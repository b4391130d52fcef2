//! Measures the time from the death of a node to its work running elsewhere (P8), with the default timings.
//!
//! usage: node_loss [ROUNDS]
//!
//! It runs a server and two clients in a network namespace of its own. Each round kills the client that has the job's task, with the
//! task itself, and stops when the servers say that a new allocation runs on the other one; then the dead one comes back.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a program for people")]

#[path = "support/connection.rs"]
mod connection;
#[path = "support/namespace.rs"]
mod namespace;
#[path = "support/process.rs"]
mod process;

use connection::Connection;
use process::Process;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    namespace::enter(&args);
    let rounds = args.first().map_or(5, |n| n.parse().unwrap());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(bench(rounds));
}

async fn bench(rounds: usize) {
    let dir = tempfile::tempdir().unwrap();
    let _server = start(dir.path(), 0, &json!({ "server": { "enabled": true } }));
    wait(|| ask("GET", "/v1/status/leader", Value::Null), |leader| (*leader != "").then_some(())).await;
    let mut clients = Vec::new();
    for n in 1..=2 {
        let token = ask("PUT", "/v1/operator/join-token", json!({ "Role": "client" })).await.unwrap();
        fs::write(dir.path().join(format!("a{n}.token")), token["Token"].as_str().unwrap()).unwrap();
        let client = json!({
            "enabled": true, "servers": ["127.0.0.1:4647"], "cpu_total_compute": 10000, "cgroup_parent": format!("floe-bench-{n}.slice"),
            "bridge_network_name": format!("fbench{n}"), "netns_dir": format!("/run/floe/bench{n}"),
        });
        let token = dir.path().join(format!("a{n}.token"));
        clients.push(start(dir.path(), n, &json!({ "join_token_file": token, "client": client })));
    }
    wait(|| ask("GET", "/v1/nodes", Value::Null), all_ready).await;
    let task = json!({ "Name": "t", "Driver": "exec", "KillSignal": "SIGKILL", "Config": { "command": "/usr/bin/sleep", "args": ["10000"] },
        "Resources": { "CPU": 10, "MemoryMB": 10 }, "LogConfig": { "MaxFiles": 1, "MaxFileSizeMB": 1 } });
    let group = json!({ "Name": "g", "Count": 1, "Tasks": [task], "EphemeralDisk": { "SizeMB": 10 }, "Update": { "MaxParallel": 0 } });
    let job = json!({ "ID": "moving", "Type": "service", "TaskGroups": [group] });
    ask("PUT", "/v1/jobs", json!({ "Job": job })).await.unwrap();
    let mut took = Vec::new();
    for round in 1..=rounds {
        let victim = place(None).await;
        let began = Instant::now();
        clients[victim - 1].kill();
        end_tasks(victim);
        place(Some(victim)).await;
        took.push(began.elapsed());
        println!("round {round}: {:.2?}", began.elapsed());
        clients[victim - 1].again();
        wait(|| ask("GET", "/v1/nodes", Value::Null), all_ready).await;
    }
    took.sort_unstable();
    println!("{rounds} rounds: median {:.2?}, longest {:.2?}", took[rounds / 2], took[rounds - 1]);
    let _ = ask("DELETE", "/v1/job/moving?purge=true", Value::Null).await;
    wait(|| ask("GET", "/v1/allocations", Value::Null), |all| all.as_array()?.iter().all(|a| a["ClientStatus"] != "running").then_some(()))
        .await;
}

/// The agent with this number; the first is the server, at the default ports.
fn start(dir: &Path, number: usize, settings: &Value) -> Process {
    let port = 4646 + 10 * number;
    let mut config =
        json!({ "name": format!("a{number}"), "data_dir": dir.join(format!("a{number}")), "ports": { "http": port, "rpc": port + 1 } });
    config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let path = dir.join(format!("a{number}.json"));
    fs::write(&path, config.to_string()).unwrap();
    let program = namespace::floe();
    Process::start(program.to_str().unwrap(), ["agent", "-config", path.to_str().unwrap()].map(str::to_owned).to_vec())
}

async fn ask(method: &str, path: &str, body: Value) -> Option<Value> {
    let mut connection = Connection::new("127.0.0.1:4646".to_owned());
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let answer = connection.send(method, path, "application/json", body).await?;
    answer.is_ok.then(|| serde_json::from_slice(&answer.body).unwrap_or_default())
}

async fn wait<T, F: Future<Output = Option<Value>>>(ask: impl Fn() -> F, look: impl Fn(&Value) -> Option<T>) -> T {
    loop {
        if let Some(found) = ask().await.as_ref().and_then(&look) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn all_ready(nodes: &Value) -> Option<()> {
    let nodes = nodes.as_array()?;
    (nodes.len() == 2 && nodes.iter().all(|n| n["Status"] == "ready")).then_some(())
}

/// The agent on which the job's task runs, once that is not `but`.
async fn place(but: Option<usize>) -> usize {
    let look = |all: &Value| {
        let running = all.as_array()?.iter().find(|a| a["ClientStatus"] == "running" && a["DesiredStatus"] == "run")?;
        let number: usize = running["NodeName"].as_str()?.strip_prefix('a')?.parse().ok()?;
        (but != Some(number)).then_some(number)
    };
    wait(|| ask("GET", "/v1/job/moving/allocations", Value::Null), look).await
}

/// Kills what runs in the agent's cgroups: a machine that dies takes its tasks along.
fn end_tasks(number: usize) {
    let slice = format!("floe-bench-{number}.slice");
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let cgroups = fs::read_to_string(process.path().join("cgroup")).unwrap_or_default();
        if cgroups.contains(&slice) {
            let _ = Command::new("kill").arg("-9").arg(process.file_name()).status();
        }
    }
}
