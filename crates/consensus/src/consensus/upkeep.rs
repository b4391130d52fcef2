//! What a server sees to by itself: the cluster's version, that the membership has its address, and that the others can
//! compare its state with theirs.

use super::Consensus;
use crate::{ChangeError, ProposeError, leadership::server_of, membership::members_of, network::wire::Change, raft_types::WatchReceiver};
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
            && let Err(error) = self.raise_version().await
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

    /// As the leader, has the cluster run the newest version that all of its members know. In a new cluster this is the first command.
    pub(super) async fn raise_version(&self) -> Result<(), ProposeError> {
        // No server is taken in meanwhile.
        let _one_at_a_time = self.changing().lock().await;
        let own = self.inner.address.known_version();
        let known = if self.is_alone() { own } else { self.known_by_all().unwrap_or(0).min(own) };
        if known > self.view().cluster_version() {
            self.propose_as_leader(Command::SetClusterVersion { version: known }).await?;
            tracing::info!("the cluster runs version {known} from now on");
        }
        Ok(())
    }

    /// The newest version that every member knows, as far as it has said.
    fn known_by_all(&self) -> Option<u32> {
        let metrics = self.raft().metrics().borrow_watched().clone();
        members_of(&metrics.membership_config).iter().map(|member| member.address.known_version()).min()
    }

    /// Reports what this server's state amounted to, if that is due and there is somebody to compare it with. Says whether nothing is left to do.
    async fn report(&self) -> bool {
        let due = self.inner.due.borrow().clone();
        let is_one_of_many = !self.is_alone() && self.raft().voter_ids().any(|id| id == *self.id());
        let Some(report) = due.filter(|_| is_one_of_many) else { return true };
        let report = Command::ReportDigest(Box::new(report));
        if report.since() > self.view().cluster_version() {
            return true;
        }
        match self.propose(report).await {
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
