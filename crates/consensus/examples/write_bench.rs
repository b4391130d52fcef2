//! Durable writes through Raft, one server, beside the disk's own fdatasync: `cargo run --release --example write_bench -p floe-consensus [folder]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss, reason = "a program for people")]

use floe_consensus::{Config, Consensus, DataFolder, ServerAddress};
use floe_model::{AllocClientStatus, Allocation, Job, Node, Task, TaskGroup, TaskState, alloc::TaskPhase};
use floe_state::{
    Command, Plan,
    command::{AllocUpdate, RegisterJob},
};
use std::{
    fs::File,
    io::Write,
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
    raw(dir.path(), "fdatasync before");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for proposers in [1, 64, 256] {
        runtime.block_on(bench(&dir.path().join(proposers.to_string()), proposers));
    }
    raw(dir.path(), "fdatasync after");
}

fn row(what: &str, mut latencies: Vec<Duration>, took: Duration, syncs: u64) {
    latencies.sort();
    let at = |part: usize| latencies[(latencies.len() - 1) * part / 100].as_secs_f64() * 1e3;
    let rate = latencies.len() as f64 / took.as_secs_f64();
    let each = latencies.len() as f64 / syncs as f64;
    println!("| {what} | {rate:.0} | {:.2} | {:.2} | {syncs} | {each:.1} |", at(50), at(99));
}

/// What the disk can do: append and sync, one after the other.
fn raw(dir: &Path, what: &str) {
    let mut file = File::create(dir.join("raw")).unwrap();
    let started = Instant::now();
    let mut latencies = Vec::new();
    while started.elapsed() < RUN / 2 {
        let began = Instant::now();
        file.write_all(&[7; RAW_BYTES]).unwrap();
        file.sync_data().unwrap();
        latencies.push(began.elapsed());
    }
    let syncs = latencies.len() as u64;
    row(what, latencies, started.elapsed(), syncs);
}

async fn bench(dir: &Path, proposers: usize) {
    let address = ServerAddress { name: "bench".to_owned(), rpc: "127.0.0.1:4647".to_owned() };
    let server = Consensus::open(Config::single(DataFolder::open(dir).unwrap(), address)).await.unwrap();
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
    let began = Instant::now();
    server.shutdown().await;
    let stopped = began.elapsed();
    drop(server);
    let began = Instant::now();
    let address = ServerAddress { name: "bench".to_owned(), rpc: "127.0.0.1:4647".to_owned() };
    let server = Consensus::open(Config::single(DataFolder::open(dir).unwrap(), address)).await.unwrap();
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
