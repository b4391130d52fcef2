//! Allocations: what clients report and what users stop.

use super::writer::Writer;
use crate::{
    command::{AllocUpdate, Outcome, Refusal},
    restore::ENDED_AFTER_A_PLAN,
};
use floe_model::{AllocClientStatus, AllocId, Allocation, EvalTrigger, alloc::AllocDeploymentStatus};
use std::{collections::BTreeSet, sync::Arc};

impl Writer<'_> {
    /// Takes over what clients say. Reports of unknown allocations, of other nodes' allocations and of ended ones change nothing.
    pub(super) fn update_allocs(&mut self, updates: &[AllocUpdate]) -> Result<Outcome, Refusal> {
        let mut ended_badly = BTreeSet::new();
        let mut touched = BTreeSet::new();
        for update in updates {
            let Some(old) = self.state.alloc(&update.id).cloned() else { continue };
            if old.node_id != update.node_id || old.client_status.is_terminal() {
                continue;
            }
            let alloc = self.merge_update(&old, update);
            let key = alloc.job_key();
            let is_failed = alloc.client_status == AllocClientStatus::Failed || self.ended_unseen(&old, &alloc);
            if is_failed && !alloc.is_server_terminal() {
                ended_badly.insert(key.clone());
            }
            self.put_alloc(alloc);
            touched.insert(key);
        }
        let mut evals = Vec::new();
        for key in ended_badly {
            let Some(job) = self.state.job(&key).cloned() else { continue };
            if !job.stop {
                evals.push(self.new_eval(&job, EvalTrigger::RetryFailedAlloc, |_| {}));
            }
        }
        for key in &touched {
            self.refresh_job_status(key);
        }
        Ok(Outcome::Evals(evals))
    }

    /// Whether a service's allocation is over that a restore brought back as wanted: it was stopped after the backup was made. Its node may say so
    /// only after a plan has gone on with it.
    fn ended_unseen(&self, old: &Allocation, new: &Allocation) -> bool {
        let is_service = new.job.as_ref().is_some_and(|j| !j.job_type.is_batch());
        let since = if self.state.cluster_version() >= ENDED_AFTER_A_PLAN { old.create_index } else { old.modify_index };
        is_service && new.client_status.is_terminal() && since < self.state.restored().index
    }

    fn merge_update(&self, old: &Arc<Allocation>, update: &AllocUpdate) -> Allocation {
        let mut alloc = (**old).clone();
        alloc.client_status = update.client_status;
        alloc.client_description.clone_from(&update.client_description);
        alloc.task_states.clone_from(&update.task_states);
        if update.network_status.is_some() {
            alloc.network_status.clone_from(&update.network_status);
        }
        if let Some(AllocDeploymentStatus { healthy: Some(healthy), timestamp, .. }) = &update.deployment_status {
            let status = alloc.deployment_status.get_or_insert_default();
            status.healthy = Some(*healthy);
            status.timestamp = *timestamp;
            status.modify_index = self.index;
        }
        alloc
    }

    /// A user stops an allocation: it is migrated away, that is stopped and replaced.
    pub(super) fn stop_alloc(&mut self, id: &AllocId) -> Result<Outcome, Refusal> {
        let old = self.state.alloc(id).cloned().ok_or_else(|| Refusal::AllocNotFound(id.clone()))?;
        let key = old.job_key();
        let job = self.state.job(&key).cloned().or_else(|| old.job.clone()).ok_or(Refusal::JobNotFound(key))?;
        let mut alloc = (*old).clone();
        alloc.desired_transition.migrate = Some(true);
        self.put_alloc(alloc);
        let eval_id = self.new_eval(&job, EvalTrigger::AllocStop, |_| {});
        Ok(Outcome::Job { eval_id, job_modify_index: job.job_modify_index })
    }
}
