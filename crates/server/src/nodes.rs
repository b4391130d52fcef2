//! What nodes ask of a server, whatever way it comes: to be known, to be heard, to report, and what they should run.

use crate::{
    reports::ReportError,
    server::{Server, ServerError},
};
use floe_api::rpc::{Desired, Lease, Report};
use floe_model::{AllocId, Node, NodeId, NodeStatus};
use floe_state::{Command, State};
use std::collections::BTreeMap;

/// What a node says of itself must make sense before it gets into the state.
pub(crate) fn check(mut node: Node) -> Result<Node, String> {
    let missing = [("id", node.id.is_empty()), ("name", node.name.is_empty()), ("datacenter", node.datacenter.is_empty())];
    if let Some((field, _)) = missing.into_iter().find(|(_, empty)| *empty) {
        return Err(format!("register node: {field} is missing"));
    }
    if node.node_pool.is_empty() {
        floe_model::ids::DEFAULT_NODE_POOL.clone_into(&mut node.node_pool);
    }
    Ok(node)
}

impl Server {
    /// Writes a node into the state, for the leader. Its lease; `None` when this server does not lead any more.
    ///
    /// # Errors
    /// When it was not written.
    pub async fn register(&self, node: Node) -> Result<Option<Lease>, ServerError> {
        let id = node.id.clone();
        self.propose(Command::RegisterNode { node: Box::new(node) }).await?;
        Ok(self.lease(id, false).await)
    }

    /// A node is there. Its lease, which may say that it must register; `None` when this server does not lead.
    pub async fn hear(&self, id: NodeId) -> Option<Lease> {
        let view = self.view();
        // A node that counts as down must register again, so that what it can do now is known and its jobs are looked at. So must one whose row came
        // back with a restore: it may be older than the node, and so may be what is known of its allocations.
        let restored = view.restored().index;
        let known = view.node(&id).is_some_and(|n| n.status != NodeStatus::Down && (restored == 0 || n.modify_index > restored));
        self.lease(id, !known).await
    }

    async fn lease(&self, id: NodeId, unknown: bool) -> Option<Lease> {
        let ttl_ms = if unknown { 0 } else { self.leader().heard(id).await? };
        Some(Lease { ttl_ms, unknown, servers: self.rpc_addresses() })
    }

    /// Writes what a node says of its allocations; the index at which it stands.
    ///
    /// # Errors
    /// When it was not written. The node says it again.
    pub async fn take_report(&self, report: Report) -> Result<u64, ReportError> {
        self.reports().write(report).await
    }
}

/// What one node was told, by this server or another.
#[derive(Clone, Debug, Default)]
pub struct Told {
    known: BTreeMap<AllocId, u64>,
    not_before: u64,
    is_first: bool,
}

impl Told {
    /// A node that knows these allocations, by the index of their last change, from a state of that index.
    pub fn already(known: BTreeMap<AllocId, u64>, index: u64) -> Self {
        Self { known, not_before: index, is_first: true }
    }

    /// What the node does not know yet; `None` when it knows everything.
    pub fn news(&mut self, state: &State, node: &NodeId) -> Option<Desired> {
        if state.index() < self.not_before {
            return None;
        }
        let mut desired = Desired { index: state.index(), ..Desired::default() };
        for alloc in state.allocs_of_node(node) {
            desired.allocs.insert(alloc.id.clone(), alloc.alloc_modify_index);
            if self.known.get(&alloc.id) != Some(&alloc.alloc_modify_index) {
                desired.changed.push((**alloc).clone());
            }
        }
        if !self.is_first && desired.allocs == self.known {
            return None;
        }
        self.known.clone_from(&desired.allocs);
        self.is_first = false;
        Some(desired)
    }
}
