//! An allocation of which an earlier agent kept records.

use super::{
    AllocMachine, Phase, Step,
    end::{Cause, End},
    job_and_group, lift,
};
use crate::task::{Recovered, TaskMachine};
use floe_model::{Allocation, TaskState, Timestamp, alloc::event};
use std::collections::BTreeMap;

impl AllocMachine {
    /// An allocation that was known before the agent started. `saved` are its task states as reported last, `recovered` what became of
    /// each task; a task that is not named was never started. Returns the steps to take at once.
    pub fn recover(
        alloc: &Allocation,
        saved: &BTreeMap<String, TaskState>,
        mut recovered: BTreeMap<String, Recovered>,
        now: Timestamp,
        jitter: u16,
    ) -> (Self, Vec<Step>) {
        let mut machine = AllocMachine::new(alloc, now);
        let mut steps = Vec::new();
        let Some((job, group)) = job_and_group(alloc) else { return (machine, steps) };
        for task in &group.tasks {
            let restored = TaskMachine::restore(task, job.job_type, saved.get(&task.name).cloned(), now);
            machine.tasks.insert(task.name.clone(), restored);
        }
        machine.began = saved.values().flat_map(known_starts).min();
        machine.end = machine.known_cause(alloc, &recovered).map(|cause| End { cause, from: now });
        let why = machine.end.as_ref().map(|e| e.cause.why());
        for (name, task) in &mut machine.tasks {
            let found = recovered.remove(name).unwrap_or(Recovered::NotStarted);
            let unwanted = why.as_deref().filter(|_| !machine.order.is_poststop(name));
            steps.extend(task.recover(found, unwanted, now, jitter).into_iter().map(|s| lift(name, s)));
        }
        let begun = |t: &TaskMachine| t.may_have_process() || t.is_dead() || t.has_run() || t.state().restarts > 0;
        if machine.tasks.values().any(begun) {
            machine.phase = Phase::Running;
            let found = machine.tasks.values().filter(|t| t.has_run()).map(|t| t.state().started_at);
            machine.began = machine.began.into_iter().chain(found).min();
        }
        steps.extend(machine.settle(now));
        (machine, steps)
    }

    /// Why the group was ending already when its records were written, or is to end whatever became of its tasks since.
    fn known_cause(&self, alloc: &Allocation, recovered: &BTreeMap<String, Recovered>) -> Option<Cause> {
        if alloc.is_server_terminal() {
            return Some(Cause::Stopped(alloc.desired_description.clone()));
        }
        // A poststop task that began proves that all others had ended, also where that was not written down any more.
        let after_all = |(n, t): (&String, &TaskMachine)| self.order.is_poststop(n) && (t.has_run() || recovered.contains_key(n));
        self.cause().or_else(|| self.tasks.iter().any(after_all).then_some(Cause::WorkOver))
    }
}

/// The moments at which a task is known to have started.
fn known_starts(state: &TaskState) -> Vec<Timestamp> {
    let events = state.events.iter().filter(|e| e.event_type == event::STARTED).map(|e| Timestamp(e.time));
    events.chain([state.started_at]).filter(|t| !t.is_never()).collect()
}
