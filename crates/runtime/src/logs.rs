//! Log files with a bounded size: `<prefix>.0`, `<prefix>.1`, ... where the highest number is written to and the oldest are deleted.
//!
//! A task may own the directory's parent, so files are opened relative to the directory and never through a symbolic link.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::UnlinkatFlags;

use crate::error::{Doing, SystemError};

/// One stream's files.
#[derive(Debug)]
pub(crate) struct RotatingLog {
    dir: OwnedFd,
    dir_path: PathBuf,
    prefix: String,
    index: u64,
    file: File,
    size: u64,
    max_files: u64,
    max_file_bytes: u64,
    lost_bytes: u64,
    lost_because: Option<String>,
}

impl RotatingLog {
    /// Opens the highest existing file to append, or starts with number 0. Creates the directory when it is missing.
    pub(crate) fn open(dir_path: &Path, prefix: &str, max_files: u32, max_file_bytes: u64) -> Result<Self, SystemError> {
        fs::create_dir_all(dir_path).doing(|| format!("create log directory {}", dir_path.display()))?;
        let dir = nix::fcntl::open(dir_path, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
            .doing(|| format!("open log directory {}", dir_path.display()))?;
        let index = numbers(dir_path, prefix).into_iter().max().unwrap_or(0);
        let (file, size) = open_file(&dir, dir_path, prefix, index)?;
        let mut log = Self {
            dir,
            dir_path: dir_path.to_owned(),
            prefix: prefix.to_owned(),
            index,
            file,
            size,
            max_files: max_files.max(1).into(),
            max_file_bytes: max_file_bytes.max(1),
            lost_bytes: 0,
            lost_because: None,
        };
        log.delete_old();
        Ok(log)
    }

    /// Writes; what the disk does not take is dropped, counted and noted in the log as soon as there is room again. Never fails: a full
    /// disk must not stop a task.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.lost_bytes > 0 {
            let note = format!(
                "[floe: {} bytes of output were lost here: {}]\n",
                self.lost_bytes,
                self.lost_because.as_deref().unwrap_or("unknown")
            );
            if self.write_rotating(note.as_bytes()).is_err() {
                self.lost_bytes += bytes.len() as u64;
                return;
            }
            self.lost_bytes = 0;
        }
        if let Err((written, error)) = self.write_rotating(bytes) {
            self.lost_bytes += (bytes.len() - written) as u64;
            self.lost_because = Some(error.to_string());
        }
    }

    /// Writes all, over as many files as needed. The error says how much was written before it.
    fn write_rotating(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = usize::try_from(self.max_file_bytes.saturating_sub(self.size)).unwrap_or(usize::MAX);
            let piece = rest.get(..piece_len(rest, room, self.size > 0)).unwrap_or(rest);
            let done = bytes.len() - rest.len();
            if piece.is_empty() {
                self.rotate().map_err(|error| (done, error))?;
                continue;
            }
            match self.file.write(piece) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.size += count as u64;
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let next = self.index + 1;
        let (file, size) = open_file(&self.dir, &self.dir_path, &self.prefix, next).map_err(io::Error::other)?;
        (self.file, self.size, self.index) = (file, size, next);
        self.delete_old();
        Ok(())
    }

    fn delete_old(&mut self) {
        for number in numbers(&self.dir_path, &self.prefix) {
            if number + self.max_files <= self.index {
                let name = format!("{}.{number}", self.prefix);
                // A file that cannot be deleted is tried again at the next rotation.
                let _ = nix::unistd::unlinkat(self.dir.as_fd(), name.as_str(), UnlinkatFlags::NoRemoveDir);
            }
        }
    }
}

/// How much of `rest` goes into a file with `room` left: up to the last line's end if the rest does not fit, so that lines stay whole
/// where they can. A line longer than a whole file is cut.
fn piece_len(rest: &[u8], room: usize, file_has_content: bool) -> usize {
    if rest.len() <= room {
        return rest.len();
    }
    let fitting = rest.get(..room).unwrap_or(rest);
    match fitting.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None if file_has_content => 0,
        None => room,
    }
}

fn numbers(dir: &Path, prefix: &str) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_prefix(prefix)?.strip_prefix('.')?.parse().ok()).collect()
}

fn open_file(dir: &OwnedFd, dir_path: &Path, prefix: &str, index: u64) -> Result<(File, u64), SystemError> {
    let name = format!("{prefix}.{index}");
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let what = || format!("open log file {}", dir_path.join(&name).display());
    let fd = openat(dir.as_fd(), name.as_str(), flags, Mode::from_bits_truncate(0o644)).doing(what)?;
    let file = File::from(fd);
    let metadata = file.metadata().doing(what)?;
    if !metadata.is_file() {
        return Err(SystemError::new(what(), io::Error::other("it is not a regular file")));
    }
    Ok((file, metadata.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn rotates_at_line_ends_and_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RotatingLog::open(dir.path(), "web.stdout", 2, 10).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
            log.write(line.as_bytes());
        }
        assert_eq!(names(dir.path()), ["web.stdout.1", "web.stdout.2"]);
        assert_eq!(fs::read_to_string(dir.path().join("web.stdout.1")).unwrap(), "three\n");
        assert_eq!(fs::read_to_string(dir.path().join("web.stdout.2")).unwrap(), "four\nfive\n");
    }

    #[test]
    fn a_file_holds_exactly_its_maximum() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RotatingLog::open(dir.path(), "s", 5, 4).unwrap();
        log.write(b"abc\n");
        assert_eq!(names(dir.path()), ["s.0"]);
        log.write(b"d");
        assert_eq!(names(dir.path()), ["s.0", "s.1"]);
    }

    #[test]
    fn long_lines_are_cut_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RotatingLog::open(dir.path(), "s", 100, 7).unwrap();
        log.write(b"0123456789abcdefghij");
        let all: String = (0..3).map(|n| fs::read_to_string(dir.path().join(format!("s.{n}"))).unwrap()).collect();
        assert_eq!(all, "0123456789abcdefghij");
    }

    #[test]
    fn a_restart_appends_to_the_highest_number() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("s.3"), "old\n").unwrap();
        fs::write(dir.path().join("s.10"), "newer\n").unwrap();
        fs::write(dir.path().join("s.x"), "not ours").unwrap();
        let mut log = RotatingLog::open(dir.path(), "s", 3, 100).unwrap();
        log.write(b"again\n");
        assert_eq!(fs::read_to_string(dir.path().join("s.10")).unwrap(), "newer\nagain\n");
        assert_eq!(names(dir.path()), ["s.10", "s.x"]);
    }

    #[test]
    fn symbolic_links_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, "").unwrap();
        let logs = dir.path().join("logs");
        fs::create_dir(&logs).unwrap();
        std::os::unix::fs::symlink(&target, logs.join("s.0")).unwrap();
        assert!(RotatingLog::open(&logs, "s", 3, 100).unwrap_err().to_string().contains("s.0"));
    }

    #[test]
    fn piece_lengths() {
        assert_eq!(piece_len(b"ab\ncd", 5, true), 5);
        assert_eq!(piece_len(b"ab\ncd", 4, true), 3);
        assert_eq!(piece_len(b"abcd\n", 3, true), 0);
        assert_eq!(piece_len(b"abcd\n", 3, false), 3);
    }
}
