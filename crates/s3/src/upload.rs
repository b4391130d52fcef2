//! Uploads in parts. The object is there when the last call is done, and not before; an upload that fails is taken back, because stores keep, and
//! bill, the parts of those that nobody ends.

use crate::{
    error::{Reason, S3Error},
    sign::Call,
    store::{META_SHA256, Store, Upload},
    xml,
};
use bytes::Bytes;
use hyper::Method;
use sha2::{Digest, Sha256};

/// How many open uploads are read of a list.
const MAX_UPLOADS: usize = 1000;

/// The SHA-256 of bytes in hexadecimal digits, on a thread of its own when they are many.
pub(crate) async fn sha256(bytes: Bytes) -> String {
    let digest = move || Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    tokio::task::spawn_blocking(digest).await.unwrap_or_default()
}

impl Store {
    /// Puts an object there in parts.
    pub(crate) async fn put_in_parts(&self, key: &str, bytes: &Bytes, meta: Vec<(&'static str, String)>) -> Result<(), S3Error> {
        let whole = meta.iter().find(|(name, _)| *name == META_SHA256).map(|(_, digest)| digest.clone()).unwrap_or_default();
        let begin = Call { headers: meta, ..Call::new("begin to put", Method::POST, key).with("uploads", "") };
        let id = xml::upload_id(&self.call(&begin).await?.body).map_err(|reason| self.failed("begin to put", key, reason))?;
        let done = match self.send_parts(key, &id, bytes).await {
            Ok(tags) => self.complete(key, &id, &tags, &whole).await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            self.abort(key, &id).await.unwrap_or_else(|error| tracing::warn!(%error, "an upload was not taken back; its parts may cost"));
        }
        done
    }

    /// Sends all parts, one after the other; returns what the store calls them.
    async fn send_parts(&self, key: &str, id: &str, bytes: &Bytes) -> Result<Vec<String>, S3Error> {
        let size = self.config.tuning.part_bytes.max(1);
        let mut tags = Vec::new();
        for (start, number) in (0..bytes.len()).step_by(size).zip(1u32..) {
            let part = bytes.slice(start..bytes.len().min(start + size));
            let call = Call::new("put a part of", Method::PUT, key).with("partNumber", number.to_string()).with("uploadId", id);
            let call = Call { sha256: sha256(part.clone()).await, body: part, ..call };
            let tag = self.call(&call).await?.header("etag").to_owned();
            if tag.is_empty() {
                return Err(self.failed(call.action, key, Reason::Answer("the part has no ETag".to_owned())));
            }
            tags.push(tag);
        }
        Ok(tags)
    }

    /// Makes the parts an object. When the answer is lost and the call is made again, the store knows the upload no more: then it is done if the
    /// object is there.
    async fn complete(&self, key: &str, id: &str, tags: &[String], whole: &str) -> Result<(), S3Error> {
        let body = Bytes::from(xml::complete(tags));
        let call = Call::new("finish to put", Method::POST, key).with("uploadId", id);
        let call = Call { sha256: sha256(body.clone()).await, body, ..call };
        match self.call(&call).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_missing() => match self.facts(key).await {
                Ok(facts) if facts.meta_sha256 == whole => Ok(()),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn abort(&self, key: &str, id: &str) -> Result<(), S3Error> {
        match self.call(&Call::new("take back the upload of", Method::DELETE, key).with("uploadId", id)).await {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    /// The uploads that nobody ended of objects whose names begin so: of a machine that died while it sent.
    ///
    /// # Errors
    /// When the store does not say; some cannot.
    pub async fn open_uploads(&self, prefix: &str) -> Result<Vec<Upload>, S3Error> {
        let (prefix, mut found, mut marker) = (self.key(prefix), Vec::new(), None::<(String, String)>);
        loop {
            let mut call = Call::new("list open uploads", Method::GET, "").with("uploads", "").with("prefix", &prefix);
            if let Some((key, id)) = &marker {
                call = call.with("key-marker", key).with("upload-id-marker", id);
            }
            let page = xml::uploads(&self.call(&call).await?.body).map_err(|reason| self.failed(call.action, "", reason))?;
            let is_last = page.entries.is_empty() || page.next.is_none();
            let names = page.entries.into_iter().filter_map(|(key, id)| Some((key.strip_prefix(&self.config.key_prefix)?.to_owned(), id)));
            found.extend(names.map(|(name, id)| Upload { name, id }));
            // What is beyond is taken back the next time.
            if is_last || found.len() >= MAX_UPLOADS {
                return Ok(found);
            }
            marker = page.next;
        }
    }

    /// Takes an upload back.
    ///
    /// # Errors
    /// When the store does not.
    pub async fn take_back(&self, upload: &Upload) -> Result<(), S3Error> {
        self.abort(&self.key(&upload.name), &upload.id).await
    }
}
