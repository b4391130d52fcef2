//! One POST over HTTP/1.1 and TLS, with a deadline and a bounded answer. Follows no redirect: the token is for one address.

use bytes::Bytes;
use floe_https::{Client, Settings, causes};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    header::{CONTENT_TYPE, HeaderValue, LOCATION},
    http::Uri,
};
use std::{net::IpAddr, path::Path, time::Duration};
use zeroize::Zeroizing;

/// How long a call may take, with everything from the connection to the last byte.
const DEADLINE: Duration = Duration::from_secs(8);
/// How long a connection may take to be made.
const CONNECT_DEADLINE: Duration = Duration::from_secs(4);
/// The most bytes of an answer. Those of an engine take a few hundred.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("its answer has more than {} KiB: is this the address of a Vault?", MAX_ANSWER_BYTES >> 10)]
    TooLarge,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// A server that is called.
pub(super) struct Http {
    origin: String,
    client: Client,
}

impl Http {
    /// Reads the authorities; what is wrong comes with the option that it is about.
    pub(super) fn new(address: &str, ca_cert: Option<&Path>) -> Result<Self, String> {
        let origin = origin(address)?;
        let settings = Settings { ca_cert, connect_deadline: CONNECT_DEADLINE, keeps_connections: false };
        let client = floe_https::client(settings).map_err(|e| e.to_string())?;
        Ok(Self { origin, client })
    }

    /// `scheme://host:port`, as it is called.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Posts `body` with the token.
    pub(super) async fn post(&self, path: &str, token: &str, namespace: Option<&str>, body: Bytes) -> Result<Answer, HttpError> {
        let request = self.request(path, token, namespace, body).map_err(|e| HttpError::Unreachable(e.to_string()))?;
        tokio::time::timeout(DEADLINE, self.answer(request)).await.unwrap_or(Err(HttpError::Deadline))
    }

    fn request(&self, path: &str, token: &str, namespace: Option<&str>, body: Bytes) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut token = HeaderValue::from_str(token)?;
        token.set_sensitive(true);
        let mut request = Request::post(format!("{}{path}", self.origin))
            .header("x-vault-token", token)
            .header("x-vault-request", "true")
            .header(CONTENT_TYPE, "application/json");
        if let Some(namespace) = namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        request.body(Full::new(body))
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
        let response = self.client.request(request).await.map_err(|e| HttpError::Unreachable(causes(&e)))?;
        let status = response.status().as_u16();
        let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        let mut incoming = response.into_body();
        // All that it may take at once: a buffer that grows leaves copies behind.
        let mut body = Zeroizing::new(Vec::with_capacity(MAX_ANSWER_BYTES));
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|e| HttpError::Unreachable(causes(&e)))?;
            let piece = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(piece);
        }
        Ok(Answer { status, location, body })
    }
}

/// The address in the form that requests and ids begin with.
fn origin(address: &str) -> Result<String, String> {
    let wrong = |why: &str| format!("address {address:?} {why}; write https://HOST:PORT");
    // Before anything repeats it.
    if address.contains('@') {
        return Err("address has a user or a password in it; write https://HOST:PORT".to_owned());
    }
    let uri: Uri = address.parse().map_err(|e| wrong(&format!("is none: {e}")))?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(wrong("has no scheme or no host")) };
    if !uri.path().trim_matches('/').is_empty() || uri.query().is_some() {
        return Err(wrong("has a path"));
    }
    let loopback = host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let port = match scheme {
        "https" => 443,
        "http" if loopback => 80,
        "http" => return Err(wrong("is not encrypted: root keys would cross the network for all to see")),
        _ => return Err(wrong("has another scheme")),
    };
    Ok(format!("{scheme}://{}:{}", host.to_ascii_lowercase(), uri.port_u16().unwrap_or(port)))
}
