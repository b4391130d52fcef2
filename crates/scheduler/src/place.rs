//! Finds a node for an allocation: walks the candidates in the seed's order, scores the first few that can take it, takes the best.

use crate::{
    ask,
    board::{Board, Load},
    chance::{Chance, Walk},
    devices::Given,
    feasible,
    ports::{self, PortConflict},
    rank::score::{self, Scores},
    roster::Candidates,
    rules::{Motion, Rules, Verdict},
};
use floe_model::{
    AllocId, Allocation, DeploymentId, Evaluation, Job, Node, NodeId,
    alloc::{AllocationMetric, RescheduleTracker},
    network::NetworkResource,
    resources::Amounts,
};
use floe_state::{State, fit::DEVICES_ARE_HELD, plan::Stop};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Offers without merit (score of zero or less) that are put aside while better ones may come.
const MAX_SKIPPED: usize = 3;
/// How many nodes' scores an allocation keeps.
const KEPT_SCORES: usize = 5;

/// Places allocations of one job.
pub(crate) struct Placer<'a> {
    view: &'a State,
    job: &'a Job,
    eval: &'a Evaluation,
    candidates: Candidates<'a>,
    walk: Walk,
    chance: Chance,
    pub(crate) board: Board<'a>,
    /// By the group's position in the job.
    rules: Vec<Rules<'a>>,
}

/// An allocation that is wanted.
#[derive(Debug, Default)]
pub(crate) struct Want {
    /// The position of the group in the job.
    pub(crate) group: usize,
    pub(crate) id: AllocId,
    pub(crate) name: String,
    pub(crate) deployment: DeploymentId,
    pub(crate) previous: AllocId,
    pub(crate) tracker: Option<RescheduleTracker>,
    /// Nodes where predecessors failed.
    pub(crate) avoid: Vec<NodeId>,
    /// The node whose disk holds the predecessor's data.
    pub(crate) prefer: Option<NodeId>,
}

/// A node that can take the allocation.
struct Offer<'a> {
    node: &'a Arc<Node>,
    ports: Vec<u16>,
    devices: Given<'a>,
    scores: Scores,
    mean: f64,
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    evaluated: u64,
    /// By the index of the reason.
    infeasible: BTreeMap<u16, u64>,
    /// Kept off by siblings.
    siblings: BTreeMap<Cow<'static, str>, u64>,
    exhausted: BTreeMap<Cow<'static, str>, u64>,
    classes_filtered: BTreeMap<String, u64>,
    classes_exhausted: BTreeMap<String, u64>,
}

impl Seen {
    fn exhaust(&mut self, dimension: Cow<'static, str>, node: &Node) {
        *self.exhausted.entry(dimension).or_default() += 1;
        count_class(&mut self.classes_exhausted, node);
    }
}

fn count_class(classes: &mut BTreeMap<String, u64>, node: &Node) {
    if !node.node_class.is_empty() {
        *classes.entry(node.node_class.clone()).or_default() += 1;
    }
}

impl<'a> Placer<'a> {
    pub(crate) fn new(view: &'a State, job: &'a Job, eval: &'a Evaluation, mut candidates: Candidates<'a>, seed: (u64, u64)) -> Self {
        let mut chance = Chance::new(seed);
        let mut rules: Vec<_> = job.task_groups.iter().map(|g| Rules::new(job, g, &mut candidates)).collect();
        if view.cluster_version() < DEVICES_ARE_HELD {
            rules.iter_mut().for_each(|r| r.requirements.devices.postpone());
        }
        let walk = Walk::new(candidates.len, &mut chance);
        let mut placer = Self { view, job, eval, candidates, walk, chance, board: Board::new(view, &job.key()), rules };
        if placer.rules.iter().any(Rules::has_tallies) {
            for alloc in view.allocs_of_job(&job.key()).filter(|a| !a.is_terminal()) {
                placer.note(Motion::Come, alloc);
            }
        }
        placer
    }

    fn note(&mut self, motion: Motion, alloc: &Allocation) {
        if let Some(node) = self.view.node(&alloc.node_id) {
            self.rules.iter_mut().filter(|r| r.has_tallies()).for_each(|r| r.note(motion, alloc, node));
        }
    }

    /// The nodes that the job may use.
    pub(crate) fn candidates(&self) -> &Candidates<'a> {
        &self.candidates
    }

    /// Stops an allocation.
    pub(crate) fn stop(&mut self, alloc: &Allocation, stop: Stop) {
        if self.board.is_stopped(&alloc.id) {
            return;
        }
        if !alloc.is_terminal() {
            self.note(Motion::Leave, alloc);
        }
        self.board.stop(alloc, stop);
    }

    /// Takes the last stop back.
    pub(crate) fn undo_stop(&mut self, alloc: &Allocation) {
        self.board.undo_stop(alloc);
        let freed = self.board.freed().len();
        for rules in &mut self.rules {
            rules.exhausted_since = rules.exhausted_since.map(|mark| mark.min(freed));
        }
        if !alloc.is_terminal() {
            self.note(Motion::Come, alloc);
        }
    }

    /// True when the rules of the group leave `node` out.
    pub(crate) fn is_left_out(&mut self, group: usize, node: &Node) -> bool {
        let facts = &mut self.candidates.facts;
        self.rules.get(group).is_none_or(|r| r.requirements.obstacle(node, None, facts).is_some())
    }

    /// Why an allocation that runs on `node` could not stay there under the present version of the job; `None` when it can.
    pub(crate) fn obstacle_to_stay(&mut self, group: usize, node: &Node) -> Option<String> {
        let rules = self.rules.get(group)?;
        if !feasible::covers_datacenter(self.job, &node.datacenter) || !feasible::covers_pool(self.job, feasible::pool_of(node)) {
            return Some("its node is outside the job's datacenters and pool".to_owned());
        }
        if let Some(reason) = rules.requirements.obstacle(node, None, self.candidates.facts) {
            return Some(format!("its node does not fit any more: {reason}"));
        }
        // Apply checks the whole node again, so an update in place must leave it within its bounds.
        let load = self.board.load(node);
        load.usage.check(node).err().map(|misfit| format!("its node is too small: {misfit}"))
    }

    /// Places an allocation on the best node that is found.
    ///
    /// # Errors
    /// Says what was found instead.
    pub(crate) fn place(&mut self, want: &Want) -> Result<(), Box<AllocationMetric>> {
        let mut seen = Seen::default();
        let mut offers = self.preferred(want, &mut seen);
        if offers.is_empty() {
            offers = match self.rules.get(want.group).and_then(|r| r.exhausted_since) {
                Some(mark) => self.search_freed(mark, want, &mut seen),
                None => self.search(want, &mut seen),
            };
        }
        // The first of equals wins: the order is the seed's.
        let best = (0..offers.len()).reduce(|best, i| if mean(&offers, i) > mean(&offers, best) { i } else { best });
        let mut metric = self.metric(want.group, seen);
        let Some(best) = best.map(|i| offers.swap_remove(i)) else { return Err(Box::new(metric)) };
        metric.score_meta_data = score_meta(&best, &offers);
        self.commit(want, &best, metric);
        Ok(())
    }

    /// Places an allocation on this very candidate, as system jobs do.
    ///
    /// # Errors
    /// Says whether the node is not meant for the group, or has no room.
    pub(crate) fn place_on(&mut self, position: usize, want: &Want) -> Result<(), Rejection> {
        let Some(node) = self.candidates.get(position) else { return Err(Rejection::NotMeant("node".to_owned())) };
        let mut seen = Seen::default();
        match self.offer(position, node, want, &mut seen) {
            Some(offer) => {
                let mut metric = self.metric(want.group, seen);
                metric.score_meta_data = score_meta(&offer, &[]);
                self.commit(want, &offer, metric);
                Ok(())
            }
            None if seen.exhausted.is_empty() => {
                let reason = self.metric(want.group, seen).constraint_filtered.into_keys().next();
                Err(Rejection::NotMeant(reason.unwrap_or_default()))
            }
            None => Err(Rejection::NoRoom(Box::new(self.metric(want.group, seen)))),
        }
    }

    /// The node that holds the predecessor's data, when it can take the successor.
    fn preferred(&mut self, want: &Want, seen: &mut Seen) -> Vec<Offer<'a>> {
        let Some(wanted) = &want.prefer else { return Vec::new() };
        let Some(position) = self.candidates.position(wanted) else { return Vec::new() };
        self.candidates.get(position).and_then(|node| self.offer(position, node, want, seen)).into_iter().collect()
    }

    fn search(&mut self, want: &Want, seen: &mut Seen) -> Vec<Offer<'a>> {
        let nodes = self.candidates.len;
        let limit = self.rules.get(want.group).map_or(0, |r| r.candidate_limit(self.job.job_type, nodes));
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        for _ in 0..nodes {
            if found.len() >= limit {
                break;
            }
            let Some(position) = self.walk.next() else { break };
            let Some(node) = self.candidates.get(position) else { continue };
            match self.offer(position, node, want, seen) {
                Some(offer) if offer.mean <= 0.0 && skipped.len() < MAX_SKIPPED => skipped.push(offer),
                Some(offer) => found.push(offer),
                None => {}
            }
        }
        let missing = limit.saturating_sub(found.len());
        found.extend(skipped.into_iter().take(missing));
        let mark = self.board.freed().len();
        if let Some(rules) = self.rules.get_mut(want.group).filter(|r| found.is_empty() && !r.has_properties()) {
            rules.exhausted_since = Some(mark);
        }
        found
    }

    /// Looks only at the nodes where stops made room since all were found to be full.
    fn search_freed(&mut self, mark: usize, want: &Want, seen: &mut Seen) -> Vec<Offer<'a>> {
        let freed: BTreeSet<NodeId> = self.board.freed().iter().skip(mark).cloned().collect();
        let positions: Vec<usize> = freed.iter().filter_map(|id| self.candidates.position(id)).collect();
        let node = |p: usize| self.candidates.get(p).map(|n| (p, n));
        let nodes: Vec<_> = positions.into_iter().filter_map(node).collect();
        nodes.into_iter().filter_map(|(p, node)| self.offer(p, node, want, seen)).collect()
    }

    /// What the node at `position` offers; `None` when it cannot take the allocation.
    fn offer(&mut self, position: usize, node: &'a Arc<Node>, want: &Want, seen: &mut Seen) -> Option<Offer<'a>> {
        seen.evaluated += 1;
        let rules = self.rules.get_mut(want.group)?;
        if let Verdict::Infeasible(reason) = rules.verdict(position, node, &mut self.candidates) {
            *seen.infeasible.entry(reason).or_default() += 1;
            count_class(&mut seen.classes_filtered, node);
            return None;
        }
        let load = self.board.load(node);
        if let Some(reason) = rules.sibling_obstacle(node, load) {
            *seen.siblings.entry(reason).or_default() += 1;
            count_class(&mut seen.classes_filtered, node);
            return None;
        }
        let used = load.usage.amounts().plus(rules.ask);
        let devices = || rules.requirements.devices.assign(node, load.usage).map_err(Cow::Owned);
        let room = room(node, load, used, rules.spec.network(), &mut self.chance).and_then(|ports| Ok((ports, devices()?)));
        let (ports, devices) = match room {
            Ok(room) => room,
            Err(dimension) => {
                seen.exhaust(dimension, node);
                return None;
            }
        };
        let scores = Scores {
            binpack: score::binpack(used, node.capacity()),
            anti_affinity: score::anti_affinity(load.siblings(&rules.spec.name), rules.spec.count()),
            reschedule_penalty: want.avoid.contains(&node.id).then_some(-1.0),
            affinity: rules.affinity(node),
            devices: devices.affinity,
            spread: rules.spreads.score(node),
        };
        Some(Offer { node, ports, devices, scores, mean: scores.mean() })
    }

    fn metric(&self, group: usize, seen: Seen) -> AllocationMetric {
        let mut metric = self.candidates.metric.clone();
        metric.nodes_evaluated = seen.evaluated;
        metric.nodes_filtered = seen.infeasible.values().sum::<u64>() + seen.siblings.values().sum::<u64>();
        metric.nodes_exhausted = seen.exhausted.values().sum();
        for (reason, n) in seen.infeasible {
            let words = self.rules.get(group).map_or("constraint", |r| r.reason(reason));
            metric.constraint_filtered.insert(words.to_owned(), n);
        }
        metric.constraint_filtered.extend(seen.siblings.into_iter().map(|(k, n)| (k.into_owned(), n)));
        metric.dimension_exhausted = seen.exhausted.into_iter().map(|(k, n)| (k.into_owned(), n)).collect();
        metric.class_filtered = seen.classes_filtered;
        metric.class_exhausted = seen.classes_exhausted;
        metric
    }

    fn commit(&mut self, want: &Want, offer: &Offer<'_>, metrics: AllocationMetric) {
        let Some(spec) = self.rules.get(want.group).map(|r| r.spec) else { return };
        let node = offer.node;
        let mut held = ask::resources(spec, node);
        if let Some(network) = spec.network() {
            let (mappings, given) = ports::mappings(network, node, &offer.ports);
            held.shared.ports = mappings;
            held.shared.networks = vec![given];
        }
        for (task, device) in &offer.devices.devices {
            if let Some(task) = held.tasks.get_mut(*task) {
                task.devices.push(device.clone());
            }
        }
        let alloc = Allocation {
            id: want.id.clone(),
            namespace: self.job.namespace.clone(),
            eval_id: self.eval.id.clone(),
            name: want.name.clone(),
            node_id: node.id.clone(),
            node_name: node.name.clone(),
            job_id: self.job.id.clone(),
            task_group: spec.name.clone(),
            allocated_resources: held,
            metrics,
            deployment_id: want.deployment.clone(),
            previous_allocation: want.previous.clone(),
            reschedule_tracker: want.tracker.clone(),
            ..Allocation::default()
        };
        self.note(Motion::Come, &alloc);
        self.board.place(alloc);
    }
}

/// Why a system job has nothing on a node.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// The job's own rules leave the node out, for this reason.
    NotMeant(String),
    /// The node is meant, but full.
    NoRoom(Box<AllocationMetric>),
}

/// The ports for one more allocation, when it fits into what is left of the node. The same question as [`floe_state::fit::Usage::check`] answers.
fn room(
    node: &Node,
    load: Load<'_>,
    used: Amounts,
    network: Option<&NetworkResource>,
    chance: &mut Chance,
) -> Result<Vec<u16>, Cow<'static, str>> {
    if let Some(dimension) = used.exceeds(node.capacity()) {
        return Err(Cow::Borrowed(dimension));
    }
    if usize::try_from(node.node_max_allocs).is_ok_and(|max| max > 0 && load.usage.count() >= max) {
        return Err(Cow::Borrowed("allocations"));
    }
    if let Some(misfit) = load.usage.conflict() {
        return Err(Cow::Owned(format!("ports: {misfit}")));
    }
    match network {
        None => Ok(Vec::new()),
        Some(network) => ports::assign(network, node, load.usage, chance).map_err(|PortConflict(words)| Cow::Owned(words)),
    }
}

fn mean(offers: &[Offer<'_>], i: usize) -> f64 {
    offers.get(i).map_or(f64::NEG_INFINITY, |o| o.mean)
}

/// The scores of the chosen node and of the best others.
fn score_meta(best: &Offer<'_>, others: &[Offer<'_>]) -> Vec<floe_model::alloc::NodeScoreMeta> {
    let mut rest: Vec<&Offer<'_>> = others.iter().collect();
    rest.sort_by(|a, b| b.mean.total_cmp(&a.mean).then_with(|| a.node.id.cmp(&b.node.id)));
    std::iter::once(best).chain(rest).take(KEPT_SCORES).map(|o| o.scores.meta(&o.node.id)).collect()
}
