//! Snapshots as files, the newest two.
//!
//! A snapshot is written under a temporary name, synced, renamed, and its directory synced: under its own name it is whole or not there. Should
//! it rot later, its digest shows that, and the one before it serves, with more of the log. Everything here blocks on the disk.

mod directory;
mod format;

pub use directory::{Directory, FsDirectory};

use crate::{
    DataFolder, FolderError, SERVER_ADVICE,
    folder::make_private,
    planted::{self, Bug},
};
use format::Flaw;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// How many snapshots are kept: the newest, and the one before it in case the newest is damaged.
pub const KEEP: usize = 2;

const EXTENSION: &str = ".snap";
const TEMPORARY: &str = ".tmp";
/// The ending of a snapshot that another server sent and that is not this server's yet. It ends as [`TEMPORARY`] does, so a start removes it.
const STAGED: &str = ".staged.tmp";
const DAMAGED: &str = ".damaged";
const DIRECTORY: &str = "snapshots";

/// The last entry that a snapshot includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId {
    /// Its index.
    pub index: u64,
    /// The term of the leader that made it.
    pub term: u64,
}

impl SnapshotId {
    fn file_name(self) -> String {
        format!("{}-{}{EXTENSION}", self.index, self.term)
    }
    fn of_file(name: &str) -> Option<Self> {
        let (index, term) = name.strip_suffix(EXTENSION)?.split_once('-')?;
        let id = Self { index: index.parse().ok()?, term: term.parse().ok()? };
        // "+1-01.snap" would parse too, and then not be found under its own name.
        (id.file_name() == name).then_some(id)
    }
}

/// A snapshot cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The folder cannot be made.
    #[error("open snapshots: the data folder cannot be used")]
    Folder(#[from] FolderError),
    /// The disk refused.
    #[error("{action} snapshot {file}; free or repair the disk")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        file: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What is on disk is not what was written.
    #[error("snapshot {file} is damaged ({flaw}); {SERVER_ADVICE}")]
    Damaged {
        /// The file.
        file: String,
        /// How it shows.
        flaw: String,
    },
    /// Written by a newer build.
    #[error("snapshot {file} has format {found}, but this build reads up to {known}; upgrade floe on this server")]
    FutureFormat {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
}

/// A snapshot with its content, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry that it includes.
    pub id: SnapshotId,
    /// What the caller said about it.
    pub meta: Vec<u8>,
    /// The state.
    pub body: Vec<u8>,
}

/// A snapshot on disk, not read yet.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    directory: Arc<dyn Directory>,
    id: SnapshotId,
    /// It has not got its name yet: see [`SnapshotStore::stage`].
    is_staged: bool,
}

impl SnapshotFile {
    /// The last entry that it includes.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or was written by a newer build.
    pub fn read(&self) -> Result<Snapshot, SnapshotError> {
        let parsed = checked(&self.bytes()?, &self.display())?;
        if parsed.id != self.id {
            return Err(SnapshotError::Damaged { file: self.display(), flaw: "it is another snapshot than its name says".to_owned() });
        }
        Ok(parsed)
    }

    /// The file as it is, for another server's [`SnapshotStore::stage`]. It is not checked: that server does.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>, SnapshotError> {
        let read = self.directory.read(&self.name());
        read.map_err(|source| SnapshotError::Io { action: "read", file: self.display(), source })
    }

    fn name(&self) -> String {
        if self.is_staged { format!("{}{STAGED}", self.id.file_name()) } else { self.id.file_name() }
    }

    fn display(&self) -> String {
        self.directory.display(&self.name())
    }
}

/// A file's content, when it is what was written. `file` is its name for messages.
fn checked(bytes: &[u8], file: &str) -> Result<Snapshot, SnapshotError> {
    let parsed = format::parse(bytes).map_err(|flaw| match flaw {
        Flaw::Future(found) => SnapshotError::FutureFormat { file: file.to_owned(), found, known: format::FORMAT },
        flaw => SnapshotError::Damaged { file: file.to_owned(), flaw: flaw.to_string() },
    })?;
    Ok(Snapshot { id: parsed.id, meta: parsed.meta.to_vec(), body: parsed.body.to_vec() })
}

/// The folder of snapshots. Clones share it; those who write wait for each other.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    directory: Arc<dyn Directory>,
    writing: Arc<Mutex<()>>,
}

impl SnapshotStore {
    /// Opens the snapshots in the data folder and removes what an interrupted write left.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: &DataFolder) -> Result<Self, SnapshotError> {
        let path = folder.server()?.join(DIRECTORY);
        make_private(&path)?;
        Self::open_in(Arc::new(FsDirectory::new(&path)))
    }

    /// Opens the snapshots in any directory, such as [`crate::twin::Folder`].
    ///
    /// # Errors
    /// As [`SnapshotStore::open`].
    pub fn open_in(directory: Arc<dyn Directory>) -> Result<Self, SnapshotError> {
        let store = Self { directory, writing: Arc::default() };
        for name in store.names()? {
            if name.ends_with(TEMPORARY) {
                tracing::info!(file = store.directory.display(&name), "remove a snapshot that was not finished");
                store.remove(&name)?;
            }
        }
        Ok(store)
    }

    /// Keeps a snapshot durably, and forgets all but the newest [`KEEP`].
    ///
    /// # Errors
    /// When the disk refuses. Then the snapshots that were there still are, and nothing of this one is.
    pub fn save(&self, id: SnapshotId, meta: &[u8], body: &[u8]) -> Result<SnapshotFile, SnapshotError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = id.file_name();
        let temporary = format!("{name}{TEMPORARY}");
        self.write(&temporary, &[&format::header(id, meta, body), meta, body])?;
        self.name_it(&temporary, id)
    }

    /// Keeps the bytes of another server's snapshot ([`SnapshotFile::bytes`]) durably, but not as one of this server's: that takes
    /// [`SnapshotStore::adopt`]. Until then the next start forgets it.
    ///
    /// # Errors
    /// When the bytes are no whole snapshot, or the disk refuses. Then nothing of them is left.
    pub fn stage(&self, bytes: &[u8]) -> Result<SnapshotFile, SnapshotError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let id = checked(bytes, "from another server")?.id;
        let staged = SnapshotFile { directory: Arc::clone(&self.directory), id, is_staged: true };
        self.write(&staged.name(), &[bytes])?;
        Ok(staged)
    }

    /// Makes a staged snapshot one of this server's, and forgets all but the newest [`KEEP`]. One that is already stays what it is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn adopt(&self, file: &SnapshotFile) -> Result<SnapshotFile, SnapshotError> {
        if !file.is_staged {
            return Ok(file.clone());
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.name_it(&file.name(), file.id)
    }

    /// Removes a staged snapshot that nobody adopted.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn discard(&self, staged: &SnapshotFile) -> Result<(), SnapshotError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = staged.name();
        if staged.is_staged && self.names()?.contains(&name) { self.remove(&name) } else { Ok(()) }
    }

    /// Writes and syncs a file, or leaves none.
    fn write(&self, name: &str, parts: &[&[u8]]) -> Result<(), SnapshotError> {
        let written = self.directory.write(name, parts).and_then(|()| self.synced(|| self.directory.sync_file(name)));
        written.map_err(|source| {
            if let Err(error) = self.directory.remove(name) {
                tracing::debug!(file = self.directory.display(name), %error, "nothing to remove of a snapshot that was not written");
            }
            SnapshotError::Io { action: "write", file: self.directory.display(name), source }
        })
    }

    fn synced(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if planted::is_on(Bug::SnapshotNotSynced) { Ok(()) } else { sync() }
    }

    /// Gives a whole file the name of a snapshot, and forgets old ones.
    fn name_it(&self, from: &str, id: SnapshotId) -> Result<SnapshotFile, SnapshotError> {
        let name = id.file_name();
        let named = self.directory.rename(from, &name).and_then(|()| self.synced(|| self.directory.sync()));
        named.map_err(|source| SnapshotError::Io { action: "write", file: self.directory.display(&name), source })?;
        for old in self.list()?.iter().skip(KEEP) {
            self.remove(&old.id.file_name())?;
        }
        Ok(self.file(id))
    }

    /// The snapshots, newest first. They are not checked.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<SnapshotFile>, SnapshotError> {
        let mut ids: Vec<SnapshotId> = self.names()?.iter().filter_map(|name| SnapshotId::of_file(name)).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids.into_iter().map(|id| self.file(id)).collect())
    }

    /// The newest snapshot that is whole. Damaged ones are named in the log and passed over; their files get another ending, so that they do
    /// not count as one of the [`KEEP`].
    ///
    /// # Errors
    /// When the disk refuses, or a newer build wrote one: an older one would bring back an old state.
    pub fn newest(&self) -> Result<Option<Snapshot>, SnapshotError> {
        for file in self.list()? {
            match file.read() {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(damage @ SnapshotError::Damaged { .. }) => {
                    tracing::warn!("{damage}; an older snapshot serves, if there is one");
                    self.set_aside(file.id);
                }
                Err(other) => return Err(other),
            }
        }
        Ok(None)
    }

    fn set_aside(&self, id: SnapshotId) {
        let name = id.file_name();
        if let Err(error) = self.directory.rename(&name, &format!("{name}{DAMAGED}")) {
            tracing::warn!(file = self.directory.display(&name), %error, "a damaged snapshot could not be renamed");
        }
    }

    /// The file of a snapshot, whether it exists or not.
    fn file(&self, id: SnapshotId) -> SnapshotFile {
        SnapshotFile { directory: Arc::clone(&self.directory), id, is_staged: false }
    }

    /// Whether the file is one of this store's.
    pub fn holds(&self, file: &SnapshotFile) -> bool {
        Arc::ptr_eq(&self.directory, &file.directory)
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        self.directory.list().map_err(|source| SnapshotError::Io { action: "list", file: self.directory.display(""), source })
    }

    fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        self.directory.remove(name).map_err(|source| SnapshotError::Io { action: "remove", file: self.directory.display(name), source })
    }
}
