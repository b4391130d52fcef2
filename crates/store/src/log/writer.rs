//! What writes: it drains the queue into one transaction, syncs once, then tells everybody.

use super::{
    Position, Shared,
    error::LogError,
    file::{LogFile, Write},
};
use crate::planted::{self, Bug};
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// The most writes in one transaction.
pub const BATCH_WRITES: usize = 1024;
/// A transaction that has reached this many bytes takes no further write.
pub const BATCH_BYTES: usize = 8 << 20;

/// Called once, when a write is durable or has failed. Runs on the writer's thread, so it must be short and must not block.
pub type Done = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// A write on its way to the disk.
pub(crate) struct Job {
    pub(crate) write: Option<Write>,
    pub(crate) bytes: usize,
    /// The truncations that readers saw when the write was handed over.
    pub(crate) truncations: u64,
    pub(crate) done: Done,
    /// Room in the queue, given back when the write is done.
    pub(crate) _room: Option<OwnedSemaphorePermit>,
}

/// Writes what a log is given. A thread runs it, unless the log was opened by [`super::LogStore::open_driven`]: then whoever opened it does,
/// step by step, and may stop between any two as a crash would.
pub struct LogWriter {
    file: Arc<LogFile>,
    /// The readers' side; gone when every handle is, and then what was handed over before is written all the same.
    shared: Weak<Shared>,
    queue: mpsc::Receiver<Job>,
    failed: Option<LogError>,
}

/// The first write of the next batch. It is not written yet.
pub struct Waiting(Job);

/// A batch that is written and synced, or has failed, and that nobody was told of yet.
pub struct Written {
    batch: Vec<Job>,
    result: Result<(), LogError>,
}

impl Written {
    /// Runs the callbacks. False when the log is to be closed.
    pub fn tell(self) -> bool {
        let ends = self.batch.iter().any(|job| job.write.is_none());
        for job in self.batch {
            (job.done)(self.result.clone());
        }
        !ends
    }
}

impl LogWriter {
    pub(super) fn new(file: Arc<LogFile>, shared: Weak<Shared>, queue: mpsc::Receiver<Job>) -> Self {
        Self { file, shared, queue, failed: None }
    }

    /// Writes until every handle of the log is gone, or a job without a write asks it to end. Blocks.
    pub(crate) fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            if !self.write(Waiting(first)).tell() {
                break;
            }
        }
        self.finish();
    }

    /// Waits for a write. Nothing when every handle of the log is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Waiting> {
        self.queue.recv().await.map(Waiting)
    }

    /// Writes it, and all that waits behind it, in one transaction, and syncs. Blocks on the disk.
    pub fn write(&mut self, first: Waiting) -> Written {
        let batch = gather(first.0, &mut self.queue);
        let result = self.commit(&batch);
        Written { batch, result }
    }

    /// Writes how far is committed, and takes nothing more. Blocks on the disk.
    pub fn finish(mut self) {
        let committed = self.shared.upgrade().and_then(|s| s.take_committed());
        if self.failed.is_none() && committed.is_some() {
            // Said to nobody: an older value is as safe, and a failure shows at the next start.
            let _ = self.transact(std::iter::empty(), committed);
        }
        self.queue.close();
        while let Ok(late) = self.queue.try_recv() {
            (late.done)(Err(LogError::Closed { path: self.file.path.clone() }));
        }
    }

    fn commit(&mut self, batch: &[Job]) -> Result<(), LogError> {
        let writes = || batch.iter().filter_map(|job| job.write.as_ref());
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if writes().next().is_none() {
            return Ok(());
        }
        let shared = self.shared.upgrade();
        let committed = shared.as_ref().and_then(|s| s.take_committed());
        self.transact(writes(), committed)?;
        if let Some(shared) = shared {
            shared.count(writes());
            shared.flushed(batch);
        }
        Ok(())
    }

    fn transact<'w>(&mut self, writes: impl Iterator<Item = &'w Write>, committed: Option<Position>) -> Result<(), LogError> {
        let written = self.file.commit(writes, committed);
        if planted::is_on(Bug::FailedSyncIgnored) {
            return Ok(());
        }
        written.map_err(|cause| {
            let path = self.file.path.clone();
            tracing::error!(path = %path.display(), %cause, "the raft log cannot be written any more");
            let failed = LogError::Failed { path, cause };
            if let Some(shared) = self.shared.upgrade() {
                let _ = shared.failed.set(failed.clone());
            }
            self.failed = Some(failed.clone());
            failed
        })
    }
}

fn gather(first: Job, queue: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.bytes;
    let mut batch = vec![first];
    while batch.len() < BATCH_WRITES && bytes < BATCH_BYTES {
        let Ok(job) = queue.try_recv() else { break };
        bytes += job.bytes;
        batch.push(job);
    }
    batch
}

impl Shared {
    fn flushed(&self, batch: &[Job]) {
        let mut tail = self.tail();
        for job in batch {
            if let Some(Write::Append(records)) = &job.write
                && let Some(last) = records.last()
            {
                tail.flushed(last.index(), job.truncations);
            }
        }
    }
}
