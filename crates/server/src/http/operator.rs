//! What operators ask: who agrees with whom, and tokens for machines that are to join.

use super::{
    Ctx,
    answer::{Failure, Reply},
    proxy,
};
use axum::http::StatusCode;
use floe_api::types::{
    JoinTokenRequest, JoinTokenResponse, LeadershipTransferResponse, OperatorHealthReply, RaftConfiguration, RaftServer, ServerHealth,
};
use floe_consensus::{ChangeError, Consensus, Member, ServerAddress, ServerId, Status};
use floe_control::autopilot;
use floe_model::{Nanos, Timestamp};
use floe_state::{Command, tokens::JoinRole};
use std::time::Duration;

/// How long a token counts, unless the request says otherwise.
const TOKEN_LIFETIME: Nanos = Nanos::from_mins(60);
/// How long this server may take to hear who leads now.
const HEAR_OF_LEADER: Duration = Duration::from_secs(2);
/// How long a token may count.
const MAX_TOKEN_LIFETIME: Nanos = Nanos::from_mins(30 * 24 * 60);

/// The membership as this server knows it.
pub(super) fn configuration(ctx: &Ctx) -> Result<Reply, Failure> {
    let server = ctx.server()?;
    let leader = server.consensus().status().leader.map(|l| l.id);
    let servers = server.consensus().members().into_iter().map(|m| raft_server(&m, leader.as_ref())).collect();
    Reply::plain(&RaftConfiguration { servers, index: server.view().log_index() })
}

fn raft_server(member: &Member, leader: Option<&ServerId>) -> RaftServer {
    RaftServer {
        id: member.id.to_string(),
        node: member.address.name.clone(),
        address: member.address.rpc.clone(),
        leader: leader == Some(&member.id),
        voter: member.is_voter,
        raft_protocol: "3".to_owned(),
    }
}

/// The member that `id` or `address` in the query names.
fn named(ctx: &Ctx) -> Result<Option<Member>, Failure> {
    let given = |name| ctx.query.get(name).filter(|v| !v.is_empty());
    let members = ctx.server()?.consensus().members();
    let unknown = |what: &str| {
        let known: Vec<String> = members.iter().map(|m| format!("{} ({} at {})", m.id, m.address.name, m.address.rpc)).collect();
        Failure::bad(format!("no server {what:?} in the cluster; its members are: {}", known.join(", ")))
    };
    match (given("id"), given("address")) {
        (None, None) => Ok(None),
        (Some(id), None) => members.iter().find(|m| m.id.as_str() == id).cloned().map(Some).ok_or_else(|| unknown(id)),
        (None, Some(address)) => members.iter().find(|m| m.address.rpc == address).cloned().map(Some).ok_or_else(|| unknown(address)),
        (Some(_), Some(_)) => Err(Failure::bad("give id or address of the server, not both")),
    }
}

/// Removes a server for good.
pub(super) async fn remove(ctx: &Ctx) -> Result<Reply, Failure> {
    let member = named(ctx)?.ok_or_else(|| Failure::bad("give id or address of the server to remove"))?;
    // First of all: between the two it must not ask to be a member again.
    ctx.server()?.propose(Command::RefuseAgent { id: member.id.to_string() }).await?;
    let consensus = ctx.server()?.consensus();
    let is_another = member.id != *consensus.id();
    consensus.remove(member.id).await.map_err(failure)?;
    if is_another {
        see_change(consensus).await;
    }
    Reply::plain(&serde_json::Value::Null)
}

/// Waits until this server has the change that the leader made, so that whoever asks it for the members next sees what became of them. It is done
/// in any case.
async fn see_change(consensus: &Consensus) {
    if let Err(error) = consensus.linearizable().await {
        tracing::debug!(%error, "a change of the members was made that this server may not show yet");
    }
}

/// Takes in again a server that was removed for good.
pub(super) async fn add(ctx: &Ctx) -> Result<Reply, Failure> {
    let given = |name: &str| ctx.query.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
    let (Some(id), Some(rpc)) = (given("id"), given("address")) else {
        return Err(Failure::bad("give id and address (host:port) of the server to take in again"));
    };
    if !rpc.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err(Failure::bad(format!("{rpc:?} is no RPC address: give host:port, as list-peers shows those of the others")));
    }
    let server = ctx.server()?;
    let unread = |e: floe_consensus::ReadError| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string());
    let state = server.consensus().linearizable().await.map_err(unread)?;
    let member = server.consensus().members().into_iter().find(|m| m.id.as_str() == id);
    match (&member, state.is_server_refused(&id)) {
        (_, true) => {}
        (Some(member), false) => {
            return Err(Failure::bad(format!("{id} is a member already: {} at {}", member.address.name, member.address.rpc)));
        }
        (None, false) => {
            return Err(Failure::bad(format!(
                "no server {id:?} was removed from this cluster, so it cannot be taken in again; a new server joins with a token (floe server token \
                 -server, given to it as join_token_file)"
            )));
        }
    }
    // In this order: a member is not refused, and who is refused may be tried again.
    if member.is_none() {
        // What it is called, and which version it knows, it says itself when it comes. One of an older build stops by itself.
        let address = ServerAddress::new(id.clone(), rpc);
        server.consensus().add_learner(ServerId::from(id.clone()), address).await.map_err(failure)?;
        see_change(server.consensus()).await;
    }
    server.propose(Command::AcceptServer { id }).await?;
    Reply::plain(&serde_json::Value::Null)
}

/// Refuses a client for good: its certificate counts no more.
pub(super) async fn revoke(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let server = ctx.server()?;
    if let Err(why) = id.parse::<floe_pki::AgentId>() {
        return Err(Failure::bad(format!("revoke node {id:?}: {why}")));
    }
    if server.consensus().members().iter().any(|m| m.id.as_str() == id) {
        return Err(Failure::bad(format!(
            "{id} is a server: it is removed, and refused with that (floe operator raft remove-peer -peer-id {id})"
        )));
    }
    server.propose(Command::RefuseClient { id }).await?;
    Reply::plain(&serde_json::Value::Null)
}

/// Has another server lead.
pub(super) async fn transfer(ctx: &Ctx) -> Result<Reply, Failure> {
    let to = named(ctx)?;
    let consensus = ctx.server()?.consensus();
    let leader_now = || {
        let leader = consensus.status().leader.map(|l| l.id);
        consensus.members().into_iter().find(|m| Some(&m.id) == leader.as_ref()).map(|m| raft_server(&m, leader.as_ref()))
    };
    let from = leader_now();
    consensus.transfer_leadership(to.map(|m| m.id)).await.map_err(failure)?;
    // This server may be the last one to hear of it.
    let mut leadership = consensus.leadership();
    let _ = tokio::time::timeout(HEAR_OF_LEADER, leadership.wait_for(|l| l.leader.is_some())).await;
    let to = leader_now();
    let noop = from == to;
    Reply::plain(&LeadershipTransferResponse { from: from.unwrap_or_default(), to: to.unwrap_or_default(), noop })
}

fn failure(error: ChangeError) -> Failure {
    Failure::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// A token that lets one machine join.
pub(super) async fn join_token(ctx: &Ctx) -> Result<Reply, Failure> {
    let server = ctx.server()?;
    let request = if ctx.body.is_empty() { JoinTokenRequest::default() } else { ctx.decode::<JoinTokenRequest>()?.value };
    let role = match request.role.as_str() {
        "" | "client" => JoinRole::Client,
        "server" => JoinRole::Server,
        other => return Err(Failure::bad(format!("Role {other:?} is neither client nor server"))),
    };
    let ttl = if request.ttl == Nanos::ZERO { TOKEN_LIFETIME } else { request.ttl };
    if ttl < Nanos::ZERO || ttl > MAX_TOKEN_LIFETIME {
        return Err(Failure::bad(format!("TTL {ttl} must be more than 0 and at most {MAX_TOKEN_LIFETIME}")));
    }
    let door = server.door().ok_or_else(|| {
        Failure::bad("this agent speaks in the clear (-dev, or tls.rpc = false), on this machine only: there is nothing to join")
    })?;
    let (token, hash) = door.draw_token(&server.view()).map_err(|(status, why)| Failure::text(status, why))?;
    let expires = Timestamp(server.now().0.saturating_add(ttl.0));
    server.propose(Command::CreateJoinToken { hash, role, expires }).await?;
    let servers = server.rpc_addresses();
    Reply::plain(&JoinTokenResponse { token: token.text().to_string(), role: role.to_string(), expires, servers })
}

/// Whether the servers are well, as the leader sees them.
pub(super) async fn health(ctx: &Ctx) -> Result<Reply, Failure> {
    let server = ctx.server()?;
    let status = server.consensus().status();
    if status.leader.as_ref().is_some_and(|leader| leader.id != status.id) {
        return proxy::to_leader(ctx, "/v1/operator/autopilot/health").await.map(Reply::Raw);
    }
    // A leader has looked at the servers within its first second.
    let looked = tokio::time::timeout(HEAR_OF_LEADER, server.first_look_at_servers()).await.ok().flatten();
    let health = looked.ok_or_else(|| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader"))?;
    let servers: Vec<ServerHealth> = health.servers.iter().map(|h| server_health(h, &status, ctx.agent.version)).collect();
    let reply = OperatorHealthReply {
        healthy: health.healthy,
        failure_tolerance: health.failure_tolerance as u64,
        leader: status.id.to_string(),
        voters: servers.iter().filter(|s| s.voter).map(|s| s.id.clone()).collect(),
        servers,
    };
    let code = if health.healthy { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
    Ok(Reply::plain(&reply)?.with_status(code))
}

fn server_health(health: &autopilot::ServerHealth<String>, status: &Status, version: &str) -> ServerHealth {
    let address = status.peers.iter().find(|p| p.server.id.as_str() == health.id).map(|p| p.server.address.clone()).unwrap_or_default();
    ServerHealth {
        id: health.id.clone(),
        name: address.name,
        address: address.rpc,
        serf_status: if health.healthy { "alive" } else { "failed" }.to_owned(),
        version: version.to_owned(),
        leader: health.is_leader,
        last_contact: health.last_contact.unwrap_or(Nanos::ZERO),
        last_term: status.term,
        last_index: health.last_index.unwrap_or(0),
        healthy: health.healthy,
        voter: health.is_voter,
        stable_since: health.stable_since,
    }
}
