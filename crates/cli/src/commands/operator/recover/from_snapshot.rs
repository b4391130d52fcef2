//! No server is left: the first one of a cluster that goes on from a snapshot.
//!
//! A snapshot holds the authority's key, sealed with a root key, which key-encryption keys of the configuration open. So the new server is one of the
//! old cluster to all clients: they come back by themselves, and their tasks never notice. All content is in place before the agent starts: clients
//! that found a server without their jobs would end them. The agreement is another one, as after any recovery, and the servers of the old one are
//! refused.
//!
//! The log comes first and the identity last, so what an interrupted run leaves is refused by the agent and by the next run.

use crate::{
    agent::{AgentConfig, Heir},
    args::{AgentArgs, RecoverArgs},
    commands::operator::snapshot::whole,
    files::read_bounded,
    output,
};
use anyhow::{Context, bail};
use floe_consensus::{Config, Consensus, DataFolder, ServerAddress, ServerId};
use floe_keyring::Keks;
use floe_pki::{Authority, Fingerprint};
use floe_state::{
    Command, Outcome, State,
    archive::{Archive, MAX_ARCHIVE_BYTES},
    keyring::{SealedAuthority, authority_context},
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(super) async fn command(args: &RecoverArgs, file: &Path) -> anyhow::Result<ExitCode> {
    let config = AgentConfig::load(&AgentArgs { config: args.config.clone(), ..AgentArgs::default() })?;
    let data = empty_folder(&config)?;
    let bytes = read_bounded(file, MAX_ARCHIVE_BYTES).with_context(|| format!("read {}", file.display()))?;
    let archive = whole(&bytes).with_context(|| file.display().to_string())?;
    let keks = config.open_keks(&data)?.context(
        "the configuration has no keyring block: name the key-encryption keys that open the snapshot's root keys \
         (floe operator snapshot inspect shows which)",
    )?;
    let authorities = open(&archive, &keks).await.context("go on from the snapshot")?;
    show(&archive, &authorities, &data);
    if !args.confirm {
        output::line("Nothing was changed. To do it, run the same command with -confirm.");
        return Ok(ExitCode::SUCCESS);
    }
    let heir = Heir::new(&config, &data, authorities)?;
    let made = async {
        fill(&config, &data, &heir, bytes, &given_up(&archive)).await?;
        heir.save()
    };
    made.await.with_context(|| format!("nothing came of it; remove what was begun in {}, and try again", data.display()))?;
    output::line(format!(
        "Done: this is server {} now, the only one. Start its agent; clients find it at the addresses that they have in client.servers. Then let \
         other servers join, with tokens (floe server token -server).",
        heir.id()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The data folder of the configuration, which nobody has used.
fn empty_folder(config: &AgentConfig) -> anyhow::Result<PathBuf> {
    if !config.server || !config.tls {
        bail!(
            "the configuration is not that of a server with TLS: enable the server part (server {{ enabled = true }}), and leave out tls.rpc = false"
        );
    }
    let data = config.data_dir.clone().context("the configuration names no data_dir")?;
    let is_used = match std::fs::read_dir(&data) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("data folder {}", data.display())),
    };
    if is_used {
        bail!(
            "the data folder {} is not empty: take another one, or move what is there away. If it is that of a server of the old cluster, go on from \
             its log instead: floe operator recover -data-dir {}",
            data.display(),
            data.display()
        );
    }
    Ok(data)
}

/// The authorities of the snapshot's cluster, that which signs first.
async fn open(archive: &Archive, keks: &Keks) -> anyhow::Result<Vec<Authority>> {
    if archive.metadata.redacted {
        bail!("it is redacted, so there are no keys in it; take the snapshot that it was made from");
    }
    let mut authorities = Vec::new();
    for sealed in in_order(&archive.state)? {
        authorities.push(open_authority(&archive.state, &sealed, keks).await?);
    }
    Ok(authorities)
}

/// What is sealed of the authorities, that which signs first. One that is not sealed yet is left out, if another one signs.
fn in_order(state: &State) -> anyhow::Result<Vec<SealedAuthority>> {
    let found: Vec<SealedAuthority> = match state.authorities() {
        None => state.sealed_authorities().map(|sealed| (**sealed).clone()).collect(),
        Some(known) => {
            let trusted = known.trusted();
            let missing = |der: &&&[u8]| state.sealed_authority(der).is_none();
            if let Some(signer) = trusted.first().filter(missing) {
                bail!("it does not hold the key of authority {}, which signs; take a later one", Fingerprint::of(signer));
            }
            trusted.into_iter().filter_map(|der| state.sealed_authority(der)).map(|sealed| (**sealed).clone()).collect()
        }
    };
    if found.is_empty() {
        bail!(
            "it does not hold the authority's key: it was made before there was a root key. Begin a new cluster, restore it there, and let all machines \
             join anew (docs/guide/backup.md)"
        );
    }
    Ok(found)
}

async fn open_authority(state: &State, sealed: &SealedAuthority, keks: &Keks) -> anyhow::Result<Authority> {
    let id = &sealed.key.key;
    let row = state.root_key(id).with_context(|| format!("root key {id}, with which the authority's key is sealed, is not in it"))?;
    let root = keks.unwrap(id, &row.wraps).await?;
    let key = root.open(&authority_context(&sealed.certificate), &sealed.key).context("open the authority's key")?;
    Ok(Authority::from_parts(&sealed.certificate, &key)?)
}

fn show(archive: &Archive, authorities: &[Authority], data: &Path) {
    let m = &archive.metadata;
    let all = authorities.iter().map(|authority| authority.fingerprint().to_string()).collect::<Vec<_>>().join(", ");
    output::line(format!(
        "The snapshot is of cluster {}, from {}, index {}. Its root keys open, and it holds the key of authority {all}.\n\n{} becomes the data folder \
         of the first and only server of a cluster that goes on from it. What was changed after the snapshot is lost. Clients come back by themselves, if \
         they find this server at an address that they know (client.servers), and end what the snapshot does not have.\n",
        m.cluster_id,
        output::moment(m.created.0),
        m.index,
        data.display()
    ));
    if !m.servers.is_empty() {
        output::line(format!(
            "Refused from then on: the old servers {}, and all that joined after the snapshot was made. Be sure that they do not run, and never start \
             them again with their old data folders: clients that know their addresses would go to them.\n",
            m.servers.join(", ")
        ));
    }
}

/// Who is refused from then on: the old servers that the snapshot knows, and the old agreement itself, by which those are known that joined after the
/// snapshot was made.
fn given_up(archive: &Archive) -> Vec<String> {
    let metadata = &archive.metadata;
    metadata.servers.iter().chain(std::iter::once(&metadata.cluster_id)).cloned().collect()
}

/// Makes the log of a cluster of this server alone, with all content, without any port.
async fn fill(config: &AgentConfig, data: &Path, heir: &Heir, bytes: Vec<u8>, given_up: &[String]) -> anyhow::Result<()> {
    let folder = DataFolder::open(data)?;
    let rpc = config.advertised(SocketAddr::new(config.bind, config.rpc_port));
    let address = ServerAddress::new(config.name.clone(), rpc);
    let consensus = Consensus::open(Config::single(ServerId::from(heir.id().to_string()), folder, address)).await?;
    let filled = restore(&consensus, bytes, given_up).await;
    consensus.shutdown().await;
    filled
}

async fn restore(consensus: &Consensus, bytes: Vec<u8>, given_up: &[String]) -> anyhow::Result<()> {
    floe_server::restore(consensus, bytes.into(), false).await?;
    for id in given_up {
        let outcome = consensus.propose(Command::RefuseAgent { id: id.clone() }).await?.outcome;
        if let Outcome::Refused(why) = outcome {
            bail!("refuse {id} of the old cluster: {why}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::keyring::{KeyId, Sealed, Wrapped};
    use floe_state::{
        Entry, Stamp,
        keyring::{Activation, KeyringChange, NewKey},
    };

    fn run(state: &mut State, command: Command) {
        let applied = state.apply(state.log_index() + 1, &Entry { stamp: Stamp::default(), command });
        assert_eq!(applied.outcome, Outcome::Done);
    }

    fn change(state: &mut State, change: KeyringChange) {
        run(state, Command::Keyring(Box::new(change)));
    }

    fn seal(state: &mut State, certificate: &[u8]) {
        let key = Sealed { key: KeyId::from("k"), nonce: vec![1], bytes: vec![1] };
        change(state, KeyringChange::SealAuthority(SealedAuthority { certificate: certificate.to_vec(), key }));
    }

    fn certificates(state: &State) -> Vec<Vec<u8>> {
        in_order(state).unwrap().into_iter().map(|sealed| sealed.certificate).collect()
    }

    #[test]
    fn the_authority_that_signs_is_the_first_in_every_step_of_its_replacement() {
        let mut state = State::default();
        let wraps = vec![Wrapped { kek: "a".to_owned(), bytes: vec![1] }];
        change(&mut state, KeyringChange::Put(NewKey { id: KeyId::from("k"), wraps, after: None, activation: Activation::Now }));
        assert!(in_order(&state).unwrap_err().to_string().contains("does not hold the authority's key"));
        seal(&mut state, b"old");
        assert_eq!(certificates(&state), [b"old".to_vec()]);
        run(&mut state, Command::BeginRotation { present: b"old".to_vec(), next: b"new".to_vec() });
        assert_eq!(certificates(&state), [b"old".to_vec()], "the next one is not sealed yet, and does not sign");
        let mut early = state.clone();
        seal(&mut state, b"new");
        assert_eq!(certificates(&state), [b"old".to_vec(), b"new".to_vec()]);
        for state in [&mut state, &mut early] {
            let round = state.authorities().unwrap().round;
            run(state, Command::AdvanceRotation { round });
        }
        assert_eq!(certificates(&state), [b"new".to_vec(), b"old".to_vec()]);
        assert!(in_order(&early).unwrap_err().to_string().contains("which signs; take a later one"));
    }
}
