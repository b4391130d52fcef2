//! Mounts by file descriptor, so that no path is looked up twice and nothing a task put on disk can redirect one.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::fchownat;

use crate::error::{Doing, SystemError};

/// What a mounted tree allows. Set-user-id programs and device files are never honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read_only: bool,
    pub(crate) no_exec: bool,
}

impl Access {
    pub(crate) const READ_ONLY: Self = Self { read_only: true, no_exec: false };
    pub(crate) const READ_WRITE: Self = Self { read_only: false, no_exec: false };
    pub(crate) const READ_WRITE_NO_EXEC: Self = Self { read_only: false, no_exec: true };

    fn attributes(self) -> u64 {
        let mut attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        if self.read_only {
            attributes |= libc::MOUNT_ATTR_RDONLY;
        }
        if self.no_exec {
            attributes |= libc::MOUNT_ATTR_NOEXEC;
        }
        attributes
    }
}

/// A copy of a mounted tree that is not attached anywhere yet.
#[derive(Debug)]
pub(crate) struct DetachedTree {
    fd: OwnedFd,
    source: PathBuf,
}

impl DetachedTree {
    /// Copies the mounts at and below a path.
    pub(crate) fn clone_of(source: &Path) -> Result<Self, SystemError> {
        let what = || format!("open {} to mount it", source.display());
        let path = CString::new(source.as_os_str().as_bytes()).map_err(io::Error::from).doing(what)?;
        let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as u32;
        // SAFETY: the path is a NUL-terminated string that lives during the call.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
        Ok(Self { fd: new_fd(fd).doing(what)?, source: source.to_owned() })
    }

    /// Restricts the whole tree.
    pub(crate) fn restrict(&self, access: Access) -> Result<(), SystemError> {
        self.set_attributes(access.attributes(), None).doing(|| format!("restrict the mount of {}", self.source.display()))
    }

    /// Shows files of id N on disk as id N inside the container of that user namespace. `false`: the file system cannot do that.
    pub(crate) fn map_ids(&self, user_namespace: BorrowedFd<'_>) -> Result<bool, SystemError> {
        match self.set_attributes(libc::MOUNT_ATTR_IDMAP, Some(user_namespace)) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM | libc::EOPNOTSUPP)) => Ok(false),
            Err(error) => Err(SystemError::new(format!("map the ids of {}", self.source.display()), error)),
        }
    }

    fn set_attributes(&self, set: u64, user_namespace: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let attributes = libc::mount_attr {
            attr_set: set,
            attr_clr: 0,
            propagation: 0,
            userns_fd: user_namespace.map_or(Ok(0), |fd| u64::try_from(fd.as_raw_fd())).map_err(io::Error::other)?,
        };
        // SAFETY: the empty path is NUL-terminated, and the structure lives during the call and has the size that is passed.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                self.fd.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
                &raw const attributes,
                size_of::<libc::mount_attr>(),
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Attaches the tree on the file or directory behind `target`.
    pub(crate) fn attach(self, target: BorrowedFd<'_>) -> Result<(), SystemError> {
        // SAFETY: both paths are empty NUL-terminated strings and both descriptors are open during the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.fd.as_raw_fd(),
                c"".as_ptr(),
                target.as_raw_fd(),
                c"".as_ptr(),
                libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH,
            )
        };
        if result == 0 {
            return Ok(());
        }
        Err(SystemError::new(format!("mount {}", self.source.display()), io::Error::last_os_error()))
    }
}

fn new_fd(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel just returned this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A directory that paths are resolved in as if it were `/`: neither `..` nor a symbolic link leads out of it.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    /// To whom belongs what is made in it, if not to the caller.
    owner: Option<u32>,
}

impl Root {
    /// Opens a directory as the root.
    pub(crate) fn open(path: &Path) -> Result<Self, SystemError> {
        let fd = nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .doing(|| format!("open {}", path.display()))?;
        Ok(Self { fd, owner: None })
    }

    /// The same, where what is made belongs to a user and group of this id.
    pub(crate) fn owned_by(self, id: u32) -> Self {
        Self { owner: Some(id), ..self }
    }

    fn give_away(&self, folder: BorrowedFd<'_>, name: &OsStr) -> nix::Result<()> {
        match self.owner {
            Some(id) => fchownat(folder, name, Some(id.into()), Some(id.into()), AtFlags::AT_SYMLINK_NOFOLLOW),
            None => Ok(()),
        }
    }

    /// Opens a path inside the root without opening the file for reading or writing.
    pub(crate) fn find(&self, path: &Path) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let inside = path.strip_prefix("/").unwrap_or(path);
        openat2(self.fd.as_fd(), if inside.as_os_str().is_empty() { Path::new(".") } else { inside }, how)
    }

    /// Finds a directory, creating what is missing on the way.
    pub(crate) fn directory(&self, path: &Path) -> Result<OwnedFd, SystemError> {
        let what = || {
            format!(
                "create mount point {} in the task's file system (choose a destination that exists, or one below /local or /alloc)",
                path.display()
            )
        };
        let mut at = PathBuf::from("/");
        let mut current = self.find(&at).doing(what)?;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            at.push(name);
            current = match self.find(&at) {
                Err(Errno::ENOENT) => {
                    mkdirat(current.as_fd(), name, Mode::from_bits_truncate(0o755)).doing(what)?;
                    self.give_away(current.as_fd(), name).doing(what)?;
                    self.find(&at).doing(what)?
                }
                found => found.doing(what)?,
            };
        }
        Ok(current)
    }

    /// Finds a regular file, creating it empty when it is missing.
    pub(crate) fn file(&self, path: &Path) -> Result<OwnedFd, SystemError> {
        if let Ok(found) = self.find(path) {
            return Ok(found);
        }
        let what = || format!("create mount point {} in the task's file system", path.display());
        let parent = self.directory(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput)).doing(what)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        drop(nix::fcntl::openat(parent.as_fd(), name, flags, Mode::from_bits_truncate(0o644)).doing(what)?);
        self.give_away(parent.as_fd(), name).doing(what)?;
        self.find(path).doing(what)
    }
}

/// Mounts a file system of its own type.
pub(crate) fn mount_new(kind: &str, target: &Path, flags: MsFlags, options: &str) -> Result<(), SystemError> {
    mount(Some(kind), target, Some(kind), flags, Some(options)).doing(|| format!("mount a new {kind} at {}", target.display()))
}

/// Changes how later mounts travel between this tree and others.
pub(crate) fn set_propagation(target: &Path, flags: MsFlags) -> Result<(), SystemError> {
    mount(None::<&str>, target, None::<&str>, flags | MsFlags::MS_REC, None::<&str>)
        .doing(|| format!("change the propagation of {}", target.display()))
}
