//! What can be wrong with an archive.

use super::{FORMAT, MAX_ARCHIVE_BYTES, MAX_BODY_BYTES};
use crate::encode::DecodeError;

/// An archive that cannot be made or read. One that cannot be read is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The first bytes are not an archive's.
    #[error("read snapshot: this is not a floe snapshot{}", hint(.0))]
    Foreign(Vec<u8>),
    /// Written by a newer build.
    #[error("read snapshot: it was written in format {0}, but this build reads up to {FORMAT}; use a newer floe")]
    FutureFormat(u32),
    /// Some bytes are missing, added or not those that were written.
    #[error("read snapshot: it is cut off or damaged: {0}; use another copy")]
    Damaged(&'static str),
    /// The file is larger than any that is written.
    #[error("read snapshot: it has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// How many it has.
        bytes: u64,
        /// [`MAX_ARCHIVE_BYTES`]
        limit: u64,
    },
    /// The state does not fit into an archive.
    #[error("write snapshot: the state takes {bytes} bytes, more than the limit of {limit}")]
    StateTooLarge {
        /// How many it takes.
        bytes: u64,
        /// [`MAX_BODY_BYTES`] before it is compressed, [`MAX_ARCHIVE_BYTES`] after.
        limit: u64,
    },
    /// The state in it cannot be read.
    #[error("read snapshot")]
    State(#[from] DecodeError),
    /// It is whole, but what it says of itself is not true.
    #[error("read snapshot: it says that its {what} is {said}, but that is {found}; use another copy")]
    Untrue {
        /// What it is about.
        what: &'static str,
        /// What the archive says.
        said: String,
        /// What was found.
        found: String,
    },
}

impl ArchiveError {
    pub(super) fn too_large(bytes: usize) -> Self {
        Self::TooLarge { bytes: bytes as u64, limit: MAX_ARCHIVE_BYTES as u64 }
    }
    pub(super) fn state_too_large(bytes: usize, limit: u64) -> Self {
        debug_assert!(limit == MAX_BODY_BYTES || limit == MAX_ARCHIVE_BYTES as u64 || cfg!(test));
        Self::StateTooLarge { bytes: bytes as u64, limit }
    }
}

/// What the file may be instead.
fn hint(first: &[u8]) -> &'static str {
    match first {
        [] => " (it is empty)",
        [0x1f, 0x8b, ..] => " (it is a gzip file; snapshots of Nomad cannot be restored)",
        _ if first.starts_with(b"floesnap") => " but a server's own, from its data folder; make one with floe operator snapshot save",
        _ => "",
    }
}
