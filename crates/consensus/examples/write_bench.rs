//! Measures durable writes through Raft, one server, beside the disk's own fdatasync. usage: write_bench [folder]
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss, reason = "a program for people")]

use floe_consensus::{Config, Consensus, DataFolder, ServerAddress};
use floe_model::{AllocClientStatus, Allocation, Job, Node, Task, TaskGroup, TaskState, alloc::TaskPhase};
use floe_state::{
    Command, Plan,
    command::{AllocUpdate, RegisterJob},
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

const NODE: &str = "11111111-1111-4111-8111-111111111111";
const ALLOC: &str = "22222222-2222-4222-8222-222222222222";
const RUN: Duration = Duration::from_secs(4);
const RAW_BYTES: usize = 512;

fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(&base).unwrap();
    println!("folder {}, {} cores", base.display(), std::thread::available_parallelism().unwrap());
    println!("| what | writes/s | p50 ms | p99 ms | syncs | writes a sync |");
    println!("|---|---|---|---|---|---|");
    raw(dir.path(), "append + fdatasync", RAW_BYTES as u64);
    raw(dir.path(), "overwrite + fdatasync", 0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for proposers in [1, 64, 256] {
        runtime.block_on(bench(&dir.path().join(proposers.to_string()), proposers));
    }
    raw(dir.path(), "append + fdatasync, again", RAW_BYTES as u64);
    raw(dir.path(), "overwrite + fdatasync, again", 0);
}

fn row(what: &str, mut latencies: Vec<Duration>, took: Duration, syncs: u64) {
    latencies.sort();
    let at = |part: usize| latencies[(latencies.len() - 1) * part / 100].as_secs_f64() * 1e3;
    let rate = latencies.len() as f64 / took.as_secs_f64();
    let each = latencies.len() as f64 / syncs as f64;
    println!("| {what} | {rate:.0} | {:.2} | {:.2} | {syncs} | {each:.1} |", at(50), at(99));
}

/// What the disk can do, one write after the other. Appending changes the file's length, which the file system must write down too; redb
/// writes into room that it made before.
fn raw(dir: &Path, what: &str, step: u64) {
    let file = File::create(dir.join("raw")).unwrap();
    file.write_all_at(&vec![0; 1 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let started = Instant::now();
    let mut latencies = Vec::new();
    let mut at = if step == 0 { 0 } else { 1 << 20 };
    while started.elapsed() < RUN / 2 {
        let began = Instant::now();
        file.write_all_at(&[7; RAW_BYTES], at).unwrap();
        file.sync_data().unwrap();
        latencies.push(began.elapsed());
        at += step;
    }
    let syncs = latencies.len() as u64;
    row(what, latencies, started.elapsed(), syncs);
}

/// What an idle server costs. Every thread has a file of its own.
async fn idle(server: &Consensus) {
    let all = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let one = |t: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(t.unwrap().path().join("schedstat")).unwrap_or_default();
        threads.map(one).map(|s| s.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)).sum::<u64>()
    };
    let (before, commits) = (all(), server.status().log.commits);
    tokio::time::sleep(RUN).await;
    let part = (all() - before) as f64 / RUN.as_nanos() as f64 * 100.0;
    println!("<!-- idle: {part:.2} % of a core, {} syncs in {RUN:?} -->", server.status().log.commits - commits);
}

async fn bench(dir: &Path, proposers: usize) {
    let address = ServerAddress::new("bench".to_owned(), "127.0.0.1:4647".to_owned());
    let server = Consensus::open(Config::single("bench".to_owned().into(), DataFolder::open(dir).unwrap(), address)).await.unwrap();
    place(&server).await;
    let before = server.status().log.commits;
    let started = Instant::now();
    let tasks: Vec<_> = (0..proposers)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while started.elapsed() < RUN {
                    let began = Instant::now();
                    server.propose(report()).await.unwrap();
                    latencies.push(began.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let (took, syncs) = (started.elapsed(), server.status().log.commits - before);
    row(&format!("{proposers} proposers"), latencies, took, syncs);
    if proposers == 1 {
        idle(&server).await;
    }
    let began = Instant::now();
    server.shutdown().await;
    let stopped = began.elapsed();
    drop(server);
    let began = Instant::now();
    let address = ServerAddress::new("bench".to_owned(), "127.0.0.1:4647".to_owned());
    let server = Consensus::open(Config::single("bench".to_owned().into(), DataFolder::open(dir).unwrap(), address)).await.unwrap();
    let (opened, index) = (began.elapsed(), server.view().index());
    server.shutdown().await;
    println!("<!-- shut down in {stopped:.1?}, opened at entry {index} in {opened:.1?} -->");
}

/// A node with an allocation, so that reports change something.
async fn place(server: &Consensus) {
    let task = Task { name: "server".to_owned(), driver: "exec".to_owned(), ..Task::default() };
    let group = TaskGroup { name: "web".to_owned(), count: Some(1), tasks: vec![task], ..TaskGroup::default() };
    let job = Job { id: "web".into(), name: "web".to_owned(), namespace: "default".into(), task_groups: vec![group], ..Job::default() };
    let alloc = Allocation {
        id: ALLOC.into(),
        namespace: "default".into(),
        job_id: "web".into(),
        task_group: "web".to_owned(),
        node_id: NODE.into(),
        ..Allocation::default()
    };
    let register = RegisterJob { job: Box::new(job.clone()), submission: None, enforce_index: None, eval_priority: None };
    server.propose(Command::RegisterNode { node: Box::new(Node { id: NODE.into(), ..Node::default() }) }).await.unwrap();
    server.propose(Command::RegisterJob(register)).await.unwrap();
    let plan = Plan { job: Some(Box::new(job)), placements: vec![alloc], ..Plan::default() };
    server.propose(Command::Plan(Box::new(plan))).await.unwrap();
    assert!(server.view().alloc(&ALLOC.into()).is_some(), "the allocation was not placed");
}

fn report() -> Command {
    let task = TaskState { state: TaskPhase::Running, ..TaskState::default() };
    let update = AllocUpdate {
        id: ALLOC.into(),
        node_id: NODE.into(),
        client_status: AllocClientStatus::Running,
        client_description: "Tasks are running".to_owned(),
        task_states: [("server".to_owned(), task)].into(),
        ..AllocUpdate::default()
    };
    Command::UpdateAllocs { updates: vec![update] }
}
