//! openraft's own tests of a log and a state machine, over ours.

use crate::{
    ServerId,
    log::Log,
    machine::{Machine, Restored},
    publish,
    raft_types::TypeConfig,
    stop::StopCell,
};
use floe_store::{
    LogStore, SnapshotStore,
    twin::{Disk, Fault, Folder},
};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use std::sync::Arc;

/// The suite names its servers by number.
impl From<u64> for ServerId {
    fn from(number: u64) -> Self {
        Self::from(format!("server-{number}"))
    }
}

/// In memory: the suite asks what is stored, not whether it survives.
struct InMemory;

impl StoreBuilder<TypeConfig, Log, Machine> for InMemory {
    async fn build(&self) -> Result<((), Log, Machine), StorageError<TypeConfig>> {
        let stop = StopCell::new();
        let log = Log::new(LogStore::open_on(Disk::new(Fault::None), 0).unwrap(), stop.clone());
        let snapshots = SnapshotStore::open_in(Arc::new(Folder::new(Fault::None))).unwrap();
        let restored = Restored::load(&snapshots).unwrap();
        let (publisher, _) = publish::channel(restored.state().clone());
        Ok(((), log, Machine::new(restored, snapshots, publisher, stop, crate::check::Check::new("one".to_owned().into(), 1000))))
    }
}

/// The suite sleeps for seconds to let storages settle that work in the background; the clock jumps over that.
#[tokio::test(start_paused = true)]
async fn our_storage_passes_openrafts_own_tests() {
    Suite::test_all(InMemory).await.unwrap();
}
