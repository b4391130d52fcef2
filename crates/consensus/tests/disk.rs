//! The disk fails under a running server: it stops with the reason, and what it acknowledged is there afterwards.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::{Consensus, ProposeError, StopReason};
use floe_store::{
    LogStore, SnapshotStore,
    twin::{Chance, Disk, Fault, Folder},
};
use std::sync::Arc;
use support::*;

async fn on(disk: Disk, dir: &tempfile::TempDir) -> Result<Consensus, String> {
    let log = LogStore::open_on(disk, 0).map_err(|e| e.to_string())?;
    let snapshots = SnapshotStore::open_in(Arc::new(Folder::new(Fault::None))).unwrap();
    Consensus::open_on(config(dir.path()), log, snapshots).await.map_err(|e| e.to_string())
}

/// Proposes from several tasks until the disk fails, and returns what was acknowledged.
async fn propose_until_it_fails(server: &Consensus) -> Vec<String> {
    let proposers = (0..4).map(|proposer| {
        let server = server.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0..10_000 {
                let id = format!("{proposer}.{n}");
                match server.propose(register(&id)).await {
                    Ok(_) => acknowledged.push(id),
                    Err(error) => {
                        let (ProposeError::Stopped { reason, .. } | ProposeError::Interrupted { reason, .. }) = &error else {
                            panic!("{error:?}")
                        };
                        assert!(matches!(reason, StopReason::Failed(_)), "{error:?}");
                        return acknowledged;
                    }
                }
            }
            panic!("the disk never failed");
        })
    });
    futures::future::join_all(proposers).await.into_iter().flat_map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_stops_the_server_and_loses_nothing_acknowledged() {
    let mut ran = 0;
    for at in [60, 90, 150, 300] {
        for fault in [Fault::SyncFails { at }, Fault::Full { at }, Fault::PowerCut { at }] {
            let dir = tempfile::tempdir().unwrap();
            let disk = Disk::new(fault);
            let Ok(server) = on(disk.clone(), &dir).await else { continue };
            ran += 1;
            let acknowledged = propose_until_it_fails(&server).await;
            let StopReason::Failed(reason) = server.stopped().await else { panic!("it goes on") };
            assert!(reason.contains("the disk failed") && reason.contains("restart the server"), "{reason}");
            assert!(!server.leadership().borrow().is_leader || server.leadership().wait_for(|l| !l.is_leader).await.is_ok());
            server.shutdown().await;
            assert_eq!(server.stopped().await, StopReason::Failed(reason), "the first reason stays");
            drop(server);
            let found = disk.after_crash(&mut Chance::new(at));
            let again = on(Disk::with(found, Fault::None), &dir).await.unwrap();
            for id in &acknowledged {
                assert!(again.view().node(&id.as_str().into()).is_some(), "{fault:?}: {id} was acknowledged and is lost");
            }
            again.shutdown().await;
        }
    }
    assert!(ran > 5, "the faults came before the server was open: only {ran} ran");
}
