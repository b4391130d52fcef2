//! Who looks at everything: after each instant at the servers that did something, and at each answer that a server gives to another.
//!
//! | module | looks at |
//! |---|---|
//! | `logs` | what each server's log holds, and held |
//! | `committed` | what is committed, and the state that it makes |
//! | `work` | plans |
//! | `servers` | terms, leaders, views, snapshots |
//! | `answers` | votes and acknowledgements, as they leave a server; what clients were told |

mod answers;
mod committed;
mod logs;
mod servers;
mod work;

use crate::{executor::Owner, world::World};
use committed::Committed;
use floe_state::restore::Restored;
use logs::Mirror;
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// What is known of one server.
#[derive(Default)]
pub(crate) struct Known {
    log: Mirror,
    /// What was seen of the run that began with this owner.
    owner: Option<Owner>,
    term: u64,
    committed: u64,
    view: u64,
    /// The index that the view carries.
    index: u64,
    snapshot: u64,
    is_leader_of: Option<u64>,
    /// From where its log was cut off since it was last looked at.
    cut: Option<u64>,
    /// Entries up to here were compared with what is committed.
    compared: u64,
    /// The last entry that it told a leader to have.
    acknowledged: Option<u64>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Observer {
    known: BTreeMap<String, Known>,
    /// The digest of each entry, and the term before it, by index and term.
    entries: BTreeMap<(u64, u64), (u64, Option<u64>)>,
    memberships: BTreeMap<(u64, u64), crate::wire::Membership>,
    leaders: BTreeMap<u64, String>,
    /// For whom a server voted, by server and term.
    votes: BTreeMap<(String, u64), String>,
    committed: Committed,
    refused: BTreeSet<String>,
    told: BTreeMap<u64, String>,
    /// Restores that somebody was told are done. They are looked at in the end: an answer may be there before the entries were.
    restored: Vec<Restored>,
    /// The entry that made a cluster of one of what was left, whatever the voters were before.
    recovery: Option<u64>,
}

impl Observer {
    /// Looks at the servers that did something.
    pub(crate) fn look(&mut self, world: &Rc<World>, touched: &BTreeSet<Owner>) {
        let hosts = world.hosts.borrow();
        let touched: Vec<_> =
            hosts.values().filter(|host| host.era == world.present_era.get() && host.owner.is_some_and(|o| touched.contains(&o))).collect();
        for host in &touched {
            let known = self.known.entry(host.name.clone()).or_default();
            if known.owner != host.owner {
                (known.owner, known.term, known.committed, known.is_leader_of) = (host.owner, 0, 0, None);
                (known.view, known.index) = (0, 0);
            }
            self.look_at_log(world, host);
        }
        for host in &touched {
            self.look_at_server(world, host);
        }
    }
}
