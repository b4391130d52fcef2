//! The client's state machines: one allocation with its tasks, as steps.
//!
//! [`AllocMachine`] takes what happened ([`Input`]) and the time, and returns what to do ([`Step`]). The client's driver does it: makes
//! folders and networks, starts and signals tasks, saves, reports. The machine never waits and reads no clock.
//!
//! | module | holds |
//! |---|---|
//! | [`alloc`] | the allocation: preparation, its tasks, its end, its health in a deployment |
//! | [`task`] | one task: start, run, restart, stop |
//! | [`restart`] | the restart policy |
//! | [`env`] | what a task is told: variables and `${...}` |
//! | [`events`] | the words of task events |
#![forbid(unsafe_code)]

pub mod alloc;
pub mod env;
pub mod events;
pub mod restart;
pub mod task;

pub use alloc::{AllocMachine, Input, Step};
pub use task::{Exit, Recovered};
