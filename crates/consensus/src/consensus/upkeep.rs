//! What a server sees to by itself: the first command of a cluster of several, that the membership has its address, and that the others can
//! compare its state with theirs.

use super::Consensus;
use crate::{ChangeError, leadership::server_of, network::wire::Change, raft_types::WatchReceiver};
use floe_state::Command;
use std::time::Duration;
use tokio::time::sleep;

/// How long to wait before trying again what did not work.
const AGAIN: Duration = Duration::from_millis(500);

impl Consensus {
    /// Runs until this server stops.
    pub(super) async fn look_after(self) {
        let stop = self.stop().clone();
        tokio::select! {
            biased;
            _ = stop.wait() => {}
            () = self.see_to_it() => {}
        }
    }

    async fn see_to_it(&self) {
        let mut metrics = self.raft().server_metrics();
        let mut leadership = self.leadership();
        let mut due = self.inner.due.clone();
        loop {
            let is_done = self.settle().await;
            let changed = tokio::select! {
                biased;
                changed = metrics.changed() => changed.is_ok(),
                changed = leadership.changed() => changed.is_ok(),
                changed = due.changed() => changed.is_ok(),
                () = sleep(AGAIN), if !is_done => true,
            };
            if !changed {
                return;
            }
        }
    }

    /// Does what is to be done, and says whether all of it is.
    async fn settle(&self) -> bool {
        let leadership = self.leadership().borrow().clone();
        if leadership.is_leader
            && let Err(error) = self.make_version().await
        {
            tracing::warn!("the cluster's version is not written yet: {error}");
            return false;
        }
        if leadership.leader.is_none() {
            return true;
        }
        let is_reported = self.report().await;
        match self.announce().await {
            Ok(()) => is_reported,
            Err(error) => {
                tracing::info!("the membership has an old address of this server: {error}");
                false
            }
        }
    }

    /// Reports what this server's state amounted to, if that is due and there is somebody to compare it with. Says whether nothing is left to do.
    async fn report(&self) -> bool {
        let due = self.inner.due.borrow().clone();
        let is_one_of_many = !self.is_alone() && self.raft().voter_ids().any(|id| id == *self.id());
        let Some(report) = due.filter(|_| is_one_of_many) else { return true };
        match self.propose(Command::ReportDigest(Box::new(report))).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!("the digest of this server's state is not reported yet: {error}");
                false
            }
        }
    }

    /// Writes this server's name and address into the membership, when they are not what it says.
    pub(super) async fn announce(&self) -> Result<(), ChangeError> {
        let metrics = self.raft().metrics().borrow_watched().clone();
        let own = &self.inner.address;
        match server_of(&metrics.committed_membership_config, self.id()) {
            Some(known) if known.address != *own => self.change(Change::Move { id: self.id().clone(), address: own.clone() }).await,
            _ => Ok(()),
        }
    }
}
