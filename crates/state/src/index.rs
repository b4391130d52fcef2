//! What is derived from the tables: which rows belong to a node or a job, and the sums over them.
//!
//! Every change of a row goes through here with the row before and after it, so that no question about a node or a job walks over its
//! allocations. Nothing of this is encoded: a snapshot's rows are put in one by one, which builds it anew. It depends on the rows alone,
//! not on the order in which they came.

mod job;
mod node;
mod sealed;

use crate::state::ServiceKey;
use floe_model::{AllocId, Allocation, Deployment, Evaluation, JobKey, KeyId, Node, NodeId, ServiceRegistration, Variable};
use imbl::{OrdMap, OrdSet};
pub(crate) use job::OfJob;
pub(crate) use node::OfNode;
use sealed::Sealing;
use std::sync::Arc;

/// Everything that is derived from the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Index {
    nodes: OrdMap<NodeId, Arc<OfNode>>,
    jobs: OrdMap<JobKey, Arc<OfJob>>,
    services_by_alloc: OrdMap<AllocId, OrdSet<ServiceKey>>,
    variables: Sealing,
}

/// What is derived for one node or job. An empty one is not kept.
trait Derived: Clone + Default {
    fn is_empty(&self) -> bool;
}

impl Index {
    /// What is known of a node; `None` when there is nothing to know.
    pub(crate) fn node(&self, id: &NodeId) -> Option<&OfNode> {
        self.nodes.get(id).map(|n| &**n)
    }

    /// What is known of a job; `None` when there is nothing to know.
    pub(crate) fn job(&self, key: &JobKey) -> Option<&OfJob> {
        self.jobs.get(key).map(|j| &**j)
    }

    /// The registrations of an allocation.
    pub(crate) fn services(&self, id: &AllocId) -> Option<&OrdSet<ServiceKey>> {
        self.services_by_alloc.get(id)
    }

    /// A node's row becomes `new`; `None` when it goes.
    pub(crate) fn change_node(&mut self, id: &NodeId, new: Option<&Node>) {
        edit(&mut self.nodes, id.clone(), |of| of.reserve(new));
    }

    /// An allocation's row becomes `new`. One that was there may have moved to another node.
    pub(crate) fn change_alloc(&mut self, old: Option<&Allocation>, new: Option<&Allocation>) {
        shift(&mut self.jobs, Allocation::job_key, old, new, OfJob::change_alloc);
        if !old.zip(new).is_some_and(|(old, new)| node::holds_the_same(old, new)) {
            shift(&mut self.nodes, |a| a.node_id.clone(), old, new, OfNode::change_alloc);
        }
    }

    /// An evaluation's row becomes `new`.
    pub(crate) fn change_eval(&mut self, old: Option<&Evaluation>, new: Option<&Evaluation>) {
        shift(&mut self.jobs, Evaluation::job_key, old, new, OfJob::change_eval);
    }

    /// A deployment's row becomes `new`.
    pub(crate) fn change_deployment(&mut self, old: Option<&Deployment>, new: Option<&Deployment>) {
        shift(&mut self.jobs, Deployment::job_key, old, new, OfJob::change_deployment);
    }

    /// How many variables are sealed with a root key.
    pub(crate) fn variables_of(&self, key: &KeyId) -> usize {
        self.variables.count(key)
    }

    /// How many bytes the sealed items of all variables take.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.variables.bytes()
    }

    /// A variable's row becomes `new`.
    pub(crate) fn change_variable(&mut self, old: Option<&Variable>, new: Option<&Variable>) {
        self.variables.change(old, new);
    }

    /// A service registration comes.
    pub(crate) fn add_service(&mut self, key: ServiceKey, service: &ServiceRegistration) {
        self.services_by_alloc.entry(service.alloc_id.clone()).or_default().insert(key);
    }

    /// A service registration goes.
    pub(crate) fn remove_service(&mut self, key: &ServiceKey, service: &ServiceRegistration) {
        if let Some(keys) = self.services_by_alloc.get_mut(&service.alloc_id) {
            keys.remove(key);
            if keys.is_empty() {
                self.services_by_alloc.remove(&service.alloc_id);
            }
        }
    }
}

/// Tells the entry that a row belonged to, and the one that it belongs to now, of the row's change: once when they are the same.
fn shift<K: Ord + Clone, V: Derived, R>(
    map: &mut OrdMap<K, Arc<V>>,
    key: impl Fn(&R) -> K,
    old: Option<&R>,
    new: Option<&R>,
    change: impl Fn(&mut V, Option<&R>, Option<&R>),
) {
    let (from, to) = (old.map(&key), new.map(&key));
    if from == to {
        if let Some(key) = to {
            edit(map, key, |of| change(of, old, new));
        }
        return;
    }
    if let Some(key) = from {
        edit(map, key, |of| change(of, old, None));
    }
    if let Some(key) = to {
        edit(map, key, |of| change(of, None, new));
    }
}

fn edit<K: Ord + Clone, V: Derived>(map: &mut OrdMap<K, Arc<V>>, key: K, change: impl FnOnce(&mut V)) {
    let Some(present) = map.get_mut(&key) else {
        let mut made = V::default();
        change(&mut made);
        if !made.is_empty() {
            map.insert(key, Arc::new(made));
        }
        return;
    };
    change(Arc::make_mut(present));
    if present.is_empty() {
        map.remove(&key);
    }
}

/// Adds or removes the id of a row that comes or goes.
fn track<I: Ord + Clone>(ids: &mut OrdSet<I>, old: Option<&I>, new: Option<&I>) {
    match (old, new) {
        (None, Some(id)) => _ = ids.insert(id.clone()),
        (Some(id), None) => _ = ids.remove(id),
        _ => {}
    }
}
