//! Pulls: one for all who want the same image at the same time, which ends when nobody waits for it any more.

use crate::{
    archive,
    blob::Partial,
    config::{self, ImageConfig},
    digest::Digest,
    error::ImageError,
    layout,
    limits::MAX_UNPACKED_BYTES,
    manifest::{self, Blob, Document, Manifest, Packing, Platform},
    reference::{Reference, Source},
    registry::Repository,
    settings::{Credentials, Settings},
    store::{Layer, Pin, Pinned, Record, Store, now_ms},
    unpack::{Order, unpack},
};
use std::{
    collections::HashMap,
    fmt,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::{OwnedMutexGuard, Semaphore, watch};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};

/// Layers of an image that are fetched at the same time.
const DOWNLOADS: usize = 3;
/// How many indexes may lead to each other.
const MAX_INDEXES: usize = 4;
/// How often a layer is gone on with after its connection broke.
const LAYER_TRIES: u32 = 5;

/// All images of a node. Clones share them.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Arc<Settings>,
    store: Store,
    platform: Platform,
    /// The pulls that somebody waits for, by key.
    pulls: Mutex<HashMap<String, Weak<Shared>>>,
    /// Who works on a blob or a layer.
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Where from.
    pub source: Source,
    /// Who asks, where the job says so.
    pub credentials: Option<Credentials>,
    /// Whether the registry is asked even if the image is here.
    pub force: bool,
    /// How long it may take.
    pub deadline: Duration,
    /// Who uses it afterwards: letters, digits, `.`, `_` and `-`.
    pub user: String,
}

/// An image that can be run. It stays until its user is released.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its complete name.
    pub name: String,
    /// The digest of its manifest (of its configuration, for an archive).
    pub digest: Digest,
    /// What it says about its containers.
    pub config: ImageConfig,
    /// The folders of its layers, the lowest first.
    pub layers: Vec<PathBuf>,
    /// What came of asking for it, when it is not what was asked for: the registry could not be asked, and an older one is used.
    pub warning: Option<String>,
}

/// How far a pull is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Layers that are there.
    pub layers: usize,
    /// All layers; zero while that is not known.
    pub all_layers: usize,
    /// Bytes that came.
    pub bytes: u64,
    /// All bytes that must come.
    pub all_bytes: u64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |n: u64| n.div_ceil(1 << 20);
        write!(f, "{} of {} layers, {} of {} MiB", self.layers, self.all_layers, mebibytes(self.bytes), mebibytes(self.all_bytes))
    }
}

/// A layer as it is read, and what it is packed in.
type Packed = (Box<dyn Read + Send>, Packing);

fn open_file(path: PathBuf, packing: Packing) -> impl FnOnce(&str) -> Result<Packed, ImageError> {
    move |image| layout::open(image, &path).map(|file| (Box::new(file) as Box<dyn Read + Send>, packing))
}

/// A pull that several may wait for; the last one who goes ends it.
struct Shared {
    state: watch::Receiver<State>,
    _stop: DropGuard,
}

#[derive(Clone, Default)]
struct State {
    progress: Progress,
    outcome: Option<Result<(), Arc<ImageError>>>,
}

/// A pull at work.
struct Work {
    inner: Arc<Inner>,
    name: String,
    key: String,
    stop: CancellationToken,
    state: watch::Sender<State>,
}

impl Images {
    /// Opens the folder of a node's images.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(folder: &Path, settings: Settings) -> Result<Self, ImageError> {
        let store = Store::open(folder)?;
        let platform = Platform::of(std::env::consts::ARCH);
        let inner = Inner { settings: Arc::new(settings), store, platform, pulls: Mutex::default(), locks: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Gets an image, and keeps it for its user. `told` hears how far it is, while something must be fetched.
    ///
    /// # Errors
    /// In words for those who want to run it.
    pub async fn acquire(&self, pull: &Pull, mut told: impl FnMut(Progress)) -> Result<Image, ImageError> {
        let name = pull.source.to_string();
        let (inner, wanted) = (self.inner.clone(), pull.clone());
        let (key, moves) = blocking(move || inner.key(&wanted)).await?;
        // From here on the image stays, if it is there.
        let _pin = self.inner.store.pin(Pinned::Image(key.clone()));
        let mut warning = None;
        let known = self.inner.store.record(&key);
        if pull.force || moves || known.is_none() {
            let pulled = match tokio::time::timeout(pull.deadline, self.wait(pull, &name, &key, &mut told)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(ImageError::Timeout { image: name.clone(), after: pull.deadline }),
            };
            match pulled {
                // A task that runs already must be able to start again while its registry is away.
                Err(error) if known.is_some() && !pull.force && !error.is_fatal() => {
                    warning = Some(format!("{error}; the image that is on this node is used"));
                }
                outcome => outcome?,
            }
        }
        let (store, user) = (self.inner.store.clone(), pull.user.clone());
        // Gone with this call: who gives it up will not release what it never got.
        let wanted = Arc::new(());
        let still_wanted = Arc::downgrade(&wanted);
        let record =
            blocking(move || store.take(&user, &key, &still_wanted)).await?.ok_or_else(|| ImageError::Cancelled { image: name.clone() })?;
        let layers = record.layers.iter().map(|l| self.inner.store.files(&l.chain)).collect();
        Ok(Image { name, digest: record.digest, config: record.config, layers, warning })
    }

    /// Waits for the pull that is under way, or begins one.
    async fn wait(&self, pull: &Pull, name: &str, key: &str, told: &mut impl FnMut(Progress)) -> Result<(), ImageError> {
        let shared = self.shared(pull, name, key);
        let mut state = shared.state.clone();
        loop {
            let seen = state.borrow_and_update().clone();
            match seen.outcome {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => return Err(Arc::try_unwrap(error).unwrap_or_else(ImageError::Shared)),
                None => told(seen.progress),
            }
            if state.changed().await.is_err() {
                return Err(ImageError::Cancelled { image: name.to_owned() });
            }
        }
    }

    fn shared(&self, pull: &Pull, name: &str, key: &str) -> Arc<Shared> {
        let mut pulls = self.inner.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, shared| shared.strong_count() > 0);
        let under_way = pulls.get(key).and_then(Weak::upgrade).filter(|s| s.state.borrow().outcome.is_none());
        if let Some(shared) = under_way {
            return shared;
        }
        let (sender, state) = watch::channel(State::default());
        let stop = CancellationToken::new();
        let work = Work { inner: self.inner.clone(), name: name.to_owned(), key: key.to_owned(), stop: stop.clone(), state: sender };
        tokio::spawn(work.run(pull.source.clone(), pull.credentials.clone()));
        let shared = Arc::new(Shared { state, _stop: stop.drop_guard() });
        pulls.insert(key.to_owned(), Arc::downgrade(&shared));
        shared
    }

    /// A user does not need its image any more.
    pub fn release(&self, user: &str) {
        self.inner.store.release(user);
    }

    /// Releases all users but these: those that an earlier agent had and nobody has now.
    pub fn keep_only(&self, is_user: impl Fn(&str) -> bool) {
        for user in self.inner.store.users() {
            if !is_user(&user) {
                self.inner.store.release(&user);
            }
        }
    }

    /// Removes what nobody has used for a while. Returns the names of the images that went. It waits for the disk.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn collect_garbage(&self) -> Result<Vec<String>, ImageError> {
        self.inner.store.collect(self.inner.settings.keep)
    }
}

impl Inner {
    /// Under what an image is known, and whether its name may stand for another image now. Who asks is part of it: an image that one job
    /// got with its credentials is not given to another that has none. What both have in common is on disk once nevertheless.
    fn key(&self, pull: &Pull) -> Result<(String, bool), ImageError> {
        let mut text = pull.source.to_string();
        let moves = match &pull.source {
            Source::Registry(reference) => reference.is_moving(),
            Source::Layout { folder, .. } => {
                self.check_folder(&text, folder)?;
                true
            }
            Source::Archive { file } => {
                self.check_folder(&text, file)?;
                let about = layout::open(&text, file)?
                    .metadata()
                    .map_err(|source| ImageError::Io { what: format!("look at {}", file.display()), source })?;
                text.push_str(&format!("\0{}\0{}\0{}", about.mtime(), about.mtime_nsec(), about.size()));
                false
            }
        };
        if let Some(Credentials { username, password }) = &pull.credentials {
            text.push_str(&format!("\0{username}\0{password}"));
        }
        Ok((Digest::of(text.as_bytes()).hex(), moves))
    }

    /// A job may not have the agent read whatever there is.
    fn check_folder(&self, image: &str, path: &Path) -> Result<(), ImageError> {
        let refused = || ImageError::Folder { image: image.to_owned(), path: path.to_owned() };
        let missing = |_| ImageError::Missing { image: image.to_owned(), place: path.display().to_string() };
        if !self.settings.sources.iter().any(|source| path.starts_with(source)) {
            return Err(refused());
        }
        let real = path.canonicalize().map_err(missing)?;
        let sources = self.settings.sources.iter().filter_map(|s| s.canonicalize().ok());
        if sources.into_iter().any(|source| real.starts_with(source)) { Ok(()) } else { Err(refused()) }
    }

    /// One at a time works on what is called `name`.
    async fn lock(&self, name: String) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            match locks.get(&name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    locks.insert(name, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
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
    async fn run(self, source: Source, credentials: Option<Credentials>) {
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

/// Fetches a blob into its place; goes on where an earlier try ended.
async fn fetch(store: &Store, repository: &Repository, blob: &Blob, came: impl Fn(u64)) -> Result<(), ImageError> {
    let place = store.blob(&blob.digest);
    if tokio::fs::try_exists(&place).await.unwrap_or(false) {
        came(blob.size);
        return Ok(());
    }
    let (part, size) = (store.part(&blob.digest), blob.size);
    let mut partial = blocking(move || Partial::open(&part, size)).await?;
    came(partial.bytes());
    let mut tries = 1;
    while partial.bytes() < blob.size {
        let before = partial.bytes();
        let (back, outcome) = append(repository, blob, partial, &came).await?;
        partial = back;
        match outcome {
            Ok(()) => {}
            Err(error) if tries == LAYER_TRIES || error.is_fatal() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, digest = %blob.digest, "a layer is gone on with");
                // What makes progress may go on for long.
                tries = if partial.bytes() > before { 1 } else { tries + 1 };
            }
        }
    }
    blocking(move || Ok((partial.digest(), partial))).await.and_then(|(found, partial)| {
        if found == blob.digest {
            return partial.keep(&place);
        }
        // Kept, it would be taken for its beginning the next time.
        partial.discard();
        let image = repository.image();
        Err(ImageError::Digest { image, what: format!("layer {}", blob.digest), found, wanted: blob.digest })
    })
}

/// Asks for the rest of a blob, and writes what comes.
async fn append(
    repository: &Repository,
    blob: &Blob,
    mut partial: Partial,
    came: &impl Fn(u64),
) -> Result<(Partial, Result<(), ImageError>), ImageError> {
    let mut pieces = match repository.layer(blob, partial.bytes()).await {
        Ok(pieces) => pieces,
        Err(error) => return Ok((partial, Err(error))),
    };
    if !pieces.goes_on && partial.bytes() > 0 {
        partial.restart()?;
    }
    loop {
        let piece = match repository.piece(&mut pieces).await {
            Ok(Some(piece)) => piece,
            Ok(None) if partial.bytes() < blob.size => return Ok((partial, Err(repository.cut_short(blob)))),
            Ok(None) => return Ok((partial, Ok(()))),
            Err(error) => return Ok((partial, Err(error))),
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if partial.bytes().saturating_add(length) > blob.size {
            partial.discard();
            return Err(repository.too_long(blob));
        }
        partial = blocking(move || partial.write(&piece).map(|()| partial)).await?;
        came(length);
    }
}

/// Does what waits for the disk beside the async workers.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ImageError> + Send + 'static) -> Result<T, ImageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(ImageError::Io { what: "work on an image".to_owned(), source: std::io::Error::other(error) }),
    }
}
