//! The local database behind a thread of its own: changes that arrive while one transaction is on its way to the disk go into the next.

use floe_model::alloc::AllocUpdate;
use floe_model::{AllocId, Allocation};
use floe_network::Attachment;
use floe_runtime::TaskHandle;
use floe_store::{LocalError, LocalState};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{mpsc, oneshot};

/// How many writes may wait; at the bound callers wait for their turn.
const WAITING: usize = 1_024;
/// How many writes one transaction takes.
const BATCH: usize = 256;

/// A change.
#[derive(Debug)]
pub(crate) enum Change {
    Allocation(Arc<Allocation>),
    Network(AllocId, Attachment),
    NoNetwork(AllocId),
    Handle(AllocId, String, TaskHandle),
    Status(AllocUpdate),
    Forget(AllocId),
}

/// Why nothing was written, in words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DbError(String);

type Write = (Vec<Change>, oneshot::Sender<Result<(), DbError>>);

/// Changes that nobody waits for, in their order. Of one allocation only the newest status is kept, and there are as few others as starts
/// of tasks, so this stays small however long the disk takes.
#[derive(Debug, Default)]
struct Soon {
    changes: Vec<Change>,
    statuses: BTreeMap<AllocId, AllocUpdate>,
}

impl Soon {
    fn add(&mut self, change: Change) {
        match change {
            Change::Status(status) => drop(self.statuses.insert(status.id.clone(), status)),
            other => self.changes.push(other),
        }
    }

    fn take(&mut self) -> Vec<Change> {
        let statuses = std::mem::take(&mut self.statuses).into_values().map(Change::Status);
        let mut changes = std::mem::take(&mut self.changes);
        changes.extend(statuses);
        changes
    }
}

/// The way to the database.
#[derive(Clone)]
pub(crate) struct Db {
    writes: mpsc::Sender<Write>,
    soon: Arc<Mutex<Soon>>,
}

impl Db {
    /// Starts the thread. It ends when the last clone is dropped.
    pub(crate) fn start(state: LocalState) -> std::io::Result<Db> {
        let (writes, inbox) = mpsc::channel(WAITING);
        let soon = Arc::new(Mutex::new(Soon::default()));
        let waiting = soon.clone();
        std::thread::Builder::new().name("client-state".to_owned()).spawn(move || run(&state, inbox, &waiting))?;
        Ok(Db { writes, soon })
    }

    /// Writes changes, all of them or none; durable when it returns.
    pub(crate) async fn write(&self, changes: Vec<Change>) -> Result<(), DbError> {
        let closed = || DbError("the client's state is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        self.writes.send((changes, reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Returns when what was left for [`Db::write_soon`] before is durable.
    pub(crate) async fn flush(&self) -> Result<(), DbError> {
        self.write(Vec::new()).await
    }

    /// Writes changes whose loss in a crash does no harm: the shims and the servers know the same. They are written in the order of the
    /// calls, and before what is written later.
    pub(crate) fn write_soon(&self, changes: Vec<Change>) {
        {
            let mut soon = lock(&self.soon);
            changes.into_iter().for_each(|c| soon.add(c));
        }
        // Without room in the channel a batch is due anyway, and takes them along.
        let (reply, _) = oneshot::channel();
        let _ = self.writes.try_send((Vec::new(), reply));
    }
}

fn lock(soon: &Mutex<Soon>) -> MutexGuard<'_, Soon> {
    // A panic while the lock was held cannot leave it half changed: each use is one move.
    soon.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(state: &LocalState, mut inbox: mpsc::Receiver<Write>, soon: &Mutex<Soon>) {
    while let Some(first) = inbox.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = inbox.try_recv()
        {
            batch.push(next);
        }
        let soon = lock(soon).take();
        let changes: Vec<&Change> = soon.iter().chain(batch.iter().flat_map(|(changes, _)| changes)).collect();
        let nothing = changes.is_empty();
        let result = if nothing { Ok(()) } else { apply(state, &changes).map_err(|e| DbError(words(&e))) };
        if let Err(error) = &result {
            tracing::error!(%error, "the client's state was not written");
        }
        for (_, reply) in batch {
            // Nobody may be waiting any more.
            let _ = reply.send(result.clone());
        }
    }
}

fn apply(state: &LocalState, changes: &[&Change]) -> Result<(), LocalError> {
    state.transaction(|t| {
        for change in changes.iter().copied() {
            match change {
                Change::Allocation(alloc) => t.put_allocation(alloc)?,
                Change::Network(id, attachment) => t.put_network(id, attachment)?,
                Change::NoNetwork(id) => t.remove_network(id)?,
                Change::Handle(id, task, handle) => t.put_task_handle(id, task, handle)?,
                Change::Status(status) => t.put_status(status)?,
                Change::Forget(id) => t.remove_allocation(id)?,
            }
        }
        Ok(())
    })
}

/// An error with its causes, in one line.
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let next = e.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::AllocClientStatus;

    fn status(id: &str, client_status: AllocClientStatus) -> Change {
        Change::Status(AllocUpdate { id: id.into(), client_status, ..AllocUpdate::default() })
    }

    #[test]
    fn the_newest_status_is_the_one_that_is_written() {
        let mut soon = Soon::default();
        soon.add(status("a", AllocClientStatus::Running));
        soon.add(Change::NoNetwork("a".into()));
        soon.add(status("b", AllocClientStatus::Running));
        soon.add(status("a", AllocClientStatus::Complete));
        let taken: Vec<String> = soon.take().iter().map(|c| format!("{c:?}")).collect();
        assert_eq!(taken.len(), 3, "{taken:?}");
        assert!(taken.iter().any(|c| c.contains("Complete")) && taken.iter().filter(|c| c.contains("Running")).count() == 1, "{taken:?}");
        assert!(soon.take().is_empty());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_written_before_what_comes_later() {
        let dir = tempfile::tempdir().unwrap();
        let folder = floe_store::DataFolder::open(dir.path()).unwrap();
        let db = Db::start(LocalState::open(&folder).unwrap()).unwrap();
        for round in 0..2_000 {
            let end = if round == 1_999 { AllocClientStatus::Complete } else { AllocClientStatus::Running };
            db.write_soon(vec![status("a", end)]);
        }
        db.write(vec![Change::Forget("b".into())]).await.unwrap();
        drop(db);
        let found = loop {
            // The thread closes the database when the last way to it is gone.
            if let Ok(state) = LocalState::open(&folder) {
                break state.statuses().unwrap();
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(found.get(&AllocId::from("a")).map(|s| s.client_status), Some(AllocClientStatus::Complete));
    }
}
