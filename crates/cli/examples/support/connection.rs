//! A client's connection: HTTP/2, made when it is needed.

use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

pub(crate) struct Connection {
    address: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// What came back.
pub(crate) struct Answer {
    /// Whether it was done: by the status, and by `grpc-status` of the head or the end where there is one.
    pub(crate) is_ok: bool,
    pub(crate) body: Bytes,
}

impl Connection {
    pub(crate) fn new(address: String) -> Self {
        Self { address, sender: None }
    }

    /// Sends a request; `None` when the connection broke or could not be made.
    pub(crate) async fn send(&mut self, method: &str, path: &str, content: &str, body: Vec<u8>) -> Option<Answer> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(&self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        let uri = format!("http://{}{path}", self.address);
        let request = Request::builder().method(method).uri(uri).header("content-type", content).header("te", "trailers");
        let response = self.sender.as_mut()?.send_request(request.body(Full::new(body.into())).ok()?).await;
        match response {
            Ok(response) => Self::read(response).await,
            Err(_) => {
                self.sender = None;
                None
            }
        }
    }

    async fn read(response: hyper::Response<Incoming>) -> Option<Answer> {
        let is_found = response.status() == hyper::StatusCode::OK;
        let text = |v: &hyper::header::HeaderValue| v.to_str().ok().map(str::to_owned);
        let head = response.headers().get("grpc-status").and_then(text);
        let body = response.into_body().collect().await.ok()?;
        let grpc = body.trailers().and_then(|t| t.get("grpc-status")).and_then(text).or(head);
        Some(Answer { is_ok: is_found && grpc.is_none_or(|status| status == "0"), body: body.to_bytes() })
    }
}
