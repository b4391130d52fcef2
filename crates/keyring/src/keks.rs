//! [`Keks`]: the key-encryption keys that an agent is configured with, in order. Keeps no root key.

use crate::{
    KekConfig, KekError, Provider, RootKey, UnwrapFailure,
    age::{self, AgeKek},
    payload,
    secret_file::{self, Readers},
    symmetric::{self, SymmetricKek},
    transit::{self, TransitKek},
};
use floe_model::keyring::{KeyId, Wrapped};
use std::{collections::BTreeMap, fmt, path::Path};

/// The most key-encryption keys of an agent.
pub const MAX_KEKS: usize = 16;

/// The key-encryption keys of an agent.
pub struct Keks {
    keks: Vec<Kek>,
}

struct Kek {
    /// What it is called in messages: the block and where it is.
    what: String,
    active: bool,
    kind: Kind,
}

enum Kind {
    Symmetric(SymmetricKek),
    Age(AgeKek),
    Transit(Box<TransitKek>),
}

impl Keks {
    /// Reads what `configs` name. `data_dir` is where the agent keeps its state: a key beside what it wraps protects nothing, so one in there is
    /// refused. No configs give keys that wrap and open nothing. Nobody is called.
    ///
    /// # Errors
    /// When one cannot be read, is not a key, can be read by others, is in `data_dir`, or is there twice.
    pub fn open(configs: Vec<KekConfig>, data_dir: Option<&Path>) -> Result<Self, KekError> {
        if configs.len() > MAX_KEKS {
            return Err(unusable("keyring", format!("{} key-encryption keys: at most {MAX_KEKS} are possible", configs.len())));
        }
        let keks = configs.iter().map(|config| Kek::open(config, data_dir)).collect::<Result<Vec<_>, _>>()?;
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for kek in &keks {
            for id in kek.ids() {
                if let Some(other) = seen.insert(id, &kek.what) {
                    return Err(KekError::Duplicate { what: kek.what.clone(), other: other.to_owned() });
                }
            }
        }
        Ok(Self { keks })
    }

    /// One key that is drawn now and kept nowhere: for a cluster that ends with its process.
    ///
    /// # Errors
    /// When the kernel gives no random numbers.
    pub fn throwaway() -> Result<Self, KekError> {
        let what = "the key of this process";
        let drawn = symmetric::draw_key_file().map_err(|error| unusable(what, format!("draw random numbers: {error}")))?;
        let kek = SymmetricKek::parse(drawn.as_bytes()).map_err(|error| unusable(what, error.to_string()))?;
        Ok(Self { keks: vec![Kek { what: what.to_owned(), active: true, kind: Kind::Symmetric(kek) }] })
    }

    /// The ids of those that wrap, in order. A root key is up to date when its wraps are by just these.
    pub fn ids(&self) -> Vec<String> {
        self.keks.iter().filter(|kek| kek.active).flat_map(Kek::ids).collect()
    }

    /// Wraps `key` with every active key-encryption key.
    ///
    /// # Errors
    /// When none is active, or one of them fails.
    pub async fn wrap(&self, key: &RootKey) -> Result<Vec<Wrapped>, KekError> {
        let payload = payload::of(key).expect("invariant: a root key was generated or unwrapped, and both see to its id");
        let mut wraps = Vec::new();
        for kek in self.keks.iter().filter(|kek| kek.active) {
            wraps.extend(kek.wrap(key.id(), &payload).await?);
        }
        if wraps.is_empty() { Err(KekError::NoneActive) } else { Ok(wraps) }
    }

    /// Opens the first of the wraps of root key `id` that can be opened, in the order of the configuration.
    ///
    /// # Errors
    /// When none can: with every wrap and why.
    pub async fn unwrap(&self, id: &KeyId, wrapped: &[Wrapped]) -> Result<RootKey, KekError> {
        let mut tried = Vec::new();
        for kek in &self.keks {
            for wrap in wrapped.iter().filter(|wrap| kek.knows(&wrap.kek)) {
                match kek.unwrap(id, wrap).await {
                    Ok(key) => return Ok(key),
                    Err(failure) => tried.push(failure),
                }
            }
        }
        let unknown = wrapped.iter().filter(|wrap| !self.keks.iter().any(|kek| kek.knows(&wrap.kek)));
        tried.extend(unknown.map(|wrap| failure(&wrap.kek, missing(&wrap.kek), false)));
        Err(KekError::Unwrap { key: id.clone(), tried })
    }
}

impl Kek {
    fn open(config: &KekConfig, data_dir: Option<&Path>) -> Result<Self, KekError> {
        let what = config.provider.to_string();
        let kind = Kind::open(config, data_dir).map_err(|why| unusable(&what, why))?;
        Ok(Self { what, active: config.active, kind })
    }

    fn ids(&self) -> Vec<String> {
        match &self.kind {
            Kind::Symmetric(kek) => vec![kek.id().to_owned()],
            Kind::Age(kek) => kek.recipients().iter().map(|recipient| format!("{}{recipient}", age::KIND)).collect(),
            Kind::Transit(kek) => vec![kek.id().to_owned()],
        }
    }

    /// True when the wrap is this one's matter: if it is not opened, this one says why.
    fn knows(&self, kek: &str) -> bool {
        match &self.kind {
            Kind::Symmetric(symmetric) => symmetric.id() == kek,
            Kind::Age(age) => age.knows(kek),
            Kind::Transit(transit) => transit.knows(kek),
        }
    }

    async fn wrap(&self, id: &KeyId, payload: &[u8]) -> Result<Vec<Wrapped>, KekError> {
        let failed = |kek: &str, why: String, transient| KekError::Wrap { key: id.clone(), kek: kek.to_owned(), why, transient };
        let done = |kek: &str, bytes| Wrapped { kek: kek.to_owned(), bytes };
        match &self.kind {
            Kind::Symmetric(kek) => {
                let bytes = kek.wrap(id, payload).map_err(|why| failed(kek.id(), format!("draw random numbers: {why}"), false))?;
                Ok(vec![done(kek.id(), bytes)])
            }
            Kind::Age(kek) => {
                let wrap = |recipient| {
                    let name = format!("{}{recipient}", age::KIND);
                    AgeKek::wrap(recipient, payload).map(|bytes| done(&name, bytes)).map_err(|why| failed(&name, why, false))
                };
                kek.recipients().iter().map(wrap).collect()
            }
            Kind::Transit(kek) => {
                let bytes = kek.wrap(id, payload).await.map_err(|error| failed(kek.id(), error.why, error.transient))?;
                Ok(vec![done(kek.id(), bytes)])
            }
        }
    }

    async fn unwrap(&self, id: &KeyId, wrap: &Wrapped) -> Result<RootKey, UnwrapFailure> {
        let failed = |why: String, transient| failure(&wrap.kek, format!("{why} ({})", self.what), transient);
        match &self.kind {
            Kind::Symmetric(kek) => kek.unwrap(id, &wrap.bytes).map_err(|why| failed(why.to_string(), false)),
            Kind::Age(kek) => kek.unwrap(id, &wrap.kek, &wrap.bytes).map_err(|why| failed(why, false)),
            Kind::Transit(kek) => kek.unwrap(id, &wrap.bytes).await.map_err(|error| failed(error.why, error.transient)),
        }
    }
}

impl Kind {
    fn open(config: &KekConfig, data_dir: Option<&Path>) -> Result<Self, String> {
        let away = |path: &Path| secret_file::refuse_in(data_dir, path).map_err(|why| format!("{} {why}", path.display()));
        match &config.provider {
            Provider::File { path } => {
                // What is wrong follows the block's name, which has the path.
                secret_file::refuse_in(data_dir, path).map_err(|why| why.to_string())?;
                symmetric(path, Readers::Owner)
            }
            Provider::Credential { name, directory } => {
                let path = credential(name, directory.as_deref())?;
                symmetric(&path, Readers::Group).map_err(|why| format!("{} {why}", path.display()))
            }
            Provider::Age { recipients, identity_file } => {
                identity_file.as_deref().map_or(Ok(()), away)?;
                let kek = AgeKek::open(recipients, identity_file.as_deref())?;
                if kek.recipients().is_empty() && config.active {
                    return Err("recipients is missing: name the public keys (age1...) to wrap for, or set active = false".to_owned());
                }
                if !kek.has_identities() && !config.active {
                    return Err("identity_file is missing: with active = false, there is nothing else that it could do".to_owned());
                }
                Ok(Self::Age(kek))
            }
            Provider::Transit(transit) => {
                away(&transit.token_file)?;
                Ok(Self::Transit(Box::new(TransitKek::open(transit)?)))
            }
        }
    }
}

fn symmetric(path: &Path, readers: Readers) -> Result<Kind, String> {
    let file = secret_file::read(path, readers, symmetric::MAX_FILE_BYTES).map_err(|why| why.to_string())?;
    SymmetricKek::parse(&file).map(Kind::Symmetric).map_err(|why| why.to_string())
}

fn credential(name: &str, directory: Option<&Path>) -> Result<std::path::PathBuf, String> {
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c)) && !matches!(name, "." | "..");
    if !is_name {
        return Err("name is no name of a credential: take letters, digits, ., _, - and @".to_owned());
    }
    let unit = format!(
        "LoadCredentialEncrypted={name}:/etc/credstore.encrypted/{name} (made by systemd-creds encrypt), or LoadCredential={name}:PATH"
    );
    let directory =
        directory.ok_or_else(|| format!("CREDENTIALS_DIRECTORY is not set: write into the agent's unit, under [Service], {unit}"))?;
    let path = directory.join(name);
    if path.exists() { Ok(path) } else { Err(format!("the agent's unit has no such credential: write into it, under [Service], {unit}")) }
}

/// What to configure for a wrap that no key-encryption key of this agent is about.
fn missing(kek: &str) -> String {
    let kind = kek.split_once(':').map(|(kind, _)| format!("{kind}:"));
    match kind.as_deref() {
        Some(symmetric::KIND) => "not configured here: give keyring \"file\" or \"credential\" the key with this id".to_owned(),
        Some(age::KIND) => "not configured here: give keyring \"age\" an identity_file with its identity".to_owned(),
        Some(transit::KIND) => "not configured here: give keyring \"transit\" the engine that has this key".to_owned(),
        _ => "of a kind that this version does not know".to_owned(),
    }
}

fn unusable(what: &str, why: String) -> KekError {
    KekError::Unusable { what: what.to_owned(), why }
}

fn failure(kek: &str, why: String, transient: bool) -> UnwrapFailure {
    UnwrapFailure { kek: kek.to_owned(), why, transient }
}

impl fmt::Debug for Keks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keks.iter().map(|kek| &kek.what)).finish()
    }
}
