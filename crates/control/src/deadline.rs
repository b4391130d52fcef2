//! Deployments that made no progress in time.

use floe_model::{Timestamp, deployment::DeploymentStatus};
use floe_state::{Command, State};

/// Why a deployment failed, in the words that clients know.
pub const NO_PROGRESS: &str = "Failed due to progress deadline";
/// The same when an allocation became unhealthy and the group allows none.
pub const UNHEALTHY: &str = "Failed due to unhealthy allocations";

/// Commands that fail the deployments whose time is up. Idempotent: a deployment that is over is not named again.
pub fn expired(view: &State, now: Timestamp) -> Vec<Command> {
    view.deployments()
        .filter(|d| d.status == DeploymentStatus::Running)
        .filter_map(|d| {
            let late = d
                .task_groups
                .values()
                .any(|g| g.healthy_allocs < g.desired_total && !g.require_progress_by.is_never() && g.require_progress_by <= now);
            // Without a deadline the first unhealthy allocation decides.
            let unhealthy = d.task_groups.values().any(|g| g.progress_deadline.0 == 0 && g.unhealthy_allocs > 0);
            let description = if late { NO_PROGRESS } else { UNHEALTHY };
            (late || unhealthy).then(|| Command::UpdateDeployment {
                id: d.id.clone(),
                status: DeploymentStatus::Failed,
                description: description.to_owned(),
            })
        })
        .collect()
}

/// The next moment at which [`expired`] may name a deployment.
pub fn next_moment(view: &State) -> Option<Timestamp> {
    let active = view.deployments().filter(|d| d.status == DeploymentStatus::Running);
    active
        .flat_map(|d| d.task_groups.values())
        .filter(|g| g.healthy_allocs < g.desired_total)
        .map(|g| g.require_progress_by)
        .filter(|t| !t.is_never())
        .min()
}
