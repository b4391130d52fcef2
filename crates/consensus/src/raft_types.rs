//! openraft's types with ours filled in, so that a new openraft changes one file. Nothing outside this crate needs them.

use crate::{ServerAddress, ServerId, executor::Runtime, machine::Machine, wish::Wish};
use floe_store::Position;

openraft::declare_raft_types!(
    /// Which types openraft works with.
    pub(crate) TypeConfig:
        D = Wish,
        R = crate::machine::Answered,
        NodeId = ServerId,
        Node = ServerAddress,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, ServerId>,
        AsyncRuntime = Runtime,
);

pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type Payload = openraft::EntryPayload<Wish, ServerId, ServerAddress>;
pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<ServerId, ServerAddress>;
pub(crate) type Precondition = openraft::raft::Precondition<TypeConfig>;
pub(crate) type ChangeMembershipError = openraft::errors::ChangeMembershipError<openraft::alias::CommittedLeaderIdOf<TypeConfig>, ServerId>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot = openraft::alias::SnapshotOf<TypeConfig, floe_store::SnapshotFile>;
pub(crate) type IoFlushed = openraft::storage::IOFlushed<TypeConfig>;
pub(crate) type EntryResponder = openraft::storage::EntryResponder<TypeConfig>;
pub(crate) type ApplyResponder = openraft::storage::ApplyResponder<TypeConfig>;
pub(crate) type LogState = openraft::storage::LogState<TypeConfig>;
pub(crate) type Metrics = openraft::RaftMetrics<TypeConfig>;
pub(crate) type ServerMetrics = openraft::metrics::RaftServerMetrics<TypeConfig>;
pub(crate) type Raft = openraft::Raft<TypeConfig, Machine>;
pub(crate) type RpcError = openraft::errors::RPCError<TypeConfig>;
pub(crate) type StreamingError = openraft::errors::StreamingError<TypeConfig>;
pub(crate) type Unreachable = openraft::errors::Unreachable<TypeConfig>;
pub(crate) type ClientWriteError = openraft::errors::ClientWriteError<TypeConfig>;
pub(crate) type LinearizableReadError = openraft::errors::LinearizableReadError<TypeConfig>;
pub(crate) type AppendRequest = openraft::raft::AppendEntriesRequest<TypeConfig>;
pub(crate) type AppendResponse = openraft::raft::AppendEntriesResponse<TypeConfig>;
pub(crate) type VoteRequest = openraft::raft::VoteRequest<TypeConfig>;
pub(crate) type VoteResponse = openraft::raft::VoteResponse<TypeConfig>;
pub(crate) type TransferRequest = openraft::raft::TransferLeaderRequest<TypeConfig>;
pub(crate) type TransferResponse = openraft::raft::TransferLeaderResponse<TypeConfig>;
pub(crate) type SnapshotResponse = openraft::raft::SnapshotResponse<TypeConfig>;
pub(crate) use openraft::{
    ChangeMembers, Instant, OptionalSend, RaftLogReader, RaftNetworkFactory, RaftSnapshotBuilder, ReadPolicy, ServerState,
    async_runtime::watch::WatchReceiver,
    errors::{RaftError, ReplicationClosed},
    network::{RPCOption, v2::RaftNetworkV2},
    storage::{RaftLogStorage, RaftStateMachine},
};

pub(crate) fn position(id: &LogId) -> Position {
    Position { term: id.committed_leader_id().term, index: id.index() }
}

pub(crate) fn log_id(position: Position) -> LogId {
    LogId::new_term_index(position.term, position.index)
}
