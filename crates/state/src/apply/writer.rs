//! Writes rows, keeps the table indexes true, and notes what changed.

use super::{Change, Effects};
use crate::{
    ids::IdSource,
    state::{ServiceKey, State, TRACKED_JOB_VERSIONS, Table},
};
use floe_model::{
    AllocId, Allocation, Deployment, DeploymentId, EvalId, EvalStatus, EvalTrigger, Evaluation, Job, JobKey, Node, NodeId,
    ServiceRegistration, Timestamp, Variable, VariableKey,
};
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
        self.state.set_node(Arc::new(node));
        self.touch(Table::Nodes, Change::Node(id));
    }

    pub(super) fn remove_node(&mut self, id: &NodeId) {
        if self.state.unset_node(id) {
            self.touch(Table::Nodes, Change::Node(id.clone()));
        }
    }

    /// Writes an allocation. Its services and the counts of its deployment follow.
    pub(super) fn put_alloc(&mut self, mut alloc: Allocation) {
        alloc.modify_index = self.index;
        alloc.modify_time = self.now.0;
        let id = alloc.id.clone();
        let alloc = Arc::new(alloc);
        let old = self.state.set_alloc(alloc.clone());
        self.touch(Table::Allocs, Change::Alloc(id));
        self.sync_services(&alloc);
        self.count_health(old.as_deref(), &alloc);
    }

    pub(super) fn remove_alloc(&mut self, id: &AllocId) {
        if self.state.unset_alloc(id) {
            self.touch(Table::Allocs, Change::Alloc(id.clone()));
            self.remove_services(id);
        }
    }

    pub(super) fn put_eval(&mut self, mut eval: Evaluation) -> EvalId {
        if eval.create_index == 0 {
            eval.create_index = self.index;
            eval.create_time = self.now.0;
        }
        eval.modify_index = self.index;
        eval.modify_time = self.now.0;
        let id = eval.id.clone();
        self.state.set_eval(Arc::new(eval));
        self.touch(Table::Evals, Change::Eval(id.clone()));
        id
    }

    pub(super) fn remove_eval(&mut self, id: &EvalId) {
        if self.state.unset_eval(id) {
            self.touch(Table::Evals, Change::Eval(id.clone()));
        }
    }

    pub(super) fn put_deployment(&mut self, mut deployment: Deployment) {
        if deployment.create_index == 0 {
            deployment.create_index = self.index;
            deployment.create_time = self.now.0;
        }
        deployment.modify_index = self.index;
        deployment.modify_time = self.now.0;
        let id = deployment.id.clone();
        self.state.set_deployment(Arc::new(deployment));
        self.touch(Table::Deployments, Change::Deployment(id));
    }

    pub(super) fn remove_deployment(&mut self, id: &DeploymentId) {
        if self.state.unset_deployment(id) {
            self.touch(Table::Deployments, Change::Deployment(id.clone()));
        }
    }

    pub(super) fn put_service(&mut self, mut service: ServiceRegistration) {
        service.modify_index = self.index;
        if service.create_index == 0 {
            service.create_index = self.index;
        }
        let change = Change::Service { namespace: service.namespace.clone(), name: service.service_name.clone() };
        self.state.set_service(Arc::new(service));
        self.touch(Table::Services, change);
    }

    pub(super) fn remove_service(&mut self, key: &ServiceKey) {
        let Some(service) = self.state.unset_service(key) else { return };
        let change = Change::Service { namespace: service.namespace.clone(), name: service.service_name.clone() };
        self.touch(Table::Services, change);
    }

    pub(super) fn put_variable(&mut self, variable: Variable) {
        let key = variable.key.clone();
        self.state.set_variable(Arc::new(variable));
        self.touch(Table::Variables, Change::Variable(key));
    }

    pub(super) fn remove_variable(&mut self, key: &VariableKey) {
        if self.state.unset_variable(key) {
            self.touch(Table::Variables, Change::Variable(key.clone()));
        }
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
