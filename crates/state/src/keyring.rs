//! Root keys, by which the cluster seals what nobody may read in its log, and what is sealed with them.
//!
//! A root key itself is here only as it was wrapped by keys that are kept elsewhere (key-encryption keys, KEKs), once for each of them.
//!
//! | state | what it is for | becomes | when |
//! |---|---|---|---|
//! | [`KeyState::Prepublished`] | servers can open it before it is used | active | its time has come |
//! | [`KeyState::Active`] | what is sealed from now on | inactive, or rekeying with a full rotation | another one becomes active |
//! | [`KeyState::Inactive`] | what was sealed with it | rekeying | a full rotation, if something is sealed with it |
//! | [`KeyState::Rekeying`] | what was sealed with it, until all of that is sealed anew | inactive | nothing is sealed with it any more |
//!
//! As soon as there is a key, exactly one is active. No key goes with which something is sealed, unless an operator says so.

use crate::{State, restore::RestoreRefusal, table::Rows};
use floe_model::{
    Timestamp,
    keyring::{KeyId, Sealed, Wrapped},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How many root keys there are at most: some years of rotations.
pub const MAX_ROOT_KEYS: usize = 64;
/// How many wraps a root key has at most.
pub const MAX_WRAPS: usize = 16;
/// The most bytes of a wrap, and of the name of the key that made it.
pub const MAX_WRAP_BYTES: usize = 4096;
/// How many authorities are kept sealed: as many as agents trust.
pub const MAX_SEALED_AUTHORITIES: usize = 4;
/// The most bytes of a sealed authority's key, and of its certificate.
pub const MAX_AUTHORITY_BYTES: usize = 4096;

/// What a root key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It will be active.
    Prepublished {
        /// From when on.
        publish: Timestamp,
    },
    /// It seals.
    Active,
    /// It opens what it sealed.
    Inactive,
    /// As [`KeyState::Inactive`], and what it sealed is being sealed anew.
    Rekeying,
}

impl KeyState {
    /// The state's name, as clients know it.
    pub fn name(self) -> &'static str {
        match self {
            KeyState::Prepublished { .. } => "prepublished",
            KeyState::Active => "active",
            KeyState::Inactive => "inactive",
            KeyState::Rekeying => "rekeying",
        }
    }
}

/// A root key as the servers agree on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Which one.
    pub id: KeyId,
    /// What it is for.
    pub state: KeyState,
    /// Since when it is that.
    pub since: Timestamp,
    /// When it was made.
    pub create_time: Timestamp,
    /// The index at which it was made.
    pub create_index: u64,
    /// The index at which it last changed.
    pub modify_index: u64,
    /// The key, as each of several others wrapped it.
    pub wraps: Vec<Wrapped>,
}

impl WrappedKey {
    /// Whether the key-encryption key with this id can open it.
    pub fn is_wrapped_by(&self, kek: &str) -> bool {
        self.wraps.iter().any(|wrap| wrap.kek == kek)
    }
}

/// An authority of the cluster with its secret key, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedAuthority {
    /// Its certificate, in DER.
    pub certificate: Vec<u8>,
    /// Its key (PKCS#8, DER), sealed in the [`authority_context`] of the certificate.
    pub key: Sealed,
}

/// What the seal of an authority's key is bound to, so that it cannot be passed off as something else.
pub fn authority_context(certificate: &[u8]) -> Vec<u8> {
    format!("floe authority key {}", fingerprint(certificate)).into_bytes()
}

/// SHA-256 of a certificate (DER), as hexadecimal digits: by it a sealed authority is found.
pub(crate) fn fingerprint(certificate: &[u8]) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// See [`crate::Command::Keyring`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyringChange {
    /// A new root key.
    Put(NewKey),
    /// The time of a prepublished key has come: it becomes the active one.
    Publish {
        /// Which one.
        id: KeyId,
    },
    /// Further wraps of a key; none is ever taken away.
    Rewrap {
        /// Which one.
        id: KeyId,
        /// Its modify index, as the proposer saw it.
        modify_index: u64,
        /// The wraps to add.
        wraps: Vec<Wrapped>,
    },
    /// A key is forgotten.
    Delete {
        /// Which one.
        id: KeyId,
        /// Also when something is sealed with it, which nobody can open then.
        force: bool,
    },
    /// The key of one of the cluster's authorities, sealed with the active root key. Takes the place of an earlier one.
    SealAuthority(SealedAuthority),
}

/// See [`KeyringChange::Put`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// Its wraps; at least one.
    pub wraps: Vec<Wrapped>,
    /// Which key was active when it was made: of two servers that make one at a time one is refused.
    pub after: Option<KeyId>,
    /// When it becomes active.
    pub activation: Activation,
}

/// When a new key becomes active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// At once.
    Now,
    /// At once, and all that was sealed with others is sealed anew with it.
    Full,
    /// Then; but at once, if it is the first one.
    At(Timestamp),
}

impl KeyringChange {
    /// The name of the kind of change, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            KeyringChange::Put(_) => "put-root-key",
            KeyringChange::Publish { .. } => "publish-root-key",
            KeyringChange::Rewrap { .. } => "rewrap-root-key",
            KeyringChange::Delete { .. } => "delete-root-key",
            KeyringChange::SealAuthority(_) => "seal-authority",
        }
    }
}

/// Why the keyring was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum KeyringRefusal {
    /// No such key.
    #[error("root key {0} not found: floe operator root keyring list shows those that are there")]
    NotFound(KeyId),
    /// Another one was first.
    #[error("another root key became active meanwhile: look at floe operator root keyring list, and rotate again if it is still to be")]
    OtherActive,
    /// More than anybody needs.
    #[error("there are {MAX_ROOT_KEYS} root keys already: remove some that are inactive (floe operator root keyring remove)")]
    TooMany,
    /// It could never be opened again.
    #[error("the root key is wrapped by no key-encryption key, so nobody could open it")]
    NoWrap,
    /// More key-encryption keys than a key takes, or larger ones.
    #[error(
        "a root key takes {MAX_WRAPS} wraps of at most {MAX_WRAP_BYTES} bytes each, and this would be more: configure fewer keyring blocks"
    )]
    WrapsTooLarge,
    /// It changed meanwhile.
    #[error("root key {0} was changed meanwhile; it is looked at again")]
    Changed(KeyId),
    /// It seals.
    #[error("root key {0} is active: rotate first (floe operator root keyring rotate), then remove it")]
    Active(KeyId),
    /// It is no prepublished key.
    #[error("root key {0} is not prepublished")]
    NotPrepublished(KeyId),
    /// It would be missed.
    #[error(
        "{uses} things are sealed with root key {id}, and nobody could open them without it: seal them anew first (floe operator root keyring rotate \
         -full), or remove it all the same with -force"
    )]
    InUse {
        /// Which key.
        id: KeyId,
        /// How many.
        uses: usize,
    },
    /// Sealed with a key that does not seal any more.
    #[error("what was sealed with root key {0} is not kept: another one is active; it is sealed anew")]
    NotActive(KeyId),
    /// None of the cluster's authorities, or too large for one.
    #[error("the authority is none of the cluster's present ones; nothing was kept")]
    OtherAuthority,
}

impl State {
    /// The root keys in order of their ids.
    pub fn root_keys(&self) -> impl Iterator<Item = &Arc<WrappedKey>> {
        self.root_keys.values()
    }

    /// The root key, if it is there.
    pub fn root_key(&self, id: &KeyId) -> Option<&Arc<WrappedKey>> {
        self.root_keys.get(id)
    }

    /// The root key that seals; `None` only as long as there is no key at all.
    pub fn active_root_key(&self) -> Option<&Arc<WrappedKey>> {
        self.root_keys().find(|key| key.state == KeyState::Active)
    }

    /// The cluster's authorities whose keys are sealed.
    pub fn sealed_authorities(&self) -> impl Iterator<Item = &Arc<SealedAuthority>> {
        self.sealed_authorities.values()
    }

    /// The sealed key of the authority with this certificate (DER).
    pub fn sealed_authority(&self, certificate: &[u8]) -> Option<&Arc<SealedAuthority>> {
        self.sealed_authorities.get(fingerprint(certificate).as_str())
    }

    /// How many things are sealed with a root key.
    pub fn sealed_with(&self, id: &KeyId) -> usize {
        self.sealed_authorities().filter(|authority| authority.key.key == *id).count() + self.variables_sealed_with(id)
    }
}

/// Whether wraps are within bounds.
pub(crate) fn fit(wraps: &[Wrapped]) -> bool {
    wraps.len() <= MAX_WRAPS && wraps.iter().all(|wrap| wrap.bytes.len() <= MAX_WRAP_BYTES && wrap.kek.len() <= MAX_WRAP_BYTES)
}

/// The keys after a restore: the present ones as they are, so that all stays readable that is sealed with them, and those of the backup with
/// them, so that what comes with it can be read. The present active key stays active; a cluster without keys takes that of the backup.
///
/// # Errors
/// When they are too many, or larger than keys can be.
pub(crate) fn union(state: &State, backup: &State) -> Result<Rows<KeyId, Arc<WrappedKey>>, RestoreRefusal> {
    let mut keys = state.root_keys.clone();
    let mut is_active = state.active_root_key().is_some();
    // Newest first: should a backup have several active ones, one is taken.
    let mut come: Vec<&Arc<WrappedKey>> = backup.root_keys().filter(|key| state.root_key(&key.id).is_none()).collect();
    come.sort_by_key(|key| std::cmp::Reverse((key.state == KeyState::Active, key.create_index)));
    for key in come {
        if !fit(&key.wraps) {
            return Err(RestoreRefusal::RootKeys);
        }
        let state = if is_active { KeyState::Inactive } else { KeyState::Active };
        is_active = true;
        keys.insert(key.id.clone(), Arc::new(WrappedKey { state, ..(**key).clone() }));
    }
    if keys.len() > MAX_ROOT_KEYS { Err(RestoreRefusal::RootKeys) } else { Ok(keys) }
}
