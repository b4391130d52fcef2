//! Join tokens: what lets a machine into the cluster, once.
//!
//! The cluster keeps only the hash of a token's secret. A token that was used is kept until it expires, with who used it: a machine whose
//! answer got lost asks again and is let in again, and nobody else is.

use floe_model::Timestamp;
use serde::{Deserialize, Serialize};

/// How many join tokens may wait at once.
pub const MAX_JOIN_TOKENS: usize = 1_000;

/// How many machines that were removed for good are remembered.
pub const MAX_REFUSED_AGENTS: usize = 10_000;

/// What a machine joins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinRole {
    /// A server, which may also run tasks.
    Server,
    /// A client only.
    Client,
}

impl std::fmt::Display for JoinRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            JoinRole::Server => "server",
            JoinRole::Client => "client",
        })
    }
}

/// A join token as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The hash of its secret, as hexadecimal digits.
    pub hash: String,
    /// What it lets a machine join as.
    pub role: JoinRole,
    /// It is of no use from then on.
    pub expires: Timestamp,
    /// The id of the machine that used it; empty before.
    pub used_by: String,
}
