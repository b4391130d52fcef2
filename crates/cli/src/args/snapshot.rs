//! `floe operator snapshot ...`

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Save the cluster's state to a file
    Save(SnapshotSaveArgs),
    /// Replace the cluster's state by what is in a file
    Restore {
        /// The file
        file: PathBuf,
        /// Replace the jobs of a cluster by a snapshot of another one, or by a redacted one
        #[arg(long)]
        force: bool,
    },
    /// Show what is in a file
    Inspect {
        /// The file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a copy without what may be secret: environments, templates, arguments, metadata, the jobs' sources
    Redact {
        /// The file
        file: PathBuf,
        /// The copy to write
        copy: PathBuf,
        /// Write over a file that is there
        #[arg(long)]
        overwrite: bool,
    },
    /// Check that a file is whole and can be read, without any agent
    Verify {
        /// The file
        file: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SnapshotSaveArgs {
    /// The file to write; when left out, floe-DATE.snap in the present folder
    pub(crate) file: Option<PathBuf>,
    /// Save what the server that is asked knows, which may be less than all; works without a leader
    #[arg(long)]
    pub(crate) stale: bool,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) overwrite: bool,
}
