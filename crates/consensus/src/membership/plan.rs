//! Which memberships may follow which: decided from what is known, without doing anything.

use super::{ChangeError, Member};
use crate::{ServerId, config::PROMOTE_LAG, network::wire::Change};
use floe_store::planted::{self, Bug};
use std::collections::BTreeMap;

/// What a leader knows of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) member: Member,
    /// It answered a moment ago; the leader itself does.
    pub(super) answers: bool,
    /// How many entries it lacks; nothing when it has taken none yet, as far as this leader knows.
    pub(super) behind: Option<u64>,
}

/// All that a decision rests on.
#[derive(Clone, Debug)]
pub(super) struct Knowledge {
    pub(super) own: ServerId,
    /// The version of commands that the cluster writes.
    pub(super) cluster_version: u32,
    pub(super) members: BTreeMap<ServerId, Known>,
}

/// What to do for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is so already.
    Nothing,
    /// Have another server lead, which then does it.
    HandOver,
    /// Write this into the membership as the address of that member.
    Move,
    /// Take it in as a learner.
    Add,
    /// Give it a vote.
    GiveVote(ServerId),
    /// Take its vote, then remove it.
    TakeVoteAndRemove(ServerId),
    /// Remove a learner.
    Remove(ServerId),
    /// Have one of these lead, the first that can.
    Transfer(Vec<ServerId>),
}

impl Knowledge {
    /// Decides about a change.
    pub(super) fn plan(&self, change: &Change) -> Result<Plan, ChangeError> {
        self.check_version(change)?;
        match change {
            Change::AddLearner { id, address } => Ok(match self.members.get(id) {
                None => Plan::Add,
                Some(known) if known.member.address == *address => Plan::Nothing,
                Some(_) => Plan::Move,
            }),
            Change::Move { id, address } if self.member(change, id)?.member.address == *address => Ok(Plan::Nothing),
            Change::Move { .. } => Ok(Plan::Move),
            Change::Promote(id) => self.promote(change, id),
            Change::Remove(id) => match self.member(change, id)?.member.is_voter {
                false => Ok(Plan::Remove(id.clone())),
                true => self.without(change, id),
            },
            Change::Transfer(to) => self.transfer(change, to.as_ref()),
        }
    }

    /// Refuses a server that would have to stop at the next command.
    fn check_version(&self, change: &Change) -> Result<(), ChangeError> {
        let (Change::AddLearner { address, .. } | Change::Move { address, .. }) = change else { return Ok(()) };
        let (known, cluster) = (address.known_version(), self.cluster_version);
        if known < cluster { Err(ChangeError::TooOld { change: change.to_string(), known, cluster }) } else { Ok(()) }
    }

    fn member(&self, change: &Change, id: &ServerId) -> Result<&Known, ChangeError> {
        self.members.get(id).ok_or_else(|| ChangeError::NotMember { change: change.to_string(), id: id.clone() })
    }

    fn promote(&self, change: &Change, id: &ServerId) -> Result<Plan, ChangeError> {
        let known = self.member(change, id)?;
        if known.member.is_voter {
            return Ok(Plan::Nothing);
        }
        if planted::is_on(Bug::PromotionUnchecked) {
            return Ok(Plan::GiveVote(id.clone()));
        }
        if !known.answers {
            return Err(self.silent(change, known));
        }
        let Some(behind) = known.behind else { return Err(ChangeError::Empty { change: change.to_string() }) };
        if behind > PROMOTE_LAG {
            return Err(ChangeError::Behind { change: change.to_string(), behind, limit: PROMOTE_LAG });
        }
        let voters = self.voters().chain([known]);
        self.check_quorum(change, voters.collect())?;
        Ok(Plan::GiveVote(id.clone()))
    }

    /// Takes a voter's vote and removes it, if the others can go on without it.
    fn without(&self, change: &Change, id: &ServerId) -> Result<Plan, ChangeError> {
        let others: Vec<&Known> = self.voters().filter(|known| known.member.id != *id).collect();
        if others.is_empty() {
            return Err(ChangeError::LastVoter { change: change.to_string() });
        }
        self.check_quorum(change, others)?;
        Ok(if *id == self.own { Plan::HandOver } else { Plan::TakeVoteAndRemove(id.clone()) })
    }

    fn transfer(&self, change: &Change, to: Option<&ServerId>) -> Result<Plan, ChangeError> {
        if let Some(to) = to {
            let known = self.member(change, to)?;
            if !known.member.is_voter {
                return Err(ChangeError::NotVoter { change: change.to_string(), id: to.clone() });
            }
            if *to == self.own {
                return Ok(Plan::Nothing);
            }
            return if known.answers { Ok(Plan::Transfer(vec![to.clone()])) } else { Err(self.silent(change, known)) };
        }
        let mut others: Vec<&Known> = self.voters().filter(|known| known.member.id != self.own).collect();
        others.sort_by_key(|known| (!known.answers, known.behind.unwrap_or(u64::MAX)));
        match others.first() {
            None => Err(ChangeError::LastVoter { change: change.to_string() }),
            Some(first) if !first.answers => Err(self.silent(change, first)),
            Some(_) => Ok(Plan::Transfer(others.iter().filter(|k| k.answers).map(|k| k.member.id.clone()).collect())),
        }
    }

    fn voters(&self) -> impl Iterator<Item = &Known> {
        self.members.values().filter(|known| known.member.is_voter)
    }

    fn silent(&self, change: &Change, known: &Known) -> ChangeError {
        ChangeError::Silent { change: change.to_string(), server: name(known) }
    }

    /// Refuses voters of which too few answer.
    fn check_quorum(&self, change: &Change, voters: Vec<&Known>) -> Result<(), ChangeError> {
        let needed = voters.len() / 2 + 1;
        let silent: Vec<String> = voters.iter().filter(|known| !known.answers).map(|known| name(known)).collect();
        let here = voters.len() - silent.len();
        if here >= needed {
            return Ok(());
        }
        Err(ChangeError::NoQuorum { change: change.to_string(), voters: voters.len(), here, needed, silent: silent.join(", ") })
    }
}

fn name(known: &Known) -> String {
    format!("{} ({} at {})", known.member.address.name, known.member.id, known.member.address.rpc)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ServerAddress;

    fn id(name: &str) -> ServerId {
        name.to_owned().into()
    }

    /// A leader "a" with these members: a capital letter votes, "!" does not answer, "+" is too far behind, "0" has nothing.
    fn knowing(members: &str) -> Knowledge {
        let known = |word: &str| {
            let letter: String = word.chars().take(1).collect();
            let member = Member {
                id: id(&letter.to_lowercase()),
                address: ServerAddress::new(letter.to_lowercase(), format!("{letter}:1")),
                is_voter: letter.chars().all(char::is_uppercase),
            };
            let behind = (!word.contains('0')).then_some(if word.contains('+') { PROMOTE_LAG + 1 } else { PROMOTE_LAG });
            (member.id.clone(), Known { member, answers: !word.contains('!'), behind })
        };
        Knowledge { own: id("a"), cluster_version: 1, members: members.split(' ').map(known).collect() }
    }

    fn refusal(members: &str, change: Change) -> String {
        knowing(members).plan(&change).unwrap_err().to_string()
    }

    fn plan(members: &str, change: Change) -> Plan {
        knowing(members).plan(&change).unwrap()
    }

    #[test]
    fn only_a_learner_that_answers_and_is_caught_up_gets_a_vote() {
        assert_eq!(plan("A b", Change::Promote(id("b"))), Plan::GiveVote(id("b")));
        assert_eq!(plan("A B", Change::Promote(id("b"))), Plan::Nothing);
        assert!(refusal("A b+", Change::Promote(id("b"))).contains("251 entries behind"));
        assert!(refusal("A b0", Change::Promote(id("b"))).contains("taken no entries yet"));
        assert!(refusal("A b!", Change::Promote(id("b"))).contains("does not answer"));
        assert!(refusal("A", Change::Promote(id("b"))).contains("no member"));
        assert!(refusal("A B! c", Change::Promote(id("x"))).contains("no member"));
        assert_eq!(plan("A B! C d", Change::Promote(id("d"))), Plan::GiveVote(id("d")));
        assert!(refusal("A B! C! D e", Change::Promote(id("x"))).contains("no member"));
        assert!(refusal("A B! c", Change::Remove(id("a"))).contains("of the 1 voters then only 0 answer"));
    }

    #[test]
    fn a_vote_is_not_taken_when_too_few_of_the_others_answer() {
        assert_eq!(plan("A B C!", Change::Remove(id("c"))), Plan::TakeVoteAndRemove(id("c")));
        let refused = refusal("A B C!", Change::Remove(id("b")));
        assert!(refused.contains("of the 2 voters then only 1 answer, and 2 are needed") && refused.contains("c (c at C:1)"), "{refused}");
        assert!(refusal("A b", Change::Remove(id("a"))).contains("it is the only voter"));
        assert!(refusal("A", Change::Remove(id("a"))).contains("promote another server first"));
        assert_eq!(plan("A B!", Change::Remove(id("b"))), Plan::TakeVoteAndRemove(id("b")), "the last one that answers goes on alone");
        assert_eq!(plan("A b!", Change::Remove(id("b"))), Plan::Remove(id("b")));
    }

    #[test]
    fn a_leader_that_goes_hands_over_first() {
        assert_eq!(plan("A B C", Change::Remove(id("a"))), Plan::HandOver);
    }

    #[test]
    fn the_voter_with_the_most_entries_takes_over() {
        let all = |ids: &[&str]| Plan::Transfer(ids.iter().map(|i| id(i)).collect());
        assert_eq!(plan("A B+ C d", Change::Transfer(None)), all(&["c", "b"]));
        assert_eq!(plan("A B! C+", Change::Transfer(None)), all(&["c"]));
        assert_eq!(plan("A B C", Change::Transfer(Some(id("b")))), all(&["b"]));
        assert_eq!(plan("A B", Change::Transfer(Some(id("a")))), Plan::Nothing);
        assert!(refusal("A B!", Change::Transfer(None)).contains("b (b at B:1) does not answer"));
        assert!(refusal("A B!", Change::Transfer(Some(id("b")))).contains("does not answer"));
        assert!(refusal("A b", Change::Transfer(Some(id("b")))).contains("promote it first"));
        assert!(refusal("A b", Change::Transfer(None)).contains("it is the only voter"));
    }

    #[test]
    fn an_address_is_written_only_when_it_is_new() {
        let at = |rpc: &str| ServerAddress::new("b".to_owned(), rpc.to_owned());
        assert_eq!(plan("A b", Change::Move { id: id("b"), address: at("b:1") }), Plan::Nothing);
        assert_eq!(plan("A b", Change::Move { id: id("b"), address: at("b:2") }), Plan::Move);
        assert_eq!(plan("A b", Change::AddLearner { id: id("b"), address: at("b:2") }), Plan::Move);
        assert_eq!(plan("A b", Change::AddLearner { id: id("b"), address: at("b:1") }), Plan::Nothing);
        assert_eq!(plan("A", Change::AddLearner { id: id("b"), address: at("b:1") }), Plan::Add);
        assert!(refusal("A", Change::Move { id: id("b"), address: at("b:1") }).contains("no member"));
    }

    #[test]
    fn a_server_that_knows_too_little_is_not_taken_in() {
        let knowing = |cluster_version| Knowledge { cluster_version, ..knowing("A b") };
        let old = ServerAddress { version: 0, ..ServerAddress::new("x".to_owned(), "x:1".to_owned()) };
        let add = Change::AddLearner { id: id("x"), address: old.clone() };
        assert_eq!(knowing(1).plan(&add), Ok(Plan::Add), "what does not say it knows the first version");
        let refused = knowing(2).plan(&add).unwrap_err().to_string();
        assert!(refused.contains("up to 1") && refused.contains("runs version 2") && refused.contains("upgrade"), "{refused}");
        assert!(knowing(2).plan(&Change::Move { id: id("b"), address: old }).is_err(), "nor goes a member back");
    }
}
