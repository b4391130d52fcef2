//! What this server answers to the others.

use super::{
    HandleError, Rpc,
    wire::{Answer, Candidacy, ChangeRequest, Farewell, Piece, Proposal, Received},
};
use crate::{
    Consensus, ServerId, absence, codec,
    raft_types::{AppendRequest, AppendResponse, LogId, TransferRequest, VoteRequest, WatchReceiver, log_id, position},
};
use floe_store::{
    Position,
    planted::{self, Bug},
};
use serde::{Serialize, de::DeserializeOwned};

/// Answers a call that was for this server.
pub(crate) async fn answer(server: &Consensus, rpc: Rpc, body: &[u8]) -> Result<Vec<u8>, HandleError> {
    let stopped = || HandleError::Stopped(server.stop_reason());
    match rpc {
        Rpc::Append => {
            let call: Received<AppendRequest> = admit(server, rpc, body).await?;
            let answer = server.raft().append_entries(call.request).await.map_err(|_| stopped())?;
            if !matches!(answer, AppendResponse::HigherVote(_)) {
                server.peers().hear_leader();
            }
            encoded(rpc, Answer::Done(answer))
        }
        Rpc::Vote | Rpc::PreVote => {
            let mut call: Received<VoteRequest> = admit(server, rpc, body).await?;
            if planted::is_on(Bug::ShortLogGetsVotes) {
                call.request.last_log_id = Some(log_id(Position { term: u64::MAX, index: u64::MAX }));
            }
            if is_gone(server, &call.from, call.request.last_log_id.as_ref()) {
                return encoded(rpc, Answer::<()>::Removed);
            }
            let raft = server.raft();
            let answer = if rpc == Rpc::Vote { raft.vote(call.request).await } else { raft.pre_vote(call.request).await };
            encoded(rpc, Answer::Done(answer.map_err(|_| stopped())?))
        }
        Rpc::TransferLeader => {
            let call: Received<TransferRequest> = admit(server, rpc, body).await?;
            encoded(rpc, Answer::Done(server.raft().handle_transfer_leader(call.request).await.map_err(|_| stopped())?))
        }
        Rpc::Snapshot => {
            let call: Received<Piece> = admit(server, rpc, body).await?;
            encoded(rpc, Answer::Done(server.receiving().take(server.raft(), call.request).await))
        }
        Rpc::Candidacy => {
            let call: Received<Candidacy> = admit(server, rpc, body).await?;
            encoded(rpc, Answer::Done(absence::agrees(server, &call.request).await))
        }
        Rpc::Leads => {
            let _call: Received<()> = admit(server, rpc, body).await?;
            encoded(rpc, Answer::Done(server.leads_in()))
        }
        Rpc::Propose | Rpc::ReadIndex | Rpc::Change => forwarded(server, rpc, body).await,
        Rpc::Removed => {
            let call: Received<Farewell> = admit(server, rpc, body).await?;
            tracing::info!(leader = %call.request.leader, "the leader says that this server was removed");
            server.peers().set_removed();
            encoded(rpc, Answer::Done(()))
        }
    }
}

/// What another server was asked and passes on to the leader.
async fn forwarded(server: &Consensus, rpc: Rpc, body: &[u8]) -> Result<Vec<u8>, HandleError> {
    match rpc {
        Rpc::Propose => {
            let call: Received<Proposal> = admit(server, rpc, body).await?;
            if is_stranger(server, &call.from) {
                return encoded(rpc, Answer::<()>::Removed);
            }
            let answer = server.propose_for(call.request).await;
            encoded(rpc, Answer::Done(answer.map_err(|e| HandleError::Malformed { rpc, source: Box::new(e) })?))
        }
        Rpc::Change => {
            let call: Received<ChangeRequest> = admit(server, rpc, body).await?;
            if is_stranger(server, &call.from) {
                return encoded(rpc, Answer::<()>::Removed);
            }
            encoded(rpc, Answer::Done(server.change_for(call.request).await))
        }
        _ => {
            let call: Received<()> = admit(server, rpc, body).await?;
            if is_stranger(server, &call.from) {
                return encoded(rpc, Answer::<()>::Removed);
            }
            encoded(rpc, Answer::Done(server.read_index_for().await))
        }
    }
}

/// Reads a call and checks that it may be answered. A server that is in no cluster enters the one that sends it entries.
async fn admit<Q: DeserializeOwned>(server: &Consensus, rpc: Rpc, body: &[u8]) -> Result<Received<Q>, HandleError> {
    let call: Received<Q> = codec::decode("call", body).map_err(|e| HandleError::Malformed { rpc, source: Box::new(e) })?;
    match (server.peers().cluster(), &call.cluster) {
        (Some(own), Some(theirs)) if own == theirs => Ok(call),
        (Some(own), theirs) => {
            let theirs = theirs.as_ref().map_or_else(|| "(none)".to_owned(), ToString::to_string);
            Err(HandleError::ForeignCluster { from: call.from, theirs, own: own.clone() })
        }
        (None, _) if call.to_voter && !planted::is_on(Bug::LostLogVotes) => {
            let lost = HandleError::LostLog { own: server.id().clone() };
            tracing::error!("{lost}");
            Err(lost)
        }
        (None, Some(theirs)) if matches!(rpc, Rpc::Append | Rpc::Snapshot) => {
            server.enter(theirs.clone()).await.map_err(HandleError::Stopped)?;
            Ok(call)
        }
        (None, _) => Ok(call),
    }
}

/// Whether a candidate was removed, and has not heard of it: what it says it has in its log ends before the change that it is not in.
fn is_gone(server: &Consensus, candidate: &ServerId, last: Option<&LogId>) -> bool {
    let metrics = server.raft().metrics().borrow_watched().clone();
    let membership = &metrics.committed_membership_config;
    let is_newer = membership.log_id().as_ref().map(|id| position(id).index) > last.map(|id| position(id).index);
    is_newer && membership.membership().get_node(candidate).is_none()
}

/// Whether a caller is no member, as a leader knows for sure.
fn is_stranger(server: &Consensus, caller: &ServerId) -> bool {
    let metrics = server.raft().metrics().borrow_watched().clone();
    server.leadership().borrow().is_leader && metrics.committed_membership_config.membership().get_node(caller).is_none()
}

fn encoded<A: Serialize>(rpc: Rpc, answer: Answer<A>) -> Result<Vec<u8>, HandleError> {
    codec::encode("answer", &answer).map_err(|e| HandleError::Malformed { rpc, source: Box::new(e) })
}
