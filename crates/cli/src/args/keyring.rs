//! `floe operator root keyring ...`

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum RootCommand {
    /// The root keys, by which the cluster seals its secrets
    Keyring {
        #[command(subcommand)]
        command: KeyringCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyringCommand {
    /// Show the root keys; never a key itself
    List {
        /// Show ids in full, which key-encryption keys open each, and whether the server that is asked can
        #[arg(long)]
        verbose: bool,
        /// Print JSON
        #[arg(long, conflicts_with = "verbose")]
        json: bool,
    },
    /// Make a new root key
    Rotate(KeyringRotateArgs),
    /// Forget a root key that is not active
    Remove {
        /// Its id, or the beginning of it
        id: String,
        /// Also when something is sealed with it, which nobody can open then
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct KeyringRotateArgs {
    /// Seal everything anew with it that is sealed with others
    #[arg(long, conflicts_with = "prepublish")]
    pub(crate) full: bool,
    /// Make it the active one at once; this is the default
    #[arg(long, conflicts_with = "prepublish")]
    pub(crate) now: bool,
    /// Let the servers have it now, and make it the active one after this long, such as 1h
    #[arg(long, value_name = "DURATION")]
    pub(crate) prepublish: Option<String>,
    /// Show ids in full, and which key-encryption keys open it
    #[arg(long)]
    pub(crate) verbose: bool,
}
