//! How a server begins: what it finds on disk, and the first entries of a cluster.

use super::Consensus;
use crate::{
    ClusterId, Config, OpenError, ServerAddress, ServerId, executor,
    log::awaited,
    machine::Restored,
    raft_types::{Metrics, WatchReceiver},
};
use floe_store::{LogStore, SnapshotStore};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout;

impl Consensus {
    /// Makes the cluster if there is none, and waits until the only voter leads.
    pub(super) async fn begin(&self, config: &Config) -> Result<(), OpenError> {
        let raft = self.raft();
        let stopped = |_| OpenError::Stopped(self.stop_reason());
        let is_new = !raft.is_initialized().await.map_err(stopped)?;
        match config.founders() {
            Ok(Some(voters)) if is_new => self.found(voters, config.timings.recovery).await?,
            Err(error) if is_new => return Err(error),
            _ => {
                self.name_cluster().await?;
                if self.is_alone() {
                    // Nobody else can lead, so there is nothing to wait for.
                    raft.trigger().elect(false).await.map_err(stopped)?;
                }
            }
        }
        self.peers().set_membership(raft.metrics().borrow_watched().membership_config.membership());
        if self.is_alone() {
            self.lead(config.timings.recovery).await?;
            self.raise_version().await.map_err(|e| OpenError::Bootstrap(Box::new(e)))?;
            self.announce().await.map_err(|e| OpenError::Announce(Box::new(e)))?;
            self.seal(config.timings.recovery).await?;
        }
        self.keep(executor::spawn(self.clone().look_after()));
        Ok(())
    }

    /// Writes the first entry of a cluster of these voters.
    async fn found(&self, voters: &BTreeMap<ServerId, ServerAddress>, within: Duration) -> Result<(), OpenError> {
        self.enter(ClusterId::of(voters.keys())).await.map_err(OpenError::Stopped)?;
        // All founders must write the same entry, and none knows the versions of the others.
        let is_alone = voters.len() == 1;
        let unsaid = |(id, address): (&ServerId, &ServerAddress)| {
            let version = if is_alone { self.inner.address.version } else { 0 };
            (id.clone(), ServerAddress { version, ..address.clone() })
        };
        self.raft()
            .initialize(voters.iter().map(unsaid).collect::<BTreeMap<_, _>>())
            .await
            .map_err(|_| OpenError::Stopped(self.stop_reason()))?;
        // openraft's numbers follow a moment later.
        let is_begun = |m: &Metrics| m.membership_config.membership().get_node(self.id()).is_some();
        let begun = self.raft().wait(Some(within)).metrics(is_begun, "the first entry").await;
        begun.map(drop).map_err(|_| OpenError::NotReady(within))
    }

    /// The log of a build that knew no clusters has one server, and gets the name that it would have now. A server that joins may have heard of
    /// a leader and still have no entries: it is in no cluster yet.
    async fn name_cluster(&self) -> Result<(), OpenError> {
        let founders: Vec<ServerId> = self.raft().voter_ids().collect();
        if founders.is_empty() || self.cluster().is_some() {
            return Ok(());
        }
        self.enter(ClusterId::of(founders.iter())).await.map_err(OpenError::Stopped)
    }

    /// After a recovery: puts what came before it into a snapshot, and forgets those entries, before any other server can be given them. They tell of
    /// the old cluster's voters. A survivor that comes back under its id, and is told entry by entry, would for a moment take itself for one of
    /// them; the founder, for the only one, which needs nobody to lead. A crash before the end is made up for by the next start.
    async fn seal(&self, within: Duration) -> Result<(), OpenError> {
        let store = &self.inner.store;
        let Some(sealed) = store.sealed().filter(|sealed| store.bounds().purged < Some(*sealed)) else { return Ok(()) };
        let raft = self.raft();
        let stopped = |_| OpenError::Stopped(self.stop_reason());
        let late = |_| OpenError::NotReady(within);
        raft.trigger().snapshot().await.map_err(stopped)?;
        let is_kept = |m: &Metrics| m.snapshot.as_ref().is_some_and(|id| id.index() >= sealed.index);
        raft.wait(Some(within)).metrics(is_kept, "the snapshot").await.map_err(late)?;
        raft.trigger().purge_log(sealed.index).await.map_err(stopped)?;
        let is_gone = |m: &Metrics| m.purged.as_ref().is_some_and(|id| id.index() >= sealed.index);
        raft.wait(Some(within)).metrics(is_gone, "what came before the recovery to be forgotten").await.map(drop).map_err(late)
    }

    /// Waits until this server leads and has applied its whole log.
    async fn lead(&self, within: Duration) -> Result<(), OpenError> {
        let mut leadership = self.leadership();
        let led = async { leadership.wait_for(|l| l.is_leader).await.map(|_| ()) };
        let led = tokio::select! {
            biased;
            reason = self.stopped() => return Err(OpenError::Stopped(reason)),
            led = timeout(within, led) => led.map_err(|_| OpenError::NotReady(within))?,
        };
        led.map_err(|_| OpenError::Stopped(self.stop_reason()))
    }
}

/// The newest whole snapshot, if it and the log belong together. Blocks.
pub(crate) fn restore(store: &LogStore, snapshots: &SnapshotStore) -> Result<Restored, OpenError> {
    let restored = Restored::load(snapshots)?;
    let purged = store.bounds().purged.map(|p| p.index);
    if purged > restored.last_index() {
        let snapshot = restored.last_index().unwrap_or(0);
        return Err(OpenError::Hole { purged: purged.unwrap_or(0), snapshot });
    }
    Ok(restored)
}

/// Sees that the log is this server's; a new one is from now on.
pub(super) async fn take_id(store: &LogStore, own: &ServerId) -> Result<(), OpenError> {
    match store.server_id() {
        Some(kept) if kept == own.as_str() => Ok(()),
        Some(kept) => Err(OpenError::OtherServer { kept: kept.into(), own: own.clone() }),
        None => {
            let (done, told) = awaited();
            store.save_server_id(own.as_str().to_owned(), done).await?;
            told.await.map_err(|_| OpenError::Runtime)??;
            Ok(())
        }
    }
}
