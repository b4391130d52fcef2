//! openraft's messages, over the way to one server.

use super::{
    Rpc,
    peers::{CallError, Peers},
    sending,
};
use crate::{
    Config, Server, ServerAddress, ServerId,
    raft_types::{
        AppendRequest, AppendResponse, OptionalSend, RPCOption, RaftNetworkFactory, RaftNetworkV2, ReplicationClosed, RpcError, Snapshot,
        SnapshotResponse, StreamingError, TransferRequest, TransferResponse, TypeConfig, Unreachable, Vote, VoteRequest, VoteResponse,
    },
};
use floe_store::{
    SnapshotFile,
    planted::{self, Bug},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{future::Future, sync::Arc, time::Duration};

/// Makes links for openraft.
#[derive(Clone)]
pub(crate) struct Network {
    peers: Arc<Peers>,
    append_deadline: Duration,
    piece_bytes: usize,
}

impl Network {
    pub(crate) fn new(peers: Arc<Peers>, config: &Config) -> Self {
        Self { peers, append_deadline: config.timings.election_max, piece_bytes: config.snapshot_piece_bytes.max(1) }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Link;
    async fn new_client(&mut self, target: ServerId, address: &ServerAddress) -> Link {
        let target = Server { id: target, address: address.clone() };
        Link { peers: Arc::clone(&self.peers), target, append_deadline: self.append_deadline, piece_bytes: self.piece_bytes }
    }
}

/// The way to one server.
pub(crate) struct Link {
    pub(super) peers: Arc<Peers>,
    pub(super) target: Server,
    append_deadline: Duration,
    /// How much of a snapshot one call carries.
    pub(super) piece_bytes: usize,
}

impl Link {
    pub(super) async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        rpc: Rpc,
        request: &Q,
        deadline: Duration,
    ) -> Result<A, Unreachable> {
        if self.peers.is_mute() && matches!(rpc, Rpc::Append | Rpc::Snapshot) {
            return Err(Unreachable::from_string("no quorum answers this leader, so it lets the others elect another"));
        }
        self.peers.call(&self.target, rpc, request, deadline).await.map_err(|e: CallError| Unreachable::new(&e))
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = SnapshotFile;

    async fn append_entries(&mut self, request: AppendRequest, option: RPCOption) -> Result<AppendResponse, RpcError> {
        // openraft allows a heartbeat's time, but a follower's disk may take longer to keep entries. An answer that comes after we gave up
        // would have the same entries sent again and again.
        let deadline = if request.entries.is_empty() { option.soft_ttl() } else { self.append_deadline.max(option.soft_ttl()) };
        let answer = self.call(Rpc::Append, &request, deadline).await;
        if planted::is_on(Bug::LostAnswerIsSuccess) {
            return Ok(answer.unwrap_or(AppendResponse::Success));
        }
        Ok(answer?)
    }
    async fn vote(&mut self, request: VoteRequest, option: RPCOption) -> Result<VoteResponse, RpcError> {
        Ok(self.call(Rpc::Vote, &request, option.soft_ttl()).await?)
    }
    async fn pre_vote(&mut self, request: VoteRequest, option: RPCOption) -> Result<VoteResponse, RpcError> {
        Ok(self.call(Rpc::PreVote, &request, option.soft_ttl()).await?)
    }
    async fn transfer_leader(&mut self, request: TransferRequest, option: RPCOption) -> Result<TransferResponse, RpcError> {
        Ok(self.call(Rpc::TransferLeader, &request, option.soft_ttl()).await?)
    }
    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError> {
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = sending::send(self, vote, snapshot.snapshot) => sent,
        }
    }
}
