//! The view with the plan so far laid over it: what a node would run if the plan were applied now.

use floe_model::{AllocId, Allocation, JobKey, Node, NodeId};
use floe_state::{State, fit::Usage, plan::Stop};
use std::collections::{BTreeMap, BTreeSet};

/// The plan in the making.
pub(crate) struct Board<'a> {
    view: &'a State,
    stopped: BTreeSet<AllocId>,
    stops: Vec<Stop>,
    /// Where each of the stops makes room.
    freed: Vec<NodeId>,
    placements: Vec<Allocation>,
    updates: Vec<Allocation>,
    /// The nodes where the job is, or where the plan changes something.
    nodes: BTreeMap<NodeId, OnNode>,
    /// What is used of a node that runs nothing.
    nothing: Usage,
}

/// What is different on a node from what the view says of it, or of interest to the job alone.
#[derive(Debug, Default)]
struct OnNode {
    /// What would be used; `None` where the plan changes nothing.
    usage: Option<Usage>,
    /// Allocations of the job that is scheduled, by group; groups without any are left out.
    siblings: BTreeMap<String, u32>,
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
        self.siblings.is_some_and(|s| !s.is_empty())
    }
}

impl<'a> Board<'a> {
    pub(crate) fn new(view: &'a State, job: &JobKey) -> Self {
        let mut board = Self {
            view,
            stopped: BTreeSet::new(),
            stops: Vec::new(),
            freed: Vec::new(),
            placements: Vec::new(),
            updates: Vec::new(),
            nodes: BTreeMap::new(),
            nothing: Usage::default(),
        };
        for alloc in view.allocs_of_job(job).filter(|a| !a.is_terminal()) {
            board.nodes.entry(alloc.node_id.clone()).or_default().join(&alloc.task_group);
        }
        board
    }

    /// What `node` would run.
    pub(crate) fn load(&self, node: &Node) -> Load<'_> {
        let on_node = self.nodes.get(&node.id);
        let usage = on_node.and_then(|n| n.usage.as_ref()).or_else(|| self.view.usage_of_node(&node.id));
        Load { usage: usage.unwrap_or(&self.nothing), siblings: on_node.map(|n| &n.siblings) }
    }

    fn come(&mut self, alloc: &Allocation) {
        let on_node = self.nodes.entry(alloc.node_id.clone()).or_default();
        on_node.usage_in(self.view, &alloc.node_id).add(alloc);
        on_node.join(&alloc.task_group);
    }

    fn go(&mut self, alloc: &Allocation) {
        let on_node = self.nodes.entry(alloc.node_id.clone()).or_default();
        on_node.usage_in(self.view, &alloc.node_id).remove(alloc);
        on_node.leave(&alloc.task_group);
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

impl OnNode {
    /// What would be used, ready to be changed; at first it is what the view says.
    fn usage_in(&mut self, view: &State, id: &NodeId) -> &mut Usage {
        self.usage.get_or_insert_with(|| view.usage_of_node(id).cloned().unwrap_or_default())
    }

    /// An allocation of the scheduled job comes.
    fn join(&mut self, group: &str) {
        match self.siblings.get_mut(group) {
            Some(n) => *n += 1,
            None => _ = self.siblings.insert(group.to_owned(), 1),
        }
    }

    /// An allocation of the scheduled job leaves.
    fn leave(&mut self, group: &str) {
        if let Some(n) = self.siblings.get_mut(group) {
            *n -= 1;
            if *n == 0 {
                self.siblings.remove(group);
            }
        }
    }
}
