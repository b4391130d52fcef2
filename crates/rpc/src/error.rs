//! What a caller is told when there is no answer.

use std::{io, time::Duration};

/// A call that did not come to an answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection.
    #[error("connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke. The call may have been carried out.
    #[error("call {address}: the connection broke: {reason}")]
    Broken {
        /// Where to.
        address: String,
        /// How.
        reason: String,
        /// The request did not leave this machine.
        unsent: bool,
    },
    /// No answer in time. The call may have been carried out.
    #[error("call {address}: no answer in {after:?}")]
    Timeout {
        /// Where to.
        address: String,
        /// The deadline.
        after: Duration,
        /// The request did not leave this machine.
        unsent: bool,
    },
}

impl CallError {
    /// True when the other machine said that nobody listens there: no process, so nobody who acts.
    pub fn is_nobody_there(&self) -> bool {
        matches!(self, CallError::Connect { source, .. } if source.kind() == std::io::ErrorKind::ConnectionRefused)
    }

    /// True when the other side cannot have seen the request.
    pub fn is_certainly_unsent(&self) -> bool {
        match self {
            CallError::Connect { .. } => true,
            CallError::Broken { unsent, .. } | CallError::Timeout { unsent, .. } => *unsent,
        }
    }
}
