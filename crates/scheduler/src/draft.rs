//! A decision in the making, and its last form.

use crate::{Decision, Request, explanation::Explanation, words};
use floe_model::{
    Deployment, DeploymentId, EvalId, EvalStatus, EvalTrigger, Evaluation, Job, Timestamp,
    alloc::{Allocation, AllocationMetric},
};
use floe_state::{
    Plan,
    ids::IdSource,
    plan::{DeploymentUpdate, Stop},
};
use std::collections::BTreeMap;

/// Everything that a scheduler decided.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) stops: Vec<Stop>,
    pub(crate) placements: Vec<Allocation>,
    pub(crate) deployment: Option<Deployment>,
    pub(crate) deployment_updates: Vec<DeploymentUpdate>,
    /// The deployment that this evaluation works for.
    pub(crate) deployment_id: DeploymentId,
    /// Evaluations that will go on later.
    pub(crate) follow_ups: Vec<Evaluation>,
    /// Why groups found no node.
    pub(crate) failed: BTreeMap<String, AllocationMetric>,
    /// How many of each group are wanted and not placed.
    pub(crate) queued: BTreeMap<String, u64>,
    pub(crate) explanation: Explanation,
}

impl Draft {
    /// Notes that one allocation of `group` found no node. Only the first explanation is kept; the others are counted.
    pub(crate) fn fail(&mut self, group: &str, metric: AllocationMetric) {
        *self.queued.entry(group.to_owned()).or_default() += 1;
        match self.failed.get_mut(group) {
            Some(first) => first.coalesced_failures += 1,
            None => _ = self.failed.insert(group.to_owned(), metric),
        }
    }

    /// Notes that a node which is meant for `group` has no room; what each such node lacks is summed up.
    pub(crate) fn fail_on_node(&mut self, group: &str, metric: AllocationMetric) {
        *self.queued.entry(group.to_owned()).or_default() += 1;
        let Some(sum) = self.failed.get_mut(group) else {
            self.failed.insert(group.to_owned(), metric);
            return;
        };
        sum.nodes_evaluated += metric.nodes_evaluated;
        sum.nodes_exhausted += metric.nodes_exhausted;
        sum.coalesced_failures += 1;
        for (into, from) in [(&mut sum.dimension_exhausted, metric.dimension_exhausted), (&mut sum.class_exhausted, metric.class_exhausted)]
        {
            for (key, n) in from {
                *into.entry(key).or_default() += n;
            }
        }
    }
}

/// A new evaluation that comes after `eval`.
pub(crate) fn follow_up(eval: &Evaluation, id: EvalId, trigger: EvalTrigger, description: &str) -> Evaluation {
    Evaluation {
        id,
        namespace: eval.namespace.clone(),
        job_id: eval.job_id.clone(),
        job_type: eval.job_type,
        priority: eval.priority,
        job_modify_index: eval.job_modify_index,
        triggered_by: trigger,
        status: EvalStatus::Pending,
        status_description: description.to_owned(),
        previous_eval: eval.id.clone(),
        ..Evaluation::default()
    }
}

/// A follow-up that waits until `at`.
pub(crate) fn delayed(eval: &Evaluation, id: EvalId, trigger: EvalTrigger, description: &str, at: Timestamp) -> Evaluation {
    Evaluation { wait_until: at, ..follow_up(eval, id, trigger, description) }
}

/// Makes the plan, with what becomes of the evaluation.
pub(crate) fn finish(request: &Request<'_>, job: Option<&Job>, draft: Draft, ids: &mut IdSource) -> Decision {
    let on_commit = answers(request, &draft, ids);
    let plan = Plan {
        eval_id: request.eval.id.clone(),
        based_on: request.view.index(),
        all_at_once: job.is_some_and(|j| j.all_at_once),
        job: job.filter(|_| !draft.placements.is_empty()).map(|j| Box::new(j.clone())),
        stops: draft.stops,
        placements: draft.placements,
        deployment: draft.deployment,
        deployment_updates: draft.deployment_updates,
        evals: draft.follow_ups,
        on_commit,
    };
    Decision { plan, explanation: draft.explanation }
}

/// The answered evaluation, and a blocked one when something found no node. A blocked evaluation that was woken in vain blocks again.
fn answers(request: &Request<'_>, draft: &Draft, ids: &mut IdSource) -> Vec<Evaluation> {
    let eval = request.eval;
    let mut answered = Evaluation {
        status: EvalStatus::Complete,
        status_description: String::new(),
        failed_tg_allocs: draft.failed.clone(),
        queued_allocations: draft.queued.clone(),
        next_eval: draft.follow_ups.first().map(|e| e.id.clone()).unwrap_or_default(),
        blocked_eval: EvalId::default(),
        ..eval.clone()
    };
    if !draft.deployment_id.is_empty() {
        answered.deployment_id = draft.deployment_id.clone();
    }
    if draft.failed.is_empty() {
        return vec![answered];
    }
    if was_blocked(eval) {
        block(&mut answered, draft, request.view.index());
        return vec![answered];
    }
    let mut blocked = follow_up(eval, ids.next_uuid().into(), EvalTrigger::QueuedAllocs, words::BLOCKED);
    block(&mut blocked, draft, request.view.index());
    answered.blocked_eval = blocked.id.clone();
    vec![answered, blocked]
}

/// True for an evaluation that waited for room, whether or not it was marked as pending when it was woken.
fn was_blocked(eval: &Evaluation) -> bool {
    eval.status == EvalStatus::Blocked || eval.triggered_by == EvalTrigger::QueuedAllocs
}

/// Classes of nodes are not tracked: whatever changes in the cluster after `seen` wakes it.
fn block(eval: &mut Evaluation, draft: &Draft, seen: u64) {
    eval.status = EvalStatus::Blocked;
    eval.snapshot_index = seen;
    words::BLOCKED.clone_into(&mut eval.status_description);
    eval.escaped_computed_class = true;
    eval.failed_tg_allocs.clone_from(&draft.failed);
    eval.queued_allocations.clone_from(&draft.queued);
}

/// See [`crate::give_up`].
pub(crate) fn give_up(eval: &Evaluation, wanted: &Plan, seed: (u64, u64), attempts: u32) -> Vec<Evaluation> {
    let id: EvalId = IdSource::new(seed).next_uuid().into();
    let answered = wanted.on_commit.iter().find(|e| e.id == eval.id);
    let mut queued = answered.map(|e| e.queued_allocations.clone()).unwrap_or_default();
    // One that is there already is only updated.
    for placement in wanted.placements.iter().filter(|p| p.create_index == 0) {
        *queued.entry(placement.task_group.clone()).or_default() += 1;
    }
    let mut blocked = follow_up(eval, id, EvalTrigger::MaxPlans, words::BLOCKED_BY_CONFLICTS);
    blocked.status = EvalStatus::Blocked;
    blocked.escaped_computed_class = true;
    blocked.snapshot_index = wanted.based_on;
    blocked.failed_tg_allocs = answered.map(|e| e.failed_tg_allocs.clone()).unwrap_or_default();
    blocked.queued_allocations.clone_from(&queued);
    let failed = Evaluation {
        status: EvalStatus::Failed,
        status_description: format!("gave up after {attempts} plans that met a changed cluster"),
        blocked_eval: blocked.id.clone(),
        queued_allocations: queued,
        ..eval.clone()
    };
    vec![failed, blocked]
}
