//! What can be done with the objects of a bucket.

use crate::{
    config::Config,
    error::{Reason, S3Error},
    sign::Call,
    transport::{Answer, Transport},
    upload::sha256,
    xml,
};
use aws_credential_types::Credentials;
use bytes::Bytes;
use hyper::Method;

/// How many keys are read of one list.
const MAX_KEYS: usize = 100_000;
/// How many pages: a store may send some that are empty.
const MAX_PAGES: usize = 1000;
/// Says of an object what its SHA-256 is. Kept by the store, and given back with it.
pub(crate) const META_SHA256: &str = "x-amz-meta-floe-sha256";
/// Says of an object how many bytes it has.
pub(crate) const META_BYTES: &str = "x-amz-meta-floe-bytes";

/// A bucket of a store. Made for a piece of work: it has the keys and certificates that were there when it was made.
#[derive(Debug)]
pub struct Store {
    pub(crate) config: Config,
    pub(crate) keys: Credentials,
    pub(crate) transport: Transport,
}

/// An object of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key, without the prefix of [`Config::key_prefix`].
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
}

/// An upload in parts that nobody ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// What its object would be called.
    pub name: String,
    pub(crate) id: String,
}

/// What the store has under a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) bytes: String,
    pub(crate) meta_bytes: String,
    pub(crate) meta_sha256: String,
}

impl Facts {
    /// As long as it says of itself. One that says nothing was brought there by somebody else, who knows what it is.
    fn is_whole(&self) -> bool {
        self.meta_bytes.is_empty() || self.meta_bytes == self.bytes
    }
}

impl Store {
    /// Reads keys and certificates. Asks nothing of the store yet. Blocks: to be called where files may be read.
    ///
    /// # Errors
    /// When keys or certificates cannot be read, or are none.
    pub fn open(config: Config) -> Result<Self, S3Error> {
        let keys = config.credentials.read()?;
        let transport = Transport::open(config.ca_cert.as_deref())?;
        Ok(Self { config, keys, transport })
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.config.key_prefix)
    }

    /// The objects whose names begin so, in the store's order.
    ///
    /// # Errors
    /// When the store does not say, or there are more than 100,000.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>, S3Error> {
        let (prefix, mut found, mut token) = (self.key(prefix), Vec::new(), None);
        let failed = |reason| self.failed("list", "", reason);
        for _ in 0..MAX_PAGES {
            let mut call = Call::new("list", Method::GET, "").with("encoding-type", "url").with("list-type", "2");
            call = call.with("max-keys", self.config.tuning.page.to_string()).with("prefix", &prefix);
            if let Some((token, _)) = &token {
                call = call.with("continuation-token", token);
            }
            let page = xml::objects(&self.call(&call).await?.body).map_err(failed)?;
            let names =
                page.entries.into_iter().filter_map(|(key, bytes)| Some((key.strip_prefix(&self.config.key_prefix)?.to_owned(), bytes)));
            found.extend(names.map(|(name, bytes)| Object { name, bytes }));
            token = page.next;
            if token.is_none() {
                return Ok(found);
            }
            if found.len() >= MAX_KEYS {
                break;
            }
        }
        Err(failed(Reason::TooMany(found.len())))
    }

    /// Puts an object there, in parts when it is large, and looks whether the store has it. `bytes` are not copied.
    ///
    /// # Errors
    /// When it is not there as a whole. What is there then is removed, unless somebody else put a whole object there in the same moment.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), S3Error> {
        let key = self.key(name);
        let digest = sha256(bytes.clone()).await;
        let meta = vec![(META_BYTES, bytes.len().to_string()), (META_SHA256, digest.clone())];
        let sent = match bytes.len() > self.config.tuning.in_parts_above {
            true => self.put_in_parts(&key, &bytes, meta).await,
            false => {
                let put = Call::new("put", Method::PUT, &key);
                self.call(&Call { headers: meta, body: bytes.clone(), sha256: digest.clone(), ..put }).await.map(drop)
            }
        };
        match sent {
            Ok(()) => self.verify(&key, bytes.len(), &digest).await,
            Err(error) => {
                // What failed may have been done all the same: nothing that is not whole may stay.
                let _ = self.remove_if_torn(name).await;
                Err(error)
            }
        }
    }

    /// Asks whether the store has what it was given.
    async fn verify(&self, key: &str, bytes: usize, sha256: &str) -> Result<(), S3Error> {
        let facts = self.facts(key).await?;
        if facts.bytes == bytes.to_string() && facts.meta_sha256 == sha256 {
            return Ok(());
        }
        if !facts.is_whole() {
            self.call(&Call::new("remove", Method::DELETE, key)).await?;
        }
        let what = format!("{} bytes with SHA-256 {:?} in place of {bytes} with {sha256:?}", facts.bytes, facts.meta_sha256);
        Err(self.failed("check", key, Reason::Different(what)))
    }

    pub(crate) async fn facts(&self, key: &str) -> Result<Facts, S3Error> {
        let answer: Answer = self.call(&Call::new("look at", Method::HEAD, key)).await?;
        let text = |name: &str| answer.header(name).to_owned();
        Ok(Facts { bytes: text("content-length"), meta_bytes: text(META_BYTES), meta_sha256: text(META_SHA256) })
    }

    /// Removes an object that is not as long as it says; returns whether it was so, or is not there at all.
    ///
    /// # Errors
    /// When the store does not say, or does not remove it.
    pub async fn remove_if_torn(&self, name: &str) -> Result<bool, S3Error> {
        let key = self.key(name);
        match self.facts(&key).await {
            Ok(facts) if facts.is_whole() => Ok(false),
            Ok(_) => self.remove(name).await.map(|()| true),
            Err(error) if error.is_missing() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Removes an object. One that is not there is as good as removed.
    ///
    /// # Errors
    /// When the store does not remove it.
    pub async fn remove(&self, name: &str) -> Result<(), S3Error> {
        match self.call(&Call::new("remove", Method::DELETE, &self.key(name))).await {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }
}
