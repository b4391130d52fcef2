//! Having the cluster carry out a command, from any server.
//!
//! The leader stamps a command and appends it; any other server passes it on to the leader. What is passed on is tried again only when it
//! certainly was not appended: then nobody took it, or the one that did said no. Anything else is [`ProposeError::OutcomeUnknown`].

use super::{
    Consensus,
    search::{Leader, Search, after},
};
use crate::{
    ProposeError, Rpc, Server, StopReason,
    codec::{DecodeError, STAMP_ROOM},
    config::{ENTRY_BYTES, PROPOSALS_IN_FLIGHT},
    machine::Answered,
    network::{
        peers::CallError,
        wire::{Proposal, ProposeAnswer},
    },
    raft_types::{ClientWriteError, RaftError},
    wish::{Encoded, Wish},
};
use floe_state::{Command, Outcome};
use floe_store::planted::{self, Bug};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::PoisonError,
    time::Duration,
};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

/// How many proposals of other servers are remembered, so that one that a network delivers twice is done once. A network that does so does it
/// within moments.
const SEEN: usize = 2 * PROPOSALS_IN_FLIGHT;

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposed {
    /// The state's index right after its entry, as rows and answers count: see [`floe_state::State::index`].
    pub index: u64,
    /// The place of its entry in the log.
    pub log_index: u64,
    /// What it came to.
    pub outcome: Outcome,
}

impl Proposed {
    fn new(log_index: u64, answered: Answered) -> Self {
        Self { index: answered.index, log_index, outcome: answered.outcome }
    }
}

/// What became of one try.
enum Try {
    Done(Proposed),
    /// It was not appended.
    NotTaken,
    Failed(ProposeError),
}

/// The newest proposals that other servers passed on.
#[derive(Default)]
pub(super) struct Seen {
    ids: BTreeSet<(u64, u64)>,
    order: VecDeque<(u64, u64)>,
}

impl Seen {
    /// Whether this is the first time.
    fn is_first(&mut self, id: (u64, u64)) -> bool {
        let is_first = self.ids.insert(id);
        if is_first {
            self.order.push_back(id);
        }
        if self.order.len() > SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        is_first
    }
}

impl Consensus {
    /// Has the cluster carry out a command, within the configured deadline. When this returns, the entry is durable on a quorum and
    /// [`Consensus::view`] shows what it did, here, whichever server leads.
    ///
    /// # Errors
    /// See [`ProposeError`]; only with [`ProposeError::Timeout`], [`ProposeError::OutcomeUnknown`] and [`ProposeError::Interrupted`] may it have
    /// been done all the same, and with [`ProposeError::Behind`] it was.
    pub async fn propose(&self, command: Command) -> Result<Proposed, ProposeError> {
        self.propose_within(command, self.timings().deadline).await
    }

    /// As [`Consensus::propose`], within a deadline of the caller's.
    ///
    /// # Errors
    /// As [`Consensus::propose`].
    pub async fn propose_within(&self, command: Command, deadline: Duration) -> Result<Proposed, ProposeError> {
        let name = command.name();
        self.check_version(&command)?;
        let search = self.search(deadline);
        let command = encoded(command)?;
        let _turn = self.turn(name, deadline).await?;
        loop {
            if let Some(reason) = self.stop().get() {
                return Err(ProposeError::Stopped { command: name, reason });
            }
            let tried = match self.leader() {
                Leader::Own => self.write_here(&command, search.end(), deadline).await,
                Leader::Other(leader) => self.write_there(&leader, &command, &search, deadline).await,
                Leader::Unknown => Try::NotTaken,
            };
            match tried {
                Try::Done(proposed) => return Ok(proposed),
                Try::Failed(error) => return Err(error),
                Try::NotTaken if search.wait(self).await => {}
                Try::NotTaken => return Err(ProposeError::Unavailable { command: name, advice: self.advice() }),
            }
        }
    }

    /// Writes what this server decided as the leader. When it does not lead any more the decision is void: the present leader decides anew, from
    /// what it knows, and must not be handed the old one.
    ///
    /// # Errors
    /// [`ProposeError::NotLeading`] when this server does not lead; else as [`Consensus::propose`].
    pub async fn propose_as_leader(&self, command: Command) -> Result<Proposed, ProposeError> {
        let (name, deadline) = (command.name(), self.timings().deadline);
        if planted::is_on(Bug::DeskPassesOn) {
            return self.propose_within(command, deadline).await;
        }
        self.check_version(&command)?;
        let end = Instant::now() + deadline;
        let command = encoded(command)?;
        let _turn = self.turn(name, deadline).await?;
        let tried = match self.leader() {
            Leader::Own => self.write_here(&command, end, deadline).await,
            Leader::Other(_) | Leader::Unknown => Try::NotTaken,
        };
        match tried {
            Try::Done(proposed) => Ok(proposed),
            Try::Failed(error) => Err(error),
            Try::NotTaken => Err(ProposeError::NotLeading { command: name }),
        }
    }

    /// Waits for the turn of a command.
    async fn turn(&self, name: &'static str, deadline: Duration) -> Result<SemaphorePermit<'_>, ProposeError> {
        let turn = timeout(deadline, self.inner.in_flight.acquire()).await;
        let overloaded = |_| ProposeError::Overloaded { command: name, limit: PROPOSALS_IN_FLIGHT, after: deadline };
        turn.map_err(overloaded)?.map_err(|_| ProposeError::Stopped { command: name, reason: StopReason::Closed })
    }

    /// Refuses what not all servers know. Before the first command of a cluster everything waits for its version.
    fn check_version(&self, command: &Command) -> Result<(), ProposeError> {
        match (command.since(), self.view().cluster_version()) {
            (needed, present) if present > 0 && needed > present => Err(ProposeError::NotYet { command: command.name(), needed, present }),
            _ => Ok(()),
        }
    }

    /// Appends it to this server's log, as the leader.
    async fn write_here(&self, command: &Encoded, end: Instant, deadline: Duration) -> Try {
        let name = command.command.name();
        if self.view().cluster_version() == 0 && !matches!(command.command, Command::SetClusterVersion { .. }) {
            // The first command of a cluster is its version; the leader is about to write it.
            return Try::NotTaken;
        }
        if let Err(refused) = self.check_version(&command.command) {
            return Try::Failed(refused);
        }
        let wish = match Wish::new(self.inner.stamper.stamp(), command) {
            Ok(wish) => wish,
            Err(error) => return Try::Failed(ProposeError::encode(name, error)),
        };
        let written = tokio::select! {
            biased;
            written = timeout_at(end, self.raft().client_write(wish)) => written,
            () = self.stranded() => return Try::Failed(ProposeError::OutcomeUnknown { command: name }),
        };
        match written {
            Err(_) => Try::Failed(ProposeError::Timeout { command: name, after: deadline }),
            Ok(Ok(written)) => Try::Done(Proposed::new(written.log_id.index, written.data)),
            Ok(Err(RaftError::Fatal(_))) if planted::is_on(Bug::InterruptedIsRefused) => {
                Try::Failed(ProposeError::Stopped { command: name, reason: self.stop_reason() })
            }
            // openraft does not say whether it had taken the command before it ended.
            Ok(Err(RaftError::Fatal(_))) => Try::Failed(ProposeError::Interrupted { command: name, reason: self.stop_reason() }),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Try::NotTaken,
            Ok(Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)))) => {
                Try::Failed(ProposeError::OutcomeUnknown { command: name })
            }
            Ok(Err(RaftError::APIError(other))) => {
                tracing::error!("openraft refused a command with an error for changes of membership: {other}");
                Try::Failed(ProposeError::Unavailable { command: name, advice: self.advice() })
            }
        }
    }

    /// Passes it on to the leader, and waits until this server has applied it too.
    async fn write_there(&self, leader: &Server, command: &Encoded, search: &Search, deadline: Duration) -> Try {
        let name = command.command.name();
        let unknown = || Try::Failed(ProposeError::OutcomeUnknown { command: name });
        let left = search.left();
        let within_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let request = Proposal { id: self.inner.stamper.draw(), within_ms, command: command.bytes.clone() };
        let answer = tokio::select! {
            biased;
            answer = self.peers().call(leader, Rpc::Propose, &request, left) => answer,
            () = self.given_up() => return unknown(),
        };
        match answer {
            Ok(ProposeAnswer::Done { log_index, answered }) => match self.applied(log_index, search.end()).await {
                Some(true) => Try::Done(Proposed::new(log_index, answered)),
                Some(false) => Try::Failed(ProposeError::Behind { command: name, index: log_index, after: deadline }),
                None => Try::Failed(ProposeError::Interrupted { command: name, reason: self.stop_reason() }),
            },
            Ok(ProposeAnswer::NotTaken) | Err(CallError::Absent(_) | CallError::Refused(_) | CallError::Removed) => Try::NotTaken,
            Ok(ProposeAnswer::Overloaded) => {
                Try::Failed(ProposeError::Overloaded { command: name, limit: PROPOSALS_IN_FLIGHT, after: deadline })
            }
            Ok(ProposeAnswer::Unknown) | Err(CallError::Unknown(_)) if planted::is_on(Bug::ForwardRepeatedInDoubt) => Try::NotTaken,
            Ok(ProposeAnswer::Unknown) | Err(CallError::Unknown(_)) => unknown(),
        }
    }

    /// Waits until this server has applied the entry at this place in the log: true, or false when that takes too long, or nothing when this server stopped.
    pub(super) async fn applied(&self, index: u64, end: Instant) -> Option<bool> {
        let mut views = self.watch();
        tokio::select! {
            biased;
            seen = timeout_at(end, views.wait_for(|state| state.log_index() >= index)) => match seen {
                Ok(Ok(_)) => Some(true),
                Ok(Err(_)) => None,
                Err(_) => Some(false),
            },
            _ = self.stopped() => None,
        }
    }

    /// Carries out what another server passed on. It is that server that looks for another leader, should this one not lead.
    pub(crate) async fn propose_for(&self, proposal: Proposal) -> Result<ProposeAnswer, DecodeError> {
        let command = Encoded::received(proposal.command)?;
        let deadline = Duration::from_millis(proposal.within_ms);
        let end = after(deadline);
        let Ok(Ok(_turn)) = timeout_at(end, self.inner.in_flight.acquire()).await else { return Ok(ProposeAnswer::Overloaded) };
        let is_first = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner).is_first(proposal.id);
        if !is_first && !planted::is_on(Bug::DuplicateProposalTaken) {
            return Ok(ProposeAnswer::Unknown);
        }
        Ok(match self.write_here(&command, end, deadline).await {
            Try::Done(Proposed { index, log_index, outcome }) => ProposeAnswer::Done { log_index, answered: Answered { index, outcome } },
            Try::NotTaken => ProposeAnswer::NotTaken,
            Try::Failed(_) => ProposeAnswer::Unknown,
        })
    }
}

/// The command with its bytes, if they are not too many: whatever its stamp will be, its entry is not larger then.
fn encoded(command: Command) -> Result<Encoded, ProposeError> {
    let name = command.name();
    let encoded = Encoded::new(command).map_err(|e| ProposeError::encode(name, e))?;
    let bytes = encoded.bytes.len() + STAMP_ROOM;
    if bytes > ENTRY_BYTES { Err(ProposeError::TooLarge { command: name, bytes, limit: ENTRY_BYTES }) } else { Ok(encoded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_known_again_until_as_many_came_after_it() {
        let mut seen = Seen::default();
        assert!(seen.is_first((0, 0)));
        for n in 1..SEEN as u64 {
            assert!(seen.is_first((n, 0)));
        }
        assert!(!seen.is_first((0, 0)));
        assert!(seen.is_first((SEEN as u64, 0)));
        assert!(seen.is_first((0, 0)), "the oldest is forgotten");
        assert_eq!((seen.ids.len(), seen.order.len()), (SEEN, SEEN));
    }
}
