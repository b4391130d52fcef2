//! One allocation.
//!
//! | phase | on | goes to | steps |
//! |---|---|---|---|
//! | preparing | prepared | running | start of each task |
//! | preparing | prepare failed | ending (failed) | |
//! | running | a task failed | running | stop of its siblings |
//! | preparing, running | stop | stopping | stop of each task |
//! | any but gone | all tasks dead | ending | clean up |
//! | ending | cleaned | gone | |
//!
//! The allocation is failed when a task failed, running while one runs, pending while none ran yet, and complete when all ended well.
//! Its health in a deployment is decided once: healthy when all tasks ran for `min_healthy_time` on end, unhealthy when one failed or
//! `healthy_deadline` passed.

use crate::{
    events,
    task::{Exit, Recovered, TaskMachine, TaskStep},
};
use floe_model::{AllocClientStatus, Allocation, DeploymentId, Nanos, TaskState, Timestamp, alloc::AllocDeploymentStatus};
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
    /// The servers (or the agent's end) want it stopped.
    Stop {
        /// Why, for the events.
        reason: String,
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
    Stopping,
    Ending,
    Gone,
}

/// The deployment's watch over the allocation's health.
#[derive(Clone, Debug)]
struct Watch {
    deployment: DeploymentId,
    min_healthy: Nanos,
    deadline: Timestamp,
    /// Since when all tasks run.
    since: Option<Timestamp>,
    verdict: Option<(bool, Timestamp)>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct AllocMachine {
    phase: Phase,
    tasks: BTreeMap<String, TaskMachine>,
    watch: Option<Watch>,
    description: String,
}

impl AllocMachine {
    /// An allocation that was just received. Its job must have its group; one without tasks ends at once.
    pub fn new(alloc: &Allocation, now: Timestamp) -> Self {
        let mut tasks = BTreeMap::new();
        if let Some((job, group)) = job_and_group(alloc) {
            for task in &group.tasks {
                tasks.insert(task.name.clone(), TaskMachine::new(task, job.job_type, now));
            }
        }
        AllocMachine { phase: Phase::Preparing, tasks, watch: watch(alloc, now), description: String::new() }
    }

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
        let unwanted = alloc.is_server_terminal().then_some(alloc.desired_description.as_str());
        for task in &group.tasks {
            let what = recovered.remove(&task.name).unwrap_or(Recovered::NotStarted);
            let state = saved.get(&task.name).cloned().unwrap_or_default();
            let (found, task_steps) = TaskMachine::recover(task, job.job_type, state, what, unwanted, (now, jitter));
            machine.tasks.insert(task.name.clone(), found);
            steps.extend(task_steps.into_iter().map(|s| lift(&task.name, s)));
        }
        if machine.tasks.values().any(|t| t.may_have_process() || t.is_dead() || t.state().restarts > 0) {
            machine.phase = Phase::Running;
            if unwanted.is_some() {
                machine.phase = Phase::Stopping;
            }
            // A task that was never started although its siblings were: the agent died in between.
            for (name, task) in &mut machine.tasks {
                steps.extend(task.begin().into_iter().map(|s| lift(name, s)));
            }
        }
        steps.extend(machine.settle(now));
        (machine, steps)
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
    /// Where each task stands.
    pub fn task_states(&self) -> BTreeMap<String, TaskState> {
        self.tasks.iter().map(|(n, t)| (n.clone(), t.state().clone())).collect()
    }
    /// The health that was decided, if the allocation belongs to a deployment.
    pub fn health(&self) -> Option<AllocDeploymentStatus> {
        let (healthy, timestamp) = self.watch.as_ref()?.verdict?;
        Some(AllocDeploymentStatus { healthy: Some(healthy), timestamp, ..AllocDeploymentStatus::default() })
    }

    /// Where the allocation stands, and the same in words.
    pub fn status(&self) -> (AllocClientStatus, String) {
        let any = |f: fn(&TaskMachine) -> bool| self.tasks.values().any(f);
        if any(TaskMachine::has_failed) {
            let words = if self.description.is_empty() { "Failed tasks" } else { &self.description };
            return (AllocClientStatus::Failed, words.to_owned());
        }
        if any(|t| t.state().state == floe_model::alloc::TaskPhase::Running) {
            return (AllocClientStatus::Running, "Tasks are running".to_owned());
        }
        if any(|t| !t.is_dead()) {
            // A task that waits for its restart ran before: the allocation runs.
            let ran = any(|t| t.state().restarts > 0 || !t.state().started_at.is_never());
            return if ran {
                (AllocClientStatus::Running, "Tasks are restarting".to_owned())
            } else {
                (AllocClientStatus::Pending, "No tasks have started".to_owned())
            };
        }
        (AllocClientStatus::Complete, "All tasks have completed".to_owned())
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
                for task in self.tasks.values_mut() {
                    task.note(events::setup(now, "Folders and network are ready"));
                }
                self.each(TaskMachine::begin)
            }
            Input::Prepared => Vec::new(),
            Input::PrepareFailed(error) => {
                for task in self.tasks.values_mut() {
                    task.setup_failed(&error, now);
                }
                self.description = error;
                Vec::new()
            }
            Input::Started { task, at } => self.one(&task, |t| t.started(at)),
            Input::Told { task, message } => self.one(&task, |t| t.told(&message, now)),
            Input::StartFailed { task, error, fatal } => self.one(&task, |t| t.start_failed(&error, fatal, now, jitter)),
            Input::Exited { task, exit } => self.one(&task, |t| t.exited(&exit, now, jitter)),
            Input::Stop { reason } => {
                if matches!(self.phase, Phase::Preparing | Phase::Running) {
                    self.phase = Phase::Stopping;
                }
                self.each(|t| t.stop(&reason, now))
            }
            Input::Updated(alloc) => {
                if self.watch.as_ref().is_none_or(|w| w.deployment != alloc.deployment_id) {
                    self.watch = watch(&alloc, now);
                }
                Vec::new()
            }
            Input::Cleaned => {
                if self.phase == Phase::Ending {
                    self.phase = Phase::Gone;
                }
                Vec::new()
            }
            Input::Tick => self.each(|t| t.tick(now)),
        }
    }

    /// What follows from where the tasks are now.
    fn settle(&mut self, now: Timestamp) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(failed) = self.tasks.iter().find(|(_, t)| t.has_failed()).map(|(n, _)| n.clone()) {
            for (name, task) in self.tasks.iter_mut().filter(|(_, t)| !t.is_dead()) {
                let stop = task.stop("a sibling failed", now);
                if !stop.is_empty() || task.is_dead() {
                    task.note(events::sibling_failed(now, &failed));
                }
                steps.extend(stop.into_iter().map(|s| lift(name, s)));
            }
        }
        steps.extend(self.judge_health(now));
        if self.tasks.values().all(TaskMachine::is_dead) && !matches!(self.phase, Phase::Ending | Phase::Gone) {
            self.phase = Phase::Ending;
            steps.push(Step::CleanUp);
        }
        steps
    }

    fn judge_health(&mut self, now: Timestamp) -> Option<Step> {
        let all_run = !self.tasks.is_empty() && self.tasks.values().all(TaskMachine::is_running);
        let failed = self.tasks.values().any(TaskMachine::has_failed);
        let watch = self.watch.as_mut().filter(|w| w.verdict.is_none())?;
        watch.since = if all_run { watch.since.or(Some(now)) } else { None };
        let healthy_at = watch.since.map(|s| s.plus(watch.min_healthy));
        if healthy_at.is_some_and(|t| t <= now) {
            watch.verdict = Some((true, now));
            return None;
        }
        if failed || watch.deadline <= now || self.phase == Phase::Stopping {
            // One that is stopped before it was healthy says nothing: it was not its fault.
            if self.phase != Phase::Stopping {
                watch.verdict = Some((false, now));
            }
            return None;
        }
        Some(Step::WakeAt(healthy_at.map_or(watch.deadline, |t| t.min(watch.deadline))))
    }

    fn one(&mut self, name: &str, f: impl FnOnce(&mut TaskMachine) -> Vec<TaskStep>) -> Vec<Step> {
        self.tasks.get_mut(name).map(f).unwrap_or_default().into_iter().map(|s| lift(name, s)).collect()
    }

    fn each(&mut self, mut f: impl FnMut(&mut TaskMachine) -> Vec<TaskStep>) -> Vec<Step> {
        let mut steps = Vec::new();
        for (name, task) in &mut self.tasks {
            steps.extend(f(task).into_iter().map(|s| lift(name, s)));
        }
        steps
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

/// The watch over health, for an allocation of a deployment whose verdict is not known yet.
fn watch(alloc: &Allocation, now: Timestamp) -> Option<Watch> {
    if alloc.deployment_id.is_empty() || alloc.is_healthy() || alloc.is_unhealthy() {
        return None;
    }
    let (_, group) = job_and_group(alloc)?;
    let update = group.update.clone().unwrap_or_default();
    Some(Watch {
        deployment: alloc.deployment_id.clone(),
        min_healthy: update.min_healthy_time.unwrap_or_default(),
        deadline: now.plus(update.healthy_deadline.unwrap_or(Nanos::from_mins(5))),
        since: None,
        verdict: None,
    })
}
