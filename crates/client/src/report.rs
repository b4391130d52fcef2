//! The reporter: tells the servers what became of allocations, the newest word of each, again and again until they took it. And once more when they
//! may have forgotten: a restored backup knows less than they did.

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
    /// The newest word of each allocation that the node has.
    said: Arc<Mutex<BTreeMap<AllocId, AllocUpdate>>>,
    wake: Arc<Notify>,
}

impl Reporter {
    /// Leaves a status; it replaces an older one of the same allocation that was not sent yet.
    pub(crate) fn report(&self, report: AllocUpdate) {
        lock(&self.said).insert(report.id.clone(), report.clone());
        self.say(report);
    }

    /// As [`Reporter::report`], of something that the node does not have: it is said once.
    pub(crate) fn say(&self, report: AllocUpdate) {
        lock(&self.pending).insert(report.id.clone(), report);
        self.wake.notify_one();
    }

    /// Says all again.
    pub(crate) fn say_again(&self) {
        let said: Vec<AllocUpdate> = lock(&self.said).values().cloned().collect();
        self.put_back(said);
        self.wake.notify_one();
    }

    /// The node does not have it any more.
    pub(crate) fn forget(&self, id: &AllocId) {
        lock(&self.said).remove(id);
    }

    fn take(&self) -> Vec<AllocUpdate> {
        let mut pending = lock(&self.pending);
        let ids: Vec<AllocId> = pending.keys().take(MAX_REPORTED).cloned().collect();
        ids.iter().filter_map(|id| pending.remove(id)).collect()
    }

    /// What was not sent waits again, unless there is something newer.
    fn put_back(&self, reports: Vec<AllocUpdate>) {
        let mut pending = lock(&self.pending);
        for report in reports {
            pending.entry(report.id.clone()).or_insert(report);
        }
    }

    /// True when nothing waits to be sent.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.pending).is_empty()
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

fn lock<T>(map: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic while the lock was held cannot leave the map half changed: each use is one call.
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_model::AllocClientStatus;

    fn report(id: &str, client_status: AllocClientStatus) -> AllocUpdate {
        AllocUpdate { id: id.into(), client_status, ..AllocUpdate::default() }
    }

    #[test]
    fn the_newest_word_of_what_the_node_has_can_be_said_again() {
        let reporter = Reporter::default();
        reporter.report(report("a", AllocClientStatus::Pending));
        reporter.report(report("a", AllocClientStatus::Running));
        reporter.report(report("b", AllocClientStatus::Complete));
        reporter.say(report("never-had", AllocClientStatus::Complete));
        assert_eq!(reporter.take().len(), 3);
        assert!(reporter.is_idle());
        reporter.report(report("b", AllocClientStatus::Failed));
        reporter.forget(&"c".into());
        reporter.say_again();
        assert_eq!(reporter.take(), [report("a", AllocClientStatus::Running), report("b", AllocClientStatus::Failed)]);
        reporter.forget(&"a".into());
        reporter.say_again();
        assert_eq!(reporter.take(), [report("b", AllocClientStatus::Failed)]);
    }
}
