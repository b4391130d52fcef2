//! What is over and old enough to forget.

use floe_model::{AllocId, EvalId, JobStatus, Nanos, NodeStatus, Timestamp};
use floe_state::{Command, State};
use std::collections::BTreeSet;

/// How many things one command forgets at most, so that apply stays short.
pub const BATCH: usize = 1_000;

/// How long things are kept after they are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Evaluations with their allocations.
    pub evals: Nanos,
    /// The same of batch jobs.
    pub batch_evals: Nanos,
    /// Dead jobs.
    pub jobs: Nanos,
    /// Nodes that are down.
    pub nodes: Nanos,
    /// Deployments.
    pub deployments: Nanos,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            evals: Nanos::from_hours(1),
            batch_evals: Nanos::from_hours(24),
            jobs: Nanos::from_hours(4),
            nodes: Nanos::from_hours(24),
            deployments: Nanos::from_hours(1),
        }
    }
}

/// Commands that forget what is over, at most [`BATCH`] of each kind a call.
pub fn collect(view: &State, now: Timestamp, keep: Thresholds) -> Vec<Command> {
    let mut commands = Vec::new();
    let old = |modified: i64, keep: Nanos| Timestamp(modified).plus(keep) <= now;
    let (evals, allocs) = evals_and_allocs(view, now, keep);
    let gone: BTreeSet<&AllocId> = allocs.iter().collect();
    let gone_evals: BTreeSet<&EvalId> = evals.iter().collect();
    let jobs: Vec<_> = view
        .jobs()
        .filter(|j| j.status == JobStatus::Dead && old(j.submit_time, keep.jobs))
        .filter(|j| {
            view.allocs_of_job(&j.key()).all(|a| gone.contains(&a.id)) && view.evals_of_job(&j.key()).all(|e| gone_evals.contains(&e.id))
        })
        .map(|j| j.key())
        .take(BATCH)
        .collect();
    let deployments: Vec<_> =
        view.deployments().filter(|d| !d.is_active() && old(d.modify_time, keep.deployments)).map(|d| d.id.clone()).take(BATCH).collect();
    if !(evals.is_empty() && allocs.is_empty() && jobs.is_empty() && deployments.is_empty()) {
        commands.push(Command::Collect { evals, allocs, jobs, deployments });
    }
    let nodes: Vec<_> = view
        .nodes()
        .filter(|n| n.status == NodeStatus::Down && old(n.status_updated_at.saturating_mul(1_000_000_000), keep.nodes))
        .filter(|n| view.allocs_of_node(&n.id).all(|a| a.is_terminal()))
        .map(|n| n.id.clone())
        .take(BATCH)
        .collect();
    if !nodes.is_empty() {
        commands.push(Command::DeleteNodes { ids: nodes });
    }
    commands
}

/// Ended evaluations whose allocations have all ended, with those allocations. A batch job that is not dead keeps its own, because the
/// scheduler reads from them that they were run.
fn evals_and_allocs(view: &State, now: Timestamp, keep: Thresholds) -> (Vec<EvalId>, Vec<AllocId>) {
    let (mut evals, mut allocs) = (Vec::new(), Vec::new());
    for eval in view.evals().filter(|e| e.is_terminal()) {
        if evals.len() >= BATCH || allocs.len() >= BATCH {
            break;
        }
        let batch = eval.job_type.is_batch();
        let threshold = if batch { keep.batch_evals } else { keep.evals };
        let job = view.job(&eval.job_key());
        let needed = batch && job.is_some_and(|j| j.status != JobStatus::Dead);
        if needed || Timestamp(eval.modify_time).plus(threshold) > now {
            continue;
        }
        let own: Vec<_> = view.allocs_of_job(&eval.job_key()).filter(|a| a.eval_id == eval.id).collect();
        if own.iter().all(|a| a.client_status.is_terminal() && Timestamp(a.modify_time).plus(threshold) <= now) {
            evals.push(eval.id.clone());
            allocs.extend(own.iter().map(|a| a.id.clone()));
        }
    }
    (evals, allocs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use floe_model::{EvalStatus, Evaluation, Job, JobKey, Node};
    use floe_state::{
        Entry, Outcome, Stamp,
        command::{NodeStatusUpdate, RegisterJob},
    };

    fn run(state: &mut State, command: Command) -> Outcome {
        let index = state.index() + 1;
        state.apply(index, &Entry { stamp: Stamp { now: Timestamp(1_000), seed: (index, 0) }, command }).outcome
    }

    fn later(h: i64) -> Timestamp {
        Timestamp(1_000).plus(Nanos::from_hours(h))
    }

    fn stopped_job() -> State {
        let mut s = State::default();
        let job = Job { id: "a".into(), ..Job::default() };
        let request = RegisterJob { job: Box::new(job), submission: None, enforce_index: None, eval_priority: None };
        run(&mut s, Command::RegisterJob(request));
        run(&mut s, Command::DeregisterJob { key: JobKey::new("", "a"), purge: false });
        let done: Vec<_> = s.evals().map(|e| Evaluation { status: EvalStatus::Complete, ..(**e).clone() }).collect();
        run(&mut s, Command::UpdateEvals { evals: done });
        s
    }

    #[test]
    fn young_things_are_kept_and_old_ones_forgotten() {
        let mut s = stopped_job();
        let keep = Thresholds::default();
        assert!(collect(&s, later(0), keep).is_empty());
        let [Command::Collect { evals, jobs, .. }] = &collect(&s, later(1), keep)[..] else { panic!() };
        assert_eq!((evals.len(), jobs.len()), (2, 0));
        for command in collect(&s, later(5), keep) {
            run(&mut s, command);
        }
        assert_eq!((s.jobs().count(), s.evals().count()), (0, 0));
        assert!(collect(&s, later(99), keep).is_empty());
    }

    #[test]
    fn a_node_that_is_down_is_forgotten_after_a_day() {
        let mut s = State::default();
        run(&mut s, Command::RegisterNode { node: Box::new(Node { id: "n".into(), ..Node::default() }) });
        let update = NodeStatusUpdate { id: "n".into(), status: NodeStatus::Down, message: String::new() };
        run(&mut s, Command::UpdateNodeStatus { updates: vec![update] });
        assert!(collect(&s, later(23), Thresholds::default()).is_empty());
        for command in collect(&s, later(25), Thresholds::default()) {
            run(&mut s, command);
        }
        assert_eq!(s.nodes().count(), 0);
    }
}
