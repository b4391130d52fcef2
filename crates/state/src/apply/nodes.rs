//! Nodes: registration, status, and the evaluations that follow.

use super::writer::Writer;
use crate::{
    command::{NodeStatusUpdate, Outcome, Refusal},
    fit::DEVICES_ARE_HELD,
};
use floe_model::{AllocClientStatus, Allocation, EvalId, EvalTrigger, Job, JobKey, JobType, Node, NodeId, NodeStatus, node::NodeEvent};
use std::{collections::BTreeMap, sync::Arc};

/// Nanoseconds in a second, for the one field that counts seconds.
const NANOS_PER_SEC: i64 = 1_000_000_000;

impl Writer<'_> {
    /// A client registers. The servers' own words about the node (eligibility, drain, events) stay.
    pub(super) fn register_node(&mut self, node: &Node) -> Result<Outcome, Refusal> {
        if self.state.is_agent_refused(node.id.as_str()) {
            // It was let through by a server that had not heard of it yet.
            return Err(Refusal::AgentRefused(node.id.to_string()));
        }
        let mut node = node.clone();
        let old = self.state.node(&node.id).cloned();
        let returns = old.as_ref().is_none_or(|o| o.status != NodeStatus::Ready);
        // All else that a running agent says of its node is what it found when it started.
        let other_devices = self.state.cluster_version() >= DEVICES_ARE_HELD
            && old.as_ref().is_some_and(|o| o.node_resources.devices != node.node_resources.devices);
        match &old {
            None => {
                node.create_index = self.index;
                node.events = vec![self.node_event("Node registered", "Cluster")];
            }
            Some(old) => {
                node.create_index = old.create_index;
                node.events.clone_from(&old.events);
                node.scheduling_eligibility = old.scheduling_eligibility;
                node.drain = old.drain;
                node.drain_strategy.clone_from(&old.drain_strategy);
                node.last_drain.clone_from(&old.last_drain);
                if returns {
                    let event = self.node_event("Node re-registered", "Cluster");
                    node.push_event(event);
                }
            }
        }
        node.status = NodeStatus::Ready;
        node.status_description.clear();
        node.status_updated_at = self.now.0 / NANOS_PER_SEC;
        let id = node.id.clone();
        self.put_node(node);
        Ok(Outcome::Evals(if returns || other_devices { self.eval_node(&id) } else { Vec::new() }))
    }

    pub(super) fn update_node_status(&mut self, updates: &[NodeStatusUpdate]) -> Result<Outcome, Refusal> {
        let mut evals = Vec::new();
        for update in updates {
            let Some(node) = self.state.node(&update.id) else { continue };
            if node.status == update.status {
                continue;
            }
            let mut node = (**node).clone();
            node.status = update.status;
            node.status_updated_at = self.now.0 / NANOS_PER_SEC;
            let event = self.node_event(&update.message, "Heartbeat");
            node.push_event(event);
            let id = node.id.clone();
            self.put_node(node);
            if update.status == NodeStatus::Down {
                self.remove_services_of_node(&id);
                self.lose_stopped(&id);
            }
            evals.extend(self.eval_node(&id));
        }
        Ok(Outcome::Evals(evals))
    }

    pub(super) fn delete_nodes(&mut self, ids: &[NodeId]) -> Result<Outcome, Refusal> {
        for id in ids {
            let node = self.state.node(id).ok_or_else(|| Refusal::NodeNotFound(id.clone()))?;
            if node.status != NodeStatus::Down {
                return Err(Refusal::NodeNotDown(id.clone()));
            }
        }
        let mut evals = Vec::new();
        for id in ids {
            evals.extend(self.eval_node(id));
            self.remove_node(id);
        }
        Ok(Outcome::Evals(evals))
    }

    /// Nobody will say how the allocations ended that the node was told to stop, and no evaluation looks at them again.
    fn lose_stopped(&mut self, id: &NodeId) {
        let left = |a: &&Arc<Allocation>| a.is_server_terminal() && !a.client_status.is_terminal();
        let stopped: Vec<Arc<Allocation>> = self.state.allocs_of_node(id).filter(left).cloned().collect();
        for alloc in stopped {
            self.put_alloc(Allocation { client_status: AllocClientStatus::Lost, ..(*alloc).clone() });
            self.refresh_job_status(&alloc.job_key());
        }
    }

    /// An evaluation for each job that has something on the node, and for each system job, which may want something there.
    fn eval_node(&mut self, id: &NodeId) -> Vec<EvalId> {
        let mut jobs: BTreeMap<JobKey, Arc<Job>> = BTreeMap::new();
        for alloc in self.state.allocs_of_node(id).filter(|a| !a.is_terminal()) {
            let key = alloc.job_key();
            // A purged job has no row any more; its allocation still knows it.
            if let Some(job) = self.state.job(&key).cloned().or_else(|| alloc.job.clone()) {
                jobs.insert(key, job);
            }
        }
        for job in self.state.jobs().filter(|j| matches!(j.job_type, JobType::System | JobType::Sysbatch) && !j.stop) {
            jobs.entry(job.key()).or_insert_with(|| job.clone());
        }
        let index = self.index;
        jobs.into_values()
            .map(|job| {
                self.new_eval(&job, EvalTrigger::NodeUpdate, |e| {
                    e.node_id = id.clone();
                    e.node_modify_index = index;
                })
            })
            .collect()
    }

    fn node_event(&self, message: &str, subsystem: &str) -> NodeEvent {
        NodeEvent {
            message: message.to_owned(),
            subsystem: subsystem.to_owned(),
            timestamp: self.now,
            create_index: self.index,
            ..NodeEvent::default()
        }
    }
}
