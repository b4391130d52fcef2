//! Restoring a backup: what is staged on the way, what a state keeps of its own, and which backups are refused.
//!
//! An archive comes through the log in pieces, which every server keeps beside its state and in its snapshots, so that a change of the leader
//! in between loses nothing. One last entry puts them together, reads them, and replaces all content at once, or refuses and changes nothing.
//! Either way the pieces are gone. Those of a restore that nobody goes on with are dropped after [`STAGING_KEPT`], or by the next restore.
//!
//! What belongs to the cluster itself stays as it is: the version of commands, join tokens (a used one must not come back to life), its
//! authorities and their sealed keys, the servers that began it, its root keys, and who was removed for good. To the last two those of the backup are
//! added: what comes with it stays readable, and nobody who was removed is let in.
//!
//! Rows keep the indexes that they had in the backup. Everything that counts indexes goes on above all that was ever told, in the backup's
//! cluster and in this one: the state's index jumps by [`INDEX_GAP`], and its place in the log, of which agreement speaks, does not.

use crate::{
    Digest, State,
    archive::{MAX_ARCHIVE_BYTES, Metadata},
    keyring,
    keyring::MAX_ROOT_KEYS,
    state::TABLES,
};
use floe_model::{Nanos, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, sync::Arc};

/// The most bytes of a piece: several fit into one call to a follower, between heartbeats.
pub const PIECE_BYTES: usize = 512 << 10;
/// How long the pieces of a restore are kept after the last one came.
pub const STAGING_KEPT: Nanos = Nanos::from_mins(10);
/// How far the index jumps: clients of the backup's cluster have seen indexes beyond the backup's, of changes that are lost. As many as a
/// thousand changes a second make in hours.
pub const INDEX_GAP: u64 = 10_000_000;

/// From this version of commands on, a job is looked at when an allocation of it is over that a restore brought back, though a plan that was made
/// since goes on with it.
pub const ENDED_AFTER_A_PLAN: u32 = 4;

/// A piece of an archive. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece(Arc<[u8]>);

impl Piece {
    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl From<&[u8]> for Piece {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Piece {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Piece;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Piece, E> {
                Ok(Piece(bytes.into()))
            }
        }
        d.deserialize_bytes(Bytes)
    }
}

/// See [`crate::Command::StageRestore`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRestore {
    /// Which restore it belongs to; drawn by whoever restores. The first piece of another one drops what is staged.
    pub id: String,
    /// How many bytes the whole archive has.
    pub total: u64,
    /// Where in it this piece begins.
    pub at: u64,
    /// The piece.
    pub bytes: Piece,
}

/// See [`crate::Command::Restore`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// Which restore.
    pub id: String,
    /// The cluster that this is, as the server that restores knows it.
    pub cluster_id: String,
    /// The version of commands that the backup's cluster wrote. Compared before anything is read: what an older server could not read must be
    /// refused by all.
    pub cluster_version: u32,
    /// The digest of its content, as the server that restores has found it. (Servers of other builds may find another one.)
    pub digest: Digest,
    /// Restore what is of another cluster, or redacted, all the same.
    pub force: bool,
}

/// The newest restore that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Which; empty when there was none.
    pub id: String,
    /// The state's index right after it. Every row counts as changed then.
    pub index: u64,
    /// The digest of the content that was restored.
    pub digest: Digest,
}

/// Why a backup is not restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RestoreRefusal {
    /// The pieces are gone.
    #[error(
        "restore the snapshot: another restore began, or this one paused for longer than {STAGING_KEPT}; nothing was changed, start it again"
    )]
    Superseded,
    /// A piece is missing or overlaps another.
    #[error("restore the snapshot: a piece for byte {at} came after {staged} bytes; nothing was changed, start it again")]
    OutOfOrder {
        /// Where it begins.
        at: u64,
        /// What is there.
        staged: u64,
    },
    /// A piece or the whole is longer than it may be.
    #[error("restore the snapshot: {bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// How many.
        bytes: u64,
        /// [`PIECE_BYTES`] or [`MAX_ARCHIVE_BYTES`].
        limit: u64,
    },
    /// The end is missing.
    #[error("restore the snapshot: {staged} bytes of {total} came; nothing was changed, start it again")]
    Incomplete {
        /// How many came.
        staged: u64,
        /// How many were announced.
        total: u64,
    },
    /// It cannot be read.
    #[error("{0}; nothing was changed")]
    Unreadable(String),
    /// It is of another cluster, and this one has something to lose.
    #[error(
        "restore the snapshot: it is of cluster {snapshot}, but this is cluster {cluster}, which has jobs of its own that would be gone; nothing was \
         changed. If you mean to replace them, restore with -force"
    )]
    Foreign {
        /// Where it comes from.
        snapshot: String,
        /// Where it was to go.
        cluster: String,
    },
    /// What may be secret was taken out of it.
    #[error(
        "restore the snapshot: it is redacted, so jobs would run without their environment and templates; nothing was changed. If you mean to, restore \
         with -force"
    )]
    Redacted,
    /// More root keys than there may be, or larger ones.
    #[error(
        "restore the snapshot: with its root keys there would be more than {MAX_ROOT_KEYS}, or it has some of an impossible size; nothing was changed. \
         Remove keys that are inactive first (floe operator root keyring remove)"
    )]
    RootKeys,
    /// A newer cluster wrote it.
    #[error("restore the snapshot: it is of cluster version {snapshot}, but this cluster is at {cluster}; upgrade all servers first")]
    NewerVersion {
        /// The version that wrote it.
        snapshot: u32,
        /// The version here.
        cluster: u32,
    },
}

/// Refuses a backup that must not become the state of this cluster.
///
/// # Errors
/// When it is of a newer version, or of another cluster while this one has something to lose, or redacted; the latter two unless `force` is set.
pub fn check(backup: &Metadata, state: &State, cluster_id: &str, force: bool) -> Result<(), RestoreRefusal> {
    check_version(backup.cluster_version, state)?;
    if force {
        return Ok(());
    }
    if backup.cluster_id != cluster_id && !state.is_empty() {
        return Err(RestoreRefusal::Foreign { snapshot: backup.cluster_id.clone(), cluster: cluster_id.to_owned() });
    }
    if backup.redacted { Err(RestoreRefusal::Redacted) } else { Ok(()) }
}

/// Refuses what servers of this cluster may not understand.
pub(crate) fn check_version(snapshot: u32, state: &State) -> Result<(), RestoreRefusal> {
    let cluster = state.cluster_version();
    if snapshot > cluster { Err(RestoreRefusal::NewerVersion { snapshot, cluster }) } else { Ok(()) }
}

/// The pieces of an archive that came so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staging {
    pub(crate) id: String,
    pub(crate) total: u64,
    /// When the last piece came.
    pub(crate) touched: Timestamp,
    pieces: Vec<Piece>,
}

impl Staging {
    /// Nothing came yet.
    pub(crate) fn new(id: &str, total: u64, now: Timestamp) -> Self {
        Self { id: id.to_owned(), total, touched: now, pieces: Vec::new() }
    }

    /// How many bytes came.
    pub(crate) fn staged(&self) -> u64 {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Whether nobody goes on with it.
    pub(crate) fn is_abandoned(&self, now: Timestamp) -> bool {
        self.touched.plus(STAGING_KEPT) <= now
    }

    /// Takes the next piece. One that came already is taken once: its answer may have been lost.
    pub(crate) fn put(&mut self, at: u64, piece: &Piece, now: Timestamp) -> Result<(), RestoreRefusal> {
        let staged = self.staged();
        if at == staged {
            let bytes = staged.saturating_add(piece.len());
            if bytes > self.total {
                return Err(RestoreRefusal::TooLarge { bytes, limit: self.total });
            }
            self.pieces.push(piece.clone());
        } else if !self.holds(at, piece) {
            return Err(RestoreRefusal::OutOfOrder { at, staged });
        }
        self.touched = now;
        Ok(())
    }

    fn holds(&self, at: u64, piece: &Piece) -> bool {
        let mut begin = 0;
        self.pieces.iter().any(|own| {
            let is_same = begin == at && own == piece;
            begin += own.len();
            is_same
        })
    }

    /// The whole archive.
    pub(crate) fn whole(&self) -> Result<Vec<u8>, RestoreRefusal> {
        let (staged, total) = (self.staged(), self.total);
        if staged != total || total > MAX_ARCHIVE_BYTES as u64 {
            return Err(RestoreRefusal::Incomplete { staged, total });
        }
        Ok(self.pieces.iter().map(Piece::as_slice).collect::<Vec<_>>().concat())
    }
}

impl State {
    /// The newest restore that was done.
    pub fn restored(&self) -> &Restored {
        &self.restored
    }

    /// How many bytes of a backup that is being restored are held; zero when none is.
    pub fn staged_bytes(&self) -> u64 {
        self.staging.as_ref().map_or(0, |s| s.staged())
    }

    /// This state with the content of another.
    pub(crate) fn with_content_of(&self, backup: State, wish: &Restore) -> Result<State, RestoreRefusal> {
        let root_keys = keyring::union(self, &backup)?;
        let index = self.index().max(backup.index()).saturating_add(INDEX_GAP);
        let mut refused_agents = self.refused_agents.clone();
        for id in backup.refused_agents.keys() {
            refused_agents.insert(id.clone(), ());
        }
        let mut refused_clients = self.refused_clients.clone();
        for id in backup.refused_clients.keys() {
            refused_clients.insert(id.clone(), ());
        }
        let restored = Restored { id: wish.id.clone(), index, digest: wish.digest };
        Ok(State {
            log_index: self.log_index,
            offset: index - self.log_index,
            cluster_version: self.cluster_version,
            // Who waits for any table to change hears of it.
            table_index: [index; TABLES],
            join_tokens: self.join_tokens.clone(),
            refused_agents,
            refused_clients,
            authorities: self.authorities.clone(),
            founding: self.founding.clone(),
            restored,
            staging: None,
            root_keys,
            sealed_authorities: self.sealed_authorities.clone(),
            ..backup
        })
    }
}
