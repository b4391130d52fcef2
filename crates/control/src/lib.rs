//! The leader's loops as steps.
//!
//! Each part here is a value with methods that take what happened and the present time, and return what to do. The server owns one of
//! each on the leader, feeds it the effects of applied entries and the ticks of a clock, and does what it says. Nothing here waits,
//! reads a clock or touches the network, so a whole leader's day is tested in milliseconds.
//!
//! | part | in | out |
//! |---|---|---|
//! | [`broker::Broker`] | evaluations, acks, nacks, time | the next evaluation for a worker, one per job at a time |
//! | [`blocked::Blocked`] | evaluations that found no room, changes of capacity | evaluations to look at again |
//! | [`heartbeat::Heartbeats`] | heartbeats, time | nodes that were silent too long |
//! | [`deadline::expired`] | a view, time | deployments that made no progress |
//! | [`garbage::collect`] | a view, time | what is over and old |
//! | [`autopilot::Autopilot`] | what the leader sees of the servers, time | how they are, which gets a vote, which dead one goes |
//! | [`rotation::pending`] | a view, the servers | who has not done yet what a change of the authority asks |
//! | [`keyring::steps`] | a view, what the leader can open and wrap, time | root keys to make, publish, wrap, forget; what to seal |
//! | [`bootstrap::Founder`] | what comes back from the other servers before there is a cluster | whom it supports, and whether it begins one |
//! | [`snapshots::Schedule`] | the names of backups, time | when the next is due, which old ones go |
#![forbid(unsafe_code)]

pub mod autopilot;
pub mod blocked;
pub mod bootstrap;
pub mod broker;
pub mod deadline;
pub mod garbage;
pub mod heartbeat;
pub mod keyring;
pub mod rotation;
pub mod snapshots;

pub use autopilot::Autopilot;
pub use blocked::Blocked;
pub use broker::{Broker, Delivery};
pub use heartbeat::Heartbeats;
