//! Renewal: after two thirds of a certificate's life the next one is asked for, or made where the authority is.

use super::{Identity, now};
use anyhow::{Context, bail};
use bytes::Bytes;
use floe_api::rpc::{self, Renew, Renewed};
use floe_pki::{CertificateDer, Request, Trust};
use floe_rpc::{Servers, read_body};
use floe_server::rpc::CERTIFICATE_LIFETIME;
use http_body_util::Full;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at. A clock that jumps, or a machine that slept, is noticed within as much.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(15);
/// The most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Runs until `stop`.
pub(in crate::agent) async fn renew_in_time(identity: Arc<Identity>, servers: Servers, stop: CancellationToken) {
    loop {
        if now() >= identity.credentials.validity().renew_at() {
            match renew(&identity, &servers).await {
                Ok(()) => tracing::info!(until = %identity.credentials.validity().not_after, "this machine's certificate is renewed"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "this machine's certificate is not renewed yet"),
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

async fn renew(identity: &Identity, servers: &Servers) -> anyhow::Result<()> {
    let credentials = &identity.credentials;
    let me = credentials.me();
    let request = credentials.keypair().request(&me.name);
    let (certificate, authorities) = match &identity.authority {
        Some(authority) => {
            let certificate = authority.issue(&Request::verify(&request)?, me.role, now(), CERTIFICATE_LIFETIME)?;
            (certificate, credentials.trust().certificates().to_vec())
        }
        None => {
            let renewed = ask(servers, request).await?;
            (CertificateDer::from(renewed.certificate), renewed.authorities.into_iter().map(CertificateDer::from).collect())
        }
    };
    let trust = Trust::new(authorities.clone())?;
    credentials.replace(certificate.clone(), trust)?;
    identity.file.edit(|record| {
        record.certificate = certificate.to_vec();
        record.authorities = authorities.iter().map(|der| der.to_vec()).collect();
    })
}

async fn ask(servers: &Servers, request: Vec<u8>) -> anyhow::Result<Renewed> {
    let server = servers.first().context("this agent knows no server")?;
    let body = Bytes::from(rmp_serde::to_vec_named(&Renew { request })?);
    let request = hyper::Request::post(servers.channels().uri(&server, rpc::RENEW)).body(Full::new(body))?;
    let response = servers.channels().call(&server, request, ANSWER).await.inspect_err(|_| servers.failed(&server))?;
    let status = response.status();
    let body = read_body(response.into_body(), MAX_ANSWER_BYTES, ANSWER).await?;
    if !status.is_success() {
        servers.failed(&server);
        bail!("server {server} refused: {}", String::from_utf8_lossy(&body));
    }
    Ok(rmp_serde::from_slice(&body)?)
}
