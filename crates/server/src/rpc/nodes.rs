//! What nodes ask: registration, heartbeats, reports, and the stream of what they should run.

use super::{Failure, Members, decode, encode, unavailable};
use crate::server::Server;
use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State as Shared,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use floe_api::rpc::{self, Desired, Heartbeat, KEEPALIVE_MS, Lease, MAX_REPORTED, RegisterNode, Report, WatchDesired};
use floe_model::{AllocId, Node, NodeId, NodeStatus};
use floe_rpc::Caller;
use floe_state::{Command, State};
use futures::stream;
use std::{collections::BTreeMap, time::Duration};

pub(super) async fn register(
    Shared(members): Shared<Members>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let node = check(decode::<RegisterNode>(&body)?.node)?;
    speaks_for(&caller, &node.id)?;
    if !members.server.leads() {
        return members.to_leader(rpc::REGISTER, &headers, body).await;
    }
    let id = node.id.clone();
    members.server.propose(Command::RegisterNode { node: Box::new(node) }).await.map_err(unavailable)?;
    lease(&members.server, id, false).await
}

/// A node speaks for itself only; a server passes on what nodes say.
fn speaks_for(caller: &Caller, node: &NodeId) -> Result<(), Failure> {
    match caller {
        Caller::Member(peer) if peer.role == floe_pki::Role::Client && peer.id.to_string() != node.as_str() => {
            Err((StatusCode::FORBIDDEN, format!("node {} cannot speak for node {node}", peer.id)))
        }
        _ => Ok(()),
    }
}

/// What a node says of itself must make sense before it gets into the state.
fn check(mut node: Node) -> Result<Node, Failure> {
    let missing = [("id", node.id.is_empty()), ("name", node.name.is_empty()), ("datacenter", node.datacenter.is_empty())];
    if let Some((field, _)) = missing.into_iter().find(|(_, empty)| *empty) {
        return Err((StatusCode::BAD_REQUEST, format!("register node: {field} is missing")));
    }
    if node.node_pool.is_empty() {
        floe_model::ids::DEFAULT_NODE_POOL.clone_into(&mut node.node_pool);
    }
    Ok(node)
}

pub(super) async fn heartbeat(
    Shared(members): Shared<Members>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let id = decode::<Heartbeat>(&body)?.node_id;
    speaks_for(&caller, &id)?;
    let server = &members.server;
    if !server.leads() {
        return members.to_leader(rpc::HEARTBEAT, &headers, body).await;
    }
    let view = server.view();
    // A node that counts as down must register again, so that what it can do now is known and its jobs are looked at. So must one whose row came
    // back with a restore: it may be older than the node, and so may be what is known of its allocations.
    let restored = view.restored().index;
    let known = view.node(&id).is_some_and(|n| n.status != NodeStatus::Down && (restored == 0 || n.modify_index > restored));
    lease(server, id, !known).await
}

async fn lease(server: &Server, id: NodeId, unknown: bool) -> Result<Response, Failure> {
    let ttl_ms = if unknown { 0 } else { server.leader().heard(id).await.ok_or_else(|| unavailable("this server does not lead"))? };
    Ok(encode(&Lease { ttl_ms, unknown, servers: server.rpc_addresses() })?.into_response())
}

pub(super) async fn report(
    Shared(members): Shared<Members>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Failure> {
    let report: Report = decode(&body)?;
    speaks_for(&caller, &report.node_id)?;
    if report.allocs.len() > MAX_REPORTED {
        return Err((
            StatusCode::BAD_REQUEST,
            format!("report of {} allocations is longer than the limit of {MAX_REPORTED}", report.allocs.len()),
        ));
    }
    members.server.reports().write(report).await.map_err(unavailable)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn desired(
    Shared(members): Shared<Members>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Failure> {
    let watch: WatchDesired = decode(&body)?;
    speaks_for(&caller, &watch.node_id)?;
    let server = members.server;
    if server.view().node(&watch.node_id).is_none() {
        return Err((StatusCode::NOT_FOUND, format!("node {:?} is not registered", watch.node_id)));
    }
    let changes = server.consensus().watch();
    let watcher = Watcher { changes, server, node: watch.node_id, known: watch.known, not_before: watch.index, first: true };
    let frames = stream::try_unfold(watcher, |mut w| async move { Ok::<_, std::io::Error>(w.next().await?.map(|frame| (frame, w))) });
    Ok(Body::from_stream(frames).into_response())
}

/// One node's stream: what it knows, and what it is told next.
struct Watcher {
    server: Server,
    changes: tokio::sync::watch::Receiver<State>,
    node: NodeId,
    known: BTreeMap<AllocId, u64>,
    /// What another server told the node already.
    not_before: u64,
    first: bool,
}

impl Watcher {
    /// The next frame: a change, or a sign of life. `None` when the server stops.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        let keepalive = tokio::time::sleep(Duration::from_millis(KEEPALIVE_MS));
        tokio::pin!(keepalive);
        loop {
            self.changes.borrow_and_update();
            if self.server.view().is_agent_refused(self.node.as_str()) {
                return Ok(None);
            }
            if let Some(desired) = self.news(&self.server.view()) {
                self.known.clone_from(&desired.allocs);
                self.first = false;
                let message = rmp_serde::to_vec_named(&desired).map_err(std::io::Error::other)?;
                return rpc::frame(&message).map(Some).map_err(std::io::Error::other);
            }
            tokio::select! {
                changed = self.changes.changed() => if changed.is_err() { return Ok(None) },
                () = &mut keepalive => return rpc::frame(&[]).map(Some).map_err(std::io::Error::other),
                () = self.server.stopping().cancelled() => return Ok(None),
            }
        }
    }

    /// What the node does not know yet; `None` when it knows everything.
    fn news(&self, state: &State) -> Option<Desired> {
        if state.index() < self.not_before {
            return None;
        }
        let mut desired = Desired { index: state.index(), ..Desired::default() };
        for alloc in state.allocs_of_node(&self.node) {
            desired.allocs.insert(alloc.id.clone(), alloc.alloc_modify_index);
            if self.known.get(&alloc.id) != Some(&alloc.alloc_modify_index) {
                desired.changed.push((**alloc).clone());
            }
        }
        (self.first || desired.allocs != self.known).then_some(desired)
    }
}
