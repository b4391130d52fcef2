//! What floe keeps on disk. The only crate that names redb.
//!
//! | module | holds | in the data folder |
//! |---|---|---|
//! | [`folder`] | [`DataFolder`]: the folder, held by one agent at a time | `lock` |
//! | [`log`] | [`LogStore`]: the Raft log, the vote, how far is committed and purged | `server/raft.redb` |
//! | [`snapshot`] | [`SnapshotStore`]: snapshots of the state, the newest two | `server/snapshots/<index>-<term>.snap` |
//! | [`local`] | [`LocalState`]: what a client remembers over a restart | `client/state.redb` |
//! | [`planted`] | defects that a test of the simulation switches on | |
//! | [`twin`] | a disk and a directory in memory that lose power at a chosen moment | |
//!
//! | thread | input | output |
//! |---|---|---|
//! | `raft-log-writer`, one for each open log | a bounded queue of writes | one transaction and one fdatasync a batch, then the callbacks |
//!
//! Invariants:
//! - What was acknowledged is on disk, and is there after a crash.
//! - Every record carries a checksum of its own. What does not match is reported, never served.
//! - After a failed write or sync nothing more is written until the file is opened again: what the kernel then holds is unknown.
//! - Nothing here knows what a vote, an entry or a snapshot means.
#![forbid(unsafe_code)]

pub mod folder;
mod frame;
pub mod local;
pub mod log;
mod panics;
pub mod planted;
pub mod snapshot;
pub mod twin;

pub use folder::{DataFolder, FolderError};
pub use local::{LocalError, LocalState};
pub use log::{LogError, LogRecord, LogStore, Position};
pub use snapshot::{SnapshotError, SnapshotFile, SnapshotId, SnapshotStore};

/// The cause of an error, shared by all who get it. (Which library it came from is nobody's business.)
pub type Cause = std::sync::Arc<dyn std::error::Error + Send + Sync>;

/// What to do about a damaged file of a server.
pub(crate) const SERVER_ADVICE: &str = "move it away and restart: a server gets its state back from the other servers; \
                                        a single server restores a snapshot: floe operator snapshot restore";

/// Redb's page cache for one file, in bytes. Its default of 1 GiB suits a database; here all hot data is in memory already.
pub(crate) const PAGE_CACHE_BYTES: usize = 4 << 20;
