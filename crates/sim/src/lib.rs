//! A whole cluster of the real consensus, store and state, on a fake clock, network and disk, in one thread, by one seed. For tests.
//!
//! ```text
//! seed -> plan (servers, faults) -> world: servers on twins of disks, a network that fails, clients, who breaks things
//!                                    | each instant: the observer checks what must hold     | each answer: votes, acknowledgements, history
//!                                    v
//!         report: the first violation, the trace, one number for everything that happened
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `executor` | the tasks of all servers, and the order in which they go on |
//! | `world` | everything that one seed runs |
//! | `plan`, `faults`, `aimed`, `heal` | what a seed decides, breaking, by chance and at a moment, and mending |
//! | `host` | a server with its disk; crash, start |
//! | `net` | messages between servers |
//! | `recovery` | going on without a majority |
//! | `nodes`, `jobs` | machines that run work, who wants it, and that it comes to rest |
//! | `backups` | backups, and restoring them |
//! | `clients` | what asks, and the history of answers |
//! | [`invariant`] | what must hold, with names and reasons |
//! | `observer` | looks whether it does |
//! | `wire` | what is read of messages and logs |
//! | `trace` | what happened |
//!
//! Nothing here knows how floe does what it does: it sees messages, logs, states and answers. Two runs of a seed are the same, poll by poll.
#![forbid(unsafe_code)]

mod aimed;
mod backups;
mod clients;
mod executor;
mod faults;
mod heal;
mod host;
pub mod invariant;
mod jobs;
mod net;
mod nodes;
mod observer;
mod plan;
mod recovery;
mod trace;
mod wire;
mod world;

pub use invariant::{Invariant, Violation};

use floe_consensus::DataFolder;
use std::{collections::BTreeMap, fmt};

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The first thing that did not hold.
    pub violation: Option<Violation>,
    /// A number for everything that happened, poll by poll.
    pub trace_hash: u64,
    /// How many events a person might want to read of.
    pub events: u64,
    /// How many operations of clients were answered.
    pub answered: u64,
    /// How often things happened that make a run worth its time.
    pub counts: BTreeMap<&'static str, u64>,
    /// The last events.
    pub last: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(violation) = &self.violation else {
            return write!(
                f,
                "seed {}: well; {} events, {} answers, trace {:016x}",
                self.seed, self.events, self.answered, self.trace_hash
            );
        };
        writeln!(f, "seed {}: {violation}", self.seed)?;
        self.last.iter().rev().take(60).rev().try_for_each(|line| writeln!(f, "  {line}"))?;
        write!(f, "run it again: cargo run -p floe-sim --profile sim --example sim -- {}", self.seed)
    }
}

/// What [`Report::counts`] calls each kind of fault, wherever one came to pass.
pub fn kinds_of_faults() -> Vec<&'static str> {
    plan::Fault::names()
}

/// Runs a seed, and prints each event when asked to.
///
/// # Panics
/// When the machine gives no temporary folder or no runtime.
pub fn run(seed: u64, prints: bool) -> Report {
    let folder = tempfile::tempdir().expect("make a temporary folder");
    let data = DataFolder::open(folder.path()).expect("lock a new folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("build a runtime");
    let (world, violation) = runtime.block_on(world::World::run(seed, prints, data));
    Report {
        seed,
        violation,
        trace_hash: world.trace.hash(),
        events: world.trace.events(),
        answered: world.clients.answered.get(),
        counts: world.trace.counts(),
        last: world.trace.last(),
    }
}
