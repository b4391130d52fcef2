//! How servers call each other: a transport carries bytes, this module knows what they say.
//!
//! Today a cluster has one voter, and [`NoTransport`] reaches nobody. A transport that does reach others implements [`Transport`] and hands
//! what it receives to [`crate::Consensus::handle`]. Sending a snapshot to another server is not supported yet, and says so.

use crate::{
    ServerAddress, ServerId, StopReason, codec,
    raft_types::{
        AppendRequest, AppendResponse, OptionalSend, RPCOption, Raft, RaftNetworkFactory, RaftNetworkV2, ReplicationClosed, RpcError,
        Snapshot, SnapshotResponse, StreamingError, TransferRequest, TransferResponse, TypeConfig, Unreachable, Vote, VoteRequest,
        VoteResponse,
    },
};
use floe_store::SnapshotFile;
use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use std::{future::Future, sync::Arc, time::Duration};

/// What one server asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// Take entries, or just hear that the leader lives.
    Append,
    /// Vote.
    Vote,
    /// Say whether you would vote.
    PreVote,
    /// Lead in my place.
    TransferLeader,
}

/// A call did not come through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("call server {target}: {reason}")]
pub struct TransportError {
    /// The server.
    pub target: ServerId,
    /// Why.
    pub reason: String,
}

/// Carries calls. An implementation tells the receiver for whom the call is, and resolves the address at every call: `address` is what the
/// membership said when the connection was made, and may be old.
pub trait Transport: Send + Sync + 'static {
    /// Sends `body` to [`crate::Consensus::handle`] of the target and returns its answer, within `deadline`.
    fn call<'a>(
        &'a self,
        target: &'a ServerId,
        address: &'a ServerAddress,
        rpc: Rpc,
        body: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, TransportError>>;
}

/// Reaches nobody: for a cluster of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTransport;

impl Transport for NoTransport {
    fn call<'a>(
        &'a self,
        target: &'a ServerId,
        _address: &'a ServerAddress,
        _rpc: Rpc,
        _body: Vec<u8>,
        _deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, TransportError>> {
        let reason = "clusters of more than one server are not supported yet".to_owned();
        Box::pin(std::future::ready(Err(TransportError { target: target.clone(), reason })))
    }
}

/// A call from another server cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// It is for another server: the caller has an old address.
    #[error("answer call: it is for server {target}, but this is {own}")]
    WrongTarget {
        /// For whom it is.
        target: ServerId,
        /// Who this is.
        own: ServerId,
    },
    /// The bytes say nothing that this build understands.
    #[error("answer call {rpc:?}: its body cannot be understood")]
    Malformed {
        /// What was asked.
        rpc: Rpc,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This server stopped.
    #[error("answer call: {0}")]
    Stopped(StopReason),
}

/// Makes links for openraft.
#[derive(Clone)]
pub(crate) struct Network {
    transport: Arc<dyn Transport>,
}

impl Network {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Link;
    async fn new_client(&mut self, target: ServerId, address: &ServerAddress) -> Link {
        Link { transport: Arc::clone(&self.transport), target, address: address.clone() }
    }
}

/// The way to one server.
pub(crate) struct Link {
    transport: Arc<dyn Transport>,
    target: ServerId,
    address: ServerAddress,
}

impl Link {
    async fn call<Q: Serialize, A: DeserializeOwned>(&self, rpc: Rpc, request: &Q, option: &RPCOption) -> Result<A, Unreachable> {
        let body = codec::encode("call", request).map_err(|e| Unreachable::new(&e))?;
        let answer = self.transport.call(&self.target, &self.address, rpc, body, option.soft_ttl()).await;
        codec::decode("answer", &answer.map_err(|e| Unreachable::new(&e))?).map_err(|e| Unreachable::new(&e))
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = SnapshotFile;

    async fn append_entries(&mut self, request: AppendRequest, option: RPCOption) -> Result<AppendResponse, RpcError> {
        Ok(self.call(Rpc::Append, &request, &option).await?)
    }
    async fn vote(&mut self, request: VoteRequest, option: RPCOption) -> Result<VoteResponse, RpcError> {
        Ok(self.call(Rpc::Vote, &request, &option).await?)
    }
    async fn pre_vote(&mut self, request: VoteRequest, option: RPCOption) -> Result<VoteResponse, RpcError> {
        Ok(self.call(Rpc::PreVote, &request, &option).await?)
    }
    async fn transfer_leader(&mut self, request: TransferRequest, option: RPCOption) -> Result<TransferResponse, RpcError> {
        Ok(self.call(Rpc::TransferLeader, &request, &option).await?)
    }
    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError> {
        Err(Unreachable::from_string("sending a snapshot to another server is not supported yet").into())
    }
}

/// Answers a call of another server.
pub(crate) async fn answer(raft: &Raft, rpc: Rpc, body: &[u8], stopped: impl Fn() -> StopReason) -> Result<Vec<u8>, HandleError> {
    match rpc {
        Rpc::Append => encoded(rpc, raft.append_entries(decoded(rpc, body)?).await.map_err(|_| HandleError::Stopped(stopped()))?),
        Rpc::Vote => encoded(rpc, raft.vote(decoded(rpc, body)?).await.map_err(|_| HandleError::Stopped(stopped()))?),
        Rpc::PreVote => encoded(rpc, raft.pre_vote(decoded(rpc, body)?).await.map_err(|_| HandleError::Stopped(stopped()))?),
        Rpc::TransferLeader => {
            encoded(rpc, raft.handle_transfer_leader(decoded(rpc, body)?).await.map_err(|_| HandleError::Stopped(stopped()))?)
        }
    }
}

fn decoded<Q: DeserializeOwned>(rpc: Rpc, body: &[u8]) -> Result<Q, HandleError> {
    codec::decode("call", body).map_err(|e| HandleError::Malformed { rpc, source: Box::new(e) })
}

fn encoded<A: Serialize>(rpc: Rpc, answer: A) -> Result<Vec<u8>, HandleError> {
    codec::encode("answer", &answer).map_err(|e| HandleError::Malformed { rpc, source: Box::new(e) })
}
