//! What can go wrong with the client's local database.

use crate::{Cause, FolderError};
use std::path::PathBuf;

/// The local database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The folder cannot be made.
    #[error("open client state: the data folder cannot be used")]
    Folder(#[from] FolderError),
    /// The file cannot be opened.
    #[error("open client state {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// Somebody else has the file open.
    #[error("open client state {path}: another process has it open; stop it first")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// What is on disk is not what was written.
    #[error(
        "client state {path} is damaged ({what}); move it away and restart: the node registers under a new id, and its allocations are \
         placed anew"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part, and how it shows.
        what: String,
    },
    /// Written by a newer build.
    #[error("client state {path} has format {found}, but this build reads up to {known}; upgrade floe on this node")]
    FutureFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// A read or write failed.
    #[error("use client state {path}: the disk failed; free or repair it, then restart the agent")]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// A value that MessagePack cannot express.
    #[error("encode a record for table {table} of the client state")]
    Encode {
        /// The table.
        table: &'static str,
        /// Why not.
        #[source]
        cause: rmp_serde::encode::Error,
    },
    /// A whole record that is not of the type that is asked for.
    #[error("decode record {key:?} in table {table} of the client state; it may be of a newer build: upgrade floe on this node")]
    Decode {
        /// The table.
        table: &'static str,
        /// The record.
        key: String,
        /// Why not.
        #[source]
        cause: rmp_serde::decode::Error,
    },
}
