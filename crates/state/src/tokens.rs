//! Join tokens: what lets a machine into the cluster, once.
//!
//! The cluster keeps only the hash of a token's secret. A token that was used is kept until it expires, with who used it: a machine whose
//! answer got lost asks again and is let in again, and nobody else is.
//!
//! Servers that begin a cluster together need no operator: the first of them says who they are, and each gets a token that is its own from the
//! beginning, for a day.

use crate::{State, command::Refusal};
use floe_model::{Nanos, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How many join tokens may wait at once.
pub const MAX_JOIN_TOKENS: usize = 1_000;

/// How many machines that were removed for good are remembered.
pub const MAX_REFUSED_AGENTS: usize = 10_000;

/// How many servers begin a cluster together at most.
pub const MAX_FOUNDERS: usize = 7;

/// How long after the beginning of a cluster those that began it together are let in without an operator's token.
pub const FOUNDING_TIME: Nanos = Nanos::from_hours(24);

/// The servers that began the cluster together. They are let in by the secret that they share, each under the id that it had then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// Their ids, from their keys.
    pub founders: BTreeSet<String>,
    /// When it ends: who has not joined by then needs a token.
    pub until: Timestamp,
}

impl State {
    /// Until when this server may join because it is one of those that began the cluster.
    ///
    /// # Errors
    /// When it is none of them, its time is over, or it was removed for good.
    pub fn founder_until(&self, id: &str, now: Timestamp) -> Result<Timestamp, Refusal> {
        if self.is_agent_refused(id) {
            return Err(Refusal::AgentRefused(id.to_owned()));
        }
        let founding = self.founding.as_ref().filter(|founding| founding.founders.contains(id));
        let until = founding.ok_or_else(|| Refusal::NotFounder(id.to_owned()))?.until;
        if until <= now { Err(Refusal::FoundingOver) } else { Ok(until) }
    }
}

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
