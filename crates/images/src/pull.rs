//! Pulls: one for all who want the same image at the same time, which ends when nobody waits for it any more.

use crate::{
    config::ImageConfig,
    digest::Digest,
    error::ImageError,
    fetch::blocking,
    layout,
    manifest::Platform,
    reference::Source,
    settings::{Credentials, Settings},
    store::{Pinned, Store},
    work::Work,
};
use std::{
    collections::HashMap,
    fmt,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// All images of a node. Clones share them.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: Arc<Settings>,
    pub(crate) store: Store,
    pub(crate) platform: Platform,
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

/// A pull that several may wait for; the last one who goes ends it.
struct Shared {
    state: watch::Receiver<State>,
    _stop: DropGuard,
}

/// How far a pull is, and what came of it.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) progress: Progress,
    pub(crate) outcome: Option<Result<(), Arc<ImageError>>>,
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
    pub(crate) async fn lock(&self, name: String) -> OwnedMutexGuard<()> {
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
