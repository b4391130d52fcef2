//! Carrying out a change on the leader.

use super::{
    ChangeError, members_of,
    plan::{Knowledge, Known, Plan},
};
use crate::{
    Consensus, Rpc, Server, ServerAddress, ServerId,
    network::wire::{Change, ChangeAnswer, Farewell, ReadAnswer},
    raft_types::{
        ChangeMembers, ChangeMembershipError, ClientWriteError, LogId, Membership, Metrics, Payload, Precondition, RaftError,
        StoredMembership, TypeConfig, WatchReceiver,
    },
};
use floe_store::planted::{self, Bug};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long to wait for an earlier entry before a change is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// How long a server is asked or waited for before it counts as away, and a removed one is told so.
const COURTESY: Duration = Duration::from_secs(1);

/// Why a step was not taken.
enum Obstacle {
    /// This server does not lead (any more); nothing was written.
    NotLeader,
    /// The membership is not the one that the step was made for, or an earlier entry is not committed yet.
    TooEarly,
    /// Nobody knows whether it was.
    Unknown,
}

/// The membership that a step is to make.
struct Next {
    voters: BTreeSet<ServerId>,
    nodes: BTreeMap<ServerId, ServerAddress>,
}

type Written = Result<LogId, RaftError<TypeConfig, ClientWriteError>>;

impl Consensus {
    /// Carries out a change, if this server leads.
    pub(super) async fn carry_out(&self, change: &Change, end: Instant) -> ChangeAnswer {
        let turn = timeout_at(end, self.changing().lock()).await;
        let Ok(_one_at_a_time) = turn.map(|turn| (!planted::is_on(Bug::ChangeOfOldMembership)).then_some(turn)) else {
            return ChangeAnswer::Failed(ChangeError::Busy { change: change.to_string() });
        };
        let patience = end.min(Instant::now() + COURTESY);
        loop {
            if !self.leadership().borrow().is_leader {
                return ChangeAnswer::NotLeader;
            }
            match self.knowledge().plan(change) {
                Ok(plan) => return self.follow_plan(change, plan, end).await,
                // A server that has just come back, or that a busy machine holds up, need not be refused.
                Err(error) if error.may_pass() && Instant::now() < patience => sleep(TRY_AGAIN).await,
                Err(error) => return ChangeAnswer::Failed(error),
            }
        }
    }

    fn knowledge(&self) -> Knowledge {
        let metrics = self.raft().metrics().borrow_watched().clone();
        let last = metrics.last_log_index.unwrap_or(0);
        let matched = |id: &ServerId| metrics.replication.as_ref().and_then(|r| r.get(id)).and_then(|at| at.as_ref().map(|at| at.index()));
        let silence = self.timings().silence();
        let known = |member: super::Member| {
            let behind = if member.id == *self.id() { Some(0) } else { matched(&member.id).map(|at| last.saturating_sub(at)) };
            (member.id.clone(), Known { answers: self.peers().answers(&member.id, silence), behind, member })
        };
        let members = members_of(&metrics.membership_config).into_iter().map(known).collect();
        Knowledge { own: self.id().clone(), cluster_version: self.view().cluster_version(), members }
    }

    async fn follow_plan(&self, change: &Change, plan: Plan, end: Instant) -> ChangeAnswer {
        let done = match plan {
            Plan::Nothing => return ChangeAnswer::Done,
            Plan::HandOver => return self.make_way(change, end).await,
            Plan::Transfer(to) => return self.transfer(change, to, end).await,
            Plan::Add | Plan::Move => match change {
                Change::AddLearner { id, address } | Change::Move { id, address } => self.put(id, address, plan == Plan::Add, end).await,
                _ => Ok(()),
            },
            Plan::GiveVote(id) => self.step(|next| next.voters.extend([id.clone()]), end).await,
            Plan::TakeVoteAndRemove(id) if planted::is_on(Bug::TwoVotersLeaveAtOnce) => self.take_two(&id, end).await,
            Plan::TakeVoteAndRemove(id) => match self.step(|next| next.voters.retain(|voter| *voter != id), end).await {
                Ok(()) => self.remove_learner(&id, end).await,
                refused => refused,
            },
            Plan::Remove(id) => self.remove_learner(&id, end).await,
        };
        match done {
            Ok(()) => ChangeAnswer::Done,
            Err(Obstacle::NotLeader) => ChangeAnswer::NotLeader,
            Err(Obstacle::TooEarly) => ChangeAnswer::Failed(ChangeError::Busy { change: change.to_string() }),
            Err(Obstacle::Unknown) => ChangeAnswer::Failed(ChangeError::Unknown { change: change.to_string() }),
        }
    }

    /// Has another server lead, so that it can change this one.
    async fn make_way(&self, change: &Change, end: Instant) -> ChangeAnswer {
        let to = match self.knowledge().plan(&Change::Transfer(None)) {
            Ok(Plan::Transfer(to)) => to,
            Ok(_) => Vec::new(),
            Err(error) => return ChangeAnswer::Failed(error),
        };
        match self.transfer(change, to, end).await {
            ChangeAnswer::Done => ChangeAnswer::HandedOver,
            other => other,
        }
    }

    /// Writes a member's address, or takes it in.
    async fn put(&self, id: &ServerId, address: &ServerAddress, is_new: bool, end: Instant) -> Result<(), Obstacle> {
        if is_new {
            return self
                .step(
                    |next| {
                        next.nodes.extend([(id.clone(), address.clone())]);
                        if planted::is_on(Bug::LearnerIsVoter) {
                            next.voters.insert(id.clone());
                        }
                    },
                    end,
                )
                .await;
        }
        self.again(end, || async {
            let change = ChangeMembers::SetNodes(BTreeMap::from([(id.clone(), address.clone())]));
            self.raft().change_membership(change, true).await.map(|written| written.log_id)
        })
        .await
    }

    async fn remove_learner(&self, id: &ServerId, end: Instant) -> Result<(), Obstacle> {
        let address = self.effective().get_node(id).cloned();
        self.step(|next| next.nodes.retain(|member, _| member != id), end).await?;
        let leader = self.leadership().borrow().leader.clone();
        if let (Some(address), Some(leader)) = (address, leader) {
            let server = Server { id: id.clone(), address };
            if let Err(error) = self.peers().call::<_, ()>(&server, Rpc::Removed, &Farewell { leader }, COURTESY).await {
                tracing::info!(%server, "the removed server could not be told so: {error}");
            }
        }
        Ok(())
    }

    fn effective(&self) -> StoredMembership {
        StoredMembership::clone(&self.raft().metrics().borrow_watched().membership_config)
    }

    /// Changes voters and members in one entry. The change is of one voter at most.
    async fn step(&self, edit: impl Fn(&mut Next), end: Instant) -> Result<(), Obstacle> {
        let old = planted::is_on(Bug::ChangeOfOldMembership).then(|| self.effective());
        self.again(end, || async {
            let present = old.clone().unwrap_or_else(|| self.effective());
            let nodes = present.nodes().map(|(id, address)| (id.clone(), address.clone())).collect();
            let mut next = Next { voters: present.voter_ids().collect(), nodes };
            edit(&mut next);
            let next = Membership::new(vec![next.voters], next.nodes)
                .map_err(|e| RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::from(e))))?;
            let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: *present.log_id() };
            let conditions = old.is_none().then_some(unchanged);
            self.raft().append_membership(next, Payload::Blank, conditions).await.map(|written| written.log_id)
        })
        .await
    }

    /// A planted defect. It asks for what openraft makes a joint membership of: a single entry without two voters it refuses by itself.
    async fn take_two(&self, id: &ServerId, end: Instant) -> Result<(), Obstacle> {
        let other = self.effective().voter_ids().find(|voter| voter != id && voter != self.id());
        let leave: BTreeSet<ServerId> = [id.clone()].into_iter().chain(other).collect();
        self.again(end, || async {
            let change = ChangeMembers::RemoveVoters(leave.clone());
            self.raft().change_membership(change, false).await.map(|written| written.log_id)
        })
        .await
    }

    /// Tries until no earlier entry is in the way.
    async fn again<F: Future<Output = Written>>(&self, end: Instant, write: impl Fn() -> F) -> Result<(), Obstacle> {
        loop {
            let written = tokio::select! {
                biased;
                written = timeout_at(end, write()) => written,
                () = self.stranded() => return Err(Obstacle::Unknown),
            };
            match written.map_err(|_| Obstacle::Unknown)?.map_err(obstacle) {
                Ok(at) => {
                    self.shown(at, end).await;
                    return Ok(());
                }
                Err(Obstacle::TooEarly) if Instant::now() < end => sleep(TRY_AGAIN).await,
                Err(obstacle) => return Err(obstacle),
            }
        }
    }

    /// Waits until [`Consensus::members`] shows a change: openraft's numbers may lag behind its answers.
    async fn shown(&self, at: LogId, end: Instant) {
        let is_shown = |m: &Metrics| *m.committed_membership_config.log_id() >= Some(at);
        let left = end.saturating_duration_since(Instant::now());
        if self.raft().wait(Some(left)).metrics(is_shown, "the membership").await.is_err() {
            tracing::debug!("a change of the membership was made, but is not shown yet");
        }
    }

    /// Has the first of these lead that is there.
    async fn transfer(&self, change: &Change, to: Vec<ServerId>, end: Instant) -> ChangeAnswer {
        let known = self.effective();
        let mut silent = String::new();
        for id in to {
            let Some(address) = known.get_node(&id).cloned() else { continue };
            let server = Server { id: id.clone(), address };
            // A leader that hands over takes nothing any more, so the other must be there.
            if self.peers().call::<_, ReadAnswer>(&server, Rpc::ReadIndex, &(), COURTESY).await.is_ok() {
                return self.transfer_to(change, id, end).await;
            }
            silent = server.to_string();
        }
        ChangeAnswer::Failed(ChangeError::Silent { change: change.to_string(), server: silent })
    }

    async fn transfer_to(&self, change: &Change, to: ServerId, end: Instant) -> ChangeAnswer {
        let mut leadership = self.leadership();
        if self.raft().trigger().transfer_leader(to.clone()).await.is_err() {
            return ChangeAnswer::Failed(ChangeError::Stopped { change: change.to_string(), reason: self.stop_reason().to_string() });
        }
        let within = self.timings().silence().min(end.saturating_duration_since(Instant::now()));
        let taken_over = leadership.wait_for(|now| now.leader.as_ref().is_some_and(|leader| leader.id == to));
        match timeout(within, taken_over).await {
            Ok(Ok(_)) => ChangeAnswer::Done,
            Ok(Err(_)) => ChangeAnswer::Failed(ChangeError::Stopped { change: change.to_string(), reason: self.stop_reason().to_string() }),
            Err(_) => {
                let after_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
                ChangeAnswer::Failed(ChangeError::NotTakenOver { change: change.to_string(), to, after_ms })
            }
        }
    }
}

fn obstacle(error: RaftError<TypeConfig, ClientWriteError>) -> Obstacle {
    match error {
        RaftError::Fatal(_) => Obstacle::Unknown,
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Obstacle::NotLeader,
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => Obstacle::Unknown,
        RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => Obstacle::TooEarly,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => Obstacle::TooEarly,
            other => {
                tracing::error!("openraft refused a change of the membership that was thought possible: {other}");
                Obstacle::TooEarly
            }
        },
    }
}
