//! Backups of what the cluster agreed on: the state as an archive, and an archive as the state.

mod agent;
mod bucket;
mod folder;
mod restore;
mod target;

pub use agent::SnapshotConfig;
pub(crate) use agent::{LatestSnapshots, SnapshotStatus, run};
pub use restore::{RestoreError, restore, restore_by_pieces};
pub use target::Target;

use crate::Server;
use floe_consensus::ReadError;
use floe_state::{
    State,
    archive::{self, ArchiveError, Origin},
};

/// A backup that could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    /// The state as it is now cannot be known.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No cluster took this server in yet.
    #[error("save a snapshot: this server is in no cluster yet")]
    NoCluster,
    /// It does not fit.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The server stops.
    #[error("save a snapshot: this server is stopping; ask another one")]
    Stopping,
}

/// A backup.
pub(crate) struct Backup {
    /// The archive.
    pub(crate) bytes: Vec<u8>,
    /// Its SHA-256.
    pub(crate) sha256: [u8; 32],
    /// The index of the last change in it.
    pub(crate) index: u64,
}

/// Takes a backup: of all that was acknowledged before, or of what this server knows, which may be less and needs no leader.
pub(crate) async fn save(server: &Server, is_stale: bool) -> Result<Backup, SaveError> {
    let consensus = server.consensus();
    let state = if is_stale { server.view() } else { consensus.linearizable().await? };
    let origin = Origin {
        cluster_id: consensus.cluster().ok_or(SaveError::NoCluster)?.to_string(),
        term: consensus.status().term,
        created: server.now(),
        floe_version: server.config().version.to_owned(),
        servers: consensus.members().into_iter().map(|member| member.id.to_string()).collect(),
        redacted: false,
    };
    // Encoding and compressing take a while: heartbeats do not wait for it.
    let made = tokio::task::spawn_blocking(move || encode(&state, origin)).await;
    Ok(made.map_err(|_| SaveError::Stopping)??)
}

fn encode(state: &State, origin: Origin) -> Result<Backup, ArchiveError> {
    let bytes = archive::encode(state, origin)?;
    Ok(Backup { sha256: archive::sha256(&bytes), index: state.index(), bytes })
}
