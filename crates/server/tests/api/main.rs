//! Every implemented route, as a client sees it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub)]

mod agent;
mod blocking;
mod client;
mod keyring;
mod lists;
mod objects;
mod plan;
mod snapshot;
mod variables;
mod wire;
mod world;
mod writes;
