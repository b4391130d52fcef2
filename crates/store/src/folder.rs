//! The data folder: made private, and held by one agent at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Who may enter: the owner alone. The folder holds secrets.
const MODE: u32 = 0o700;
/// The file whose lock is the folder's lock. It stays when the agent ends; only the lock counts.
const LOCK_FILE: &str = "lock";
/// The most of the lock file that is read, in bytes.
const LOCK_FILE_BYTES: u64 = 4096;

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another agent runs on it.
    #[error("data folder {path} is in use by process {pid} ({command}); stop it, or give this agent another folder with -data-dir")]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process, as it wrote it down itself.
        pid: String,
        /// Its program and first argument.
        command: String,
    },
    /// It cannot be made or locked.
    #[error("prepare data folder {path}; check that it exists and that this user may write there")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// An agent's data folder, locked as long as a clone of this lives, and released by the kernel when the process dies in any way.
#[derive(Clone, Debug)]
pub struct DataFolder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if need be and locks it.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be made.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        make_private(path)?;
        let at = path.join(LOCK_FILE);
        let fail = |source| FolderError::Io { path: at.clone(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&at).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, file)),
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        }
        let note = format!("{}\n{}\n", std::process::id(), own_command());
        file.set_len(0).and_then(|()| file.write_all(note.as_bytes())).map_err(fail)?;
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), _lock: file }) })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The folder of the server's files; made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn server(&self) -> Result<PathBuf, FolderError> {
        self.sub("server")
    }

    /// The folder of the client's files; made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn client(&self) -> Result<PathBuf, FolderError> {
        self.sub("client")
    }

    fn sub(&self, name: &str) -> Result<PathBuf, FolderError> {
        let path = self.inner.path.join(name);
        make_private(&path)?;
        Ok(path)
    }
}

/// Makes the folder and its parents, and makes sure that its name outlives a power cut.
pub(crate) fn make_private(path: &Path) -> Result<(), FolderError> {
    let fail = |source| FolderError::Io { path: path.to_owned(), source };
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(MODE).create(path).map_err(fail)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent).map_err(fail),
        _ => sync_directory(Path::new(".")).map_err(fail),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn in_use(path: &Path, file: File) -> FolderError {
    let mut note = String::new();
    // Who holds it is a courtesy: that somebody does is known already.
    let _ = file.take(LOCK_FILE_BYTES).read_to_string(&mut note);
    let mut lines = note.lines();
    let mut line = || lines.next().filter(|l| !l.is_empty()).unwrap_or("unknown").to_owned();
    FolderError::InUse { path: path.to_owned(), pid: line(), command: line() }
}

/// The program and its first argument. The rest may hold secrets.
fn own_command() -> String {
    std::env::args().take(2).map(|a| a.replace(char::is_control, " ")).collect::<Vec<_>>().join(" ")
}
