//! `floe cluster ...`

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Say everything that is wrong with an inventory, and what it declares. Needs neither Nix nor an agent
    #[command(after_help = "Exit code: 0 when the inventories can be used, 1 when one cannot.")]
    Check(InventoryArgs),
    /// Compare an inventory with the cluster that runs
    #[command(after_help = "Exit code: 0 when nothing differs, 2 when something does, 1 when that cannot be told.")]
    Diff(InventoryArgs),
    /// Show the steps from the cluster that runs to what an inventory declares; nothing is done
    #[command(after_help = "Exit code: 0 when there is a plan, be it one without steps, 1 when there is none.\n\
        Where no agent answers, the plan is that of a first start, and says so.")]
    Plan {
        #[command(flatten)]
        inventory: InventoryArgs,
        /// Ask no cluster: show the first start of one
        #[arg(long)]
        fresh: bool,
    },
}

/// Which inventory.
#[derive(Clone, Debug, Args)]
pub(crate) struct InventoryArgs {
    /// An inventory (hosts.nix), or a folder with some; diff and plan take one
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
