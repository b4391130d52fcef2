//! Restoring a backup: pieces are kept, and the last command puts them together.

use super::{Change, writer::Writer};
use crate::{
    archive::{self, MAX_ARCHIVE_BYTES},
    command::{Outcome, Refusal},
    restore::{self, PIECE_BYTES, Restore, RestoreRefusal, StageRestore, Staging},
};
use std::sync::Arc;

impl Writer<'_> {
    /// Forgets pieces that nobody goes on with. Looked at with every entry, so that they go without anybody's doing.
    pub(super) fn drop_abandoned_staging(&mut self) {
        if self.state.staging.as_ref().is_some_and(|s| s.is_abandoned(self.now)) {
            self.state.staging = None;
        }
    }

    pub(super) fn stage_restore(&mut self, piece: &StageRestore) -> Result<Outcome, Refusal> {
        let too_large = |bytes, limit: usize| Err(RestoreRefusal::TooLarge { bytes, limit: limit as u64 }.into());
        if piece.total > MAX_ARCHIVE_BYTES as u64 {
            return too_large(piece.total, MAX_ARCHIVE_BYTES);
        }
        let bytes = piece.bytes.as_slice().len();
        if bytes > PIECE_BYTES {
            return too_large(bytes as u64, PIECE_BYTES);
        }
        let is_other = self.state.staging.as_ref().is_none_or(|s| s.id != piece.id);
        if piece.at == 0 && is_other {
            self.state.staging = Some(Arc::new(Staging::new(&piece.id, piece.total, self.now)));
        }
        let now = self.now;
        let staging = self.state.staging.as_mut().filter(|s| s.id == piece.id).ok_or(RestoreRefusal::Superseded)?;
        Arc::make_mut(staging).put(piece.at, &piece.bytes, now)?;
        Ok(Outcome::Done)
    }

    pub(super) fn restore(&mut self, wish: &Restore) -> Result<Outcome, Refusal> {
        if self.state.restored.id == wish.id && self.state.restored.index > 0 {
            // Its answer was lost.
            return Ok(Outcome::Restored(self.state.restored.clone()));
        }
        let staging = self.state.staging.take_if(|s| s.id == wish.id).ok_or(RestoreRefusal::Superseded)?;
        restore::check_version(wish.cluster_version, self.state)?;
        let backup = archive::decode(&staging.whole()?).map_err(|e| RestoreRefusal::Unreadable(archive::in_words(&e)))?;
        restore::check(&backup.metadata, self.state, &wish.cluster_id, wish.force)?;
        *self.state = self.state.with_content_of(backup.state, wish)?;
        self.index = self.state.index();
        self.effects.changes.push(Change::Everything);
        Ok(Outcome::Restored(self.state.restored.clone()))
    }
}
