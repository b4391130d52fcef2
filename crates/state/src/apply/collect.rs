//! Garbage: forgetting what is over. What is not over any more (or again) is kept, whatever the command says.

use super::writer::Writer;
use crate::command::{Outcome, Refusal};
use floe_model::{AllocId, DeploymentId, EvalId, JobKey, JobStatus};

impl Writer<'_> {
    pub(super) fn collect(
        &mut self,
        evals: &[EvalId],
        allocs: &[AllocId],
        jobs: &[JobKey],
        deployments: &[DeploymentId],
    ) -> Result<Outcome, Refusal> {
        for id in allocs {
            if self.state.alloc(id).is_some_and(|a| a.client_status.is_terminal()) {
                self.remove_alloc(id);
            }
        }
        for id in evals {
            if self.state.eval(id).is_some_and(|e| e.is_terminal()) {
                self.remove_eval(id);
            }
        }
        for id in deployments {
            if self.state.deployment(id).is_some_and(|d| !d.is_active()) {
                self.remove_deployment(id);
            }
        }
        for key in jobs {
            let idle = self.state.derived.job(key).is_none_or(|d| d.allocs.is_empty() && d.open_evals.is_empty());
            if idle && self.state.job(key).is_some_and(|j| j.status == JobStatus::Dead) {
                self.remove_job(key);
            }
        }
        Ok(Outcome::Done)
    }
}
