//! The identity of a first server of a cluster that begins again under its old authority: its key is new, its certificate is as good as any.

use super::{AgentConfig, IdentityFile, Record, name, now};
use anyhow::Context;
use floe_pki::{AgentId, Authority, Keypair, Request, Role};
use floe_server::rpc::CERTIFICATE_LIFETIME;
use std::{path::Path, sync::Arc};

/// Who is to be the first server. Nothing of it is on disk yet.
pub(crate) struct Heir {
    file: IdentityFile,
    record: Record,
    id: AgentId,
}

impl Heir {
    /// A new server with these authorities, whose keys it has; the first one signs. `data` is its data folder.
    ///
    /// # Errors
    /// When there is no authority, it has ended, or the configured name cannot be certified.
    pub(crate) fn new(config: &AgentConfig, data: &Path, authorities: Vec<Authority>) -> anyhow::Result<Self> {
        let key = Keypair::generate();
        let signer = authorities.first().context("there is no authority")?;
        let request = Request::verify(&key.request(&name(config)?)).context("make this server's certificate")?;
        let certificate = signer.issue(&request, Role::Server, now(), CERTIFICATE_LIFETIME).context("make this server's certificate")?;
        let mut record = Record {
            key: key.pkcs8().to_vec(),
            certificate: certificate.to_vec(),
            authorities: authorities.iter().map(|authority| authority.certificate().to_vec()).collect(),
            is_founder: true,
            // Its log is there before the identity is: without it, it must not come back.
            was_member: true,
            ..Record::default()
        };
        record.set_keys(&authorities.into_iter().map(Arc::new).collect::<Vec<_>>());
        Ok(Self { file: IdentityFile::at(data), record, id: key.id() })
    }

    /// Its id.
    pub(crate) fn id(&self) -> AgentId {
        self.id
    }

    /// Puts it on disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        self.file.save(&self.record)
    }
}
