//! A log that is called and waited for.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub)]

use floe_store::{LogError, LogRecord, LogStore, Position, log::Done, twin::Disk};
use std::{
    future::Future,
    sync::mpsc,
    task::{Context, Poll, Waker},
};

pub fn at(term: u64, index: u64) -> Position {
    Position { term, index }
}

pub fn record(term: u64, index: u64, bytes: usize) -> LogRecord {
    let text = format!("{term}.{index};");
    LogRecord { position: at(term, index), payload: text.bytes().cycle().take(bytes).collect::<Vec<u8>>().into() }
}

pub fn records(term: u64, indexes: std::ops::RangeInclusive<u64>) -> Vec<LogRecord> {
    indexes.map(|i| record(term, i, 100)).collect()
}

/// Runs a future that waits for nothing but a queue with room.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        std::thread::yield_now();
    }
}

pub type Answer = mpsc::Receiver<Result<(), LogError>>;

pub fn done() -> (Done, Answer) {
    let (send, receive) = mpsc::channel();
    (Box::new(move |result| send.send(result).unwrap()), receive)
}

/// Calls and waits until it is durable.
pub fn append(log: &LogStore, records: Vec<LogRecord>) -> Result<(), LogError> {
    let (done, answer) = done();
    now(log.append(records, done))?;
    answer.recv().unwrap()
}
pub fn vote(log: &LogStore, vote: &[u8]) -> Result<(), LogError> {
    let (done, answer) = done();
    now(log.save_vote(vote.to_vec(), done))?;
    answer.recv().unwrap()
}
pub fn truncate(log: &LogStore, last: Option<Position>) -> Result<(), LogError> {
    let (done, answer) = done();
    now(log.truncate_after(last, done))?;
    answer.recv().unwrap()
}
pub fn purge(log: &LogStore, upto: Position) -> Result<(), LogError> {
    let (done, answer) = done();
    now(log.purge(upto, done))?;
    answer.recv().unwrap()
}

pub fn open(disk: &Disk, tail_bytes: usize) -> LogStore {
    LogStore::open_on(disk.clone(), tail_bytes).unwrap()
}
