//! Where a layer is unpacked: a folder that nothing written in it leads out of.
//!
//! The kernel follows no link on the way to anything (`openat2` with BENEATH and NO_SYMLINKS). Links are followed here, in words: what a path
//! means is decided as a container with all lower layers would see it, so an entry `lib/x` above a layer in which `lib` is a link to
//! `usr/lib` lands in `usr/lib`, and a folder that an archive does not name has the owner and permissions that it has below.

use crate::{error::LayerError, limits::MAX_ENTRIES};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, XattrFlags, chownat, fchmod, fchown, fgetxattr, fsetxattr, fstat,
        makedev, mkdirat, mknodat, openat2, readlinkat, unlinkat,
    },
    io::Errno,
};
use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Component, Path, PathBuf},
    rc::Rc,
};

/// How overlayfs marks a folder whose namesakes below do not count.
const OPAQUE: &str = "trusted.overlay.opaque";
/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;
/// No link on the way, and nothing outside.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A layer that is being unpacked, and those below it.
pub(crate) struct Place {
    path: PathBuf,
    root: OwnedFd,
    /// The highest first.
    lowers: Vec<OwnedFd>,
    /// The folder that was looked for last: archives come folder by folder.
    last: Option<(PathBuf, Rc<Folder>)>,
    /// How many folders may still be made that the archive does not name.
    unnamed_left: u64,
}

/// A folder of the layer.
pub(crate) struct Folder {
    /// Where it really is, from the root.
    pub(crate) at: PathBuf,
    pub(crate) fd: OwnedFd,
}

/// What is at a path.
enum Seen {
    Nothing,
    /// Something that hides whatever lower layers have here.
    Whiteout,
    Folder(Box<Stat>),
    Link(PathBuf),
    Other,
}

/// Who owns something, and what they may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

const PLAIN_FOLDER: Attributes = Attributes { uid: 0, gid: 0, mode: 0o755 };

fn root_of(path: &Path) -> Result<OwnedFd, LayerError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| LayerError::io(format!("open {}", path.display()), e))
}

fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    openat2(root, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty(), INSIDE)
}

fn look(root: BorrowedFd<'_>, path: &Path) -> Result<Seen, Errno> {
    let fd = match open(root, path, OFlags::PATH) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Seen::Nothing),
        Err(error) => return Err(error),
    };
    let stat = fstat(&fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Seen::Folder(Box::new(stat)),
        FileType::Symlink => Seen::Link(PathBuf::from(OsString::from_vec(readlinkat(&fd, "", Vec::new())?.into_bytes()))),
        FileType::CharacterDevice if stat.st_rdev == 0 => Seen::Whiteout,
        _ => Seen::Other,
    })
}

fn is_opaque(root: BorrowedFd<'_>, path: &Path) -> Result<bool, Errno> {
    let fd = open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut value = [0u8; 4];
    match fgetxattr(&fd, OPAQUE, &mut value[..]) {
        Ok(n) => Ok(value.get(..n) == Some(b"y")),
        Err(Errno::NODATA | Errno::RANGE | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What one lower layer says about a path, and whether those below it may say something else.
fn look_in_lower(root: BorrowedFd<'_>, path: &Path) -> Result<(Seen, bool), Errno> {
    let mut at = PathBuf::new();
    let mut deeper = true;
    for part in path {
        at.push(part);
        match look(root, &at)? {
            Seen::Nothing => return Ok((Seen::Nothing, deeper)),
            Seen::Folder(stat) if at == path => return Ok((Seen::Folder(stat), false)),
            Seen::Folder(_) => deeper &= !is_opaque(root, &at)?,
            Seen::Whiteout => return Ok((Seen::Whiteout, false)),
            seen if at == path => return Ok((seen, false)),
            // A file or link in the place of a folder hides what is below.
            _ => return Ok((Seen::Nothing, false)),
        }
    }
    Ok((Seen::Nothing, deeper))
}

impl Place {
    /// An empty folder for a layer above `lowers`, the lowest first.
    pub(crate) fn open(path: &Path, lowers: &[PathBuf]) -> Result<Self, LayerError> {
        let lowers = lowers.iter().rev().map(|lower| root_of(lower)).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), root: root_of(path)?, lowers, last: None, unnamed_left: MAX_ENTRIES })
    }

    fn below(&self, path: &Path) -> Result<Seen, Errno> {
        for lower in &self.lowers {
            match look_in_lower(lower.as_fd(), path)? {
                (Seen::Nothing, true) => {}
                (seen, _) => return Ok(seen),
            }
        }
        Ok(Seen::Nothing)
    }

    /// The folder of this layer that a path means; made with all above it where it is missing.
    pub(crate) fn folder(&mut self, path: &Path) -> Result<Rc<Folder>, LayerError> {
        if let Some((_, folder)) = self.last.as_ref().filter(|(known, _)| known == path) {
            return Ok(folder.clone());
        }
        let at = self.resolve(path)?;
        let fd = open(self.root.as_fd(), &at, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed("open", &at, e))?;
        let folder = Rc::new(Folder { at, fd });
        self.last = Some((path.to_owned(), folder.clone()));
        Ok(folder)
    }

    /// Follows a path, in words.
    fn resolve(&mut self, path: &Path) -> Result<PathBuf, LayerError> {
        let mut todo: VecDeque<OsString> = path.iter().map(OsStr::to_owned).collect();
        let (mut at, mut links) = (PathBuf::new(), 0);
        while let Some(part) = todo.pop_front() {
            // Only links have these, and what they lead out of was followed already. Above the root is the root.
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            let wrong = |e: Errno| failed("look at", &next, e);
            let link = match look(self.root.as_fd(), &next).map_err(wrong)? {
                Seen::Folder(_) => None,
                Seen::Link(target) => Some(target),
                Seen::Nothing => match self.below(&next).map_err(wrong)? {
                    Seen::Link(target) => Some(target),
                    Seen::Folder(stat) => {
                        let attributes = Attributes { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 };
                        self.make_unnamed(&next, attributes)?;
                        None
                    }
                    Seen::Nothing | Seen::Whiteout | Seen::Other => {
                        self.make_unnamed(&next, PLAIN_FOLDER)?;
                        None
                    }
                },
                // It was taken away by this very layer, and comes back as another.
                Seen::Whiteout => {
                    self.remove(&next)?;
                    self.make_unnamed(&next, PLAIN_FOLDER)?;
                    self.mark_opaque(&next)?;
                    None
                }
                Seen::Other => {
                    return Err(LayerError::Odd(format!("{} lies below {}, which is no folder", path.display(), next.display())));
                }
            };
            match link {
                None => at = next,
                Some(_) if links == MAX_LINKS => {
                    return Err(LayerError::Odd(format!("{} goes through more than {MAX_LINKS} links", path.display())));
                }
                Some(target) => {
                    links += 1;
                    follow(&target, &mut at, &mut todo);
                }
            }
        }
        Ok(at)
    }

    /// A folder that the archive does not name: one entry could need thousands of them.
    fn make_unnamed(&mut self, at: &Path, attributes: Attributes) -> Result<(), LayerError> {
        self.unnamed_left = self.unnamed_left.checked_sub(1).ok_or(LayerError::Entries)?;
        self.make_folder(at, attributes)
    }

    fn make_folder(&self, at: &Path, attributes: Attributes) -> Result<(), LayerError> {
        let (folder, name) = self.parent(at)?;
        mkdirat(&folder, name, Mode::from_raw_mode(0o700)).map_err(|e| failed("make folder", at, e))?;
        let fd = open(folder.as_fd(), Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed("open", at, e))?;
        apply(&fd, attributes).map_err(|e| failed("give away", at, e))
    }

    fn parent<'a>(&self, at: &'a Path) -> Result<(OwnedFd, &'a OsStr), LayerError> {
        let name = at.file_name().ok_or_else(|| LayerError::Odd("an entry has no name".to_owned()))?;
        let above = at.parent().unwrap_or(Path::new(""));
        let fd = open(self.root.as_fd(), above, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed("open", above, e))?;
        Ok((fd, name))
    }

    /// Makes room for an entry: whatever this layer had there before is gone. Tells whether it had taken away what is below.
    pub(crate) fn make_room(&mut self, folder: &Folder, name: &OsStr) -> Result<bool, LayerError> {
        let at = folder.at.join(name);
        match look(self.root.as_fd(), &at).map_err(|e| failed("look at", &at, e))? {
            Seen::Nothing => Ok(false),
            seen => {
                self.last = None;
                self.remove(&at)?;
                Ok(matches!(seen, Seen::Whiteout))
            }
        }
    }

    fn remove(&self, at: &Path) -> Result<(), LayerError> {
        let (folder, name) = self.parent(at)?;
        match unlinkat(&folder, name, AtFlags::empty()) {
            // The layer is in a folder of root's alone, and no part of `at` is a link.
            Err(Errno::ISDIR) => fs::remove_dir_all(self.path.join(at)).map_err(|e| LayerError::io(format!("remove {}", at.display()), e)),
            result => result.map_err(|e| failed("remove", at, e)),
        }
    }

    /// A folder as an entry of its own.
    pub(crate) fn put_folder(&mut self, folder: &Folder, name: &OsStr, attributes: Attributes) -> Result<(), LayerError> {
        let at = folder.at.join(name);
        if let Seen::Folder(_) = look(self.root.as_fd(), &at).map_err(|e| failed("look at", &at, e))? {
            let fd = open(self.root.as_fd(), &at, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed("open", &at, e))?;
            return apply(&fd, attributes).map_err(|e| failed("give away", &at, e));
        }
        let was_gone = self.make_room(folder, name)?;
        self.make_folder(&at, attributes)?;
        if was_gone { self.mark_opaque(&at) } else { Ok(()) }
    }

    /// The root's own attributes.
    pub(crate) fn put_root(&self, attributes: Attributes) -> Result<(), LayerError> {
        let fd =
            open(self.root.as_fd(), Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed("open", Path::new("/"), e))?;
        apply(&fd, attributes).map_err(|e| failed("give away", Path::new("/"), e))
    }

    /// Hides what lower layers have at a path. What this layer has there stays: a layer takes away from others only.
    pub(crate) fn hide(&mut self, path: &Path) -> Result<(), LayerError> {
        let folder = self.folder(path.parent().unwrap_or(Path::new("")))?;
        let Some(name) = path.file_name() else { return Ok(()) };
        let at = folder.at.join(name);
        match look(self.root.as_fd(), &at).map_err(|e| failed("look at", &at, e))? {
            Seen::Folder(_) => self.mark_opaque(&at),
            Seen::Nothing => {
                mknodat(&folder.fd, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).map_err(|e| failed("hide", &at, e))
            }
            Seen::Link(_) | Seen::Other | Seen::Whiteout => Ok(()),
        }
    }

    /// Hides what lower layers have in a folder.
    pub(crate) fn hide_all(&mut self, path: &Path) -> Result<(), LayerError> {
        let folder = self.folder(path)?;
        // The lowest layer has nothing to hide, and nothing may be said about the root itself.
        if folder.at.as_os_str().is_empty() { self.hide_root() } else { self.mark_opaque(&folder.at) }
    }

    /// overlayfs asks no root whether it is opaque: everything in lower roots is hidden by name.
    fn hide_root(&mut self) -> Result<(), LayerError> {
        let wrong = |e: io::Error| LayerError::io("list a lower layer", e);
        let mut names = Vec::new();
        for lower in &self.lowers {
            let fd = open(lower.as_fd(), Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| wrong(e.into()))?;
            for entry in rustix::fs::Dir::new(fd).map_err(|e| wrong(e.into()))? {
                names.push(OsString::from_vec(entry.map_err(|e| wrong(e.into()))?.file_name().to_bytes().to_vec()));
            }
        }
        names.iter().filter(|n| *n != "." && *n != "..").try_for_each(|name| self.hide(Path::new(name)))
    }

    fn mark_opaque(&self, at: &Path) -> Result<(), LayerError> {
        let fd = open(self.root.as_fd(), at, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed("open", at, e))?;
        fsetxattr(&fd, OPAQUE, b"y", XattrFlags::empty()).map_err(|e| failed("mark as opaque", at, e))
    }

    /// The folder and name of something that this layer has already.
    pub(crate) fn existing(&mut self, path: &Path) -> Result<(Rc<Folder>, OsString), LayerError> {
        let folder = self.folder(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().ok_or_else(|| LayerError::Odd("a hard link leads to the root".to_owned()))?;
        let at = folder.at.join(name);
        match look(self.root.as_fd(), &at).map_err(|e| failed("look at", &at, e))? {
            Seen::Link(_) | Seen::Other => Ok((folder, name.to_owned())),
            _ => Err(LayerError::Odd(format!("a hard link leads to {}, which is no file of the same layer", path.display()))),
        }
    }

    /// Waits until everything is on disk.
    pub(crate) fn sync(&self) -> Result<(), LayerError> {
        let fd =
            open(self.root.as_fd(), Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed("open", Path::new("/"), e))?;
        rustix::fs::syncfs(&fd).map_err(|e| failed("write out", Path::new("/"), e))
    }
}

/// Puts a link's target before what is still to go.
fn follow(target: &Path, at: &mut PathBuf, todo: &mut VecDeque<OsString>) {
    if target.is_absolute() {
        at.clear();
    }
    let parts = target.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    for part in parts.rev() {
        todo.push_front(part.as_os_str().to_owned());
    }
}

fn apply(fd: &OwnedFd, Attributes { uid, gid, mode }: Attributes) -> Result<(), Errno> {
    fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    fchmod(fd, Mode::from_raw_mode(mode))
}

/// Gives away something that cannot be opened: a link or a pipe.
pub(crate) fn give_away(folder: &Folder, name: &OsStr, Attributes { uid, gid, .. }: Attributes) -> Result<(), LayerError> {
    chownat(&folder.fd, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| failed("give away", &folder.at.join(name), e))
}

/// An error about something in the layer.
pub(crate) fn failed(what: &str, at: &Path, error: Errno) -> LayerError {
    match error {
        // What the archive says, and not the node, is to blame.
        Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG => LayerError::Odd(format!("{what} {}: {error}", at.display())),
        error => LayerError::io(format!("{what} {}", at.display()), error),
    }
}
