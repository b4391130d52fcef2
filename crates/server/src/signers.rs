//! The authorities whose keys this server has: one, and a second while the first is replaced.

use floe_pki::{Authority, Fingerprint};
use floe_state::State;
use std::sync::{Arc, PoisonError, RwLock};

/// Puts an authority on this server's disk.
type Keep = Box<dyn Fn(&Authority) -> Result<(), String> + Send + Sync>;

/// The authorities that this server can sign as. Clones share them.
#[derive(Clone)]
pub struct Signers(Arc<Shared>);

struct Shared {
    known: RwLock<Vec<Arc<Authority>>>,
    keep: Keep,
}

impl Signers {
    /// These authorities; `keep` puts a further one on disk.
    pub fn new(known: Vec<Authority>, keep: impl Fn(&Authority) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { known: RwLock::new(known.into_iter().map(Arc::new).collect()), keep: Box::new(keep) }))
    }

    /// The authority with this certificate (DER).
    pub fn find(&self, certificate: &[u8]) -> Option<Arc<Authority>> {
        self.find_by(Fingerprint::of(certificate))
    }

    /// The authority with this fingerprint.
    pub fn find_by(&self, fingerprint: Fingerprint) -> Option<Arc<Authority>> {
        self.all().into_iter().find(|authority| authority.fingerprint() == fingerprint)
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Authority>> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in an authority: onto the disk first.
    ///
    /// # Errors
    /// When it could not be kept.
    pub fn add(&self, authority: Authority) -> Result<(), String> {
        (self.0.keep)(&authority)?;
        self.0.known.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(authority));
        Ok(())
    }

    /// Forgets all but those with these certificates.
    pub fn retain(&self, certificates: &[Vec<u8>]) {
        let wanted: Vec<Fingerprint> = certificates.iter().map(|der| Fingerprint::of(der)).collect();
        self.0.known.write().unwrap_or_else(PoisonError::into_inner).retain(|authority| wanted.contains(&authority.fingerprint()));
    }

    /// The authority that signs now, if this server has its key already.
    pub(crate) fn signer(&self, state: &State) -> Option<Arc<Authority>> {
        match state.authorities() {
            None => self.all().into_iter().next(),
            Some(authorities) => authorities.trusted().first().and_then(|certificate| self.find(certificate)),
        }
    }
}
