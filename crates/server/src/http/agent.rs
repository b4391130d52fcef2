//! The agent itself: who it is, whether it is well, and who the members of the cluster are.

use super::{
    Agent, Ctx,
    answer::{Failure, Reply},
    proxy,
};
use crate::server::Server;
use axum::http::StatusCode;
use floe_api::types::{AgentHealth, AgentMember, AgentSelf, PartHealth, ServerMembers};
use floe_consensus::{Server as Peer, ServerId};
use floe_control::autopilot::Health;
use floe_model::StringMap;
use floe_pki::Lag;
use std::collections::BTreeMap;

pub(super) fn leader(ctx: &Ctx) -> Result<Reply, Failure> {
    let status = ctx.server()?.consensus().status();
    match status.leader {
        Some(leader) => Reply::plain(&leader.address.rpc),
        None => Err(Failure::text(StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader")),
    }
}

pub(super) fn peers(ctx: &Ctx) -> Result<Reply, Failure> {
    let status = ctx.server()?.consensus().status();
    Reply::plain(&status.peers.iter().map(|p| p.server.address.rpc.clone()).collect::<Vec<_>>())
}

pub(super) fn regions(ctx: &Ctx) -> Result<Reply, Failure> {
    Reply::plain(&[ctx.server()?.config().region.as_str()])
}

/// Only the leader knows who is alive; without one this server says what it knows of itself.
pub(super) async fn members(ctx: &Ctx) -> Result<Reply, Failure> {
    let server = ctx.server()?;
    let status = server.consensus().status();
    let health = server.servers_health();
    let other_leads = status.leader.as_ref().is_some_and(|leader| leader.id != status.id);
    if other_leads && !ctx.passed_on {
        return proxy::to_leader(ctx, "/v1/agent/members").await.map(Reply::Raw);
    }
    let members = status.peers.iter().map(|p| AgentMember {
        status: liveness(&p.server, &status.id, health.as_ref()).to_owned(),
        ..member(server, &p.server, ctx.agent.version)
    });
    let members = members.collect();
    Reply::plain(&ServerMembers {
        server_name: server.config().name.clone(),
        server_region: server.config().region.clone(),
        server_dc: server.config().datacenter.clone(),
        members,
    })
}

fn liveness(peer: &Peer, own: &ServerId, health: Option<&Health<String>>) -> &'static str {
    let known = health.and_then(|h| h.servers.iter().find(|s| s.id == peer.id.as_str()));
    match known {
        Some(server) if server.healthy => "alive",
        Some(_) => "failed",
        None if peer.id == *own => "alive",
        None => "none",
    }
}

fn member(server: &Server, peer: &Peer, version: &str) -> AgentMember {
    let config = server.config();
    let (host, port) = peer.address.rpc.rsplit_once(':').unwrap_or((&peer.address.rpc, ""));
    let tag = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    AgentMember {
        name: format!("{}.{}", peer.address.name, config.region),
        addr: host.trim_matches(['[', ']']).to_owned(),
        port: port.parse().unwrap_or(0),
        tags: StringMap::from([
            tag("role", "nomad"),
            tag("region", &config.region),
            tag("dc", &config.datacenter),
            tag("id", peer.id.as_str()),
            tag("build", version),
            // The newest commands that this member itself said that it knows.
            tag("cluster_version", &peer.address.known_version().to_string()),
            tag("port", port),
            tag("raft_vsn", "3"),
        ]),
        status: "alive".to_owned(),
        protocol_min: 1,
        protocol_max: 5,
        protocol_cur: 2,
        delegate_min: 2,
        delegate_max: 5,
        delegate_cur: 4,
    }
}

/// What a server that is well says. That it cannot open a root key, or that its clock is wrong, keeps it from nothing else, yet.
fn well(server: &Server, lag: Option<&Lag>) -> String {
    let closed = server.root_keys().closed();
    let mut but = Vec::new();
    if let Some((id, why)) = closed.iter().next() {
        but.push(format!("{} root keys cannot be opened here; the first, {id}: {why}", closed.len()));
    }
    but.extend(lag.map(Lag::to_string));
    if but.is_empty() { "ok".to_owned() } else { format!("ok, but {}", but.join("; and ")) }
}

/// What an agent that is not well says, with what its clock may have to do with it.
fn unwell(why: &str, lag: Option<&Lag>) -> String {
    lag.map_or_else(|| why.to_owned(), |lag| format!("{why}; {lag}"))
}

/// Whether the parts of an agent are well.
pub(super) fn health(agent: &Agent) -> AgentHealth {
    let lag = agent.security.lag();
    let server = agent.server.as_ref().map(|s| match s.consensus().status().leader {
        Some(_) => PartHealth { ok: true, message: well(s, lag.as_ref()) },
        None => PartHealth { ok: false, message: unwell("No cluster leader", lag.as_ref()) },
    });
    let client = agent.node.get().map(|node| match node.health() {
        health if health.ok => health,
        health => PartHealth { message: unwell(&health.message, lag.as_ref()), ..health },
    });
    AgentHealth { client, server }
}

pub(super) fn health_reply(ctx: &Ctx) -> Result<Reply, Failure> {
    let mut health = health(&ctx.agent);
    match ctx.query.get("type") {
        Some("client") => health.server = None,
        Some("server") => health.client = None,
        Some("") | None => {}
        Some(other) => return Err(Failure::bad(format!("type {other:?} is neither client nor server"))),
    }
    let ok = [&health.client, &health.server].into_iter().flatten().all(|p| p.ok);
    let status = if ok { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    Ok(Reply::plain(&health)?.with_status(status))
}

pub(super) async fn about(ctx: &Ctx) -> Result<Reply, Failure> {
    let mut stats: BTreeMap<String, StringMap> = BTreeMap::new();
    let entry = |k: &str, v: String| (k.to_owned(), v);
    stats.insert(
        "floe".to_owned(),
        StringMap::from([entry("server", ctx.agent.server.is_some().to_string()), entry("version", ctx.agent.version.to_owned())]),
    );
    let mut about = AgentSelf { config: (*ctx.agent.config).clone(), ..AgentSelf::default() };
    if let Some(server) = &ctx.agent.server {
        let status = server.consensus().status();
        if let Some(me) = status.peers.iter().find(|p| p.server.id == status.id) {
            about.member = member(server, &me.server, ctx.agent.version);
        }
        stats.insert(
            "raft".to_owned(),
            StringMap::from([
                entry("term", status.term.to_string()),
                entry("applied_index", server.view().log_index().to_string()),
                entry("num_peers", status.peers.len().saturating_sub(1).to_string()),
                entry("leader", status.leader.as_ref().is_some_and(|l| l.id == status.id).to_string()),
            ]),
        );
        let counts = server.leader().counts().await;
        stats.insert(
            "broker".to_owned(),
            StringMap::from([entry("ready", counts.broker.ready.to_string()), entry("blocked", counts.blocked.to_string())]),
        );
    }
    if let Some(node) = ctx.agent.node.get() {
        let known_servers = ctx.agent.servers.all().join(",");
        stats.insert(
            "client".to_owned(),
            StringMap::from([entry("node_id", node.node_id().to_string()), entry("known_servers", known_servers)]),
        );
    }
    about.stats = stats;
    Reply::plain(&about)
}
