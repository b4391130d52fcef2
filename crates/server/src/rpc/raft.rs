//! What servers ask of each other.

use super::{Failure, Members, decode, encode, unavailable};
use crate::peers;
use axum::{
    Extension,
    body::Bytes,
    extract::{Path, State as Shared},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use floe_api::rpc::{self, HereIsServer, Servers};
use floe_consensus::{Rpc, ServerAddress, ServerId};
use floe_rpc::Caller;

/// A call of the consensus.
pub(super) async fn call(
    Shared(members): Shared<Members>,
    Path(kind): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let header = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let known = Rpc::ALL.into_iter().find(|rpc| rpc.name() == kind);
    let rpc = known.ok_or_else(|| (StatusCode::NOT_FOUND, format!("no such call: {kind}; the caller is of a newer version")))?;
    let target = header(rpc::TARGET_HEADER).ok_or_else(|| (StatusCode::BAD_REQUEST, format!("{} is missing", rpc::TARGET_HEADER)))?;
    let answer = members.server.consensus().handle(&ServerId::from(target.to_owned()), rpc, &body).await;
    // Whatever the reason: nothing was done, and the caller counts on that with this status.
    answer.map(IntoResponse::into_response).map_err(|error| (StatusCode::MISDIRECTED_REQUEST, error.to_string()))
}

/// A server says where it is. One that is no member becomes a learner; autopilot makes it a voter when it has caught up.
pub(super) async fn here_is_server(
    Shared(members): Shared<Members>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Failure> {
    let Caller::Member(peer) = caller else {
        return Err((StatusCode::FORBIDDEN, "servers are known by their certificates, and this port speaks in the clear".to_owned()));
    };
    let here: HereIsServer = decode(&body)?;
    let id = ServerId::from(peer.id.to_string());
    of_one_agreement(&members, &id, &here)?;
    let address = ServerAddress { name: here.name, rpc: here.rpc, version: here.version };
    let consensus = members.server.consensus();
    consensus.learn_address(id.clone(), address.clone());
    let known = consensus.members();
    let is_member = known.iter().any(|m| m.id == id && m.address == address);
    if !is_member && !known.is_empty() {
        consensus.add_learner(id, address).await.map_err(unavailable)?;
    }
    let own = peers::here(consensus, &members.peers, &members.server.config().name);
    Ok(encode(&Servers { id: consensus.id().to_string(), own, is_member })?.into_response())
}

/// Refuses a server whose log is of another agreement: one of the two goes on from a backup of the other, or from what was left of it, and has the same
/// authority, so certificates do not tell them apart.
fn of_one_agreement(members: &Members, id: &ServerId, here: &HereIsServer) -> Result<(), Failure> {
    let consensus = members.server.consensus();
    let Some(own) = consensus.cluster().filter(|own| !here.cluster.is_empty() && own.as_str() != here.cluster) else { return Ok(()) };
    let who = format!("server {id} ({} at {}) is of cluster {}", here.name, here.rpc, here.cluster);
    let (status, why) = if members.server.view().is_agent_refused(&here.cluster) {
        (
            StatusCode::GONE,
            format!(
                "{who}, from a backup of which this cluster {own} goes on: it is not taken in with what it has; stop it, remove its data folder, and let \
                 it join as a new server with a token (floe server token -server)"
            ),
        )
    } else {
        (
            StatusCode::CONFLICT,
            format!(
                "{who}, and {} of cluster {own}, under the same authority: one of the two was recovered from the other, or from a backup of it; stop the \
                 servers of the one that is over, remove their data folders, and let them join the other with tokens (floe server token -server)",
                members.server.config().name
            ),
        )
    };
    if members.foreigners.is_new(id.as_str()) {
        tracing::warn!("{why}");
    }
    Err((status, why))
}
