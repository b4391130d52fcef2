//! What of the log is in memory: its bounds, the vote, and the newest entries. Pure.

use super::{LogRecord, Position, file::Contents};
use std::{collections::VecDeque, ops::Range};

/// How many bytes of entries that are on disk already stay in memory, so that apply and replication need not read them. As much as one
/// transaction: what it made durable is then still there when it is applied.
pub const TAIL_BYTES: usize = super::BATCH_BYTES;

/// The log as its readers see it: always ahead of the disk.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) contents: Contents,
    /// The newest entries, without gaps up to `contents.last`.
    records: VecDeque<LogRecord>,
    bytes: usize,
    limit_bytes: usize,
    /// Every entry up to this index is on disk.
    durable: Option<u64>,
    /// Counts truncations, so that a reader of the disk notices one.
    pub(crate) truncations: u64,
    /// Whether `contents.committed` is ahead of the disk.
    pub(crate) committed_unsaved: bool,
}

impl Tail {
    pub(crate) fn new(contents: Contents, limit_bytes: usize) -> Self {
        let durable = contents.last.map(|p| p.index);
        Self { contents, records: VecDeque::new(), bytes: 0, limit_bytes, durable, truncations: 0, committed_unsaved: false }
    }

    /// The index that comes next; any, when the log is empty and nothing was purged.
    pub(crate) fn next(&self) -> Option<u64> {
        self.contents.last.map(|p| p.index.saturating_add(1))
    }

    /// The first index that is in memory: from here on the disk need not be asked.
    fn first(&self) -> u64 {
        self.records.front().map(LogRecord::index).or(self.next()).unwrap_or(0)
    }

    /// Takes entries that follow the last one.
    pub(crate) fn append(&mut self, records: &[LogRecord]) {
        for record in records {
            self.bytes += record.bytes();
            self.contents.last = Some(record.position);
            self.records.push_back(record.clone());
        }
    }

    /// Forgets the entries after `last`; nothing, when the log ends before that.
    pub(crate) fn truncate(&mut self, last: Option<Position>) {
        if self.contents.last.map(|p| p.index) <= last.map(|p| p.index) {
            return;
        }
        let keep = last.map_or(0, |p| p.index.saturating_add(1));
        while self.records.back().is_some_and(|r| r.index() >= keep) {
            self.bytes -= self.records.pop_back().map_or(0, |r| r.bytes());
        }
        self.contents.last = last.max(self.contents.purged);
        // Entries that come back under these indexes are not on disk yet.
        self.durable = self.durable.min(last.map(|p| p.index));
        self.truncations += 1;
    }

    /// Forgets the entries up to and with `upto`.
    pub(crate) fn purge(&mut self, upto: Position) {
        while self.records.front().is_some_and(|r| r.index() <= upto.index) {
            self.bytes -= self.records.pop_front().map_or(0, |r| r.bytes());
        }
        self.contents.purged = self.contents.purged.max(Some(upto));
        if self.contents.last.is_none_or(|l| l.index <= upto.index) {
            self.contents.last = Some(upto);
            self.durable = Some(upto.index);
        }
    }

    /// Notes that entries up to and with `index` are on disk, unless the log was truncated since they were handed over, and lets go of
    /// what is too much.
    pub(crate) fn flushed(&mut self, index: u64, truncations: u64) {
        if truncations == self.truncations {
            self.durable = self.durable.max(Some(index));
        }
        while self.bytes > self.limit_bytes && self.records.front().is_some_and(|r| Some(r.index()) <= self.durable) {
            self.bytes -= self.records.pop_front().map_or(0, |r| r.bytes());
        }
    }

    /// What of the range is in memory, and what must come from the disk before it.
    pub(crate) fn read(&self, range: Range<u64>) -> (Range<u64>, Vec<LogRecord>) {
        let end = range.end.min(self.next().unwrap_or(0));
        let start = range.start.max(self.contents.purged.map_or(0, |p| p.index.saturating_add(1)));
        let first = self.first();
        let skip = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
        let take = usize::try_from(end.saturating_sub(start.max(first))).unwrap_or(usize::MAX);
        let held = self.records.iter().skip(skip).take(take).cloned().collect();
        (start..end.min(first).max(start), held)
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.records.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn record(index: u64) -> LogRecord {
        LogRecord { position: Position { term: 1, index }, payload: vec![0; 88].into() }
    }
    fn at(index: u64) -> Position {
        Position { term: 1, index }
    }

    #[test]
    fn only_what_is_on_disk_is_let_go_and_only_beyond_the_limit() {
        let mut tail = Tail::new(Contents::default(), 250);
        tail.append(&(1..=4).map(record).collect::<Vec<_>>());
        assert_eq!(tail.held(), 4, "nothing is on disk: nothing may go");
        tail.flushed(1, 0);
        assert_eq!(tail.held(), 3);
        tail.flushed(4, 0);
        assert_eq!(tail.held(), 2, "two of 100 bytes are within 250, three are not");
        assert_eq!(tail.read(0..10), (0..3, vec![record(3), record(4)]));
        assert_eq!(tail.read(2..4), (2..3, vec![record(3)]));
        assert_eq!(tail.read(4..5), (4..4, vec![record(4)]));
    }

    #[test]
    fn an_entry_that_replaces_a_truncated_one_is_not_on_disk_yet() {
        let mut tail = Tail::new(Contents::default(), 0);
        tail.append(&[record(1), record(2), record(3)]);
        tail.truncate(Some(at(1)));
        tail.append(&[record(2)]);
        tail.flushed(3, 0);
        assert_eq!(tail.held(), 2, "the flush was of entries before the truncation");
        tail.flushed(2, 1);
        assert_eq!(tail.held(), 0);
        assert_eq!(tail.contents.last, Some(at(2)));
    }

    #[test]
    fn truncating_behind_the_end_changes_nothing() {
        let mut tail = Tail::new(Contents::default(), 1000);
        tail.truncate(Some(at(9)));
        assert_eq!(tail.contents.last, None);
        tail.append(&[record(1), record(2)]);
        tail.truncate(Some(at(2)));
        tail.truncate(Some(at(9)));
        assert_eq!((tail.contents.last, tail.held(), tail.truncations), (Some(at(2)), 2, 0));
    }

    #[test]
    fn purging_beyond_the_end_leaves_an_empty_log_that_goes_on_behind_it() {
        let mut tail = Tail::new(Contents::default(), 1000);
        tail.append(&[record(1), record(2)]);
        tail.purge(at(9));
        assert_eq!((tail.next(), tail.held()), (Some(10), 0));
        assert_eq!(tail.read(0..20), (10..10, vec![]));
        tail.purge(at(4));
        assert_eq!(tail.contents.purged, Some(at(9)));
    }
}
