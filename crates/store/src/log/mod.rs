//! The Raft log, the vote, and how far is committed and purged, in one redb file.
//!
//! Writes go through a queue to one thread, which puts all that waits into one transaction: many concurrent proposals share one
//! fdatasync. An entry can be read as soon as [`LogStore::append`] returns; its callback runs when it is durable.
//!
//! The order of writes is the order of calls. A batch is atomic: after a crash the file holds what some prefix of the batches left,
//! and every batch whose callback ran is in it. When a write or a sync fails, that batch and everything after it fails with the same error,
//! until the file is opened again: after a failed fsync the kernel may have thrown the pages away and call the next sync a success.

mod error;
mod file;
mod record;
mod tail;
mod writer;

pub use error::LogError;
pub use record::{LogRecord, Position};
pub use tail::TAIL_BYTES;
pub use writer::{BATCH_BYTES, BATCH_WRITES, Done, LogWriter, Waiting, Written};

use crate::{
    DataFolder,
    planted::{self, Bug},
};
use file::{Contents, LogFile, Write};
use redb::StorageBackend;
use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};
use tail::Tail;
use tokio::sync::{Semaphore, mpsc};
use writer::Job;

/// How many writes may wait; the next [`LogStore::append`] waits for room.
pub const QUEUE_WRITES: usize = 4096;
/// How many bytes may wait; the next [`LogStore::append`] waits for room. One write that is larger waits until it is alone.
pub const QUEUE_BYTES: usize = 64 << 20;

/// The file's name in the server's folder.
const FILE: &str = "raft.redb";
/// How often a read that met a truncation starts again. Each one needs a change of leader in between.
const READ_RETRIES: u32 = 8;

/// The open log. Clones share it; the last one to go ends the thread after what was handed over is written.
#[derive(Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
}

/// The ends of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The last entry that was purged.
    pub purged: Option<Position>,
    /// The last entry, or the last purged one when there is none.
    pub last: Option<Position>,
}

/// How a log goes on in another cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    /// Entries that follow the last one.
    pub records: Vec<LogRecord>,
    /// The vote from then on.
    pub vote: Vec<u8>,
    /// The cluster from then on.
    pub cluster_id: String,
}

/// What the log did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Transactions, which is fdatasyncs.
    pub commits: u64,
    /// Entries written.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

struct Shared {
    path: PathBuf,
    tail: Mutex<Tail>,
    queue: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    failed: OnceLock<LogError>,
    /// The file, for reads; gone once closed.
    file: Mutex<Option<Arc<LogFile>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    commits: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl LogStore {
    /// Opens the log in the data folder, or makes it, and checks every record. Blocks.
    ///
    /// # Errors
    /// When the file cannot be opened, is in use, is damaged, or was written by a newer build.
    pub fn open(folder: &DataFolder) -> Result<Self, LogError> {
        let path = folder.server().map_err(|e| LogError::Folder(Arc::new(e)))?.join(FILE);
        Self::start(LogFile::open(&path)?, path, TAIL_BYTES)
    }

    /// Opens the log on any disk, such as [`crate::twin::Disk`], with at most `tail_bytes` of durable entries in memory.
    ///
    /// # Errors
    /// As [`LogStore::open`].
    pub fn open_on(disk: impl StorageBackend, tail_bytes: usize) -> Result<Self, LogError> {
        let path = PathBuf::from(FILE);
        Self::start(LogFile::open_on(disk, &path)?, path, tail_bytes)
    }

    /// As [`LogStore::open_on`], without a thread: nothing is written but what the caller has the writer do. For simulations. To end such a log
    /// is to drop the writer; [`LogStore::close`] does nothing.
    ///
    /// # Errors
    /// As [`LogStore::open`].
    pub fn open_driven(disk: impl StorageBackend, tail_bytes: usize) -> Result<(Self, LogWriter), LogError> {
        let path = PathBuf::from(FILE);
        Ok(Self::make(LogFile::open_on(disk, &path)?, path, tail_bytes))
    }

    fn start(opened: (LogFile, Contents), path: PathBuf, tail_bytes: usize) -> Result<Self, LogError> {
        let (log, writer) = Self::make(opened, path.clone(), tail_bytes);
        let thread = std::thread::Builder::new().name("raft-log-writer".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|e| LogError::Open { path, cause: Arc::new(e) })?;
        *log.shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(log)
    }

    fn make((file, contents): (LogFile, Contents), path: PathBuf, tail_bytes: usize) -> (Self, LogWriter) {
        let (queue, receiver) = mpsc::channel(QUEUE_WRITES);
        let file = Arc::new(file);
        let shared = Arc::new(Shared {
            path,
            tail: Mutex::new(Tail::new(contents, tail_bytes)),
            queue,
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            failed: OnceLock::new(),
            file: Mutex::new(Some(Arc::clone(&file))),
            thread: Mutex::new(None),
            commits: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let writer = LogWriter::new(file, Arc::downgrade(&shared), receiver);
        (Self { shared }, writer)
    }

    /// Takes entries that follow the last one. They can be read when this returns; `done` runs when they are durable. Waits while the
    /// queue is full. The caller gives one write at a time: two at once come in any order.
    ///
    /// # Errors
    /// When the entries do not follow, or the log has failed or is closed. Then nothing was taken and `done` is not called.
    pub async fn append(&self, records: Vec<LogRecord>, done: Done) -> Result<(), LogError> {
        let bytes = records.iter().map(LogRecord::bytes).sum();
        self.submit(bytes, done, |tail| {
            self.check_follows(tail, &records)?;
            tail.append(&records);
            Ok(Write::Append(records))
        })
        .await
    }

    /// Keeps the vote. It counts when `done` runs.
    ///
    /// # Errors
    /// When the log has failed or is closed.
    pub async fn save_vote(&self, vote: Vec<u8>, done: Done) -> Result<(), LogError> {
        self.submit(vote.len(), done, |tail| {
            tail.contents.vote = Some(vote.clone());
            Ok(Write::Vote(vote))
        })
        .await
    }

    /// Keeps the id that this server goes by. It lives in this file, so that a server that lost its log comes back as another one.
    ///
    /// # Errors
    /// When the log has failed or is closed.
    pub async fn save_server_id(&self, id: String, done: Done) -> Result<(), LogError> {
        self.submit(id.len(), done, |tail| {
            tail.contents.server_id = Some(id.clone());
            Ok(Write::ServerId(id))
        })
        .await
    }

    /// Keeps the id of the cluster that the entries are of.
    ///
    /// # Errors
    /// When the log has failed or is closed.
    pub async fn save_cluster_id(&self, id: String, done: Done) -> Result<(), LogError> {
        self.submit(id.len(), done, |tail| {
            tail.contents.cluster_id = Some(id.clone());
            Ok(Write::ClusterId(id))
        })
        .await
    }

    /// Goes on in another cluster, in one transaction: after a crash the file has all of it or nothing.
    ///
    /// # Errors
    /// When the entries do not follow, or the log has failed or is closed.
    pub async fn go_on(&self, succession: Succession, done: Done) -> Result<(), LogError> {
        let bytes = succession.records.iter().map(LogRecord::bytes).sum();
        self.submit(bytes, done, |tail| {
            self.check_follows(tail, &succession.records)?;
            tail.append(&succession.records);
            tail.contents.vote = Some(succession.vote.clone());
            tail.contents.cluster_id = Some(succession.cluster_id.clone());
            tail.contents.sealed = succession.records.last().map(|r| r.position).or(tail.contents.sealed);
            Ok(Write::GoOn(succession))
        })
        .await
    }

    /// Notes how far is committed. It is written with the next batch and when the log is closed, never by a sync of its own: after a
    /// crash it may be older, which is safe, because commitment is found anew by the next leader.
    pub fn save_committed(&self, committed: Option<Position>) {
        let mut tail = self.shared.tail();
        tail.contents.committed = committed;
        tail.committed_unsaved = true;
    }

    /// Forgets the entries after `last` (all, when there is none).
    ///
    /// # Errors
    /// When the log has failed or is closed.
    pub async fn truncate_after(&self, last: Option<Position>, done: Done) -> Result<(), LogError> {
        self.submit(0, done, |tail| {
            tail.truncate(last);
            Ok(Write::Truncate { from: last.map_or(0, |p| p.index.saturating_add(1)) })
        })
        .await
    }

    /// Forgets the entries up to and with `upto`.
    ///
    /// # Errors
    /// When the log has failed or is closed.
    pub async fn purge(&self, upto: Position, done: Done) -> Result<(), LogError> {
        self.submit(0, done, |tail| {
            tail.purge(upto);
            Ok(Write::Purge(tail.contents.purged.unwrap_or(upto)))
        })
        .await
    }

    /// The entries in the range when all of them are in memory. Never waits for the disk.
    pub fn read_cached(&self, range: Range<u64>) -> Option<Vec<LogRecord>> {
        let (on_disk, records) = self.shared.tail().read(range);
        on_disk.is_empty().then_some(records)
    }

    /// The entries in the range that the log holds: purged ones and ones that are not there yet are left out. May block on the disk.
    ///
    /// # Errors
    /// When an entry is damaged or missing, or the disk cannot be read.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<LogRecord>, LogError> {
        for _ in 0..READ_RETRIES {
            let (wanted, held, seen) = {
                let tail = self.shared.tail();
                let (wanted, held) = tail.read(range.clone());
                (wanted, held, (tail.truncations, tail.contents.purged))
            };
            if wanted.is_empty() {
                return Ok(held);
            }
            let mut records = self.shared.file()?.read(wanted.clone())?;
            let now = {
                let tail = self.shared.tail();
                (tail.truncations, tail.contents.purged)
            };
            if now == seen {
                self.check_whole(&wanted, &records)?;
                records.extend(held);
                return Ok(records);
            }
        }
        let what = format!("entries {}..{} changed {READ_RETRIES} times while they were read", range.start, range.end);
        Err(LogError::Damaged { path: self.shared.path.clone(), what })
    }

    /// Where the log begins and ends.
    pub fn bounds(&self) -> Bounds {
        let tail = self.shared.tail();
        Bounds { purged: tail.contents.purged, last: tail.contents.last }
    }

    /// The vote that was saved last.
    pub fn vote(&self) -> Option<Vec<u8>> {
        self.shared.tail().contents.vote.clone()
    }

    /// How far was said to be committed.
    pub fn committed(&self) -> Option<Position> {
        self.shared.tail().contents.committed
    }

    /// The id that this server goes by.
    pub fn server_id(&self) -> Option<String> {
        self.shared.tail().contents.server_id.clone()
    }

    /// The id of the cluster that the entries are of.
    pub fn cluster_id(&self) -> Option<String> {
        self.shared.tail().contents.cluster_id.clone()
    }

    /// The last of the entries with which the log went on in another cluster. Nobody else may be given the ones up to it.
    pub fn sealed(&self) -> Option<Position> {
        self.shared.tail().contents.sealed
    }

    /// Why nothing is written any more.
    pub fn failure(&self) -> Option<LogError> {
        self.shared.failed.get().cloned()
    }

    /// What the log did since it was opened.
    pub fn stats(&self) -> LogStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogStats { commits: read(&self.shared.commits), entries: read(&self.shared.entries), bytes: read(&self.shared.bytes) }
    }

    /// Writes what was handed over, lets go of the file and waits for that. Blocks. Later calls of other clones fail with
    /// [`LogError::Closed`].
    pub fn close(&self) {
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let mut end = Job { write: None, bytes: 0, truncations: 0, done: Box::new(|_| {}), _room: None };
        // The queue may be full; the writer makes room. (`blocking_send` would panic on a thread of an async runtime.)
        while let Err(mpsc::error::TrySendError::Full(back)) = self.shared.queue.try_send(end) {
            end = back;
            std::thread::yield_now();
        }
        if thread.join().is_err() {
            tracing::error!(path = %self.shared.path.display(), "the writer of the raft log panicked");
        }
        self.shared.file.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    async fn submit(&self, bytes: usize, done: Done, change: impl FnOnce(&mut Tail) -> Result<Write, LogError>) -> Result<(), LogError> {
        let closed = || LogError::Closed { path: self.shared.path.clone() };
        let wanted = u32::try_from(bytes.clamp(1, QUEUE_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.shared.room).acquire_many_owned(wanted).await.map_err(|_| closed())?;
        let slot = self.shared.queue.reserve().await.map_err(|_| closed())?;
        if let Some(failed) = self.failure() {
            return Err(failed);
        }
        // Memory and queue change under one lock, so that their order is the same.
        let mut tail = self.shared.tail();
        let write = change(&mut tail)?;
        let done = if is_told_early(&write) { tell_early(done) } else { done };
        slot.send(Job { write: Some(write), bytes, truncations: tail.truncations, done, _room: Some(room) });
        Ok(())
    }

    fn check_follows(&self, tail: &Tail, records: &[LogRecord]) -> Result<(), LogError> {
        let mut expected = tail.next();
        for record in records {
            let found = record.index();
            if let Some(expected) = expected.filter(|e| *e != found) {
                return Err(LogError::Gap { path: self.shared.path.clone(), expected, found });
            }
            expected = Some(found.saturating_add(1));
        }
        Ok(())
    }

    /// Keys are distinct and in order, so a count that fits means that no entry is missing. Only a log that was never purged may begin
    /// later than asked: it never held what is missing.
    fn check_whole(&self, wanted: &Range<u64>, records: &[LogRecord]) -> Result<(), LogError> {
        let first = records.first().map_or(wanted.end, LogRecord::index);
        let begins = first == wanted.start || self.bounds().purged.is_none();
        if begins && records.len() as u64 == wanted.end - first {
            return Ok(());
        }
        let what = format!("of entries {}..{} only {} are there", wanted.start, wanted.end, records.len());
        Err(LogError::Damaged { path: self.shared.path.clone(), what })
    }
}

fn is_told_early(write: &Write) -> bool {
    matches!(write, Write::Append(_)) && planted::is_on(Bug::AckBeforeFsync)
}

fn tell_early(done: Done) -> Done {
    done(Ok(()));
    Box::new(|_| {})
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("invariant: nothing panics while it holds the tail")
    }

    fn file(&self) -> Result<Arc<LogFile>, LogError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).clone();
        file.ok_or_else(|| LogError::Closed { path: self.path.clone() })
    }

    fn take_committed(&self) -> Option<Position> {
        let mut tail = self.tail();
        std::mem::take(&mut tail.committed_unsaved).then_some(tail.contents.committed).flatten()
    }

    fn count<'a>(&self, writes: impl Iterator<Item = &'a Write>) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        for write in writes {
            if let Write::Append(records) = write {
                self.entries.fetch_add(records.len() as u64, Ordering::Relaxed);
                self.bytes.fetch_add(records.iter().map(|r| r.bytes() as u64).sum(), Ordering::Relaxed);
            }
        }
    }
}
