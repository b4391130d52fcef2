//! [`AgeKek`]: wraps for recipients of the age file format, opens with an identity file. A recipient whose identity is kept elsewhere is a way back in
//! when all else is lost: `age -d` opens the wraps, too.

mod format;
mod keys;

use crate::{
    payload,
    root::RootKey,
    secret_file::{self, Readers},
};
use floe_model::keyring::KeyId;
pub(crate) use keys::Recipient;
use keys::{Identity, KeysError};
use std::path::{Path, PathBuf};

/// What the ids of recipients begin with.
pub(crate) const KIND: &str = "age:";
/// The most recipients of one block, and the most identities of a file.
pub(crate) const MAX_KEYS: usize = 16;
/// The most bytes of an identity file.
const MAX_FILE_BYTES: usize = 64 << 10;

/// Recipients, and perhaps identities.
pub(crate) struct AgeKek {
    recipients: Vec<Recipient>,
    identities: Vec<Identity>,
    identity_file: Option<PathBuf>,
}

impl AgeKek {
    /// Reads recipients, and the identities of the file; what is wrong comes with what it is about.
    pub(crate) fn open(recipients: &[String], identity_file: Option<&Path>) -> Result<Self, String> {
        if recipients.len() > MAX_KEYS {
            return Err(format!("recipients has {} entries: at most {MAX_KEYS} are possible", recipients.len()));
        }
        // Not the text of what is secret, or may be.
        let parse = |(number, text): (usize, &String)| match text.parse::<Recipient>() {
            Err(why @ KeysError::SecretRecipient) => Err(format!("recipients: number {} {why}", number + 1)),
            parsed => parsed.map_err(|why| format!("recipients: {text:?} {why}")),
        };
        let recipients = recipients.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        let identities = identity_file.map_or(Ok(Vec::new()), identities)?;
        Ok(Self { recipients, identities, identity_file: identity_file.map(Path::to_owned) })
    }

    pub(crate) fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    pub(crate) fn has_identities(&self) -> bool {
        !self.identities.is_empty()
    }

    /// True when this is about the wrap, whether it can open it or not.
    pub(crate) fn knows(&self, kek: &str) -> bool {
        let Some(recipient) = kek.strip_prefix(KIND) else { return false };
        self.has_identities() || self.recipients.iter().any(|r| r.to_string() == recipient)
    }

    /// The wrap of a root key with this payload.
    pub(crate) fn wrap(recipient: &Recipient, payload: &[u8]) -> Result<Vec<u8>, String> {
        format::encrypt(recipient, payload).map_err(|why| why.to_string())
    }

    /// The root key `id` from the wrap that `kek` names.
    pub(crate) fn unwrap(&self, id: &KeyId, kek: &str, wrap: &[u8]) -> Result<RootKey, String> {
        let Some(file) = &self.identity_file else {
            return Err("there is no identity_file for it here".to_owned());
        };
        let of = |identity: &&Identity| kek.strip_prefix(KIND) == Some(identity.recipient().to_string().as_str());
        let identity =
            self.identities.iter().find(of).ok_or_else(|| format!("identity_file {} holds no identity for it", file.display()))?;
        let opened = format::decrypt(identity, wrap).map_err(|why| why.to_string())?;
        payload::read(id, &opened).map_err(|why| why.to_string())
    }
}

fn identities(path: &Path) -> Result<Vec<Identity>, String> {
    let what = |why: &dyn std::fmt::Display| format!("identity_file {}: {why}", path.display());
    let bytes = secret_file::read(path, Readers::Owner, MAX_FILE_BYTES).map_err(|why| what(&why))?;
    keys::identities(&bytes).map_err(|why| what(&why))
}
