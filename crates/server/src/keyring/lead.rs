//! What the leader does about root keys, as [`floe_control::keyring`] decides.

use super::{NO_KEK, TRY_AGAIN};
use crate::{Server, server::ServerError};
use floe_control::keyring::{Holdings, Step, steps};
use floe_keyring::{KekError, Keks, OpenError, RootKey, SealError};
use floe_model::keyring::KeyId;
use floe_state::{
    Command,
    keyring::{Activation, KeyringChange, NewKey, SealedAuthority, authority_context},
    variables::{Resealed, VariableChange},
};
use tokio::time::Instant;

/// How much of sealed items goes into one entry.
const RESEAL_BYTES: usize = 256 << 10;
/// What a variable takes beside them.
const RESEAL_ROW_BYTES: usize = 256;

/// A change of the root keys that is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    /// Nothing wraps.
    #[error("{NO_KEK}")]
    NoKek,
    /// A key-encryption key does not wrap.
    #[error(transparent)]
    Kek(#[from] KekError),
    /// No key was drawn, or nothing was sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A variable does not open.
    #[error("variable {0}: {1}; write it anew, or purge it (floe var purge)")]
    Open(String, OpenError),
    /// It did not get into the log.
    #[error(transparent)]
    Propose(#[from] ServerError),
    /// What is needed is not here any more; it is looked at again.
    #[error("root keys changed meanwhile")]
    Changed,
}

/// The key-encryption keys of this server, if there are any that wrap.
fn keks(server: &Server) -> Result<&Keks, KeyringError> {
    server.config().keks.as_deref().filter(|keks| !keks.ids().is_empty()).ok_or(KeyringError::NoKek)
}

/// Makes a root key, wrapped with all key-encryption keys of this server. Returns its id and the index of the change.
pub(crate) async fn make(server: &Server, activation: Activation) -> Result<(KeyId, u64), KeyringError> {
    let keks = keks(server)?;
    let after = server.view().active_root_key().map(|key| key.id.clone());
    let key = RootKey::generate()?;
    let (id, wraps) = (key.id().clone(), keks.wrap(&key).await?);
    let put = KeyringChange::Put(NewKey { id: id.clone(), wraps, after, activation });
    let index = propose(server, put).await?;
    tracing::info!(key = %id, ?activation, "a root key was made");
    server.root_keys().add(key);
    Ok((id, index))
}

async fn propose(server: &Server, change: KeyringChange) -> Result<u64, KeyringError> {
    Ok(server.propose(Command::Keyring(Box::new(change))).await?.0)
}

/// The leader's part; kept also while another one leads, to say nothing twice.
#[derive(Debug, Default)]
pub(super) struct Leader {
    said: String,
    /// When something failed last.
    failed: Option<Instant>,
}

impl Leader {
    /// Does what is to be done now. After a failure it rests, so that nobody is asked for wraps all the time.
    pub(super) async fn look(&mut self, server: &Server) {
        let state = server.view();
        let probe = Command::Keyring(Box::new(KeyringChange::Publish { id: KeyId::default() }));
        if state.cluster_version() < probe.since() || self.failed.is_some_and(|at| at.elapsed() < TRY_AGAIN) {
            return;
        }
        let wrapping = keks(server).map(Keks::ids).unwrap_or_default();
        let signers = server.door().map(|door| door.signers().all()).unwrap_or_default();
        let authorities: Vec<Vec<u8>> = signers.iter().map(|authority| authority.certificate().to_vec()).collect();
        let opened = server.root_keys().ids();
        let has = Holdings { keks: &wrapping, opened: &opened, authorities: &authorities };
        let mut failed = String::new();
        for step in steps(&state, &has, server.consensus().now(), server.config().keyring) {
            if let Err(error) = carry_out(server, step).await {
                failed = error.to_string();
                self.note_failure(&failed);
            }
        }
        self.said = failed;
    }

    fn note_failure(&mut self, error: &str) {
        self.failed = Some(Instant::now());
        if error != self.said {
            tracing::warn!(error, "a step about the root keys was not done; it is tried again");
        }
    }
}

async fn carry_out(server: &Server, step: Step) -> Result<(), KeyringError> {
    match step {
        Step::Make(activation) => make(server, activation).await.map(drop),
        Step::Publish(id) => {
            propose(server, KeyringChange::Publish { id: id.clone() }).await?;
            tracing::info!(key = %id, "a root key became active, as it was prepublished to");
            Ok(())
        }
        Step::Rewrap(id) => rewrap(server, id).await,
        Step::Seal(certificate) => seal(server, certificate).await,
        Step::Reseal(id) => reseal(server, &id).await,
        Step::Forget(id) => {
            propose(server, KeyringChange::Delete { id: id.clone(), force: false }).await?;
            tracing::info!(key = %id, "a root key with which nothing is sealed was forgotten");
            Ok(())
        }
    }
}

/// Seals all variables of a key anew, some at a time: what is one entry must stay small.
async fn reseal(server: &Server, id: &KeyId) -> Result<(), KeyringError> {
    let key = server.root_keys().get(id).ok_or(KeyringError::Changed)?;
    let mut done = 0;
    loop {
        let state = server.view();
        let active = state.active_root_key().and_then(|key| server.root_keys().get(&key.id)).ok_or(KeyringError::Changed)?;
        let (mut batch, mut bytes, mut damaged) = (Vec::new(), 0, None);
        for variable in state.variables().filter(|variable| variable.items.key == *id) {
            if bytes >= RESEAL_BYTES {
                break;
            }
            let context = variable.key.context();
            // One that does not open holds up no other.
            let plain = match key.open(&context, &variable.items) {
                Ok(plain) => plain,
                Err(error) => {
                    damaged = Some(KeyringError::Open(variable.key.to_string(), error));
                    continue;
                }
            };
            let resealed =
                Resealed { key: variable.key.clone(), modify_index: variable.modify_index, items: active.seal(&context, &plain)? };
            bytes += resealed.items.bytes.len() + RESEAL_ROW_BYTES;
            batch.push(resealed);
        }
        if batch.is_empty() {
            tracing::info!(key = %id, by = %active.id(), variables = done, "variables were sealed anew with another root key");
            return damaged.map_or(Ok(()), Err);
        }
        done += batch.len();
        server.propose(Command::Variable(Box::new(VariableChange::Reseal(batch)))).await?;
    }
}

async fn rewrap(server: &Server, id: KeyId) -> Result<(), KeyringError> {
    let (state, key) = (server.view(), server.root_keys().get(&id).ok_or(KeyringError::Changed)?);
    let row = state.root_key(&id).ok_or(KeyringError::Changed)?;
    let wraps: Vec<_> = keks(server)?.wrap(&key).await?.into_iter().filter(|wrap| !row.is_wrapped_by(&wrap.kek)).collect();
    let by = wraps.iter().map(|wrap| wrap.kek.as_str()).collect::<Vec<_>>().join(", ");
    propose(server, KeyringChange::Rewrap { id: id.clone(), modify_index: row.modify_index, wraps }).await?;
    tracing::info!(key = %id, by, "a root key was wrapped by further key-encryption keys");
    Ok(())
}

async fn seal(server: &Server, certificate: Vec<u8>) -> Result<(), KeyringError> {
    let state = server.view();
    let active = state.active_root_key().and_then(|key| server.root_keys().get(&key.id)).ok_or(KeyringError::Changed)?;
    let authority = server.door().and_then(|door| door.signers().find(&certificate)).ok_or(KeyringError::Changed)?;
    let key = active.seal(&authority_context(&certificate), authority.key())?;
    propose(server, KeyringChange::SealAuthority(SealedAuthority { certificate, key })).await?;
    tracing::info!(authority = %authority.fingerprint(), key = %active.id(), "the key of an authority was sealed with a root key");
    Ok(())
}
