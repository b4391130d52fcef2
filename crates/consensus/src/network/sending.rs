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
    executor,
    raft_types::{SnapshotResponse, StreamingError, Unreachable, Vote},
};
use bytes::Bytes;
use floe_store::SnapshotFile;
use std::time::Duration;

/// How long a piece may take: a lost one holds up every server that waits for a snapshot, so no longer than a slow line needs.
const PIECE_DEADLINE: Duration = Duration::from_secs(4);
/// Bytes of a snapshot for which the last piece may take a second longer: then all of them are checked, synced and read.
const INSTALLED_IN_A_SECOND: u64 = 8 << 20;

pub(super) async fn send(link: &Link, vote: Vote, file: SnapshotFile) -> Result<SnapshotResponse, StreamingError> {
    let _turn = link.peers.sending.acquire().await.map_err(|e| Unreachable::new(&e))?;
    let read = executor::blocking(move || file.bytes()).await.map_err(|e| Unreachable::new(&e))?;
    let file = Bytes::from(read.map_err(|e| Unreachable::new(&e))?);
    // Tells one transfer from another.
    let transfer = (executor::random(), executor::random());
    let total = file.len() as u64;
    let mut offset = 0;
    while offset < file.len() {
        let end = file.len().min(offset.saturating_add(link.piece_bytes));
        let piece = Piece { transfer, vote: vote.clone(), total, offset: offset as u64, bytes: file.slice(offset..end) };
        let installs = if end == file.len() { Duration::from_secs(total / INSTALLED_IN_A_SECOND) } else { Duration::ZERO };
        match link.call(Rpc::Snapshot, &piece, PIECE_DEADLINE + installs).await? {
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
