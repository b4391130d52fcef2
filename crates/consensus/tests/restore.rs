//! A backup that is restored while leaders change, servers are away, and snapshots are taken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::{Consensus, Start};
use floe_state::{
    Command, Outcome,
    archive::{self, Origin},
    restore::{INDEX_GAP, Piece, Restore, StageRestore},
};
use support::{net::*, *};

const THREE: [&str; 3] = ["a", "b", "c"];
const PIECES: usize = 6;

/// A backup of another cluster with these many nodes.
async fn backup(nodes: usize) -> Vec<u8> {
    let cluster = Cluster::of(&["old"]).await;
    for n in 0..nodes {
        cluster.get("old").propose(register(&format!("old-{n}"))).await.unwrap();
    }
    let bytes = archive::encode(&cluster.get("old").view(), Origin::default()).unwrap();
    cluster.close().await;
    bytes
}

fn commands(bytes: &[u8]) -> (Vec<Command>, Command) {
    let size = bytes.len().div_ceil(PIECES);
    let stage = |(n, part): (usize, &[u8])| {
        let (total, at) = (bytes.len() as u64, (n * size) as u64);
        Command::StageRestore(StageRestore { id: "r".to_owned(), total, at, bytes: Piece::from(part) })
    };
    let metadata = archive::decode(bytes).unwrap().metadata;
    let last = Restore {
        id: "r".to_owned(),
        cluster_id: "new".to_owned(),
        cluster_version: metadata.cluster_version,
        digest: metadata.digest,
        force: false,
    };
    (bytes.chunks(size).enumerate().map(stage).collect(), Command::Restore(last))
}

/// Waits until the servers write what a restore needs.
async fn wait_version(server: &Consensus) {
    wait_for("the cluster's version", || (server.view().cluster_version() >= 2).then_some(())).await;
}

/// Writes until it is answered: each of these may be written twice.
async fn write(server: &Consensus, command: &Command) -> Outcome {
    loop {
        match server.propose(command.clone()).await {
            Ok(proposed) => return proposed.outcome,
            Err(error) => assert!(error.to_string().contains("leader"), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_goes_on_when_its_leader_dies() {
    let bytes = backup(50).await;
    let (pieces, last) = commands(&bytes);
    let mut cluster = Cluster::of(&THREE).await;
    let first = cluster.leader().await;
    let other = cluster.others(&first)[0].clone();
    let server = cluster.get(&other);
    wait_version(&server).await;
    for piece in &pieces[..3] {
        assert_eq!(write(&server, piece).await, Outcome::Done);
    }
    cluster.crash(&first).await;
    for piece in &pieces[3..] {
        assert_eq!(write(&server, piece).await, Outcome::Done);
    }
    assert_eq!(server.view().staged_bytes(), bytes.len() as u64, "the other servers have the first pieces, too");
    let Outcome::Restored(restored) = write(&server, &last).await else { panic!() };
    let view = server.linearizable().await.unwrap();
    assert_eq!((view.nodes().count(), view.content_digest()), (50, restored.digest));
    assert!(restored.index > INDEX_GAP && view.index() >= restored.index);
    // What agreement counts goes on as before: the server that was away is caught up, and reads wait for the right entry.
    cluster.start(&first).await;
    let done = cluster.get(&first).propose(register("later")).await.unwrap();
    assert!(done.index > restored.index && done.log_index < INDEX_GAP, "{done:?}");
    for name in THREE {
        assert!(cluster.get(name).linearizable().await.unwrap().node(&"later".into()).is_some());
    }
    assert!(cluster.get("a").status().applied_index < INDEX_GAP);
    cluster.agree(&THREE).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_and_indexes_are_in_snapshots() {
    let bytes = backup(20).await;
    let (pieces, last) = commands(&bytes);
    let mut cluster = Cluster::of(&["a"]).await;
    wait_version(&cluster.get("a")).await;
    for piece in &pieces[..3] {
        write(&cluster.get("a"), piece).await;
    }
    cluster.get("a").snapshot().await.unwrap();
    cluster.stop("a").await;
    cluster.start("a").await;
    for piece in &pieces[3..] {
        assert_eq!(write(&cluster.get("a"), piece).await, Outcome::Done);
    }
    let Outcome::Restored(restored) = write(&cluster.get("a"), &last).await else { panic!() };
    let id = cluster.get("a").snapshot().await.unwrap().unwrap();
    assert_eq!(id.index, cluster.get("a").view().log_index(), "a server's snapshot is named by its place in the log");
    let bytes = cluster.get("a").view().encode();
    cluster.stop("a").await;
    cluster.start("a").await;
    let view = cluster.get("a").view();
    assert_eq!((view.content_digest(), view.restored().index), (restored.digest, restored.index));
    assert!(view.index() > restored.index && view.encode().len().abs_diff(bytes.len()) < 100);
    // A server that joins now takes all of it from a snapshot or the log.
    cluster.add("b", Start::Join).await;
    cluster.get("a").add_learner(id_of("b"), address("b")).await.unwrap();
    cluster.agree_but_for_writes(&["a", "b"]).await;
    assert_eq!(cluster.get("b").view().content_digest(), restored.digest);
    cluster.close().await;
}

fn id_of(name: &str) -> floe_consensus::ServerId {
    support::net::id(name)
}
