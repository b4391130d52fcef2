//! Pieces of content on their way to the disk: a file beside its place, of which the digest is computed while it grows, and which an agent
//! that starts again goes on with.

use crate::{digest::Digest, error::ImageError};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A blob that is being fetched.
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    hash: Sha256,
    bytes: u64,
}

fn failed(what: &str, path: &Path, source: io::Error) -> ImageError {
    ImageError::Io { what: format!("{what} {}", path.display()), source }
}

impl Partial {
    /// Goes on with what is there of a blob of `size` bytes.
    pub(crate) fn open(path: &Path, size: u64) -> Result<Self, ImageError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(path).map_err(|e| failed("open", path, e))?;
        let mut partial = Self { file, path: path.to_owned(), hash: Sha256::new(), bytes: 0 };
        let mut piece = vec![0; 64 << 10];
        loop {
            let n = partial.file.read(&mut piece).map_err(|e| failed("read", path, e))?;
            if n == 0 {
                break;
            }
            partial.hash.update(piece.get(..n).unwrap_or_default());
            partial.bytes += n as u64;
        }
        // More than there should be: something else was there.
        if partial.bytes > size {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// How many bytes are there.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets what is there.
    pub(crate) fn restart(&mut self) -> Result<(), ImageError> {
        self.file.set_len(0).map_err(|e| failed("empty", &self.path, e))?;
        self.hash = Sha256::new();
        self.bytes = 0;
        Ok(())
    }

    /// Adds a piece.
    pub(crate) fn write(&mut self, piece: &Bytes) -> Result<(), ImageError> {
        self.file.write_all(piece).map_err(|e| failed("write", &self.path, e))?;
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// The digest of all that is there.
    pub(crate) fn digest(&self) -> Digest {
        Digest::from_hash(self.hash.clone())
    }

    /// Puts it durably into its place.
    pub(crate) fn keep(self, place: &Path) -> Result<(), ImageError> {
        self.file.sync_all().map_err(|e| failed("write out", &self.path, e))?;
        fs::rename(&self.path, place).map_err(|e| failed("rename", &self.path, e))?;
        sync_folder(place)
    }

    /// Removes it: it is not what it should be.
    pub(crate) fn discard(self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Writes out the folder that something is in, so that its name is durable.
pub(crate) fn sync_folder(of: &Path) -> Result<(), ImageError> {
    let folder = of.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failed("write out", folder, e))
}

/// Writes a small file durably: a reader sees the old one, or the new one, or none.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), ImageError> {
    let temporary = path.with_extension("new");
    let attempt = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    attempt().map_err(|e| failed("write", path, e))?;
    sync_folder(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_fetched_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let (part, place) = (folder.path().join("x.part"), folder.path().join("x"));
        Partial::open(&part, 6).unwrap().write(&Bytes::from_static(b"abc")).unwrap();
        let mut again = Partial::open(&part, 6).unwrap();
        assert_eq!(again.bytes(), 3);
        again.write(&Bytes::from_static(b"def")).unwrap();
        assert_eq!(again.digest(), Digest::of(b"abcdef"));
        again.keep(&place).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"abcdef");
        assert!(!part.exists());
    }

    #[test]
    fn what_is_too_much_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("x.part");
        fs::write(&part, "too much").unwrap();
        let mut partial = Partial::open(&part, 3).unwrap();
        assert_eq!(partial.bytes(), 0);
        partial.write(&Bytes::from_static(b"abc")).unwrap();
        assert_eq!((partial.digest(), fs::read(&part).unwrap().as_slice()), (Digest::of(b"abc"), &b"abc"[..]));
        partial.discard();
        assert!(!part.exists());
    }
}
