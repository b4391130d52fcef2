//! [`RootKey`]: 32 random bytes with an id, which seal what the cluster keeps secret. Knows nothing of what it seals.

use crate::{
    OpenError, SealError,
    cipher::{self, Key, SALT_BYTES},
};
use floe_model::keyring::{KeyId, Sealed};
use std::fmt;
use zeroize::Zeroizing;

/// What a root key's messages are told from all others by.
const SEAL: &[u8] = b"floe root key seal 1\0";

/// The most bytes that one call seals: 16 MiB. What the log holds is much smaller.
pub const MAX_PLAIN_BYTES: usize = 16 << 20;

/// A root key. Zeroed when dropped; its bytes are neither printed nor given away.
pub struct RootKey {
    id: KeyId,
    key: Key,
}

impl RootKey {
    /// A new key with a new id.
    ///
    /// # Errors
    /// When the kernel gives no random numbers.
    pub fn generate() -> Result<Self, SealError> {
        let id = uuid::Builder::from_random_bytes(*cipher::random()?).into_uuid();
        Ok(Self { id: KeyId::new(id.hyphenated().to_string()), key: cipher::random()? })
    }

    /// Its public name.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Seals `plain` for `context`: it opens for just that context again. The context is not kept; it is what both sides know, such as the path of
    /// what is sealed.
    ///
    /// # Errors
    /// When `plain` is larger than [`MAX_PLAIN_BYTES`], or the kernel gives no random numbers.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Sealed, SealError> {
        if plain.len() > MAX_PLAIN_BYTES {
            return Err(SealError::TooLarge);
        }
        let salt = cipher::random::<SALT_BYTES>()?;
        let bytes = cipher::seal(&self.key, &salt, &self.bound(context), plain);
        Ok(Sealed { key: self.id.clone(), nonce: salt.to_vec(), bytes })
    }

    /// Opens what this key sealed for this context.
    ///
    /// # Errors
    /// When another key sealed it, or it was sealed for another context, or was changed.
    pub fn open(&self, context: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if sealed.key != self.id {
            return Err(OpenError::OtherKey { sealed: sealed.key.clone(), key: self.id.clone() });
        }
        cipher::open(&self.key, &sealed.nonce, &self.bound(context), &sealed.bytes).ok_or_else(|| OpenError::Refused(self.id.clone()))
    }

    pub(crate) fn from_parts(id: KeyId, key: Key) -> Self {
        Self { id, key }
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// What a message is bound to. The id ends with a zero byte, which no id holds, so that no context can be taken for a part of it.
    fn bound<'a>(&'a self, context: &'a [u8]) -> [&'a [u8]; 4] {
        [SEAL, self.id.as_str().as_bytes(), b"\0", context]
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey").field("id", &self.id).finish_non_exhaustive()
    }
}
