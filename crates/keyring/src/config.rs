//! [`KekConfig`]: what an agent is told of a key-encryption key. Holds paths and names, no key.

use std::{fmt, path::PathBuf};

/// One key-encryption key of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekConfig {
    /// New wraps are made with it. One that is not active only opens what is there, as while its successor takes over.
    pub active: bool,
    /// Where it is.
    pub provider: Provider,
}

/// Where a key-encryption key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// A file of 32 random bytes, that only its owner may read.
    File {
        /// Where.
        path: PathBuf,
    },
    /// The same as a credential of systemd (`LoadCredential`, `LoadCredentialEncrypted`).
    Credential {
        /// The credential's name.
        name: String,
        /// What `CREDENTIALS_DIRECTORY` says; `None` when the unit has no credentials.
        directory: Option<PathBuf>,
    },
    /// The age file format, for X25519.
    Age {
        /// Whom to wrap for, `age1...`.
        recipients: Vec<String>,
        /// What opens: a file with one or more `AGE-SECRET-KEY-1...`. Without one, the wraps are for recovery.
        identity_file: Option<PathBuf>,
    },
    /// The transit engine of Vault or OpenBao, which keeps the key to itself.
    Transit(Transit),
}

/// How to reach a transit engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transit {
    /// `https://HOST:PORT`; `http` on loopback only.
    pub address: String,
    /// A file that holds the token; read again when it changes.
    pub token_file: PathBuf,
    /// Where the engine is mounted.
    pub mount_path: String,
    /// The name of the key there.
    pub key_name: String,
    /// The namespace, when there is one.
    pub namespace: Option<String>,
    /// The certificate authorities that count, PEM; those of the system when there is none.
    pub ca_cert: Option<PathBuf>,
}

/// As the configuration calls it.
impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => write!(f, "keyring \"file\" {}", path.display()),
            Self::Credential { name, .. } => write!(f, "keyring \"credential\" {name:?}"),
            Self::Age { .. } => f.write_str("keyring \"age\""),
            Self::Transit(transit) => write!(f, "keyring \"transit\" {}/{}", transit.mount_path, transit.key_name),
        }
    }
}
