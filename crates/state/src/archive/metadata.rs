//! What an archive says of itself.

use super::{ArchiveError, MAX_INDEX};
use crate::{Digest, State, digest::FORM};
use floe_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where an archive comes from: what the state itself does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The cluster whose state it is.
    pub cluster_id: String,
    /// The term in which it was made.
    pub term: u64,
    /// When it was made.
    pub created: Timestamp,
    /// The version of the build that made it.
    pub floe_version: String,
    /// The ids of the cluster's servers: a cluster that begins again without them refuses them.
    pub servers: Vec<String>,
    /// What may be secret was taken out.
    pub redacted: bool,
}

/// What an archive says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The cluster whose state it is.
    pub cluster_id: String,
    /// The index of the last change in it.
    pub index: u64,
    /// The term in which it was made.
    pub term: u64,
    /// When it was made.
    pub created: Timestamp,
    /// The version of the build that made it.
    pub floe_version: String,
    /// The ids of the cluster's servers.
    pub servers: Vec<String>,
    /// The version of commands that the cluster wrote.
    pub cluster_version: u32,
    /// The rows of each table.
    pub counts: BTreeMap<String, u64>,
    /// The digest of the content: the same before and after a restore.
    pub digest: Digest,
    /// How the digest is made: [`FORM`] of the build that made it.
    pub digest_form: String,
    /// How long the body is before it is compressed.
    pub body_bytes: u64,
    /// What may be secret was taken out: it is for looking at, not for restoring.
    pub redacted: bool,
}

impl Metadata {
    pub(super) fn of(state: &State, origin: Origin, body_bytes: u64) -> Self {
        Self {
            cluster_id: origin.cluster_id,
            index: state.index(),
            term: origin.term,
            created: origin.created,
            floe_version: origin.floe_version,
            servers: origin.servers,
            cluster_version: state.cluster_version(),
            counts: state.counts(),
            digest: state.content_digest(),
            digest_form: FORM.to_owned(),
            body_bytes,
            redacted: origin.redacted,
        }
    }

    /// Where a copy of the archive comes from.
    pub fn origin(&self) -> Origin {
        Origin {
            cluster_id: self.cluster_id.clone(),
            term: self.term,
            created: self.created,
            floe_version: self.floe_version.clone(),
            servers: self.servers.clone(),
            redacted: self.redacted,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("invariant: numbers and texts encode, and writing to memory does not fail")
    }

    /// Refuses what is not true of the state.
    pub(super) fn check(&self, state: &State) -> Result<(), ArchiveError> {
        if state.index() > MAX_INDEX || state.newest_row() > state.index() {
            return Err(ArchiveError::Damaged("its indexes make no sense"));
        }
        same("index", self.index, state.index())?;
        same("cluster version", self.cluster_version, state.cluster_version())?;
        let found = state.counts();
        for table in self.counts.keys().chain(found.keys()) {
            // A table that the writer did not know has no rows.
            let rows = |counts: &BTreeMap<String, u64>| format!("{} {table}", counts.get(table).copied().unwrap_or(0));
            same("number of rows", rows(&self.counts), rows(&found))?;
        }
        Ok(())
    }
}

pub(super) fn same<T: PartialEq + ToString>(what: &'static str, said: T, found: T) -> Result<(), ArchiveError> {
    if said == found { Ok(()) } else { Err(ArchiveError::Untrue { what, said: said.to_string(), found: found.to_string() }) }
}
