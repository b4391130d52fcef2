//! Who belongs to the cluster, and how that is changed.
//!
//! One change at a time, by the leader; any other server passes it on. Every step adds or removes one voter, which needs no joint
//! configuration: whatever fails in the middle, the cluster is in the membership before the step or in the one after it.

mod carry_out;
mod error;
mod plan;

pub use error::ChangeError;

use crate::{
    Consensus, Rpc, Server, ServerAddress, ServerId,
    consensus::search::{Leader, Search, after},
    network::{
        peers::CallError,
        wire::{Change, ChangeAnswer, ChangeRequest},
    },
    raft_types::{StoredMembership, WatchReceiver},
};
use std::{fmt, time::Duration};

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub id: ServerId,
    /// Where, as the membership says.
    pub address: ServerAddress,
    /// Whether it votes. One that does not is a learner: it takes entries.
    pub is_voter: bool,
}

pub(crate) fn members_of(membership: &StoredMembership) -> Vec<Member> {
    let membership = membership.membership();
    let voters: Vec<ServerId> = membership.voter_ids().collect();
    let member =
        |(id, address): (&ServerId, &ServerAddress)| Member { id: id.clone(), address: address.clone(), is_voter: voters.contains(id) };
    membership.nodes().map(member).collect()
}

impl Consensus {
    /// The members by id, as the last committed change that this server knows made them. Empty before it is in a cluster.
    pub fn members(&self) -> Vec<Member> {
        members_of(&self.raft().metrics().borrow_watched().committed_membership_config)
    }

    /// Takes a server in as a learner. It then catches up; [`Consensus::promote`] gives it a vote. For a member this only corrects the address.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn add_learner(&self, id: ServerId, address: ServerAddress) -> Result<(), ChangeError> {
        self.change(Change::AddLearner { id, address }).await
    }

    /// Gives a learner a vote. For a voter this does nothing.
    ///
    /// # Errors
    /// See [`ChangeError`]: above all when it is not caught up, or does not answer.
    pub async fn promote(&self, id: ServerId) -> Result<(), ChangeError> {
        self.change(Change::Promote(id)).await
    }

    /// Removes a server, voter or not. A leader hands over first. The removed server is told, if it is there.
    ///
    /// # Errors
    /// See [`ChangeError`]: above all when it is the last voter, or too few of the others answer.
    pub async fn remove(&self, id: ServerId) -> Result<(), ChangeError> {
        self.change(Change::Remove(id)).await
    }

    /// Has another voter lead: this one, or the one that has the most entries.
    ///
    /// # Errors
    /// See [`ChangeError`]: above all when the other does not answer or does not take over.
    pub async fn transfer_leadership(&self, to: Option<ServerId>) -> Result<(), ChangeError> {
        self.change(Change::Transfer(to)).await
    }

    /// Has the leader carry out a change, within the configured deadline.
    pub(crate) async fn change(&self, change: Change) -> Result<(), ChangeError> {
        let mut search = self.search(self.timings().deadline);
        loop {
            if let Some(reason) = self.stop().get() {
                return Err(ChangeError::Stopped { change: change.to_string(), reason: reason.to_string() });
            }
            let answer = match self.leader() {
                Leader::Own => self.carry_out(&change, search.end()).await,
                Leader::Other(leader) => self.pass_on(&leader, &change, &search).await,
                Leader::Unknown => ChangeAnswer::NotLeader,
            };
            match answer {
                ChangeAnswer::Done => return Ok(()),
                ChangeAnswer::Failed(error) => return Err(error),
                ChangeAnswer::HandedOver => search.renew(self),
                ChangeAnswer::NotLeader if search.wait(self).await => {}
                ChangeAnswer::NotLeader => return Err(ChangeError::NoLeader { change: change.to_string(), advice: self.advice() }),
            }
        }
    }

    async fn pass_on(&self, leader: &Server, change: &Change, search: &Search) -> ChangeAnswer {
        let left = search.left();
        let request = ChangeRequest { within_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX), change: change.clone() };
        let answer = tokio::select! {
            biased;
            answer = self.peers().call(leader, Rpc::Change, &request, left) => answer,
            () = self.given_up() => Err(CallError::Unknown("no leader is heard".to_owned())),
        };
        match answer {
            Ok(answer) => answer,
            Err(CallError::Absent(_) | CallError::Refused(_) | CallError::Removed) => ChangeAnswer::NotLeader,
            Err(CallError::Unknown(_)) => ChangeAnswer::Failed(ChangeError::Unknown { change: change.to_string() }),
        }
    }

    /// Carries out what another server passed on.
    pub(crate) async fn change_for(&self, request: ChangeRequest) -> ChangeAnswer {
        self.carry_out(&request.change, after(Duration::from_millis(request.within_ms))).await
    }

    /// Lets another voter lead, if this server does and another takes over in time.
    pub(crate) async fn hand_over(&self, within: Duration) {
        let others = self.raft().voter_ids().any(|id| id != *self.id());
        if others && let ChangeAnswer::Failed(error) = self.carry_out(&Change::Transfer(None), after(within)).await {
            tracing::warn!("the others must elect a leader, because this one could not hand over: {error}");
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::AddLearner { id, address } => write!(f, "add server {id} ({} at {})", address.name, address.rpc),
            Change::Move { id, address } => write!(f, "note the address {} of server {id}", address.rpc),
            Change::Promote(id) => write!(f, "promote server {id}"),
            Change::Remove(id) => write!(f, "remove server {id}"),
            Change::Transfer(Some(id)) => write!(f, "transfer the leadership to server {id}"),
            Change::Transfer(None) => write!(f, "transfer the leadership"),
        }
    }
}
