//! Files for job files: the folder that a job file stands in, and nothing outside of it. And files that are written as a whole.

use anyhow::Context;
use floe_jobspec::{Files, FilesError};
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// How deep folders are listed.
const MAX_DEPTH: usize = 16;

/// The folder of a job file.
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder of `file`; the present one for a file without.
    pub(crate) fn of(file: &Path) -> std::io::Result<Self> {
        let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { root: parent.canonicalize()? })
    }

    /// Where `path` really is, links followed; refused when that is outside.
    fn resolve(&self, path: &str) -> Result<PathBuf, FilesError> {
        let real = self.root.join(path).canonicalize().map_err(io)?;
        if real.starts_with(&self.root) {
            Ok(real)
        } else {
            Err(FilesError::Other("it is a link that leads out of the job's folder".to_owned()))
        }
    }

    fn list_into(&self, folder: &Path, depth: usize, max: usize, found: &mut Vec<String>) -> Result<(), FilesError> {
        if depth > MAX_DEPTH {
            return Err(FilesError::Other(format!("the folder is deeper than {MAX_DEPTH} levels")));
        }
        let mut entries: Vec<_> = fs::read_dir(folder).map_err(io)?.collect::<Result<_, _>>().map_err(io)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(io)?;
            if kind.is_dir() {
                self.list_into(&entry.path(), depth + 1, max, found)?;
            } else if kind.is_file()
                && let Ok(relative) = entry.path().strip_prefix(&self.root)
            {
                if found.len() >= max {
                    return Err(FilesError::Other(format!("the folder has more than {max} files")));
                }
                found.push(relative.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }
}

fn io(error: std::io::Error) -> FilesError {
    match error.kind() {
        std::io::ErrorKind::NotFound => FilesError::NotFound,
        std::io::ErrorKind::IsADirectory => FilesError::IsFolder,
        _ => FilesError::Other(error.to_string()),
    }
}

impl Files for Folder {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, FilesError> {
        let real = self.resolve(path)?;
        if real.is_dir() {
            return Err(FilesError::IsFolder);
        }
        read_bounded(&real, max_bytes)
    }

    fn exists(&self, path: &str) -> Result<bool, FilesError> {
        match self.resolve(path) {
            Ok(_) => Ok(true),
            Err(FilesError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn list(&self, max: usize) -> Result<Vec<String>, FilesError> {
        let mut found = Vec::new();
        self.list_into(&self.root, 0, max, &mut found)?;
        Ok(found)
    }
}

/// Reads a file that must not be longer than `max_bytes`; a device that never ends is cut off there, too.
pub(crate) fn read_bounded(path: &Path, max_bytes: usize) -> Result<Vec<u8>, FilesError> {
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(io)?.take(max_bytes as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > max_bytes { Err(FilesError::TooLarge(max_bytes)) } else { Ok(bytes) }
}

/// Writes a file that appears only when it is whole and on disk, readable by its owner alone. One that is there stays, unless `overwrite` is set.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], overwrite: bool) -> anyhow::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let what = || format!("write {}", path.display());
    // Beside the target, so that it can be renamed; it is gone again should anything fail.
    let mut file = tempfile::Builder::new().prefix(".floe-").suffix(".tmp").tempfile_in(folder).with_context(what)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).with_context(what)?;
    let kept = if overwrite { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map_err(|e| e.error).with_context(what)?;
    fs::File::open(folder).and_then(|f| f.sync_all()).with_context(what)
}

/// Makes a folder that only its owner can enter. One that is there stays as it is: whoever made it may have had a reason. Folders above it that are
/// missing are as the umask has it.
///
/// Whatever stands in it closes itself off too. Tasks that run as other users lose nothing: they see what is mounted for them, and never come by
/// here.
pub(crate) fn make_private_folder(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_private_folder_is_closed_and_one_that_is_there_stays_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let new = dir.path().join("a/b");
        make_private_folder(&new).unwrap();
        assert_eq!(mode(&new), 0o700);
        assert_ne!(mode(&dir.path().join("a")), 0o700, "folders above it are not ours");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o750)).unwrap();
        make_private_folder(&new).unwrap();
        assert_eq!(mode(&new), 0o750);
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(make_private_folder(&dir.path().join("file")).is_err());
    }

    #[test]
    fn files_of_the_folder_are_read_and_no_others() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret"), "x").unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/a"), "12345").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("link")).unwrap();
        let folder = Folder::of(&dir.path().join("job.hcl")).unwrap();
        assert_eq!(folder.read("sub/a", 5), Ok(b"12345".to_vec()));
        assert_eq!(folder.read("sub/a", 4), Err(FilesError::TooLarge(4)));
        assert_eq!(folder.read("sub", 4), Err(FilesError::IsFolder));
        assert_eq!((folder.exists("sub/a"), folder.exists("no")), (Ok(true), Ok(false)));
        assert!(matches!(folder.read("link", 9), Err(FilesError::Other(_))));
        assert_eq!(folder.list(9), Ok(vec!["sub/a".to_owned()]));
        assert!(folder.list(0).is_err());
    }

    #[test]
    fn a_file_is_written_as_a_whole_and_for_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.snap");
        write_whole(&path, b"one", false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_whole(&path, b"two", false).is_err(), "what is there stays");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_whole(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        assert!(write_whole(&dir.path().join("no/a.snap"), b"x", false).is_err());
    }
}
