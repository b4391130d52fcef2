//! The steps from what runs to what is declared.
//!
//! What always holds, and `tests/plans.rs` tries on arbitrary clusters:
//! - after each step a majority of the voters is well, and no fewer are well than before or than are declared;
//! - a step changes the voters by one at most; only the first start of a cluster makes several;
//! - a server that leads is neither removed nor restarted while another one that stays could lead;
//! - after the last step nothing differs, and where nothing differs there is no step.
//!
//! The order: firewalls are opened, where a switch would shut out somebody who is still needed; who is declared comes back; dead members that are not declared go, for as long as they count each of the others is needed; who has
//! joined gets its vote; servers that stay are switched, so that they know and let in the others; servers join and go in turns; then the clients.

mod first;
mod servers;
mod step;
mod words;

pub use first::first_start;
pub use step::{Action, Step};

use crate::{
    declared::{Declared, Host, is_same_place, majority, may_fail},
    diff,
    matching::{Matched, Pair},
    running::Running,
};
use serde::Serialize;
use servers::Members;
use std::collections::BTreeSet;

/// Steps, and where they begin and end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plan {
    /// The voters now, by name.
    pub voters: Vec<String>,
    /// Who leads now.
    pub leader: Option<String>,
    /// The servers at the end, by name.
    pub servers: Vec<String>,
    /// The steps, in order. None where nothing differs.
    pub steps: Vec<Step>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It is another cluster.
    #[error(
        "the cluster that was asked is of region {running:?}, and the inventory of {declared:?}: ask another one with -address, or correct cluster.region"
    )]
    Region {
        /// The inventory's.
        declared: String,
        /// The cluster's.
        running: String,
    },
    /// Nothing can be changed.
    #[error(
        "{healthy} of {voters} voting servers are well, and {needed} must be: nothing can be changed before {} answer again. If they are gone for good: \
         floe operator recover",
        .missing.join(", ")
    )]
    NoMajority {
        /// How many are well.
        healthy: usize,
        /// How many vote.
        voters: usize,
        /// How many must be well.
        needed: usize,
        /// Those that are not, by name.
        missing: Vec<String>,
    },
    /// They are about to elect one.
    #[error("the servers have no leader at the moment; ask again in a few seconds (floe operator autopilot health)")]
    NoLeader,
}

/// The steps from `running` to `declared`. A cluster without servers is one that has to begin: see [`first_start`].
///
/// # Errors
/// Where the cluster cannot be changed now, or is another one.
pub fn plan(declared: &Declared, running: &Running) -> Result<Plan, PlanError> {
    if running.servers.is_empty() {
        return Ok(first_start(declared));
    }
    check(declared, running)?;
    let matched = Matched::new(declared, running);
    let mut planner =
        Planner { declared, running, members: Members::new(running, &matched), matched, steps: Vec::new(), done: BTreeSet::new() };
    let leader = planner.members.leader().map(|m| m.name.clone());
    let voters = sorted(planner.members.voters().map(|m| m.name.clone()));
    planner.keep_open();
    planner.start();
    planner.remove_dead();
    planner.await_votes();
    planner.switch_servers();
    planner.grow_and_shrink();
    planner.open_for_clients();
    planner.clients();
    planner.refresh();
    Ok(Plan { voters, leader, servers: declared.servers().map(|h| h.name.clone()).collect(), steps: planner.steps })
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn check(declared: &Declared, running: &Running) -> Result<(), PlanError> {
    if let Some(region) = running.region.as_ref().filter(|r| **r != declared.cluster.region) {
        return Err(PlanError::Region { declared: declared.cluster.region.clone(), running: region.clone() });
    }
    let voters = running.voters().count();
    let missing = sorted(running.voters().filter(|s| !s.is_healthy).map(|s| s.name.clone()));
    let (healthy, needed) = (voters - missing.len(), majority(voters));
    if healthy < needed {
        return Err(PlanError::NoMajority { healthy, voters, needed, missing });
    }
    if !running.voters().any(|s| s.is_leader && s.is_healthy) {
        return Err(PlanError::NoLeader);
    }
    Ok(())
}

/// Whether a host has to be let in by a token: it is not there, or as something that it cannot change in place.
fn joins(pair: &Pair<'_>) -> bool {
    if pair.host.role.is_server() { pair.server.is_none() } else { pair.node.is_none() || pair.server.is_some() }
}

/// What is planned so far, and how the servers stand after it.
struct Planner<'a> {
    declared: &'a Declared,
    running: &'a Running,
    matched: Matched<'a>,
    members: Members,
    steps: Vec<Step>,
    /// Hosts that have been switched, started or let in by a step.
    done: BTreeSet<&'a str>,
}

impl<'a> Planner<'a> {
    fn push(&mut self, action: Action, words: words::Words) {
        let words::Words { title, why, commands, wait } = words;
        let voters = self.members.voters().count();
        let healthy = self.members.voters().filter(|m| m.is_healthy).count();
        self.steps.push(Step { action, title, why, commands, wait, voters, may_fail: may_fail(voters, healthy) });
    }

    /// The attributes of each host that answers which a switch can put right, with the host's place among the pairs.
    fn changes(&self) -> Vec<(usize, Vec<String>)> {
        let in_place = |what: &str| !["host", "vote"].contains(&what);
        let pairs = self.matched.pairs.iter().enumerate().filter(|(_, p)| !is_away(p));
        pairs
            .map(|(n, pair)| {
                let found = diff::of_host(self.declared, self.running, pair);
                (n, found.into_iter().map(|d| d.what).filter(|what| in_place(what)).collect::<Vec<_>>())
            })
            .collect()
    }
}

/// Whether a host changes its address.
fn moves(changes: &[String]) -> bool {
    changes.iter().any(|c| c == "address")
}

/// Whether a host that is there as what it should be does not answer at all: then nothing is lost by a switch, and nothing else helps.
fn is_away(pair: &Pair<'_>) -> bool {
    match pair.server {
        Some(server) => pair.host.role.is_server() && !server.is_healthy,
        None => !pair.host.role.is_server() && pair.node.is_some_and(|n| !n.answers()),
    }
}

/// Where a host's agent is, or was when it was heard last.
fn last_place<'a>(pair: &Pair<'a>) -> Option<&'a str> {
    pair.server.map(|s| s.address.as_str()).or_else(|| pair.node.and_then(|n| n.address.as_deref()))
}

/// What the cluster knows a host by.
fn ids_of(pair: &Pair<'_>) -> Vec<String> {
    pair.server.map(|s| s.id.clone()).into_iter().chain(pair.node.map(|n| n.id.clone())).collect()
}

impl Planner<'_> {
    /// Hosts that are declared and there, and do not answer. They come back as they are declared, so nothing else is left to do for them.
    fn start(&mut self) {
        for n in 0..self.matched.pairs.len() {
            let Some(pair) = self.matched.pairs.get(n).filter(|p| is_away(p)) else { continue };
            let (host, action) = (pair.host, Action::Start { host: pair.host.name.clone(), ids: ids_of(pair) });
            let words = words::start(host, pair.server);
            self.members.settle(host, &self.declared.place(host));
            self.done.insert(&host.name);
            self.push(action, words);
        }
    }

    /// Whether the hosts' lists of each other change: somebody joins, goes, or moves.
    fn lists_change(&self) -> bool {
        let goes = !self.matched.nodes.is_empty() || !self.matched.servers.is_empty();
        goes || self.matched.pairs.iter().any(joins) || self.changes().iter().any(|(_, changes)| moves(changes))
    }

    /// While hosts that stay are switched to the new lists, those that go and those that move are still at addresses that the lists do not have.
    /// Members go after the servers were switched and before clients are let in; clients go last.
    fn keep_open(&mut self) {
        let changes = self.changes();
        let pairs = &self.matched.pairs;
        let of = |n: usize, is_server: bool| pairs.get(n).filter(|p| p.host.role.is_server() == is_server);
        let starts = pairs.iter().any(|p| p.host.role.is_server() && is_away(p));
        let switches_servers = starts || changes.iter().any(|(n, changes)| of(*n, true).is_some_and(|p| joins(p) || !changes.is_empty()));
        let opens_for_clients = changes.iter().any(|(n, changes)| of(*n, false).is_some_and(|p| joins(p) || moves(changes)));
        let declared: BTreeSet<String> = self.declared.hosts.values().map(|h| h.address.clone()).collect();
        // Who moves, or comes back elsewhere, is where it was and where it will be.
        let moved = changes.iter().filter(|(_, changes)| moves(changes)).filter_map(|(n, _)| pairs.get(*n));
        let is_elsewhere = |p: &&Pair<'_>| last_place(p).is_some_and(|a| !is_same_place(a, &self.declared.place(p.host)));
        let moved: Vec<&Pair<'_>> = moved.chain(pairs.iter().filter(|p| is_away(p)).filter(is_elsewhere)).collect();
        let members = self.members.leavers().filter(|m| switches_servers && m.is_healthy).map(|m| m.address.as_str());
        let nodes = self.matched.nodes.iter().filter(|_| switches_servers || opens_for_clients);
        let old = members.chain(nodes.filter_map(|n| n.address.as_deref())).chain(moved.iter().filter_map(|p| last_place(p)));
        let old = old.map(words::host_of).filter(|a| !declared.contains(a));
        let others: BTreeSet<String> = old.chain(moved.iter().map(|p| p.host.address.clone())).collect();
        if others.is_empty() {
            return;
        }
        let addresses: Vec<String> = declared.union(&others).cloned().collect();
        let there: Vec<(&Host, Option<&str>)> =
            pairs.iter().filter(|p| !joins(p) && !is_away(p)).map(|p| (p.host, diff::address_of(p.server, p.node))).collect();
        let words = words::keep_open(&addresses, &others, &there);
        self.push(Action::KeepOpen { addresses }, words);
    }

    /// Servers that have not been switched, and must let in clients that come or move. Their agents know of clients by no list, so none restarts.
    fn open_for_clients(&mut self) {
        let comes = |(n, changes): (usize, Vec<String>)| {
            self.matched.pairs.get(n).is_some_and(|p| !p.host.role.is_server() && (joins(p) || moves(&changes)))
        };
        if !self.changes().into_iter().any(comes) {
            return;
        }
        let hosts: Vec<&Host> = self.declared.servers().filter(|h| !self.done.contains(h.name.as_str())).collect();
        if !hosts.is_empty() {
            let words = words::open_for_clients(&hosts);
            self.done.extend(hosts.iter().map(|h| h.name.as_str()));
            self.push(Action::Refresh { hosts: hosts.iter().map(|h| h.name.clone()).collect() }, words);
        }
    }

    /// Clients: those that change, those that come, those that go.
    fn clients(&mut self) {
        for (n, changes) in self.changes() {
            let Some(pair) = self.matched.pairs.get(n).filter(|p| !p.host.role.is_server()) else { continue };
            let (host, name, ids, old) = (pair.host, pair.host.name.clone(), ids_of(pair), diff::address_of(pair.server, pair.node));
            let (action, words) = if joins(pair) {
                let was_server = pair.server.is_some();
                let forgets = if was_server { ids } else { Vec::new() };
                (Action::Join { host: name, role: host.role, forgets }, words::join_client(self.declared, host, was_server))
            } else if !changes.is_empty() {
                let words = words::switch(self.declared, host, &changes, old);
                (Action::Switch { host: name, ids, changes }, words)
            } else {
                continue;
            };
            self.done.insert(&host.name);
            self.push(action, words);
        }
        for n in 0..self.matched.nodes.len() {
            let Some(node) = self.matched.nodes.get(n).copied() else { continue };
            self.push(Action::RemoveClient { id: node.id.clone(), name: node.name.clone() }, words::remove_client(node));
        }
    }

    /// The hosts that stay and have not been touched: their lists name who is gone, or miss who came.
    fn refresh(&mut self) {
        if !self.lists_change() {
            return;
        }
        let kept_open = self.steps.iter().any(|s| matches!(s.action, Action::KeepOpen { .. }));
        let servers = self.declared.servers().chain(self.declared.clients());
        let hosts: Vec<&Host> = servers.filter(|h| kept_open || !self.done.contains(h.name.as_str())).collect();
        if !hosts.is_empty() {
            let words = words::refresh(&hosts, kept_open);
            self.push(Action::Refresh { hosts: hosts.iter().map(|h| h.name.clone()).collect() }, words);
        }
    }
}
