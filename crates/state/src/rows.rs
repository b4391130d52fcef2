//! Rows come, change and go here, and nowhere else: each takes the derived index along.

use crate::state::{ServiceKey, State};
use floe_model::{
    AllocId, Allocation, Deployment, DeploymentId, EvalId, Evaluation, Node, NodeId, ServiceRegistration, Variable, VariableKey,
};
use std::sync::Arc;

impl State {
    pub(crate) fn set_node(&mut self, node: Arc<Node>) {
        self.derived.change_node(&node.id, Some(&node));
        self.nodes.insert(node.id.clone(), node);
    }

    /// Says whether there was one.
    pub(crate) fn unset_node(&mut self, id: &NodeId) -> bool {
        let was_there = self.nodes.remove(id).is_some();
        if was_there {
            self.derived.change_node(id, None);
        }
        was_there
    }

    /// Returns the row that was there before.
    pub(crate) fn set_alloc(&mut self, alloc: Arc<Allocation>) -> Option<Arc<Allocation>> {
        let old = self.allocs.insert(alloc.id.clone(), alloc.clone());
        self.derived.change_alloc(old.as_deref(), Some(&alloc));
        old
    }

    /// Says whether there was one.
    pub(crate) fn unset_alloc(&mut self, id: &AllocId) -> bool {
        let old = self.allocs.remove(id);
        self.derived.change_alloc(old.as_deref(), None);
        old.is_some()
    }

    pub(crate) fn set_eval(&mut self, eval: Arc<Evaluation>) {
        let old = self.evals.insert(eval.id.clone(), eval.clone());
        self.derived.change_eval(old.as_deref(), Some(&eval));
    }

    /// Says whether there was one.
    pub(crate) fn unset_eval(&mut self, id: &EvalId) -> bool {
        let old = self.evals.remove(id);
        self.derived.change_eval(old.as_deref(), None);
        old.is_some()
    }

    pub(crate) fn set_deployment(&mut self, deployment: Arc<Deployment>) {
        let old = self.deployments.insert(deployment.id.clone(), deployment.clone());
        self.derived.change_deployment(old.as_deref(), Some(&deployment));
    }

    /// Says whether there was one.
    pub(crate) fn unset_deployment(&mut self, id: &DeploymentId) -> bool {
        let old = self.deployments.remove(id);
        self.derived.change_deployment(old.as_deref(), None);
        old.is_some()
    }

    pub(crate) fn set_service(&mut self, service: Arc<ServiceRegistration>) {
        let key = (service.namespace.clone(), service.service_name.clone(), service.id.clone());
        self.derived.add_service(key.clone(), &service);
        self.services.insert(key, service);
    }

    pub(crate) fn set_variable(&mut self, variable: Arc<Variable>) {
        let old = self.variables.insert(variable.key.clone(), variable.clone());
        self.derived.change_variable(old.as_deref(), Some(&variable));
    }

    /// Says whether there was one.
    pub(crate) fn unset_variable(&mut self, key: &VariableKey) -> bool {
        let old = self.variables.remove(key);
        self.derived.change_variable(old.as_deref(), None);
        old.is_some()
    }

    /// Returns the row that was there.
    pub(crate) fn unset_service(&mut self, key: &ServiceKey) -> Option<Arc<ServiceRegistration>> {
        let old = self.services.remove(key)?;
        self.derived.remove_service(key, &old);
        Some(old)
    }
}
