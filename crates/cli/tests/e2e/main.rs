//! End-to-end tests: real agents, containers and networks, seen from outside.
//!
//! Every test gets a [`world`] of its own: a network namespace and a mount namespace that play a machine, a folder, and names that
//! nobody else uses. So tests run side by side, and the machine stays as it was; after each test that is checked, inside and outside.
//!
//! | module | holds |
//! |---|---|
//! | [`world`] | the machine that a test plays on, and the search for what was left behind |
//! | [`agent`], [`command`] | agents and commands as processes |
//! | [`http`], [`api`] | requests down to the byte, and what tests ask of an agent |
//! | [`job`] | jobs in few words |
//! | [`load`] | writers that know what was acknowledged |
//! | [`traffic`] | requests to what jobs serve |
//! | the others | scenarios, one module a subject |
//!
//! Nothing sleeps to let something happen: tests wait for it, by blocking queries or by looking again, until a deadline.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

mod agent;
mod api;
mod command;
mod http;
mod job;
mod load;
mod traffic;
mod world;

mod backup;
mod bad_input;
mod blocked;
mod bootstrap;
mod cluster;
mod commands;
mod crash;
mod dev;
mod devices;
mod durability;
mod folders;
mod grow;
mod histories;
mod images;
mod inventory;
mod isolation;
mod keyring;
mod lifecycle;
mod nodes;
mod plan;
mod ports;
mod races;
mod reconcile;
mod recover;
mod restart;
mod rolling;
mod rotation;
mod supervised;
mod tasks;
mod templates;
mod up;
mod updates;
mod variables;
mod wire;
