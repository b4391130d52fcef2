//! System and sysbatch jobs: one allocation of each group on every node that is meant for it.

use crate::{
    Request,
    draft::{self, Draft},
    explanation::Step,
    feasible,
    place::{Placer, Rejection, Want},
    reconcile::{is_current, lost},
    words,
};
use floe_model::{
    AllocClientStatus, AllocId, Allocation, EvalTrigger, Job, JobType, NodeId, TaskGroup, change::needs_replacement, ids::alloc_name,
};
use floe_state::{ids::IdSource, plan::Stop};
use std::{collections::BTreeMap, sync::Arc};

struct Run<'a, 'i> {
    request: &'a Request<'a>,
    job: &'a Job,
    placer: Placer<'a>,
    ids: &'i mut IdSource,
    draft: Draft,
    /// How many allocations may still be replaced by this evaluation.
    room: usize,
    /// True when some had to wait for the next batch.
    held_back: bool,
}

/// What the allocations of a group on one node come to.
enum Present<'a> {
    /// One that runs, or ran and is not to run again.
    Stays,
    /// One to be replaced, with the reason; it is stopped only when its successor fits.
    Replace(&'a Allocation, String),
    /// One that was stopped or ended, whose place is free.
    Gone(AllocId),
}

/// Decides for a system or sysbatch job that is to run.
pub(crate) fn run<'a>(request: &'a Request<'a>, job: &'a Job, placer: Placer<'a>, ids: &mut IdSource) -> Draft {
    let room = batch_room(request, job);
    let mut run = Run { request, job, placer, ids, draft: Draft::default(), room, held_back: false };
    let mut by_group: BTreeMap<&str, Vec<&Arc<Allocation>>> = BTreeMap::new();
    for alloc in request.view.allocs_of_job(&job.key()) {
        by_group.entry(&alloc.task_group).or_default().push(alloc);
    }
    for (position, group) in job.task_groups.iter().enumerate() {
        let allocs = by_group.remove(group.name.as_str()).unwrap_or_default();
        run.group(position, group, &allocs);
    }
    for alloc in by_group.into_values().flatten().filter(|a| !a.is_terminal()) {
        run.stop(alloc, words::NOT_NEEDED);
    }
    run.finish()
}

/// How many allocations may be replaced now: all, or `max_parallel` of them every `stagger`.
fn batch_room(request: &Request<'_>, job: &Job) -> usize {
    let Some((parallel, _)) = batches(job) else { return usize::MAX };
    let waits = |e: &&Arc<floe_model::Evaluation>| {
        e.triggered_by == EvalTrigger::RollingUpdate && !e.is_terminal() && e.id != request.eval.id && e.wait_until > request.now
    };
    if request.view.evals_of_job(&job.key()).any(|e| waits(&e)) { 0 } else { parallel }
}

/// The size of a batch and the time between two, when the job is updated in batches.
fn batches(job: &Job) -> Option<(usize, floe_model::Nanos)> {
    let update = job.update.as_ref().filter(|_| job.job_type == JobType::System)?;
    let parallel = usize::try_from(update.max_parallel?).ok().filter(|n| *n > 0)?;
    update.stagger.filter(|s| s.0 > 0).map(|s| (parallel, s))
}

impl<'a> Run<'a, '_> {
    fn group(&mut self, position: usize, group: &'a TaskGroup, allocs: &[&'a Arc<Allocation>]) {
        self.draft.queued.entry(group.name.clone()).or_default();
        let mut by_node: BTreeMap<&NodeId, Vec<&Allocation>> = BTreeMap::new();
        for alloc in allocs {
            by_node.entry(&alloc.node_id).or_default().push(alloc);
        }
        let mut present: BTreeMap<&NodeId, Present<'a>> = BTreeMap::new();
        for (node, allocs) in by_node {
            if let Some(found) = self.on_node(position, group, &allocs) {
                present.insert(node, found);
            }
        }
        if group.count() == 0 {
            return;
        }
        for i in 0..self.placer.candidates().len {
            let Some(node) = self.placer.candidates().get(i) else { break };
            match present.remove(&node.id) {
                Some(Present::Stays) => {}
                Some(Present::Replace(alloc, why)) => self.replace(i, position, group, alloc, &why),
                Some(Present::Gone(previous)) => _ = self.place(i, position, group, previous, Step::Place),
                None => _ = self.place(i, position, group, AllocId::default(), Step::Place),
            }
        }
        // What is to be replaced on a node that takes no new work is left alone.
        let left = present.values().filter(|p| matches!(p, Present::Replace(..))).count();
        self.draft.explanation.count(&group.name, Step::Ignore, left as u64);
    }

    /// Sorts out what the group has on one node, and stops what must be stopped at once.
    fn on_node(&mut self, position: usize, group: &TaskGroup, allocs: &[&'a Allocation]) -> Option<Present<'a>> {
        let mut live: Vec<&Allocation> = allocs.iter().filter(|a| !a.is_terminal()).copied().collect();
        live.sort_by_key(|a| (is_current(a, self.job), a.create_index, a.id.clone()));
        let newest = live.pop();
        for extra in live {
            self.stop(extra, words::NOT_NEEDED);
        }
        let Some(alloc) = newest else { return self.ended(group, allocs) };
        if let Some(why) = lost(self.request.view, alloc) {
            self.stop_lost(alloc, why);
            return None;
        }
        if group.count() == 0 {
            self.stop(alloc, words::NOT_NEEDED);
            return None;
        }
        if alloc.desired_transition.migrate == Some(true) {
            self.stop(alloc, words::MOVED);
            return Some(Present::Gone(alloc.id.clone()));
        }
        self.running(position, group, alloc)
    }

    /// What allocations that are over come to.
    fn ended(&mut self, group: &TaskGroup, allocs: &[&'a Allocation]) -> Option<Present<'a>> {
        let newest = allocs.iter().filter(|a| a.next_allocation.is_empty()).max_by_key(|a| (a.create_index, a.id.clone()))?;
        let current = is_current(newest, self.job);
        let ended = matches!(newest.client_status, AllocClientStatus::Complete | AllocClientStatus::Failed);
        // A sysbatch runs once per node and version. What failed in a system job is tried again when something else calls for a look,
        // not at once: its own restart policy has given up just now.
        let rests = match self.job.job_type {
            JobType::Sysbatch => ended && !newest.is_server_terminal(),
            _ => newest.client_status == AllocClientStatus::Failed && self.request.eval.triggered_by == EvalTrigger::RetryFailedAlloc,
        };
        if current && rests {
            self.draft.explanation.count(&group.name, Step::Ignore, 1);
            Some(Present::Stays)
        } else {
            Some(Present::Gone(newest.id.clone()))
        }
    }

    fn running(&mut self, position: usize, group: &TaskGroup, alloc: &'a Allocation) -> Option<Present<'a>> {
        let node = self.request.view.node(&alloc.node_id)?;
        if is_current(alloc, self.job) {
            self.draft.explanation.count(&group.name, Step::Ignore, 1);
            return Some(Present::Stays);
        }
        let outside = !feasible::covers_datacenter(self.job, &node.datacenter) || !feasible::covers_pool(self.job, feasible::pool_of(node));
        if outside || self.placer.is_left_out(position, node) {
            self.stop(alloc, words::NODE_LEFT_OUT);
            return None;
        }
        let same_job = alloc.job.as_deref().filter(|old| old.create_index == self.job.create_index);
        let change = match same_job {
            None => Some("it is of an earlier job with the same id".to_owned()),
            Some(old) => needs_replacement(old, self.job, &group.name),
        };
        match change.or_else(|| self.placer.obstacle_to_stay(position, node)) {
            Some(why) => Some(Present::Replace(alloc, why)),
            None => {
                self.update_in_place(group, alloc);
                Some(Present::Stays)
            }
        }
    }

    fn update_in_place(&mut self, group: &TaskGroup, alloc: &Allocation) {
        let updated = Allocation {
            job: None,
            eval_id: self.request.eval.id.clone(),
            desired_description: words::UPDATED.to_owned(),
            task_states: BTreeMap::new(),
            network_status: None,
            ..alloc.clone()
        };
        self.placer.board.update(updated);
        self.draft.explanation.count(&group.name, Step::InPlace, 1);
    }

    fn stop(&mut self, alloc: &Allocation, why: &str) {
        self.placer.stop(alloc, Stop { id: alloc.id.clone(), description: why.to_owned(), ..Stop::default() });
        self.draft.explanation.count(&alloc.task_group, Step::Stop, 1);
        self.draft.explanation.because(&alloc.task_group, why, 1);
    }

    fn stop_lost(&mut self, alloc: &Allocation, why: &str) {
        let client_status = Some(AllocClientStatus::Lost);
        self.placer.stop(alloc, Stop { id: alloc.id.clone(), description: why.to_owned(), client_status, ..Stop::default() });
        self.draft.explanation.count(&alloc.task_group, Step::Stop, 1);
        self.draft.explanation.because(&alloc.task_group, why, 1);
    }

    fn replace(&mut self, candidate: usize, position: usize, group: &TaskGroup, alloc: &Allocation, why: &str) {
        if self.room == 0 {
            self.held_back = true;
            self.draft.explanation.count(&group.name, Step::Ignore, 1);
            self.draft.explanation.because(&group.name, "wait for the next batch", 1);
            return;
        }
        self.placer.stop(alloc, Stop { id: alloc.id.clone(), description: words::REPLACED.to_owned(), ..Stop::default() });
        if self.place(candidate, position, group, alloc.id.clone(), Step::Destructive) {
            self.room = self.room.saturating_sub(1);
            self.draft.explanation.because(&group.name, why, 1);
        } else {
            self.placer.undo_stop(alloc);
        }
    }

    /// Places one allocation on one node; says whether it found room.
    fn place(&mut self, candidate: usize, position: usize, group: &TaskGroup, previous: AllocId, step: Step) -> bool {
        let name = alloc_name(&self.job.id, &group.name, 0);
        let want = Want { group: position, id: self.ids.next_uuid().into(), name, previous, ..Want::default() };
        match self.placer.place_on(candidate, &want) {
            Ok(()) => {
                self.draft.explanation.count(&group.name, step, 1);
                true
            }
            Err(Rejection::NotMeant(reason)) => {
                self.draft.explanation.because(&group.name, &format!("nodes left out by {reason}"), 1);
                false
            }
            Err(Rejection::NoRoom(metric)) => {
                self.draft.fail_on_node(&group.name, *metric);
                self.draft.explanation.count_unplaced(&group.name, step);
                false
            }
        }
    }

    fn finish(mut self) -> Draft {
        let more = self.held_back && self.room == 0;
        let waiting = batch_room(self.request, self.job) == 0;
        if let Some((_, stagger)) = batches(self.job).filter(|_| more && !waiting) {
            let at = self.request.now.plus(stagger);
            let id = self.ids.next_uuid().into();
            self.draft.follow_ups.push(draft::delayed(self.request.eval, id, EvalTrigger::RollingUpdate, words::NEXT_BATCH, at));
        }
        let mut draft = self.draft;
        (draft.stops, draft.placements) = self.placer.board.finish();
        draft
    }
}
