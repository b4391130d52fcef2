//! The snapshot agent: while this server leads it keeps a backup of the cluster each interval. There is one for each place that backups are kept
//! in: one that fails or is slow does not hold up the others.
//!
//! When the last one was made is what the place says, so a restart or another leader (where they share it) goes on from there.

use super::{
    SaveError, save,
    target::{Own, Target, TargetError},
};
use crate::Server;
use bytes::Bytes;
use floe_control::snapshots::{Kept, Schedule};
use floe_model::{Nanos, Timestamp};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long to wait at most before the place is looked at again: somebody may have tidied it up.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How long to wait after a failure, unless the interval is shorter.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Where and when backups are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// Where; at most one of each kind.
    pub targets: Vec<Target>,
    /// When, and how many.
    pub schedule: Schedule,
}

/// What became of the backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotStatus {
    /// When the newest one was made; only the server that leads knows.
    pub(crate) last: Option<Timestamp>,
    /// How large the newest one that this server made is; zero before the first.
    pub(crate) bytes: u64,
    /// How many are kept.
    pub(crate) kept: usize,
    /// How many this server made.
    pub(crate) made: u64,
    /// How often this server failed to make one.
    pub(crate) failures: u64,
}

/// What became of the backups of one place. Where metrics find it; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LatestSnapshots {
    label: &'static str,
    status: Arc<Mutex<SnapshotStatus>>,
}

impl LatestSnapshots {
    /// Of the place with this name.
    pub(crate) fn of(label: &'static str) -> Self {
        Self { label, status: Arc::default() }
    }

    /// The name of the place, and what is known.
    pub(crate) fn get(&self) -> (&'static str, SnapshotStatus) {
        (self.label, *self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn edit(&self, change: impl FnOnce(&mut SnapshotStatus)) {
        // Each change is whole, also when a panic left the lock.
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn note(&self, kept: &[Kept]) {
        self.edit(|s| (s.last, s.kept) = (kept.last().map(|k| k.created), kept.len()));
    }
}

/// A backup that was not made.
#[derive(Debug, thiserror::Error)]
enum AgentError {
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(transparent)]
    Keep(#[from] TargetError),
}

/// Runs until the server stops. What is under way then is left: what it wrote by half is taken away by the next one.
pub(crate) async fn run(server: Server, target: Target, schedule: Schedule, status: LatestSnapshots) {
    let stop = server.stopping().clone();
    stop.run_until_cancelled(keep_on(&server, &target, &schedule, &status)).await;
}

async fn keep_on(server: &Server, target: &Target, schedule: &Schedule, status: &LatestSnapshots) {
    let mut leadership = server.consensus().leadership();
    loop {
        let leads = leadership.borrow_and_update().is_leader;
        let rest = if leads { step(server, target, schedule, status).await } else { Duration::MAX };
        if !leads {
            status.edit(|s| s.last = None);
        }
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(rest.min(LOOK_AGAIN)), if leads => {}
        }
    }
}

/// Makes a backup if one is due; returns how long to rest.
async fn step(server: &Server, target: &Target, schedule: &Schedule, status: &LatestSnapshots) -> Duration {
    match try_step(server, target, schedule, status).await {
        Ok(rest) => rest,
        Err(error) => {
            status.edit(|s| s.failures += 1);
            let causes = std::iter::successors(std::error::Error::source(&error), |e| e.source()).map(|e| format!(": {e}"));
            tracing::warn!(%target, error = format!("{error}{}", causes.collect::<String>()), "no snapshot was kept");
            AFTER_FAILURE.min(schedule.interval.to_std())
        }
    }
}

async fn try_step(server: &Server, target: &Target, schedule: &Schedule, status: &LatestSnapshots) -> Result<Duration, AgentError> {
    let cluster = server.consensus().cluster().ok_or(SaveError::NoCluster)?.to_string();
    let own = Own { schedule: schedule.clone(), cluster };
    let kept = target.list(&own).await?;
    status.note(&kept);
    let moment = server.now();
    let due = schedule.due(&kept, moment);
    if due > moment {
        return Ok(due.since(moment).to_std());
    }
    let backup = save(server, false).await?;
    let name = schedule.name(&own.cluster, moment, backup.index);
    let size = backup.bytes.len() as u64;
    target.keep(&name, Bytes::from(backup.bytes)).await?;
    status.edit(|s| (s.made, s.bytes) = (s.made + 1, size));
    let kept = target.tidy(&own, moment).await?;
    status.note(&kept);
    tracing::info!(%target, bytes = size, kept = kept.len(), "a snapshot was kept");
    let rest = schedule.due(&kept, server.now()).since(server.now());
    Ok(rest.max(Nanos::ZERO).to_std())
}
