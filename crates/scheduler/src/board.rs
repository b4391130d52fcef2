//! The view with the plan so far laid over it: what a node would run if the plan were applied now.

use floe_model::{AllocId, Allocation, JobKey, Node, NodeId};
use floe_state::{
    State,
    fit::{Misfit, Usage},
    plan::Stop,
};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// The plan in the making.
pub(crate) struct Board<'a> {
    view: &'a State,
    job: JobKey,
    stopped: BTreeSet<AllocId>,
    stops: Vec<Stop>,
    /// Where each of the stops makes room.
    freed: Vec<NodeId>,
    placements: Vec<Allocation>,
    /// Placements by node, as indexes.
    placed_on: BTreeMap<NodeId, Vec<usize>>,
    updates: Vec<Allocation>,
    /// What was measured of the nodes that were looked at.
    loads: BTreeMap<NodeId, Load>,
}

/// What a node would run.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Resources and ports in use.
    pub(crate) usage: Usage,
    /// Allocations of the job that is scheduled, by group.
    siblings: BTreeMap<String, u32>,
    /// A port that two of its allocations hold (the node changed its addresses): apply takes nothing more here until one is gone.
    pub(crate) conflict: Option<Misfit>,
}

impl Load {
    /// How many allocations of `group` of the scheduled job are here.
    pub(crate) fn siblings(&self, group: &str) -> u32 {
        self.siblings.get(group).copied().unwrap_or(0)
    }
    /// True when any group of the scheduled job is here.
    pub(crate) fn has_job(&self) -> bool {
        !self.siblings.is_empty()
    }

    fn add(&mut self, alloc: &Allocation, job: &JobKey) {
        if let Err(misfit) = self.usage.add(alloc) {
            self.conflict.get_or_insert(misfit);
        }
        if alloc.job_id == job.id && alloc.namespace == job.namespace {
            match self.siblings.get_mut(&alloc.task_group) {
                Some(n) => *n += 1,
                None => _ = self.siblings.insert(alloc.task_group.clone(), 1),
            }
        }
    }
}

impl<'a> Board<'a> {
    pub(crate) fn new(view: &'a State, job: JobKey) -> Self {
        Self {
            view,
            job,
            stopped: BTreeSet::new(),
            stops: Vec::new(),
            freed: Vec::new(),
            placements: Vec::new(),
            placed_on: BTreeMap::new(),
            updates: Vec::new(),
            loads: BTreeMap::new(),
        }
    }

    /// What `node` would run. Measured when it is first asked for.
    pub(crate) fn load(&mut self, node: &Node) -> &Load {
        match self.loads.entry(node.id.clone()) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(slot) => {
                let mut load = Load { usage: Usage::of_node(node), ..Load::default() };
                // The same allocations that apply counts when it checks the plan.
                for alloc in self.view.allocs_of_node(&node.id).filter(|a| !a.is_terminal() && !self.stopped.contains(&a.id)) {
                    load.add(alloc, &self.job);
                }
                for alloc in self.placed_on.get(&node.id).into_iter().flatten().filter_map(|i| self.placements.get(*i)) {
                    load.add(alloc, &self.job);
                }
                slot.insert(load)
            }
        }
    }

    /// Stops an allocation; what it held is free.
    pub(crate) fn stop(&mut self, alloc: &Allocation, stop: Stop) {
        if self.stopped.insert(alloc.id.clone()) {
            self.loads.remove(&alloc.node_id);
            self.stops.push(stop);
            self.freed.push(alloc.node_id.clone());
        }
    }

    /// Takes the last stop back: its replacement found no node.
    pub(crate) fn undo_stop(&mut self, alloc: &Allocation) {
        if self.stops.pop_if(|s| s.id == alloc.id).is_some() {
            self.freed.pop();
            self.stopped.remove(&alloc.id);
            self.loads.remove(&alloc.node_id);
        }
    }

    /// Places a new allocation.
    pub(crate) fn place(&mut self, alloc: Allocation) {
        if let Some(load) = self.loads.get_mut(&alloc.node_id) {
            load.add(&alloc, &self.job);
        }
        self.placed_on.entry(alloc.node_id.clone()).or_default().push(self.placements.len());
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
