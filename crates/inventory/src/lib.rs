//! Inventories: which machines a cluster is to have. Read and checked without Nix, compared with what runs, and the steps from one to the other.
//!
//! | module | holds |
//! |---|---|
//! | [`read`] | an inventory's file, by floe's Nix evaluator and the very rules that `lib.mkCluster` goes by (`nix/lib/inventory.nix`) |
//! | [`declared`] | what an inventory says, once the rules found nothing wrong |
//! | [`running`] | what the cluster says of itself |
//! | [`diff`] | where the two differ |
//! | [`plan`] | the steps after which they do not, in an order that keeps a majority |
//!
//! Who asks the cluster, reads files and prints is the command line. Here is no clock, no file and no network.
#![forbid(unsafe_code)]

pub mod declared;
pub mod diff;
mod matching;
pub mod plan;
pub mod read;
pub mod running;

pub use declared::{Cluster, Declared, Host, Role};
pub use diff::{Difference, diff};
pub use plan::{Plan, PlanError, Step, first_start, plan};
pub use read::{Checked, Kind, ReadError, check_data, check_file, kind_of};
pub use running::{Node, Running, Server};
