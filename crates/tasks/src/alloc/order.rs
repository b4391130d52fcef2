//! The order of a group's tasks: who waits for whom to start, and whose turn it is to end. It knows where tasks are, and changes nothing.

use crate::task::TaskMachine;
use floe_model::{
    Nanos, Task, TaskGroup, Timestamp,
    task::{AfterState, LifecycleHook, TaskAfter},
};
use std::collections::BTreeMap;

/// The tasks of an allocation, by name.
pub(super) type Tasks = BTreeMap<String, TaskMachine>;

/// What a task is for its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Ends well before any main task starts.
    Prestart,
    /// Runs before any main task starts, and as long as they do.
    PrestartSidecar,
    Main,
    /// Starts once all main tasks run, and ends by itself.
    Poststart,
    /// Starts once all main tasks run, and runs as long as they do.
    PoststartSidecar,
    /// Starts when all others have ended.
    Poststop,
}

impl Role {
    fn of(task: &Task) -> Role {
        match (task.hook(), task.is_sidecar()) {
            (None, _) => Role::Main,
            (Some(LifecycleHook::Prestart), false) => Role::Prestart,
            (Some(LifecycleHook::Prestart), true) => Role::PrestartSidecar,
            (Some(LifecycleHook::Poststart), false) => Role::Poststart,
            (Some(LifecycleHook::Poststart), true) => Role::PoststartSidecar,
            (Some(LifecycleHook::Poststop), _) => Role::Poststop,
        }
    }
    fn is_sidecar(self) -> bool {
        matches!(self, Role::PrestartSidecar | Role::PoststartSidecar)
    }
}

/// A task's place in the order.
#[derive(Clone, Debug)]
struct Place {
    role: Role,
    leader: bool,
    after: Vec<TaskAfter>,
}

/// Whether a task may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Closed; it may open at this moment, when nothing happens until then.
    Until(Timestamp),
    Closed,
}

impl Gate {
    fn when(open: bool) -> Gate {
        if open { Gate::Open } else { Gate::Closed }
    }
    /// Open when both are.
    fn and(self, other: Gate) -> Gate {
        match (self, other) {
            (Gate::Open, gate) | (gate, Gate::Open) => gate,
            (Gate::Until(a), Gate::Until(b)) => Gate::Until(a.max(b)),
            _ => Gate::Closed,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Order {
    places: BTreeMap<String, Place>,
    /// How long a task must run on end to count as healthy.
    min_healthy: Nanos,
}

impl Order {
    pub(super) fn of(group: Option<&TaskGroup>) -> Order {
        let tasks = group.into_iter().flat_map(|g| &g.tasks);
        let place = |t: &Task| Place { role: Role::of(t), leader: t.leader, after: t.after.clone() };
        let update = group.and_then(|g| g.update.as_ref()).and_then(|u| u.min_healthy_time);
        // A job that is not rolled out (a batch) says nothing of health.
        let min_healthy = update.or(floe_model::canonical::default_update().min_healthy_time).unwrap_or_default();
        Order { places: tasks.map(|t| (t.name.clone(), place(t))).collect(), min_healthy }
    }

    pub(super) fn role(&self, name: &str) -> Role {
        self.places.get(name).map_or(Role::Main, |p| p.role)
    }
    pub(super) fn is_poststop(&self, name: &str) -> bool {
        self.role(name) == Role::Poststop
    }
    /// Whether the group ends with this task.
    pub(super) fn is_leader(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|p| p.leader)
    }

    /// Whether a task that has not begun yet may start. Poststop tasks are let go by the end of all others, never from here.
    pub(super) fn gate(&self, name: &str, tasks: &Tasks, now: Timestamp) -> Gate {
        let Some(place) = self.places.get(name) else { return Gate::Closed };
        let all = |of: &[Role], is: fn(&TaskMachine) -> bool| tasks.iter().filter(|(n, _)| of.contains(&self.role(n))).all(|(_, t)| is(t));
        let hook = match place.role {
            Role::Prestart | Role::PrestartSidecar => true,
            Role::Main => all(&[Role::Prestart], TaskMachine::ended_well) && all(&[Role::PrestartSidecar], TaskMachine::is_running),
            Role::Poststart | Role::PoststartSidecar => all(&[Role::Main], |t| t.is_running() || t.ended_well()),
            Role::Poststop => false,
        };
        place.after.iter().fold(Gate::when(hook), |gate, a| gate.and(self.met(a, tasks, now)))
    }

    fn met(&self, after: &TaskAfter, tasks: &Tasks, now: Timestamp) -> Gate {
        let Some(task) = tasks.get(&after.task) else { return Gate::Closed };
        match after.state {
            AfterState::Started => Gate::when(task.is_running() || task.ended_well()),
            AfterState::Exited => Gate::when(task.ended_well()),
            // What ended well before its time had nothing more to do.
            AfterState::Healthy if task.ended_well() => Gate::Open,
            AfterState::Healthy if task.is_running() => match task.state().started_at.plus(self.min_healthy) {
                moment if moment <= now => Gate::Open,
                moment => Gate::Until(moment),
            },
            AfterState::Healthy => Gate::Closed,
        }
    }

    /// What a task waits for before it starts, in words; `None` when it starts at once.
    pub(super) fn waits_for(&self, name: &str) -> Option<String> {
        let place = self.places.get(name)?;
        let has = |roles: &[Role]| self.places.values().any(|p| roles.contains(&p.role));
        let hook = match place.role {
            Role::Main if has(&[Role::Prestart, Role::PrestartSidecar]) => Some("the prestart tasks".to_owned()),
            Role::Poststart | Role::PoststartSidecar => Some("the main tasks".to_owned()),
            Role::Poststop => Some("the end of all other tasks".to_owned()),
            _ => None,
        };
        let named = place.after.iter().map(|a| format!("task {:?} to be {}", a.task, a.state));
        let parts: Vec<String> = hook.into_iter().chain(named).collect();
        (!parts.is_empty()).then(|| parts.join(" and "))
    }

    /// Whose turn it is to end, when the group ends: of those that have not, the leader; then main tasks and those that end by themselves; then
    /// sidecars. Empty when only poststop tasks are left.
    pub(super) fn next_to_end(&self, tasks: &Tasks) -> Vec<String> {
        let live = || tasks.iter().filter(|(n, t)| !t.is_dead() && !self.is_poststop(n)).map(|(n, _)| n);
        let step = |n: &str| if self.is_leader(n) { 0 } else { 1 + u8::from(self.role(n).is_sidecar()) };
        let first = live().map(|n| step(n)).min();
        live().filter(|n| Some(step(n)) == first).cloned().collect()
    }

    /// True when nothing is left of the group's work but sidecars and what runs after all: main tasks ran, and all ended.
    pub(super) fn is_work_over(&self, tasks: &Tasks) -> bool {
        let mut work = tasks.iter().filter(|(n, _)| !self.role(n).is_sidecar() && !self.is_poststop(n));
        work.all(|(_, t)| t.is_dead())
    }

    /// True while a main task has a process: somebody may be talking to it.
    pub(super) fn is_work_running(&self, tasks: &Tasks) -> bool {
        tasks.iter().any(|(n, t)| self.role(n) == Role::Main && t.may_have_process())
    }

    /// True when every task is as it should be while the group does its work.
    pub(super) fn is_well(&self, tasks: &Tasks) -> bool {
        !tasks.is_empty()
            && tasks.iter().all(|(name, t)| match self.role(name) {
                Role::Prestart => t.ended_well(),
                Role::Main | Role::PrestartSidecar | Role::PoststartSidecar => t.is_running(),
                Role::Poststart => t.is_running() || t.ended_well(),
                Role::Poststop => true,
            })
    }
}
