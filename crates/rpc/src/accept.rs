//! The side that is called: handshakes, and who calls.

use crate::{Security, channels::tell_lag};
use floe_pki::Peer;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Caller {
    /// This port speaks in the clear, on loopback: whoever can reach it is trusted.
    Trusted,
    /// A member of the cluster.
    Member(Arc<Peer>),
    /// Somebody without a certificate, who can only ask to be let in.
    Stranger,
}

/// A connection, encrypted or not.
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Accepts connections in one way.
#[derive(Clone)]
pub struct Acceptor {
    security: Security,
}

impl Acceptor {
    /// Accepts connections that are secured this way.
    pub fn new(security: Security) -> Self {
        Self { security }
    }

    /// Does the handshake, and says who calls.
    ///
    /// # Errors
    /// When the handshake fails or takes longer than ten seconds.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(Stream, Caller)> {
        let Security::Tls(credentials) = &self.security else { return Ok((Stream::Plain(stream), Caller::Trusted)) };
        let handshake = TlsAcceptor::from(credentials.server_config()).accept(stream);
        let done = timeout(HANDSHAKE, handshake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let stream = done.inspect_err(|_| tell_lag(credentials))?;
        let caller = match credentials.peer(stream.get_ref().1.peer_certificates()) {
            Ok(Some(peer)) => Caller::Member(Arc::new(peer)),
            Ok(None) => Caller::Stranger,
            Err(error) => return Err(io::Error::other(error)),
        };
        Ok((Stream::Tls(Box::new(stream)), caller))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_flush(cx),
            Stream::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
