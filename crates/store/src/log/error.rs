//! What can go wrong with the log.

use crate::{Cause, FolderError, SERVER_ADVICE};
use std::path::PathBuf;

/// The log cannot be opened, read or written. Clones share the cause: a whole batch gets the same error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The folder cannot be made.
    #[error("open raft log: the data folder cannot be used")]
    Folder(#[source] std::sync::Arc<FolderError>),
    /// The file cannot be opened.
    #[error("open raft log {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// Somebody else has the file open.
    #[error("open raft log {path}: another process has it open; stop it first")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// What is on disk is not what was written.
    #[error("raft log {path} is damaged ({what}); {SERVER_ADVICE}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part, and how it shows.
        what: String,
    },
    /// Written by a newer build.
    #[error("raft log {path} has format {found}, but this build reads up to {known}; upgrade floe on this server")]
    FutureFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// A read failed.
    #[error("read raft log {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// A write or sync failed, now or earlier. Nothing more is written until the log is opened again.
    #[error("write raft log {path}: the disk failed, so the log takes no more writes; free or repair the disk, then restart the server")]
    Failed {
        /// The file.
        path: PathBuf,
        /// The first failure.
        #[source]
        cause: Cause,
    },
    /// An append that would leave a hole or change an entry.
    #[error("append to raft log {path}: entry {found} cannot follow, the next one is {expected}")]
    Gap {
        /// The file.
        path: PathBuf,
        /// The index that comes next.
        expected: u64,
        /// The index that was given.
        found: u64,
    },
    /// The log was closed.
    #[error("use raft log {path}: it is closed")]
    Closed {
        /// The file.
        path: PathBuf,
    },
}
