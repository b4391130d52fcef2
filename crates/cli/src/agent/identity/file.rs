//! The file that holds a machine's identity: one file, so that it is always whole.

use anyhow::{Context, bail};
use floe_pki::{Authority, CertificateDer, Clock, Credentials, Keypair, Role, Trust};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// Its name in the data folder.
const NAME: &str = "identity";
/// Far more than a record can have.
const MAX_BYTES: usize = 64 << 10;

/// What the file holds.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Record {
    pub(super) key: Vec<u8>,
    /// Empty while this machine is joining: its key is kept, because a token that was used lets only that one in again.
    pub(super) certificate: Vec<u8>,
    pub(super) authorities: Vec<Vec<u8>>,
    /// The key of the first authority; empty on clients.
    pub(super) authority_key: Vec<u8>,
    /// Further authorities whose keys this server has, while one is replaced: certificate and key.
    pub(super) other_keys: Vec<(Vec<u8>, Vec<u8>)>,
    /// The change of the authorities that this machine goes by.
    pub(super) authorities_round: u64,
    pub(super) is_founder: bool,
    /// Which server this one supports to begin the cluster; empty when none, and of no meaning once it is in a cluster.
    pub(super) supports: String,
    /// The servers that began the cluster with this one, until the cluster knows them.
    pub(super) founders: Vec<String>,
    /// This server's part in the agreement has begun: without its log it must not come back under the same id.
    pub(super) was_member: bool,
}

impl Record {
    pub(super) fn trust(&self) -> anyhow::Result<Trust> {
        Ok(Trust::new(self.authorities.iter().map(|der| CertificateDer::from(der.clone())).collect())?)
    }

    pub(super) fn credentials(&self, clock: Clock) -> anyhow::Result<Credentials> {
        let key = Keypair::from_pkcs8(&self.key)?;
        Ok(Credentials::new(key, CertificateDer::from(self.certificate.clone()), self.trust()?, clock)?)
    }

    /// The authorities whose keys a server has, the one that signs first; none on a client.
    pub(super) fn keys(&self) -> anyhow::Result<Vec<Authority>> {
        let first =
            self.authorities.first().filter(|_| !self.authority_key.is_empty()).map(|certificate| (certificate, &self.authority_key));
        let others = self.other_keys.iter().map(|(certificate, key)| (certificate, key));
        Ok(first.into_iter().chain(others).map(|(certificate, key)| Authority::from_parts(certificate, key)).collect::<Result<_, _>>()?)
    }

    /// Keeps the keys of these authorities.
    pub(super) fn set_keys(&mut self, keys: &[Arc<Authority>]) {
        self.authority_key.clear();
        self.other_keys.clear();
        for key in keys {
            let (certificate, key) = (key.certificate().to_vec(), key.key().to_vec());
            if self.authorities.first() == Some(&certificate) {
                self.authority_key = key;
            } else {
                self.other_keys.push((certificate, key));
            }
        }
    }

    pub(super) fn role(&self) -> anyhow::Result<Role> {
        Ok(if self.authority_key.is_empty() { Role::Client } else { Role::Server })
    }
}

/// Where the identity is kept. Only root may read it.
#[derive(Clone, Debug)]
pub(in crate::agent) struct IdentityFile {
    path: PathBuf,
    /// One change at a time.
    turn: Arc<Mutex<()>>,
}

impl IdentityFile {
    pub(in crate::agent) fn at(data: &Path) -> Self {
        Self { path: data.join(NAME), turn: Arc::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says, if there is one.
    pub(super) fn load(&self) -> anyhow::Result<Option<Record>> {
        let what = || format!("identity file {}", self.path.display());
        let metadata = match std::fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(what),
        };
        if metadata.mode() & 0o077 != 0 {
            bail!("{} can be read by others than its owner: chmod 0600 it, and think about who may have read the key", what());
        }
        let bytes = Zeroizing::new(crate::files::read_bounded(&self.path, MAX_BYTES).with_context(what)?);
        let damaged = || format!("{} is damaged: restore it, or remove it and join the cluster again with a token", what());
        rmp_serde::from_slice(&bytes).map(Some).with_context(damaged)
    }

    /// Writes the file: the old content or the new one is there, whatever happens.
    pub(super) fn save(&self, record: &Record) -> anyhow::Result<()> {
        let what = || format!("write identity file {}", self.path.display());
        let bytes = Zeroizing::new(rmp_serde::to_vec_named(record).with_context(what)?);
        let fresh = self.path.with_extension("new");
        // One that a crash left behind may have other rights.
        let _ = std::fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).with_context(what)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).with_context(what)?;
        std::fs::rename(&fresh, &self.path).with_context(what)?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|f| f.sync_all()).with_context(what)
    }

    /// Changes what the file holds.
    pub(super) fn edit(&self, change: impl FnOnce(&mut Record)) -> anyhow::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = self.load()?.with_context(|| format!("identity file {} is gone", self.path.display()))?;
        change(&mut record);
        self.save(&record)
    }

    /// Notes that this server is a member from now on.
    pub(in crate::agent) fn note_membership(&self) -> anyhow::Result<()> {
        if self.was_member()? {
            return Ok(());
        }
        self.edit(|record| record.was_member = true)
    }

    /// This server begins anew: without a log, under its id, in a cluster that lets it. For one whose part in the agreement ended with its cluster.
    pub(in crate::agent) fn forget_membership(&self) -> anyhow::Result<()> {
        self.edit(|record| (record.was_member, record.is_founder) = (false, false))
    }

    /// Whether this server has been a member.
    pub(in crate::agent) fn was_member(&self) -> anyhow::Result<bool> {
        Ok(self.load()?.is_some_and(|r| r.was_member))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_saved_is_loaded_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = IdentityFile::at(folder.path());
        assert!(file.load().unwrap().is_none());
        std::fs::write(folder.path().join("identity.new"), "left by a crash").unwrap();
        file.save(&Record { key: vec![1, 2], ..Record::default() }).unwrap();
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!file.was_member().unwrap());
        file.note_membership().unwrap();
        let loaded = file.load().unwrap().unwrap();
        assert_eq!((loaded.key, loaded.was_member), (vec![1, 2], true));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = IdentityFile::at(folder.path());
        file.save(&Record::default()).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(file.load().err().unwrap().to_string().contains("chmod 0600"));
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(file.path(), "nonsense").unwrap();
        assert!(file.load().err().unwrap().to_string().contains("join the cluster again"));
    }
}
