//! Restoring: an archive goes through the log in pieces, and becomes the state of all servers with the last entry.

use crate::server::ServerError;
use bytes::Bytes;
use floe_consensus::{
    Consensus, ProposeError, ReadError, executor,
    planted::{self, Bug},
};
use floe_state::{
    Command, Outcome,
    archive::{self, Archive, ArchiveError},
    command::Refusal,
    restore::{PIECE_BYTES, Piece, Restore, Restored, StageRestore, check},
};
use std::time::Duration;

/// How often an entry of a restore is tried. All of them may be written twice: a piece that came already is taken once, and so is the restore.
const TRIES: usize = 5;
/// How long the last entry may take: every server reads the whole archive then.
const LAST_DEADLINE: Duration = Duration::from_secs(120);

/// A backup that was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is no archive, or not whole.
    #[error("{0}; nothing was changed")]
    Unreadable(#[from] ArchiveError),
    /// The state as it is now cannot be known.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It was refused, or could not be written.
    #[error(transparent)]
    Write(#[from] ServerError),
    /// No cluster took this server in yet.
    #[error("restore the snapshot: this server is in no cluster yet")]
    NoCluster,
    /// A defect of floe.
    #[error("restore the snapshot: it came to something that no restore comes to: {0}")]
    Strange(String),
    /// The server stops.
    #[error("restore the snapshot: this server is stopping; ask another one")]
    Stopping,
}

/// Replaces the state of the cluster. What will not be restored is refused before anything is written, as far as that is known then.
///
/// # Errors
/// When it is refused, or could not be written. Either all of it is done or nothing.
pub async fn restore(consensus: &Consensus, bytes: Bytes, force: bool) -> Result<Restored, RestoreError> {
    restore_by_pieces(consensus, bytes, force, PIECE_BYTES).await
}

/// As [`restore`], in pieces of at most so many bytes: at least one, and no more than [`PIECE_BYTES`].
///
/// # Errors
/// See [`RestoreError`].
pub async fn restore_by_pieces(consensus: &Consensus, bytes: Bytes, force: bool, piece_bytes: usize) -> Result<Restored, RestoreError> {
    let cluster_id = consensus.cluster().ok_or(RestoreError::NoCluster)?.to_string();
    let archive = read(bytes.clone()).await?;
    let view = consensus.linearizable().await?;
    check(&archive.metadata, &view, &cluster_id, force).map_err(|why| ServerError::Refused(why.into()))?;
    let id = id(consensus.draw());
    let total = bytes.len() as u64;
    let mut at = 0;
    for piece in bytes.chunks(piece_bytes.clamp(1, PIECE_BYTES)) {
        let stage = StageRestore { id: id.clone(), total, at, bytes: Piece::from(piece) };
        write(consensus, Command::StageRestore(stage)).await?;
        at += piece.len() as u64;
    }
    let (cluster_version, digest) = (archive.metadata.cluster_version, archive.state.content_digest());
    let last = Restore { id, cluster_id, cluster_version, digest, force };
    match write(consensus, Command::Restore(last)).await? {
        Outcome::Restored(restored) => {
            tracing::warn!(index = restored.index, content = %restored.digest, "the cluster's state was replaced by a snapshot");
            Ok(restored)
        }
        other => Err(RestoreError::Strange(format!("{other:?}"))),
    }
}

/// What tells one restore from another.
fn id((high, low): (u64, u64)) -> String {
    uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes()).into_uuid().to_string()
}

/// Reads the archive on a thread of its own: heartbeats do not wait for it.
async fn read(bytes: Bytes) -> Result<Archive, RestoreError> {
    let read = move || {
        let archive = archive::decode(&bytes)?;
        archive.check_digest().map(|()| archive)
    };
    Ok(executor::blocking(read).await.map_err(|_| RestoreError::Stopping)??)
}

/// Writes an entry, and tries again when a leader is lost on the way.
async fn write(consensus: &Consensus, command: Command) -> Result<Outcome, ServerError> {
    let mut tries = 1;
    loop {
        let error = match consensus.propose_within(command.clone(), LAST_DEADLINE).await {
            Ok(proposed) => return refused(proposed.outcome).map_err(ServerError::Refused),
            Err(error) => error,
        };
        if planted::is_on(Bug::LostRestoreIsDone)
            && let Command::Restore(Restore { id, digest, .. }) = &command
        {
            return Ok(Outcome::Restored(Restored { id: id.clone(), index: consensus.view().index(), digest: *digest }));
        }
        if tries == TRIES || !is_worth_another_try(&error) {
            return Err(error.into());
        }
        tries += 1;
        tracing::info!(%error, "an entry of a restore is written again");
    }
}

fn refused(outcome: Outcome) -> Result<Outcome, Refusal> {
    match outcome {
        Outcome::Refused(why) => Err(why),
        outcome => Ok(outcome),
    }
}

/// Whether the entry was not written because of a leader that was lost, or may have been.
fn is_worth_another_try(error: &ProposeError) -> bool {
    match error {
        ProposeError::Unavailable { .. }
        | ProposeError::Overloaded { .. }
        | ProposeError::Timeout { .. }
        | ProposeError::OutcomeUnknown { .. }
        | ProposeError::Interrupted { .. }
        | ProposeError::Behind { .. } => true,
        ProposeError::NotYet { .. }
        | ProposeError::NotLeading { .. }
        | ProposeError::TooLarge { .. }
        | ProposeError::Stopped { .. }
        | ProposeError::Encode { .. } => false,
    }
}
