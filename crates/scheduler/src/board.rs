//! The view with the plan so far laid over it: what a node would run if the plan were applied now.

use floe_model::{AllocId, Allocation, JobKey, Node, NodeId};
use floe_state::{State, fit::Usage, plan::Stop};
use std::collections::{BTreeMap, BTreeSet};

/// The plan in the making.
pub(crate) struct Board<'a> {
    view: &'a State,
    job: JobKey,
    stopped: BTreeSet<AllocId>,
    stops: Vec<Stop>,
    /// Where each of the stops makes room.
    freed: Vec<NodeId>,
    placements: Vec<Allocation>,
    updates: Vec<Allocation>,
    /// What would be used of the nodes that the plan changes.
    changed: BTreeMap<NodeId, Usage>,
    /// Allocations of the job that is scheduled, by node and group.
    siblings: BTreeMap<NodeId, BTreeMap<String, u32>>,
    /// What is used of a node that runs nothing.
    nothing: Usage,
}

/// What a node would run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'b> {
    /// Resources and ports in use.
    pub(crate) usage: &'b Usage,
    siblings: Option<&'b BTreeMap<String, u32>>,
}

impl Load<'_> {
    /// How many allocations of `group` of the scheduled job are here.
    pub(crate) fn siblings(&self, group: &str) -> u32 {
        self.siblings.and_then(|s| s.get(group)).copied().unwrap_or(0)
    }
    /// True when any group of the scheduled job is here.
    pub(crate) fn has_job(&self) -> bool {
        self.siblings.is_some()
    }
}

impl<'a> Board<'a> {
    pub(crate) fn new(view: &'a State, job: JobKey) -> Self {
        let mut board = Self {
            view,
            stopped: BTreeSet::new(),
            stops: Vec::new(),
            freed: Vec::new(),
            placements: Vec::new(),
            updates: Vec::new(),
            changed: BTreeMap::new(),
            siblings: BTreeMap::new(),
            nothing: Usage::default(),
            job,
        };
        for alloc in view.allocs_of_job(&board.job).filter(|a| !a.is_terminal()) {
            join(&mut board.siblings, alloc);
        }
        board
    }

    /// What `node` would run.
    pub(crate) fn load(&self, node: &Node) -> Load<'_> {
        let usage = self.changed.get(&node.id).or_else(|| self.view.usage_of_node(&node.id));
        Load { usage: usage.unwrap_or(&self.nothing), siblings: self.siblings.get(&node.id) }
    }

    fn usage(&mut self, node: &NodeId) -> &mut Usage {
        let present = || self.view.usage_of_node(node).cloned().unwrap_or_default();
        self.changed.entry(node.clone()).or_insert_with(present)
    }

    fn come(&mut self, alloc: &Allocation) {
        self.usage(&alloc.node_id).add(alloc);
        join(&mut self.siblings, alloc);
    }

    fn go(&mut self, alloc: &Allocation) {
        self.usage(&alloc.node_id).remove(alloc);
        leave(&mut self.siblings, alloc);
    }

    /// Stops an allocation of the view; what it held is free.
    pub(crate) fn stop(&mut self, alloc: &Allocation, stop: Stop) {
        if self.stopped.insert(alloc.id.clone()) {
            if !alloc.is_terminal() {
                self.go(alloc);
            }
            self.stops.push(stop);
            self.freed.push(alloc.node_id.clone());
        }
    }

    /// Takes the last stop back: its replacement found no node.
    pub(crate) fn undo_stop(&mut self, alloc: &Allocation) {
        if self.stops.pop_if(|s| s.id == alloc.id).is_some() {
            self.freed.pop();
            self.stopped.remove(&alloc.id);
            if !alloc.is_terminal() {
                self.come(alloc);
            }
        }
    }

    /// Places a new allocation.
    pub(crate) fn place(&mut self, alloc: Allocation) {
        self.come(&alloc);
        self.placements.push(alloc);
    }

    /// Changes an allocation in place; it holds what it held.
    pub(crate) fn update(&mut self, alloc: Allocation) {
        self.updates.push(alloc);
    }

    /// The nodes on which stops made room, in the order of the stops.
    pub(crate) fn freed(&self) -> &[NodeId] {
        &self.freed
    }

    /// True when the plan stops this allocation.
    pub(crate) fn is_stopped(&self, id: &AllocId) -> bool {
        self.stopped.contains(id)
    }

    /// The stops, and the placements with the updates after them.
    pub(crate) fn finish(self) -> (Vec<Stop>, Vec<Allocation>) {
        let mut placements = self.placements;
        placements.extend(self.updates);
        (self.stops, placements)
    }
}

/// An allocation of the scheduled job comes to its node.
fn join(siblings: &mut BTreeMap<NodeId, BTreeMap<String, u32>>, alloc: &Allocation) {
    let groups = siblings.entry(alloc.node_id.clone()).or_default();
    match groups.get_mut(&alloc.task_group) {
        Some(n) => *n += 1,
        None => _ = groups.insert(alloc.task_group.clone(), 1),
    }
}

/// An allocation of the scheduled job leaves its node; where none is left, nothing is kept.
fn leave(siblings: &mut BTreeMap<NodeId, BTreeMap<String, u32>>, alloc: &Allocation) {
    let Some(groups) = siblings.get_mut(&alloc.node_id) else { return };
    if let Some(n) = groups.get_mut(&alloc.task_group) {
        *n -= 1;
        if *n == 0 {
            groups.remove(&alloc.task_group);
        }
    }
    if groups.is_empty() {
        siblings.remove(&alloc.node_id);
    }
}
