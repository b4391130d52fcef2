//! Everything that placing one group needs to know, compiled once per evaluation.

use crate::{
    ask,
    board::Load,
    feasible::{Requirements, condition::Condition},
    rank::{spread::Spreads, tally::Tally},
    roster::Candidates,
};
use floe_model::{Allocation, Job, JobType, Node, TaskGroup, group::Constraint, resources::Amounts};
use std::borrow::Cow;

/// Candidates that are scored for a batch, and the least for anything else.
const MIN_CANDIDATES: usize = 2;
/// The least number of candidates where affinities or spreads want a wide view.
const WIDE_CANDIDATES: usize = 100;

/// The rules of one group.
pub(crate) struct Rules<'a> {
    pub(crate) spec: &'a TaskGroup,
    pub(crate) requirements: Requirements<'a>,
    /// What one allocation takes.
    pub(crate) ask: Amounts,
    distinct_hosts: DistinctHosts,
    properties: Vec<Property<'a>>,
    affinities: Vec<(Condition<'a>, f64)>,
    pub(crate) spreads: Spreads<'a>,
    /// What is known of each candidate's feasibility, by its position.
    verdicts: Vec<Verdict>,
    /// Why candidates are infeasible.
    reasons: Vec<String>,
    /// Set once a look at all candidates found none: only those where stops made room since then (from this one on) can have any.
    pub(crate) exhausted_since: Option<usize>,
}

/// Whether allocations may share a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DistinctHosts {
    No,
    /// No two of the group.
    Group,
    /// No two of the job.
    Job,
}

/// A `distinct_property` constraint.
struct Property<'a> {
    tally: Tally<'a>,
    name: &'a str,
    /// How many allocations may share one value.
    max: u64,
}

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Unknown,
    Feasible,
    /// The index of the reason.
    Infeasible(u16),
}

impl<'a> Rules<'a> {
    pub(crate) fn new(job: &'a Job, spec: &'a TaskGroup, candidates: &mut Candidates<'_>) -> Self {
        let of_tasks = spec.tasks.iter().flat_map(|t| &t.affinities);
        let affinities = job.affinities.iter().chain(&spec.affinities).chain(of_tasks);
        Self {
            spec,
            requirements: Requirements::new(job, spec, candidates.facts),
            ask: ask::amounts(spec),
            distinct_hosts: distinct_hosts(job, spec),
            properties: properties(job, spec),
            affinities: affinities.map(|a| (Condition::of_affinity(a), f64::from(a.weight.unwrap_or_default()))).collect(),
            spreads: Spreads::new(job, spec),
            verdicts: vec![Verdict::Unknown; candidates.len],
            reasons: Vec::new(),
            exhausted_since: None,
        }
    }

    /// How many nodes are scored before the best is taken.
    pub(crate) fn candidate_limit(&self, job_type: JobType, nodes: usize) -> usize {
        if !self.affinities.is_empty() || !self.spreads.rules.is_empty() || self.requirements.devices.have_affinities() {
            return WIDE_CANDIDATES.max(self.spec.count() as usize);
        }
        match job_type {
            JobType::Service => MIN_CANDIDATES.max(ceil_log2(nodes)),
            JobType::Batch | JobType::System | JobType::Sysbatch => MIN_CANDIDATES,
        }
    }

    /// Whether candidate number `i` is feasible; asked once, then remembered.
    pub(crate) fn verdict(&mut self, i: usize, node: &Node, candidates: &mut Candidates<'_>) -> Verdict {
        match self.verdicts.get(i) {
            Some(Verdict::Unknown) | None => {}
            Some(known) => return *known,
        }
        let verdict = match self.requirements.obstacle(node, candidates.seat(i), candidates.facts) {
            None => Verdict::Feasible,
            Some(reason) => Verdict::Infeasible(self.reason_index(reason)),
        };
        if let Some(slot) = self.verdicts.get_mut(i) {
            *slot = verdict;
        }
        verdict
    }

    fn reason_index(&mut self, reason: String) -> u16 {
        let known = self.reasons.iter().position(|r| *r == reason).unwrap_or_else(|| {
            self.reasons.push(reason);
            self.reasons.len() - 1
        });
        // A group has far fewer distinct reasons than this: one for each of its constraints and a handful more.
        u16::try_from(known).unwrap_or(u16::MAX)
    }

    /// The words of a reason.
    pub(crate) fn reason(&self, index: u16) -> &str {
        self.reasons.get(usize::from(index)).map_or("constraint", String::as_str)
    }

    /// Why siblings keep one more allocation off `node`; `None` when they do not.
    pub(crate) fn sibling_obstacle(&self, node: &Node, load: Load<'_>) -> Option<Cow<'static, str>> {
        let taken = match self.distinct_hosts {
            DistinctHosts::No => false,
            DistinctHosts::Group => load.siblings(&self.spec.name) > 0,
            DistinctHosts::Job => load.has_job(),
        };
        if taken {
            return Some(Cow::Borrowed("distinct_hosts"));
        }
        self.properties.iter().find_map(|p| p.obstacle(node)).map(Cow::Owned)
    }

    /// From -1 to 1: how much the group likes `node`; `None` when it has no opinion.
    pub(crate) fn affinity(&self, node: &Node) -> Option<f64> {
        let total: f64 = self.affinities.iter().map(|(_, w)| w.abs()).sum();
        let matched: f64 = self.affinities.iter().filter(|(c, _)| c.holds(node)).map(|(_, w)| w).sum();
        (matched != 0.0).then(|| matched / total)
    }

    /// True when a stop makes room on other nodes than its own: it frees a value that siblings may not share.
    pub(crate) fn has_properties(&self) -> bool {
        !self.properties.is_empty()
    }

    /// True when some rule counts where siblings are.
    pub(crate) fn has_tallies(&self) -> bool {
        !self.properties.is_empty() || !self.spreads.rules.is_empty()
    }

    /// An allocation of the job comes to a node (`Come`) or leaves it.
    pub(crate) fn note(&mut self, motion: Motion, alloc: &Allocation, node: &Node) {
        let tallies = self.properties.iter_mut().map(|p| &mut p.tally).chain(self.spreads.rules.iter_mut().map(|r| &mut r.tally));
        for tally in tallies {
            match motion {
                Motion::Come => tally.add(&alloc.task_group, node),
                Motion::Leave => tally.remove(&alloc.task_group, node),
            }
        }
    }
}

/// Whether an allocation comes or leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Motion {
    Come,
    Leave,
}

impl Property<'_> {
    fn obstacle(&self, node: &Node) -> Option<String> {
        match self.tally.value(node) {
            None => Some(format!("distinct_property: {} is missing", self.name)),
            Some(value) => match self.tally.count(value) {
                n if n >= self.max => Some(format!("distinct_property: {} = {value} used by {n} allocations", self.name)),
                _ => None,
            },
        }
    }
}

fn distinct_hosts(job: &Job, group: &TaskGroup) -> DistinctHosts {
    let wants = |list: &[Constraint]| list.iter().any(|c| c.operand == "distinct_hosts" && c.r_target != "false");
    if wants(&job.constraints) {
        DistinctHosts::Job
    } else if wants(&group.constraints) {
        DistinctHosts::Group
    } else {
        DistinctHosts::No
    }
}

fn properties<'a>(job: &'a Job, group: &'a TaskGroup) -> Vec<Property<'a>> {
    let property = |c: &'a Constraint, scope: Option<&'a str>| {
        // An empty value means one; one that is no number lets nothing through, and jobs with it are refused.
        let max = if c.r_target.is_empty() { 1 } else { c.r_target.parse().unwrap_or(0) };
        Property { tally: Tally::new(&c.l_target, scope), name: &c.l_target, max }
    };
    let is_property = |c: &&Constraint| c.operand == "distinct_property";
    let of_job = job.constraints.iter().filter(is_property).map(|c| property(c, None));
    of_job.chain(group.constraints.iter().filter(is_property).map(|c| property(c, Some(&group.name)))).collect()
}

/// The smallest `k` with 2^k >= n.
fn ceil_log2(n: usize) -> usize {
    (n.max(1).next_power_of_two().trailing_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::Roster;

    fn limit(group: &TaskGroup, job_type: JobType, nodes: usize) -> usize {
        let (job, mut roster) = (Job::default(), Roster::default());
        Rules::new(&job, group, &mut roster.candidates(&job)).candidate_limit(job_type, nodes)
    }

    #[test]
    fn the_number_of_candidates_grows_with_the_logarithm() {
        let group = TaskGroup::default();
        let limits = [0, 1, 2, 4, 5, 1000, 1024, 1025].map(|n| limit(&group, JobType::Service, n));
        assert_eq!(limits, [2, 2, 2, 2, 3, 10, 10, 11]);
        assert_eq!(limit(&group, JobType::Batch, 1 << 20), 2);
    }

    #[test]
    fn preferences_widen_the_view() {
        let spread = floe_model::group::Spread::default();
        let group = |count| TaskGroup { count: Some(count), spreads: vec![spread.clone()], ..TaskGroup::default() };
        assert_eq!(limit(&group(3), JobType::Service, 10_000), 100);
        assert_eq!(limit(&group(300), JobType::Batch, 10_000), 300);
    }
}
