//! Service and batch jobs: carries out what [`reconcile`](crate::reconcile) found to be needed.

use crate::{
    Request,
    draft::{self, Draft},
    explanation::Step,
    place::{Placer, Want},
    reconcile::{
        self, Inputs, Needs,
        retry::{self, BATCH_WINDOW},
        rollout::{self, Standing},
    },
    words,
};
use floe_model::{
    AllocClientStatus, Allocation, DeploymentId, EvalTrigger, Job, Nanos, NodeId, TaskGroup, Timestamp,
    alloc::{AllocationMetric, RescheduleTracker, TaskState},
    ids::alloc_name,
};
use floe_state::{ids::IdSource, plan::Stop};
use std::{collections::BTreeMap, sync::Arc};

/// One run of the scheduler for one job.
struct Run<'a, 'i> {
    request: &'a Request<'a>,
    job: &'a Job,
    standing: Standing<'a>,
    placer: Placer<'a>,
    ids: &'i mut IdSource,
    draft: Draft,
}

/// An allocation that is stopped when another takes its place.
struct Successor<'a> {
    alloc: &'a Allocation,
    want: Want,
    why: &'static str,
    step: Step,
    /// Why it found no node when it was tried first.
    failure: Option<Box<AllocationMetric>>,
}

/// Decides for a service or batch job that is to run.
pub(crate) fn run<'a>(request: &'a Request<'a>, job: &'a Job, placer: Placer<'a>, ids: &mut IdSource) -> Draft {
    let standing = Standing::of(request.view, job);
    let draft = Draft { deployment_updates: rollout::outdated(request.view, &job.key(), Some(job)), ..Draft::default() };
    let mut run = Run { request, job, standing, placer, ids, draft };
    let mut by_group: BTreeMap<&str, Vec<&Arc<Allocation>>> = BTreeMap::new();
    for alloc in request.view.allocs_of_job(&job.key()) {
        by_group.entry(&alloc.task_group).or_default().push(alloc);
    }
    let mut needs = Vec::new();
    for (position, group) in job.task_groups.iter().enumerate() {
        let allocs = by_group.remove(group.name.as_str()).unwrap_or_default();
        needs.push((position, group, run.compare(position, group, &allocs)));
    }
    for allocs in by_group.values() {
        run.stop_group(allocs);
    }
    run.begin_deployment(&needs);
    for (_, group, needs) in &needs {
        run.stop_and_update(group, needs);
    }
    for (position, group, needs) in needs {
        run.fill(position, group, needs);
    }
    run.finish()
}

impl<'a> Run<'a, '_> {
    fn compare(&mut self, position: usize, group: &'a TaskGroup, allocs: &[&'a Arc<Allocation>]) -> Needs<'a> {
        let Request { view, eval, now, .. } = *self.request;
        let inputs = Inputs { view, job: self.job, group, eval, now, standing: self.standing };
        let placer = &mut self.placer;
        reconcile::reconcile(&inputs, allocs, &mut |alloc| match view.node(&alloc.node_id) {
            Some(node) => placer.obstacle_to_stay(position, node),
            None => Some(words::NODE_GONE.to_owned()),
        })
    }

    /// Stops what belongs to a group that the job has no more.
    fn stop_group(&mut self, allocs: &[&Arc<Allocation>]) {
        for alloc in allocs.iter().filter(|a| !a.is_terminal()) {
            self.stop(alloc, words::NOT_NEEDED);
            self.draft.explanation.count(&alloc.task_group, Step::Stop, 1);
        }
    }

    fn stop(&mut self, alloc: &Allocation, why: &str) {
        self.placer.stop(alloc, Stop { id: alloc.id.clone(), description: why.to_owned(), ..Stop::default() });
    }

    /// A deployment begins with the first placement of a version, and with each update that one is not on its way for.
    fn begin_deployment(&mut self, needs: &[(usize, &'a TaskGroup, Needs<'a>)]) {
        self.draft.deployment_id = self.standing.active().map(|d| d.id.clone()).unwrap_or_default();
        if !matches!(self.standing, Standing::None) {
            return;
        }
        let begins = |group: &TaskGroup, needs: &Needs<'_>| {
            let updates = !needs.replace.is_empty() || !needs.in_place.is_empty();
            rollout::max_parallel(self.job, group).is_some() && group.count() > 0 && (!needs.had_current || updates)
        };
        let groups: BTreeMap<_, _> =
            needs.iter().filter(|(_, g, n)| begins(g, n)).map(|(_, g, _)| (g.name.clone(), rollout::group_state(g))).collect();
        if groups.is_empty() {
            return;
        }
        let mut deployment = rollout::begin(self.ids.next_uuid().into(), self.job, self.request.eval.priority);
        deployment.task_groups = groups;
        self.draft.deployment_id = deployment.id.clone();
        self.draft.deployment = Some(deployment);
    }

    /// The deployment that allocations of `group` count for.
    fn deployment_of(&self, group: &TaskGroup) -> DeploymentId {
        let deployment = self.draft.deployment.as_ref().or(self.standing.active());
        deployment.filter(|d| d.task_groups.contains_key(&group.name)).map(|d| d.id.clone()).unwrap_or_default()
    }

    fn stop_and_update(&mut self, group: &TaskGroup, needs: &Needs<'a>) {
        let name = group.name.as_str();
        for alloc in &needs.surplus {
            self.stop(alloc, words::NOT_NEEDED);
        }
        for (alloc, why) in &needs.lost {
            let client_status = Some(AllocClientStatus::Lost);
            let stop = Stop { id: alloc.id.clone(), description: (*why).to_owned(), client_status, ..Stop::default() };
            self.placer.stop(alloc, stop);
            self.draft.explanation.because(name, why, 1);
        }
        for alloc in &needs.moving {
            self.stop(alloc, words::MOVED);
        }
        for alloc in &needs.in_place {
            self.update_in_place(group, alloc);
        }
        let orphans = needs.lost.len().saturating_sub(needs.place.iter().filter(|(_, p)| p.is_some_and(|p| !p.is_terminal())).count());
        let explanation = &mut self.draft.explanation;
        explanation.count(name, Step::Stop, (needs.surplus.len() + orphans) as u64);
        explanation.count(name, Step::InPlace, needs.in_place.len() as u64);
        explanation.count(name, Step::Ignore, needs.ignored + needs.held_back);
        explanation.because(name, words::NOT_NEEDED, needs.surplus.len() as u64);
        explanation.because(name, "wait for the deployment", needs.held_back);
        self.delay(&needs.failed_later);
        self.look_again(&needs.lost_later);
    }

    /// Makes an evaluation for the time when nodes that are down have ended what they ran, unless one is due then already.
    fn look_again(&mut self, waiting: &[(&Allocation, Timestamp)]) {
        for (alloc, _) in waiting {
            self.draft.explanation.because(&alloc.task_group, words::NODE_CUT_OFF, 1);
        }
        let Some(at) = waiting.iter().map(|(_, at)| *at).min() else { return };
        let window = at..=at.plus(BATCH_WINDOW);
        let is_due = |e: &floe_model::Evaluation| !e.is_terminal() && window.contains(&e.wait_until);
        let (view, eval) = (self.request.view, self.request.eval);
        let known = view.evals_of_job(&self.job.key()).any(|e| e.id != eval.id && is_due(e)) || self.draft.follow_ups.iter().any(is_due);
        if !known {
            let id = self.ids.next_uuid().into();
            self.draft.follow_ups.push(draft::delayed(eval, id, EvalTrigger::NodeUpdate, words::AFTER_CUT_OFF, at));
        }
    }

    fn update_in_place(&mut self, group: &TaskGroup, alloc: &Allocation) {
        let deployment_id = self.deployment_of(group);
        let same = deployment_id == alloc.deployment_id && !deployment_id.is_empty();
        let updated = Allocation {
            job: None,
            eval_id: self.request.eval.id.clone(),
            desired_description: words::UPDATED.to_owned(),
            deployment_status: alloc.deployment_status.clone().filter(|_| same),
            deployment_id,
            // What the client said is kept by the state; the plan need not carry it.
            task_states: BTreeMap::<String, TaskState>::new(),
            network_status: None,
            ..alloc.clone()
        };
        self.placer.board.update(updated);
    }

    /// Makes evaluations that will replace failed allocations when their time has come; those of nearly the same time share one.
    fn delay(&mut self, failed: &[(&Allocation, Timestamp)]) {
        let mut failed: Vec<_> = failed.iter().collect();
        failed.sort_by_key(|(a, at)| (*at, a.id.clone()));
        let mut window: Option<(Timestamp, floe_model::EvalId)> = None;
        for (alloc, at) in failed {
            let id = match &window {
                Some((first, id)) if *at <= first.plus(BATCH_WINDOW) => id.clone(),
                _ => {
                    let id: floe_model::EvalId = self.ids.next_uuid().into();
                    let eval = draft::delayed(self.request.eval, id.clone(), EvalTrigger::RetryFailedAlloc, words::DELAYED, *at);
                    self.draft.follow_ups.push(eval);
                    window = Some((*at, id.clone()));
                    id
                }
            };
            let stop = Stop { id: alloc.id.clone(), description: words::WAITS.to_owned(), followup_eval_id: id, ..Stop::default() };
            self.placer.stop(alloc, stop);
            self.draft.explanation.because(&alloc.task_group, words::WAITS, 1);
        }
    }

    /// Places what is to be placed: updates first, since each frees what its predecessor held.
    fn fill(&mut self, position: usize, group: &'a TaskGroup, needs: Needs<'a>) {
        self.draft.queued.entry(group.name.clone()).or_default();
        let mut successors = Vec::new();
        for (alloc, why) in needs.replace {
            self.draft.explanation.because(&group.name, &why, 1);
            let want = self.successor(position, group, alloc, None);
            successors.push(Successor { alloc, want, why: words::REPLACED, step: Step::Destructive, failure: None });
        }
        for (alloc, delay) in needs.failed_now {
            let want = self.after_failure(position, group, alloc, delay);
            successors.push(Successor { alloc, want, why: words::RESCHEDULED, step: Step::Reschedule, failure: None });
        }
        self.replace(group, successors);
        for alloc in needs.moving {
            let want = self.successor(position, group, alloc, alloc.reschedule_tracker.clone());
            self.try_place(group, &want, Step::Migrate);
        }
        for (index, previous) in needs.place {
            let mut want = match previous {
                Some(lost) => self.successor(position, group, lost, lost.reschedule_tracker.clone()),
                None => self.want(position, group),
            };
            want.name = alloc_name(&self.job.id, &group.name, index);
            // Its data is out of reach with its node.
            want.prefer = None;
            let step = if previous.is_some() { Step::Migrate } else { Step::Place };
            self.try_place(group, &want, step);
        }
    }

    fn want(&mut self, position: usize, group: &TaskGroup) -> Want {
        Want { group: position, id: self.ids.next_uuid().into(), deployment: self.deployment_of(group), ..Want::default() }
    }

    /// An allocation that takes another's place and name.
    fn successor(&mut self, position: usize, group: &TaskGroup, of: &Allocation, tracker: Option<RescheduleTracker>) -> Want {
        let sticky = group.ephemeral_disk.as_ref().and_then(|d| d.sticky) == Some(true);
        Want {
            name: of.name.clone(),
            previous: of.id.clone(),
            tracker,
            prefer: sticky.then(|| of.node_id.clone()),
            ..self.want(position, group)
        }
    }

    /// The successor of a failed allocation: it remembers, and keeps away from where its predecessors failed.
    fn after_failure(&mut self, position: usize, group: &TaskGroup, failed: &Allocation, delay: Nanos) -> Want {
        let tracker = retry::history(failed, group.reschedule_policy.as_ref(), delay, self.request.now);
        let avoid: Vec<NodeId> = tracker.events.iter().map(|e| e.prev_node_id.clone()).collect();
        Want { avoid, ..self.successor(position, group, failed, Some(tracker)) }
    }

    /// Stops each predecessor whose successor finds a node; the others stay as they are. One that is stopped makes room for another, so
    /// those that found nothing are tried again as long as any finds something.
    fn replace(&mut self, group: &TaskGroup, mut waiting: Vec<Successor<'_>>) {
        let mut before = usize::MAX;
        while waiting.len() < before && !waiting.is_empty() {
            before = waiting.len();
            waiting.retain_mut(|successor| !self.try_replace(group, successor));
        }
        for (failure, step) in waiting.into_iter().filter_map(|s| Some((s.failure?, s.step))) {
            self.fail(group, *failure, step);
        }
    }

    fn try_replace(&mut self, group: &TaskGroup, successor: &mut Successor<'_>) -> bool {
        self.stop(successor.alloc, successor.why);
        match self.placer.place(&successor.want) {
            Ok(()) => self.draft.explanation.count(&group.name, successor.step, 1),
            Err(metric) => {
                self.placer.undo_stop(successor.alloc);
                successor.failure.get_or_insert(metric);
                return false;
            }
        }
        true
    }

    fn try_place(&mut self, group: &TaskGroup, want: &Want, step: Step) {
        match self.placer.place(want) {
            Ok(()) => self.draft.explanation.count(&group.name, step, 1),
            Err(metric) => self.fail(group, *metric, step),
        }
    }

    fn fail(&mut self, group: &TaskGroup, metric: AllocationMetric, step: Step) {
        self.draft.fail(&group.name, metric);
        self.draft.explanation.count_unplaced(&group.name, step);
    }

    fn finish(self) -> Draft {
        let mut draft = self.draft;
        (draft.stops, draft.placements) = self.placer.board.finish();
        draft
    }
}
