//! A server: the endpoints that users and nodes talk to, and the tasks that run the leader's loops and the scheduler.
//!
//! It decides little itself: admission is the model's rules, what to look at next is `control`'s, where to place is `scheduler`'s, and
//! every change is a command through `consensus`. It never runs a task and knows nothing of containers.
//!
//! | task | in | out |
//! |---|---|---|
//! | leader ([`leader`]) | effects of applied entries, workers' requests, heartbeats, time | deliveries, commands |
//! | proposer ([`leader`]) | the leader's commands, one after the other | entries |
//! | worker ([`worker`]), one per core | deliveries | plans |
//! | autopilot ([`autopilot`]) | the members' health, every second | promotions, removals of dead servers |
//! | snapshot agent ([`backup`]), one for each folder or bucket that is configured | time, what is kept there | backups, on the leader |
//! | keyring ([`keyring`]) | root keys in the state, every second | keys that are opened; on the leader, what is to be done about them |
//! | rotation ([`rotation`]) | who goes by which authority, every second | the next step of its replacement |
//! | reporter ([`reports`]) | nodes' reports | one entry for all that arrived meanwhile |
//! | HTTP ([`http`]) | requests | answers |
//! | RPC ([`rpc`]) | nodes', servers' and joining machines' requests | answers, streams of desired sets |
#![forbid(unsafe_code)]

pub mod admission;
mod autopilot;
mod backup;
pub mod http;
mod keyring;
mod leader;
mod nodes;
pub mod peers;
mod reports;
mod rotation;
pub mod rpc;
mod serve;
mod server;
mod signers;
mod worker;

pub use backup::{RestoreError, SnapshotConfig, Target, restore, restore_by_pieces};
pub use nodes::Told;
pub use reports::ReportError;
pub use serve::{ListenError, Listener, Serving, listen, serve};
pub use server::{Server, ServerConfig, ServerError};
pub use signers::Signers;
