//! openraft's own tests of a log and a state machine, over ours.

use crate::{
    ServerId,
    log::Log,
    machine::{Machine, Restored},
    publish,
    raft_types::TypeConfig,
    stop::StopCell,
};
use floe_store::{DataFolder, LogStore, SnapshotStore};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};

/// The suite names its servers by number.
impl From<u64> for ServerId {
    fn from(number: u64) -> Self {
        Self::from(format!("server-{number}"))
    }
}

struct OnDisk;

impl StoreBuilder<TypeConfig, Log, Machine, (tempfile::TempDir, DataFolder)> for OnDisk {
    async fn build(&self) -> Result<((tempfile::TempDir, DataFolder), Log, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path()).unwrap();
        let stop = StopCell::new();
        let log = Log::new(LogStore::open(&folder).unwrap(), stop.clone());
        let snapshots = SnapshotStore::open(&folder).unwrap();
        let restored = Restored::load(&snapshots).unwrap();
        let (publisher, _) = publish::channel(restored.state().clone());
        Ok(((dir, folder), log, Machine::new(restored, snapshots, publisher, stop)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_storage_passes_openrafts_own_tests() {
    Suite::test_all(OnDisk).await.unwrap();
}
