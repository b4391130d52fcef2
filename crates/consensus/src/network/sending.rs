//! Sending a snapshot to another server, in pieces.
//!
//! One snapshot is sent at a time: the others wait for their turn, which costs a lagging server less than sharing the line. A transfer that
//! fails begins anew, with the newest snapshot then.

use super::{
    Rpc,
    link::Link,
    wire::{Piece, PieceAnswer},
};
use crate::{
    config::SNAPSHOT_CHUNK_BYTES,
    executor,
    raft_types::{SnapshotResponse, StreamingError, Unreachable, Vote},
};
use bytes::Bytes;
use floe_store::SnapshotFile;
use std::time::Duration;

/// How long a piece may take.
const PIECE_DEADLINE: Duration = Duration::from_secs(10);
/// How long the last piece may take, with the check of all of them, a sync, and reading the state.
const INSTALL_DEADLINE: Duration = Duration::from_secs(60);

pub(super) async fn send(link: &Link, vote: Vote, file: SnapshotFile) -> Result<SnapshotResponse, StreamingError> {
    let _turn = link.peers.sending.acquire().await.map_err(|e| Unreachable::new(&e))?;
    let read = executor::blocking(move || file.bytes()).await.map_err(|e| Unreachable::new(&e))?;
    let file = Bytes::from(read.map_err(|e| Unreachable::new(&e))?);
    // Tells one transfer from another.
    let transfer = (executor::random(), executor::random());
    let total = file.len() as u64;
    let mut offset = 0;
    while offset < file.len() {
        let end = file.len().min(offset.saturating_add(SNAPSHOT_CHUNK_BYTES));
        let piece = Piece { transfer, vote: vote.clone(), total, offset: offset as u64, bytes: file.slice(offset..end) };
        let deadline = if end == file.len() { INSTALL_DEADLINE } else { PIECE_DEADLINE };
        match link.call(Rpc::Snapshot, &piece, deadline).await? {
            PieceAnswer::More => offset = end,
            PieceAnswer::Over(response) => return Ok(response),
            PieceAnswer::Refused(reason) => return Err(refused(link, &reason)),
        }
    }
    Err(refused(link, "it took the whole snapshot without a word"))
}

fn refused(link: &Link, reason: &str) -> StreamingError {
    tracing::warn!(server = %link.target, "a snapshot was not taken: {reason}");
    Unreachable::from_string(format!("send a snapshot to {}: {reason}", link.target)).into()
}
