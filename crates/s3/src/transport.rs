//! HTTP over TLS: deadlines, bounded answers, and whom to trust.

use crate::error::{Reason, S3Error};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Request};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{path::Path, sync::Arc, time::Duration};

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer that is read: a page of keys has a few hundred bytes each.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Connections to a store.
#[derive(Clone, Debug)]
pub(crate) struct Transport(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header as text; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Transport {
    /// Trusts the certificates in a file, or those of the system.
    pub(crate) fn open(ca_cert: Option<&Path>) -> Result<Self, S3Error> {
        let roots = match ca_cert {
            Some(path) => named(path)?,
            None => system()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = builder.map_err(|e| S3Error::Trust(e.to_string()))?.with_root_certificates(roots).with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_DEADLINE));
        let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
        Ok(Self(Client::builder(TokioExecutor::new()).build(https)))
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>, deadline: Duration) -> Result<Answer, Reason> {
        tokio::time::timeout(deadline, self.exchange(request)).await.map_err(|_| Reason::Deadline(deadline))?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Reason> {
        let answer = self.0.request(request).await.map_err(|e| Reason::Connection(causes(&e)))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|e| {
            let is_large = e.is::<http_body_util::LengthLimitError>();
            if is_large { Reason::Answer(format!("it is larger than {MAX_ANSWER_BYTES} bytes")) } else { Reason::Connection(e.to_string()) }
        })?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes() })
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The certificates in a file, and no others.
fn named(path: &Path) -> Result<RootCertStore, S3Error> {
    let wrong = |why: String| S3Error::Trust(format!("ca_cert {}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))? {
        roots.add(certificate.map_err(|e| wrong(e.to_string()))?).map_err(|e| wrong(e.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is no certificate in it".to_owned())) } else { Ok(roots) }
}

/// The system's certificates. Those that cannot be read are left out, as every program does.
fn system() -> Result<RootCertStore, S3Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "none are there".to_owned(), ToString::to_string);
        return Err(S3Error::Trust(format!("the system's certificates: {why}; install them (ca-certificates), or name a ca_cert")));
    }
    Ok(roots)
}
