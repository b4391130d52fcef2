//! Measures how long a server that was killed takes until its first linearizable read, by how many allocations it holds (P20).
//!
//! usage: restart_bench [ALLOCATIONS] [folder]
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a program for people")]

use floe_consensus::{Config, Consensus, DataFolder, ServerAddress};
use floe_model::{Allocation, Job, Node, Task, TaskGroup};
use floe_state::{Command, Plan, command::RegisterJob};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Allocations in one plan.
const PLAN: u64 = 500;
/// Allocations on one node.
const NODE: u64 = 100;

fn main() {
    let count = std::env::args().nth(1).map_or(1_000_000, |n| n.parse().unwrap());
    let base = std::env::args().nth(2).map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(&base).unwrap();
    println!("folder {}, {} cores", base.display(), std::thread::available_parallelism().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(bench(dir.path(), count));
}

fn config(dir: &Path) -> Config {
    let address = ServerAddress { name: "bench".to_owned(), rpc: "127.0.0.1:4647".to_owned() };
    let mut config = Config::single("bench".to_owned().into(), DataFolder::open(dir).unwrap(), address);
    config.timings.deadline = Duration::from_secs(120);
    config
}

async fn bench(dir: &Path, count: u64) {
    let server = Consensus::open(config(dir)).await.unwrap();
    let began = Instant::now();
    fill(&server, count).await;
    println!("filled with {count} allocations in {:.1?}", began.elapsed());
    let began = Instant::now();
    server.snapshot().await.unwrap();
    println!("snapshot made in {:.1?}", began.elapsed());
    let entries = server.view().index();
    server.shutdown().await;
    drop(server);
    println!("| restart | open | first linearizable read after | resident MiB |");
    println!("|---|---|---|---|");
    for restart in 1..=3 {
        let began = Instant::now();
        let server = Consensus::open(config(dir)).await.unwrap();
        let opened = began.elapsed();
        server.linearizable().await.unwrap();
        let read = began.elapsed();
        assert_eq!(server.view().allocs().count() as u64, count);
        println!("| {restart} | {opened:.2?} | {read:.2?} | {} |", resident() >> 10);
        server.shutdown().await;
    }
    println!("<!-- entry {entries} -->");
}

async fn fill(server: &Consensus, count: u64) {
    let task = Task { name: "server".to_owned(), driver: "exec".to_owned(), ..Task::default() };
    let group = TaskGroup { name: "web".to_owned(), count: Some(1), tasks: vec![task], ..TaskGroup::default() };
    let job = |n: u64| Job {
        id: format!("web{n}").into(),
        name: "web".to_owned(),
        namespace: "default".into(),
        task_groups: vec![group.clone()],
        ..Job::default()
    };
    for plan in 0..count.div_ceil(PLAN) {
        let job = job(plan);
        let register = RegisterJob { job: Box::new(job.clone()), submission: None, enforce_index: None, eval_priority: None };
        server.propose(Command::RegisterJob(register)).await.unwrap();
        let range = plan * PLAN..((plan + 1) * PLAN).min(count);
        for node in range.clone().step_by(NODE as usize).map(|n| n / NODE) {
            let node = Node { id: id(u64::MAX - node).into(), name: format!("n{node}"), ..Node::default() };
            server.propose(Command::RegisterNode { node: Box::new(node) }).await.unwrap();
        }
        let placements = range.map(|n| Allocation {
            id: id(n).into(),
            namespace: "default".into(),
            name: format!("{}.web[{n}]", job.id),
            job_id: job.id.clone(),
            task_group: "web".to_owned(),
            node_id: id(u64::MAX - n / NODE).into(),
            ..Allocation::default()
        });
        let plan = Plan { placements: placements.collect(), job: Some(Box::new(job.clone())), ..Plan::default() };
        server.propose(Command::Plan(Box::new(plan))).await.unwrap();
    }
}

fn id(n: u64) -> String {
    format!("{:08x}-{:04x}-4000-8000-{n:012x}", n as u32, n as u16)
}

/// The process' resident memory in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap().to_owned();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
