//! Plans: each touched node is checked again against the present state, and the part that still fits is done.

use super::writer::Writer;
use crate::{
    command::{Outcome, Refusal},
    fit::{DEVICES_ARE_HELD, are_there},
    plan::{ENDED_CHANGES_NOTHING, Plan, Stop},
};
use floe_model::{
    AllocClientStatus, AllocDesiredStatus, AllocId, Allocation, Job, JobKey, NodeId, NodeStatus, deployment::DeploymentStatus,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a plan does on one node.
#[derive(Default)]
struct OnNode<'a> {
    /// What is placed, or placed again with changes.
    placements: Vec<&'a Allocation>,
    /// What is stopped, and what the placements take the place of.
    gone: BTreeSet<&'a AllocId>,
}

impl Writer<'_> {
    pub(super) fn apply_plan(&mut self, plan: &Plan) -> Result<Outcome, Refusal> {
        if plan.based_on < self.state.restored().index {
            // It was made from what a restore has replaced.
            return Ok(Outcome::Plan { rejected: plan.placements.iter().map(|p| p.node_id.clone()).collect() });
        }
        if self.state.cluster_version() >= ENDED_CHANGES_NOTHING && self.state.eval(&plan.eval_id).is_some_and(|eval| eval.is_terminal()) {
            return Ok(Outcome::Plan { rejected: plan.placements.iter().map(|p| p.node_id.clone()).collect() });
        }
        let rejected = self.rejected_nodes(plan);
        if plan.all_at_once && !rejected.is_empty() {
            return Ok(Outcome::Plan { rejected });
        }
        let job = plan.job.as_deref().map(|j| self.shared_job(j));
        let mut touched = BTreeSet::new();
        self.update_evals(&plan.evals)?;
        for stop in &plan.stops {
            touched.extend(self.apply_stop(stop));
        }
        if let Some(deployment) = &plan.deployment {
            let mut deployment = deployment.clone();
            deployment.create_index = 0;
            self.put_deployment(deployment);
        }
        for update in &plan.deployment_updates {
            self.end_deployment(update.id.as_str(), update.status, &update.description);
        }
        for placement in plan.placements.iter().filter(|p| !rejected.contains(&p.node_id)) {
            touched.insert(self.apply_placement(placement, job.as_ref()));
        }
        if rejected.is_empty() {
            self.update_evals(&plan.on_commit)?;
        }
        for key in &touched {
            self.refresh_job_status(key);
        }
        Ok(Outcome::Plan { rejected })
    }

    /// The nodes on which the plan's placements do not fit together with what runs there now.
    fn rejected_nodes(&self, plan: &Plan) -> Vec<NodeId> {
        let mut by_node: BTreeMap<&NodeId, OnNode<'_>> = BTreeMap::new();
        for placement in &plan.placements {
            let on_node = by_node.entry(&placement.node_id).or_default();
            on_node.placements.push(placement);
            on_node.gone.insert(&placement.id);
        }
        for stop in &plan.stops {
            if let Some(on_node) = self.state.alloc(&stop.id).and_then(|a| by_node.get_mut(&a.node_id)) {
                on_node.gone.insert(&stop.id);
            }
        }
        by_node.into_iter().filter(|(id, on_node)| !self.fits(id, on_node)).map(|(id, _)| id.clone()).collect()
    }

    fn fits(&self, id: &NodeId, on_node: &OnNode<'_>) -> bool {
        let Some(node) = self.state.node(id) else { return false };
        let only_updates = on_node.placements.iter().all(|p| self.state.alloc(&p.id).is_some());
        if !node.is_schedulable() && !only_updates {
            return false;
        }
        let is_new = |p: &&&Allocation| self.state.alloc(&p.id).is_none();
        if self.state.cluster_version() >= DEVICES_ARE_HELD && !on_node.placements.iter().filter(is_new).all(|p| are_there(p, node)) {
            return false;
        }
        let mut usage = self.state.usage_of_node(id).cloned().unwrap_or_default();
        let present = on_node.gone.iter().filter_map(|a| self.state.alloc(a));
        present.filter(|a| a.node_id == *id && !a.is_terminal()).for_each(|a| usage.remove(a));
        on_node.placements.iter().for_each(|p| usage.add(p));
        usage.check(node).is_ok()
    }

    /// The row of the job's version when it is equal, so that allocations share one copy.
    fn shared_job(&self, job: &Job) -> Arc<Job> {
        match self.state.job_version(&job.key(), job.version) {
            Some(row) if row.job_modify_index == job.job_modify_index => row.clone(),
            _ => Arc::new(job.clone()),
        }
    }

    fn apply_stop(&mut self, stop: &Stop) -> Option<JobKey> {
        let mut alloc = (**self.state.alloc(&stop.id)?).clone();
        alloc.desired_status = AllocDesiredStatus::Stop;
        alloc.desired_description.clone_from(&stop.description);
        alloc.alloc_modify_index = self.index;
        if let Some(status) = stop.client_status {
            alloc.client_status = status;
        } else if !alloc.client_status.is_terminal() && self.state.node(&alloc.node_id).is_none_or(|n| n.status == NodeStatus::Down) {
            // The plan is older than the node's silence.
            alloc.client_status = AllocClientStatus::Lost;
        }
        if !stop.followup_eval_id.is_empty() {
            alloc.followup_eval_id = stop.followup_eval_id.clone();
        }
        let key = alloc.job_key();
        self.put_alloc(alloc);
        Some(key)
    }

    /// Writes a new allocation, or a new version of one that runs; what the client said of it stays.
    fn apply_placement(&mut self, placement: &Allocation, job: Option<&Arc<Job>>) -> JobKey {
        let mut alloc = placement.clone();
        alloc.job = job.cloned();
        alloc.alloc_modify_index = self.index;
        let mut fresh_in_deployment = true;
        if let Some(old) = self.state.alloc(&alloc.id) {
            fresh_in_deployment = old.deployment_id != alloc.deployment_id;
            alloc.create_index = old.create_index;
            alloc.create_time = old.create_time;
            alloc.client_status = old.client_status;
            alloc.client_description.clone_from(&old.client_description);
            alloc.task_states.clone_from(&old.task_states);
            alloc.network_status.clone_from(&old.network_status);
            if alloc.job.is_none() {
                alloc.job.clone_from(&old.job);
            }
            // The plan may be older than the verdict.
            if !fresh_in_deployment {
                alloc.deployment_status.clone_from(&old.deployment_status);
            }
        } else {
            alloc.create_index = self.index;
            alloc.create_time = self.now.0;
            self.link_previous(&alloc);
        }
        if fresh_in_deployment {
            self.count_placed(&alloc);
        }
        let key = alloc.job_key();
        self.put_alloc(alloc);
        key
    }

    /// Tells the predecessor who replaces it.
    fn link_previous(&mut self, alloc: &Allocation) {
        if alloc.previous_allocation.is_empty() {
            return;
        }
        if let Some(previous) = self.state.alloc(&alloc.previous_allocation) {
            let mut previous = (**previous).clone();
            previous.next_allocation = alloc.id.clone();
            self.put_alloc(previous);
        }
    }

    fn count_placed(&mut self, alloc: &Allocation) {
        if alloc.deployment_id.is_empty() {
            return;
        }
        let Some(deployment) = self.state.deployment(&alloc.deployment_id) else { return };
        let mut deployment = (**deployment).clone();
        let now = self.now;
        if let Some(group) = deployment.task_groups.get_mut(&alloc.task_group) {
            group.placed_allocs += 1;
            if group.require_progress_by.is_never() && group.progress_deadline.0 > 0 {
                group.require_progress_by = now.plus(group.progress_deadline);
            }
            self.put_deployment(deployment);
        }
    }

    fn end_deployment(&mut self, id: &str, status: DeploymentStatus, description: &str) {
        let Some(deployment) = self.state.deployment(&id.into()).filter(|d| d.is_active()) else { return };
        let mut deployment = (**deployment).clone();
        deployment.status = status;
        description.clone_into(&mut deployment.status_description);
        self.put_deployment(deployment);
    }
}
