//! An allocation's health in its deployment: decided once, healthy when all was well for `min_healthy_time` on end.

use floe_model::{Allocation, DeploymentId, Nanos, Timestamp, alloc::AllocDeploymentStatus};

/// The deployment's watch over the allocation.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    deployment: DeploymentId,
    min_healthy: Nanos,
    deadline: Timestamp,
    /// Since when all is well.
    since: Option<Timestamp>,
    verdict: Option<(bool, Timestamp)>,
}

/// What is seen of the allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// All that should run runs, and what should have ended ended well.
    Well,
    /// Not yet, or not at present.
    NotYet,
    /// It failed, or ends by itself.
    Failed,
    /// The servers stop it: that is not its fault, and says nothing.
    Unwanted,
}

impl Watch {
    /// The watch over an allocation of a deployment whose verdict is not known yet.
    pub(super) fn over(alloc: &Allocation, now: Timestamp) -> Option<Watch> {
        if alloc.deployment_id.is_empty() || alloc.is_healthy() || alloc.is_unhealthy() {
            return None;
        }
        let (_, group) = super::job_and_group(alloc)?;
        let update = group.update.clone().unwrap_or_default();
        Some(Watch {
            deployment: alloc.deployment_id.clone(),
            min_healthy: update.min_healthy_time.unwrap_or_default(),
            deadline: now.plus(update.healthy_deadline.unwrap_or(Nanos::from_mins(5))),
            since: None,
            verdict: None,
        })
    }

    /// True when this is the watch of the deployment that the allocation belongs to now.
    pub(super) fn is_of(&self, alloc: &Allocation) -> bool {
        self.deployment == alloc.deployment_id
    }

    pub(super) fn verdict(&self) -> Option<AllocDeploymentStatus> {
        let (healthy, timestamp) = self.verdict?;
        Some(AllocDeploymentStatus { healthy: Some(healthy), timestamp, ..AllocDeploymentStatus::default() })
    }

    /// Looks; returns when to look again if nothing happens until then.
    pub(super) fn look(&mut self, sight: Sight, now: Timestamp) -> Option<Timestamp> {
        if self.verdict.is_some() {
            return None;
        }
        self.since = if sight == Sight::Well { self.since.or(Some(now)) } else { None };
        let healthy_at = self.since.map(|s| s.plus(self.min_healthy));
        if healthy_at.is_some_and(|t| t <= now) {
            self.verdict = Some((true, now));
            return None;
        }
        if sight == Sight::Unwanted {
            return None;
        }
        if sight == Sight::Failed || self.deadline <= now {
            self.verdict = Some((false, now));
            return None;
        }
        Some(healthy_at.map_or(self.deadline, |t| t.min(self.deadline)))
    }
}
