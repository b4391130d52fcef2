//! The servers' agreement: proposals, reads, leadership. The only crate that names openraft, and only `raft_types` spells its types out.
//!
//! ```text
//! propose(Command) -> the leader: stamp -> openraft -> log (append, one fdatasync a batch) -> quorum -> apply -> views, events -> answer
//!                  \-> any other server: call the leader -> wait until it is applied here too -> answer
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`consensus`] | [`Consensus`]: open, propose, read, watch, shut down; finding the leader |
//! | [`membership`] | adding, promoting, demoting, removing servers; handing over |
//! | [`config`], [`timings`] | [`Config`], bounds, and which timings make sense |
//! | [`error`] | what a caller can be told |
//! | [`executor`] | where tasks run, and what blocks: tokio, or a simulation |
//! | [`stamp`] | [`Clock`] and [`Entropy`], which a simulation replaces |
//! | [`check`] | whether the servers still hold the same state |
//! | [`publish`] | views and events for watchers |
//! | [`leadership`] | who leads, and who does not any more |
//! | `absence` | noticing early that a leader's process has ended |
//! | [`status`] | numbers for `/v1/status` and metrics |
//! | [`network`] | [`Transport`]: how servers call each other, and what they say |
//! | [`recover`](mod@recover) | going on without a majority that is gone for good |
//! | [`server_id`], [`cluster_id`] | who a server is, and which cluster it is in |
//! | `log`, `machine`, `codec` | adapters: our log, our state machine, and their bytes |
//! | `wish` | a command on its way, as bytes |
//!
//! | task | input | output |
//! |---|---|---|
//! | openraft's core, ticker, state machine worker, and one for each other server | proposals, calls, the log's callbacks, time | appends, applies, calls |
//! | `leadership::follow` | openraft's metrics, time | [`Leadership`]; the address book; silence without a quorum; notices that openraft stopped |
//! | `absence::watch` | time; what a leader that falls silent answers | an election, before its lease ends |
//! | `consensus::upkeep` | leadership and membership; digests that are due | the first command of a cluster; this server's address in the membership; its reports |
//! | `raft-log-writer` (a thread, in `floe-store`) | appends | fdatasyncs, callbacks |
//!
//! Invariants:
//! - An answer to a proposal is given when the entry is durable on a quorum and applied here, and the view shows it.
//! - A command is appended at most once, however often and wherever it is passed on.
//! - An entry that cannot be decoded or applied stops the server; nothing after it is applied, and no view shows anything of it.
//! - A server whose state differs from the majority's applies nothing more.
//! - A command is written only when every member knows it.
//! - No membership is ever joint: each change is one entry with at most one voter more or less.
//! - A call of another cluster, for another server, or to a voter that lost its log, changes nothing.
//! - No async worker waits for a disk: the log has a thread, and reads of old entries and snapshots run on blocking threads.
//! - Every wait has an end: a deadline, or the end of this server.
#![forbid(unsafe_code)]

mod absence;
pub mod check;
pub mod cluster_id;
mod codec;
pub mod config;
pub mod consensus;
pub mod error;
pub mod executor;
pub mod leadership;
mod log;
mod machine;
pub mod membership;
pub mod network;
pub mod publish;
mod raft_types;
pub mod recover;
pub mod server_id;
pub mod stamp;
pub mod status;
mod stop;
pub mod timings;
mod wish;

#[cfg(test)]
mod tests;

pub use check::Divergence;
pub use cluster_id::ClusterId;
pub use config::{Config, Start};
pub use consensus::{Consensus, Proposed};
pub use error::{OpenError, ProposeError, ReadError, StopReason, TooOld};
pub use floe_store::{DataFolder, FolderError, Position};
pub use leadership::Leadership;
pub use membership::{ChangeError, Member};
pub use network::{Delivery, HandleError, NoTransport, Rpc, Transport, TransportError};
pub use publish::{Event, EventError, Events};
pub use recover::{RecoverError, Survey, recover};
pub use server_id::{Server, ServerAddress, ServerId};
pub use stamp::{Clock, Entropy, OsEntropy, SystemClock};
pub use status::Status;
pub use timings::Timings;

#[doc(hidden)]
pub use floe_store::planted;

/// Whether this build can have defects switched on, which only floe-sim's may.
pub const PLANTED_BUGS: bool = floe_store::planted::ARE_BUILT_IN;
