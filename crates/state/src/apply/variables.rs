//! Variables come, change and go.

use super::writer::Writer;
use crate::{
    command::{Outcome, Refusal},
    keyring::KeyState,
    variables::{MAX_ALL_SEALED_BYTES, MAX_SEALED_BYTES, MAX_VARIABLES, Resealed, VariableChange, VariableRefusal},
};
use floe_model::{KeyId, Sealed, Variable, VariableKey};
use std::sync::Arc;

impl Writer<'_> {
    pub(super) fn variable(&mut self, change: &VariableChange) -> Result<Outcome, Refusal> {
        Ok(match change {
            VariableChange::Put { key, items, check_index } => self.put_items(key, items, *check_index)?,
            VariableChange::Delete { key, check_index } => {
                self.check_index(key, *check_index)?;
                self.remove_variable(key);
                self.end_rekeying();
                Outcome::Done
            }
            VariableChange::Reseal(all) => {
                for sealed in all {
                    self.reseal(sealed);
                }
                self.end_rekeying();
                Outcome::Done
            }
        })
    }

    fn put_items(&mut self, key: &VariableKey, items: &Sealed, check_index: Option<u64>) -> Result<Outcome, VariableRefusal> {
        self.check_index(key, check_index)?;
        self.check_room(key, items)?;
        let old = self.state.variable(key).cloned();
        let sealed_by = self.state.root_key(&items.key).cloned().ok_or_else(|| VariableRefusal::NoSuchKey(items.key.clone()))?;
        let now = self.now.0;
        let (create_index, create_time) = old.map_or((self.index, now), |old| (old.create_index, old.create_time));
        let (key, items) = (key.clone(), items.clone());
        self.put_variable(Variable { key, items, create_index, modify_index: self.index, create_time, modify_time: now });
        // A server that had not heard of the rotation yet sealed it: the leader does it again.
        if sealed_by.state == KeyState::Inactive {
            self.turn(&sealed_by.id, KeyState::Rekeying);
        }
        self.end_rekeying();
        Ok(Outcome::Variable { create_index, create_time, modify_time: now })
    }

    fn check_index(&self, key: &VariableKey, wanted: Option<u64>) -> Result<(), VariableRefusal> {
        let found = self.state.variable(key).map_or(0, |variable| variable.modify_index);
        match wanted {
            Some(wanted) if wanted != found => Err(VariableRefusal::Conflict { wanted, found }),
            _ => Ok(()),
        }
    }

    fn check_room(&self, key: &VariableKey, items: &Sealed) -> Result<(), VariableRefusal> {
        let bytes = items.bytes.len() + items.nonce.len();
        if bytes > MAX_SEALED_BYTES {
            return Err(VariableRefusal::Large(bytes));
        }
        let old = self.state.variable(key).map(|old| old.items.bytes.len() as u64);
        let total = self.state.derived.sealed_bytes().saturating_sub(old.unwrap_or(0)).saturating_add(items.bytes.len() as u64);
        let is_full = old.is_none() && self.state.variables.len() >= MAX_VARIABLES;
        if is_full || total > MAX_ALL_SEALED_BYTES { Err(VariableRefusal::NoRoom) } else { Ok(()) }
    }

    fn reseal(&mut self, new: &Resealed) {
        let is_known = |id: &KeyId| self.state.root_key(id).is_some();
        let Some(old) = self.state.variable(&new.key).filter(|old| old.modify_index == new.modify_index && is_known(&new.items.key)) else {
            return;
        };
        let sealed = Variable { items: new.items.clone(), ..(**old).clone() };
        // Nothing that anybody can see has changed.
        self.state.set_variable(Arc::new(sealed));
    }
}
