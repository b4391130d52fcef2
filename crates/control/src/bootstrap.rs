//! The beginning of a cluster by several servers: whom each of them supports to be the first, and when that one begins.
//!
//! | this server | sees | and then |
//! |---|---|---|
//! | waits, supports nobody | every address answers, by as many servers as are expected, all of which wait | supports the lowest id of them, for ever |
//! | waits, supports itself | the same servers, and each supports it | begins the cluster |
//! | waits | a server that is in a cluster | asks it to be let in |
//!
//! What is supported must be on disk before anybody is told of it, and what others say counts only as an answer to a question of the same round.
//! Then two servers cannot both begin a cluster that one of the others was to be in: that one would have to support both. Servers that lost their
//! disk have another id, so they are others, and the one that waits for them says so. Nobody begins before every address answers: a server with an
//! empty disk that cannot reach the cluster it was in cannot begin another one beside it.

use std::collections::{BTreeMap, BTreeSet};

/// How many servers may begin a cluster together.
pub const MAX_EXPECT: u16 = 7;
const _: () = assert!(MAX_EXPECT as usize == floe_state::tokens::MAX_FOUNDERS);

/// A server that waits for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder<Id> {
    /// Which.
    pub id: Id,
    /// How many servers it is to begin with, itself included.
    pub expect: u16,
    /// Which server it supports to be the first. Once said this never changes.
    pub supports: Option<Id>,
}

/// What came back from an address in this round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<Id> {
    /// Nothing, for this reason.
    Nothing(String),
    /// A server that waits, too.
    Waiting(Founder<Id>),
    /// A server that is in a cluster.
    Member,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<Id> {
    /// Look again later.
    Wait(Vec<Obstacle<Id>>),
    /// Keep that this server supports that one, and look again.
    Support(Id),
    /// Begin the cluster with these servers, this one among them.
    Begin(BTreeSet<Id>),
    /// Ask the server at this address to be let in.
    Join(String),
}

/// What a server waits for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle<Id> {
    /// Nobody answers at an address.
    #[error("{address} does not answer: {why}")]
    Silent {
        /// Where.
        address: String,
        /// Why not.
        why: String,
    },
    /// Two configurations.
    #[error("{address} has bootstrap_expect = {theirs}, and this server {ours}: give all of them the same")]
    OtherExpect {
        /// Where the other one is.
        address: String,
        /// What it expects.
        theirs: u16,
        /// What this one does.
        ours: u16,
    },
    /// Fewer servers are named than are expected.
    #[error("only {found} servers are named in retry_join, this one included, and bootstrap_expect is {expect}: name all of them")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many should be.
        expect: u16,
    },
    /// More servers are named than are expected.
    #[error(
        "{found} servers answer at the addresses of retry_join, this one included, and bootstrap_expect is {expect}: name those that begin \
         the cluster, and let the others join it with tokens"
    )]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many should be.
        expect: u16,
    },
    /// Somebody waits for a server that is not there.
    #[error(
        "{who} waits for server {first} to begin the cluster, and none of the servers has that id: if it lost its disk, remove the data \
         folders of all servers that wait (they hold nothing yet), and start again"
    )]
    Gone {
        /// Who waits: an address, or this server.
        who: String,
        /// For whom.
        first: Id,
    },
    /// All are there; the rest takes a moment.
    #[error("{first} is to begin the cluster")]
    First {
        /// Who begins.
        first: Id,
    },
}

impl<Id: Clone + Ord + std::fmt::Display> Founder<Id> {
    /// Decides about what came back from each address in this round. This server may itself answer at one of them.
    pub fn step(&self, seen: &BTreeMap<String, Seen<Id>>) -> Step<Id> {
        if let Some(address) = seen.iter().find_map(|(address, seen)| matches!(seen, Seen::Member).then_some(address)) {
            return Step::Join(address.clone());
        }
        let obstacles = self.obstacles(seen);
        if !obstacles.is_empty() {
            return Step::Wait(obstacles);
        }
        let servers = self.servers(seen);
        let lowest = servers.first().unwrap_or(&self.id).clone();
        match &self.supports {
            None => Step::Support(lowest),
            Some(first) if *first != self.id => Step::Wait(vec![Obstacle::First { first: first.clone() }]),
            Some(_) if waiting(seen).all(|(_, other)| other.supports.as_ref() == Some(&self.id)) => Step::Begin(servers),
            Some(_) => Step::Wait(vec![Obstacle::First { first: self.id.clone() }]),
        }
    }

    /// The servers that wait, this one among them.
    fn servers(&self, seen: &BTreeMap<String, Seen<Id>>) -> BTreeSet<Id> {
        waiting(seen).map(|(_, other)| other.id.clone()).chain([self.id.clone()]).collect()
    }

    /// Why there can be no first yet.
    fn obstacles(&self, seen: &BTreeMap<String, Seen<Id>>) -> Vec<Obstacle<Id>> {
        let ours = self.expect;
        let mut found = Vec::new();
        for (address, seen) in seen {
            let address = address.clone();
            match seen {
                Seen::Nothing(why) => found.push(Obstacle::Silent { address, why: why.clone() }),
                Seen::Waiting(other) if other.expect != ours => found.push(Obstacle::OtherExpect { address, theirs: other.expect, ours }),
                _ => {}
            }
        }
        let servers = self.servers(seen);
        if servers.len() > usize::from(ours) {
            found.push(Obstacle::TooMany { found: servers.len(), expect: ours });
        }
        if !found.is_empty() {
            return found;
        }
        if servers.len() < usize::from(ours) {
            return vec![Obstacle::TooFew { found: servers.len(), expect: ours }];
        }
        let others = waiting(seen).filter(|(_, other)| other.id != self.id);
        let supports = others.map(|(address, other)| (address.clone(), &other.supports));
        supports
            .chain([("this server".to_owned(), &self.supports)])
            .filter_map(|(who, first)| Some((who, first.clone().filter(|first| !servers.contains(first))?)))
            .map(|(who, first)| Obstacle::Gone { who, first })
            .collect()
    }
}

fn waiting<Id>(seen: &BTreeMap<String, Seen<Id>>) -> impl Iterator<Item = (&String, &Founder<Id>)> {
    seen.iter().filter_map(|(address, seen)| match seen {
        Seen::Waiting(other) => Some((address, other)),
        _ => None,
    })
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
