//! The replicated state machine: everything that the servers agree on.
//!
//! ```text
//! Entry { stamp, command }  --apply-->  State', Outcome (for the proposer), Effects (for the watchers)
//! ```
//!
//! Every server applies the same entries in the same order and must come to the same state, so nothing here reads a clock, draws a
//! random number or iterates a hash map: the leader puts the time and a seed into the entry's [`Stamp`], and ids are drawn from
//! that seed. [`State`] is made of persistent maps: a clone is a snapshot and costs a few pointers.
//!
//! | module | holds |
//! |---|---|
//! | [`command`] | what can be asked of the state: [`Command`], and what comes back: [`Outcome`] |
//! | [`state`] | [`State`]: tables, derived indexes, reads |
//! | [`apply`] | the one way to change it |
//! | [`plan`] | what a scheduler proposes |
//! | `index` | which rows belong to a node or a job, and the sums over them; kept in step with every row |
//! | [`fit`] | what is used of a node and whether more fits; the scheduler and apply ask the same question |
//! | [`encode`] | snapshots as bytes |
//! | [`content`] | what of the state a backup holds, its digest and its sizes |
//! | [`archive`] | a backup as a file |
//! | [`restore`] | what a restore keeps, and which backups are refused |
//! | `table`, [`digest`] | rows with the sum of their hashes; what a state amounts to, to compare servers by |
//! | [`ids`] | ids from a seed |
//! | [`keyring`] | root keys, and what is sealed with them |
//! | [`variables`] | variables: small secrets under paths |
//! | [`tokens`] | join tokens |
//! | [`authorities`] | which authorities are trusted, and how far a change of them has come |
//! | [`requests`] | what became of writes that carry an id |
#![forbid(unsafe_code)]

pub mod apply;
pub mod archive;
pub mod authorities;
pub mod command;
pub mod content;
pub mod digest;
pub mod encode;
pub mod fit;
pub mod ids;
mod index;
pub mod keyring;
pub mod plan;
pub mod requests;
pub mod restore;
mod rows;
pub mod state;
mod table;
pub mod tokens;
pub mod variables;

pub use apply::{Applied, Change, Effects};
pub use command::{Command, Entry, Outcome, Stamp};
pub use digest::Digest;
pub use plan::Plan;
pub use state::{State, Table};
