//! A folder that backups are kept in. Blocks: to be called on a thread of its own. What a target must do is said in the module `target`.

use floe_control::snapshots::{Kept, Schedule};
use floe_model::Timestamp;
use floe_state::archive::{self, ArchiveError};
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A backup that was not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// The disk failed, or is full.
    #[error("{action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Of what.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// What was read back is not what was written.
    #[error("read {} back: it is not what was written", .0.display())]
    Other(PathBuf),
    /// What was read back is not whole.
    #[error("read {} back", .path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ArchiveError,
    },
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> KeepError + use<'a> {
    move |source| KeepError::Io { action, path: path.to_owned(), source }
}

/// The backups of the cluster that are in the folder, the oldest first. A folder that is not there is made.
pub(crate) fn list(folder: &Path, schedule: &Schedule, cluster_id: &str) -> Result<Vec<Kept>, KeepError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error("make folder", folder))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error("read folder", folder))? {
        names.push(entry.map_err(io_error("read folder", folder))?.file_name().to_string_lossy().into_owned());
    }
    Ok(schedule.kept(cluster_id, names.iter().map(String::as_str)))
}

/// Writes a backup, which appears once it is whole and on disk, reads it back, and checks what it read. One that is not right is taken away.
pub(crate) fn keep(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), KeepError> {
    let (path, temporary) = (folder.join(name), folder.join(format!(".{name}.tmp")));
    // One of an agent that died while it wrote, in the same second.
    let _ = fs::remove_file(&temporary);
    let written = write(&temporary, &path, bytes).and_then(|()| check(&path, bytes));
    if written.is_err() {
        let _ = fs::remove_file(&temporary).or_else(|_| fs::remove_file(&path));
    }
    written
}

fn write(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<(), KeepError> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary).map_err(io_error("write", temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error("write", temporary))?;
    fs::rename(temporary, path).map_err(io_error("rename to", path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io_error("sync folder", folder))
}

fn check(path: &Path, bytes: &[u8]) -> Result<(), KeepError> {
    let read = fs::read(path).map_err(io_error("read back", path))?;
    if read != bytes {
        return Err(KeepError::Other(path.to_owned()));
    }
    archive::decode(&read).and_then(|archive| archive.check_digest()).map_err(|source| KeepError::Archive { path: path.to_owned(), source })
}

/// Removes the backups that are too many, and what agents that died while they wrote have left.
pub(crate) fn tidy(folder: &Path, schedule: &Schedule, cluster_id: &str, now: Timestamp) -> Result<Vec<Kept>, KeepError> {
    let mut kept = list(folder, schedule, cluster_id)?;
    let surplus = schedule.surplus(&kept, now);
    for old in &surplus {
        let path = folder.join(&old.name);
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
    }
    for entry in fs::read_dir(folder).map_err(io_error("read folder", folder))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let whole = name.strip_prefix('.').and_then(|n| n.strip_suffix(".tmp"));
        if whole.is_some_and(|name| schedule.parse(cluster_id, name).is_some()) {
            fs::remove_file(entry.path()).map_err(io_error("remove", &entry.path()))?;
        }
    }
    kept.retain(|k| !surplus.contains(k));
    Ok(kept)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use floe_model::Nanos;
    use floe_state::{State, archive::Origin};
    use std::os::unix::fs::PermissionsExt;

    const CLUSTER: &str = "0123456789abcdef";

    fn backup() -> Vec<u8> {
        archive::encode(&State::default(), Origin::default()).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_own_files_beyond_the_number_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new/folder");
        let schedule = Schedule { retain: 2, ..Schedule::default() };
        assert!(list(&folder, &schedule, CLUSTER).unwrap().is_empty());
        let own: Vec<String> =
            (0..4).map(|n| schedule.name(CLUSTER, Timestamp(1_700_000_000_000_000_000).plus(Nanos::from_secs(n)), 5)).collect();
        own.iter().for_each(|name| keep(&folder, name, &backup()).unwrap());
        assert_eq!(fs::metadata(folder.join(&own[0])).unwrap().permissions().mode() & 0o777, 0o600);
        let others = ["floe-other.snap", "notes.txt", ".x.tmp", &schedule.name("ffffffffffffffff", Timestamp(1), 1)].map(str::to_owned);
        others.iter().for_each(|name| fs::write(folder.join(name), "mine").unwrap());
        fs::write(folder.join(format!(".{}.tmp", own[0])), "half").unwrap();
        let kept = tidy(&folder, &schedule, CLUSTER, Timestamp(1_700_000_000_000_000_000)).unwrap();
        assert_eq!(kept.iter().map(|k| &k.name).collect::<Vec<_>>(), [&own[2], &own[3]]);
        let mut expected: Vec<String> = others.into_iter().chain(own[2..].to_vec()).collect();
        expected.sort();
        assert_eq!(names(&folder), expected);
    }

    #[test]
    fn what_is_not_right_when_it_is_read_back_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let error = keep(dir.path(), "a.snap", b"rubbish").unwrap_err();
        assert!(matches!(error, KeepError::Archive { .. }), "{error:?}");
        assert_eq!(names(dir.path()), Vec::<String>::new());
        let gone = dir.path().join("gone");
        assert!(matches!(keep(&gone, "a.snap", &backup()).unwrap_err(), KeepError::Io { .. }));
    }
}
