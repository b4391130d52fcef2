//! Listening: HTTP/1 and HTTP/2 on one port, in the clear or by TLS, with bounds on headers and a clean stop.

use axum::{Router, extract::Request};
use floe_rpc::{Acceptor, Caller, Stream};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use std::{net::SocketAddr, os::fd::AsFd, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How many connections an agent holds at once; at the bound new ones wait.
pub(crate) const MAX_CONNECTIONS: usize = 4_096;
/// The largest head of a request in bytes.
pub(crate) const MAX_HEADER_BYTES: usize = 16 * 1024;
/// How many calls of a member may have been given up before they were looked at. Servers' calls have short deadlines: while a machine stands still, they
/// end by the hundred, and to close the connection because of that would make it worse. Strangers have the protocol's default (20).
const MAX_MEMBERS_RESETS: usize = 10_000;
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take once the agent stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address} for {purpose}: {source}{}", hint(.source))]
pub struct ListenError {
    address: SocketAddr,
    purpose: &'static str,
    #[source]
    source: std::io::Error,
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; another process has it (a second agent?): stop that one, or choose other ports in the configuration"
        }
        std::io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need root",
        _ => "",
    }
}

/// A port that is listened on.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    /// The address, with the port that the kernel gave where zero was asked for.
    pub address: SocketAddr,
}

impl Listener {
    /// The same port once more, to be listened on before this one is. Who connects while neither is listened on waits.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn share(&self) -> std::io::Result<Listener> {
        let socket = self.listener.as_fd().try_clone_to_owned()?;
        Ok(Listener { listener: TcpListener::from_std(socket.into())?, address: self.address })
    }
}

/// Listens on `address`.
///
/// # Errors
/// When the kernel refuses; the error says what to do.
pub async fn listen(address: SocketAddr, purpose: &'static str) -> Result<Listener, ListenError> {
    let fail = |source| ListenError { address, purpose, source };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok(Listener { listener, address })
}

/// A service that answers on a port until it is stopped.
#[derive(Clone, Debug)]
pub struct Serving {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Serving {
    /// Takes no new connections, and waits for requests under way, at most two seconds.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::debug!("requests were cut off: they took too long after the stop");
        }
    }
}

/// Answers on a port. Each request carries as an extension who calls ([`Caller`]).
pub fn serve(listener: Listener, router: Router, acceptor: Acceptor) -> Serving {
    let serving = Serving { stop: CancellationToken::new(), tasks: TaskTracker::new() };
    let (stop, tasks) = (serving.stop.clone(), serving.tasks.clone());
    serving.tasks.spawn(async move {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: others will end.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Small answers must not wait for the next ones.
            let _ = stream.set_nodelay(true);
            let (router, stop, acceptor) = (router.clone(), stop.clone(), acceptor.clone());
            tasks.spawn(async move {
                match stop.run_until_cancelled(acceptor.accept(stream)).await {
                    Some(Ok((stream, caller))) => connection(stream, caller, router, stop).await,
                    Some(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                    None => {}
                }
                drop(permit);
            });
        }
    });
    serving
}

async fn connection(stream: Stream, caller: Caller, router: Router, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER_BYTES.max(8192) * 4);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(15));
    if matches!(caller, Caller::Member(_)) {
        builder.http2().max_pending_accept_reset_streams(MAX_MEMBERS_RESETS);
    }
    let named = tower::util::MapRequest::new(router, move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(caller.clone());
        request
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(named));
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection ended badly");
            }
            return;
        }
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
