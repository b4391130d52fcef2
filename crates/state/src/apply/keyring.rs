//! Root keys come, change their states, and go; and what is sealed with them.

use super::writer::Writer;
use crate::{
    authorities::Authorities,
    command::{Outcome, Refusal},
    keyring::{
        Activation, KeyState, KeyringChange, KeyringRefusal, MAX_AUTHORITY_BYTES, MAX_ROOT_KEYS, MAX_SEALED_AUTHORITIES, NewKey,
        SealedAuthority, WrappedKey, fingerprint, fit,
    },
};
use floe_model::keyring::{KeyId, Wrapped};
use std::sync::Arc;

impl Writer<'_> {
    pub(super) fn keyring(&mut self, change: &KeyringChange) -> Result<Outcome, Refusal> {
        match change {
            KeyringChange::Put(new) => self.put_root_key(new),
            KeyringChange::Publish { id } => self.publish_root_key(id),
            KeyringChange::Rewrap { id, modify_index, wraps } => self.rewrap_root_key(id, *modify_index, wraps),
            KeyringChange::Delete { id, force } => self.delete_root_key(id, *force),
            KeyringChange::SealAuthority(sealed) => self.seal_authority(sealed),
        }?;
        Ok(Outcome::Done)
    }

    fn put_root_key(&mut self, new: &NewKey) -> Result<(), KeyringRefusal> {
        if self.state.root_key(&new.id).is_some() {
            // Its answer was lost.
            return Ok(());
        }
        if self.state.active_root_key().map(|key| &key.id) != new.after.as_ref() {
            return Err(KeyringRefusal::OtherActive);
        }
        if self.state.root_keys.len() >= MAX_ROOT_KEYS {
            return Err(KeyringRefusal::TooMany);
        }
        if new.wraps.is_empty() {
            return Err(KeyringRefusal::NoWrap);
        }
        if !fit(&new.wraps) {
            return Err(KeyringRefusal::WrapsTooLarge);
        }
        let state = match new.activation {
            Activation::At(publish) if new.after.is_some() => KeyState::Prepublished { publish },
            Activation::Now | Activation::Full | Activation::At(_) => KeyState::Active,
        };
        if state == KeyState::Active {
            self.retire_others(new.activation == Activation::Full);
        }
        let key = WrappedKey {
            id: new.id.clone(),
            state,
            since: self.now,
            create_time: self.now,
            create_index: self.index,
            modify_index: self.index,
            wraps: new.wraps.clone(),
        };
        self.state.root_keys.insert(new.id.clone(), Arc::new(key));
        self.end_rekeying();
        Ok(())
    }

    fn publish_root_key(&mut self, id: &KeyId) -> Result<(), KeyringRefusal> {
        match self.root_key(id)?.state {
            KeyState::Active => return Ok(()),
            KeyState::Prepublished { .. } => {}
            KeyState::Inactive | KeyState::Rekeying => return Err(KeyringRefusal::NotPrepublished(id.clone())),
        }
        self.retire_others(false);
        self.turn(id, KeyState::Active);
        Ok(())
    }

    /// The active key is active no more; with a full rotation all that is sealed, with whatever key, is to be sealed anew.
    fn retire_others(&mut self, full: bool) {
        let old: Vec<(KeyId, KeyState)> = self.state.root_keys().map(|key| (key.id.clone(), key.state)).collect();
        for (id, state) in old {
            match state {
                KeyState::Active | KeyState::Inactive if full && self.state.sealed_with(&id) > 0 => self.turn(&id, KeyState::Rekeying),
                KeyState::Active => self.turn(&id, KeyState::Inactive),
                KeyState::Prepublished { .. } | KeyState::Inactive | KeyState::Rekeying => {}
            }
        }
    }

    /// Where all is sealed anew, rekeying is over.
    pub(super) fn end_rekeying(&mut self) {
        let rekeying = self.state.root_keys().filter(|key| key.state == KeyState::Rekeying).map(|key| key.id.clone());
        for id in rekeying.collect::<Vec<_>>() {
            if self.state.sealed_with(&id) == 0 {
                self.turn(&id, KeyState::Inactive);
            }
        }
    }

    pub(super) fn turn(&mut self, id: &KeyId, state: KeyState) {
        let Some(key) = self.state.root_key(id) else { return };
        let key = WrappedKey { state, since: self.now, modify_index: self.index, ..(**key).clone() };
        self.state.root_keys.insert(id.clone(), Arc::new(key));
    }

    fn rewrap_root_key(&mut self, id: &KeyId, modify_index: u64, wraps: &[Wrapped]) -> Result<(), KeyringRefusal> {
        let key = self.root_key(id)?;
        if key.modify_index != modify_index {
            return Err(KeyringRefusal::Changed(id.clone()));
        }
        let mut all = key.wraps.clone();
        for wrap in wraps {
            if !all.iter().any(|known| known.kek == wrap.kek) {
                all.push(wrap.clone());
            }
        }
        if !fit(&all) {
            return Err(KeyringRefusal::WrapsTooLarge);
        }
        let key = WrappedKey { wraps: all, modify_index: self.index, ..(*key).clone() };
        self.state.root_keys.insert(id.clone(), Arc::new(key));
        Ok(())
    }

    fn delete_root_key(&mut self, id: &KeyId, force: bool) -> Result<(), KeyringRefusal> {
        if self.root_key(id)?.state == KeyState::Active {
            return Err(KeyringRefusal::Active(id.clone()));
        }
        let uses = self.state.sealed_with(id);
        if uses > 0 && !force {
            return Err(KeyringRefusal::InUse { id: id.clone(), uses });
        }
        self.state.root_keys.remove(id);
        // What nobody can open is not kept: the leader seals it again with the active key.
        self.keep_authorities(|sealed| sealed.key.key != *id);
        Ok(())
    }

    fn seal_authority(&mut self, sealed: &SealedAuthority) -> Result<(), KeyringRefusal> {
        if self.root_key(&sealed.key.key)?.state != KeyState::Active {
            return Err(KeyringRefusal::NotActive(sealed.key.key.clone()));
        }
        let certificate = sealed.certificate.as_slice();
        let is_ours = self.state.authorities.as_ref().is_none_or(|known| known.trusted().contains(&certificate));
        let is_small = certificate.len().max(sealed.key.bytes.len()).max(sealed.key.nonce.len()) <= MAX_AUTHORITY_BYTES;
        let has_room = self.state.sealed_authorities.len() < MAX_SEALED_AUTHORITIES || self.state.sealed_authority(certificate).is_some();
        if !is_ours || !is_small || !has_room {
            return Err(KeyringRefusal::OtherAuthority);
        }
        self.state.sealed_authorities.insert(fingerprint(certificate), Arc::new(sealed.clone()));
        self.end_rekeying();
        Ok(())
    }

    /// Authorities that are given up need their keys no more, and nobody else does.
    pub(super) fn forget_sealed_authorities(&mut self, present: &Authorities) {
        let trusted: Vec<Vec<u8>> = present.trusted().into_iter().map(<[u8]>::to_vec).collect();
        self.keep_authorities(|sealed| trusted.contains(&sealed.certificate));
        self.end_rekeying();
    }

    fn keep_authorities(&mut self, is_kept: impl Fn(&SealedAuthority) -> bool) {
        let gone = self.state.sealed_authorities.iter().filter(|(_, sealed)| !is_kept(sealed)).map(|(name, _)| name.clone());
        for name in gone.collect::<Vec<String>>() {
            self.state.sealed_authorities.remove(&name);
        }
    }

    fn root_key(&self, id: &KeyId) -> Result<Arc<WrappedKey>, KeyringRefusal> {
        self.state.root_key(id).cloned().ok_or_else(|| KeyringRefusal::NotFound(id.clone()))
    }
}
