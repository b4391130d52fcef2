//! The log's redb file: one transaction for a batch of writes, and reads. Everything here blocks on the disk.

use super::{LogError, LogRecord, Position, Succession};
use crate::{
    Cause, PAGE_CACHE_BYTES,
    folder::sync_directory,
    frame,
    panics::caught,
    planted::{self, Bug},
};
use redb::{Builder, Database, DatabaseError, Durability, ReadableDatabase, StorageBackend, Table, TableDefinition, TableError};
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The version of the form of the records below. Raised when an older build could not read what we write.
const FORMAT: u32 = 1;

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

const KEY_FORMAT: &str = "format";
const KEY_VOTE: &str = "vote";
const KEY_COMMITTED: &str = "committed";
const KEY_PURGED: &str = "purged";
const KEY_SERVER_ID: &str = "server-id";
const KEY_CLUSTER_ID: &str = "cluster-id";
const KEY_SEALED: &str = "sealed";

/// One write.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Append(Vec<LogRecord>),
    Vote(Vec<u8>),
    ServerId(String),
    ClusterId(String),
    /// The log goes on in another cluster, with these entries: all of it, or nothing.
    GoOn(Succession),
    /// Forgets the entries from this index on.
    Truncate {
        from: u64,
    },
    /// Forgets the entries up to and with this one.
    Purge(Position),
}

/// What the file holds, without the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) last: Option<Position>,
    pub(crate) purged: Option<Position>,
    pub(crate) committed: Option<Position>,
    pub(crate) vote: Option<Vec<u8>>,
    pub(crate) server_id: Option<String>,
    pub(crate) cluster_id: Option<String>,
    pub(crate) sealed: Option<Position>,
}

#[derive(Debug)]
pub(crate) struct LogFile {
    database: Database,
    pub(crate) path: PathBuf,
}

/// Any failure of redb.
type Failure = Box<redb::Error>;

impl LogFile {
    /// Opens the file, or makes it. A new one gets its name only when it is whole, so that a file without a header is always damage.
    pub(crate) fn open(path: &Path) -> Result<(Self, Contents), LogError> {
        let io = |e: std::io::Error| LogError::Open { path: path.to_owned(), cause: Arc::new(e) };
        if !path.try_exists().map_err(io)? {
            Self::create(path, io)?;
        }
        Self::guarded(path, || builder().open(path))
    }

    fn create(path: &Path, io: impl Fn(std::io::Error) -> LogError) -> Result<(), LogError> {
        let fresh = path.with_extension("redb.new");
        match std::fs::remove_file(&fresh) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
            _ => {}
        }
        drop(Self::guarded(path, || builder().create(&fresh))?);
        std::fs::rename(&fresh, path).map_err(&io)?;
        path.parent().map_or(Ok(()), sync_directory).map_err(io)
    }

    /// Opens or makes the log on any disk. `path` is only for messages.
    pub(crate) fn open_on(disk: impl StorageBackend, path: &Path) -> Result<(Self, Contents), LogError> {
        Self::guarded(path, || builder().create_with_backend(disk))
    }

    /// Opens and checks all that is in the file. redb promises errors, not panics, for damaged pages; should it panic all the same, that is
    /// damage too and not the end of the process.
    fn guarded(path: &Path, open: impl FnOnce() -> Result<Database, DatabaseError>) -> Result<(Self, Contents), LogError> {
        let run = || {
            let database = open().map_err(|e| open_error(path, e))?;
            let file = Self { database, path: path.to_owned() };
            file.check_format()?;
            let contents = file.load()?;
            Ok((file, contents))
        };
        caught(run).unwrap_or_else(|| Err(damaged(path, "its pages make no sense")))
    }

    fn check_format(&self) -> Result<(), LogError> {
        let found = match self.meta(KEY_FORMAT)? {
            None => return self.write_format(),
            Some(bytes) => u32::from_be_bytes(bytes.try_into().map_err(|_| damaged(&self.path, "its format"))?),
        };
        if found > FORMAT {
            return Err(LogError::FutureFormat { path: self.path.clone(), found, known: FORMAT });
        }
        Ok(())
    }

    fn write_format(&self) -> Result<(), LogError> {
        let run = || -> Result<(), Failure> {
            let mut txn = self.database.begin_write().map_err(boxed)?;
            txn.set_durability(Durability::Immediate).map_err(boxed)?;
            {
                txn.open_table(LOG).map_err(boxed)?;
                put(&mut txn.open_table(META).map_err(boxed)?, KEY_FORMAT, &FORMAT.to_be_bytes())?;
            }
            txn.commit().map_err(boxed)
        };
        run().map_err(|e| LogError::Open { path: self.path.clone(), cause: cause(e) })
    }

    fn load(&self) -> Result<Contents, LogError> {
        let position = |key| -> Result<Option<Position>, LogError> {
            let found = self.meta(key)?;
            found.map(|bytes| Position::decode(&bytes).ok_or_else(|| damaged(&self.path, format!("record {key}")))).transpose()
        };
        let text = |key| -> Result<Option<String>, LogError> {
            let found = self.meta(key)?.map(String::from_utf8).transpose();
            found.map_err(|_| damaged(&self.path, format!("record {key}")))
        };
        let purged = position(KEY_PURGED)?;
        Ok(Contents {
            last: self.check_entries(purged)?.or(purged),
            purged,
            committed: position(KEY_COMMITTED)?,
            vote: self.meta(KEY_VOTE)?,
            server_id: text(KEY_SERVER_ID)?,
            cluster_id: text(KEY_CLUSTER_ID)?,
            sealed: position(KEY_SEALED)?,
        })
    }

    /// Reads every entry once: a damaged one must show at the start, not in the middle of an election. The log is short, because
    /// snapshots replace it.
    fn check_entries(&self, purged: Option<Position>) -> Result<Option<Position>, LogError> {
        let mut last: Option<Position> = None;
        let mut expected = purged.map(|p| p.index.saturating_add(1));
        self.scan(0..u64::MAX, |record| {
            let index = record.index();
            if expected.is_some_and(|e| e != index) {
                return Err(damaged(&self.path, format!("entry {} is missing", expected.unwrap_or_default())));
            }
            if last.is_some_and(|l| l.term > record.position.term) {
                return Err(damaged(&self.path, format!("the term of entry {index} is lower than the one before")));
            }
            last = Some(record.position);
            expected = Some(index.saturating_add(1));
            Ok(())
        })?;
        Ok(last)
    }

    /// Writes the batch in one transaction and syncs it. A panic of redb is a failure like any other: nobody may wait for ever.
    pub(crate) fn commit<'a>(&self, writes: impl Iterator<Item = &'a Write>, committed: Option<Position>) -> Result<(), Cause> {
        let run = AssertUnwindSafe(|| self.transact(writes, committed));
        catch_unwind(run).unwrap_or_else(|_| Err(boxed(std::io::Error::other("redb panicked")))).map_err(cause)
    }

    fn transact<'a>(&self, writes: impl Iterator<Item = &'a Write>, committed: Option<Position>) -> Result<(), Failure> {
        let mut txn = self.database.begin_write().map_err(boxed)?;
        txn.set_durability(Durability::Immediate).map_err(boxed)?;
        {
            let mut log = txn.open_table(LOG).map_err(boxed)?;
            let mut meta = txn.open_table(META).map_err(boxed)?;
            for write in writes {
                apply(write, &mut log, &mut meta)?;
            }
            if let Some(position) = committed {
                put(&mut meta, KEY_COMMITTED, &position.encode())?;
            }
        }
        txn.commit().map_err(boxed)
    }

    /// The entries in the range that are there.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Vec<LogRecord>, LogError> {
        let mut records = Vec::new();
        self.scan(range, |record| {
            records.push(record);
            Ok(())
        })?;
        Ok(records)
    }

    fn scan(&self, range: Range<u64>, mut visit: impl FnMut(LogRecord) -> Result<(), LogError>) -> Result<(), LogError> {
        let fail = |e: redb::Error| read_error(&self.path, e);
        let txn = self.database.begin_read().map_err(|e| fail(e.into()))?;
        let table = match txn.open_table(LOG) {
            Err(TableError::TableDoesNotExist(_)) => return Err(damaged(&self.path, "the table of entries is missing")),
            other => other.map_err(|e| fail(e.into()))?,
        };
        for row in table.range(range).map_err(|e| fail(e.into()))? {
            let (key, value) = row.map_err(|e| fail(e.into()))?;
            let index = key.value();
            visit(LogRecord::read(index, value.value()).ok_or_else(|| damaged(&self.path, format!("entry {index}: wrong checksum")))?)?;
        }
        Ok(())
    }

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, LogError> {
        let fail = |e: redb::Error| read_error(&self.path, e);
        let txn = self.database.begin_read().map_err(|e| fail(e.into()))?;
        let table = match txn.open_table(META) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other.map_err(|e| fail(e.into()))?,
        };
        let Some(found) = table.get(key).map_err(|e| fail(e.into()))? else { return Ok(None) };
        let body = frame::open(key.as_bytes(), found.value());
        Ok(Some(body.ok_or_else(|| damaged(&self.path, format!("record {key}: wrong checksum")))?.to_vec()))
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(PAGE_CACHE_BYTES);
    builder
}

fn apply(write: &Write, log: &mut Table<'_, u64, &'static [u8]>, meta: &mut Table<'_, &'static str, &'static [u8]>) -> Result<(), Failure> {
    match write {
        Write::Append(records) => {
            let count = if planted::is_on(Bug::AppendLosesEntry) { records.len().saturating_sub(1) } else { records.len() };
            for record in records.iter().take(count) {
                let mut place = log.insert_reserve(record.index(), record.bytes()).map_err(boxed)?;
                record.write(place.as_mut());
            }
        }
        Write::GoOn(succession) => {
            for record in &succession.records {
                let mut place = log.insert_reserve(record.index(), record.bytes()).map_err(boxed)?;
                record.write(place.as_mut());
            }
            put(meta, KEY_VOTE, &succession.vote)?;
            put(meta, KEY_CLUSTER_ID, succession.cluster_id.as_bytes())?;
            if let Some(last) = succession.records.last() {
                put(meta, KEY_SEALED, &last.position.encode())?;
            }
        }
        Write::Vote(_) if planted::is_on(Bug::VoteNotSynced) => {}
        Write::Vote(vote) => put(meta, KEY_VOTE, vote)?,
        Write::ServerId(id) => put(meta, KEY_SERVER_ID, id.as_bytes())?,
        Write::ClusterId(id) => put(meta, KEY_CLUSTER_ID, id.as_bytes())?,
        Write::Truncate { .. } if planted::is_on(Bug::TruncationNotWritten) => {}
        Write::Truncate { from } => log.retain_in(*from.., |_, _| false).map_err(boxed)?,
        Write::Purge(upto) => {
            log.retain_in(..=upto.index, |_, _| false).map_err(boxed)?;
            put(meta, KEY_PURGED, &upto.encode())?;
        }
    }
    Ok(())
}

fn put(meta: &mut Table<'_, &'static str, &'static [u8]>, key: &str, body: &[u8]) -> Result<(), Failure> {
    meta.insert(key, frame::seal(key.as_bytes(), body).as_slice()).map_err(boxed)?;
    Ok(())
}

fn boxed(e: impl Into<redb::Error>) -> Failure {
    Box::new(e.into())
}

#[allow(clippy::boxed_local, reason = "redb's error is large, so it travels in a box up to here")]
fn cause(e: Failure) -> Cause {
    Arc::new(*e)
}

fn damaged(path: &Path, what: impl Into<String>) -> LogError {
    LogError::Damaged { path: path.to_owned(), what: what.into() }
}

fn open_error(path: &Path, e: DatabaseError) -> LogError {
    match e {
        DatabaseError::DatabaseAlreadyOpen => LogError::InUse { path: path.to_owned() },
        DatabaseError::UpgradeRequired(_) | DatabaseError::RepairAborted => damaged(path, e.to_string()),
        DatabaseError::Storage(redb::StorageError::Corrupted(what)) => damaged(path, what),
        // Redb's word for a file that does not begin as its files do, or ends too early.
        DatabaseError::Storage(redb::StorageError::Io(e))
            if matches!(e.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof) =>
        {
            damaged(path, e.to_string())
        }
        other => LogError::Open { path: path.to_owned(), cause: Arc::new(other) },
    }
}

fn read_error(path: &Path, e: redb::Error) -> LogError {
    match e {
        redb::Error::Corrupted(what) => damaged(path, what),
        redb::Error::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => damaged(path, e.to_string()),
        other => LogError::Read { path: path.to_owned(), cause: Arc::new(other) },
    }
}
