//! Votes and acknowledgements, at the moment at which they leave a server; and what clients were told.

use super::Observer;
use crate::{host::Fate, invariant::Invariant, wire, world::World};
use floe_consensus::Rpc;

impl Observer {
    /// A server answered another.
    pub(crate) fn answered(&mut self, world: &World, host: &str, rpc: Rpc, request: &[u8], answer: &[u8]) {
        match rpc {
            Rpc::Vote => {
                let Some(vote) = wire::granted(request, answer) else { return };
                if world.hosts.borrow().get(host).is_some_and(|host| host.fate == Fate::LostLog) {
                    world.violated(Invariant::LostLogNeverVotes, format!("{host} voted in term {}", vote.leader_id.term));
                }
                self.voted(world, host, vote.leader_id.term, &vote.leader_id.voted_for.unwrap_or_default());
            }
            Rpc::Append => {
                let Some(index) = wire::acknowledged(request, answer) else { return };
                let known = self.known.entry(host.to_owned()).or_default();
                known.acknowledged = known.acknowledged.max(Some(index));
            }
            _ => {}
        }
    }

    pub(super) fn voted(&mut self, world: &World, host: &str, term: u64, candidate: &str) {
        let id = crate::host::id(host).as_str().to_owned();
        if let Some(other) = self.votes.insert((id, term), candidate.to_owned())
            && other != candidate
        {
            world.violated(Invariant::OneVoteATerm, format!("{host} voted for {other} and for {candidate} in term {term}"));
        }
    }

    /// A client was told that its command is that entry.
    pub(crate) fn acknowledged(&mut self, world: &World, index: u64, value: &str) {
        self.told.insert(index, value.to_owned());
        if let Some(found) = self.committed.value(index).filter(|found| *found != value) {
            world.violated(Invariant::AnswerIsInLog, format!("entry {index} was said to hold {value}, and holds {found}"));
        }
    }

    /// A client was told that its command was not taken.
    pub(crate) fn refused(&mut self, world: &World, value: &str) {
        self.refused.insert(value.to_owned());
        if let Some(index) = self.committed.is_written(value) {
            world.violated(Invariant::RefusedIsNotDone, format!("{value} was refused, and is entry {index}"));
        }
    }
}
