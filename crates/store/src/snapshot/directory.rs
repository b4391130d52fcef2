//! The few things that snapshots ask of a directory, so that a twin can stand in for it.

use crate::folder::sync_directory;
use std::{
    fmt::Debug,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A directory of whole files. Everything blocks.
pub trait Directory: Debug + Send + Sync {
    /// The names in it.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A file's content.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Makes or replaces a file. Not durable before [`Directory::sync_file`] and [`Directory::sync`].
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()>;
    /// Makes a file's content durable.
    ///
    /// # Errors
    /// When that fails; the file is worth nothing then.
    fn sync_file(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// When that fails.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// When that fails.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names durable.
    ///
    /// # Errors
    /// When that fails.
    fn sync(&self) -> io::Result<()>;
    /// What to call a file in messages.
    fn display(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// A directory of the file system.
#[derive(Clone, Debug)]
pub struct FsDirectory {
    path: PathBuf,
}

impl FsDirectory {
    /// The directory at `path`, which exists.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Directory for FsDirectory {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }
    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.path.join(name))?;
        parts.iter().try_for_each(|part| file.write_all(part))
    }
    fn sync_file(&self, name: &str) -> io::Result<()> {
        File::open(self.path.join(name))?.sync_all()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }
    fn sync(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }
    fn display(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}
