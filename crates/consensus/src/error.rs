//! What a caller can be told.

use crate::{ChangeError, Divergence, ServerId, codec::EncodeError};
use floe_store::{LogError, SnapshotError};
use std::time::Duration;

/// Why this server does not take part any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// It was shut down.
    #[error("this server was shut down")]
    Closed,
    /// The disk failed, or an entry could not be applied. To go on would be to diverge.
    #[error("{0}")]
    Failed(String),
    /// Its state is not what the other servers have.
    #[error("{0}")]
    Diverged(Divergence),
}

/// The cluster writes commands that a server does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cluster runs version {cluster}, but this server knows versions up to {known}; upgrade floe on this server: it cannot go back")]
pub struct TooOld {
    /// The cluster's version.
    pub cluster: u32,
    /// The newest that the server knows.
    pub known: u32,
}

impl TooOld {
    /// Refuses a cluster version that is not known.
    pub(crate) fn check(cluster: u32, known: u32) -> Result<(), Self> {
        if cluster > known { Err(Self { cluster, known }) } else { Ok(()) }
    }
}

/// The server cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshots cannot be opened.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A snapshot is whole but cannot be understood.
    #[error("restore snapshot {index}-{term}")]
    Restore {
        /// The index of the last entry in it.
        index: u64,
        /// The term of that entry.
        term: u64,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log begins after the state ends: entries between are gone.
    #[error(
        "open server: the log begins after entry {purged}, but the newest whole snapshot ends at {snapshot}; move the server folder away and \
         restart: a server gets its state back from the other servers; a single server restores a snapshot: floe operator snapshot restore"
    )]
    Hole {
        /// The last entry that the log does not have any more.
        purged: u64,
        /// The last entry of the snapshot; zero when there is none.
        snapshot: u64,
    },
    /// The log is of another server than the key.
    #[error(
        "open server: the log is of server {kept}, but this server's key makes it {own}; put back the key that belongs to this log, or the \
         folder that belongs to this key; for a new server move the server folder away, remove {kept} from its cluster and let this one join"
    )]
    OtherServer {
        /// The server of the log.
        kept: ServerId,
        /// The server of the key.
        own: ServerId,
    },
    /// The configuration makes no sense.
    #[error("open server: the configuration is not usable: {0}")]
    Config(String),
    /// It had to stop while it recovered.
    #[error("open server: {0}")]
    Stopped(StopReason),
    /// A single server did not come to lead within the time given.
    #[error("open server: it did not become ready within {0:?}; look at the log for what the disk is doing")]
    NotReady(Duration),
    /// The first entry of a new cluster could not be written.
    #[error("open server: write the cluster's version")]
    Bootstrap(#[source] Box<ProposeError>),
    /// A single server could not write its address into the membership.
    #[error("open server: write its address into the membership")]
    Announce(#[source] Box<ChangeError>),
    /// The cluster has gone on to commands that this server does not know.
    #[error("open server: {0}")]
    TooOld(#[from] TooOld),
    /// A thread of the runtime could not be had.
    #[error("open server: the runtime is shutting down")]
    Runtime,
}

/// A command was not carried out, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// No leader took it while one was waited for. Nothing was done.
    #[error("propose {command}: no server leads at present; {advice}")]
    Unavailable {
        /// The command's kind.
        command: &'static str,
        /// Which servers do not answer, and what to do.
        advice: String,
    },
    /// It was decided as the leader, and this server does not lead (any more). Nothing was done.
    #[error("propose {command}: this server does not lead any more, and what it decided as the leader is void")]
    NotLeading {
        /// The command's kind.
        command: &'static str,
    },
    /// Not all servers know the command yet. Nothing was done.
    #[error(
        "propose {command}: this needs cluster version {needed}, and the cluster runs version {present} until all of its servers are upgraded; \
         upgrade or remove the servers that know less (floe server members)"
    )]
    NotYet {
        /// The command's kind.
        command: &'static str,
        /// The version that it needs.
        needed: u32,
        /// The version that the cluster runs.
        present: u32,
    },
    /// Too much waits. Nothing was done.
    #[error("propose {command}: {limit} proposals wait already and none was done within {after:?}; try again later")]
    Overloaded {
        /// The command's kind.
        command: &'static str,
        /// How many may wait.
        limit: usize,
        /// How long it waited for its turn.
        after: Duration,
    },
    /// It is too large. Nothing was done.
    #[error("propose {command}: it has {bytes} bytes, but at most {limit} fit into one entry; split it")]
    TooLarge {
        /// The command's kind.
        command: &'static str,
        /// Its size.
        bytes: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// No answer in time. It may have been done or may still be done.
    #[error("propose {command}: no answer within {after:?}; it may still be carried out, so look before you try again")]
    Timeout {
        /// The command's kind.
        command: &'static str,
        /// How long it waited.
        after: Duration,
    },
    /// The leader changed or could not be reached meanwhile. It may have been done or may still be done.
    #[error("propose {command}: the leader was lost meanwhile; it may still be carried out, so look before you try again")]
    OutcomeUnknown {
        /// The command's kind.
        command: &'static str,
    },
    /// It was done, but this server does not show it yet.
    #[error(
        "propose {command}: it was carried out as entry {index}, but this server has not applied that within {after:?}; do not try it again"
    )]
    Behind {
        /// The command's kind.
        command: &'static str,
        /// The index of its entry.
        index: u64,
        /// How long it waited.
        after: Duration,
    },
    /// This server stopped. Nothing was done.
    #[error("propose {command}: {reason}")]
    Stopped {
        /// The command's kind.
        command: &'static str,
        /// Why.
        reason: StopReason,
    },
    /// This server stopped in the middle of it. It may have been done or may still be done: others may have the entry.
    #[error("propose {command}: {reason}; it may still be carried out, so look before you try again")]
    Interrupted {
        /// The command's kind.
        command: &'static str,
        /// Why.
        reason: StopReason,
    },
    /// It cannot be written as MessagePack.
    #[error("propose {command}: it cannot be written down")]
    Encode {
        /// The command's kind.
        command: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ProposeError {
    pub(crate) fn encode(command: &'static str, source: EncodeError) -> Self {
        Self::Encode { command, source: Box::new(source) }
    }
}

/// A read could not be made sure to be up to date, or a snapshot was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No leader answered while one was waited for.
    #[error("{action}: no server leads at present; {advice}")]
    Unavailable {
        /// What was asked.
        action: &'static str,
        /// Which servers do not answer, and what to do.
        advice: String,
    },
    /// No answer in time.
    #[error("{action}: no answer within {after:?}; try again")]
    Timeout {
        /// What was asked.
        action: &'static str,
        /// How long it waited.
        after: Duration,
    },
    /// This server stopped.
    #[error("{action}: {reason}")]
    Stopped {
        /// What was asked.
        action: &'static str,
        /// Why.
        reason: StopReason,
    },
}
