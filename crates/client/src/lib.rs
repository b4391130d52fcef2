//! A node: it tells the servers what it has, runs what they want, and tells them what became of it.
//!
//! | task | in | out |
//! |---|---|---|
//! | registrar ([`link`]) | leases, the node when it changes | registrations, heartbeats |
//! | watcher ([`link`]) | the stream of desired sets | frames for the keeper |
//! | keeper ([`keeper`]) | desired sets, ended runners | runners started, told, forgotten |
//! | runner ([`runner`]), one per allocation | its allocation, its tasks' ends, time | processes, networks, statuses |
//! | reporter ([`report`]) | statuses | reports, each again until a server took it |
//! | looker ([`devices`]) | the folders of devices, every ten seconds | the node, for the registrar, when they changed |
//! | image keeper ([`node`]) | time | images that nobody uses any more, removed |
//! | `client-state` thread ([`db`]) | changes of the local database | one transaction for all that wait |
//!
//! An agent that ends (well or by kill -9) leaves its tasks running; the next one finds them by what the database and the shims remember.
//! Nothing here knows Raft or the scheduler.
#![forbid(unsafe_code)]

mod clock;
mod config;
mod db;
mod devices;
mod files;
mod fingerprint;
mod keeper;
mod link;
mod logs;
mod node;
mod paths;
mod reconcile;
mod report;
mod runner;

pub use config::{ClientConfig, ImageSettings, Override, Reserve};
pub use devices::DEFAULT_FOLDERS as DEFAULT_CDI_FOLDERS;
pub use floe_images::{Credentials, Keep, RegistrySettings, Settings as PullSettings};
pub use node::{Client, StartError, end_leftovers};
