//! Why a request brought no answer.

use crate::reason::Reason;

/// A request that did not bring an answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The agent cannot be reached.
    #[error("cannot reach the agent at {address}: {cause}; is it running? (set the address with -address or FLOE_ADDR)")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong, in one line.
        cause: String,
        /// The whole story.
        #[source]
        source: reqwest::Error,
    },
    /// The agent refused.
    #[error("{message}")]
    Refused {
        /// The status code.
        status: u16,
        /// What a program may do something about.
        reason: Option<Reason>,
        /// The agent's words.
        message: String,
    },
    /// The answer makes no sense.
    #[error("read the answer of {path}: {cause}")]
    BadAnswer {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl ApiError {
    /// True when a write may have been done, or may still be.
    pub(super) fn is_in_doubt(&self) -> bool {
        match self {
            ApiError::Unreachable { source, .. } => !source.is_connect(),
            ApiError::Refused { reason, .. } => *reason == Some(Reason::InDoubt),
            ApiError::BadAnswer { .. } => false,
        }
    }

    /// True when not all servers remember writes by their ids yet. Then nothing was done.
    pub(super) fn is_ahead_of_cluster(&self) -> bool {
        matches!(self, ApiError::Refused { reason: Some(Reason::AheadOfCluster), .. })
    }

    /// True when nobody listens at the address, so nothing was asked of anybody.
    pub fn is_nobody_there(&self) -> bool {
        matches!(self, ApiError::Unreachable { source, .. } if source.is_connect())
    }

    /// True when the thing that was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ApiError::Refused { status: 404, .. })
    }
}
