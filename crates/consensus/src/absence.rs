//! Noticing that a leader's process has ended, before its lease does.
//!
//! A follower that has not heard the leader for one and a half heartbeats asks it. When nobody listens at its address, or the one that does says that
//! it does not lead in that term, the leader is absent: its lease protects nobody any more, and waiting for its end would only cost time. A machine
//! that is off or cut off does not answer at all, which says nothing: then the lease and the election timeout decide, as always.
//!
//! A follower that finds the leader absent asks the other voters whether they do too, and would elect it: when that makes a majority it calls an
//! election to which leases do not count, as when a leader hands over. A follower whose own way to the leader is closed, while the others hear
//! it, changes nothing. Followers begin in the order of their ids, half a heartbeat apart, so that two seldom begin at once.

use crate::{
    Consensus, Rpc, Server,
    leadership::server_of,
    network::{peers::CallError, wire::Candidacy},
    raft_types::{TransferRequest, Vote, WatchReceiver, log_id, position},
};
use futures::future::join_all;
use tokio::time::sleep;

/// After how many heartbeats without one a leader is asked, in halves: one and a half.
const OVERDUE_HALVES: u32 = 3;

/// A leader that is followed, by its vote.
struct Followed {
    vote: Vote,
    leader: Server,
    /// How many voters there are.
    voters: usize,
    /// How many of them, without the leader, come before this server.
    rank: usize,
    /// The voters but the leader and this server.
    others: Vec<Server>,
}

/// Runs until this server stops.
pub(crate) async fn watch(server: Consensus) {
    let stop = server.stop().clone();
    tokio::select! {
        biased;
        _ = stop.wait() => {}
        () = look(&server) => {}
    }
}

async fn look(server: &Consensus) {
    let turn = server.timings().heartbeat / 2;
    // The vote of an absent leader, and how many turns ago that was noticed.
    let mut absent: Option<(Vote, usize)> = None;
    loop {
        sleep(turn).await;
        let before = absent.take();
        let Some(followed) = followed(server) else { continue };
        if !is_absent(server, &followed).await {
            continue;
        }
        let turns = before.filter(|(vote, _)| *vote == followed.vote).map_or(0, |(_, turns)| turns.saturating_add(1));
        // In turns: the others, and this server.
        if turns % (followed.others.len() + 1) == followed.rank {
            stand(server, &followed).await;
        }
        absent = Some((followed.vote, turns));
    }
}

/// Has this server elected, if the others agree.
async fn stand(server: &Consensus, followed: &Followed) {
    let request = Candidacy { absent: followed.vote.clone(), last: server.log_end().map(log_id) };
    let asked = followed.others.iter().map(|other| server.peers().call(other, Rpc::Candidacy, &request, server.timings().heartbeat));
    let answers: Vec<Result<bool, CallError>> = join_all(asked).await;
    let agree = 1 + answers.iter().filter(|answer| matches!(answer, Ok(true))).count();
    let voters = followed.voters;
    if agree <= voters / 2 {
        return;
    }
    tracing::info!(leader = %followed.leader.id, agree, voters, "the leader's process has ended: this server stands for election");
    let request = TransferRequest::new(followed.vote.clone(), server.id().clone(), None);
    // Only a stopped core does not take it; and when this server follows another by now, it does nothing.
    let _stopped = server.raft().handle_transfer_leader(request).await;
}

/// Answers [`Rpc::Candidacy`]: whether the leader is absent for this server too, and the caller's log would get its vote.
pub(crate) async fn agrees(server: &Consensus, request: &Candidacy) -> bool {
    let Some(followed) = followed(server).filter(|f| f.vote == request.absent) else { return false };
    request.last.as_ref().map(position) >= server.log_end() && is_absent(server, &followed).await
}

/// The leader that this server, a voter, follows and has not heard for too long, while its lease still counts.
fn followed(server: &Consensus) -> Option<Followed> {
    let timings = server.timings();
    let unheard = server.peers().leader_heard()?;
    if unheard < timings.heartbeat / 2 * OVERDUE_HALVES {
        return None;
    }
    let metrics = server.raft().metrics().borrow_watched().clone();
    let vote = metrics.vote.clone();
    let leader = vote.leader_id.voted_for.clone();
    if !vote.committed || leader == *server.id() || metrics.state.is_leader() {
        return None;
    }
    let membership = &metrics.membership_config;
    let voters = membership.membership().voter_ids().count();
    let followers: Vec<_> = membership.membership().voter_ids().filter(|id| *id != leader).collect();
    let rank = followers.iter().position(|id| id == server.id())?;
    let others = followers.iter().filter(|id| *id != server.id()).filter_map(|id| server_of(membership, id)).collect();
    let leader = server_of(membership, &leader)?;
    Some(Followed { vote, leader, voters, rank, others })
}

/// Asks the leader, for at most half a heartbeat: who is there answers sooner, and so does a machine without the process.
async fn is_absent(server: &Consensus, followed: &Followed) -> bool {
    let term = followed.vote.leader_id.term;
    match server.peers().call::<_, Option<u64>>(&followed.leader, Rpc::Leads, &(), server.timings().heartbeat / 2).await {
        Ok(leads_in) => leads_in != Some(term),
        Err(CallError::Absent(_)) => true,
        Err(CallError::Refused(_) | CallError::Unknown(_) | CallError::Removed) => false,
    }
}

impl Consensus {
    /// The term in which this server leads, as far as it knows.
    pub(crate) fn leads_in(&self) -> Option<u64> {
        let metrics = self.raft().metrics().borrow_watched().clone();
        metrics.state.is_leader().then_some(metrics.vote.leader_id.term)
    }
}
