//! The caller's side: one HTTP/2 connection an address, made when it is needed, shared by all calls, made anew when it dies.

use crate::CallError;
use bytes::Bytes;
use floe_pki::{Credentials, Lag, PeerError};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

/// How long nothing may come by a connection until its other end is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How long it may take to answer that. A connection whose other end is silent is given up after both.
pub const SILENCE: Duration = Duration::from_secs(5);
/// How long it may take to connect, however much longer the call may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How many addresses are remembered before those without a living connection are forgotten.
const REMEMBERED: usize = 64;

/// How agents speak with each other.
#[derive(Clone)]
pub enum Security {
    /// In the clear: on loopback only, for development.
    Plain,
    /// By mutual TLS.
    Tls(Credentials),
}

impl Security {
    /// What others' certificates show of this machine's clock, if it is behind: see [`Credentials::lag`].
    pub fn lag(&self) -> Option<Lag> {
        match self {
            Security::Plain => None,
            Security::Tls(credentials) => credentials.lag(),
        }
    }
}

/// Says in the log when a handshake failed because this machine's clock is behind; at most once a minute.
pub(crate) fn tell_lag(credentials: &Credentials) {
    if let Some(lag) = credentials.lag_to_tell() {
        tracing::warn!("{lag}");
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// The way to one address; locked while a connection is made, so that many calls make one.
type Slot = Arc<AsyncMutex<Line>>;

/// The newest connection to an address.
#[derive(Default)]
struct Line {
    sender: Option<Sender>,
    /// Which one it is of all that there were.
    number: u64,
}

impl Line {
    /// The connection, unless it is known to be over.
    fn alive(&self) -> Option<&Sender> {
        self.sender.as_ref().filter(|sender| !sender.is_closed())
    }
}

/// Connections to other agents. Clones share them.
#[derive(Clone)]
pub struct Channels {
    dial: Dial,
    slots: Arc<Mutex<HashMap<String, Slot>>>,
}

#[derive(Clone)]
enum Dial {
    By(Security),
    /// One fixed way, for who has no credentials yet.
    With(Arc<ClientConfig>),
}

impl Channels {
    /// Connections that are secured this way.
    pub fn new(security: Security) -> Self {
        Self { dial: Dial::By(security), slots: Arc::default() }
    }

    /// Connections by TLS with a configuration of the caller's.
    pub fn with_config(config: Arc<ClientConfig>) -> Self {
        Self { dial: Dial::With(config), slots: Arc::default() }
    }

    /// What the URI of a request begins with.
    fn scheme(&self) -> &'static str {
        match self.dial {
            Dial::By(Security::Plain) => "http",
            _ => "https",
        }
    }

    /// The URI of `path_and_query` on `address`.
    pub fn uri(&self, address: &str, path_and_query: &str) -> String {
        format!("{}://{address}{path_and_query}", self.scheme())
    }

    /// Sends a request (whose URI is one of [`Channels::uri`]) and waits for the head of the answer, at most until `deadline` from now.
    ///
    /// # Errors
    /// When there is no connection, it breaks, or there is no answer in time.
    pub async fn call(&self, address: &str, request: Request<Full<Bytes>>, deadline: Duration) -> Result<Response<Incoming>, CallError> {
        let end = Instant::now() + deadline;
        let late = |unsent| CallError::Timeout { address: address.to_owned(), after: deadline, unsent };
        let mut request = request;
        let mut dead = None;
        loop {
            let connected = timeout_at(end, self.connection(address, dead)).await.map_err(|_| late(true))?;
            let (mut sender, number) = connected.map_err(|source| CallError::Connect { address: address.to_owned(), source })?;
            match timeout_at(end, sender.try_send_request(request)).await.map_err(|_| late(false))? {
                Ok(response) => return Ok(response),
                Err(mut failed) => match failed.take_message() {
                    // The connection had died unnoticed: what did not leave may go by another one.
                    Some(unsent) if dead.is_none() => (request, dead) = (unsent, Some(number)),
                    message => {
                        let reason = words(failed.error());
                        return Err(CallError::Broken { address: address.to_owned(), reason, unsent: message.is_some() });
                    }
                },
            }
        }
    }

    /// The living connection to `address` and its number, or a new one: in any case another than `dead`.
    async fn connection(&self, address: &str, dead: Option<u64>) -> io::Result<(Sender, u64)> {
        let line = self.slot(address).lock_owned().await;
        if let Some(sender) = line.alive().filter(|_| dead != Some(line.number)) {
            return Ok((sender.clone(), line.number));
        }
        // In a task of its own: a call with a short deadline gives up, but the connection is there for the next one. Otherwise no call would
        // ever come through to a server that is farther away than its deadline.
        tokio::spawn(self.clone().make(line, address.to_owned())).await.map_err(io::Error::other)?
    }

    async fn make(self, mut line: OwnedMutexGuard<Line>, address: String) -> io::Result<(Sender, u64)> {
        line.sender = None;
        let made = timeout(CONNECT, self.connect(&address)).await;
        let sender = made.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("not connected in {CONNECT:?}")))??;
        line.number += 1;
        line.sender = Some(sender.clone());
        Ok((sender, line.number))
    }

    /// What others' certificates show of this machine's clock, if it is behind.
    pub fn lag(&self) -> Option<Lag> {
        match &self.dial {
            Dial::By(security) => security.lag(),
            Dial::With(_) => None,
        }
    }

    fn slot(&self, address: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= REMEMBERED && !slots.contains_key(address) {
            // One that somebody else holds is about to be used.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|line| line.alive().is_some()));
        }
        Arc::clone(slots.entry(address.to_owned()).or_default())
    }

    async fn connect(&self, address: &str) -> io::Result<Sender> {
        let stream = TcpStream::connect(address).await?;
        // Small messages must not wait for the next ones.
        stream.set_nodelay(true)?;
        let (config, credentials) = match &self.dial {
            Dial::By(Security::Plain) => return speak(stream).await,
            Dial::By(Security::Tls(credentials)) => (credentials.client_config(), Some(credentials)),
            Dial::With(config) => (Arc::clone(config), None),
        };
        let connected = TlsConnector::from(config).connect(floe_pki::server_name(), stream).await;
        if let (Err(_), Some(credentials)) = (&connected, credentials) {
            tell_lag(credentials);
        }
        speak(connected.map_err(plainly)?).await
    }
}

/// Why the other end is not believed, in the words made for it rather than in those of the layers above.
fn plainly(error: io::Error) -> io::Error {
    match PeerError::beneath(&error) {
        Some(refusal) => io::Error::other(refusal.clone()),
        None => error,
    }
}

/// HTTP/2 on a connection, driven by a task of its own until it ends.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> io::Result<Sender> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(SILENCE).keep_alive_while_idle(true);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = words(&error), "a connection to another agent ended");
        }
    });
    Ok(sender)
}

/// Reads a body that must not be larger than `limit`.
///
/// # Errors
/// When it is larger, the connection breaks, or it takes longer than `within`.
pub async fn read_body(body: Incoming, limit: usize, within: Duration) -> io::Result<Bytes> {
    let collected = timeout(within, Limited::new(body, limit).collect()).await;
    let collected = collected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
    collected.map(http_body_util::Collected::to_bytes).map_err(io::Error::other)
}

/// An error with what caused it.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
