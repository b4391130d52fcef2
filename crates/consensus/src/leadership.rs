//! Who leads. A server that was elected counts as leader here only when it has applied everything of the terms before: what runs on the
//! leader may then take its view for the truth. One that hears from no quorum for the longest election timeout does not count any more, though
//! openraft still calls it leader: another may lead already. A leader that a follower does not hear is none that it knows.

use crate::{
    Consensus, Server, ServerId, StopReason, Timings,
    raft_types::{Instant, Raft, ReadPolicy, ServerMetrics, StoredMembership, WatchReceiver},
    stop::StopCell,
};
use floe_store::planted::{self, Bug};
use std::time::Duration;
use tokio::{sync::watch, time::sleep};

/// How long to wait before asking again whether this server still leads, when that could not be confirmed.
const CONFIRM_AGAIN: Duration = Duration::from_millis(50);

/// Who leads, as far as this server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// This server leads, has applied all that was committed before it did, and hears from a quorum.
    pub is_leader: bool,
    /// The leader, when one is known and heard.
    pub leader: Option<Server>,
    /// The term.
    pub term: u64,
}

pub(crate) fn server_of(membership: &StoredMembership, id: &ServerId) -> Option<Server> {
    membership.membership().get_node(id).map(|address| Server { id: id.clone(), address: address.clone() })
}

/// What [`follow`] remembers.
struct Follower {
    server: Consensus,
    /// The term in which this server was confirmed as leader, and has not lost its quorum since.
    confirmed_term: Option<u64>,
    /// The last term in which openraft called this server leader, and when that was first seen.
    elected: Option<(u64, tokio::time::Instant)>,
}

/// Runs until openraft stops. Also keeps the address book up to date with the membership.
pub(crate) async fn follow(server: Consensus, tell: watch::Sender<Leadership>) {
    let (raft, stop) = (server.raft().clone(), server.stop().clone());
    let tick = server.timings().heartbeat;
    let mut metrics = raft.server_metrics();
    let mut follower = Follower { server, confirmed_term: None, elected: None };
    loop {
        let now = metrics.borrow_watched().clone();
        let next = follower.look(&now);
        let must_confirm = now.state.is_leader() && !next.is_leader;
        tell.send_if_modified(|present| {
            let is_new = *present != next;
            *present = next;
            is_new
        });
        let is_alive = tokio::select! {
            biased;
            confirmed = confirm(&raft), if must_confirm => {
                follower.confirmed_term = confirmed.then_some(now.vote.leader_id.term).or(follower.confirmed_term);
                true
            }
            changed = metrics.changed() => changed.is_ok(),
            () = sleep(tick), if !must_confirm => true,
        };
        if !is_alive {
            break;
        }
    }
    tell.send_modify(|present| *present = Leadership { term: present.term, ..Leadership::default() });
    note_end(&raft, &stop);
}

impl Follower {
    fn look(&mut self, now: &ServerMetrics) -> Leadership {
        let server = self.server.clone();
        let peers = server.peers();
        peers.set_membership(now.membership_config.membership());
        server.receiving().expire();
        let term = now.vote.leader_id.term;
        let is_heard = if now.state.is_leader() {
            let unheard = self.without_quorum(term);
            peers.mute(is_quiet(unheard, server.timings()));
            unheard < server.timings().election_max
        } else {
            peers.mute(false);
            peers.leader_heard().is_some_and(|ago| ago <= server.timings().silence())
        };
        if !is_heard {
            self.confirmed_term = None;
        }
        let is_confirmed = self.confirmed_term == Some(term) || planted::is_on(Bug::UnconfirmedLeaderActs);
        let is_leader = now.state.is_leader() && is_confirmed;
        let leader = now.current_leader.as_ref().filter(|_| is_heard).and_then(|id| server_of(&now.membership_config, id));
        Leadership { is_leader, leader, term }
    }

    /// How long ago a quorum answered this leader, or it was elected.
    fn without_quorum(&mut self, term: u64) -> Duration {
        if self.server.is_alone() {
            return Duration::ZERO;
        }
        let elected = self.elected.filter(|(elected, _)| *elected == term).unwrap_or_else(|| (term, tokio::time::Instant::now()));
        self.elected = Some(elected);
        let metrics = self.server.raft().metrics().borrow_watched().clone();
        metrics.last_quorum_acked.map_or_else(|| elected.1.elapsed(), |at| at.elapsed())
    }
}

/// Whether a leader that no quorum answered for this long says nothing to the others, so that they can elect another: one whose calls arrive,
/// and the answers do not, would be followed for ever. openraft holds back heartbeats, by turns, for as long as an election may take; entries
/// it does not, so they keep to the same turns here.
fn is_quiet(unheard: Duration, timings: &Timings) -> bool {
    let Some(over) = unheard.checked_sub(timings.election_max) else { return false };
    (over.as_nanos() / timings.silence().as_nanos().max(1)).is_multiple_of(2)
}

/// Asks the others, and waits until everything committed so far is applied here.
async fn confirm(raft: &Raft) -> bool {
    let confirmed = raft.ensure_linearizable(ReadPolicy::ReadIndex).await.is_ok();
    if !confirmed {
        sleep(CONFIRM_AGAIN).await;
    }
    confirmed
}

/// openraft ended. When nobody asked it to, that is the reason to stop.
fn note_end(raft: &Raft, stop: &StopCell) {
    if stop.get().is_some() {
        return;
    }
    let reason = match raft.metrics().borrow_watched().running_state.clone() {
        Err(fatal) => StopReason::Failed(format!("the Raft core ended: {fatal}")),
        Ok(()) => StopReason::Failed("the Raft core ended without saying why".to_owned()),
    };
    stop.set(reason);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_without_a_quorum_falls_silent_by_turns() {
        let timings = Timings::default();
        let (lease, turn) = (timings.election_max, timings.silence());
        let just_before = |span: Duration| span.saturating_sub(Duration::from_nanos(1));
        assert!(!is_quiet(Duration::ZERO, &timings));
        assert!(!is_quiet(just_before(lease), &timings));
        assert!(is_quiet(lease, &timings));
        assert!(is_quiet(just_before(lease + turn), &timings));
        assert!(!is_quiet(lease + turn, &timings));
        assert!(is_quiet(lease + 2 * turn, &timings));
    }
}
