//! What calls and answers say, beyond openraft's own messages. Pure. Everything is MessagePack with field names, so that a later build can
//! add fields.

use crate::{
    ChangeError, ClusterId, Server, ServerAddress, ServerId,
    machine::Answered,
    raft_types::{LogId, SnapshotResponse, Vote},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A call as it is sent.
#[derive(Serialize)]
pub(crate) struct Call<'a, Q> {
    pub(crate) cluster: Option<&'a ClusterId>,
    pub(crate) from: &'a ServerId,
    /// The caller's membership has the target as a voter.
    pub(crate) to_voter: bool,
    pub(crate) request: &'a Q,
}

/// A call as it is received.
#[derive(Deserialize)]
pub(crate) struct Received<Q> {
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) from: ServerId,
    pub(crate) to_voter: bool,
    pub(crate) request: Q,
}

/// An answer.
#[derive(Serialize, Deserialize)]
pub(crate) enum Answer<A> {
    /// What was asked for.
    Done(A),
    /// The caller was removed from the cluster.
    Removed,
}

/// [`crate::Rpc::Propose`]
#[derive(Serialize, Deserialize)]
pub(crate) struct Proposal {
    /// Drawn for this try: should a network deliver it twice, it is done once.
    pub(crate) id: (u64, u64),
    /// How long the caller waits, in milliseconds.
    pub(crate) within_ms: u64,
    /// The bytes of a [`floe_state::Command`], which become a part of the log as they are.
    pub(crate) command: Bytes,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum ProposeAnswer {
    Done {
        /// The place of its entry in the log.
        log_index: u64,
        answered: Answered,
    },
    /// It was not appended, and may be tried again.
    NotTaken,
    /// It was not appended, because too much waits.
    Overloaded,
    /// It may have been appended.
    Unknown,
}

/// [`crate::Rpc::Candidacy`]; the answer is yes or no.
#[derive(Serialize, Deserialize)]
pub(crate) struct Candidacy {
    /// The vote of the leader that is absent.
    pub(crate) absent: Vote,
    /// The end of the caller's log.
    pub(crate) last: Option<LogId>,
}

/// The answer to [`crate::Rpc::ReadIndex`]; nothing when this server does not lead.
pub(crate) type ReadAnswer = Option<u64>;

/// [`crate::Rpc::Change`]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    AddLearner {
        id: ServerId,
        address: ServerAddress,
    },
    /// A member says where it is.
    Move {
        id: ServerId,
        address: ServerAddress,
    },
    Promote(ServerId),
    Remove(ServerId),
    Transfer(Option<ServerId>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ChangeRequest {
    /// How long the caller waits, in milliseconds.
    pub(crate) within_ms: u64,
    pub(crate) change: Change,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum ChangeAnswer {
    Done,
    /// Nothing was changed: this server does not lead.
    NotLeader,
    /// Nothing was changed but who leads; the leader now can do the rest.
    HandedOver,
    Failed(ChangeError),
}

/// [`crate::Rpc::Snapshot`]: a piece of a snapshot's file. The file carries a checksum of everything in it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Piece {
    /// Which try of which sender it is a part of.
    pub(crate) transfer: (u64, u64),
    /// The leader's vote.
    pub(crate) vote: Vote,
    /// The length of the file.
    pub(crate) total: u64,
    /// Where in it this piece begins.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum PieceAnswer {
    /// Send the next one.
    More,
    /// It is over: installed, or the sender does not lead any more.
    Over(SnapshotResponse),
    /// Begin again later.
    Refused(String),
}

/// What a leader says to a server that it removed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Farewell {
    /// Who says so.
    pub(crate) leader: Server,
}
