//! Deployments: how far a new version has come, and how far it may go now.

use crate::words;
use floe_model::{
    Allocation, Deployment, DeploymentId, Job, JobType, TaskGroup, Timestamp,
    deployment::{DeploymentState, DeploymentStatus},
};
use floe_state::{State, plan::DeploymentUpdate};

/// The deployment of the job's present version.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing<'a> {
    /// There is none, or it is over and all went well.
    None,
    Active(&'a Deployment),
    Paused(&'a Deployment),
    Failed(&'a Deployment),
}

impl<'a> Standing<'a> {
    /// Where the newest deployment of the job's present version stands.
    pub(crate) fn of(view: &'a State, job: &Job) -> Self {
        let newest = view.deployments_of_job(&job.key()).filter(|d| is_of(d, job)).max_by_key(|d| d.create_index);
        match newest {
            None => Standing::None,
            Some(d) => match d.status {
                DeploymentStatus::Failed => Standing::Failed(d),
                DeploymentStatus::Successful | DeploymentStatus::Cancelled => Standing::None,
                DeploymentStatus::Paused | DeploymentStatus::Pending | DeploymentStatus::Blocked => Standing::Paused(d),
                DeploymentStatus::Running | DeploymentStatus::Initializing | DeploymentStatus::Unblocking => Standing::Active(d),
            },
        }
    }

    /// True unless the deployment failed or is paused.
    pub(crate) fn may_go_on(&self) -> bool {
        matches!(self, Standing::None | Standing::Active(_))
    }

    /// The deployment, when it failed.
    pub(crate) fn failed(&self) -> Option<&'a Deployment> {
        if let Standing::Failed(d) = self { Some(d) } else { None }
    }

    /// The deployment that placements count for.
    pub(crate) fn active(&self) -> Option<&'a Deployment> {
        match self {
            Standing::Active(d) | Standing::Paused(d) => Some(d),
            Standing::None | Standing::Failed(_) => None,
        }
    }
}

fn is_of(deployment: &Deployment, job: &Job) -> bool {
    deployment.job_version == job.version && deployment.job_create_index == job.create_index
}

/// How many allocations of the group may be replaced at a time; `None` when all at once (and then there is no deployment).
pub(crate) fn max_parallel(job: &Job, group: &TaskGroup) -> Option<usize> {
    if job.job_type != JobType::Service {
        return None;
    }
    let parallel = group.update.as_ref().and_then(|u| u.max_parallel).unwrap_or(0);
    usize::try_from(parallel).ok().filter(|n| *n > 0)
}

/// How many more may be replaced now, given what runs. One that is unhealthy stops the update until it is dealt with.
pub(crate) fn room<'b>(standing: &Standing<'_>, max_parallel: usize, running: impl Iterator<Item = &'b Allocation>) -> usize {
    let deployment = match standing {
        Standing::None => return max_parallel,
        Standing::Paused(_) | Standing::Failed(_) => return 0,
        Standing::Active(d) => d,
    };
    let mut unsettled = 0;
    for alloc in running.filter(|a| a.deployment_id == deployment.id && !a.is_healthy()) {
        if alloc.is_unhealthy() {
            return 0;
        }
        unsettled += 1;
    }
    max_parallel.saturating_sub(unsettled)
}

/// Ends deployments of other versions, or all of them when the job is stopped.
pub(crate) fn outdated(view: &State, key: &floe_model::JobKey, job: Option<&Job>) -> Vec<DeploymentUpdate> {
    let running = job.filter(|j| !j.stop);
    let over = view.deployments_of_job(key).filter(|d| d.is_active() && running.is_none_or(|j| !is_of(d, j)));
    let why = if running.is_some() { words::DEPLOYMENT_OUTDATED } else { words::DEPLOYMENT_STOPPED };
    over.map(|d| DeploymentUpdate { id: d.id.clone(), status: DeploymentStatus::Cancelled, description: why.to_owned() }).collect()
}

/// A deployment of the job's present version, without groups.
pub(crate) fn begin(id: DeploymentId, job: &Job, eval_priority: i64) -> Deployment {
    Deployment {
        id,
        namespace: job.namespace.clone(),
        job_id: job.id.clone(),
        job_version: job.version,
        job_modify_index: job.modify_index,
        job_spec_modify_index: job.job_modify_index,
        job_create_index: job.create_index,
        status: DeploymentStatus::Running,
        status_description: words::DEPLOYMENT_RUNS.to_owned(),
        eval_priority,
        ..Deployment::default()
    }
}

/// A group at the beginning of its deployment.
pub(crate) fn group_state(group: &TaskGroup) -> DeploymentState {
    DeploymentState {
        progress_deadline: group.update.as_ref().and_then(|u| u.progress_deadline).unwrap_or_default(),
        require_progress_by: Timestamp::NEVER,
        desired_total: i64::from(group.count()),
        ..DeploymentState::default()
    }
}
