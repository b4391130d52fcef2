//! Files that the client writes into a task's folders.
//!
//! A task may have put anything there, symbolic links above all, and the client is root: every step goes down from a descriptor of the
//! folder and follows no link.

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2, renameat},
    sys::stat::{Mode, fchmod, mkdirat},
    unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat},
};
use std::{
    ffi::OsStr,
    fs::File,
    io::Write,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path},
};

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The path leaves the task's folder.
    #[error("{0:?} is not below the task's folder: give a relative path without \"..\"")]
    Outside(String),
    /// The kernel refused; a link in the way counts as that.
    #[error("write {path}: {source}{}", if matches!(.source, Errno::ELOOP | Errno::ENOTDIR) { " (a symbolic link or a file is in the way)" } else { "" })]
    Refused {
        /// The path within the task's folder.
        path: String,
        #[source]
        source: Errno,
    },
    /// The disk did not take it.
    #[error("write {path}: {source}")]
    Io {
        /// The path within the task's folder.
        path: String,
        #[source]
        source: std::io::Error,
    },
}

/// How a file is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    /// Permission bits.
    pub(crate) mode: u32,
    /// The owner; root when none is given.
    pub(crate) uid: Option<u32>,
    /// The group; root when none is given.
    pub(crate) gid: Option<u32>,
}

const BENEATH: ResolveFlag = ResolveFlag::RESOLVE_BENEATH.union(ResolveFlag::RESOLVE_NO_SYMLINKS).union(ResolveFlag::RESOLVE_NO_MAGICLINKS);

fn open_below(dir: &OwnedFd, name: &OsStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    openat2(dir.as_fd(), name, OpenHow::new().flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW).mode(mode).resolve(BENEATH))
}

/// Writes `content` to `relative` below `folder`, as a whole: a reader sees the old file or the new one.
pub(crate) fn write_below(folder: &Path, relative: &str, content: &[u8], attributes: Attributes) -> Result<(), WriteError> {
    let outside = || WriteError::Outside(relative.to_owned());
    let refused = |source| WriteError::Refused { path: relative.to_owned(), source };
    let mut names = Vec::new();
    for component in Path::new(relative).components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    let (file, folders) = names.split_last().ok_or_else(outside)?;
    let root = nix::fcntl::open(folder, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty()).map_err(refused)?;
    let mut dir = root;
    for name in folders {
        match mkdirat(dir.as_fd(), *name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err(refused(e)),
        }
        dir = open_below(&dir, name, OFlag::O_DIRECTORY, Mode::empty()).map_err(refused)?;
    }
    replace(&dir, file, content, attributes, relative)
}

fn replace(dir: &OwnedFd, name: &OsStr, content: &[u8], attributes: Attributes, relative: &str) -> Result<(), WriteError> {
    let refused = |source| WriteError::Refused { path: relative.to_owned(), source };
    let mut temporary = OsStr::new(".").to_owned();
    temporary.push(name);
    temporary.push(".floe-new");
    match unlinkat(dir.as_fd(), temporary.as_os_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(e) => return Err(refused(e)),
    }
    let fd =
        open_below(dir, &temporary, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY, Mode::from_bits_truncate(0o600)).map_err(refused)?;
    let write = || -> Result<(), WriteError> {
        let mut file = File::from(fd);
        file.write_all(content).map_err(|source| WriteError::Io { path: relative.to_owned(), source })?;
        if attributes.uid.is_some() || attributes.gid.is_some() {
            fchown(&file, attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw)).map_err(refused)?;
        }
        fchmod(&file, Mode::from_bits_truncate(attributes.mode & 0o7777)).map_err(refused)?;
        renameat(dir.as_fd(), temporary.as_os_str(), dir.as_fd(), name).map_err(refused)
    };
    let result = write();
    if result.is_err() {
        // What was half written is of no use; that it cannot be removed either changes nothing.
        let _ = unlinkat(dir.as_fd(), temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
    }
    result
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const PLAIN: Attributes = Attributes { mode: 0o640, uid: None, gid: None };

    #[test]
    fn folders_are_made_and_the_mode_is_set() {
        let dir = tempfile::tempdir().unwrap();
        write_below(dir.path(), "local/www/./index.html", b"one", PLAIN).unwrap();
        write_below(dir.path(), "local/www/index.html", b"two", PLAIN).unwrap();
        let path = dir.path().join("local/www/index.html");
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for path in ["../x", "/etc/x", "a/../../x", "", ".", ".."] {
            assert!(matches!(write_below(dir.path(), path, b"x", PLAIN), Err(WriteError::Outside(_))), "{path}");
        }
        symlink(outside.path(), dir.path().join("link")).unwrap();
        symlink(outside.path().join("target"), dir.path().join("file")).unwrap();
        symlink(outside.path().join("target"), dir.path().join(".file.floe-new")).unwrap();
        let error = write_below(dir.path(), "link/x", b"x", PLAIN).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        // A link at the file's own place is replaced, not followed.
        write_below(dir.path(), "file", b"x", PLAIN).unwrap();
        assert!(!dir.path().join("file").is_symlink());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
