//! The way to the servers: registration, heartbeats, reports, and the stream of desired sets.

use crate::{clock, db::words, report::Reporter};
use bytes::Bytes;
use floe_api::rpc::{self, Deframer, Desired, Heartbeat, KEEPALIVE_MS, Lease, RegisterNode, Report, WatchDesired};
use floe_model::{AllocId, Nanos, Node, NodeId, Timestamp, alloc::AllocUpdate};
use floe_rpc::{Servers, read_body};
use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How long a server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The first wait after a failure; it doubles up to [`MAX_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// The longest wait after a failure.
const MAX_RETRY: Duration = Duration::from_secs(15);
/// How long a stream may be silent before it counts as dead.
const SILENCE: Duration = Duration::from_millis(KEEPALIVE_MS * 3);
/// How many frames may wait for the keeper; at the bound the stream waits.
const WAITING_FRAMES: usize = 8;

/// How much of a refusal's text is read, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// A call that did not come to an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("{what}: this agent knows no server")]
    NoServer { what: &'static str },
    #[error("{what}: cannot reach server {server}: {cause}")]
    Unreachable { what: &'static str, server: String, cause: String },
    #[error("{what}: server {server} refused: {message}")]
    Refused { what: &'static str, server: String, message: String },
    #[error("{what}: server {server} answered nonsense: {cause}")]
    Nonsense { what: &'static str, server: String, cause: String },
}

/// The way to the servers. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Link {
    servers: Servers,
    node_id: NodeId,
}

impl Link {
    pub(crate) fn new(servers: Servers, node_id: NodeId) -> Link {
        Link { servers, node_id }
    }

    /// Sends a message to the server that is asked at present. When that one cannot answer, the next call goes to another one.
    async fn post(&self, what: &'static str, path: &str, body: &impl Serialize) -> Result<(String, Response<Incoming>), LinkError> {
        let server = self.servers.first().ok_or(LinkError::NoServer { what })?;
        let channels = self.servers.channels();
        let nonsense = |cause: String| LinkError::Nonsense { what, server: server.clone(), cause };
        let body = rmp_serde::to_vec_named(body).map_err(|e| nonsense(e.to_string()))?;
        let request = Request::post(channels.uri(&server, path)).body(Full::new(Bytes::from(body))).map_err(|e| nonsense(e.to_string()))?;
        let response = channels.call(&server, request, ANSWER_TIMEOUT).await.map_err(|e| {
            self.servers.failed(&server);
            LinkError::Unreachable { what, server: server.clone(), cause: words(&e) }
        })?;
        if response.status().is_success() {
            return Ok((server, response));
        }
        // It is there but cannot help, for instance because it knows no leader, or was itself removed and the leader refuses what it passes on:
        // another one may. What is refused because of this node the next one refuses as well.
        self.servers.failed(&server);
        let message = read_body(response.into_body(), MAX_MESSAGE_BYTES, ANSWER_TIMEOUT).await.unwrap_or_default();
        Err(LinkError::Refused { what, server, message: String::from_utf8_lossy(&message).into_owned() })
    }

    async fn call<T: DeserializeOwned>(&self, what: &'static str, path: &str, body: &impl Serialize) -> Result<T, LinkError> {
        let (server, response) = self.post(what, path, body).await?;
        let nonsense = |cause: String| LinkError::Nonsense { what, server: server.clone(), cause };
        let bytes = read_body(response.into_body(), floe_api::MAX_RPC_FRAME_BYTES, ANSWER_TIMEOUT).await;
        rmp_serde::from_slice(&bytes.map_err(|e| nonsense(words(&e)))?).map_err(|e| nonsense(e.to_string()))
    }

    pub(crate) async fn report(&self, allocs: &[AllocUpdate]) -> Result<(), LinkError> {
        let report = Report { node_id: self.node_id.clone(), allocs: allocs.to_vec() };
        self.post("report allocations", rpc::REPORT, &report).await.map(|_| ())
    }

    /// The registrar: registers the node, again whenever it changes or a server does not know it, and keeps its lease. `registered` tells the
    /// others. `leased` says until when the node's lease holds, counted from before the call: servers never take it for down earlier.
    pub(crate) async fn keep_lease(
        self,
        mut node: watch::Receiver<Arc<Node>>,
        reporter: Reporter,
        (registered, leased): (watch::Sender<bool>, watch::Sender<Timestamp>),
        stop: CancellationToken,
    ) {
        let mut retry = FIRST_RETRY;
        let mut told = None;
        loop {
            let present = node.borrow_and_update().clone();
            let known = *registered.borrow() && told.as_ref().is_some_and(|told| Arc::ptr_eq(told, &present));
            let began = clock::now();
            let lease: Result<Lease, LinkError> = if known {
                self.call("send a heartbeat", rpc::HEARTBEAT, &Heartbeat { node_id: self.node_id.clone() }).await
            } else {
                self.call("register the node", rpc::REGISTER, &RegisterNode { node: (*present).clone() }).await
            };
            if let Ok(lease) = &lease {
                leased.send_replace(began.plus(Nanos::from_millis(i64::try_from(lease.ttl_ms).unwrap_or(i64::MAX))));
            }
            let wait = match lease {
                Ok(lease) if lease.unknown => {
                    tracing::info!("the servers do not know this node (any more); it registers again");
                    registered.send_replace(false);
                    Duration::ZERO
                }
                Ok(lease) => {
                    self.servers.learn(&lease.servers);
                    if !known {
                        tracing::info!(node = %self.node_id, "the node is registered");
                        // Servers that did not know the node may not know what became of its allocations either.
                        reporter.say_again();
                    }
                    registered.send_replace(true);
                    told = Some(present);
                    retry = FIRST_RETRY;
                    // Two chances before the lease ends.
                    Duration::from_millis(lease.ttl_ms / 2)
                }
                Err(error) => {
                    tracing::warn!(%error, "no word to the servers");
                    next_wait(&mut retry)
                }
            };
            let changed = async {
                // Without a sender nothing changes any more.
                if node.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let waited = tokio::time::timeout(wait, changed);
            if stop.run_until_cancelled(waited).await.is_none() {
                return;
            }
        }
    }

    /// The watcher: opens the stream of desired sets, again whenever it breaks, and hands on each frame. `known` is what the keeper has.
    pub(crate) async fn watch_desired(
        self,
        frames: mpsc::Sender<Desired>,
        known: watch::Receiver<BTreeMap<AllocId, u64>>,
        mut registered: watch::Receiver<bool>,
        stop: CancellationToken,
    ) {
        let mut retry = FIRST_RETRY;
        // No server may tell of a past that another one has gone beyond.
        let mut index = 0;
        loop {
            let ready = stop.run_until_cancelled(registered.wait_for(|r| *r)).await.is_some_and(|r| r.is_ok());
            if !ready {
                return;
            }
            let began = clock::now();
            let watch = WatchDesired { node_id: self.node_id.clone(), index, known: known.borrow().clone() };
            match stop.run_until_cancelled(self.stream(&watch, &frames, &mut index)).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(%error, "the stream of desired allocations broke"),
            }
            if frames.is_closed() {
                return;
            }
            if clock::now().since(began).to_std() > SILENCE {
                retry = FIRST_RETRY;
            }
            if stop.run_until_cancelled(tokio::time::sleep(next_wait(&mut retry))).await.is_none() {
                return;
            }
        }
    }

    /// Reads one stream to its end.
    async fn stream(&self, watch: &WatchDesired, frames: &mpsc::Sender<Desired>, index: &mut u64) -> Result<(), LinkError> {
        let what = "watch desired allocations";
        let (server, response) = self.post(what, rpc::DESIRED, watch).await?;
        let nonsense = |cause: String| LinkError::Nonsense { what, server: server.clone(), cause };
        let unreachable = |cause: String| {
            self.servers.failed(&server);
            LinkError::Unreachable { what, server: server.clone(), cause }
        };
        let mut pieces = response.into_body().into_data_stream();
        let mut deframer = Deframer::default();
        loop {
            let piece: Bytes = match tokio::time::timeout(SILENCE, pieces.next()).await {
                Err(_) => return Err(unreachable("no sign of life".to_owned())),
                Ok(None) => return Ok(()),
                Ok(Some(Err(e))) => return Err(unreachable(words(&e))),
                Ok(Some(Ok(piece))) => piece,
            };
            deframer.push(&piece);
            while let Some(message) = deframer.next_frame().map_err(|e| nonsense(e.to_string()))? {
                if message.is_empty() {
                    continue;
                }
                let desired: Desired = rmp_serde::from_slice(&message).map_err(|e| nonsense(e.to_string()))?;
                *index = desired.index.max(*index);
                if frames.send(desired).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// A channel for frames.
pub(crate) fn frames() -> (mpsc::Sender<Desired>, mpsc::Receiver<Desired>) {
    mpsc::channel(WAITING_FRAMES)
}

fn next_wait(retry: &mut Duration) -> Duration {
    let wait = *retry;
    *retry = (*retry * 2).min(MAX_RETRY);
    wait
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_rpc::{Channels, Security};
    use hyper::{StatusCode, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::TcpListener;

    /// A server that refuses everything in this way; returns where it is.
    async fn refusing(status: StatusCode) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = service_fn(move |_| async move {
                    Response::builder().status(status).body(Full::new(Bytes::from_static(b"no"))).map_err(std::io::Error::other)
                });
                tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer));
            }
        });
        address
    }

    /// One that was removed from the cluster passes calls on to the leader, which refuses them because of who passes them on.
    #[tokio::test]
    async fn after_any_refusal_another_server_is_asked() {
        for status in [StatusCode::FORBIDDEN, StatusCode::GONE, StatusCode::SERVICE_UNAVAILABLE] {
            let (first, second) = (refusing(status).await, refusing(status).await);
            let servers = Servers::new(Channels::new(Security::Plain), vec![first.clone(), second.clone()]);
            let link = Link::new(servers.clone(), "n".into());
            for asked in [&first, &second, &first] {
                assert_eq!(servers.first().as_ref(), Some(asked));
                let refused = link.report(&[]).await.unwrap_err();
                assert!(matches!(&refused, LinkError::Refused { server, .. } if server == asked), "{refused}");
            }
        }
    }
}
