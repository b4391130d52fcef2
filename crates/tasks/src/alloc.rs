//! One allocation.
//!
//! | phase | on | goes to | steps |
//! |---|---|---|---|
//! | preparing | prepared | running | start of each task whose gate is open |
//! | preparing | prepare failed | ending (failed) | |
//! | running | anything that opens a gate | running | start of the task behind it |
//! | any but gone | all tasks dead | ending | clean up |
//! | ending | cleaned | gone | |
//!
//! A task's gate ([`order`]) opens once. What starts a task again later is its restart policy.
//!
//! | hook | starts when | its end | ends with the group in step |
//! |---|---|---|---|
//! | prestart | prepared | must be good, or the group fails | 2 |
//! | prestart, sidecar | prepared | is followed by a restart | 3 |
//! | none (main) | prestart tasks ended well, prestart sidecars run | well (batch): done; else restart | 2, the leader 1 |
//! | poststart | each main task runs, or ended well | must be good, or the group fails | 2 |
//! | poststart, sidecar | as above | is followed by a restart | 3 |
//! | poststop | all others have ended, and one of them ran | must be good, or the group failed | never asked to |
//!
//! A wait of `after` comes on top. `started`: it runs, or ended well; `healthy`: it has been running for the update's `min_healthy_time` on end, or
//! ended well; `exited`: it ended well.
//!
//! The group's end begins once, with the first of these, and then its tasks end step by step, each step when the one before is over:
//!
//! | cause | the others are told | the allocation |
//! |---|---|---|
//! | the servers stop it, or the agent ends | the reason | complete, unless a task had failed |
//! | its leader ended | Leader Task Dead | complete, or failed with the leader |
//! | a task failed for good | Sibling Task Failed | failed |
//! | it ran for `max_run_duration` | Not Restarting | failed |
//! | its node had no servers for `stop_on_client_after` | Not Restarting | failed |
//! | nothing is left but sidecars | Main Tasks Dead | complete |
//!
//! From then on no end is a failure and nothing is started again; but for poststop tasks, which come after the last step. Before the first step the
//! group's `shutdown_delay` passes, where a main task runs. The allocation runs until its last task has ended, and only then is failed or complete.

mod end;
mod health;
mod order;
mod recover;

use crate::{
    events,
    task::{Exit, TaskMachine, TaskStep},
};
use end::{Cause, End};
use floe_model::{
    AllocClientStatus, Allocation, Nanos, TaskState, Timestamp,
    alloc::{AllocDeploymentStatus, TaskPhase, event},
};
use health::{Sight, Watch};
use order::{Gate, Order, Tasks};
use std::collections::BTreeMap;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Folders, network and files are there.
    Prepared,
    /// They could not be made.
    PrepareFailed(String),
    /// A task's process runs.
    Started {
        /// The task.
        task: String,
        /// Since when.
        at: Timestamp,
    },
    /// The driver has something to tell about a task that is starting.
    Told {
        /// The task.
        task: String,
        /// What.
        message: String,
    },
    /// A task could not be started.
    StartFailed {
        /// The task.
        task: String,
        /// Why, and what to do.
        error: String,
        /// Another try would fail alike.
        fatal: bool,
    },
    /// A task's process ended.
    Exited {
        /// The task.
        task: String,
        /// How.
        exit: Exit,
    },
    /// Somebody wants a task started anew.
    Restart {
        /// The task.
        task: String,
        /// Why, for the events.
        reason: String,
    },
    /// Somebody sends a task a signal: the driver does, this is for the events.
    Signaled {
        /// The task.
        task: String,
        /// The signal's name.
        signal: String,
    },
    /// The servers (or the agent's end) want it stopped.
    Stop {
        /// Why, for the events.
        reason: String,
    },
    /// The node has had no servers for this long, and its job wants it ended then.
    CutOff {
        /// How long it may be without.
        after: Nanos,
    },
    /// A newer version of the allocation that needs no new processes.
    Updated(Box<Allocation>),
    /// What `CleanUp` asked for is done.
    Cleaned,
    /// A moment that was asked for came, or any other.
    Tick,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start a task: render its templates, then run it.
    Start(String),
    /// Start a task that must not run beside the others: the status is written down first, so that no agent starts them again.
    StartAfterAll(String),
    /// Send a task its kill signal.
    Signal(String),
    /// End a task by force.
    Kill(String),
    /// Remove its network and mounts; the folders stay until the servers forget it.
    CleanUp,
    /// Save and report the status: it changed.
    Report,
    /// Send `Tick` at this moment.
    WakeAt(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Preparing,
    Running,
    Ending,
    Gone,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct AllocMachine {
    phase: Phase,
    tasks: Tasks,
    order: Order,
    end: Option<End>,
    shutdown_delay: Nanos,
    max_run: Option<Nanos>,
    /// When its first task started.
    began: Option<Timestamp>,
    watch: Option<Watch>,
    description: String,
}

impl AllocMachine {
    /// An allocation that was just received. Its job must have its group; one without tasks ends at once.
    pub fn new(alloc: &Allocation, now: Timestamp) -> Self {
        let found = job_and_group(alloc);
        let group = found.map(|(_, group)| group);
        let task = |t: &floe_model::Task| Some((t.name.clone(), TaskMachine::new(t, found?.0.job_type, now)));
        AllocMachine {
            phase: Phase::Preparing,
            tasks: group.into_iter().flat_map(|g| &g.tasks).filter_map(task).collect(),
            order: Order::of(group),
            end: None,
            shutdown_delay: group.and_then(|g| g.shutdown_delay).unwrap_or_default(),
            max_run: group.and_then(|g| g.max_run_duration).filter(|m| *m > Nanos::ZERO),
            began: None,
            watch: Watch::over(alloc, now),
            description: String::new(),
        }
    }

    /// True while folders and network must still be made: the driver prepares and sends `Prepared`.
    pub fn is_preparing(&self) -> bool {
        self.phase == Phase::Preparing
    }
    /// True when nothing is left to do.
    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }
    /// True while a task may have a process.
    pub fn may_have_processes(&self) -> bool {
        self.tasks.values().any(TaskMachine::may_have_process)
    }
    /// The tasks whose processes run, and whom nobody has asked to stop.
    pub fn running(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().filter(|(_, task)| task.is_running()).map(|(name, _)| name.as_str())
    }
    /// How often a task was started again, or is about to be.
    pub fn restarts(&self, task: &str) -> u64 {
        self.tasks.get(task).map_or(0, |t| t.state().restarts)
    }
    /// Where each task stands.
    pub fn task_states(&self) -> BTreeMap<String, TaskState> {
        self.tasks.iter().map(|(n, t)| (n.clone(), t.state().clone())).collect()
    }
    /// The health that was decided, if the allocation belongs to a deployment.
    pub fn health(&self) -> Option<AllocDeploymentStatus> {
        self.watch.as_ref()?.verdict()
    }

    /// Where the allocation stands, and the same in words. It is over when its last task has ended, and not before: what its tasks hold is held
    /// until then, and what its poststop tasks come to is still to be heard.
    pub fn status(&self) -> (AllocClientStatus, String) {
        let any = |f: fn(&TaskMachine) -> bool| self.tasks.values().any(f);
        if any(|t| !t.is_dead()) {
            let stopping = self.end.as_ref().map(|e| format!("Tasks are stopping: {}", e.cause.why()));
            if any(|t| t.state().state == TaskPhase::Running) {
                return (AllocClientStatus::Running, stopping.unwrap_or_else(|| "Tasks are running".to_owned()));
            }
            // A task that waits for its restart ran before: the allocation runs. So does one between two of its tasks.
            if any(|t| t.state().restarts > 0 || t.has_run()) {
                let waiting = if any(|t| t.state().restarts > 0) { "Tasks are restarting" } else { "Tasks are starting" };
                return (AllocClientStatus::Running, stopping.unwrap_or_else(|| waiting.to_owned()));
            }
            return (AllocClientStatus::Pending, stopping.unwrap_or_else(|| "No tasks have started".to_owned()));
        }
        match self.failure() {
            Some(words) => (AllocClientStatus::Failed, words),
            None => (AllocClientStatus::Complete, "All tasks have completed".to_owned()),
        }
    }

    /// What failed first, and why.
    fn failure(&self) -> Option<String> {
        let failed = self.tasks.iter().filter(|(_, t)| t.has_failed());
        let (name, task) = failed.min_by_key(|(_, t)| t.state().finished_at)?;
        if !self.description.is_empty() {
            return Some(self.description.clone());
        }
        let events = &task.state().events;
        let last =
            events.iter().rev().find(|e| e.fails_task).or_else(|| events.iter().rev().find(|e| e.event_type == event::DRIVER_FAILURE));
        let why = last.map(|e| format!(" ({})", e.display_message)).unwrap_or_default();
        Some(format!("Failed tasks: {name}{why}"))
    }

    /// Something happened. `jitter` is drawn by the caller, from 0 to 1000.
    pub fn handle(&mut self, input: Input, now: Timestamp, jitter: u16) -> Vec<Step> {
        let before = (self.status(), self.task_states(), self.health());
        let mut steps = self.take(input, now, jitter);
        steps.extend(self.settle(now));
        if (self.status(), self.task_states(), self.health()) != before {
            steps.push(Step::Report);
        }
        steps
    }

    fn take(&mut self, input: Input, now: Timestamp, jitter: u16) -> Vec<Step> {
        match input {
            Input::Prepared if self.phase == Phase::Preparing => {
                self.phase = Phase::Running;
                for (name, task) in &mut self.tasks {
                    let waits = self.order.waits_for(name).map(|what| format!("; waits for {what}")).unwrap_or_default();
                    task.note(events::setup(now, &format!("Folders and network are ready{waits}")));
                }
            }
            Input::Prepared => {}
            Input::PrepareFailed(error) => {
                for task in self.tasks.values_mut() {
                    task.setup_failed(&error, now);
                }
                self.description = error;
            }
            Input::Started { task, at } => {
                self.began = self.began.or(Some(at));
                return self.one(&task, |t| t.started(at));
            }
            Input::Told { task, message } => return self.one(&task, |t| t.told(&message, now)),
            Input::StartFailed { task, error, fatal } => return self.ended(&task, now, |t| t.start_failed(&error, fatal, now, jitter)),
            Input::Exited { task, exit } => return self.ended(&task, now, |t| t.exited(&exit, now, jitter)),
            Input::Restart { task, reason } if self.end.is_none() => return self.one(&task, |t| t.restart(&reason, now)),
            Input::Restart { .. } => {}
            Input::Signaled { task, signal } => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.note(events::signaling(now, &signal, "User requested signal"));
                }
            }
            Input::Stop { reason } => self.begin_end(Cause::Stopped(reason), now),
            Input::CutOff { after } => self.begin_end(Cause::CutOff(after), now),
            Input::Updated(alloc) => self.update(&alloc, now),
            Input::Cleaned if self.phase == Phase::Ending => self.phase = Phase::Gone,
            Input::Cleaned => {}
            Input::Tick => {
                // Whose time is over must not start again first.
                let mut steps = self.end_in_time(now);
                for (name, task) in &mut self.tasks {
                    steps.extend(task.tick(now).into_iter().map(|s| lift(name, s)));
                }
                return steps;
            }
        }
        Vec::new()
    }

    /// What a newer version of the job changes without new processes. Hooks and waits are not among it.
    fn update(&mut self, alloc: &Allocation, now: Timestamp) {
        if self.watch.as_ref().is_none_or(|w| !w.is_of(alloc)) {
            self.watch = Watch::over(alloc, now);
        }
        let Some((_, group)) = job_and_group(alloc) else { return };
        self.order = Order::of(Some(group));
        self.shutdown_delay = group.shutdown_delay.unwrap_or_default();
        self.max_run = group.max_run_duration.filter(|m| *m > Nanos::ZERO);
        for task in &group.tasks {
            if let Some(machine) = self.tasks.get_mut(&task.name) {
                machine.retune(task);
            }
        }
    }

    /// A task's process is no more, or never came to be. Once the group ends that is what was asked for.
    fn ended(&mut self, name: &str, now: Timestamp, f: impl FnOnce(&mut TaskMachine) -> Vec<TaskStep>) -> Vec<Step> {
        let why = self.end.as_ref().filter(|_| !self.order.is_poststop(name)).map(|e| e.cause.why());
        self.one(name, |task| {
            task.was_asked(why.as_deref(), now);
            f(task)
        })
    }

    /// What follows from where the tasks are now.
    fn settle(&mut self, now: Timestamp) -> Vec<Step> {
        let mut steps = Vec::new();
        if !matches!(self.phase, Phase::Ending | Phase::Gone) {
            if let Some(cause) = self.cause().or_else(|| self.too_long(now)) {
                self.begin_end(cause, now);
            }
            steps.extend(if self.end.is_some() { self.go_on_ending(now) } else { self.open_gates(now) });
        }
        let sight = self.sight();
        steps.extend(self.watch.as_mut().and_then(|w| w.look(sight, now)).map(Step::WakeAt));
        if self.tasks.values().all(TaskMachine::is_dead) && !matches!(self.phase, Phase::Ending | Phase::Gone) {
            self.phase = Phase::Ending;
            steps.push(Step::CleanUp);
        }
        steps
    }

    fn sight(&self) -> Sight {
        match self.end.as_ref().map(|e| &e.cause) {
            Some(Cause::Stopped(_)) => Sight::Unwanted,
            Some(_) => Sight::Failed,
            None if self.order.is_well(&self.tasks) => Sight::Well,
            None => Sight::NotYet,
        }
    }

    /// Starts what waits for nothing any more.
    fn open_gates(&mut self, now: Timestamp) -> Vec<Step> {
        if self.phase != Phase::Running {
            return Vec::new();
        }
        let deadline = self.max_run.and_then(|most| Some(self.began?.plus(most)));
        let mut steps: Vec<Step> = deadline.map(Step::WakeAt).into_iter().collect();
        let waiting: Vec<String> = self.tasks.iter().filter(|(_, t)| t.is_waiting()).map(|(n, _)| n.clone()).collect();
        for name in waiting {
            match self.order.gate(&name, &self.tasks, now) {
                Gate::Open => steps.extend(self.one(&name, TaskMachine::begin)),
                Gate::Until(moment) => steps.push(Step::WakeAt(moment)),
                Gate::Closed => {}
            }
        }
        steps
    }

    fn one(&mut self, name: &str, f: impl FnOnce(&mut TaskMachine) -> Vec<TaskStep>) -> Vec<Step> {
        self.tasks.get_mut(name).map(f).unwrap_or_default().into_iter().map(|s| lift(name, s)).collect()
    }
}

fn lift(task: &str, step: TaskStep) -> Step {
    match step {
        TaskStep::Start => Step::Start(task.to_owned()),
        TaskStep::Signal => Step::Signal(task.to_owned()),
        TaskStep::Kill => Step::Kill(task.to_owned()),
        TaskStep::WakeAt(t) => Step::WakeAt(t),
    }
}

fn job_and_group(alloc: &Allocation) -> Option<(&floe_model::Job, &floe_model::TaskGroup)> {
    let job = alloc.job.as_deref()?;
    Some((job, job.group(&alloc.task_group)?))
}
