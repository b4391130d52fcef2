//! What a client remembers over a restart: who it is, its allocations, how to find their tasks again, their networks, and what it reported last.
//!
//! Every transaction is atomic and durable when it returns. Everything here blocks on the disk: call it from a blocking thread.
//! Values are MessagePack with field names, so that a later build can add fields.

mod database;
mod error;

pub use error::LocalError;

use crate::DataFolder;
use database::{Rows, Store};
use floe_model::alloc::AllocUpdate;
use floe_model::{AllocId, Allocation, NodeId};
use redb::StorageBackend;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt, path::Path};

const IDENTITY: &str = "identity";
const ALLOCATIONS: &str = "allocations";
const TASK_HANDLES: &str = "task-handles";
const NETWORKS: &str = "networks";
const STATUSES: &str = "statuses";
/// Every table; [`Transaction::remove_allocation`] empties the last four.
const TABLES: [&str; 5] = [IDENTITY, ALLOCATIONS, TASK_HANDLES, NETWORKS, STATUSES];

/// Who the node is. The secret is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// The node's id.
    pub node_id: NodeId,
    /// What the node proves itself with.
    pub secret: String,
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeIdentity").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

/// The client's local database.
#[derive(Debug)]
pub struct LocalState {
    store: Store,
}

impl LocalState {
    /// Opens the database in the data folder, or makes it, and checks every record.
    ///
    /// # Errors
    /// When it cannot be opened, is in use, is damaged, or was written by a newer build.
    pub fn open(folder: &DataFolder) -> Result<Self, LocalError> {
        let path = folder.client()?.join("state.redb");
        Ok(Self { store: Store::open(&path, &TABLES)? })
    }

    /// Opens the database on any disk, such as [`crate::twin::Disk`].
    ///
    /// # Errors
    /// As [`LocalState::open`].
    pub fn open_on(disk: impl StorageBackend) -> Result<Self, LocalError> {
        Ok(Self { store: Store::open_on(disk, Path::new("state.redb"), &TABLES)? })
    }

    /// Runs `change` and makes all of it durable, or, when it or the disk fails, none of it.
    ///
    /// # Errors
    /// What `change` returned, or that the disk failed.
    pub fn transaction<T, E: From<LocalError>>(&self, change: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        self.store.write(|rows| change(&mut Transaction { rows }))
    }

    /// Who the node is; nothing before it was first written.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn identity(&self) -> Result<Option<NodeIdentity>, LocalError> {
        self.store.get(IDENTITY, ("", ""))
    }

    /// Every allocation.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn allocations(&self) -> Result<Vec<Allocation>, LocalError> {
        Ok(self.store.all(ALLOCATIONS)?.into_iter().map(|(_, row)| row).collect())
    }

    /// One allocation.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn allocation(&self, id: &AllocId) -> Result<Option<Allocation>, LocalError> {
        self.store.get(ALLOCATIONS, (id.as_str(), ""))
    }

    /// How to find the tasks of an allocation again, by task name.
    ///
    /// # Errors
    /// When a record cannot be read, or is not an `H`.
    pub fn task_handles<H: DeserializeOwned>(&self, id: &AllocId) -> Result<BTreeMap<String, H>, LocalError> {
        Ok(self.store.of(TASK_HANDLES, id.as_str())?.into_iter().collect())
    }

    /// The network of an allocation.
    ///
    /// # Errors
    /// When the record cannot be read, or is not an `N`.
    pub fn network<N: DeserializeOwned>(&self, id: &AllocId) -> Result<Option<N>, LocalError> {
        self.store.get(NETWORKS, (id.as_str(), ""))
    }

    /// The networks of all allocations.
    ///
    /// # Errors
    /// When a record cannot be read, or is not an `N`.
    pub fn networks<N: DeserializeOwned>(&self) -> Result<BTreeMap<AllocId, N>, LocalError> {
        Ok(self.store.all(NETWORKS)?.into_iter().map(|(id, row)| (id.into(), row)).collect())
    }

    /// What was last reported of each allocation.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn statuses(&self) -> Result<BTreeMap<AllocId, AllocUpdate>, LocalError> {
        Ok(self.store.all(STATUSES)?.into_iter().map(|(id, row)| (id.into(), row)).collect())
    }
}

/// A change that is made as a whole.
pub struct Transaction<'a> {
    rows: &'a mut Rows,
}

impl Transaction<'_> {
    /// Says who the node is.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_identity(&mut self, identity: &NodeIdentity) -> Result<(), LocalError> {
        self.rows.put(IDENTITY, ("", ""), identity)
    }

    /// Keeps an allocation, replacing what was known of it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_allocation(&mut self, allocation: &Allocation) -> Result<(), LocalError> {
        self.rows.put(ALLOCATIONS, (allocation.id.as_str(), ""), allocation)
    }

    /// Forgets an allocation with its task handles, network and status.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_allocation(&mut self, id: &AllocId) -> Result<(), LocalError> {
        [ALLOCATIONS, TASK_HANDLES, NETWORKS, STATUSES].into_iter().try_for_each(|table| self.rows.remove_all(table, id.as_str()))
    }

    /// Keeps how to find a task again.
    ///
    /// # Errors
    /// When the handle cannot be encoded or the disk fails.
    pub fn put_task_handle<H: Serialize>(&mut self, id: &AllocId, task: &str, handle: &H) -> Result<(), LocalError> {
        self.rows.put(TASK_HANDLES, (id.as_str(), task), handle)
    }

    /// Forgets how to find a task.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_task_handle(&mut self, id: &AllocId, task: &str) -> Result<(), LocalError> {
        self.rows.remove(TASK_HANDLES, (id.as_str(), task))
    }

    /// Keeps an allocation's network.
    ///
    /// # Errors
    /// When the network cannot be encoded or the disk fails.
    pub fn put_network<N: Serialize>(&mut self, id: &AllocId, network: &N) -> Result<(), LocalError> {
        self.rows.put(NETWORKS, (id.as_str(), ""), network)
    }

    /// Forgets an allocation's network.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_network(&mut self, id: &AllocId) -> Result<(), LocalError> {
        self.rows.remove(NETWORKS, (id.as_str(), ""))
    }

    /// Keeps what is reported of an allocation.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_status(&mut self, status: &AllocUpdate) -> Result<(), LocalError> {
        self.rows.put(STATUSES, (status.id.as_str(), ""), status)
    }
}
