//! What nodes ask: registration, heartbeats, reports, and the stream of what they should run.

use super::{Failure, Members, REMOVED, decode, encode, unavailable};
use crate::{
    nodes::{self, Told},
    server::Server,
};
use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State as Shared,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use floe_api::rpc::{self, Heartbeat, KEEPALIVE_MS, Lease, MAX_REPORTED, RegisterNode, Report, WatchDesired};
use floe_model::NodeId;
use floe_rpc::Caller;
use floe_state::State;
use futures::stream;
use std::time::Duration;

pub(super) async fn register(
    Shared(members): Shared<Members>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let node = decode::<RegisterNode>(&body)?.node;
    speaks_for(&caller, &node.id)?;
    let node = nodes::check(node).map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
    if !members.server.leads() {
        return members.to_leader(rpc::REGISTER, &headers, body).await;
    }
    leased(members.server.register(node).await.map_err(unavailable)?)
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
    leased(server.hear(id).await)
}

fn leased(lease: Option<Lease>) -> Result<Response, Failure> {
    Ok(encode(&lease.ok_or_else(|| unavailable("this server does not lead"))?)?.into_response())
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
    if server.consensus().status().is_removed {
        return Err(unavailable(REMOVED));
    }
    if server.view().node(&watch.node_id).is_none() {
        return Err((StatusCode::NOT_FOUND, format!("node {:?} is not registered", watch.node_id)));
    }
    let changes = server.consensus().watch();
    let watcher = Watcher { changes, server, node: watch.node_id, told: Told::already(watch.known, watch.index) };
    let frames = stream::try_unfold(watcher, |mut w| async move { Ok::<_, std::io::Error>(w.next().await?.map(|frame| (frame, w))) });
    Ok(Body::from_stream(frames).into_response())
}

/// One node's stream: what it knows, and what it is told next.
struct Watcher {
    server: Server,
    changes: tokio::sync::watch::Receiver<State>,
    node: NodeId,
    told: Told,
}

impl Watcher {
    /// The next frame: a change, or a sign of life. `None` when the server stops.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        let keepalive = tokio::time::sleep(Duration::from_millis(KEEPALIVE_MS));
        tokio::pin!(keepalive);
        loop {
            self.changes.borrow_and_update();
            // A server that was removed hears no more of what nodes should do.
            if self.server.view().is_agent_refused(self.node.as_str()) || self.server.consensus().status().is_removed {
                return Ok(None);
            }
            if let Some(desired) = self.told.news(&self.server.view(), &self.node) {
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
}
