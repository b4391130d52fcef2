//! The thread that writes: it drains the queue into one transaction, syncs once, then tells everybody.

use super::{
    Position, Shared,
    error::LogError,
    file::{LogFile, Write},
};
use std::sync::Weak;
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

/// Writes until every handle of the log is gone, or a job without a write asks it to end.
pub(crate) fn run(file: &LogFile, shared: &Weak<Shared>, mut queue: mpsc::Receiver<Job>) {
    let mut writer = Writer { file, shared, failed: None };
    while let Some(first) = queue.blocking_recv() {
        let batch = gather(first, &mut queue);
        let ends = batch.iter().any(|job| job.write.is_none());
        let result = writer.commit(&batch);
        for job in batch {
            (job.done)(result.clone());
        }
        if ends {
            break;
        }
    }
    writer.finish();
    queue.close();
    while let Ok(late) = queue.try_recv() {
        (late.done)(Err(LogError::Closed { path: file.path.clone() }));
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

struct Writer<'a> {
    file: &'a LogFile,
    /// The readers' side; gone when every handle is, and then what was handed over before is written all the same.
    shared: &'a Weak<Shared>,
    failed: Option<LogError>,
}

impl Writer<'_> {
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
        self.write(writes(), committed)?;
        if let Some(shared) = shared {
            shared.count(writes());
            shared.flushed(batch);
        }
        Ok(())
    }

    fn finish(&mut self) {
        let committed = self.shared.upgrade().and_then(|s| s.take_committed());
        if self.failed.is_none() && committed.is_some() {
            // Said to nobody: an older value is as safe, and a failure shows at the next start.
            let _ = self.write(std::iter::empty(), committed);
        }
    }

    fn write<'w>(&mut self, writes: impl Iterator<Item = &'w Write>, committed: Option<Position>) -> Result<(), LogError> {
        self.file.commit(writes, committed).map_err(|cause| {
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
