//! What the entries of a layer mean. A layer is an archive of what it changes in those below it; names that begin with `.wh.` take away.

use crate::limits::{MAX_ID, MAX_NAME_BYTES, MAX_PATH_BYTES};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Book-keeping of file systems that nobody uses any more.
const RESERVED: &[u8] = b".wh..wh.";
/// Who owns what belongs to an id that no container has.
const NOBODY: u32 = 65_534;

/// What an entry stands for. Paths are relative to the layer's root, and have neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The root folder itself.
    Root,
    /// Something that is there.
    Entry(PathBuf),
    /// What lower layers have here is gone.
    Whiteout(PathBuf),
    /// What lower layers have in this folder is gone.
    Opaque(PathBuf),
    /// Nothing.
    Nothing,
}

/// A path that no honest tool writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPath {
    #[error("the path {0:?} leaves the image by '..'")]
    Climbs(String),
    #[error("a path of {0} bytes, and at most {MAX_PATH_BYTES} are possible")]
    Long(usize),
    #[error("a name of {0} bytes, and at most {MAX_NAME_BYTES} are possible")]
    LongName(usize),
    #[error("the path {0:?} holds a NUL")]
    Nul(String),
    #[error("the path {0:?} takes away nothing")]
    Bare(String),
}

/// The path that some bytes of an archive stand for: absolute ones begin at the image's root, as everywhere.
pub(crate) fn path(raw: &[u8]) -> Result<PathBuf, BadPath> {
    let shown = || String::from_utf8_lossy(raw).chars().take(200).collect();
    if raw.len() > MAX_PATH_BYTES {
        return Err(BadPath::Long(raw.len()));
    }
    if raw.contains(&0) {
        return Err(BadPath::Nul(shown()));
    }
    let mut path = PathBuf::new();
    for part in raw.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(BadPath::Climbs(shown())),
            part if part.len() > MAX_NAME_BYTES => return Err(BadPath::LongName(part.len())),
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok(path)
}

/// What an entry with this path stands for.
pub(crate) fn meaning(raw: &[u8]) -> Result<Meaning, BadPath> {
    let path = path(raw)?;
    let Some(name) = path.file_name().map(OsStr::as_bytes) else { return Ok(Meaning::Root) };
    let folder = path.parent().unwrap_or(Path::new(""));
    // Below a name that takes away there is nothing.
    if folder.iter().any(|part| part.as_bytes().starts_with(WHITEOUT)) {
        return Ok(Meaning::Nothing);
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Meaning::Entry(path)),
        Some(_) if name == OPAQUE => Ok(Meaning::Opaque(folder.to_owned())),
        Some(_) if name.starts_with(RESERVED) => Ok(Meaning::Nothing),
        // "." and ".." would be other folders than the one that is meant.
        Some(b"" | b"." | b"..") => Err(BadPath::Bare(path.display().to_string())),
        Some(hidden) => Ok(Meaning::Whiteout(folder.join(OsStr::from_bytes(hidden)))),
    }
}

/// The owner as containers know it: they have no ids above 65535.
pub(crate) fn owner(id: u64) -> u32 {
    u32::try_from(id).ok().filter(|id| u64::from(*id) <= MAX_ID).unwrap_or(NOBODY)
}

/// The permissions that a file keeps. Set-user-id and set-group-id programs have no effect in a task, and are worth nothing to it; on the
/// node they would be a danger.
pub(crate) fn file_mode(mode: u32) -> u32 {
    mode & 0o1777
}

/// The permissions that a folder keeps. Set-group-id says there who owns new files, and is kept.
pub(crate) fn folder_mode(mode: u32) -> u32 {
    mode & 0o3777
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    #[test]
    fn names_that_take_away() {
        let at = |raw: &str| meaning(raw.as_bytes());
        assert_eq!(at("./"), Ok(Meaning::Root));
        assert_eq!(at(""), Ok(Meaning::Root));
        assert_eq!(at("./a//b/./c/"), Ok(Meaning::Entry("a/b/c".into())));
        assert_eq!(at("/etc/passwd"), Ok(Meaning::Entry("etc/passwd".into())));
        assert_eq!(at("a/.wh.b"), Ok(Meaning::Whiteout("a/b".into())));
        assert_eq!(at(".wh.b"), Ok(Meaning::Whiteout("b".into())));
        assert_eq!(at("a/.wh..wh..opq"), Ok(Meaning::Opaque("a".into())));
        assert_eq!(at(".wh..wh..opq"), Ok(Meaning::Opaque("".into())));
        assert_eq!(at(".wh..wh.plnk/1.2"), Ok(Meaning::Nothing));
        assert_eq!(at("a/.wh..wh.aufs"), Ok(Meaning::Nothing));
        assert_eq!(at("a/.wh..b"), Ok(Meaning::Whiteout("a/.b".into())));
    }

    #[test]
    fn paths_at_their_bounds_and_past_them() {
        let refused = |raw: &[u8]| meaning(raw).unwrap_err();
        assert!(matches!(refused(b"../etc/passwd"), BadPath::Climbs(_)));
        assert!(matches!(refused(b"a/../../b"), BadPath::Climbs(_)));
        assert!(matches!(refused(b"a/.wh..."), BadPath::Bare(_)));
        assert!(matches!(refused(b"a/.wh.."), BadPath::Bare(_)));
        assert!(matches!(refused(b".wh."), BadPath::Bare(_)));
        assert!(matches!(refused(b"a\0b"), BadPath::Nul(_)));
        assert!(meaning(&[b'a'; MAX_NAME_BYTES]).is_ok());
        assert_eq!(refused(&[b'a'; MAX_NAME_BYTES + 1]), BadPath::LongName(MAX_NAME_BYTES + 1));
        let long: Vec<u8> = b"a/".iter().copied().cycle().take(MAX_PATH_BYTES).collect();
        assert!(meaning(&long).is_ok());
        assert_eq!(refused(&[long, vec![b'a']].concat()), BadPath::Long(MAX_PATH_BYTES + 1));
    }

    #[test]
    fn ids_and_modes() {
        assert_eq!((owner(0), owner(MAX_ID), owner(MAX_ID + 1), owner(u64::MAX)), (0, 65_535, NOBODY, NOBODY));
        assert_eq!((file_mode(0o104_755), folder_mode(0o042_775)), (0o755, 0o2775));
        assert_eq!(folder_mode(0o1777), 0o1777);
    }

    proptest! {
        #[test]
        fn no_path_leads_out(raw in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'w'), Just(b'h'), any::<u8>()], 0..40)) {
            let inside = |p: &Path| p.components().all(|c| matches!(c, Component::Normal(_)));
            match meaning(&raw) {
                Ok(Meaning::Entry(p) | Meaning::Whiteout(p) | Meaning::Opaque(p)) => prop_assert!(inside(&p)),
                Ok(Meaning::Root | Meaning::Nothing) | Err(_) => {}
            }
        }
    }
}
