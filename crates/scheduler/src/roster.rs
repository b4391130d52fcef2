//! Which nodes may take new work, by datacenter and pool. Built once per version of the node table, not per evaluation.

use crate::feasible::{self, facts::Facts};
use floe_model::{Job, Node, NodeId, alloc::AllocationMetric};
use floe_state::{State, Table};
use std::{collections::BTreeMap, sync::Arc};

/// The schedulable nodes of a state, and what is known of each of them.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// The index of the node table that it was made from.
    index: u64,
    sites: BTreeMap<(String, String), Site>,
    facts: Facts,
}

/// The nodes of one datacenter and pool.
#[derive(Debug, Default)]
struct Site {
    schedulable: Vec<Arc<Node>>,
    /// The seat of the first of them among the facts.
    first_seat: usize,
    /// All nodes, also those that take no new work.
    total: u64,
}

impl Roster {
    pub(crate) fn new(view: &State) -> Self {
        let mut sites: BTreeMap<(String, String), Site> = BTreeMap::new();
        for node in view.nodes() {
            let key = (node.datacenter.clone(), feasible::pool_of(node).to_owned());
            let site = sites.entry(key).or_default();
            site.total += 1;
            if node.is_schedulable() {
                site.schedulable.push(node.clone());
            }
        }
        let mut seats = 0;
        for site in sites.values_mut() {
            site.first_seat = seats;
            seats += site.schedulable.len();
        }
        Self { index: view.table_index(Table::Nodes), sites, facts: Facts::new(seats) }
    }

    /// True when it was made from the same version of the node table.
    pub(crate) fn is_current(&self, view: &State) -> bool {
        self.index == view.table_index(Table::Nodes)
    }

    /// The nodes that `job` may use, as far as datacenters and pool go.
    pub(crate) fn candidates(&mut self, job: &Job) -> Candidates<'_> {
        // Else the questions of jobs that are gone would keep out those that are asked now.
        if self.facts.is_full() {
            self.facts = self.facts.forgotten();
        }
        let mut found = Candidates { segments: Vec::new(), len: 0, metric: AllocationMetric::default(), facts: &mut self.facts };
        found.metric.node_pool.clone_from(&job.node_pool);
        for ((datacenter, pool), site) in &self.sites {
            if !feasible::covers_pool(job, pool) {
                continue;
            }
            found.metric.nodes_in_pool += site.total;
            if !feasible::covers_datacenter(job, datacenter) {
                continue;
            }
            *found.metric.nodes_available.entry(datacenter.clone()).or_default() += site.schedulable.len() as u64;
            if !site.schedulable.is_empty() {
                found.segments.push(Segment { before: found.len, first_seat: site.first_seat, nodes: &site.schedulable });
                found.len += site.schedulable.len();
            }
        }
        found.name_missing_datacenters(job);
        found
    }
}

/// The nodes that a job may use.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    segments: Vec<Segment<'a>>,
    /// How many nodes.
    pub(crate) len: usize,
    /// What every explanation begins with: how many nodes there are, by pool and datacenter.
    pub(crate) metric: AllocationMetric,
    /// What is known of all nodes, by their seats.
    pub(crate) facts: &'a mut Facts,
}

/// A run of candidates.
#[derive(Debug)]
struct Segment<'a> {
    /// The number of candidates before it.
    before: usize,
    /// The seat of the first.
    first_seat: usize,
    nodes: &'a [Arc<Node>],
}

impl<'a> Candidates<'a> {
    /// The node at `i`.
    pub(crate) fn get(&self, i: usize) -> Option<&'a Arc<Node>> {
        let segment = self.segment(i)?;
        segment.nodes.get(i - segment.before)
    }

    /// The seat of the node at `i` among the facts.
    pub(crate) fn seat(&self, i: usize) -> Option<usize> {
        let segment = self.segment(i)?;
        Some(segment.first_seat + (i - segment.before))
    }

    fn segment(&self, i: usize) -> Option<&Segment<'a>> {
        self.segments.get(self.segments.partition_point(|s| s.before <= i).checked_sub(1)?)
    }

    /// Where a node stands among them.
    pub(crate) fn position(&self, id: &NodeId) -> Option<usize> {
        // Each run is in the order of the node table, which is the order of ids.
        self.segments.iter().find_map(|s| s.nodes.binary_search_by(|n| n.id.cmp(id)).ok().map(|at| s.before + at))
    }

    /// A datacenter that a job names and no node is in stands in the explanation with zero nodes. `*` names none.
    fn name_missing_datacenters(&mut self, job: &Job) {
        for pattern in job.datacenters.iter().filter(|p| *p != "*") {
            if !self.metric.nodes_available.keys().any(|dc| feasible::glob(pattern, dc)) {
                self.metric.nodes_available.insert(pattern.clone(), 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_state::{Command, Entry, Stamp};

    fn state(nodes: &[(&str, &str, &str)]) -> State {
        let mut state = State::default();
        for (i, (id, dc, pool)) in (1..).zip(nodes) {
            let node = Node { id: (*id).into(), datacenter: (*dc).to_owned(), node_pool: (*pool).to_owned(), ..Node::default() };
            let command = Command::RegisterNode { node: Box::new(node) };
            state.apply(i, &Entry { stamp: Stamp::default(), command });
        }
        state
    }

    #[test]
    fn nodes_are_found_by_datacenter_and_pool() {
        let mut roster = Roster::new(&state(&[("a", "dc1", ""), ("b", "dc2", ""), ("c", "dc1", "gpu"), ("d", "dc1", "default")]));
        let mut ids = |datacenters: &[&str], pool: &str| {
            let job =
                Job { datacenters: datacenters.iter().map(|d| (*d).to_owned()).collect(), node_pool: pool.to_owned(), ..Job::default() };
            let c = roster.candidates(&job);
            let by_index: Vec<String> = (0..c.len).map(|i| c.get(i).unwrap().id.to_string()).collect();
            assert!(c.get(c.len).is_none());
            assert!((0..c.len).all(|i| c.position(&c.get(i).unwrap().id) == Some(i)) && c.position(&"zz".into()).is_none());
            (by_index.join(" "), c.metric.nodes_in_pool)
        };
        assert_eq!(ids(&["*"], "default"), ("a d b".to_owned(), 3));
        assert_eq!(ids(&[], ""), ("a d b".to_owned(), 3));
        assert_eq!(ids(&["dc1"], "all"), ("a d c".to_owned(), 4));
        assert_eq!(ids(&["dc2"], "gpu"), (String::new(), 1));
        assert_eq!(ids(&["dc3"], "none"), (String::new(), 0));
    }

    #[test]
    fn missing_datacenters_are_named() {
        let mut roster = Roster::new(&state(&[("a", "dc1", "")]));
        let job = Job { datacenters: vec!["dc1".to_owned(), "eu-*".to_owned()], ..Job::default() };
        assert_eq!(roster.candidates(&job).metric.nodes_available, [("dc1".to_owned(), 1), ("eu-*".to_owned(), 0)].into());
    }
}
