//! What a state amounts to, as 128 bits: two servers that hold the same rows have the same digest, however they came to them.
//!
//! Each table keeps the sum of the hashes of its rows ([`crate::table::Rows`]), so a digest costs what changed since the last one, not what
//! is held. A sum does not depend on the order in which rows came. It finds faults, of memory, of disks and of this program; it does not
//! withstand somebody who looks for rows with the same sum.

use crate::state::State;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// The form in which rows are hashed: two states can be compared when theirs is the same. Another release may write a row in another way, with
/// a field more, so its digests are others without anything being wrong.
pub const FORM: &str = concat!(env!("CARGO_PKG_VERSION"), "/3");

/// 128 bits that stand for what a table or a state holds. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Digest(u128);

impl Digest {
    /// The digest of a value in the form that snapshots have: MessagePack with field names.
    pub(crate) fn of(value: &impl Serialize) -> Self {
        let mut bytes = Vec::with_capacity(512);
        value
            .serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())
            .expect("invariant: the model's types encode, and writing to memory does not fail");
        Self(XxHash3_128::oneshot(&bytes))
    }

    /// The digest of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(bytes))
    }

    pub(crate) fn plus(self, row: Digest) -> Self {
        Self(self.0.wrapping_add(row.0))
    }

    pub(crate) fn minus(self, row: Digest) -> Self {
        Self(self.0.wrapping_sub(row.0))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<(u64, u64)> for Digest {
    fn from((high, low): (u64, u64)) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

impl From<Digest> for (u64, u64) {
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    fn from(digest: Digest) -> Self {
        ((digest.0 >> 64) as u64, digest.0 as u64)
    }
}

impl State {
    /// The digest of everything that the servers agree on, the index and the tables' indexes included. Two servers at the same index have the
    /// same one. Costs the same however much the state holds.
    pub fn digest(&self) -> Digest {
        let staging = self.staging.as_ref().map(|s| (&s.id, s.total, s.staged(), s.touched));
        let indexes = (self.log_index, self.offset, self.table_index);
        Digest::of(&(indexes, self.cluster_version, &self.restored, staging, self.table_digests()))
    }

    /// The digest of each table's rows, by the table's name; always in the same order. What an empty table has is the same for all.
    pub fn table_digests(&self) -> Vec<(&'static str, Digest)> {
        // All fields are named, so that a table that is added is not forgotten here.
        let State {
            log_index: _,
            offset: _,
            cluster_version: _,
            table_index: _,
            jobs,
            job_versions,
            submissions,
            nodes,
            allocs,
            evals,
            deployments,
            services,
            variables,
            join_tokens,
            refused_agents,
            refused_clients,
            founding,
            authorities,
            root_keys,
            sealed_authorities,
            restored: _,
            staging: _,
            requests,
            request_order: _,
            derived: _,
        } = self;
        vec![
            ("jobs", jobs.digest()),
            ("job_versions", job_versions.digest()),
            ("submissions", submissions.digest()),
            ("nodes", nodes.digest()),
            ("allocs", allocs.digest()),
            ("evals", evals.digest()),
            ("deployments", deployments.digest()),
            ("services", services.digest()),
            ("variables", variables.digest()),
            ("join_tokens", join_tokens.digest()),
            ("refused_agents", refused_agents.digest()),
            ("refused_clients", refused_clients.digest()),
            ("founding", Digest::of(&founding.as_deref())),
            ("authorities", Digest::of(&authorities.as_deref())),
            ("requests", requests.digest()),
            ("root_keys", root_keys.digest()),
            ("sealed_authorities", sealed_authorities.digest()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_was_written() {
        let digest = Digest::of(&("a", 1));
        assert_ne!(digest, Digest::of(&("a", 2)));
        let bytes = rmp_serde::to_vec(&digest).expect("encode");
        assert_eq!(rmp_serde::from_slice::<Digest>(&bytes).expect("decode"), digest);
        assert_eq!(digest.to_string().len(), 32);
        assert_eq!(Digest::default().plus(digest).minus(digest), Digest::default());
    }
}
