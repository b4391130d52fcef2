//! The reporter: tells the servers what became of allocations, the newest word of each, again and again until they took it.

use crate::link::Link;
use floe_api::rpc::MAX_REPORTED;
use floe_model::{AllocId, alloc::AllocUpdate};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The wait after a report that no server took.
const RETRY: Duration = Duration::from_secs(1);

/// Where runners leave their statuses.
#[derive(Clone, Default)]
pub(crate) struct Reporter {
    pending: Arc<Mutex<BTreeMap<AllocId, AllocUpdate>>>,
    wake: Arc<Notify>,
}

impl Reporter {
    /// Leaves a status; it replaces an older one of the same allocation that was not sent yet.
    pub(crate) fn report(&self, report: AllocUpdate) {
        self.lock().insert(report.id.clone(), report);
        self.wake.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<AllocId, AllocUpdate>> {
        // A panic while the lock was held cannot leave the map half changed: each use is one call.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<AllocUpdate> {
        let mut pending = self.lock();
        let ids: Vec<AllocId> = pending.keys().take(MAX_REPORTED).cloned().collect();
        ids.iter().filter_map(|id| pending.remove(id)).collect()
    }

    /// What was not sent waits again, unless there is something newer.
    fn put_back(&self, reports: Vec<AllocUpdate>) {
        let mut pending = self.lock();
        for report in reports {
            pending.entry(report.id.clone()).or_insert(report);
        }
    }

    /// True when nothing waits to be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().is_empty()
    }

    /// Sends until it is stopped.
    pub(crate) async fn run(self, link: Link, stop: CancellationToken) {
        while stop.run_until_cancelled(self.wake.notified()).await.is_some() {
            loop {
                let reports = self.take();
                if reports.is_empty() {
                    break;
                }
                if let Err(error) = link.report(&reports).await {
                    tracing::warn!(%error, "the servers did not take a report");
                    self.put_back(reports);
                    if stop.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }
}
