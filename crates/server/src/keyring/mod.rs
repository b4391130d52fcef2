//! The root keys that this server could open, and the keyring task: it opens them as they appear in the state, on every server, and while this server
//! leads it does what [`floe_control::keyring`] says.
//!
//! A server that cannot open a key goes on with everything that does not need it, and says what to configure: in its log, in its health, in a
//! metric, and where the keys are listed.

mod lead;

pub(crate) use lead::{KeyringError, make};

use crate::Server;
use floe_keyring::{Keks, RootKey};
use floe_model::keyring::KeyId;
use floe_state::{State, keyring::WrappedKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::Instant;

/// How often the state is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How soon it is tried again to open a key, or to do what failed: a Vault may have been out of reach.
const TRY_AGAIN: Duration = Duration::from_secs(15);

/// Why there are no root keys.
pub(crate) const NO_KEK: &str = "this server has no key-encryption key, so it makes no root keys: name one that is kept elsewhere than the data, by a \
    keyring block in its configuration (keyring \"file\", \"credential\", \"age\" or \"transit\"), on every server, and start it again; \
    docs/guide/keys.md shows how";

/// A key that could not be opened.
#[derive(Clone, Debug)]
struct Closed {
    why: String,
    /// The row that was tried: another wrap may help.
    modify_index: u64,
    tried: Instant,
}

/// The root keys of this server. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RootKeys(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    opened: BTreeMap<KeyId, Arc<RootKey>>,
    closed: BTreeMap<KeyId, Closed>,
}

impl RootKeys {
    /// The key, if it could be opened.
    pub(crate) fn get(&self, id: &KeyId) -> Option<Arc<RootKey>> {
        self.read(|known| known.opened.get(id).cloned())
    }

    /// The ids of those that could be opened.
    fn ids(&self) -> BTreeSet<KeyId> {
        self.read(|known| known.opened.keys().cloned().collect())
    }

    /// Why keys could not be opened.
    pub(crate) fn closed(&self) -> BTreeMap<KeyId, String> {
        self.read(|known| known.closed.iter().map(|(id, closed)| (id.clone(), closed.why.clone())).collect())
    }

    fn read<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn edit(&self, edit: impl FnOnce(&mut Known)) {
        // Each change is whole, also when a panic left the lock.
        edit(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn add(&self, key: RootKey) {
        let id = key.id().clone();
        self.edit(|known| {
            known.closed.remove(&id);
            known.opened.insert(id, Arc::new(key));
        });
    }

    /// Opens what is new, and forgets what is gone.
    async fn follow(&self, state: &State, keks: Option<&Keks>) {
        self.edit(|known| {
            known.opened.retain(|id, _| state.root_key(id).is_some());
            known.closed.retain(|id, _| state.root_key(id).is_some());
        });
        for key in state.root_keys().filter(|key| self.is_due(key)) {
            match open(keks, key).await {
                Ok(opened) => {
                    tracing::info!(key = %key.id, state = key.state.name(), "a root key is opened");
                    self.add(opened);
                }
                Err(why) => self.note_closed(key, why),
            }
        }
    }

    fn is_due(&self, key: &WrappedKey) -> bool {
        self.read(|known| {
            let waits = |closed: &Closed| closed.modify_index == key.modify_index && closed.tried.elapsed() < TRY_AGAIN;
            !known.opened.contains_key(&key.id) && !known.closed.get(&key.id).is_some_and(waits)
        })
    }

    fn note_closed(&self, key: &WrappedKey, why: String) {
        let is_new = self.read(|known| known.closed.get(&key.id).is_none_or(|closed| closed.why != why));
        if is_new {
            tracing::warn!(key = %key.id, state = key.state.name(), why, "a root key cannot be opened here");
        }
        self.edit(|known| drop(known.closed.insert(key.id.clone(), Closed { why, modify_index: key.modify_index, tried: Instant::now() })));
    }
}

async fn open(keks: Option<&Keks>, key: &WrappedKey) -> Result<RootKey, String> {
    let names = || key.wraps.iter().map(|wrap| wrap.kek.as_str()).collect::<Vec<_>>().join(", ");
    let none =
        || format!("this server has no keyring block in its configuration; it needs one for any of these key-encryption keys: {}", names());
    keks.ok_or_else(none)?.unwrap(&key.id, &key.wraps).await.map_err(|error| error.to_string())
}

/// Runs until the server stops.
pub(crate) async fn run(server: Server) {
    let stop = server.stopping().clone();
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut leader = lead::Leader::default();
    let look = async {
        loop {
            tick.tick().await;
            let keks = server.config().keks.as_deref();
            server.root_keys().follow(&server.view(), keks).await;
            if server.leads() {
                leader.look(&server).await;
            }
        }
    };
    stop.run_until_cancelled(look).await;
}
