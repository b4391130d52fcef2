//! One pull at work: asks what the image is made of, has its layers fetched, and unpacks each on those before it.

use crate::{
    archive,
    config::{self, ImageConfig},
    digest::Digest,
    error::ImageError,
    fetch::{blocking, fetch},
    layout,
    limits::MAX_UNPACKED_BYTES,
    manifest::{self, Document, Manifest, Packing},
    pull::{Inner, Progress, State},
    reference::{Reference, Source},
    registry::Repository,
    settings::Credentials,
    store::{Layer, Pin, Pinned, Record, now_ms},
    unpack::{Order, unpack},
};
use std::{collections::HashMap, fmt, io::Read, path::PathBuf, sync::Arc};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Layers of an image that are fetched at the same time.
const DOWNLOADS: usize = 3;
/// How many indexes may lead to each other.
const MAX_INDEXES: usize = 4;

/// A layer as it is read, and what it is packed in.
type Packed = (Box<dyn Read + Send>, Packing);

fn open_file(path: PathBuf, packing: Packing) -> impl FnOnce(&str) -> Result<Packed, ImageError> {
    move |image| layout::open(image, &path).map(|file| (Box::new(file) as Box<dyn Read + Send>, packing))
}

/// A pull at work.
pub(crate) struct Work {
    pub(crate) inner: Arc<Inner>,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) stop: CancellationToken,
    pub(crate) state: watch::Sender<State>,
}

/// The digest of a layer with all below it.
fn chain(below: Option<Digest>, diff_id: Digest) -> Digest {
    below.map_or(diff_id, |below| Digest::of(format!("{below} {diff_id}").as_bytes()))
}

fn chains(ids: &[Digest]) -> Vec<Digest> {
    ids.iter()
        .scan(None, |below, id| {
            let next = chain(*below, *id);
            *below = Some(next);
            Some(next)
        })
        .collect()
}

impl Work {
    /// Pulls, until it is done or nobody waits any more.
    pub(crate) async fn run(self, source: Source, credentials: Option<Credentials>) {
        let stop = self.stop.clone();
        let outcome = match stop.run_until_cancelled(self.pull(source, credentials)).await {
            Some(outcome) => outcome,
            None => Err(ImageError::Cancelled { image: self.name.clone() }),
        };
        self.state.send_modify(|s| s.outcome = Some(outcome.map_err(Arc::new)));
    }

    async fn pull(&self, source: Source, credentials: Option<Credentials>) -> Result<(), ImageError> {
        match source {
            Source::Registry(reference) => self.pull_registry(&reference, credentials.as_ref()).await,
            Source::Layout { folder, tag } => self.pull_layout(folder, tag).await,
            Source::Archive { file } => self.pull_archive(file).await,
        }
    }

    async fn pull_registry(&self, reference: &Reference, credentials: Option<&Credentials>) -> Result<(), ImageError> {
        let mut last = None;
        for endpoint in self.inner.settings.endpoints(&reference.registry, credentials) {
            if let Some(error) = last.replace(ImageError::Cancelled { image: self.name.clone() }) {
                tracing::warn!(image = %self.name, %error, "a mirror does not have the image; the next is asked");
            }
            let repository = Arc::new(Repository::open(self.inner.settings.clone(), endpoint, reference.clone())?);
            match self.pull_repository(&repository).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| ImageError::Cancelled { image: self.name.clone() }))
    }

    async fn pull_repository(&self, repository: &Arc<Repository>) -> Result<(), ImageError> {
        let (mut content, digest) = repository.manifest().await?;
        let mut manifest = None;
        for _ in 0..=MAX_INDEXES {
            match manifest::read(&content, &self.inner.platform).map_err(|e| ImageError::manifest(&self.name, &e))? {
                Document::Image(found) => {
                    manifest = Some(found);
                    break;
                }
                Document::Elsewhere(blob) => content = repository.manifest_of(&blob).await?,
            }
        }
        let indexes =
            || ImageError::Unusable { image: self.name.clone(), why: format!("more than {MAX_INDEXES} indexes lead to each other") };
        let manifest = manifest.ok_or_else(indexes)?;
        let config = repository.config(&manifest.config).await?;
        let (config, ids) = self.read_config(&config, manifest.layers.len())?;
        let chains = chains(&ids);
        let pins: Vec<Pin> = chains.iter().map(|c| self.inner.store.pin(Pinned::Layer(*c))).collect();
        self.expect(&manifest, &chains);
        let mut downloads = self.downloads(repository, &manifest, &chains);
        let mut layers = Vec::new();
        for (i, ((blob, packing), id)) in manifest.layers.iter().zip(&ids).enumerate() {
            let Some(chain) = chains.get(i) else { break };
            // Fetched already, or not needed.
            let _blob = match downloads.remove(&i) {
                Some(download) => Some(download.await.map_err(|e| self.broken(e))??),
                None => None,
            };
            let open = open_file(self.inner.store.blob(&blob.digest), *packing);
            self.layer(&mut layers, *chain, *id, Some(blob.digest), open).await?;
        }
        let remembered = self.remember(digest, config, layers).await;
        drop(pins);
        remembered
    }

    fn broken(&self, error: impl fmt::Display) -> ImageError {
        ImageError::Io { what: format!("pull image {}", self.name), source: std::io::Error::other(error.to_string()) }
    }

    fn read_config(&self, content: &[u8], layers: usize) -> Result<(ImageConfig, Vec<Digest>), ImageError> {
        config::read(content, &self.inner.platform, layers).map_err(|e| ImageError::config(&self.name, &e))
    }

    /// Says what must come.
    fn expect(&self, manifest: &Manifest, chains: &[Digest]) {
        let missing = manifest.layers.iter().zip(chains).filter(|(_, chain)| !self.inner.store.has(chain));
        let all_bytes = missing.fold(0, |sum: u64, ((blob, _), _)| sum.saturating_add(blob.size));
        self.state.send_modify(|s| s.progress = Progress { all_layers: chains.len(), all_bytes, ..Progress::default() });
    }

    /// Fetches what is missing, a few layers at a time. A blob is kept as long as what is returned for it.
    fn downloads(
        &self,
        repository: &Arc<Repository>,
        manifest: &Manifest,
        chains: &[Digest],
    ) -> HashMap<usize, AbortOnDropHandle<Result<Pin, ImageError>>> {
        let turns = Arc::new(Semaphore::new(DOWNLOADS));
        let missing = manifest.layers.iter().zip(chains).enumerate().filter(|(_, (_, chain))| !self.inner.store.has(chain));
        missing
            .map(|(i, ((blob, _), _))| {
                let (inner, repository, blob, turns, state) =
                    (self.inner.clone(), repository.clone(), blob.clone(), turns.clone(), self.state.clone());
                let download = async move {
                    let _turn = turns.acquire_owned().await;
                    let pin = inner.store.pin(Pinned::Blob(blob.digest));
                    let _lock = inner.lock(format!("blob {}", blob.digest)).await;
                    fetch(&inner.store, &repository, &blob, |bytes| state.send_modify(|s| s.progress.bytes += bytes)).await.map(|()| pin)
                };
                (i, AbortOnDropHandle::new(tokio::spawn(download)))
            })
            .collect()
    }

    /// Unpacks a layer on those before it, unless it is there.
    async fn layer(
        &self,
        layers: &mut Vec<Layer>,
        chain: Digest,
        diff_id: Digest,
        packed: Option<Digest>,
        open: impl FnOnce(&str) -> Result<Packed, ImageError> + Send + 'static,
    ) -> Result<(), ImageError> {
        let used: u64 = layers.iter().map(|l| l.bytes).sum();
        let lowers: Vec<PathBuf> = layers.iter().map(|l| self.inner.store.files(&l.chain)).collect();
        let lock = self.inner.lock(format!("layer {chain}")).await;
        let (store, name, stop) = (self.inner.store.clone(), self.name.clone(), self.stop.clone());
        let work = move || {
            // Held to the end, even if nobody waits for it any more.
            let _lock = lock;
            if let Some(bytes) = store.layer_bytes(&chain) {
                return Ok(bytes);
            }
            let into = store.begin_layer(&chain)?;
            let budget = MAX_UNPACKED_BYTES.saturating_sub(used);
            let unpacked = open(&name).and_then(|(reader, packing)| {
                let order = Order { into: &into, lowers: &lowers, packing, diff_id, packed, budget, stop: &stop };
                unpack(reader, &order).map_err(|e| e.of(&name, packed.unwrap_or(diff_id)))
            });
            let finished = unpacked.and_then(|bytes| store.finish_layer(&chain, bytes).map(|()| bytes));
            if finished.is_err() {
                store.give_up_layer(&chain);
            }
            finished
        };
        let bytes = tokio::task::spawn_blocking(work).await.map_err(|e| self.broken(e))??;
        layers.push(Layer { chain, bytes });
        self.state.send_modify(|s| s.progress.layers += 1);
        Ok(())
    }

    async fn remember(&self, digest: Digest, config: ImageConfig, layers: Vec<Layer>) -> Result<(), ImageError> {
        let record = Record { name: self.name.clone(), digest, config, layers, used_at_ms: now_ms() };
        let (store, key) = (self.inner.store.clone(), self.key.clone());
        blocking(move || store.put_record(&key, record)).await
    }

    async fn pull_layout(&self, folder: PathBuf, tag: Option<String>) -> Result<(), ImageError> {
        let (name, at, platform) = (self.name.clone(), folder.clone(), self.inner.platform.clone());
        let read = tokio::task::spawn_blocking(move || layout::read(&name, &at, tag.as_deref(), &platform)).await;
        let (manifest, digest, config) = read.map_err(|e| self.broken(e))??;
        let (config, ids) = self.read_config(&config, manifest.layers.len())?;
        let chains = chains(&ids);
        let _pins: Vec<Pin> = chains.iter().map(|c| self.inner.store.pin(Pinned::Layer(*c))).collect();
        let mut layers = Vec::new();
        for (((blob, packing), id), chain) in manifest.layers.iter().zip(&ids).zip(&chains) {
            let open = open_file(layout::blob_path(&folder, &blob.digest), *packing);
            self.layer(&mut layers, *chain, *id, Some(blob.digest), open).await?;
        }
        self.remember(digest, config, layers).await
    }

    async fn pull_archive(&self, file: PathBuf) -> Result<(), ImageError> {
        let (name, at, stop) = (self.name.clone(), file.clone(), self.stop.clone());
        let read = tokio::task::spawn_blocking(move || archive::contents(&name, &at, &stop)).await;
        let contents = read.map_err(|e| self.broken(e))??;
        let digest = Digest::of(&contents.config);
        let (config, ids) = self.read_config(&contents.config, contents.layers.len())?;
        let chains = chains(&ids);
        let _pins: Vec<Pin> = chains.iter().map(|c| self.inner.store.pin(Pinned::Layer(*c))).collect();
        let mut layers = Vec::new();
        for ((span, id), chain) in contents.layers.into_iter().zip(&ids).zip(&chains) {
            let at = file.clone();
            self.layer(&mut layers, *chain, *id, None, move |image: &str| archive::layer(image, &at, span)).await?;
        }
        self.remember(digest, config, layers).await
    }
}
