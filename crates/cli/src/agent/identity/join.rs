//! Joining: a token, a key, and a server that can be reached make a certificate.

use super::{super::notify::Supervisor, AgentConfig, Record, name, now};
use anyhow::{Context, bail};
use bytes::Bytes;
use floe_api::rpc::{self, Join, Joined};
use floe_pki::{Clock, JoinToken, Keypair, pinned_client_config};
use floe_rpc::{Channels, read_body};
use floe_state::command::CLUSTER_VERSION;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use std::time::Duration;

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(15);
/// The pause before all servers are asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// The most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What a server said.
enum Answer {
    Joined(Box<Joined>),
    /// It will say the same next time.
    Refused(String),
    /// Another one, or this one later, may say otherwise.
    NotNow(String),
}

/// Asks one server after the other until one lets this machine in or refuses, `first` before those of the configuration.
///
/// `supervisor` hears of it when none could be reached: that is no failure of this agent.
pub(super) async fn join(
    config: &AgentConfig,
    token: &str,
    key: &Keypair,
    first: &[String],
    supervisor: &Supervisor,
) -> anyhow::Result<(Record, Vec<String>)> {
    let token: JoinToken = token.parse().context("join token")?;
    let configured = if config.server { &config.retry_join } else { &config.file.client.servers };
    let mut servers = first.to_vec();
    servers.extend(configured.iter().filter(|s| !first.contains(s)).cloned());
    if servers.is_empty() {
        let setting = if config.server { "server.retry_join" } else { "client.servers" };
        bail!("a join token is there, but no server to ask: name their RPC addresses (host:port) in {setting}");
    }
    let join =
        Join { token: token.text().to_string(), server: config.server, request: key.request(&name(config)?), version: CLUSTER_VERSION };
    let channels = Channels::with_config(pinned_client_config(token.fingerprint(), &Clock::new(now)));
    tracing::info!(servers = servers.join(", "), id = %key.id(), "joining the cluster");
    loop {
        for server in &servers {
            match ask(&channels, server, &join).await? {
                Answer::Joined(joined) => return Ok(take(key, *joined)),
                Answer::Refused(why) => bail!("server {server} does not let this machine in: {why}"),
                Answer::NotNow(why) => tracing::warn!(server, why, "not joined yet"),
            }
        }
        supervisor.ready(&format!("waiting to be let into the cluster by {}", servers.join(", ")));
        tokio::time::sleep(PAUSE).await;
    }
}

fn take(key: &Keypair, joined: Joined) -> (Record, Vec<String>) {
    let record = Record {
        key: key.pkcs8().to_vec(),
        certificate: joined.certificate,
        authorities: joined.authorities,
        authority_key: joined.authority_key,
        ..Record::default()
    };
    (record, joined.servers)
}

async fn ask(channels: &Channels, server: &str, join: &Join) -> anyhow::Result<Answer> {
    let body = Bytes::from(rmp_serde::to_vec_named(join).context("encode the request to join")?);
    let request =
        Request::post(channels.uri(server, rpc::JOIN)).body(Full::new(body)).with_context(|| format!("server address {server:?}"))?;
    let response = match channels.call(server, request, ANSWER).await {
        Ok(response) => response,
        Err(error) => return Ok(Answer::NotNow(error.to_string())),
    };
    let status = response.status();
    let body = match read_body(response.into_body(), MAX_ANSWER_BYTES, ANSWER).await {
        Ok(body) => body,
        Err(error) => return Ok(Answer::NotNow(error.to_string())),
    };
    let text = || String::from_utf8_lossy(&body).into_owned();
    Ok(match status {
        StatusCode::OK => match rmp_serde::from_slice(&body) {
            Ok(joined) => Answer::Joined(Box::new(joined)),
            Err(error) => Answer::Refused(format!("its answer cannot be understood ({error}): is it of a newer version?")),
        },
        status if status.is_client_error() => Answer::Refused(text()),
        _ => Answer::NotNow(text()),
    })
}
