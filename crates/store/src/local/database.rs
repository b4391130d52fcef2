//! Tables of serde values in one redb file. A row's key is a pair; every row carries a checksum.

use super::LocalError;
use crate::{PAGE_CACHE_BYTES, folder::sync_directory, frame, panics::caught};
use redb::{Builder, Database, DatabaseError, Durability, ReadableDatabase, StorageBackend, TableDefinition, TableError, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The version of the form of the file. Raised when an older build could not read what we write.
const FORMAT: u32 = 1;
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const KEY_FORMAT: &str = "format";

type Key<'a> = (&'a str, &'a str);
type Definition<'a> = TableDefinition<'a, (&'static str, &'static str), &'static [u8]>;

fn table(name: &str) -> Definition<'_> {
    TableDefinition::new(name)
}

/// What the checksum of a row includes of its place.
fn frame_key(table: &str, (first, second): Key<'_>) -> Vec<u8> {
    [table, first, second].join("\0").into_bytes()
}

#[derive(Debug)]
pub(super) struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    pub(super) fn open(path: &Path, tables: &[&'static str]) -> Result<Self, LocalError> {
        let io = |e: io::Error| LocalError::Open { path: path.to_owned(), cause: Arc::new(e) };
        if !path.try_exists().map_err(io)? {
            // It gets its name when it is whole, so that a file without a header is always damage.
            let fresh = path.with_extension("redb.new");
            match std::fs::remove_file(&fresh) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
                _ => {}
            }
            drop(Self::guarded(path, tables, || builder().create(&fresh))?);
            std::fs::rename(&fresh, path).map_err(io)?;
            path.parent().map_or(Ok(()), sync_directory).map_err(io)?;
        }
        Self::guarded(path, tables, || builder().open(path))
    }

    pub(super) fn open_on(disk: impl StorageBackend, path: &Path, tables: &[&'static str]) -> Result<Self, LocalError> {
        Self::guarded(path, tables, || builder().create_with_backend(disk))
    }

    /// Opens and checks everything. Should redb panic over damaged pages, that is damage too and not the end of the process.
    fn guarded(path: &Path, tables: &[&'static str], open: impl FnOnce() -> Result<Database, DatabaseError>) -> Result<Self, LocalError> {
        let run = || {
            let store = Self { database: open().map_err(|e| open_error(path, e))?, path: path.to_owned() };
            store.check_format(tables)?;
            for name in tables {
                store.scan(name, None, |_, _| Ok(()))?;
            }
            Ok(store)
        };
        caught(run).unwrap_or_else(|| Err(damaged(path, "its pages make no sense")))
    }

    fn check_format(&self, tables: &[&'static str]) -> Result<(), LocalError> {
        let txn = self.database.begin_read().map_err(|e| self.failed(e))?;
        let meta = match txn.open_table(META) {
            Err(TableError::TableDoesNotExist(_)) => return self.write_format(tables),
            other => other.map_err(|e| self.failed(e))?,
        };
        let found = meta.get(KEY_FORMAT).map_err(|e| self.failed(e))?;
        let body = found.as_ref().and_then(|record| frame::open(KEY_FORMAT.as_bytes(), record.value()));
        let format = body.and_then(|b| b.try_into().ok()).map(u32::from_be_bytes).ok_or_else(|| damaged(&self.path, "its format"))?;
        if format > FORMAT {
            return Err(LocalError::FutureFormat { path: self.path.clone(), found: format, known: FORMAT });
        }
        Ok(())
    }

    fn write_format(&self, tables: &[&'static str]) -> Result<(), LocalError> {
        let mut txn = self.database.begin_write().map_err(|e| self.failed(e))?;
        txn.set_durability(Durability::Immediate).map_err(|e| self.failed(e))?;
        for name in tables {
            txn.open_table(table(name)).map_err(|e| self.failed(e))?;
        }
        let record = frame::seal(KEY_FORMAT.as_bytes(), &FORMAT.to_be_bytes());
        txn.open_table(META).map_err(|e| self.failed(e))?.insert(KEY_FORMAT, record.as_slice()).map_err(|e| self.failed(e))?;
        txn.commit().map_err(|e| self.failed(e))
    }

    /// Runs `change` in one durable transaction. When it fails, the transaction is dropped and nothing of it remains.
    pub(super) fn write<T, E: From<LocalError>>(&self, change: impl FnOnce(&mut Rows) -> Result<T, E>) -> Result<T, E> {
        let mut txn = self.database.begin_write().map_err(|e| self.failed(e))?;
        txn.set_durability(Durability::Immediate).map_err(|e| self.failed(e))?;
        let mut rows = Rows { txn, path: self.path.clone() };
        let made = change(&mut rows)?;
        rows.txn.commit().map_err(|e| self.failed(e))?;
        Ok(made)
    }

    pub(super) fn get<V: DeserializeOwned>(&self, name: &'static str, key: Key<'_>) -> Result<Option<V>, LocalError> {
        let txn = self.database.begin_read().map_err(|e| self.failed(e))?;
        let rows = txn.open_table(table(name)).map_err(|e| self.failed(e))?;
        let found = rows.get(key).map_err(|e| self.failed(e))?;
        found.map(|record| self.decode(name, key, self.checked(name, key, record.value())?)).transpose()
    }

    /// Every row, with the first part of its key.
    pub(super) fn all<V: DeserializeOwned>(&self, name: &'static str) -> Result<Vec<(String, V)>, LocalError> {
        let mut rows = Vec::new();
        self.scan(name, None, |key, body| {
            rows.push((key.0.to_owned(), self.decode(name, key, body)?));
            Ok(())
        })?;
        Ok(rows)
    }

    /// Every row whose key begins with `first`, with the second part of its key.
    pub(super) fn of<V: DeserializeOwned>(&self, name: &'static str, first: &str) -> Result<Vec<(String, V)>, LocalError> {
        let mut rows = Vec::new();
        self.scan(name, Some(first), |key, body| {
            rows.push((key.1.to_owned(), self.decode(name, key, body)?));
            Ok(())
        })?;
        Ok(rows)
    }

    fn scan(
        &self,
        name: &'static str,
        first: Option<&str>,
        mut visit: impl FnMut(Key<'_>, &[u8]) -> Result<(), LocalError>,
    ) -> Result<(), LocalError> {
        let txn = self.database.begin_read().map_err(|e| self.failed(e))?;
        let rows = txn.open_table(table(name)).map_err(|e| self.failed(e))?;
        for row in rows.range((first.unwrap_or(""), "")..).map_err(|e| self.failed(e))? {
            let (key, record) = row.map_err(|e| self.failed(e))?;
            if first.is_some_and(|f| f != key.value().0) {
                break;
            }
            visit(key.value(), self.checked(name, key.value(), record.value())?)?;
        }
        Ok(())
    }

    fn checked<'r>(&self, name: &str, key: Key<'_>, record: &'r [u8]) -> Result<&'r [u8], LocalError> {
        let what = || format!("record {}/{} in table {name}: wrong checksum", key.0, key.1);
        frame::open(&frame_key(name, key), record).ok_or_else(|| damaged(&self.path, what()))
    }

    fn decode<V: DeserializeOwned>(&self, table: &'static str, key: Key<'_>, body: &[u8]) -> Result<V, LocalError> {
        rmp_serde::from_slice(body).map_err(|cause| LocalError::Decode { table, key: format!("{}/{}", key.0, key.1), cause })
    }

    fn failed(&self, e: impl Into<redb::Error>) -> LocalError {
        disk_error(&self.path, e.into())
    }
}

/// The rows within a transaction.
pub(super) struct Rows {
    txn: WriteTransaction,
    path: PathBuf,
}

impl Rows {
    pub(super) fn put<V: Serialize>(&mut self, name: &'static str, key: Key<'_>, value: &V) -> Result<(), LocalError> {
        let body = rmp_serde::to_vec_named(value).map_err(|cause| LocalError::Encode { table: name, cause })?;
        let record = frame::seal(&frame_key(name, key), &body);
        let mut rows = self.txn.open_table(table(name)).map_err(|e| disk_error(&self.path, e.into()))?;
        rows.insert(key, record.as_slice()).map_err(|e| disk_error(&self.path, e.into()))?;
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &'static str, key: Key<'_>) -> Result<(), LocalError> {
        let mut rows = self.txn.open_table(table(name)).map_err(|e| disk_error(&self.path, e.into()))?;
        rows.remove(key).map_err(|e| disk_error(&self.path, e.into()))?;
        Ok(())
    }

    /// Removes every row whose key begins with `first`.
    pub(super) fn remove_all(&mut self, name: &'static str, first: &str) -> Result<(), LocalError> {
        let mut rows = self.txn.open_table(table(name)).map_err(|e| disk_error(&self.path, e.into()))?;
        // The next string after `first` is the first one that does not belong to it.
        let end = format!("{first}\0");
        rows.retain_in((first, "")..(end.as_str(), ""), |_, _| false).map_err(|e| disk_error(&self.path, e.into()))
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(PAGE_CACHE_BYTES);
    builder
}

fn damaged(path: &Path, what: impl Into<String>) -> LocalError {
    LocalError::Damaged { path: path.to_owned(), what: what.into() }
}

fn open_error(path: &Path, e: DatabaseError) -> LocalError {
    match e {
        DatabaseError::DatabaseAlreadyOpen => LocalError::InUse { path: path.to_owned() },
        DatabaseError::UpgradeRequired(_) | DatabaseError::RepairAborted => damaged(path, e.to_string()),
        DatabaseError::Storage(redb::StorageError::Corrupted(what)) => damaged(path, what),
        // Redb's word for a file that does not begin as its files do, or ends too early.
        DatabaseError::Storage(redb::StorageError::Io(e))
            if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            damaged(path, e.to_string())
        }
        other => LocalError::Open { path: path.to_owned(), cause: Arc::new(other) },
    }
}

fn disk_error(path: &Path, e: redb::Error) -> LocalError {
    match e {
        redb::Error::Corrupted(what) => damaged(path, what),
        redb::Error::TableDoesNotExist(name) => damaged(path, format!("table {name} is missing")),
        redb::Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => damaged(path, e.to_string()),
        other => LocalError::Disk { path: path.to_owned(), cause: Arc::new(other) },
    }
}
