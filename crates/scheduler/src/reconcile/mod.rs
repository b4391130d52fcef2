//! What a group of a service or batch job needs: a comparison of what it has with what it wants. Decides nothing about nodes.
//!
//! | an allocation is | when | then |
//! |---|---|---|
//! | gone | it is over and needs no successor (or has one) | its index is free |
//! | done | a batch ended well under the present version | it keeps its index, nothing is placed |
//! | live | it runs or will run on a node that answers | kept, updated in place or replaced |
//! | moving | a user (or a drain) wants it elsewhere | stopped and placed again |
//! | lost | its node is down or gone | stopped as lost and placed again |
//! | lost later | as above, but the node ends it by itself (`stop_on_client_after`) | waited for, then lost |
//! | failed | the client gave up | replaced now, later, or never, by the group's policy |

mod class;
mod names;
pub(crate) mod retry;
pub(crate) mod rollout;
mod updates;

pub(crate) use class::lost;
use class::{Class, classify};
use floe_model::{AllocId, Allocation, Evaluation, Job, JobType, Nanos, TaskGroup, Timestamp};
use floe_state::State;
use names::Names;
use rollout::Standing;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What the comparison looks at.
pub(crate) struct Inputs<'a> {
    pub(crate) view: &'a State,
    pub(crate) job: &'a Job,
    pub(crate) group: &'a TaskGroup,
    pub(crate) eval: &'a Evaluation,
    pub(crate) now: Timestamp,
    pub(crate) standing: Standing<'a>,
}

/// What a group needs.
#[derive(Debug, Default)]
pub(crate) struct Needs<'a> {
    /// To be stopped whatever else happens.
    pub(crate) surplus: Vec<&'a Allocation>,
    /// To be stopped as lost, with the reason.
    pub(crate) lost: Vec<(&'a Allocation, &'static str)>,
    /// To be looked at again at that time: until then their nodes may still run them.
    pub(crate) lost_later: Vec<(&'a Allocation, Timestamp)>,
    /// To be stopped and placed again.
    pub(crate) moving: Vec<&'a Allocation>,
    /// To be changed in place.
    pub(crate) in_place: Vec<&'a Allocation>,
    /// To be stopped when (and only when) its successor has a node; with the reason.
    pub(crate) replace: Vec<(&'a Allocation, String)>,
    /// Failed, to be replaced now after this delay.
    pub(crate) failed_now: Vec<(&'a Allocation, Nanos)>,
    /// Failed, to be replaced at that time.
    pub(crate) failed_later: Vec<(&'a Allocation, Timestamp)>,
    /// New allocations: the index, and whom it succeeds.
    pub(crate) place: Vec<(u32, Option<&'a Allocation>)>,
    /// How many stay as they are.
    pub(crate) ignored: u64,
    /// How many would be replaced if the update might go on.
    pub(crate) held_back: u64,
    /// True when some allocation, past ones included, has run the present version.
    pub(crate) had_current: bool,
}

/// Allocations that hold an index of the group.
#[derive(Debug, Default)]
struct Slots<'a> {
    live: Vec<&'a Allocation>,
    done: Vec<&'a Allocation>,
    moving: Vec<&'a Allocation>,
    lost_later: Vec<(&'a Allocation, Timestamp)>,
    failed_now: Vec<(&'a Allocation, Nanos)>,
    failed_later: Vec<(&'a Allocation, Timestamp)>,
    /// Failed and not replaced, or replaced by an evaluation that is under way.
    failed_kept: Vec<&'a Allocation>,
}

impl<'a> Slots<'a> {
    fn len(&self) -> usize {
        let failed = self.failed_now.len() + self.failed_later.len() + self.failed_kept.len();
        self.live.len() + self.done.len() + self.moving.len() + self.lost_later.len() + failed
    }

    fn iter(&self) -> impl Iterator<Item = &'a Allocation> {
        let failed = self.failed_now.iter().map(|(a, _)| *a).chain(self.failed_later.iter().map(|(a, _)| *a));
        let failed = failed.chain(self.lost_later.iter().map(|(a, _)| *a));
        self.live.iter().chain(&self.done).chain(&self.moving).chain(&self.failed_kept).copied().chain(failed)
    }

    fn remove(&mut self, gone: &BTreeSet<&AllocId>) {
        self.live.retain(|a| !gone.contains(&a.id));
        self.moving.retain(|a| !gone.contains(&a.id));
        self.lost_later.retain(|(a, _)| !gone.contains(&a.id));
        self.failed_kept.retain(|a| !gone.contains(&a.id));
        self.failed_now.retain(|(a, _)| !gone.contains(&a.id));
        self.failed_later.retain(|(a, _)| !gone.contains(&a.id));
    }
}

/// Compares what the group has with what it wants. `stays` says why an allocation could not stay on its node under the present
/// version of the job.
pub(crate) fn reconcile<'a>(
    inputs: &Inputs<'a>,
    allocs: &[&'a Arc<Allocation>],
    stays: &mut dyn FnMut(&Allocation) -> Option<String>,
) -> Needs<'a> {
    let mut needs = Needs { had_current: allocs.iter().any(|a| is_current(a, inputs.job)), ..Needs::default() };
    let mut orphans: BTreeMap<u32, &Allocation> = BTreeMap::new();
    let mut slots = Slots::default();
    let superseded = superseded(allocs);
    for alloc in allocs {
        if superseded.contains(&alloc.id) {
            continue;
        }
        match classify(inputs, alloc) {
            Class::Gone => note_orphan(&mut orphans, alloc, inputs.job),
            Class::Done => slots.done.push(alloc),
            Class::Live => slots.live.push(alloc),
            Class::Moving => slots.moving.push(alloc),
            Class::Lost(why) => needs.lost.push((alloc, why)),
            Class::LostLater(at) => slots.lost_later.push((alloc, at)),
            Class::FailedNow(delay) => slots.failed_now.push((alloc, delay)),
            Class::FailedLater(at) => slots.failed_later.push((alloc, at)),
            Class::FailedKept => slots.failed_kept.push(alloc),
        }
    }
    remove_surplus(inputs, &mut slots, &mut needs);
    fill(inputs, &slots, orphans, &mut needs);
    updates::plan(inputs, slots, stays, &mut needs);
    needs
}

/// True when the allocation runs the present version of the job (and not one of an earlier job with the same id).
pub(crate) fn is_current(alloc: &Allocation, job: &Job) -> bool {
    alloc.job.as_ref().is_some_and(|j| j.version == job.version && j.create_index == job.create_index)
}

/// Failed allocations that wait for a successor although a later allocation took their index: the job grew and shrank in between.
fn superseded<'a>(allocs: &[&'a Arc<Allocation>]) -> BTreeSet<&'a AllocId> {
    let waiting: Vec<_> = allocs.iter().filter(|a| a.is_server_terminal() && !a.followup_eval_id.is_empty()).collect();
    if waiting.is_empty() {
        return BTreeSet::new();
    }
    let mut newest: BTreeMap<Option<u32>, u64> = BTreeMap::new();
    for alloc in allocs {
        let index = newest.entry(alloc.index()).or_default();
        *index = (*index).max(alloc.create_index);
    }
    let is_older = |a: &&&&Arc<Allocation>| newest.get(&a.index()).is_some_and(|n| *n > a.create_index);
    waiting.iter().filter(is_older).map(|a| &a.id).collect()
}

/// Remembers allocations that were lost and found no successor yet, so that the one that comes carries their history.
fn note_orphan<'a>(orphans: &mut BTreeMap<u32, &'a Allocation>, alloc: &'a Allocation, job: &Job) {
    let of_job = alloc.job.as_ref().is_some_and(|j| j.create_index == job.create_index);
    let is_lost = alloc.client_status == floe_model::AllocClientStatus::Lost;
    if let Some(index) = alloc.index().filter(|_| is_lost && of_job && alloc.next_allocation.is_empty()) {
        let newest = orphans.entry(index).or_insert(alloc);
        if alloc.create_index > newest.create_index {
            *newest = alloc;
        }
    }
}

/// Takes out as many as are too many: those that do not run first, then the highest indexes.
fn remove_surplus<'a>(inputs: &Inputs<'a>, slots: &mut Slots<'a>, needs: &mut Needs<'a>) {
    let surplus = slots.len().saturating_sub(inputs.group.count() as usize);
    if surplus == 0 {
        return;
    }
    let is_done = |a: &Allocation| inputs.job.job_type == JobType::Batch && a.ran_successfully();
    let mut order: Vec<&Allocation> = slots.iter().filter(|a| !is_done(a)).collect();
    order.sort_by_key(|a| (class::worth(a), std::cmp::Reverse(a.index()), a.id.clone()));
    order.truncate(surplus);
    slots.remove(&order.iter().map(|a| &a.id).collect());
    // One that waits for its successor is stopped already.
    needs.surplus = order.into_iter().filter(|a| !a.is_server_terminal()).collect();
}

/// Finds indexes for what is missing: successors of the lost first, then new ones.
fn fill<'a>(inputs: &Inputs<'a>, slots: &Slots<'a>, mut orphans: BTreeMap<u32, &'a Allocation>, needs: &mut Needs<'a>) {
    let count = inputs.group.count();
    let mut missing = (count as usize).saturating_sub(slots.len());
    let mut names = Names::new(slots.iter().filter_map(Allocation::index));
    let may_grow = inputs.standing.may_go_on();
    needs.lost.sort_by_key(|(a, _)| (a.index(), a.id.clone()));
    for (alloc, _) in needs.lost.iter().take(missing) {
        needs.place.push((names.take(alloc.index(), count), Some(alloc)));
    }
    missing -= needs.place.len();
    for _ in 0..missing {
        let index = names.next();
        let orphan = orphans.remove(&index);
        if may_grow || orphan.is_some() {
            needs.place.push((index, orphan));
        } else {
            needs.held_back += 1;
        }
    }
}
