//! One POST over HTTP/1.1 and TLS, with a deadline and a bounded answer. Follows no redirect: the token is for one address.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    header::{CONTENT_TYPE, HeaderValue, LOCATION},
    http::Uri,
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// How long a call may take, with everything from the connection to the last byte.
const DEADLINE: Duration = Duration::from_secs(8);
/// How long a connection may take to be made.
const CONNECT_DEADLINE: Duration = Duration::from_secs(4);
/// The most bytes of an answer. Those of an engine take a few hundred.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// The most bytes of a file of authorities: the system's have about 220 KiB.
const MAX_CA_BYTES: u64 = 4 << 20;

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
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Http {
    /// Reads the authorities; what is wrong comes with the option that it is about.
    pub(super) fn new(address: &str, ca_cert: Option<&Path>) -> Result<Self, String> {
        let origin = origin(address)?;
        let roots = if origin.starts_with("https") { roots(ca_cert)? } else { RootCertStore::empty() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|e| format!("TLS: {e}"))?.with_root_certificates(roots).with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_DEADLINE));
        let tls = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(tcp);
        // Calls are rare: no connection waits for the next one.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(tls);
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

/// An error with what is behind it: the outermost says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        text = format!("{text}: {cause}");
        inner = cause.source();
    }
    if text.contains("invalid peer certificate") {
        text.push_str(
            " (its authority must be among ca_cert, or among the system's without that, and its certificate must name the address's host)",
        );
    }
    text
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

/// Whose certificates count.
fn roots(ca_cert: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca_cert {
        Some(path) => {
            let what = |why: &dyn std::fmt::Display| format!("ca_cert {}: {why}", path.display());
            let about = path.metadata().map_err(|e| what(&e))?;
            if !about.is_file() || about.len() > MAX_CA_BYTES {
                return Err(what(&"is no PEM file of authorities"));
            }
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| what(&e))? {
                roots.add(certificate.map_err(|e| what(&e))?).map_err(|e| what(&e))?;
            }
            if roots.is_empty() {
                return Err(what(&"holds no certificate: give the authority that signed the server's, in PEM"));
            }
        }
        None => {
            // One that cannot be read is no reason to trust none of the others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("the system has no certificate authorities: name the server's as ca_cert".to_owned());
            }
        }
    }
    Ok(roots)
}
