//! The RPC port: what nodes ask. The API is served here too, so that an agent without a server part can pass requests on.
//!
//! Today the port speaks plain HTTP/2 and must therefore stay on loopback: the agent refuses any other address.

use crate::{
    http::{self, Agent},
    server::Server,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State as Shared,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use floe_api::rpc::{self, Desired, Heartbeat, KEEPALIVE_MS, Lease, MAX_REPORTED, RegisterNode, Report, WatchDesired};
use floe_model::{AllocId, Node, NodeId, NodeStatus};
use floe_state::{Command, State};
use futures::stream;
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, time::Duration};

/// The RPC port as a service.
pub fn router(server: Server, agent: Agent) -> Router {
    let own = Router::new()
        .route(rpc::REGISTER, post(register))
        .route(rpc::HEARTBEAT, post(heartbeat))
        .route(rpc::REPORT, post(report))
        .route(rpc::DESIRED, post(desired))
        .layer(axum::extract::DefaultBodyLimit::max(floe_api::MAX_RPC_FRAME_BYTES))
        .with_state(server);
    own.merge(http::router(agent))
}

type Failure = (StatusCode, String);

fn decode<T: DeserializeOwned>(body: &Bytes) -> Result<T, Failure> {
    rmp_serde::from_slice(body).map_err(|e| (StatusCode::BAD_REQUEST, format!("decode request: {e}")))
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    rmp_serde::to_vec_named(value).map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, format!("encode answer: {e}")))
}

fn unavailable(error: impl std::fmt::Display) -> Failure {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

async fn register(Shared(server): Shared<Server>, body: Bytes) -> Result<Response, Failure> {
    let node = check(decode::<RegisterNode>(&body)?.node)?;
    let id = node.id.clone();
    server.propose(Command::RegisterNode { node: Box::new(node) }).await.map_err(unavailable)?;
    lease(&server, id, false).await
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

async fn heartbeat(Shared(server): Shared<Server>, body: Bytes) -> Result<Response, Failure> {
    let id = decode::<Heartbeat>(&body)?.node_id;
    // A node that counts as down must register again, so that what it can do now is known and its jobs are looked at.
    let known = server.view().node(&id).is_some_and(|n| n.status != NodeStatus::Down);
    lease(&server, id, !known).await
}

async fn lease(server: &Server, id: NodeId, unknown: bool) -> Result<Response, Failure> {
    let ttl_ms = if unknown { 0 } else { server.leader().heard(id).await.ok_or_else(|| unavailable("this server does not lead"))? };
    Ok(encode(&Lease { ttl_ms, unknown })?.into_response())
}

async fn report(Shared(server): Shared<Server>, body: Bytes) -> Result<Response, Failure> {
    let report: Report = decode(&body)?;
    if report.allocs.len() > MAX_REPORTED {
        return Err((
            StatusCode::BAD_REQUEST,
            format!("report of {} allocations is longer than the limit of {MAX_REPORTED}", report.allocs.len()),
        ));
    }
    server.reports().write(report).await.map_err(unavailable)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn desired(Shared(server): Shared<Server>, body: Bytes) -> Result<Response, Failure> {
    let watch: WatchDesired = decode(&body)?;
    if server.view().node(&watch.node_id).is_none() {
        return Err((StatusCode::NOT_FOUND, format!("node {:?} is not registered", watch.node_id)));
    }
    let watcher = Watcher { changes: server.consensus().watch(), server, node: watch.node_id, known: watch.known, first: true };
    let frames = stream::try_unfold(watcher, |mut w| async move { Ok::<_, std::io::Error>(w.next().await?.map(|frame| (frame, w))) });
    Ok(Body::from_stream(frames).into_response())
}

/// One node's stream: what it knows, and what it is told next.
struct Watcher {
    server: Server,
    changes: tokio::sync::watch::Receiver<State>,
    node: NodeId,
    known: BTreeMap<AllocId, u64>,
    first: bool,
}

impl Watcher {
    /// The next frame: a change, or a sign of life. `None` when the server stops.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        let keepalive = tokio::time::sleep(Duration::from_millis(KEEPALIVE_MS));
        tokio::pin!(keepalive);
        loop {
            self.changes.borrow_and_update();
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
