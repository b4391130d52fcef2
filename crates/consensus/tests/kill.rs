//! `kill -9` at random moments, with real processes: what was acknowledged is there afterwards, and the state is what the log makes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

mod support;

use floe_consensus::{Config, Consensus};
use floe_store::twin::Chance;
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use support::*;

const ROUNDS: u64 = 20;
const PROPOSERS: u64 = 8;
/// A child is killed after a number of acknowledgements below this.
const ACKNOWLEDGED_MOST: u64 = 80;
/// A child that nobody killed ends by itself after this.
const LIFE_MOST: Duration = Duration::from_secs(60);
const FOLDER: &str = "FLOE_KILL_TEST_FOLDER";
const ROUND: &str = "FLOE_KILL_TEST_ROUND";

/// Snapshots often, so that some kills meet one; but the log is kept whole, so that it can be replayed.
fn config_of(dir: &Path) -> Config {
    Config { snapshot_entries: 30, log_entries_kept: 1 << 40, ..config(dir) }
}

/// The process that is killed. Not a test of its own: [`acknowledged_writes_survive_kill_9`] runs it.
#[test]
#[ignore = "played by another test: acknowledged_writes_survive_kill_9"]
fn child() {
    let folder = std::env::var(FOLDER).expect("only acknowledged_writes_survive_kill_9 runs this");
    let round = std::env::var(ROUND).unwrap();
    // Should the parent die or wait for what never comes, nothing stays behind.
    std::thread::spawn(|| {
        std::thread::sleep(LIFE_MOST);
        std::process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Consensus::open(config_of(Path::new(&folder))).await.unwrap();
        let proposers = (0..PROPOSERS).map(|proposer| {
            let (server, round) = (server.clone(), round.clone());
            tokio::spawn(async move {
                for n in 0_u64.. {
                    let id = format!("{round}.{proposer}.{n}");
                    let done = server.propose(register(&id)).await.unwrap();
                    let line = format!("ack {} {id}\n", done.index);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            })
        });
        futures::future::join_all(proposers).await;
    });
}

/// Runs a child, kills it after `wanted` acknowledgements and returns all that it gave.
fn run_and_kill(dir: &Path, round: u64, wanted: u64) -> Vec<(u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut is_killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // A line may be cut short by the kill; one that is whole ends in an id with three parts.
        let mut words = line.split_once("ack ").map_or("", |(_, rest)| rest).split(' ');
        if let (Some(Ok(index)), Some(id)) = (words.next().map(str::parse), words.next())
            && id.split('.').count() == 3
        {
            acknowledged.push((index, id.to_owned()));
        }
        if !is_killed && acknowledged.len() as u64 >= wanted {
            child.kill().unwrap();
            is_killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(is_killed && !status.success(), "the child ended by itself: {status}");
    // The last line may have lost digits of its number.
    acknowledged.pop();
    acknowledged
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut chance = Chance::new(20_261_122);
    let mut all = Vec::new();
    let mut snapshots = 0;
    for round in 0..ROUNDS {
        let wanted = 2 + chance.below(ACKNOWLEDGED_MOST);
        all.extend(run_and_kill(dir.path(), round, wanted));
        snapshots += check(dir.path(), &all, round);
    }
    assert!(all.len() as u64 > ROUNDS * 10, "only {} writes were acknowledged", all.len());
    assert!(snapshots > 0, "no round began from a snapshot");
}

/// Opens what the killed process left, and says whether there was a snapshot.
fn check(dir: &Path, acknowledged: &[(u64, String)], round: u64) -> u64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (view, snapshot) = runtime.block_on(async {
        let server = Consensus::open(config_of(dir)).await.unwrap();
        let found = (server.view(), server.status().snapshot.is_some());
        server.shutdown().await;
        found
    });
    for (index, id) in acknowledged {
        let node = view.node(&id.as_str().into()).unwrap_or_else(|| panic!("round {round}: {id}, acknowledged at {index}, is lost"));
        assert_eq!(node.create_index, *index, "round {round}: {id}");
    }
    drop(runtime);
    let records: Vec<_> = log_of(dir).into_iter().filter(|r| r.index() <= view.index()).collect();
    assert_eq!(hash(&replay(&records)), hash(&view), "round {round}: the state is not what the log makes");
    u64::from(snapshot)
}
