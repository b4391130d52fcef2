//! What keeps an identity true: the next certificate after two thirds of the last one's life, and the authorities that the cluster goes by.

use super::{Identity, Record, now};
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use floe_api::rpc::{self, AskAuthorities, AskAuthorityKey, Authorities, AuthorityKey, Renew, Renewed};
use floe_pki::{Authority, CertificateDer, Clock, Credentials, Fingerprint, Request, Trust};
use floe_rpc::{Channels, Servers, read_body};
use floe_server::{Server, rpc::CERTIFICATE_LIFETIME};
use http_body_util::Full;
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at. A clock that jumps, or a machine that slept, is noticed within as much.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How soon a server is asked again that did not answer.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(15);
/// The most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Keeps the certificate young until `stop`.
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
    let _turn = identity.changing.lock().await;
    let trusted: Vec<Vec<u8>> = identity.credentials.trust().certificates().iter().map(|der| der.to_vec()).collect();
    let certificate = next_certificate(identity, servers, &trusted).await?;
    take(identity, certificate, &trusted, |_| {})
}

/// Goes by the authorities that the servers name, until `stop`. `server` is this agent's own part, on a server: it needs their keys, too.
pub(in crate::agent) async fn follow_authorities(
    identity: Arc<Identity>,
    servers: Servers,
    server: Option<Server>,
    stop: CancellationToken,
) {
    let mut said = String::new();
    loop {
        let pause = match stop.run_until_cancelled(follow(&identity, &servers, server.as_ref())).await {
            None => return,
            Some(Ok(pause)) => pause,
            Some(Err(error)) => {
                let text = format!("{error:#}");
                if text != said {
                    tracing::warn!(error = text, "the cluster's authorities are not known");
                }
                said = text;
                TRY_AGAIN
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Says whom this agent trusts, hears whom it should, and does so.
async fn follow(identity: &Identity, servers: &Servers, server: Option<&Server>) -> anyhow::Result<Duration> {
    let credentials = &identity.credentials;
    let trusts = credentials.trust().certificates().iter().map(|der| Fingerprint::of(der).to_string()).collect();
    let asks = AskAuthorities { trusts, signer: credentials.issuer().to_string() };
    let answer: Authorities = ask(servers, rpc::AUTHORITIES, &asks).await?;
    let _turn = identity.changing.lock().await;
    let known = identity.file.load()?.map_or(0, |record| record.authorities_round);
    if answer.round > 0 && answer.round >= known {
        adopt(identity, servers, server, &answer).await?;
    }
    Ok(Duration::from_millis(answer.again_ms.max(100)))
}

/// Trusts these authorities and no others, with a certificate of the first one.
async fn adopt(identity: &Identity, servers: &Servers, server: Option<&Server>, wanted: &Authorities) -> anyhow::Result<()> {
    let credentials = &identity.credentials;
    let signer = wanted.certificates.first().context("the servers name no authority")?;
    if let Some(server) = server {
        for certificate in &wanted.certificates {
            fetch_key(identity, servers.channels(), server, certificate).await?;
        }
    }
    let is_signed = credentials.issuer() == Fingerprint::of(signer);
    let trusted: Vec<Vec<u8>> = credentials.trust().certificates().iter().map(|der| der.to_vec()).collect();
    if is_signed && trusted == wanted.certificates {
        return Ok(());
    }
    let certificate = match is_signed {
        true => CertificateDer::from(identity.file.load()?.context("the identity file is gone")?.certificate),
        false => next_certificate(identity, servers, &wanted.certificates).await?,
    };
    if let Some(signers) = &identity.signers {
        signers.retain(&wanted.certificates);
    }
    take(identity, certificate, &wanted.certificates, |record| record.authorities_round = wanted.round)?;
    tracing::info!(signer = %credentials.issuer(), trusted = wanted.certificates.len(), "this machine goes by the cluster's present authorities");
    Ok(())
}

/// The next certificate: made here on a server, by the authority that is the first of `trusted`; else a server's.
async fn next_certificate(identity: &Identity, servers: &Servers, trusted: &[Vec<u8>]) -> anyhow::Result<CertificateDer<'static>> {
    let credentials = &identity.credentials;
    let me = credentials.me();
    let request = credentials.keypair().request(&me.name);
    let Some(signers) = &identity.signers else {
        let renewed: Renewed = ask(servers, rpc::RENEW, &Renew { request }).await?;
        return Ok(CertificateDer::from(renewed.certificate));
    };
    let authority = trusted.first().and_then(|der| signers.find(der)).context("this server does not have the authority's key")?;
    Ok(authority.issue(&Request::verify(&request)?, me.role, now(), CERTIFICATE_LIFETIME)?)
}

/// Exchanges certificate and trust, on disk and then in use, if they fit each other.
fn take(
    identity: &Identity,
    certificate: CertificateDer<'static>,
    trusted: &[Vec<u8>],
    note: impl FnOnce(&mut Record),
) -> anyhow::Result<()> {
    let credentials = &identity.credentials;
    let trust = || Trust::new(trusted.iter().map(|der| CertificateDer::from(der.clone())).collect());
    // What does not fit must not get to the disk.
    Credentials::new(credentials.keypair().clone(), certificate.clone(), trust()?, Clock::new(now))?;
    identity.file.edit(|record| {
        record.certificate = certificate.to_vec();
        record.authorities = trusted.to_vec();
        if let Some(signers) = &identity.signers {
            record.set_keys(&signers.all());
        }
        note(record);
    })?;
    Ok(credentials.replace(certificate, trust()?)?)
}

/// Gets an authority's key from another server, if this one does not have it.
async fn fetch_key(identity: &Identity, channels: &Channels, server: &Server, certificate: &[u8]) -> anyhow::Result<()> {
    let Some(signers) = identity.signers.as_ref().filter(|signers| signers.find(certificate).is_none()) else { return Ok(()) };
    let consensus = server.consensus();
    let mut why = "there is no other server".to_owned();
    for other in consensus.members().into_iter().filter(|member| member.id != *consensus.id()) {
        let asks = AskAuthorityKey { certificate: certificate.to_vec() };
        match post::<_, AuthorityKey>(channels, &other.address.rpc, rpc::AUTHORITY_KEY, &asks).await {
            Ok(answer) => return signers.add(Authority::from_parts(certificate, &answer.key)?).map_err(anyhow::Error::msg),
            Err(error) => why = format!("{error:#}"),
        }
    }
    bail!("no server gives the key of authority {}: {why}", Fingerprint::of(certificate))
}

/// Asks the server that is asked first.
async fn ask<A: DeserializeOwned>(servers: &Servers, path: &str, question: &impl Serialize) -> anyhow::Result<A> {
    let server = servers.first().context("this agent knows no server")?;
    post(servers.channels(), &server, path, question).await.inspect_err(|_| servers.failed(&server))
}

async fn post<Q: Serialize, A: DeserializeOwned>(channels: &Channels, server: &str, path: &str, question: &Q) -> anyhow::Result<A> {
    let body = Bytes::from(rmp_serde::to_vec_named(question)?);
    let request = hyper::Request::post(channels.uri(server, path)).body(Full::new(body))?;
    let response = channels.call(server, request, ANSWER).await.map_err(|e| anyhow!("{e}"))?;
    let status = response.status();
    let body = read_body(response.into_body(), MAX_ANSWER_BYTES, ANSWER).await?;
    if !status.is_success() {
        bail!("server {server} refused: {}", String::from_utf8_lossy(&body));
    }
    Ok(rmp_serde::from_slice(&body)?)
}
