//! Who this machine is in the cluster: its key, its certificate, whom it believes; made or asked for at the first start, renewed in time.
//!
//! A machine has one identity, whatever parts run on it. The first server of a cluster makes the cluster's authority; everybody else joins with
//! a token. Servers that begin a cluster together agree first on which of them is the first.

mod again;
mod bootstrap;
mod file;
mod join;
mod renew;

use super::config::AgentConfig;
pub(crate) use again::Heir;
use anyhow::{Context, bail};
pub(super) use bootstrap::Meanwhile;
pub(super) use file::IdentityFile;
use file::Record;
use floe_model::Timestamp;
use floe_pki::{AgentId, Authority, Clock, ClusterId, Credentials, Keypair, Name, Request, Role};
use floe_server::{
    Server, Signers,
    rpc::{AUTHORITY_LIFETIME, CERTIFICATE_LIFETIME},
};
pub(super) use renew::{follow_authorities, renew_in_time};
use std::path::Path;

/// Who this machine is.
pub(super) struct Identity {
    pub(super) credentials: Credentials,
    /// Servers have the authorities' keys, and let others in.
    pub(super) signers: Option<Signers>,
    /// Held by whoever exchanges certificate or trust.
    changing: tokio::sync::Mutex<()>,
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
pub(super) async fn open(config: &AgentConfig, data: &Path, meanwhile: &Meanwhile<'_>) -> anyhow::Result<Identity> {
    let file = IdentityFile::at(data);
    let found = file.load()?;
    let is_new = found.as_ref().is_none_or(|record| record.certificate.is_empty());
    let (record, servers) = match found {
        Some(record) if !is_new => (record, Vec::new()),
        begun => {
            let (record, servers) = make(config, &file, begun, meanwhile).await?;
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
    let keys = record.keys().with_context(what)?;
    let signers = (!keys.is_empty()).then(|| signers(keys, &file));
    if is_new && record.is_founder {
        tracing::info!(cluster = %credentials.me().cluster, server = %credentials.me().id, "this server makes a new cluster");
    }
    Ok(Identity { credentials, signers, changing: tokio::sync::Mutex::default(), is_founder: record.is_founder, servers, file })
}

/// The keys of authorities: a further one gets into the identity file before it counts.
fn signers(keys: Vec<Authority>, file: &IdentityFile) -> Signers {
    let file = file.clone();
    Signers::new(keys, move |authority| {
        let other = (authority.certificate().to_vec(), authority.key().to_vec());
        file.edit(|record| record.other_keys.push(other)).map_err(|e| format!("{e:#}"))
    })
}

async fn make(
    config: &AgentConfig,
    file: &IdentityFile,
    begun: Option<Record>,
    meanwhile: &Meanwhile<'_>,
) -> anyhow::Result<(Record, Vec<String>)> {
    let begin = || Begun::new(file, begun.clone());
    match &config.join_token {
        Some(token) => join::join(config, token, &begin()?.key, &[], meanwhile.supervisor).await,
        None if config.server && config.bootstrap_expect > 1 => {
            refuse_foreign_log(file)?;
            let Begun { key, record } = begin()?;
            match bootstrap::wait(config, file, &key, &record, meanwhile).await? {
                bootstrap::Outcome::First(founders) => {
                    let founders = founders.iter().map(AgentId::to_string).collect();
                    Ok((Record { founders, ..found(config, &key)? }, Vec::new()))
                }
                bootstrap::Outcome::LetIn { token, server } => join::join(config, &token, &key, &[server], meanwhile.supervisor).await,
            }
        }
        None if config.server && config.retry_join.is_empty() => {
            refuse_foreign_log(file)?;
            Ok((found(config, &Keypair::generate())?, Vec::new()))
        }
        None if config.server => bail!(
            "server.retry_join names servers to join, but there is no token: make one on one of them (floe server token) and give it here \
             (join_token_file, or -join-token-file); to make a new cluster with this server, leave retry_join out at its first start, or let all \
             servers begin it together (bootstrap_expect)"
        ),
        None => bail!(
            "this machine is in no cluster yet: make a token on a server (floe server token -client) and give it here (join_token_file, or -join-token-file)"
        ),
    }
}

/// A machine that is in no cluster yet: its key is on disk before anybody hears of its id.
struct Begun {
    key: Keypair,
    record: Record,
}

impl Begun {
    fn new(file: &IdentityFile, begun: Option<Record>) -> anyhow::Result<Self> {
        if let Some(record) = begun {
            let key = Keypair::from_pkcs8(&record.key).with_context(|| format!("identity file {}", file.path().display()))?;
            return Ok(Self { key, record });
        }
        let key = Keypair::generate();
        let record = Record { key: key.pkcs8().to_vec(), ..Record::default() };
        file.save(&record)?;
        Ok(Self { key, record })
    }
}

/// A log without the identity that it belongs to is of another server.
fn refuse_foreign_log(file: &IdentityFile) -> anyhow::Result<()> {
    if file.path().with_file_name("server").join("raft.redb").exists() {
        bail!(
            "this data folder has a server's log, but not the identity that belongs to it: restore the file {}; if the log was made with TLS off, \
             start with tls.rpc = false; for a new cluster take another folder",
            file.path().display()
        );
    }
    Ok(())
}

/// A new cluster, with this machine as its first server.
fn found(config: &AgentConfig, key: &Keypair) -> anyhow::Result<Record> {
    let authority = Authority::create(ClusterId::draw(), now(), AUTHORITY_LIFETIME).context("make the cluster's authority")?;
    let request = Request::verify(&key.request(&name(config)?)).context("make this server's certificate")?;
    let certificate = authority.issue(&request, Role::Server, now(), CERTIFICATE_LIFETIME).context("make this server's certificate")?;
    Ok(Record {
        key: key.pkcs8().to_vec(),
        certificate: certificate.to_vec(),
        authorities: vec![authority.certificate().to_vec()],
        authority_key: authority.key().to_vec(),
        is_founder: true,
        ..Record::default()
    })
}

impl Identity {
    /// Tells the cluster which servers began it, if this one began it with others and it does not know yet.
    pub(super) async fn name_founders(&self, server: &Server) -> anyhow::Result<()> {
        let founders = self.file.load()?.map(|record| record.founders).unwrap_or_default();
        if founders.is_empty() {
            return Ok(());
        }
        let what = "write down which servers began the cluster";
        server.begin_founding(founders).await.context(what)?;
        self.file.edit(|record| record.founders.clear()).context(what)
    }
}

fn name(config: &AgentConfig) -> anyhow::Result<Name> {
    config.name.parse().with_context(|| format!("name {:?} of this machine", config.name))
}
