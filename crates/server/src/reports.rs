//! Nodes' reports: all that arrive while an entry is on its way go into the next one, so that a thousand nodes cost one write a tick.

use floe_api::rpc::Report;
use floe_consensus::{Consensus, executor};
use floe_state::{Command, command::AllocUpdate};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How many reports may wait; at the bound a node's request waits for its turn.
const WAITING: usize = 1_024;
/// How many allocations one entry speaks of at most.
const MAX_UPDATES: usize = 4_096;

type Reply = oneshot::Sender<Result<u64, ReportError>>;

/// A report that did not get into the log, in words; the node sends it again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReportError(String);

/// Hands reports to the task that writes them.
#[derive(Clone)]
pub(crate) struct Reports {
    queue: mpsc::Sender<(Report, Reply)>,
}

impl Reports {
    /// Writes a report; returns the index at which it stands.
    pub(crate) async fn write(&self, report: Report) -> Result<u64, ReportError> {
        let stopping = || ReportError("this server is stopping; ask another one".to_owned());
        let (reply, answer) = oneshot::channel();
        self.queue.send((report, reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

pub(crate) fn start(consensus: Consensus, stop: &CancellationToken, tasks: &TaskTracker) -> Reports {
    let (queue, mut inbox) = mpsc::channel(WAITING);
    let stop = stop.clone();
    let write = async move {
        while let Some(Some(first)) = stop.run_until_cancelled(inbox.recv()).await {
            write_batch(&consensus, first, &mut inbox).await;
        }
    };
    drop(executor::spawn(tasks.track_future(write)));
    Reports { queue }
}

async fn write_batch(consensus: &Consensus, first: (Report, Reply), inbox: &mut mpsc::Receiver<(Report, Reply)>) {
    let mut updates = Vec::new();
    let mut replies = Vec::new();
    let mut next = Some(first);
    while let Some((report, reply)) = next {
        let node_id = report.node_id;
        // A node speaks for itself only.
        updates.extend(report.allocs.into_iter().map(|a| AllocUpdate { node_id: node_id.clone(), ..a }));
        replies.push(reply);
        next = if updates.len() < MAX_UPDATES { inbox.try_recv().ok() } else { None };
    }
    let result = match consensus.propose(Command::UpdateAllocs { updates }).await {
        Ok(proposed) => Ok(proposed.index),
        Err(e) => Err(ReportError(e.to_string())),
    };
    for reply in replies {
        // A node that went away has nothing to hear.
        let _ = reply.send(result.clone());
    }
}
