//! Looking after the servers themselves: which are healthy, which learner gets a vote, which dead server goes.
//!
//! The leader feeds one observation a tick and gets a report, and at most one action: the next one is decided when that one shows in what is
//! observed. A new leader begins anew, so nothing is promoted or removed on what an earlier one saw.
//!
//! | a server is | when |
//! |---|---|
//! | healthy | it answered within [`Config::last_contact_threshold`] and lacks at most [`Config::max_trailing_logs`] entries |
//! | stable | it has been healthy for [`Config::server_stabilization_time`]: a learner is promoted then |
//! | dead | it has not answered for [`Config::dead_after`]: it is removed then, if enough healthy voters stay |

use floe_model::{Nanos, Timestamp};
use std::collections::BTreeMap;

/// How long a server may be silent before it counts as dead. Nomad takes one for dead within seconds. Here, too, one that comes back says where
/// it is and is taken in again under its id, as a learner; but each removal makes the quorum smaller, so this is longer than any repair or
/// upgrade of a machine should take.
pub const DEAD_AFTER: Nanos = Nanos::from_secs(24 * 60 * 60);

/// What counts as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether dead servers are removed.
    pub cleanup_dead_servers: bool,
    /// A server that answered longer ago than this is not healthy.
    pub last_contact_threshold: Nanos,
    /// A server that lacks more entries than this is not healthy.
    pub max_trailing_logs: u64,
    /// Removing dead servers never leaves fewer voters than this.
    pub min_quorum: usize,
    /// How long a learner must be healthy before it gets a vote.
    pub server_stabilization_time: Nanos,
    /// See [`DEAD_AFTER`].
    pub dead_after: Nanos,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cleanup_dead_servers: true,
            last_contact_threshold: Nanos::from_millis(200),
            max_trailing_logs: 250,
            min_quorum: 0,
            server_stabilization_time: Nanos::from_secs(10),
            dead_after: DEAD_AFTER,
        }
    }
}

/// What the leader sees of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<Id> {
    /// Which.
    pub id: Id,
    /// Whether it votes.
    pub is_voter: bool,
    /// How long ago it answered; zero for the leader itself, nothing when it never did under this leader.
    pub last_contact: Option<Nanos>,
    /// The index of the last entry that it is known to have.
    pub matched: Option<u64>,
}

/// What the leader sees at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation<Id> {
    /// The moment.
    pub now: Timestamp,
    /// The leader.
    pub leader: Id,
    /// The index of the leader's last entry.
    pub last_index: u64,
    /// The members, the leader among them.
    pub servers: Vec<Seen<Id>>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<Id> {
    /// Give this learner a vote.
    Promote(Id),
    /// Remove this dead server.
    Remove(Id),
}

/// How one server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHealth<Id> {
    /// Which.
    pub id: Id,
    /// Whether it votes.
    pub is_voter: bool,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whether it is healthy.
    pub healthy: bool,
    /// Since when it is as healthy or not as now.
    pub stable_since: Timestamp,
    /// How long ago it answered.
    pub last_contact: Option<Nanos>,
    /// The index of the last entry that it is known to have.
    pub last_index: Option<u64>,
}

/// How the servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health<Id> {
    /// All servers are healthy.
    pub healthy: bool,
    /// How many healthy voters may fail before there is no quorum.
    pub failure_tolerance: usize,
    /// Each of them, by id.
    pub servers: Vec<ServerHealth<Id>>,
}

/// What is remembered of a server.
#[derive(Clone, Copy, Debug)]
struct Known {
    healthy: bool,
    stable_since: Timestamp,
    last_seen: Timestamp,
}

/// See the module. `Id` is whatever servers go by.
#[derive(Clone, Debug)]
pub struct Autopilot<Id> {
    config: Config,
    known: BTreeMap<Id, Known>,
}

impl<Id: Clone + Ord> Autopilot<Id> {
    /// Nothing seen yet.
    pub fn new(config: Config) -> Self {
        Self { config, known: BTreeMap::new() }
    }

    /// Takes what the leader sees now; says how the servers are, and what to do about it.
    pub fn observe(&mut self, observation: &Observation<Id>) -> (Health<Id>, Option<Action<Id>>) {
        self.known.retain(|id, _| observation.servers.iter().any(|seen| seen.id == *id));
        let mut servers: Vec<ServerHealth<Id>> = observation.servers.iter().map(|seen| self.look(seen, observation)).collect();
        servers.sort_by(|a, b| a.id.cmp(&b.id));
        let action = self.promotion(&servers, observation.now).or_else(|| self.removal(&servers, observation.now));
        let healthy = servers.iter().all(|server| server.healthy);
        let voters = servers.iter().filter(|server| server.is_voter).count();
        let failure_tolerance = healthy_voters(&servers).saturating_sub(quorum(voters));
        (Health { healthy, failure_tolerance, servers }, action)
    }

    fn look(&mut self, seen: &Seen<Id>, observation: &Observation<Id>) -> ServerHealth<Id> {
        let now = observation.now;
        let is_leader = seen.id == observation.leader;
        let is_near = seen.last_contact.is_some_and(|ago| ago <= self.config.last_contact_threshold);
        let behind = seen.matched.map(|matched| observation.last_index.saturating_sub(matched));
        let is_even = behind.is_some_and(|behind| behind <= self.config.max_trailing_logs);
        let healthy = is_leader || (is_near && is_even);
        let known = self.known.entry(seen.id.clone()).or_insert(Known { healthy, stable_since: now, last_seen: now });
        if known.healthy != healthy {
            (known.healthy, known.stable_since) = (healthy, now);
        }
        let last_seen = if is_leader { Some(now) } else { seen.last_contact.map(|ago| now.plus(Nanos(ago.0.saturating_neg()))) };
        known.last_seen = known.last_seen.max(last_seen.unwrap_or(known.last_seen));
        ServerHealth {
            id: seen.id.clone(),
            is_voter: seen.is_voter,
            is_leader,
            healthy,
            stable_since: known.stable_since,
            last_contact: seen.last_contact,
            last_index: seen.matched,
        }
    }

    /// A learner that has been healthy for long enough. A vote more never costs the quorum: the voter that comes is a healthy one.
    fn promotion(&self, servers: &[ServerHealth<Id>], now: Timestamp) -> Option<Action<Id>> {
        if !has_quorum(healthy_voters(servers), servers.iter().filter(|s| s.is_voter).count()) {
            return None;
        }
        let is_stable = |s: &&ServerHealth<Id>| s.healthy && now.since(s.stable_since) >= self.config.server_stabilization_time;
        let stable = servers.iter().filter(|s| !s.is_voter).find(is_stable);
        stable.map(|server| Action::Promote(server.id.clone()))
    }

    /// A dead server that is not needed: learners first.
    fn removal(&self, servers: &[ServerHealth<Id>], now: Timestamp) -> Option<Action<Id>> {
        if !self.config.cleanup_dead_servers {
            return None;
        }
        let dead: Vec<&ServerHealth<Id>> = servers.iter().filter(|server| self.is_dead(server, now)).collect();
        let voters = servers.iter().filter(|server| server.is_voter).count();
        let dead_voters = dead.iter().filter(|server| server.is_voter).count();
        let left = voters.saturating_sub(1);
        let may_lose_voter = dead_voters * 2 < voters && left >= self.config.min_quorum.max(1) && has_quorum(healthy_voters(servers), left);
        let learner = dead.iter().find(|server| !server.is_voter);
        let gone = learner.or_else(|| dead.first().filter(|_| may_lose_voter));
        gone.map(|server| Action::Remove(server.id.clone()))
    }

    fn is_dead(&self, server: &ServerHealth<Id>, now: Timestamp) -> bool {
        let silent = self.known.get(&server.id).map(|known| now.since(known.last_seen));
        !server.healthy && silent.is_some_and(|silent| silent >= self.config.dead_after)
    }
}

/// What is to be said about an even number of voters; nothing about an odd one.
pub fn warn_of_even(voters: usize) -> Option<String> {
    if voters == 0 || !voters.is_multiple_of(2) {
        return None;
    }
    let word = if voters == 2 { "tolerates no failure" } else { "tolerates no more failures than with one server less" };
    Some(format!("{voters} voters: the cluster {word}; an odd number is better"))
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

fn has_quorum(healthy: usize, voters: usize) -> bool {
    healthy >= quorum(voters)
}

fn healthy_voters<Id>(servers: &[ServerHealth<Id>]) -> usize {
    servers.iter().filter(|server| server.is_voter && server.healthy).count()
}

#[cfg(test)]
#[path = "autopilot_tests.rs"]
mod tests;
