//! Networks of allocations, programmed by netlink only: no `ip`, `nft` or CNI binaries.
//!
//! Each allocation has a named network namespace whose `eth0` is a port of one bridge on the host. One
//! nftables table translates published ports to allocations and allocations' addresses to the host's.
//! [`Network::open`] makes the kernel hold exactly that, at any time and from any state; [`Network::attach`]
//! and [`Network::detach`] change one allocation at a cost that does not depend on how many there are.
//!
//! # Threads
//!
//! | thread | in | out |
//! |---|---|---|
//! | `floe-network`, the owner of all state | commands by a bounded channel | answers; jobs for the janitor |
//! | `floe-net-janitor` | retired links, connections to forget | links that are really gone |
//! | `floe-netns`, one per job and gone with it | a namespace to create or enter | its file and a socket inside it |
//!
//! None of them is an async worker. The threads live in the network namespace that plays the host: that
//! of the process, or the one configured, which keeps everything testable without touching the machine.
//!
//! # What decides and what does
//!
//! Pure: [`config`], [`attachment`], `pool`, `ports`, `names`, `plan`, `nft`, `rtnl`, `conntrack` and
//! `attributes`. They send nothing. `kernel`, `netns`, `netlink` and `host` do, and decide nothing.
//!
//! # What it does not do
//!
//! It knows no jobs and no policies: every allocation reaches every other. Port maps are IPv4 only. It
//! turns `ip_forward` on, which makes the host a router, and touches no table but its own: firewalls
//! that drop forwarded packets are reported, not changed. A published port does not keep a process of
//! the host from binding the same number later; packets then go to the allocation. A namespace that a
//! process or another mount namespace holds lives on, without a link, until they let go.
#![forbid(unsafe_code)]

pub mod attachment;
mod attributes;
pub mod config;
mod conntrack;
pub mod error;
mod handle;
mod host;
pub mod inventory;
mod janitor;
mod kernel;
mod names;
mod netlink;
mod netns;
mod nft;
mod open;
mod owner;
mod plan;
mod pool;
mod ports;
mod rtnl;

pub use attachment::{AttachRequest, Attachment, Link, PortMap, Protocol};
pub use config::{NetworkConfig, Subnet};
pub use error::{AttachError, KernelError, NetworkError, OpenError, PortHolder, Unavailable};
pub use handle::Network;
pub use inventory::{Audit, Inventory};
pub use open::{OpenReport, Repaired};
pub use plan::{Broken, BrokenReason};
