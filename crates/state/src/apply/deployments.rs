//! Deployments: counting health, ending.

use super::writer::Writer;
use crate::command::{Outcome, Refusal};
use floe_model::{Allocation, Deployment, DeploymentId, EvalTrigger, JobKey, deployment::DeploymentStatus};

impl Writer<'_> {
    /// Counts an allocation that became healthy or unhealthy; wakes the scheduler for the next batch, or ends the deployment well.
    pub(super) fn count_health(&mut self, old: &Allocation, new: &Allocation) {
        let was = old.deployment_status.as_ref().and_then(|s| s.healthy);
        let is = new.deployment_status.as_ref().and_then(|s| s.healthy);
        if was == is || new.deployment_id.is_empty() {
            return;
        }
        let Some(deployment) = self.state.deployment(&new.deployment_id).filter(|d| d.is_active()) else { return };
        let mut deployment = (**deployment).clone();
        let Some(group) = deployment.task_groups.get_mut(&new.task_group) else { return };
        match was {
            Some(true) => group.healthy_allocs -= 1,
            Some(false) => group.unhealthy_allocs -= 1,
            None => {}
        }
        if is == Some(true) {
            group.healthy_allocs += 1;
            let since = new.deployment_status.as_ref().map_or(self.now, |s| s.timestamp);
            group.require_progress_by = group.require_progress_by.max(since.plus(group.progress_deadline));
        } else if is == Some(false) {
            group.unhealthy_allocs += 1;
        }
        let key = deployment.job_key();
        let complete = deployment.is_complete();
        if complete {
            deployment.status = DeploymentStatus::Successful;
            "Deployment completed successfully".clone_into(&mut deployment.status_description);
        }
        let (id, version) = (deployment.id.clone(), deployment.job_version);
        self.put_deployment(deployment);
        if complete {
            self.mark_stable(&key, version);
        } else if let Some(job) = self.state.job(&key).cloned() {
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
