//! Why a change of the membership was not made.

use crate::ServerId;
use serde::{Deserialize, Serialize};

/// A change of the membership was not made, or nobody knows. It travels between servers, so causes are texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ChangeError {
    /// The server is none of this cluster.
    #[error("{change}: {id} is no member of this cluster; look among the members for the right id, or add it as a learner first")]
    NotMember {
        /// What was asked.
        change: String,
        /// The server.
        id: ServerId,
    },
    /// It has no vote, so it cannot lead.
    #[error("{change}: {id} is a learner; promote it first")]
    NotVoter {
        /// What was asked.
        change: String,
        /// The server.
        id: ServerId,
    },
    /// It does not know the commands that the cluster writes.
    #[error("{change}: it knows versions up to {known}, but the cluster runs version {cluster}; upgrade floe on that server first")]
    TooOld {
        /// What was asked.
        change: String,
        /// The newest version that the server knows.
        known: u32,
        /// The cluster's version.
        cluster: u32,
    },
    /// It would vote about entries that it does not have.
    #[error(
        "{change}: it is {behind} entries behind the leader, and at most {limit} are allowed; wait until it has caught up and try again"
    )]
    Behind {
        /// What was asked.
        change: String,
        /// How many entries it lacks.
        behind: u64,
        /// How many it may lack.
        limit: u64,
    },
    /// It has nothing to vote about.
    #[error("{change}: it has taken no entries yet; wait until it has caught up and try again")]
    Empty {
        /// What was asked.
        change: String,
    },
    /// The server does not answer.
    #[error("{change}: {server} does not answer; see that it runs and that this cluster's servers reach it there")]
    Silent {
        /// What was asked.
        change: String,
        /// The server.
        server: String,
    },
    /// Nobody would be left to vote.
    #[error("{change}: it is the only voter; promote another server first")]
    LastVoter {
        /// What was asked.
        change: String,
    },
    /// The voters after the change that answer would be no majority: the cluster would stand still.
    #[error(
        "{change}: of the {voters} voters then only {here} answer, and {needed} are needed; bring back or remove the servers that do not \
         answer first: {silent}"
    )]
    NoQuorum {
        /// What was asked.
        change: String,
        /// How many voters there would be.
        voters: usize,
        /// How many of them answer.
        here: usize,
        /// How many must.
        needed: usize,
        /// Those that do not answer.
        silent: String,
    },
    /// The other server did not come to lead.
    #[error("{change}: {to} did not take over within {after_ms} ms; look at its log, and try again or name another server")]
    NotTakenOver {
        /// What was asked.
        change: String,
        /// Who should have.
        to: ServerId,
        /// How long it was waited for, in milliseconds.
        after_ms: u64,
    },
    /// Nobody leads. Nothing was changed.
    #[error("{change}: no server leads at present; {advice}")]
    NoLeader {
        /// What was asked.
        change: String,
        /// What to do.
        advice: String,
    },
    /// Earlier changes take too long. Nothing was changed.
    #[error("{change}: another change of the membership is under way; try again when it is done")]
    Busy {
        /// What was asked.
        change: String,
    },
    /// No answer in time, or the leader changed meanwhile.
    #[error("{change}: it is not known whether that was done; look at the members and try again if it was not")]
    Unknown {
        /// What was asked.
        change: String,
    },
    /// This server stopped.
    #[error("{change}: {reason}")]
    Stopped {
        /// What was asked.
        change: String,
        /// Why.
        reason: String,
    },
}

impl ChangeError {
    /// Whether it rests on what the leader heard of others until now, so that a moment may mend it.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Behind { .. } | Self::Empty { .. } | Self::Silent { .. } | Self::NoQuorum { .. })
    }
}
