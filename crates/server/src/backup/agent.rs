//! The snapshot agent: while this server leads it keeps a backup of the cluster in a folder, each interval.
//!
//! When the last one was made is what the folder says, so a restart or another leader (where they share the folder) goes on from there.

use super::{SaveError, folder, save};
use crate::{Server, leader::now};
use floe_control::snapshots::{Kept, Schedule};
use floe_model::{Nanos, Timestamp};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long to wait at most before the folder is looked at again: somebody may have tidied it up.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How long to wait after a failure, unless the interval is shorter.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Where and when backups are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// The folder. It is made, for its owner alone, when it is not there.
    pub folder: PathBuf,
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

/// Where metrics find it.
pub(crate) type LatestSnapshots = Arc<Mutex<SnapshotStatus>>;

/// A backup that was not made.
#[derive(Debug, thiserror::Error)]
enum AgentError {
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(transparent)]
    Keep(#[from] folder::KeepError),
}

/// Runs until the server stops.
pub(crate) async fn run(server: Server, config: SnapshotConfig, status: LatestSnapshots) {
    let mut leadership = server.consensus().leadership();
    let stop = server.stopping().clone();
    loop {
        let leads = leadership.borrow_and_update().is_leader;
        let rest = if leads { step(&server, &config, &status).await } else { Duration::MAX };
        if !leads {
            edit(&status, |s| s.last = None);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = leadership.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(rest.min(LOOK_AGAIN)), if leads => {}
        }
    }
}

/// Makes a backup if one is due; returns how long to rest.
async fn step(server: &Server, config: &SnapshotConfig, status: &LatestSnapshots) -> Duration {
    match try_step(server, config, status).await {
        Ok(rest) => rest,
        Err(error) => {
            edit(status, |s| s.failures += 1);
            let causes = std::iter::successors(std::error::Error::source(&error), |e| e.source()).map(|e| format!(": {e}"));
            tracing::warn!(folder = %config.folder.display(), error = format!("{error}{}", causes.collect::<String>()), "no snapshot was kept");
            AFTER_FAILURE.min(config.schedule.interval.to_std())
        }
    }
}

async fn try_step(server: &Server, config: &SnapshotConfig, status: &LatestSnapshots) -> Result<Duration, AgentError> {
    let cluster = server.consensus().cluster().ok_or(SaveError::NoCluster)?.to_string();
    let (own, id) = (config.clone(), cluster.clone());
    let kept = aside(move || folder::list(&own.folder, &own.schedule, &id)).await?;
    note(status, &kept);
    let moment = now();
    let due = config.schedule.due(&kept, moment);
    if due > moment {
        return Ok(due.since(moment).to_std());
    }
    let backup = save(server, false).await?;
    let name = config.schedule.name(&cluster, moment, backup.index);
    let (own, size) = (config.clone(), backup.bytes.len() as u64);
    let kept = aside(move || {
        folder::keep(&own.folder, &name, &backup.bytes)?;
        folder::tidy(&own.folder, &own.schedule, &cluster, moment)
    })
    .await?;
    note(status, &kept);
    edit(status, |s| (s.made, s.bytes) = (s.made + 1, size));
    tracing::info!(folder = %config.folder.display(), bytes = size, kept = kept.len(), "a snapshot was kept");
    let rest = config.schedule.due(&kept, now()).since(now());
    Ok(rest.max(Nanos::ZERO).to_std())
}

/// Works on files on a thread of its own.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, folder::KeepError> + Send + 'static) -> Result<T, AgentError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| SaveError::Stopping)??)
}

fn note(status: &LatestSnapshots, kept: &[Kept]) {
    edit(status, |s| (s.last, s.kept) = (kept.last().map(|k| k.created), kept.len()));
}

fn edit(status: &LatestSnapshots, change: impl FnOnce(&mut SnapshotStatus)) {
    // Each change is whole, also when a panic left the lock.
    change(&mut status.lock().unwrap_or_else(PoisonError::into_inner));
}
