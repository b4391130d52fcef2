//! Our log as openraft wants it.

use crate::{
    codec,
    config::APPEND_BYTES,
    executor,
    raft_types::{Entry, IoFlushed, LogId, LogState, OptionalSend, RaftLogReader, RaftLogStorage, TypeConfig, Vote, log_id, position},
    stop::StopCell,
};
use floe_store::{
    LogRecord, LogStore,
    log::Done,
    planted::{self, Bug},
};
use futures::{Stream, TryStreamExt, stream};
use std::{fmt::Debug, io, ops::Bound, ops::Range, ops::RangeBounds};
use tokio::sync::oneshot;

/// How many entries are read at once when many are to be applied: what is in memory then is bounded, however far behind the state is.
const READ_ENTRIES: u64 = 256;

/// How many entries are read at once to be sent: with each at its bound they are still few enough for memory.
const SEND_ENTRIES: u64 = 32;

/// Clones share the log.
#[derive(Clone)]
pub(crate) struct Log {
    store: LogStore,
    stop: StopCell,
}

impl Log {
    pub(crate) fn new(store: LogStore, stop: StopCell) -> Self {
        Self { store, stop }
    }

    async fn records(&self, range: Range<u64>) -> io::Result<Vec<LogRecord>> {
        match self.store.read_cached(range.clone()) {
            Some(records) => Ok(records),
            None => self.read_from_disk(range).await,
        }
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Vec<Entry>> {
        let records = self.records(range).await?;
        records.iter().map(codec::decode_entry).collect::<Result<_, _>>().map_err(|e| self.stop.fail(&e))
    }

    async fn read_from_disk(&self, range: Range<u64>) -> io::Result<Vec<LogRecord>> {
        let store = self.store.clone();
        let read = executor::blocking(move || store.read(range)).await;
        read.map_err(io::Error::other)?.map_err(|e| self.stop.fail(&e))
    }

    /// For writes that nobody waits for: their order keeps them safe, and a failure stops the server.
    fn unattended(&self) -> Done {
        let stop = self.stop.clone();
        Box::new(move |result| {
            if let Err(e) = result {
                stop.fail(&e);
            }
        })
    }
}

/// A callback that a task can wait for.
pub(crate) fn awaited() -> (Done, oneshot::Receiver<Result<(), floe_store::LogError>>) {
    let (tell, told) = oneshot::channel();
    // Nobody may be waiting any more.
    (Box::new(move |result| drop(tell.send(result))), told)
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(bounds(&range)).await
    }

    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let log = self.clone();
        let chunks = stream::try_unfold(bounds(&range), move |left| {
            let log = log.clone();
            async move {
                let chunk = left.start..left.end.min(left.start.saturating_add(READ_ENTRIES));
                if chunk.is_empty() {
                    return Ok(None);
                }
                let entries = log.read(chunk.clone()).await?;
                let rest = if entries.is_empty() { left.end..left.end } else { chunk.end..left.end };
                Ok::<_, io::Error>(Some((stream::iter(entries.into_iter().map(Ok)), rest)))
            }
        });
        Box::pin(chunks.try_flatten())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut next = start;
        while next < end {
            let records = self.records(next..end.min(next.saturating_add(SEND_ENTRIES))).await?;
            for record in &records {
                bytes += record.payload.len();
                if bytes > APPEND_BYTES && !entries.is_empty() {
                    return Ok(entries);
                }
                entries.push(codec::decode_entry(record).map_err(|e| self.stop.fail(&e))?);
            }
            if records.is_empty() {
                break;
            }
            next = next.saturating_add(records.len() as u64);
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.store.vote().map(|bytes| codec::decode_vote(&bytes)).transpose().map_err(|e| self.stop.fail(&e))
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState> {
        let bounds = self.store.bounds();
        Ok(LogState { last_purged_log_id: bounds.purged.map(log_id), last_log_id: bounds.last.map(log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let bytes = codec::encode_vote(vote).map_err(|e| self.stop.fail(&e))?;
        let (done, told) = awaited();
        self.store.save_vote(bytes, done).await.map_err(|e| self.stop.fail(&e))?;
        told.await.map_err(io::Error::other)?.map_err(|e| self.stop.fail(&e))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.store.save_committed(committed.as_ref().map(position));
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        // It is written with the entries of the same batch or later ones, but a cut log may end before it.
        let last = self.store.bounds().last;
        if planted::is_on(Bug::WholeLogIsCommitted) {
            return Ok(last.map(log_id));
        }
        Ok(self.store.committed().filter(|c| Some(*c) <= last).map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IoFlushed) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records: Result<Vec<_>, _> = entries.into_iter().map(|entry| codec::encode_entry(&entry)).collect();
        let records = records.map_err(|e| self.stop.fail(&e))?;
        let stop = self.stop.clone();
        let done: Done = Box::new(move |result| callback.io_completed(result.map_err(|e| stop.fail(&e))));
        self.store.append(records, done).await.map_err(|e| self.stop.fail(&e))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.store.truncate_after(last.as_ref().map(position), self.unattended()).await.map_err(|e| self.stop.fail(&e))
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.store.purge(position(&upto), self.unattended()).await.map_err(|e| self.stop.fail(&e))
    }
}
