//! Reading what was acknowledged anywhere before.

use super::{
    Consensus,
    search::{Leader, Search},
};
use crate::{
    ReadError, Rpc, Server,
    network::wire::ReadAnswer,
    raft_types::{LinearizableReadError, RaftError, ReadPolicy, position},
};
use floe_state::State;
use floe_store::planted::{self, Bug};
use tokio::time::timeout_at;

const ACTION: &str = "linearizable read";

impl Consensus {
    /// The state with everything that was acknowledged anywhere before this call. Works on every server: one that does not lead asks the leader
    /// how far it must have read.
    ///
    /// # Errors
    /// When no leader is found, none can reach a quorum in time, or this server stopped.
    pub async fn linearizable(&self) -> Result<State, ReadError> {
        let after = self.timings().deadline;
        let search = self.search(after);
        loop {
            if let Some(reason) = self.stop().get() {
                return Err(ReadError::Stopped { action: ACTION, reason });
            }
            let index = match self.leader() {
                Leader::Own => self.index_here(&search).await?,
                Leader::Other(_) if planted::is_on(Bug::FollowerServesReads) => Some(self.view().log_index()),
                Leader::Other(leader) => self.index_there(&leader, &search).await,
                Leader::Unknown => None,
            };
            match index {
                Some(index) => return self.view_at(index, &search).await,
                None if search.wait(self).await => {}
                None => return Err(ReadError::Unavailable { action: ACTION, advice: self.advice() }),
            }
        }
    }

    async fn view_at(&self, index: u64, search: &Search) -> Result<State, ReadError> {
        match self.applied(index, search.end()).await {
            Some(true) => Ok(self.view()),
            Some(false) => Err(ReadError::Timeout { action: ACTION, after: self.timings().deadline }),
            None => Err(ReadError::Stopped { action: ACTION, reason: self.stop_reason() }),
        }
    }

    /// The entry that a read must have seen, as a leader that asked a quorum knows; nothing when this server does not lead.
    async fn index_here(&self, search: &Search) -> Result<Option<u64>, ReadError> {
        if planted::is_on(Bug::MissingReadIndex) {
            return Ok(Some(self.view().log_index()));
        }
        let confirmed = timeout_at(search.end(), self.raft().get_read_linearizer(ReadPolicy::ReadIndex)).await;
        match confirmed {
            Ok(Ok(read)) => Ok(Some(position(read.read_log_id().log_id()).index)),
            Ok(Err(RaftError::Fatal(_))) => Err(ReadError::Stopped { action: ACTION, reason: self.stop_reason() }),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_) | LinearizableReadError::QuorumNotEnough(_)))) => Ok(None),
            Err(_) => Err(ReadError::Timeout { action: ACTION, after: self.timings().deadline }),
        }
    }

    /// As the leader says. To ask again costs nothing, so it is asked for no longer than one waits for a leader.
    async fn index_there(&self, leader: &Server, search: &Search) -> Option<u64> {
        let within = search.left().min(self.timings().leader_wait);
        let answer = tokio::select! {
            biased;
            answer = self.peers().call::<_, ReadAnswer>(leader, Rpc::ReadIndex, &(), within) => answer,
            () = self.given_up() => return None,
        };
        answer.ok().flatten()
    }

    /// What a leader answers to another server.
    pub(crate) async fn read_index_for(&self) -> ReadAnswer {
        let search = self.search(self.timings().leader_wait);
        self.index_here(&search).await.ok().flatten()
    }
}
