//! The local database behind a thread of its own: changes that arrive while one transaction is on its way to the disk go into the next.

use floe_model::{AllocId, Allocation};
use floe_network::Attachment;
use floe_runtime::TaskHandle;
use floe_state::command::AllocUpdate;
use floe_store::{LocalError, LocalState};
use std::sync::Arc;
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

/// The way to the database.
#[derive(Clone)]
pub(crate) struct Db {
    writes: mpsc::Sender<Write>,
}

impl Db {
    /// Starts the thread. It ends when the last clone is dropped.
    pub(crate) fn start(state: LocalState) -> std::io::Result<Db> {
        let (writes, inbox) = mpsc::channel(WAITING);
        std::thread::Builder::new().name("client-state".to_owned()).spawn(move || run(&state, inbox))?;
        Ok(Db { writes })
    }

    /// Writes changes, all of them or none; durable when it returns.
    pub(crate) async fn write(&self, changes: Vec<Change>) -> Result<(), DbError> {
        let closed = || DbError("the client's state is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        self.writes.send((changes, reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Writes changes whose loss in a crash does no harm: the shims and the servers know the same.
    pub(crate) fn write_soon(&self, changes: Vec<Change>) {
        let db = self.clone();
        tokio::spawn(async move {
            if let Err(error) = db.write(changes).await {
                tracing::error!(%error, "the client's state was not written");
            }
        });
    }
}

fn run(state: &LocalState, mut inbox: mpsc::Receiver<Write>) {
    while let Some(first) = inbox.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = inbox.try_recv()
        {
            batch.push(next);
        }
        let result = apply(state, &batch).map_err(|e| DbError(words(&e)));
        for (_, reply) in batch {
            // Nobody may be waiting any more.
            let _ = reply.send(result.clone());
        }
    }
}

fn apply(state: &LocalState, batch: &[Write]) -> Result<(), LocalError> {
    state.transaction(|t| {
        for change in batch.iter().flat_map(|(changes, _)| changes) {
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
