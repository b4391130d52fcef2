//! A layer, from its archive to a folder that overlayfs takes as a lower layer.

use crate::{
    decompress::{Hashing, Unpacked},
    digest::Digest,
    error::LayerError,
    layer::{self, Meaning},
    manifest::Packing,
    place::{Attributes, Folder, Place, failed, give_away},
    tarball::{self, Item},
};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};
use tar::EntryType;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;

/// What an entry costs at least, so that empty files have a bound, too.
const ENTRY_BYTES: u64 = 512;
/// How much is copied between two looks at whether anybody still wants it.
const PIECE_BYTES: usize = 64 << 10;

/// A layer that is to be unpacked.
pub(crate) struct Order<'a> {
    /// An empty folder.
    pub(crate) into: &'a Path,
    /// Those below it, the lowest first.
    pub(crate) lowers: &'a [PathBuf],
    pub(crate) packing: Packing,
    /// The digest of the archive.
    pub(crate) diff_id: Digest,
    /// The digest of what it is packed in, if that is known.
    pub(crate) packed: Option<Digest>,
    /// As many bytes it may have at most, unpacked.
    pub(crate) budget: u64,
    /// Nobody wants it any more.
    pub(crate) stop: &'a CancellationToken,
}

/// Unpacks a layer, and returns how many bytes it has. What is there after an error is of no use.
pub(crate) fn unpack(reader: impl Read, order: &Order<'_>) -> Result<u64, LayerError> {
    let mut packed = Hashing::new(reader);
    let mut archive = Hashing::new(Unpacked::new(&mut packed, order.packing));
    let mut work = Work { place: Place::open(order.into, order.lowers)?, order, left: order.budget };
    work.place.put_root(Attributes { uid: 0, gid: 0, mode: 0o755 })?;
    tarball::each(&mut archive, |item| work.entry(item))?;
    // An archive ends before its file does. What follows must be there, for the digest, and may not be much.
    drain(&mut archive, &mut work.left)?;
    let found = archive.digest();
    if found != order.diff_id {
        return Err(LayerError::Digest { found, wanted: order.diff_id });
    }
    if let Some(wanted) = order.packed {
        drain(&mut packed, &mut work.left)?;
        let found = packed.digest();
        if found != wanted {
            return Err(LayerError::Digest { found, wanted });
        }
    }
    work.place.sync()?;
    Ok(order.budget - work.left)
}

fn drain(reader: &mut impl Read, left: &mut u64) -> Result<(), LayerError> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let n = reader.read(&mut piece).map_err(LayerError::Damaged)?;
        if n == 0 {
            return Ok(());
        }
        *left = left.checked_sub(n as u64).ok_or(LayerError::Bomb)?;
    }
}

struct Work<'a> {
    place: Place,
    order: &'a Order<'a>,
    left: u64,
}

impl Work<'_> {
    fn entry<R: Read>(&mut self, item: Item<'_, '_, R>) -> Result<(), LayerError> {
        if self.order.stop.is_cancelled() {
            return Err(LayerError::Cancelled);
        }
        self.left = self.left.checked_sub(ENTRY_BYTES).ok_or(LayerError::Bomb)?;
        match layer::meaning(&item.path)? {
            Meaning::Nothing => Ok(()),
            Meaning::Root if item.kind.is_dir() => self.place.put_root(attributes(&item)),
            Meaning::Root => Err(LayerError::Odd("the root is no folder".to_owned())),
            Meaning::Whiteout(path) => self.place.hide(&path),
            Meaning::Opaque(path) => self.place.hide_all(&path),
            Meaning::Entry(path) => self.put(&path, item),
        }
    }

    fn put<R: Read>(&mut self, path: &Path, mut item: Item<'_, '_, R>) -> Result<(), LayerError> {
        let attributes = attributes(&item);
        // First, for a link to itself would take its own target away.
        let target = match item.kind {
            EntryType::Link => Some(self.place.existing(&layer::path(&item.link)?)?),
            _ => None,
        };
        let folder = self.place.folder(path.parent().unwrap_or(Path::new("")))?;
        let Some(name) = path.file_name() else { return Ok(()) };
        if let Some((at, other)) = &target
            && at.at == folder.at
            && other == name
        {
            return Ok(());
        }
        match item.kind {
            EntryType::Directory => self.place.put_folder(&folder, name, attributes),
            EntryType::Regular | EntryType::Continuous => {
                self.place.make_room(&folder, name)?;
                self.file(&folder, name, attributes, &mut item)
            }
            EntryType::Symlink => {
                self.place.make_room(&folder, name)?;
                if item.link.is_empty() || item.link.len() > crate::limits::MAX_PATH_BYTES || item.link.contains(&0) {
                    return Err(LayerError::Odd(format!("the link {} leads nowhere that could be", path.display())));
                }
                rustix::fs::symlinkat(OsStr::from_bytes(&item.link), &folder.fd, name).map_err(|e| failed("make link", path, e))?;
                give_away(&folder, name, attributes)
            }
            EntryType::Link => {
                self.place.make_room(&folder, name)?;
                let Some((at, other)) = target else { return Ok(()) };
                rustix::fs::linkat(&at.fd, &other, &folder.fd, name, AtFlags::empty()).map_err(|e| failed("make link", path, e))
            }
            EntryType::Fifo => {
                self.place.make_room(&folder, name)?;
                let mode = Mode::from_raw_mode(attributes.mode);
                rustix::fs::mknodat(&folder.fd, name, FileType::Fifo, mode, 0).map_err(|e| failed("make pipe", path, e))?;
                give_away(&folder, name, attributes)
            }
            // No task may open one; the runtime makes the few that every program wants.
            EntryType::Block | EntryType::Char => Ok(()),
            kind => {
                Err(LayerError::Odd(format!("not supported yet: {} is an entry of kind {:?}", path.display(), char::from(kind.as_byte()))))
            }
        }
    }

    fn file<R: Read>(&mut self, folder: &Folder, name: &OsStr, owner: Attributes, item: &mut Item<'_, '_, R>) -> Result<(), LayerError> {
        let at = folder.at.join(name);
        self.left = self.left.checked_sub(item.size).ok_or(LayerError::Bomb)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&folder.fd, name, flags, Mode::from_raw_mode(0o600)).map_err(|e| failed("make file", &at, e))?;
        let mut file = File::from(fd);
        let mut piece = vec![0; PIECE_BYTES];
        let mut written = 0u64;
        loop {
            let n = item.content.read(&mut piece).map_err(LayerError::Damaged)?;
            if n == 0 {
                break;
            }
            if self.order.stop.is_cancelled() {
                return Err(LayerError::Cancelled);
            }
            file.write_all(piece.get(..n).unwrap_or_default()).map_err(|e| LayerError::io(format!("write {}", at.display()), e))?;
            written += n as u64;
        }
        if written != item.size {
            return Err(LayerError::Damaged(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let wrong = |e| failed("give away", &at, e);
        let (uid, gid) = (rustix::fs::Uid::from_raw(owner.uid), rustix::fs::Gid::from_raw(owner.gid));
        rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(wrong)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(owner.mode)).map_err(wrong)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: item.mtime, tv_nsec: 0 },
        };
        rustix::fs::futimens(&file, &times).map_err(wrong)
    }
}

fn attributes<R: Read>(item: &Item<'_, '_, R>) -> Attributes {
    let mode = if item.kind.is_dir() { layer::folder_mode(item.mode) } else { layer::file_mode(item.mode) };
    Attributes { uid: layer::owner(item.uid), gid: layer::owner(item.gid), mode }
}
