//! What is derived for one node: its allocations, and what they use of it.

use super::{Derived, track};
use crate::fit::Usage;
use floe_model::{AllocId, Allocation, Node};
use imbl::OrdSet;

/// What is derived for one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OfNode {
    /// Its allocations, ended ones included.
    pub(crate) allocs: OrdSet<AllocId>,
    /// What those use that are not over, and what the node keeps for itself.
    pub(crate) usage: Usage,
}

impl Derived for OfNode {
    fn is_empty(&self) -> bool {
        self.allocs.is_empty() && self.usage.is_empty()
    }
}

impl OfNode {
    /// Takes over what the node keeps for itself; `None` when it is gone.
    pub(super) fn reserve(&mut self, node: Option<&Node>) {
        match node {
            Some(node) => self.usage.reserve(node),
            None => self.usage.unreserve(),
        }
    }

    pub(super) fn change_alloc(&mut self, old: Option<&Allocation>, new: Option<&Allocation>) {
        track(&mut self.allocs, old.map(|a| &a.id), new.map(|a| &a.id));
        if let Some(old) = old.filter(|a| !a.is_terminal()) {
            self.usage.remove(old);
        }
        if let Some(new) = new.filter(|a| !a.is_terminal()) {
            self.usage.add(new);
        }
    }
}

/// True when a change makes no difference to the node: most are reports that an allocation still runs.
pub(super) fn holds_the_same(old: &Allocation, new: &Allocation) -> bool {
    let over = old.is_terminal();
    old.node_id == new.node_id && over == new.is_terminal() && (over || old.allocated_resources == new.allocated_resources)
}
