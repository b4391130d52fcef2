//! What is derived for one job: its allocations, evaluations and deployments, and the counts that its status and summary follow from.

use super::{Derived, track};
use floe_model::{AllocClientStatus, AllocId, Allocation, Deployment, DeploymentId, EvalId, EvalStatus, Evaluation, job::TaskGroupSummary};
use imbl::{OrdMap, OrdSet};
use std::sync::Arc;

/// What is derived for one job, whether or not it has a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OfJob {
    /// Its allocations, ended ones included.
    pub(crate) allocs: OrdSet<AllocId>,
    /// Its evaluations, ended ones included.
    pub(crate) evals: OrdSet<EvalId>,
    /// Its deployments, those that are over included.
    pub(crate) deployments: OrdSet<DeploymentId>,
    /// The evaluations that are not over.
    pub(crate) open_evals: OrdSet<EvalId>,
    /// The evaluations that the scheduler has answered, each with its modify index.
    answered: OrdSet<(u64, EvalId)>,
    /// How many allocations have not ended, as far as their clients said.
    pub(crate) running: usize,
    /// Allocations by group and client status; groups without any are left out.
    pub(crate) groups: OrdMap<Arc<str>, TaskGroupSummary>,
    /// How many allocations were changed last at each index.
    changed: OrdMap<u64, usize>,
}

impl Derived for OfJob {
    fn is_empty(&self) -> bool {
        self.allocs.is_empty() && self.evals.is_empty() && self.deployments.is_empty()
    }
}

impl OfJob {
    /// The index of the last change of any of its allocations; zero when there are none.
    pub(crate) fn last_change(&self) -> u64 {
        self.changed.get_max().map_or(0, |(index, _)| *index)
    }

    /// The newest evaluation that the scheduler has answered: it says what is still queued. One that waits for its turn says nothing yet.
    pub(crate) fn newest_answer(&self) -> Option<&EvalId> {
        self.answered.get_max().map(|(_, id)| id)
    }

    pub(super) fn change_alloc(&mut self, old: Option<&Allocation>, new: Option<&Allocation>) {
        track(&mut self.allocs, old.map(|a| &a.id), new.map(|a| &a.id));
        if let Some(old) = old {
            self.running -= usize::from(!old.client_status.is_terminal());
            self.count_group(old, -1);
            self.forget_change(old.modify_index);
        }
        if let Some(new) = new {
            self.running += usize::from(!new.client_status.is_terminal());
            self.count_group(new, 1);
            *self.changed.entry(new.modify_index).or_default() += 1;
        }
    }

    fn count_group(&mut self, alloc: &Allocation, by: i64) {
        let group = alloc.task_group.as_str();
        let Some(counts) = self.groups.get_mut(group) else {
            let mut counts = TaskGroupSummary::default();
            *place(&mut counts, alloc.client_status) += by;
            self.groups.insert(group.into(), counts);
            return;
        };
        *place(counts, alloc.client_status) += by;
        if *counts == TaskGroupSummary::default() {
            self.groups.remove(group);
        }
    }

    fn forget_change(&mut self, index: u64) {
        if let Some(n) = self.changed.get_mut(&index) {
            *n -= 1;
            if *n == 0 {
                self.changed.remove(&index);
            }
        }
    }

    pub(super) fn change_eval(&mut self, old: Option<&Evaluation>, new: Option<&Evaluation>) {
        track(&mut self.evals, old.map(|e| &e.id), new.map(|e| &e.id));
        let open = |e: Option<&Evaluation>| e.filter(|e| !e.is_terminal()).map(|e| e.id.clone());
        track(&mut self.open_evals, open(old).as_ref(), open(new).as_ref());
        if let Some(old) = old.filter(|e| is_answered(e)) {
            self.answered.remove(&(old.modify_index, old.id.clone()));
        }
        if let Some(new) = new.filter(|e| is_answered(e)) {
            self.answered.insert((new.modify_index, new.id.clone()));
        }
    }

    pub(super) fn change_deployment(&mut self, old: Option<&Deployment>, new: Option<&Deployment>) {
        track(&mut self.deployments, old.map(|d| &d.id), new.map(|d| &d.id));
    }
}

fn is_answered(eval: &Evaluation) -> bool {
    matches!(eval.status, EvalStatus::Complete | EvalStatus::Blocked)
}

/// Where an allocation of that status is counted.
fn place(counts: &mut TaskGroupSummary, status: AllocClientStatus) -> &mut i64 {
    match status {
        AllocClientStatus::Pending => &mut counts.starting,
        AllocClientStatus::Running => &mut counts.running,
        AllocClientStatus::Complete => &mut counts.complete,
        AllocClientStatus::Failed => &mut counts.failed,
        AllocClientStatus::Lost => &mut counts.lost,
        AllocClientStatus::Unknown => &mut counts.unknown,
    }
}
