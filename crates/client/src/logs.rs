//! A task's output: its rotated files as one stream, from a place in it, and on while it grows.
//!
//! Files are numbered upwards, `<task>.stdout.0`, `.1`, ...; the oldest disappear. A reader that follows goes on to the next number when
//! that exists and its own file is read to the end. Files are opened without following links.

use crate::keeper::Entry;
use crate::paths::{AllocPaths, file_name};
use bytes::Bytes;
use floe_api::node::{LogError, LogPiece, LogRequest};
use futures::{StreamExt, stream, stream::BoxStream};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// How much is read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// How often a reader that follows looks for more.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Where in the output a reader is.
struct Cursor {
    dir: PathBuf,
    stem: String,
    number: u64,
    file: File,
    offset: u64,
}

/// The numbers of the files of one output, in order.
fn numbers(dir: &Path, stem: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|n| n.strip_prefix(stem)).and_then(|n| n.strip_prefix('.')).and_then(|n| n.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn open(dir: &Path, stem: &str, number: u64) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC).open(dir.join(format!("{stem}.{number}")))
}

impl Cursor {
    /// At `offset` bytes from the beginning or the end of all files together. `None` when there is no file yet.
    fn open(dir: PathBuf, stem: String, offset: u64, from_end: bool) -> io::Result<Option<Cursor>> {
        let numbers = numbers(&dir, &stem)?;
        let mut sizes = Vec::new();
        for number in numbers {
            // One that was rotated away just now is not there any more.
            if let Ok(file) = open(&dir, &stem, number) {
                sizes.push((number, file.metadata()?.len(), file));
            }
        }
        let total: u64 = sizes.iter().map(|(_, len, _)| len).sum();
        let mut skip = if from_end { total.saturating_sub(offset) } else { offset.min(total) };
        let last = sizes.len().saturating_sub(1);
        for (i, (number, len, mut file)) in sizes.into_iter().enumerate() {
            if skip <= len && (skip < len || i == last) {
                file.seek(SeekFrom::Start(skip))?;
                return Ok(Some(Cursor { dir, stem, number, file, offset: skip }));
            }
            skip -= len;
        }
        Ok(None)
    }

    /// The next piece; `None` at the end of what is there now.
    fn read(&mut self) -> io::Result<Option<LogPiece>> {
        loop {
            let mut buffer = vec![0; PIECE_BYTES];
            let read = self.file.read(&mut buffer)?;
            if read > 0 {
                buffer.truncate(read);
                self.offset += read as u64;
                let file = format!("{}.{}", self.stem, self.number);
                return Ok(Some(LogPiece { file, offset: self.offset, data: Bytes::from(buffer) }));
            }
            let later = numbers(&self.dir, &self.stem)?.into_iter().find(|n| *n > self.number);
            let Some(next) = later else { return Ok(None) };
            // What was written to this file between the read above and the rotation comes first.
            let rest = self.file.metadata()?.len();
            if rest > self.offset {
                continue;
            }
            self.file = open(&self.dir, &self.stem, next)?;
            (self.number, self.offset) = (next, 0);
        }
    }
}

/// A task's output as it was asked for.
pub(crate) async fn read(
    entry: Entry,
    paths: AllocPaths,
    request: LogRequest,
) -> Result<BoxStream<'static, Result<LogPiece, LogError>>, LogError> {
    let tasks = crate::runner::task_names(&entry.alloc);
    if !tasks.contains(&request.task) {
        return Err(LogError::UnknownTask { alloc: request.alloc, task: request.task, tasks: tasks.join(", ") });
    }
    let stem = format!("{}.{}", file_name(&request.task), request.kind.as_str());
    let (task, dir) = (request.task.clone(), paths.logs());
    let failed = move |source| LogError::Io { task: task.clone(), source };
    let cursor = loop {
        let (dir, stem) = (dir.clone(), stem.clone());
        let open = tokio::task::spawn_blocking(move || Cursor::open(dir, stem, request.offset, request.from_end)).await;
        match open.map_err(io::Error::other).and_then(|r| r) {
            Ok(Some(cursor)) => break cursor,
            Ok(None) | Err(_) if request.follow && !entry.runner.has_ended() => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(None) => return Err(LogError::NotStarted { alloc: request.alloc, task: request.task }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(LogError::NotStarted { alloc: request.alloc, task: request.task }),
            Err(e) => return Err(failed(e)),
        }
    };
    let follow = request.follow;
    let pieces = stream::try_unfold((cursor, entry), move |(mut cursor, entry)| {
        let failed = failed.clone();
        async move {
            loop {
                // Asked before the read: what is written until the end is then read in one more turn.
                let ended = entry.runner.has_ended();
                let (back, piece) = tokio::task::spawn_blocking(move || {
                    let piece = cursor.read();
                    (cursor, piece)
                })
                .await
                .map_err(|e| failed(io::Error::other(e)))?;
                cursor = back;
                match piece.map_err(&failed)? {
                    Some(piece) => return Ok(Some((piece, (cursor, entry)))),
                    None if !follow || ended => return Ok(None),
                    None => tokio::time::sleep(LOOK_AGAIN).await,
                }
            }
        }
    });
    Ok(pieces.boxed())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(contents: &[(u64, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (n, text) in contents {
            fs::write(dir.path().join(format!("t.stdout.{n}")), text).unwrap();
        }
        fs::write(dir.path().join("t.stderr.0"), "other").unwrap();
        fs::write(dir.path().join("t.stdout.x"), "other").unwrap();
        dir
    }

    fn all(dir: &Path, offset: u64, from_end: bool) -> Option<String> {
        let mut cursor = Cursor::open(dir.to_owned(), "t.stdout".to_owned(), offset, from_end).unwrap()?;
        let mut text = Vec::new();
        while let Some(piece) = cursor.read().unwrap() {
            text.extend(piece.data);
        }
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn rotated_files_are_one_stream_in_numeric_order() {
        let dir = files(&[(9, "nine "), (10, "ten "), (11, "")]);
        assert_eq!(all(dir.path(), 0, false).unwrap(), "nine ten ");
        assert_eq!(all(dir.path(), 5, false).unwrap(), "ten ");
        assert_eq!(all(dir.path(), 7, false).unwrap(), "n ");
        assert_eq!(all(dir.path(), 99, false).unwrap(), "");
        assert_eq!(all(dir.path(), 6, true).unwrap(), "e ten ");
        assert_eq!(all(dir.path(), 99, true).unwrap(), "nine ten ");
        assert_eq!(all(files(&[]).path(), 0, false), None);
    }

    #[test]
    fn a_reader_goes_on_across_rotation() {
        let dir = files(&[(0, "a")]);
        let mut cursor = Cursor::open(dir.path().to_owned(), "t.stdout".to_owned(), 0, false).unwrap().unwrap();
        assert_eq!(cursor.read().unwrap().unwrap().data, "a");
        assert!(cursor.read().unwrap().is_none());
        fs::write(dir.path().join("t.stdout.1"), "b").unwrap();
        let piece = cursor.read().unwrap().unwrap();
        assert_eq!((piece.file.as_str(), piece.offset, &piece.data[..]), ("t.stdout.1", 1, &b"b"[..]));
    }

    #[test]
    fn links_are_not_followed() {
        let dir = files(&[]);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("t.stdout.0")).unwrap();
        assert_eq!(all(dir.path(), 0, false), None);
    }
}
