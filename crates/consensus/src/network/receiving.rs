//! Taking a snapshot from the leader, in pieces.
//!
//! The pieces gather in memory, where the state will be anyway. When all are there they are checked and kept as a file that is not this
//! server's snapshot yet; openraft then decides, and only then the file gets its name. Whatever fails, at any moment, leaves nothing behind.

use super::wire::{Piece, PieceAnswer};
use crate::{
    codec,
    config::SNAPSHOT_BYTES,
    executor,
    raft_types::{Raft, Snapshot, SnapshotMeta, SnapshotResponse, WatchReceiver},
    stop::with_causes,
};
use floe_store::{SnapshotFile, SnapshotStore};
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// After this long without a piece, what there is of a snapshot is thrown away.
const PATIENCE: Duration = Duration::from_secs(30);

/// What there is of a snapshot.
struct Partial {
    transfer: (u64, u64),
    total: u64,
    bytes: Vec<u8>,
    at: Instant,
}

/// Takes one snapshot at a time; the newest transfer counts.
pub(crate) struct Receiving {
    snapshots: SnapshotStore,
    partial: Mutex<Option<Partial>>,
}

impl Receiving {
    pub(crate) fn new(snapshots: SnapshotStore) -> Self {
        Self { snapshots, partial: Mutex::new(None) }
    }

    /// Throws away what nobody goes on with.
    pub(crate) fn expire(&self) {
        if let Ok(mut partial) = self.partial.try_lock()
            && partial.as_ref().is_some_and(|partial| partial.at.elapsed() > PATIENCE)
        {
            tracing::warn!("the rest of a snapshot did not come; what there is of it is thrown away");
            *partial = None;
        }
    }

    /// Takes a piece; after the last one, installs the snapshot.
    pub(crate) async fn take(&self, raft: &Raft, piece: Piece) -> PieceAnswer {
        let own = raft.metrics().borrow_watched().vote.clone();
        if own > piece.vote {
            return PieceAnswer::Over(SnapshotResponse::new(own));
        }
        let mut partial = self.partial.lock().await;
        let vote = piece.vote.clone();
        match gather(&mut partial, piece) {
            Ok(None) => PieceAnswer::More,
            Ok(Some(bytes)) => self.install(raft, vote, bytes).await.map_or_else(PieceAnswer::Refused, PieceAnswer::Over),
            Err(reason) => {
                *partial = None;
                PieceAnswer::Refused(reason)
            }
        }
    }

    async fn install(&self, raft: &Raft, vote: crate::raft_types::Vote, bytes: Vec<u8>) -> Result<SnapshotResponse, String> {
        let snapshots = self.snapshots.clone();
        let staged = executor::blocking(move || stage(&snapshots, &bytes)).await.map_err(|e| e.to_string())?;
        let (meta, file) = staged?;
        let installed = raft.install_full_snapshot(vote, Snapshot { meta, snapshot: file.clone() }).await;
        let snapshots = self.snapshots.clone();
        let discarded = executor::blocking(move || snapshots.discard(&file)).await.map_err(|e| e.to_string())?;
        if let Err(error) = discarded {
            tracing::warn!("a snapshot that was not needed stays until the next start: {error}");
        }
        installed.map_err(|e| e.to_string())
    }
}

/// Adds a piece, and returns all of them after the last one.
fn gather(partial: &mut Option<Partial>, piece: Piece) -> Result<Option<Vec<u8>>, String> {
    if piece.total > SNAPSHOT_BYTES {
        return Err(format!("the snapshot has {} bytes, but at most {SNAPSHOT_BYTES} are taken", piece.total));
    }
    if piece.offset == 0 {
        *partial = Some(Partial { transfer: piece.transfer, total: piece.total, bytes: Vec::new(), at: Instant::now() });
    }
    let Some(present) = partial.as_mut().filter(|p| p.transfer == piece.transfer && p.total == piece.total) else {
        return Err("this piece is of a snapshot that was not begun, or that another one replaced".to_owned());
    };
    let have = present.bytes.len() as u64;
    if piece.offset != have || have.saturating_add(piece.bytes.len() as u64) > present.total {
        return Err(format!("a piece at {} does not follow the {have} bytes of {} that are here", piece.offset, present.total));
    }
    present.bytes.extend_from_slice(&piece.bytes);
    present.at = Instant::now();
    let is_whole = present.bytes.len() as u64 == present.total;
    Ok(if is_whole { partial.take().map(|whole| whole.bytes) } else { None })
}

/// Checks the whole file and keeps it. Blocks.
fn stage(snapshots: &SnapshotStore, bytes: &[u8]) -> Result<(SnapshotMeta, SnapshotFile), String> {
    let file = snapshots.stage(bytes).map_err(|e| with_causes(&e))?;
    let meta = file.read().map_err(|e| with_causes(&e)).and_then(|found| codec::decode_meta(&found.meta).map_err(|e| with_causes(&e)));
    match meta {
        Ok(meta) => Ok((meta, file)),
        Err(reason) => {
            if let Err(error) = snapshots.discard(&file) {
                tracing::warn!("a snapshot that cannot be read stays until the next start: {error}");
            }
            Err(reason)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::SNAPSHOT_CHUNK_BYTES;
    use bytes::Bytes;

    fn piece(transfer: u64, total: u64, offset: u64, bytes: &'static [u8]) -> Piece {
        Piece {
            transfer: (transfer, 0),
            vote: crate::raft_types::Vote::new(1, crate::ServerId::default()),
            total,
            offset,
            bytes: Bytes::from_static(bytes),
        }
    }

    #[test]
    fn pieces_make_a_whole_in_their_order_only() {
        let mut partial = None;
        assert_eq!(gather(&mut partial, piece(1, 5, 0, b"abc")).unwrap(), None);
        assert!(gather(&mut partial, piece(1, 5, 2, b"c")).unwrap_err().contains("does not follow the 3 bytes"));
        assert!(gather(&mut partial, piece(1, 5, 3, b"def")).unwrap_err().contains("does not follow"), "more than it said");
        assert!(gather(&mut partial, piece(1, 6, 3, b"de")).unwrap_err().contains("not begun"), "another length than it said");
        assert!(gather(&mut partial, piece(2, 5, 3, b"de")).unwrap_err().contains("not begun"), "of another transfer");
        assert_eq!(gather(&mut partial, piece(1, 5, 3, b"de")).unwrap().unwrap(), b"abcde");
        assert!(gather(&mut partial, piece(1, 5, 3, b"de")).unwrap_err().contains("not begun"), "delivered twice");
    }

    #[test]
    fn a_new_transfer_replaces_the_one_before() {
        let mut partial = None;
        assert_eq!(gather(&mut partial, piece(1, 5, 0, b"abc")).unwrap(), None);
        assert_eq!(gather(&mut partial, piece(2, 2, 0, b"xy")).unwrap().unwrap(), b"xy");
    }

    #[test]
    fn a_snapshot_at_the_bound_is_begun_and_one_past_it_is_refused() {
        let mut partial = None;
        assert_eq!(gather(&mut partial, piece(1, SNAPSHOT_BYTES, 0, b"a")).unwrap(), None);
        assert!(gather(&mut partial, piece(1, SNAPSHOT_BYTES + 1, 0, b"a")).unwrap_err().contains("at most"));
        assert!(partial.unwrap().bytes.capacity() < SNAPSHOT_CHUNK_BYTES, "no more is taken than was sent");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_goes_on_with_is_thrown_away() {
        let folder = std::sync::Arc::new(floe_store::twin::Folder::new(floe_store::twin::Fault::None));
        let receiving = Receiving::new(SnapshotStore::open_in(folder).unwrap());
        gather(&mut *receiving.partial.lock().await, piece(1, 5, 0, b"abc")).unwrap();
        tokio::time::advance(PATIENCE).await;
        receiving.expire();
        assert!(receiving.partial.lock().await.is_some(), "it may still go on");
        tokio::time::advance(Duration::from_millis(1)).await;
        receiving.expire();
        assert!(receiving.partial.lock().await.is_none());
    }
}
