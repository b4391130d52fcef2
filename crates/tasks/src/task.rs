//! One task.
//!
//! | phase | on | goes to | steps |
//! |---|---|---|---|
//! | waiting | `begin` | starting | start |
//! | starting | started | running | |
//! | starting | start failed | backoff or dead (restart policy) | wake |
//! | running | exited | backoff or dead (restart policy) | wake |
//! | backoff | its moment came | starting | start |
//! | waiting, backoff | `stop` | dead | |
//! | starting, running | `stop` | stopping | signal, wake at the kill timeout |
//! | stopping | its moment came | stopping (forced) | kill |
//! | stopping | exited, start failed | dead | |
//! | dead | anything | dead | |

use crate::{
    events,
    restart::{Tracker, Verdict},
};
use floe_model::{
    JobType, Nanos, Task, TaskState, Timestamp,
    alloc::{TaskPhase, event},
};

/// How a task ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal, or zero.
    pub signal: i32,
    /// The kernel killed it for want of memory.
    pub oom_killed: bool,
    /// When.
    pub at: Timestamp,
    /// What went wrong around it.
    pub error: Option<String>,
}

impl Exit {
    /// True when it ended by itself with code zero.
    pub fn is_success(&self) -> bool {
        self.code == 0 && self.signal == 0 && !self.oom_killed && self.error.is_none()
    }
}

/// What became of a task while the agent was away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// It runs on under the same process.
    Running,
    /// It ended, and how is known.
    Exited(Exit),
    /// Nobody knows: the machine was restarted, or its supervisor died.
    Lost(String),
    /// It was never started.
    NotStarted,
}

/// What the driver is to do for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskStep {
    /// Render templates and start it.
    Start,
    /// Send its kill signal.
    Signal,
    /// End it by force, with everything that it started.
    Kill,
    /// Call `tick` again at this moment.
    WakeAt(Timestamp),
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Waiting,
    Starting,
    Running,
    Backoff { until: Timestamp },
    Stopping { kill_at: Timestamp, forced: bool },
    Dead,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct TaskMachine {
    phase: Phase,
    state: TaskState,
    tracker: Tracker,
    kill_timeout: Nanos,
}

impl TaskMachine {
    /// A task that was just received.
    pub fn new(task: &Task, job_type: JobType, now: Timestamp) -> Self {
        let mut state = TaskState::default();
        state.push_event(events::received(now));
        TaskMachine {
            phase: Phase::Waiting,
            state,
            tracker: Tracker::new(task.restart_policy.as_ref(), job_type),
            kill_timeout: task.kill_timeout(),
        }
    }

    /// A task that was known before the agent started: `saved` is what was reported last. The restart count starts over. `unwanted` says
    /// why the servers want it stopped, when they do: then its end is what they asked for, and it is not started again.
    pub fn recover(
        task: &Task,
        job_type: JobType,
        saved: TaskState,
        recovered: Recovered,
        unwanted: Option<&str>,
        (now, jitter): (Timestamp, u16),
    ) -> (Self, Vec<TaskStep>) {
        let mut machine = TaskMachine { state: saved, ..TaskMachine::new(task, job_type, now) };
        if machine.state.state == TaskPhase::Dead {
            machine.phase = Phase::Dead;
            return (machine, Vec::new());
        }
        let waits_until = machine.restart_at(&recovered);
        if let Some(until) = waits_until {
            machine.phase = Phase::Backoff { until };
        } else if recovered != Recovered::NotStarted {
            machine.phase = Phase::Running;
        }
        if recovered == Recovered::Running {
            machine.has_started(now);
        }
        let stop = unwanted.map(|why| machine.stop(why, now)).unwrap_or_default();
        let steps = match recovered {
            _ if waits_until.is_some() => machine.tick(now),
            Recovered::Running => stop,
            Recovered::Exited(exit) => {
                machine.has_started(exit.at);
                machine.exited(&exit, now, jitter)
            }
            Recovered::Lost(reason) => {
                machine.state.push_event(events::restore_failed(now, &reason));
                machine.gone(now, jitter)
            }
            Recovered::NotStarted => Vec::new(),
        };
        (machine, steps)
    }

    /// Until when the task waited for its next start when it was saved: nothing of it ran then, and what was found is its last life, which
    /// was judged already.
    fn restart_at(&self, recovered: &Recovered) -> Option<Timestamp> {
        // What the driver told of a start that came to nothing is no start.
        let last = self.state.events.iter().rev().find(|e| e.event_type != event::DRIVER).filter(|e| e.event_type == event::RESTARTING)?;
        let until = Timestamp(last.time).plus(Nanos(last.start_delay));
        match recovered {
            Recovered::Running | Recovered::NotStarted => None,
            Recovered::Lost(_) => Some(until),
            Recovered::Exited(exit) => (exit.at.0 <= last.time).then_some(until),
        }
    }

    /// Notes a start that was not saved: the agent died between it and the news of it.
    fn has_started(&mut self, at: Timestamp) {
        self.state.state = TaskPhase::Running;
        let last = self.state.events.iter().rev().find(|e| [event::STARTED, event::RESTARTING].contains(&e.event_type.as_str()));
        if last.map_or(self.state.started_at.is_never(), |e| e.event_type == event::RESTARTING) {
            self.state.started_at = at;
            self.state.push_event(events::started(at));
        }
    }

    /// It ended, and nobody knows how.
    fn gone(&mut self, now: Timestamp, jitter: u16) -> Vec<TaskStep> {
        if matches!(self.phase, Phase::Stopping { .. }) {
            self.state.push_event(events::killed(now));
            self.end(now);
            return Vec::new();
        }
        self.judge(false, now, jitter)
    }

    /// Where the task stands, as it is reported.
    pub fn state(&self) -> &TaskState {
        &self.state
    }
    /// Notes that something happened to the task.
    pub fn note(&mut self, event: floe_model::TaskEvent) {
        self.state.push_event(event);
    }
    /// True when it ended for good.
    pub fn is_dead(&self) -> bool {
        self.phase == Phase::Dead
    }
    /// True when it ended for good and badly.
    pub fn has_failed(&self) -> bool {
        self.is_dead() && self.state.failed
    }
    /// True while its process runs and nobody asked it to stop.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }
    /// True when a process of it may exist.
    pub fn may_have_process(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Running | Phase::Stopping { .. })
    }

    /// Everything around it is ready: it may start.
    pub fn begin(&mut self) -> Vec<TaskStep> {
        if self.phase != Phase::Waiting {
            return Vec::new();
        }
        self.phase = Phase::Starting;
        vec![TaskStep::Start]
    }

    /// Its process runs.
    pub fn started(&mut self, at: Timestamp) -> Vec<TaskStep> {
        if self.phase == Phase::Starting {
            self.phase = Phase::Running;
            self.state.state = TaskPhase::Running;
            self.state.started_at = at;
            self.state.push_event(events::started(at));
            return Vec::new();
        }
        // It was asked to stop before it ran: the signal went nowhere, so it is sent (again) now.
        if matches!(self.phase, Phase::Stopping { forced: false, .. }) { vec![TaskStep::Signal] } else { Vec::new() }
    }

    /// Its driver tells something about its start.
    pub fn told(&mut self, message: &str, now: Timestamp) -> Vec<TaskStep> {
        if self.phase == Phase::Starting {
            self.state.push_event(events::driver(now, message));
        }
        Vec::new()
    }

    /// It could not be started. `fatal` when another try would fail alike.
    pub fn start_failed(&mut self, error: &str, fatal: bool, now: Timestamp, jitter: u16) -> Vec<TaskStep> {
        match self.phase {
            Phase::Starting if fatal => {
                self.state.push_event(events::driver_failed(now, error));
                self.fail(now);
                Vec::new()
            }
            Phase::Starting => {
                self.state.push_event(events::driver_failed(now, error));
                self.judge(false, now, jitter)
            }
            Phase::Stopping { .. } => {
                self.end(now);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Its preparation failed: it never ran and never will.
    pub fn setup_failed(&mut self, error: &str, now: Timestamp) {
        if self.phase == Phase::Waiting {
            self.state.push_event(events::setup_failed(now, error));
            self.fail(now);
        }
    }

    /// Its process ended.
    pub fn exited(&mut self, exit: &Exit, now: Timestamp, jitter: u16) -> Vec<TaskStep> {
        match self.phase {
            Phase::Running | Phase::Starting => {
                self.state.push_event(events::terminated(exit));
                self.judge(exit.is_success(), now, jitter)
            }
            Phase::Stopping { .. } => {
                self.state.push_event(events::terminated(exit));
                self.state.push_event(events::killed(now));
                self.end(now);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn judge(&mut self, success: bool, now: Timestamp, jitter: u16) -> Vec<TaskStep> {
        match self.tracker.ended(success, now, jitter) {
            Verdict::Done => {
                self.end(now);
                Vec::new()
            }
            Verdict::Restart { delay, reason } => {
                let until = now.plus(delay);
                self.phase = Phase::Backoff { until };
                self.state.state = TaskPhase::Pending;
                self.state.restarts += 1;
                self.state.last_restart = now;
                self.state.push_event(events::restarting(now, delay, &reason));
                vec![TaskStep::WakeAt(until)]
            }
            Verdict::Fail { reason } => {
                self.state.push_event(events::not_restarting(now, &reason));
                self.fail(now);
                Vec::new()
            }
        }
    }

    fn fail(&mut self, now: Timestamp) {
        self.state.failed = true;
        self.end(now);
    }

    fn end(&mut self, now: Timestamp) {
        self.phase = Phase::Dead;
        self.state.state = TaskPhase::Dead;
        self.state.finished_at = now;
    }

    /// It is to stop.
    pub fn stop(&mut self, why: &str, now: Timestamp) -> Vec<TaskStep> {
        match self.phase {
            Phase::Waiting | Phase::Backoff { .. } => {
                self.state.push_event(events::killed(now));
                self.end(now);
                Vec::new()
            }
            Phase::Starting | Phase::Running => {
                let kill_at = now.plus(self.kill_timeout);
                self.phase = Phase::Stopping { kill_at, forced: false };
                self.state.push_event(events::killing(now, self.kill_timeout, why));
                vec![TaskStep::Signal, TaskStep::WakeAt(kill_at)]
            }
            Phase::Stopping { .. } | Phase::Dead => Vec::new(),
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now: Timestamp) -> Vec<TaskStep> {
        match self.phase {
            Phase::Backoff { until } if until <= now => {
                self.phase = Phase::Starting;
                vec![TaskStep::Start]
            }
            Phase::Backoff { until } => vec![TaskStep::WakeAt(until)],
            Phase::Stopping { kill_at, forced: false } if kill_at <= now => {
                self.phase = Phase::Stopping { kill_at, forced: true };
                vec![TaskStep::Kill]
            }
            Phase::Stopping { kill_at, forced: false } => vec![TaskStep::WakeAt(kill_at)],
            _ => Vec::new(),
        }
    }
}
