//! Writes rows, keeps the derived indexes and the table indexes true, and notes what changed.

use super::{Change, Effects};
use crate::{
    ids::IdSource,
    state::{ServiceKey, State, TRACKED_JOB_VERSIONS, Table},
};
use floe_model::{
    AllocId, Allocation, Deployment, DeploymentId, EvalId, EvalStatus, EvalTrigger, Evaluation, Job, JobKey, Node, NodeId,
    ServiceRegistration, Timestamp,
};
use imbl::{OrdMap, OrdSet};
use std::sync::Arc;

pub(super) struct Writer<'a> {
    pub(super) state: &'a mut State,
    pub(super) index: u64,
    pub(super) now: Timestamp,
    pub(super) ids: IdSource,
    pub(super) effects: Effects,
}

impl Writer<'_> {
    fn touch(&mut self, table: Table, change: Change) {
        if let Some(index) = self.state.table_index.get_mut(table as usize) {
            *index = self.index;
        }
        self.effects.changes.push(change);
    }

    /// Writes a job as the present version, and keeps the newest [`TRACKED_JOB_VERSIONS`] and all tagged ones.
    pub(super) fn put_job(&mut self, mut job: Job) -> Arc<Job> {
        job.modify_index = self.index;
        let (key, job) = (job.key(), Arc::new(job));
        self.state.jobs.insert(key.clone(), job.clone());
        self.state.job_versions.insert((key.clone(), job.version), job.clone());
        let untagged = self.state.job_versions(&key).into_iter().filter(|j| j.version_tag.is_none());
        for old in untagged.skip(TRACKED_JOB_VERSIONS) {
            self.state.job_versions.remove(&(key.clone(), old.version));
            self.state.submissions.remove(&(key.clone(), old.version));
        }
        self.touch(Table::Jobs, Change::Job(key));
        job
    }

    pub(super) fn remove_job(&mut self, key: &JobKey) {
        if self.state.jobs.remove(key).is_none() {
            return;
        }
        let versions: Vec<u64> = self.state.job_versions(key).iter().map(|j| j.version).collect();
        for version in versions {
            self.state.job_versions.remove(&(key.clone(), version));
            self.state.submissions.remove(&(key.clone(), version));
        }
        self.touch(Table::Jobs, Change::Job(key.clone()));
    }

    pub(super) fn put_node(&mut self, mut node: Node) {
        node.modify_index = self.index;
        let id = node.id.clone();
        self.state.nodes.insert(id.clone(), Arc::new(node));
        self.touch(Table::Nodes, Change::Node(id));
    }

    pub(super) fn remove_node(&mut self, id: &NodeId) {
        if self.state.nodes.remove(id).is_some() {
            self.touch(Table::Nodes, Change::Node(id.clone()));
        }
    }

    /// Writes an allocation. Its services follow its status.
    pub(super) fn put_alloc(&mut self, mut alloc: Allocation) {
        alloc.modify_index = self.index;
        alloc.modify_time = self.now.0;
        let id = alloc.id.clone();
        let key = JobKey { namespace: alloc.namespace.clone(), id: alloc.job_id.clone() };
        index_insert(&mut self.state.allocs_by_node, alloc.node_id.clone(), id.clone());
        index_insert(&mut self.state.allocs_by_job, key, id.clone());
        let alloc = Arc::new(alloc);
        self.state.allocs.insert(id.clone(), alloc.clone());
        self.touch(Table::Allocs, Change::Alloc(id));
        self.sync_services(&alloc);
    }

    pub(super) fn remove_alloc(&mut self, id: &AllocId) {
        let Some(alloc) = self.state.allocs.remove(id) else { return };
        let key = JobKey { namespace: alloc.namespace.clone(), id: alloc.job_id.clone() };
        index_remove(&mut self.state.allocs_by_node, &alloc.node_id, id);
        index_remove(&mut self.state.allocs_by_job, &key, id);
        self.touch(Table::Allocs, Change::Alloc(id.clone()));
        self.remove_services(id);
    }

    pub(super) fn put_eval(&mut self, mut eval: Evaluation) -> EvalId {
        if eval.create_index == 0 {
            eval.create_index = self.index;
            eval.create_time = self.now.0;
        }
        eval.modify_index = self.index;
        eval.modify_time = self.now.0;
        let id = eval.id.clone();
        index_insert(&mut self.state.evals_by_job, eval.job_key(), id.clone());
        self.state.evals.insert(id.clone(), Arc::new(eval));
        self.touch(Table::Evals, Change::Eval(id.clone()));
        id
    }

    pub(super) fn remove_eval(&mut self, id: &EvalId) {
        let Some(eval) = self.state.evals.remove(id) else { return };
        index_remove(&mut self.state.evals_by_job, &eval.job_key(), id);
        self.touch(Table::Evals, Change::Eval(id.clone()));
    }

    pub(super) fn put_deployment(&mut self, mut deployment: Deployment) {
        if deployment.create_index == 0 {
            deployment.create_index = self.index;
            deployment.create_time = self.now.0;
        }
        deployment.modify_index = self.index;
        deployment.modify_time = self.now.0;
        let id = deployment.id.clone();
        index_insert(&mut self.state.deployments_by_job, deployment.job_key(), id.clone());
        self.state.deployments.insert(id.clone(), Arc::new(deployment));
        self.touch(Table::Deployments, Change::Deployment(id));
    }

    pub(super) fn remove_deployment(&mut self, id: &DeploymentId) {
        let Some(deployment) = self.state.deployments.remove(id) else { return };
        index_remove(&mut self.state.deployments_by_job, &deployment.job_key(), id);
        self.touch(Table::Deployments, Change::Deployment(id.clone()));
    }

    pub(super) fn put_service(&mut self, mut service: ServiceRegistration) {
        service.modify_index = self.index;
        if service.create_index == 0 {
            service.create_index = self.index;
        }
        let key = service_key(&service);
        let change = Change::Service { namespace: service.namespace.clone(), name: service.service_name.clone() };
        index_insert(&mut self.state.services_by_alloc, service.alloc_id.clone(), key.clone());
        self.state.services.insert(key, Arc::new(service));
        self.touch(Table::Services, change);
    }

    pub(super) fn remove_service(&mut self, key: &ServiceKey) {
        let Some(service) = self.state.services.remove(key) else { return };
        index_remove(&mut self.state.services_by_alloc, &service.alloc_id, key);
        let change = Change::Service { namespace: service.namespace.clone(), name: service.service_name.clone() };
        self.touch(Table::Services, change);
    }

    /// A new evaluation of `job`, written.
    pub(super) fn new_eval(&mut self, job: &Job, trigger: EvalTrigger, edit: impl FnOnce(&mut Evaluation)) -> EvalId {
        let mut eval = Evaluation {
            id: self.ids.next_uuid().into(),
            namespace: job.namespace.clone(),
            job_id: job.id.clone(),
            job_type: job.job_type,
            priority: job.priority(),
            job_modify_index: job.modify_index,
            triggered_by: trigger,
            status: EvalStatus::Pending,
            ..Evaluation::default()
        };
        edit(&mut eval);
        self.put_eval(eval)
    }
}

pub(super) fn service_key(service: &ServiceRegistration) -> ServiceKey {
    (service.namespace.clone(), service.service_name.clone(), service.id.clone())
}

/// Adds `value` under `key` of a derived index.
pub(crate) fn index_insert<K: Ord + Clone, V: Ord + Clone>(map: &mut OrdMap<K, OrdSet<V>>, key: K, value: V) {
    map.entry(key).or_default().insert(value);
}

fn index_remove<K: Ord + Clone, V: Ord + Clone>(map: &mut OrdMap<K, OrdSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}
