//! Who this machine is in the cluster: its key, its certificate, whom it believes; made or asked for at the first start, renewed in time.
//!
//! A machine has one identity, whatever parts run on it. The first server of a cluster makes the cluster's authority; everybody else joins with
//! a token.

mod file;
mod join;
mod renew;

use super::config::AgentConfig;
use anyhow::{Context, bail};
pub(super) use file::IdentityFile;
use file::Record;
use floe_model::{Nanos, Timestamp};
use floe_pki::{Authority, Clock, ClusterId, Credentials, Keypair, Name, Request, Role};
use floe_server::rpc::CERTIFICATE_LIFETIME;
pub(super) use renew::renew_in_time;
use std::{path::Path, sync::Arc};

/// How long a cluster's authority counts.
const AUTHORITY_LIFETIME: Nanos = Nanos::from_mins(10 * 365 * 24 * 60);

/// Who this machine is.
pub(super) struct Identity {
    pub(super) credentials: Credentials,
    /// Servers have it, and let others in.
    pub(super) authority: Option<Arc<Authority>>,
    pub(super) file: IdentityFile,
    /// This machine made the cluster.
    pub(super) is_founder: bool,
    /// Servers that it was told of when it joined.
    pub(super) servers: Vec<String>,
}

/// The present time.
pub(super) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// The identity of this machine: the one that it has, or a new one. Joining waits for a server that can be reached.
pub(super) async fn open(config: &AgentConfig, data: &Path) -> anyhow::Result<Identity> {
    let file = IdentityFile::at(data);
    let (record, servers) = match file.load()? {
        Some(record) if !record.certificate.is_empty() => (record, Vec::new()),
        begun => {
            let (record, servers) = make(config, &file, begun).await?;
            file.save(&record)?;
            (record, servers)
        }
    };
    if config.server && record.role()? == Role::Client {
        bail!(
            "this machine is a client of the cluster and cannot run a server with that identity: stop it, remove {} (its tasks are placed anew), and join \
             with a token for a server (floe server token)",
            file.path().display()
        );
    }
    let what = || format!("identity file {}", file.path().display());
    let credentials = record.credentials(Clock::new(now)).with_context(what)?;
    let authority = record.authority().with_context(what)?.map(Arc::new);
    Ok(Identity { credentials, authority, is_founder: record.is_founder, servers, file })
}

async fn make(config: &AgentConfig, file: &IdentityFile, begun: Option<Record>) -> anyhow::Result<(Record, Vec<String>)> {
    match &config.join_token {
        Some(token) => {
            let key = match begun {
                Some(record) => Keypair::from_pkcs8(&record.key).with_context(|| format!("identity file {}", file.path().display()))?,
                None => Keypair::generate(),
            };
            file.save(&Record { key: key.pkcs8().to_vec(), ..Record::default() })?;
            join::join(config, token, &key).await
        }
        None if config.server && config.retry_join.is_empty() => {
            if file.path().with_file_name("server").join("raft.redb").exists() {
                bail!(
                    "this data folder has a server's log, but not the identity that belongs to it: restore the file {}; if the log was made with TLS off, \
                     start with tls.rpc = false; for a new cluster take another folder",
                    file.path().display()
                );
            }
            Ok((found(config)?, Vec::new()))
        }
        None if config.server => bail!(
            "server.retry_join names servers to join, but there is no token: make one on one of them (floe server token) and give it here \
             (join_token_file, or -join-token-file); to make a new cluster with this server, leave retry_join out at its first start"
        ),
        None => bail!(
            "this machine is in no cluster yet: make a token on a server (floe server token -client) and give it here (join_token_file, or -join-token-file)"
        ),
    }
}

/// A new cluster, with this machine as its first server.
fn found(config: &AgentConfig) -> anyhow::Result<Record> {
    let authority = Authority::create(ClusterId::draw(), now(), AUTHORITY_LIFETIME).context("make the cluster's authority")?;
    let key = Keypair::generate();
    let request = Request::verify(&key.request(&name(config)?)).context("make this server's certificate")?;
    let certificate = authority.issue(&request, Role::Server, now(), CERTIFICATE_LIFETIME).context("make this server's certificate")?;
    tracing::info!(cluster = %authority.cluster(), server = %key.id(), "this server makes a new cluster");
    Ok(Record {
        key: key.pkcs8().to_vec(),
        certificate: certificate.to_vec(),
        authorities: vec![authority.certificate().to_vec()],
        authority_key: authority.key().to_vec(),
        is_founder: true,
        was_member: false,
    })
}

fn name(config: &AgentConfig) -> anyhow::Result<Name> {
    config.name.parse().with_context(|| format!("name {:?} of this machine", config.name))
}
