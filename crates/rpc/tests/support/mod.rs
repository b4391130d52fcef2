//! Clusters with their agents, and hosts that answer calls on loopback: each with a thread and a runtime of its own, so that a test can wait for a
//! host to die without its own connections noticing.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses its part")]

use bytes::Bytes;
use floe_model::{Nanos, Timestamp};
use floe_pki::{Authority, Clock, ClusterId, Credentials, Keypair, Role, Trust};
use floe_rpc::{Acceptor, CallError, Caller, Channels, Security, read_body};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

/// When the tests happen: 2026-01-01, 00:00:00.
const NOW: Timestamp = Timestamp(1_767_225_600_000_000_000);

/// Longer than anything takes that is to succeed.
pub const ENOUGH: Duration = Duration::from_secs(20);

pub fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// An authority of this cluster.
pub fn authority_of(cluster: ClusterId) -> Authority {
    Authority::create(cluster, NOW, Nanos::from_hours(1)).unwrap()
}

/// The authority of a new cluster.
pub fn new_cluster() -> Authority {
    authority_of(ClusterId::draw())
}

pub fn clock() -> Clock {
    Clock::new(|| NOW)
}

/// An agent that `member_of` certified and that believes `believes`.
pub fn agent_that_believes(member_of: &Authority, believes: &[&Authority], role: Role) -> Credentials {
    agent_by(clock(), member_of, believes, role)
}

/// An agent of the cluster whose clock is behind by this much.
pub fn late_agent(cluster: &Authority, by: Nanos, role: Role) -> Credentials {
    agent_by(Clock::new(move || NOW.plus(Nanos(-by.0))), cluster, &[cluster], role)
}

fn agent_by(clock: Clock, member_of: &Authority, believes: &[&Authority], role: Role) -> Credentials {
    let key = Keypair::generate();
    let request = floe_pki::Request::verify(&key.request(&"agent".parse().unwrap())).unwrap();
    let certificate = member_of.issue(&request, role, NOW, Nanos::from_hours(1)).unwrap();
    let trust = Trust::new(believes.iter().map(|authority| authority.certificate().clone()).collect()).unwrap();
    Credentials::new(key, certificate, trust, clock).unwrap()
}

pub fn agent(cluster: &Authority, role: Role) -> Credentials {
    agent_that_believes(cluster, &[cluster], role)
}

/// What a host counts.
#[derive(Default)]
pub struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    refused: AtomicUsize,
}

/// A host that answers calls, see [`answer`].
pub struct Host {
    pub address: String,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// A host at an address that the kernel chooses.
    pub fn start(security: Security) -> Self {
        Self::start_on(security, std::net::TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// A host at `address`, where another one has died.
    pub fn start_at(security: Security, address: &str) -> Self {
        Self::start_on(security, std::net::TcpListener::bind(address).unwrap())
    }

    /// A host that answers on `listener` from now on.
    pub fn start_on(security: Security, listener: std::net::TcpListener) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let counts = Arc::<Counts>::default();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&counts);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, Acceptor::new(security), shared, stopped));
        });
        Self { address, counts, stop: Some(stop), thread: Some(thread) }
    }

    /// How many connections were accepted, handshakes that failed among them.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// How many handshakes failed.
    pub fn refused(&self) -> usize {
        self.counts.refused.load(Ordering::SeqCst)
    }

    /// Dies; all its connections are closed when this returns. The address is free.
    pub fn kill(mut self) -> String {
        self.end();
        self.address.clone()
    }

    fn end(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(listener: std::net::TcpListener, acceptor: Acceptor, counts: Arc<Counts>, stopped: oneshot::Receiver<()>) {
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counts.connections.fetch_add(1, Ordering::SeqCst);
            connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&counts)));
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopped => {}
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, acceptor: Acceptor, counts: Arc<Counts>) {
    let Ok((stream, caller)) = acceptor.accept(stream).await else {
        counts.refused.fetch_add(1, Ordering::SeqCst);
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        answer(request, caller.clone())
    });
    // A test asks the caller how it went.
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// `/who` says who calls, `/bytes/N` sends N bytes, `/begin` the beginning of an answer and no more, `/never` nothing.
async fn answer(request: Request<Incoming>, caller: Caller) -> Result<Response<Answer>, Infallible> {
    let path = request.uri().path();
    let answer = match path.strip_prefix("/bytes/") {
        Some(count) => Answer { first: vec![7; count.parse().unwrap()].into(), ends: true },
        None if path == "/never" => std::future::pending().await,
        None => Answer { first: name(&caller).into(), ends: path != "/begin" },
    };
    Ok(Response::new(answer))
}

/// A caller in words.
pub fn name(caller: &Caller) -> String {
    match caller {
        Caller::Trusted => "trusted".to_owned(),
        Caller::Member(peer) => format!("{} {}", peer.role, peer.id),
        Caller::Stranger => "stranger".to_owned(),
    }
}

/// One piece of data, and then the end or nothing.
struct Answer {
    first: Bytes,
    ends: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (std::mem::take(&mut self.first), self.ends) {
            (first, _) if !first.is_empty() => Poll::Ready(Some(Ok(Frame::data(first)))),
            (_, true) => Poll::Ready(None),
            (_, false) => Poll::Pending,
        }
    }
}

/// Calls `path` of `address`.
pub async fn call(channels: &Channels, address: &str, path: &str, deadline: Duration) -> Result<Response<Incoming>, CallError> {
    let request = Request::get(channels.uri(address, path)).body(Full::default()).unwrap();
    channels.call(address, request, deadline).await
}

/// What `path` of `host` says, which must say something.
pub async fn text(channels: &Channels, host: &Host, path: &str) -> String {
    let response = call(channels, &host.address, path, ENOUGH).await.unwrap();
    let body = read_body(response.into_body(), 1000, ENOUGH).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Waits until `happened`.
pub async fn wait_for(what: &str, happened: impl Fn() -> bool) {
    let look = async {
        while !happened() {
            tokio::time::sleep(ms(1)).await;
        }
    };
    tokio::time::timeout(ENOUGH, look).await.unwrap_or_else(|_| unreachable!("{what} did not happen"));
}
