//! What would be decided if a job were registered: the entry is applied to a copy of the state, and its evaluation is answered there.
//!
//! There is no second set of rules: apply and the scheduler are the real ones, and what they make of the copy is thrown away. So a preview says what a
//! registration at the same state would come to, and an evaluation that another entry makes first may come to something else.

use crate::{
    Decision, Request,
    explanation::{Explanation, GroupChanges},
    schedule,
};
use floe_model::{
    EvalId, Evaluation, Job, Timestamp,
    alloc::AllocationMetric,
    diff::{DesiredUpdates, JobDiff, annotate, diff},
};
use floe_state::{
    Command, Entry, Outcome, Stamp, State,
    command::{Refusal, RegisterJob},
};
use std::{collections::BTreeMap, sync::Arc};

/// What would come of registering a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// The job that is there now.
    pub present: Option<Arc<Job>>,
    /// What the scheduler would do, by group.
    pub explanation: Explanation,
    /// Why groups would find no node.
    pub failed: BTreeMap<String, AllocationMetric>,
    /// Evaluations that would be left for later: delayed ones, and the one that waits for room. Their ids are of this preview alone.
    pub evals: Vec<Evaluation>,
}

/// Decides what registering `job` (canonical) would come to in `view`. The seed is as in [`Request::seed`].
///
/// # Errors
/// When the state would refuse it.
pub fn preview(view: &State, job: &Job, now: Timestamp, seed: (u64, u64)) -> Result<Preview, Refusal> {
    let present = view.job(&job.key()).cloned();
    let mut copy = view.clone();
    let request = RegisterJob { job: Box::new(job.clone()), submission: None, enforce_index: None, eval_priority: None };
    // Ids are drawn from a seed of its own: the scheduler draws from the other.
    let entry = Entry { stamp: Stamp { now, seed: (!seed.0, seed.1) }, command: Command::RegisterJob(request) };
    let eval_id = match copy.apply(view.log_index().saturating_add(1), &entry).outcome {
        Outcome::Refused(why) => return Err(why),
        Outcome::Job { eval_id, .. } => eval_id,
        _ => EvalId::default(),
    };
    // A template has no evaluation: its children have.
    let Some(eval) = copy.eval(&eval_id) else { return Ok(Preview { present, ..Preview::default() }) };
    let decision = schedule(Request { view: &copy, eval, now, seed });
    Ok(Preview::of(present, eval, decision))
}

impl Preview {
    fn of(present: Option<Arc<Job>>, eval: &Evaluation, decision: Decision) -> Self {
        let Decision { plan, explanation } = decision;
        let (answered, others): (Vec<_>, Vec<_>) = plan.on_commit.into_iter().partition(|e| e.id == eval.id);
        let failed = answered.into_iter().next().map(|e| e.failed_tg_allocs).unwrap_or_default();
        Preview { present, explanation, failed, evals: plan.evals.into_iter().chain(others).collect() }
    }

    /// What the scheduler wants for each group, as clients of the API read it.
    pub fn desired(&self) -> BTreeMap<String, DesiredUpdates> {
        self.explanation.groups.iter().map(|(group, changes)| (group.clone(), GroupChanges::desired(changes))).collect()
    }

    /// What differs between the job that is there and `job` (canonical), with what comes of it.
    pub fn diff(&self, job: &Job) -> JobDiff {
        let mut found = diff(self.present.as_deref(), Some(job));
        annotate(&mut found, self.present.as_deref(), job, &self.desired());
        found
    }
}
