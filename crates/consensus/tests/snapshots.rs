//! Snapshots replace the log, and a damaged one does not lose anything.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::{Config, Consensus, OpenError};
use std::path::{Path, PathBuf};
use support::*;

fn few(dir: &Path) -> Config {
    Config { snapshot_entries: 20, log_entries_kept: 40, ..config(dir) }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = std::fs::read_dir(dir.join("server/snapshots"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "snap"))
        .map(|p| (p.file_stem().unwrap().to_str().unwrap().split('-').next().unwrap().parse().unwrap(), p))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Proposes until the log was purged, and returns the state's hash without what a restart adds.
async fn fill(dir: &Path) -> (Vec<u8>, u64) {
    let server = Consensus::open(few(dir)).await.unwrap();
    let mut n = 0;
    while server.status().purged.is_none_or(|p| p.index < 50) || files(dir).len() < 2 {
        server.propose(register(&format!("n{n}"))).await.unwrap();
        n += 1;
        assert!(n < 2000, "the log was never purged");
    }
    let view = server.view();
    server.shutdown().await;
    (hash(&view), view.index())
}

/// The state after a restart, as it was before it: a restart adds entries that change only the index.
async fn nodes(dir: &Path) -> (usize, u64) {
    let server = Consensus::open(few(dir)).await.unwrap();
    let view = server.view();
    server.shutdown().await;
    (view.nodes().count(), view.index())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_short_and_two_snapshots_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (_, index) = fill(dir.path()).await;
    assert_eq!(files(dir.path()).len(), 2);
    let records = log_of(dir.path());
    assert!(records[0].index() > 50);
    let (count, again) = nodes(dir.path()).await;
    assert!(again >= index && count > 50, "{count} nodes at {again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asked_for_snapshot_holds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let done = server.propose(register("n")).await.unwrap();
    let id = server.snapshot().await.unwrap().unwrap();
    assert_eq!(id.index, done.index);
    assert_eq!(server.snapshot().await.unwrap().unwrap().index, done.index, "nothing new: the same again");
    server.shutdown().await;
    drop(server);
    let server = open(dir.path()).await;
    assert!(server.view().node(&"n".into()).is_some());
    assert_eq!(server.status().snapshot.unwrap().index, done.index);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_made_up_for_by_the_one_before_and_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (_, index) = fill(dir.path()).await;
    let (whole, _) = nodes(dir.path()).await;
    let newest = files(dir.path()).pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let (count, again) = nodes(dir.path()).await;
    assert!(again >= index);
    assert_eq!(count, whole, "not one entry is missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_whole_snapshot_a_purged_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path()).await;
    for file in files(dir.path()) {
        std::fs::write(file, b"rubbish").unwrap();
    }
    let error = Consensus::open(few(dir.path())).await.err().unwrap();
    assert!(matches!(error, OpenError::Hole { snapshot: 0, .. }), "{error:?}");
    assert!(error.to_string().contains("floe operator snapshot restore"), "{error}");
}

#[tokio::test]
async fn a_log_kept_too_short_for_the_older_snapshot_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let short = Config { snapshot_entries: 20, log_entries_kept: 19, ..config(dir.path()) };
    let error = Consensus::open(short).await.err().unwrap();
    assert!(matches!(error, OpenError::Config(_)), "{error:?}");
    Consensus::open(Config { snapshot_entries: 20, log_entries_kept: 20, ..config(dir.path()) }).await.unwrap().shutdown().await;
}
