//! A server's numbers, for `/v1/status` and metrics.

use crate::{
    Server, ServerId, StopReason,
    raft_types::{Instant, LogId, Metrics, ServerState, position},
};
use floe_store::{Position, log::LogStats};
use std::time::Duration;

/// What a server does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes entries but has no vote (or is in no cluster yet).
    Learner,
    /// It follows a leader.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
    /// It stopped.
    Stopped,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which, and where.
    pub server: Server,
    /// Whether it votes.
    pub is_voter: bool,
    /// The last entry that it is known to have; only the leader knows.
    pub matched: Option<Position>,
    /// How long ago it answered; only the leader knows, and of itself it says nothing.
    pub last_contact: Option<Duration>,
}

/// A server's numbers at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// This server.
    pub id: ServerId,
    /// What it does.
    pub role: Role,
    /// The term.
    pub term: u64,
    /// The leader, when one is known and heard.
    pub leader: Option<Server>,
    /// The last entry in the log.
    pub last_log_index: Option<u64>,
    /// The last entry known to be on a quorum.
    pub committed: Option<Position>,
    /// The last entry that the state includes; 0 before the first one.
    pub applied_index: u64,
    /// The last entry that the newest snapshot includes.
    pub snapshot: Option<Position>,
    /// The last entry that the log has forgotten.
    pub purged: Option<Position>,
    /// How long ago a quorum answered; only the leader knows.
    pub last_quorum_contact: Option<Duration>,
    /// The members, by id. Empty before the server is in a cluster.
    pub peers: Vec<Peer>,
    /// What the log did since the server was opened.
    pub log: LogStats,
    /// This server was a member and was removed. It goes on as it is, but hears of nothing any more.
    pub is_removed: bool,
    /// Why it stopped, if it did.
    pub stopped: Option<StopReason>,
}

/// What the metrics do not say.
pub(crate) struct Beside {
    pub(crate) leader: Option<Server>,
    pub(crate) applied_index: u64,
    pub(crate) log: LogStats,
    pub(crate) is_removed: bool,
    pub(crate) stopped: Option<StopReason>,
}

pub(crate) fn status(metrics: &Metrics, beside: Beside) -> Status {
    let at = |id: &Option<LogId>| id.as_ref().map(position);
    Status {
        id: metrics.id.clone(),
        role: role(metrics.state),
        term: metrics.current_term,
        leader: beside.leader,
        last_log_index: metrics.last_log_index,
        committed: at(&metrics.local_committed),
        applied_index: beside.applied_index,
        snapshot: at(&metrics.snapshot),
        purged: at(&metrics.purged),
        last_quorum_contact: metrics.last_quorum_acked.as_ref().map(|at| at.elapsed()),
        peers: peers(metrics),
        log: beside.log,
        is_removed: beside.is_removed,
        stopped: beside.stopped,
    }
}

fn role(state: ServerState) -> Role {
    match state {
        ServerState::Learner => Role::Learner,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Leader => Role::Leader,
        ServerState::Shutdown => Role::Stopped,
    }
}

fn peers(metrics: &Metrics) -> Vec<Peer> {
    let membership = metrics.membership_config.membership();
    let voters: Vec<ServerId> = membership.voter_ids().collect();
    let peer = |(id, address): (&ServerId, &crate::ServerAddress)| Peer {
        server: Server { id: id.clone(), address: address.clone() },
        is_voter: voters.contains(id),
        matched: metrics.replication.as_ref().and_then(|r| r.get(id)).and_then(|at| at.as_ref().map(position)),
        last_contact: metrics.heartbeat.as_ref().and_then(|h| h.get(id)).and_then(|at| at.as_ref().map(|at| at.elapsed())),
    };
    membership.nodes().map(peer).collect()
}
