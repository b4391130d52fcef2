//! How servers call each other: a transport carries bytes, this module knows what they say.
//!
//! | module | holds |
//! |---|---|
//! | `wire` | what calls and answers say, beyond openraft's own messages |
//! | `peers` | the address book, who answered last, and the one way to call another server |
//! | `link` | openraft's messages over it |
//! | `answer` | what this server answers |
//! | `sending`, `receiving` | snapshots in pieces |
//!
//! A transport implements [`Transport`] and hands what it receives to [`crate::Consensus::handle`]. It carries up to [`CALL_BYTES`] each way.
//! Each call says which cluster and which server it is from: a call of another cluster, or for another server, is refused.

pub(crate) mod answer;
pub(crate) mod link;
pub(crate) mod peers;
pub(crate) mod receiving;
mod sending;
pub(crate) mod wire;

#[cfg(doc)]
use crate::config::CALL_BYTES;
use crate::{ClusterId, ServerAddress, ServerId, StopReason};
use futures::future::BoxFuture;
use std::time::Duration;

/// What one server asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// Take entries, or just hear that the leader lives.
    Append,
    /// Vote.
    Vote,
    /// Say whether you would vote.
    PreVote,
    /// Lead in my place.
    TransferLeader,
    /// Take a piece of a snapshot; after the last one, install it.
    Snapshot,
    /// Carry out a command.
    Propose,
    /// Say which entry a read must have seen.
    ReadIndex,
    /// Say in which term you lead.
    Leads,
    /// Say whether the leader has ended for you too, and I could follow it.
    Candidacy,
    /// Change the membership, or hand over the leadership.
    Change,
    /// Know that you were removed.
    Removed,
}

impl Rpc {
    /// All of them, for a transport that gives each a name of its own.
    pub const ALL: [Rpc; 11] = [
        Rpc::Append,
        Rpc::Vote,
        Rpc::PreVote,
        Rpc::TransferLeader,
        Rpc::Snapshot,
        Rpc::Propose,
        Rpc::ReadIndex,
        Rpc::Leads,
        Rpc::Candidacy,
        Rpc::Change,
        Rpc::Removed,
    ];

    /// Its name on the wire, such as a part of a path.
    pub fn name(self) -> &'static str {
        match self {
            Rpc::Append => "append",
            Rpc::Vote => "vote",
            Rpc::PreVote => "pre-vote",
            Rpc::TransferLeader => "transfer-leader",
            Rpc::Snapshot => "snapshot",
            Rpc::Propose => "propose",
            Rpc::ReadIndex => "read-index",
            Rpc::Leads => "leads",
            Rpc::Candidacy => "candidacy",
            Rpc::Change => "change",
            Rpc::Removed => "removed",
        }
    }
}

/// What is known of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Nobody listens at the target's address, as its machine said. It certainly did not act on it.
    Absent,
    /// The target certainly did not act on it: no connection was made, or [`crate::Consensus::handle`] there returned an error.
    Refused,
    /// It was sent, or may have been; the target may have acted on it.
    Unknown,
}

/// A call did not come through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("call server {target}: {reason}")]
pub struct TransportError {
    /// The server.
    pub target: ServerId,
    /// Why.
    pub reason: String,
    /// Whether the target may have acted on it. When in doubt [`Delivery::Unknown`]: a write that is refused is tried again.
    pub delivery: Delivery,
}

/// Carries calls. An implementation tells the receiver for whom the call is. It gives up connecting well before the deadline: a caller tries
/// other ways when it knows early that a server is not there.
pub trait Transport: Send + Sync + 'static {
    /// Sends `body` to [`crate::Consensus::handle`] of the target and returns its answer, within `deadline`. `address` is the newest that is
    /// known at this moment: a connection to another address must not be used any more.
    fn call<'a>(
        &'a self,
        target: &'a ServerId,
        address: &'a ServerAddress,
        rpc: Rpc,
        body: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, TransportError>>;

    /// What this machine should set right so that others are reached, if that is known. It is said where nobody leads.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// Reaches nobody: for a cluster of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTransport;

impl Transport for NoTransport {
    fn call<'a>(
        &'a self,
        target: &'a ServerId,
        _address: &'a ServerAddress,
        _rpc: Rpc,
        _body: Vec<u8>,
        _deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, TransportError>> {
        let reason = "this server was started for a cluster of one; give it an RPC address that others reach".to_owned();
        Box::pin(std::future::ready(Err(TransportError { target: target.clone(), reason, delivery: Delivery::Refused })))
    }
}

/// A call from another server cannot be answered. Nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// It is for another server: the caller has an old address.
    #[error("answer call: it is for server {target}, but this is {own}")]
    WrongTarget {
        /// For whom it is.
        target: ServerId,
        /// Who this is.
        own: ServerId,
    },
    /// The caller is in another cluster.
    #[error(
        "answer call: it is from server {from} of cluster {theirs}, but this server is in cluster {own}; two clusters have each other's \
         addresses, so correct what they are told to join"
    )]
    ForeignCluster {
        /// The caller.
        from: ServerId,
        /// Its cluster.
        theirs: String,
        /// This server's cluster.
        own: ClusterId,
    },
    /// This server has no log, but the cluster has it as a voter: what it had acknowledged is gone.
    #[error(
        "answer call: server {own} is a voter, but has no log; a server that lost its log must not vote under its old id: remove {own} from \
         the cluster, give this server a new key pair, and let it join"
    )]
    LostLog {
        /// This server.
        own: ServerId,
    },
    /// The bytes say nothing that this build understands.
    #[error("answer call {rpc:?}: its body cannot be understood")]
    Malformed {
        /// What was asked.
        rpc: Rpc,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A cluster that this server was in refuses it for good.
    #[error("answer call: server {0} was removed from its cluster for good, and takes part in none")]
    Retired(ServerId),
    /// This server stopped.
    #[error("answer call: {0}")]
    Stopped(StopReason),
}
