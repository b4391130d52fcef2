//! HTTP over TLS: deadlines and bounded answers.

use crate::error::{Reason, S3Error};
use bytes::Bytes;
use floe_https::{Client, Settings, causes};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Request};
use std::{path::Path, time::Duration};

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer that is read: a page of keys has a few hundred bytes each.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Connections to a store.
#[derive(Clone, Debug)]
pub(crate) struct Transport(Client);

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
        Ok(Self(floe_https::client(Settings { ca_cert, connect_deadline: CONNECT_DEADLINE, keeps_connections: true })?))
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
