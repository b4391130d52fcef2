//! Deployments: counting health, ending.

use super::writer::Writer;
use crate::command::{Outcome, Refusal};
use floe_model::{Allocation, Deployment, DeploymentId, EvalTrigger, JobKey, deployment::DeploymentStatus};

impl Writer<'_> {
    /// Brings the counts of an allocation's deployment in line with the allocation's change. A new verdict on its health wakes the
    /// scheduler for the next batch; the last group to have all that it wants ends the deployment well.
    pub(super) fn count_health(&mut self, old: Option<&Allocation>, new: &Allocation) {
        // The deployment that it left is over: an update of its job or the end of its own ended it.
        let old = old.filter(|o| o.deployment_id == new.deployment_id);
        let healthy = healthy_now(new) - old.map_or(0, healthy_now);
        let has_verdict = verdict(new) != old.and_then(verdict);
        if new.deployment_id.is_empty() || (healthy == 0 && !has_verdict) {
            return;
        }
        let Some(deployment) = self.state.deployment(&new.deployment_id).filter(|d| d.is_active()) else { return };
        let mut deployment = (**deployment).clone();
        let Some(group) = deployment.task_groups.get_mut(&new.task_group) else { return };
        group.healthy_allocs += healthy;
        group.unhealthy_allocs += i64::from(new.is_unhealthy()) - i64::from(old.is_some_and(Allocation::is_unhealthy));
        if healthy > 0 {
            let since = new.deployment_status.as_ref().map_or(self.now, |s| s.timestamp);
            group.require_progress_by = group.require_progress_by.max(since.plus(group.progress_deadline));
        }
        let complete = deployment.is_complete();
        if complete {
            deployment.status = DeploymentStatus::Successful;
            "Deployment completed successfully".clone_into(&mut deployment.status_description);
        }
        let (id, key, version) = (deployment.id.clone(), deployment.job_key(), deployment.job_version);
        self.put_deployment(deployment);
        if complete {
            self.mark_stable(&key, version);
        } else if let Some(job) = self.state.job(&key).filter(|_| has_verdict).cloned() {
            self.new_eval(&job, EvalTrigger::DeploymentWatcher, |e| e.deployment_id = id);
        }
    }

    fn mark_stable(&mut self, key: &JobKey, version: u64) {
        if let Some(job) = self.state.job(key).filter(|j| j.version == version && !j.stable) {
            let mut job = (**job).clone();
            job.stable = true;
            self.put_job(job);
        }
    }

    pub(super) fn update_deployment(&mut self, id: &DeploymentId, status: DeploymentStatus, description: &str) -> Result<Outcome, Refusal> {
        let old = self.state.deployment(id).filter(|d| d.is_active()).ok_or_else(|| Refusal::DeploymentNotFound(id.clone()))?;
        let mut deployment: Deployment = (**old).clone();
        deployment.status = status;
        description.clone_into(&mut deployment.status_description);
        let key = deployment.job_key();
        self.put_deployment(deployment);
        let job = self.state.job(&key).cloned();
        let evals = job.map(|job| self.new_eval(&job, EvalTrigger::DeploymentWatcher, |e| e.deployment_id = id.clone()));
        Ok(Outcome::Evals(evals.into_iter().collect()))
    }

    pub(super) fn cancel_deployments(&mut self, key: &JobKey, why: &str) {
        let active: Vec<Deployment> = self.state.deployments_of_job(key).filter(|d| d.is_active()).map(|d| (**d).clone()).collect();
        for mut deployment in active {
            deployment.status = DeploymentStatus::Cancelled;
            why.clone_into(&mut deployment.status_description);
            self.put_deployment(deployment);
        }
    }
}

fn verdict(alloc: &Allocation) -> Option<bool> {
    alloc.deployment_status.as_ref().and_then(|s| s.healthy)
}

/// One while it is healthy and neither stopped nor ended: its successor is healthy in its place, not beside it.
fn healthy_now(alloc: &Allocation) -> i64 {
    i64::from(alloc.is_healthy() && !alloc.is_terminal())
}
