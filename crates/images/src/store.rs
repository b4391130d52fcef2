//! What of images is on the node's disk, and who uses it.
//!
//! ```text
//! <folder>/blobs/<digest>[.part]       layers on their way, as they are transferred
//!          layers/<chain>/{fs,bytes}   unpacked ones; a chain is a layer with all below it
//!          images/<key>.json           what is known of an image; a key is a name and who may have it
//!          users/<user>.json           who uses which
//! ```
//!
//! A layer has its name only when it is whole and on disk. What somebody uses or is about to is never removed.

use crate::{
    blob::{sync_folder, write_file},
    collect::{Held, Keep, collect},
    config::ImageConfig,
    digest::Digest,
    error::ImageError,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What is known of an image that is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its name.
    pub(crate) name: String,
    /// The digest of its manifest, or of its configuration where it has no manifest.
    pub(crate) digest: Digest,
    pub(crate) config: ImageConfig,
    /// The lowest first.
    pub(crate) layers: Vec<Layer>,
    /// Milliseconds since 1970.
    pub(crate) used_at_ms: u64,
}

/// A layer that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// The digest of this layer and all below it.
    pub(crate) chain: Digest,
    /// Unpacked.
    pub(crate) bytes: u64,
}

/// Somebody who uses an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    key: String,
    layers: BTreeSet<Digest>,
}

#[derive(Default)]
struct Known {
    records: BTreeMap<String, Record>,
    users: BTreeMap<String, User>,
    /// How many are about to use something.
    pins: BTreeMap<Pinned, usize>,
}

/// What somebody is about to use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pinned {
    Image(String),
    Layer(Digest),
    /// It goes when nobody needs it any more.
    Blob(Digest),
}

/// See the module. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    folder: Arc<PathBuf>,
    known: Arc<Mutex<Known>>,
}

/// Keeps something as long as it lives.
pub(crate) struct Pin {
    store: Store,
    what: Pinned,
}

fn failed(what: &str, path: &Path, source: io::Error) -> ImageError {
    ImageError::Io { what: format!("{what} {}", path.display()), source }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Store {
    /// Opens the folder, which is made if it is not there. What an agent left half made is removed.
    pub(crate) fn open(folder: &Path) -> Result<Self, ImageError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for name in ["blobs", "layers", "images", "users"] {
            let path = folder.join(name);
            builder.create(&path).map_err(|e| failed("make", &path, e))?;
        }
        let records = read_all(&folder.join("images"))?;
        let users = read_all(&folder.join("users"))?;
        let store =
            Self { folder: Arc::new(folder.to_owned()), known: Arc::new(Mutex::new(Known { records, users, pins: BTreeMap::new() })) };
        store.remove_unfinished()?;
        let mut known = store.lock();
        let whole: Vec<String> =
            known.records.iter().filter(|(_, r)| r.layers.iter().all(|l| store.has(&l.chain))).map(|(k, _)| k.clone()).collect();
        known.records.retain(|key, _| whole.contains(key));
        drop(known);
        Ok(store)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_unfinished(&self) -> Result<(), ImageError> {
        let layers = self.folder.join("layers");
        for entry in fs::read_dir(&layers).map_err(|e| failed("list", &layers, e))?.flatten() {
            if entry.file_name().to_string_lossy().contains('.') {
                fs::remove_dir_all(entry.path()).map_err(|e| failed("remove", &entry.path(), e))?;
            }
        }
        Ok(())
    }

    /// Where a blob is put.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.hex())
    }

    /// Where a blob grows.
    pub(crate) fn part(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(format!("{}.part", digest.hex()))
    }

    fn layer(&self, chain: &Digest) -> PathBuf {
        self.folder.join("layers").join(chain.hex())
    }

    /// The files of a layer.
    pub(crate) fn files(&self, chain: &Digest) -> PathBuf {
        self.layer(chain).join("fs")
    }

    /// Whether a layer is there.
    pub(crate) fn has(&self, chain: &Digest) -> bool {
        self.layer(chain).exists()
    }

    /// How many bytes a layer has, if it is there.
    pub(crate) fn layer_bytes(&self, chain: &Digest) -> Option<u64> {
        fs::read_to_string(self.layer(chain).join("bytes")).ok()?.trim().parse().ok()
    }

    /// An empty folder to make a layer in. One at a time may do that for a chain.
    pub(crate) fn begin_layer(&self, chain: &Digest) -> Result<PathBuf, ImageError> {
        let path = self.unfinished(chain);
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &path, e)),
            _ => {}
        }
        let files = path.join("fs");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&files).map_err(|e| failed("make", &files, e))?;
        Ok(files)
    }

    fn unfinished(&self, chain: &Digest) -> PathBuf {
        self.folder.join("layers").join(format!("{}.new", chain.hex()))
    }

    /// The layer is whole and on disk: it gets its name.
    pub(crate) fn finish_layer(&self, chain: &Digest, bytes: u64) -> Result<(), ImageError> {
        let (from, to) = (self.unfinished(chain), self.layer(chain));
        write_file(&from.join("bytes"), bytes.to_string().as_bytes())?;
        fs::rename(&from, &to).map_err(|e| failed("rename", &from, e))?;
        sync_folder(&to)
    }

    /// Nothing is to be left of a layer that could not be made.
    pub(crate) fn give_up_layer(&self, chain: &Digest) {
        drop(fs::remove_dir_all(self.unfinished(chain)));
    }

    /// Keeps something as long as the pin lives.
    pub(crate) fn pin(&self, what: Pinned) -> Pin {
        *self.lock().pins.entry(what.clone()).or_default() += 1;
        Pin { store: self.clone(), what }
    }

    /// What is known under a key.
    pub(crate) fn record(&self, key: &str) -> Option<Record> {
        self.lock().records.get(key).cloned()
    }

    /// Remembers an image whose layers are all there.
    pub(crate) fn put_record(&self, key: &str, record: Record) -> Result<(), ImageError> {
        self.save(key, &record)?;
        self.lock().records.insert(key.to_owned(), record);
        Ok(())
    }

    fn save(&self, key: &str, record: &Record) -> Result<(), ImageError> {
        let json = serde_json::to_vec(record).map_err(|e| failed("write", Path::new(key), e.into()))?;
        write_file(&self.folder.join("images").join(format!("{key}.json")), &json)
    }

    fn user_file(&self, user: &str) -> PathBuf {
        self.folder.join("users").join(format!("{user}.json"))
    }

    /// Notes that somebody uses an image, until it is released; or nothing, when nobody wants it any more.
    pub(crate) fn take(&self, user: &str, key: &str, wanted: &Weak<()>) -> Result<Option<Record>, ImageError> {
        let mut known = self.lock();
        // Under the lock: a release that comes after it was given up finds what was noted before.
        if wanted.strong_count() == 0 {
            return Ok(None);
        }
        let Some(record) = known.records.get_mut(key) else { return Ok(None) };
        record.used_at_ms = now_ms();
        let record = record.clone();
        // On disk first: an agent that starts again must know what the tasks that it finds stand on.
        let entry = User { key: key.to_owned(), layers: record.layers.iter().map(|l| l.chain).collect() };
        let json = serde_json::to_vec(&entry).map_err(|e| failed("write", Path::new(user), e.into()))?;
        write_file(&self.user_file(user), &json)?;
        known.users.insert(user.to_owned(), entry);
        Ok(Some(record))
    }

    /// Somebody does not use its image any more.
    pub(crate) fn release(&self, user: &str) {
        let mut known = self.lock();
        let Some(entry) = known.users.remove(user) else { return };
        drop(fs::remove_file(self.user_file(user)));
        if let Some(record) = known.records.get_mut(&entry.key) {
            record.used_at_ms = now_ms();
            let record = record.clone();
            drop(known);
            if let Err(error) = self.save(&entry.key, &record) {
                tracing::warn!(%error, "when an image was used last was not written down");
            }
        }
    }

    /// Who uses an image.
    pub(crate) fn users(&self) -> Vec<String> {
        self.lock().users.keys().cloned().collect()
    }

    /// Removes what nobody has used for a while. Returns the names of the images that went.
    pub(crate) fn collect(&self, keep: Keep) -> Result<Vec<String>, ImageError> {
        let (names, trash) = {
            let mut known = self.lock();
            let gone = decide(&known, now_ms(), keep);
            let mut names = Vec::new();
            for key in gone {
                let path = self.folder.join("images").join(format!("{key}.json"));
                fs::remove_file(&path).map_err(|e| failed("remove", &path, e))?;
                names.extend(known.records.remove(&key).map(|r| r.name));
            }
            // Renamed under the lock, so that nobody finds a layer that is about to go; removed without it.
            (names, self.discard_layers(&known, keep.delay)?)
        };
        for path in trash {
            fs::remove_dir_all(&path).map_err(|e| failed("remove", &path, e))?;
        }
        self.remove_old_parts(keep.delay)?;
        Ok(names)
    }

    /// Layers of no image, and of no user, go; those of a pull that did not come to its end wait, for the next try wants them.
    fn discard_layers(&self, known: &Known, delay: Duration) -> Result<Vec<PathBuf>, ImageError> {
        let mut wanted: BTreeSet<Digest> = known.records.values().flat_map(|r| r.layers.iter().map(|l| l.chain)).collect();
        wanted.extend(known.users.values().flat_map(|u| u.layers.iter().copied()));
        wanted.extend(known.pins.keys().filter_map(|p| if let Pinned::Layer(chain) = p { Some(*chain) } else { None }));
        let wanted: BTreeSet<String> = wanted.iter().map(Digest::hex).collect();
        let layers = self.folder.join("layers");
        let mut trash = Vec::new();
        for entry in fs::read_dir(&layers).map_err(|e| failed("list", &layers, e))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains('.') || wanted.contains(&name) || !is_old(&entry.path(), delay) {
                continue;
            }
            let to = layers.join(format!("{name}.gone"));
            fs::rename(entry.path(), &to).map_err(|e| failed("rename", &entry.path(), e))?;
            trash.push(to);
        }
        Ok(trash)
    }

    fn remove_old_parts(&self, delay: Duration) -> Result<(), ImageError> {
        let blobs = self.folder.join("blobs");
        let known = self.lock();
        for entry in fs::read_dir(&blobs).map_err(|e| failed("list", &blobs, e))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let hex = name.trim_end_matches(".part");
            let is_wanted = known.pins.keys().any(|p| matches!(p, Pinned::Blob(digest) if digest.hex() == hex));
            if !is_wanted && is_old(&entry.path(), delay) {
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }
}

fn decide(known: &Known, now_ms: u64, keep: Keep) -> BTreeSet<String> {
    let hexes: BTreeMap<Digest, String> = known.records.values().flat_map(|r| &r.layers).map(|l| (l.chain, l.chain.hex())).collect();
    let held: Vec<Held<'_>> = known
        .records
        .iter()
        .map(|(key, record)| Held {
            key,
            used_at_ms: record.used_at_ms,
            in_use: known.users.values().any(|u| u.key == *key) || known.pins.contains_key(&Pinned::Image(key.clone())),
            layers: record.layers.iter().filter_map(|l| Some((hexes.get(&l.chain)?.as_str(), l.bytes))).collect(),
        })
        .collect();
    collect(&held, now_ms, keep)
}

fn is_old(path: &Path, delay: Duration) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|m| m.modified()).ok();
    changed.is_none_or(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age >= delay))
}

/// Reads the files of a folder. One that cannot be read is as good as none: what it told of is found again or fetched again.
fn read_all<T: DeserializeOwned>(folder: &Path) -> Result<BTreeMap<String, T>, ImageError> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|e| failed("list", folder, e))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(key) = name.strip_suffix(".json") else {
            drop(fs::remove_file(entry.path()));
            continue;
        };
        let value = fs::read(entry.path()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match value {
            Some(value) => drop(found.insert(key.to_owned(), value)),
            None => tracing::warn!(file = %entry.path().display(), "a note about an image cannot be read and is left out"),
        }
    }
    Ok(found)
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut known = self.store.lock();
        let left = known.pins.get_mut(&self.what).map(|n| {
            *n = n.saturating_sub(1);
            *n
        });
        if left == Some(0) {
            known.pins.remove(&self.what);
            if let Pinned::Blob(digest) = &self.what {
                // What came of it is in its layer. One that is not whole stays for the next try.
                drop(fs::remove_file(self.store.blob(digest)));
            }
        }
    }
}
