//! What is derived from variables: by which root keys they are sealed, and how much they take.

use floe_model::{KeyId, Variable};
use imbl::OrdMap;

/// Sums over all variables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sealing {
    by_key: OrdMap<KeyId, usize>,
    bytes: u64,
}

impl Sealing {
    pub(super) fn count(&self, key: &KeyId) -> usize {
        self.by_key.get(key).copied().unwrap_or(0)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn change(&mut self, old: Option<&Variable>, new: Option<&Variable>) {
        if let Some(new) = new {
            self.bytes += new.items.bytes.len() as u64;
            *self.by_key.entry(new.items.key.clone()).or_default() += 1;
        }
        let Some(old) = old else { return };
        self.bytes = self.bytes.saturating_sub(old.items.bytes.len() as u64);
        if self.count(&old.items.key) > 1 {
            *self.by_key.entry(old.items.key.clone()).or_default() -= 1;
        } else {
            self.by_key.remove(&old.items.key);
        }
    }
}
