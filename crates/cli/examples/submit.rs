//! Measures the time from submitting a job to its process running (P1), and the memory of an idle agent and per running task (P18).
//!
//! usage: submit [RUNS] [bridge|host]
//!
//! It runs an agent in a network namespace of its own, and submits RUNS jobs one after the other. Each is one HTTP request;
//! the clock stops at the moment that the task's supervisor wrote down as the process' start.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

#[path = "support/namespace.rs"]
mod namespace;

use floe_api::{ApiClient, types::JobRegisterRequest};
use floe_model::{Job, Nanos, wire};
use std::{
    fs,
    process::{Child, Command},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const ADDRESS: &str = "http://127.0.0.1:4646";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    namespace::enter(&args[1..]);
    let runs: usize = args.get(1).and_then(|a| a.parse().ok()).unwrap_or(200);
    let mode = args.get(2).cloned().unwrap_or_else(|| "bridge".to_owned());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(bench(runs, &mode));
}

struct Agent {
    child: Child,
    _dir: tempfile::TempDir,
}

impl Agent {
    fn start() -> Agent {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let config = format!(
            "server {{ enabled = true }}\nclient {{\n enabled = true\n bridge_network_name = \"fbench\"\n netns_dir = \"/run/floe/bench/netns\"\n cgroup_parent = \"floe-bench.slice\"\n cpu_total_compute = 100000\n}}\ndata_dir = \"{path}/data\"\n"
        );
        fs::write(dir.path().join("agent.hcl"), config).unwrap();
        let child = Command::new(namespace::floe())
            .args(["agent", "-log-level", "error", "-config"])
            .arg(dir.path().join("agent.hcl"))
            .spawn()
            .unwrap();
        Agent { child, _dir: dir }
    }
}

fn job(id: &str, mode: &str) -> Job {
    let value = serde_json::json!({
        "ID": id, "Type": "service",
        "TaskGroups": [{ "Name": "g", "Networks": [{ "Mode": mode }], "Update": { "MaxParallel": 0 },
            "EphemeralDisk": { "SizeMB": 10 },
            "Tasks": [{ "Name": "t", "Driver": "exec", "KillSignal": "SIGKILL", "Config": { "command": "/usr/bin/sleep", "args": ["1000"] },
                "LogConfig": { "MaxFiles": 1, "MaxFileSizeMB": 1 }, "Resources": { "CPU": 10, "MemoryMB": 10 } }] }]
    });
    wire::from_value(value).unwrap().value
}

/// Submits a job; returns the milliseconds until its process ran.
async fn submit(client: &ApiClient, id: &str, mode: &str) -> f64 {
    let request = JobRegisterRequest { job: Some(job(id, mode)), ..JobRegisterRequest::default() };
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    client.register_job(&request).await.unwrap();
    let mut index = 0;
    loop {
        let answer = client.job_allocations(id, index, Nanos::from_secs(10)).await.unwrap();
        index = answer.index;
        if let Some(state) = answer.value.first().and_then(|a| a.task_states.get("t")) {
            assert!(!state.failed, "{state:?}");
            if !state.started_at.is_never() {
                return (state.started_at.0 - began) as f64 / 1e6;
            }
        }
    }
}

async fn stop(client: &ApiClient, id: &str) {
    client.stop_job(id, true).await.unwrap();
    let mut index = 0;
    loop {
        let answer = client
            .get_after::<Vec<floe_api::types::AllocationListStub>>(
                &format!("/v1/job/{id}/allocations"),
                &[("all", "true".to_owned())],
                index,
                Nanos::from_secs(10),
            )
            .await
            .unwrap();
        if answer.value.iter().all(|a| a.client_status.is_terminal()) {
            return;
        }
        index = answer.index;
    }
}

/// Proportional and private memory of a process in MiB.
fn memory(pid: u32) -> (f64, f64) {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |names: &[&str]| {
        let kib =
            |n: &&str| text.lines().find_map(|l| l.strip_prefix(*n)?.split_ascii_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0);
        names.iter().map(kib).sum::<f64>() / 1024.0
    };
    (field(&["Pss:"]), field(&["Private_Clean:", "Private_Dirty:"]))
}

fn shims() -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|b| *b == 0).nth(1) == Some(b"shim") {
            found.push(pid);
        }
    }
    found
}

fn percentile(sorted: &[f64], p: usize) -> f64 {
    sorted[(sorted.len() - 1) * p / 100]
}

async fn bench(runs: usize, mode: &str) {
    let before = shims();
    let mut agent = Agent::start();
    let client = ApiClient::new(ADDRESS, None, None).unwrap();
    let began = Instant::now();
    while !client.agent_health().await.is_ok_and(|h| h.client.is_some_and(|c| c.ok)) {
        assert!(began.elapsed() < Duration::from_secs(30), "the agent did not get ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("agent ready after {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (pss, private) = memory(agent.child.id());
    println!("idle agent (server and client): {pss:.1} MiB proportional, {private:.1} MiB private");
    submit(&client, "warm-up", mode).await;
    stop(&client, "warm-up").await;
    let mut times = Vec::new();
    for i in 0..runs {
        let id = format!("b{i}");
        times.push(submit(&client, &id, mode).await);
        stop(&client, &id).await;
    }
    times.sort_by(f64::total_cmp);
    println!(
        "submit -> process runs, mode {mode}, {runs} runs: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        percentile(&times, 50),
        percentile(&times, 90),
        percentile(&times, 99),
        times[runs - 1]
    );
    let many = 20;
    for i in 0..many {
        submit(&client, &format!("m{i}"), mode).await;
    }
    let mine: Vec<u32> = shims().into_iter().filter(|p| !before.contains(p)).collect();
    let sums = mine.iter().map(|p| memory(*p)).fold((0.0, 0.0), |s, m| (s.0 + m.0, s.1 + m.1));
    let (with, _) = memory(agent.child.id());
    let n = f64::from(many);
    println!(
        "per running task ({} supervisors of {many} tasks): {:.2} MiB proportional, {:.2} MiB private; the agent grew by {:.2} MiB a task",
        mine.len(),
        sums.0 / n,
        sums.1 / n,
        (with - pss) / n
    );
    for i in 0..many {
        stop(&client, &format!("m{i}")).await;
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(agent.child.id().cast_signed()), nix::sys::signal::Signal::SIGTERM).unwrap();
    agent.child.wait().unwrap();
}
