//! A store that speaks S3, in this process, for tests: it checks every signature by its own computation, keeps objects in memory, sends lists in
//! small pages, and fails when a test says so.
//!
//! Shared by the tests of several crates (by `#[path]`); each takes what it needs.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod answer;
mod signature;

use answer::{Asked, Reply, answer};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, mpsc},
    thread,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

pub const BUCKET: &str = "backups";
pub const REGION: &str = "fsn1";
pub const KEY_ID: &str = "AKIDTEST";
/// With characters that must not be taken for anything else on the way.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfi=YEXAMPLEKEY";
/// The authority that the store's certificate is of.
pub const CA_CERT: &str = include_str!("tls/ca.pem");
const CERTIFICATE: &str = include_str!("tls/server.pem");
const PRIVATE_KEY: &str = include_str!("tls/server.key");
/// The most keys on a page, whatever is asked for.
const PAGE: usize = 2;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status and code.
    Refuse(u16, &'static str),
    /// The connection breaks before anything is done.
    CutBefore,
    /// It is done, and the connection breaks before the answer.
    CutAfter,
    /// It is done, and half of the answer's body comes.
    HalfAnswer,
    /// What should be kept is kept by half, and the answer is as if all were well.
    Truncate,
    /// The answer begins well, and is an error all the same.
    LateError,
}

/// What the store has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub bytes: Bytes,
    pub meta: BTreeMap<String, String>,
}

/// An upload that was not ended.
#[derive(Clone, Debug, Default)]
pub struct Begun {
    pub key: String,
    pub meta: BTreeMap<String, String>,
    pub parts: BTreeMap<u32, Bytes>,
}

/// All of a store.
#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Stored>,
    pub uploads: BTreeMap<String, Begun>,
    /// What goes wrong next, and with what: see [`Asked::operation`].
    pub faults: VecDeque<(&'static str, Fault)>,
    /// How many seconds the store's clock is ahead.
    pub clock_ahead: i64,
    /// The operations that were asked for, those that failed too.
    pub log: Vec<&'static str>,
    uploads_begun: u32,
}

/// A running store. Ends with the process of the tests.
pub struct Fake {
    pub address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

impl Fake {
    /// Without TLS, on loopback.
    pub fn start() -> Fake {
        Self::run(IpAddr::from([127, 0, 0, 1]), None)
    }

    /// With TLS, by a certificate of [`CA_CERT`].
    pub fn start_tls(ip: IpAddr) -> Fake {
        let chain = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(PRIVATE_KEY.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self::run(ip, Some(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()).into()))
    }

    fn run(ip: IpAddr, tls: Option<TlsAcceptor>) -> Fake {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let (shared, scheme) = (state.clone(), if tls.is_some() { "https" } else { "http" });
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                ready.send(()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (state, tls) = (shared.clone(), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, state).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, state).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        is_ready.recv().unwrap();
        Fake { address, scheme, state }
    }

    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets the next call of this kind go wrong; `*` is any.
    pub fn fail(&self, operation: &'static str, fault: Fault) {
        self.state().faults.push_back((operation, fault));
    }

    /// The same so many times.
    pub fn fail_times(&self, times: usize, operation: &'static str, fault: Fault) {
        (0..times).for_each(|_| self.fail(operation, fault));
    }

    /// The keys that are there.
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| handle(request, state.clone()));
    // Connections break when a test wants it so.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Answers a request, or breaks the connection.
async fn handle(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> io::Result<Response<http_body_util::combinators::BoxBody<Bytes, io::Error>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut state = state.lock().unwrap();
    let asked = Asked::read(&parts, &body);
    state.log.push(asked.operation);
    let place = state.faults.iter().position(|(operation, _)| *operation == "*" || *operation == asked.operation);
    let fault = place.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault);
    let verified = signature::verify(&parts, &body, state.clock_ahead);
    let is_head = parts.method == hyper::Method::HEAD;
    let cut = || io::Error::other("the test wants it so");
    let reply = match (verified, fault) {
        (Err(reply), _) => reply,
        (_, Some(Fault::Refuse(status, code))) => Reply::error(status, code, "a test wants it so"),
        (_, Some(Fault::CutBefore)) => return Err(cut()),
        (Ok(()), fault) => answer(&mut state, &asked, fault == Some(Fault::Truncate)),
    };
    let date = signature::date(state.clock_ahead);
    match fault {
        Some(Fault::CutAfter) => Err(cut()),
        // An answer without a body cannot say late that it failed.
        Some(Fault::LateError) if is_head => Ok(whole(Reply::error(500, "InternalError", "a test wants it so"), &date, true)),
        Some(Fault::LateError) => Ok(whole(Reply::late_error(), &date, is_head)),
        Some(Fault::HalfAnswer) if !is_head => Ok(half(reply, &date)),
        _ => Ok(whole(reply, &date, is_head)),
    }
}

fn head(reply: &Reply, date: &str) -> hyper::http::response::Builder {
    let mut head = Response::builder().status(reply.status).header("date", date);
    for (name, value) in &reply.headers {
        head = head.header(name, value);
    }
    head
}

fn whole(reply: Reply, date: &str, is_head: bool) -> Response<http_body_util::combinators::BoxBody<Bytes, io::Error>> {
    let head = head(&reply, date);
    let body = if is_head { Bytes::new() } else { reply.body };
    head.body(Full::new(body).map_err(|never| match never {}).boxed()).unwrap()
}

/// Says how long the body is, sends half, and breaks off.
fn half(reply: Reply, date: &str) -> Response<http_body_util::combinators::BoxBody<Bytes, io::Error>> {
    let head = head(&reply, date).header("content-length", reply.body.len().max(2));
    let half = reply.body.slice(..reply.body.len() / 2);
    head.body(Full::new(half).map_err(|never| match never {}).boxed()).unwrap()
}
