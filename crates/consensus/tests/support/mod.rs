//! A server of its own on a folder of its own.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub)]

pub mod net;

use floe_consensus::{Config, Consensus, DataFolder, ServerAddress};
use floe_model::Node;
use floe_state::{Command, State};
use floe_store::{LogRecord, LogStore};
use sha2::{Digest, Sha256};
use std::{path::Path, time::Duration};

pub fn config(dir: &Path) -> Config {
    Config::single(
        "one".to_owned().into(),
        DataFolder::open(dir).unwrap(),
        ServerAddress::new("one".to_owned(), "127.0.0.1:4647".to_owned()),
    )
}

pub async fn open(dir: &Path) -> Consensus {
    Consensus::open(config(dir)).await.unwrap()
}

pub fn register(id: &str) -> Command {
    Command::RegisterNode { node: Box::new(Node { id: id.into(), name: id.to_owned(), ..Node::default() }) }
}

/// A state's hash: equal states, equal hashes.
pub fn hash(state: &State) -> Vec<u8> {
    Sha256::digest(state.encode()).to_vec()
}

/// Every record of a closed server's log.
pub fn log_of(dir: &Path) -> Vec<LogRecord> {
    let log = LogStore::open(&DataFolder::open(dir).unwrap()).unwrap();
    let records = log.read(0..u64::MAX).unwrap();
    log.close();
    records
}

/// The command of a record, when it holds one.
pub fn command_of(record: &LogRecord) -> Option<floe_state::Entry> {
    (record.payload[0] == 1).then(|| rmp_serde::from_slice(&record.payload[1..]).unwrap())
}

/// The state that a whole log makes.
pub fn replay(records: &[LogRecord]) -> State {
    let mut state = State::default();
    for record in records {
        match command_of(record) {
            Some(entry) => drop(state.apply(record.index(), &entry)),
            None => state.skip(record.index()),
        }
    }
    state
}

/// Looks again and again until there is something; a test fails rather than wait for ever.
pub async fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(60);
    const AGAIN: Duration = Duration::from_millis(5);
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(AGAIN).await,
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}
