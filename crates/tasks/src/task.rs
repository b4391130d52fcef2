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
//! | running | `stop`, with a shutdown delay | delaying | wake at the delay's end |
//! | starting, running; delaying when its moment came | `stop` | stopping | signal, wake at the kill timeout |
//! | stopping | its moment came | stopping (forced) | kill |
//! | running | `restart` | restarting | signal, wake at the kill timeout |
//! | restarting | its moment came | restarting (forced) | kill |
//! | restarting | exited | starting, whatever the restart policy says | start |
//! | restarting | `stop` | stopping | wake at the kill timeout |
//! | backoff | `restart` | starting | start |
//! | delaying, stopping | exited, start failed | dead | |
//! | dead | anything | dead | |
//!
//! When it may begin and when it is to stop is decided by [`crate::alloc`], from where all tasks of the group are.

mod recover;

use crate::{
    events,
    restart::{OnSuccess, Tracker, Verdict},
};
use floe_model::{JobType, Nanos, Task, TaskEvent, TaskState, Timestamp, alloc::TaskPhase};
pub use recover::Recovered;

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
    Delaying { until: Timestamp, why: String },
    Stopping { kill_at: Timestamp, forced: bool },
    Restarting { kill_at: Timestamp, forced: bool },
    Dead,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct TaskMachine {
    phase: Phase,
    state: TaskState,
    tracker: Tracker,
    kill_timeout: Nanos,
    shutdown_delay: Nanos,
}

impl TaskMachine {
    /// A task that was just received.
    pub fn new(task: &Task, job_type: JobType, now: Timestamp) -> Self {
        let mut state = TaskState::default();
        state.push_event(events::received(now));
        TaskMachine {
            phase: Phase::Waiting,
            state,
            tracker: Tracker::new(task.restart_policy.as_ref(), OnSuccess::of(task, job_type)),
            kill_timeout: task.kill_timeout(),
            shutdown_delay: task.shutdown_delay,
        }
    }

    /// Takes over what a newer version of the job says about its restarts and its end. What it was counted so far stays.
    pub fn retune(&mut self, task: &Task) {
        self.tracker = self.tracker.under(task.restart_policy.as_ref());
        self.kill_timeout = task.kill_timeout();
        self.shutdown_delay = task.shutdown_delay;
    }

    /// Where the task stands, as it is reported.
    pub fn state(&self) -> &TaskState {
        &self.state
    }
    /// Notes that something happened to the task.
    pub fn note(&mut self, event: TaskEvent) {
        self.state.push_event(event);
    }
    /// True until it was asked to start for the first time.
    pub fn is_waiting(&self) -> bool {
        self.phase == Phase::Waiting
    }
    /// True when it ended for good.
    pub fn is_dead(&self) -> bool {
        self.phase == Phase::Dead
    }
    /// True when it ended for good and badly.
    pub fn has_failed(&self) -> bool {
        self.is_dead() && self.state.failed
    }
    /// True when it ran, and ended for good without having failed.
    pub fn ended_well(&self) -> bool {
        self.is_dead() && self.has_run() && !self.state.failed
    }
    /// True once its process ran, whatever became of it.
    pub fn has_run(&self) -> bool {
        !self.state.started_at.is_never()
    }
    /// True while its process runs and nobody asked it to stop.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }
    /// True when a process of it may exist.
    pub fn may_have_process(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Running | Phase::Delaying { .. } | Phase::Stopping { .. } | Phase::Restarting { .. })
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
        match self.phase {
            Phase::Starting => {
                self.phase = Phase::Running;
                self.state.state = TaskPhase::Running;
                self.state.started_at = at;
                self.state.push_event(events::started(at));
                Vec::new()
            }
            // It was asked to stop before it ran: the signal went nowhere, so it is sent (again) now. It did run, and that counts.
            Phase::Stopping { forced, .. } => {
                self.state.state = TaskPhase::Running;
                self.state.started_at = at;
                if forced { vec![TaskStep::Kill] } else { vec![TaskStep::Signal] }
            }
            _ => Vec::new(),
        }
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
            Phase::Restarting { .. } => {
                self.state.push_event(events::terminated(exit));
                self.state.push_event(events::restarting(now, Nanos::ZERO, "as was asked for"));
                self.start_again(now)
            }
            Phase::Delaying { .. } | Phase::Stopping { .. } => {
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

    fn start_again(&mut self, now: Timestamp) -> Vec<TaskStep> {
        self.phase = Phase::Starting;
        self.state.state = TaskPhase::Pending;
        self.state.restarts += 1;
        self.state.last_restart = now;
        vec![TaskStep::Start]
    }

    /// Somebody wants it started anew, which its restart policy does not count. One that waits for its next start has it now; one that has not
    /// begun, is about to start, or is to stop is left alone.
    pub fn restart(&mut self, why: &str, now: Timestamp) -> Vec<TaskStep> {
        match self.phase {
            Phase::Running => {
                let kill_at = now.plus(self.kill_timeout);
                self.state.push_event(events::restart_signaled(now, why));
                self.phase = Phase::Restarting { kill_at, forced: false };
                vec![TaskStep::Signal, TaskStep::WakeAt(kill_at)]
            }
            // That it starts again was counted and said when it ended.
            Phase::Backoff { .. } => {
                self.state.push_event(events::restart_signaled(now, why));
                self.phase = Phase::Starting;
                vec![TaskStep::Start]
            }
            _ => Vec::new(),
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

    /// It is to stop, after its delay; `cause` is what happened, for the events, and `why` the same for those that tell of the kill.
    pub fn stop(&mut self, why: &str, cause: Option<TaskEvent>, now: Timestamp) -> Vec<TaskStep> {
        if matches!(self.phase, Phase::Delaying { .. } | Phase::Stopping { .. } | Phase::Dead) {
            return Vec::new();
        }
        self.state.failed |= cause.as_ref().is_some_and(|c| c.fails_task);
        cause.into_iter().for_each(|c| self.state.push_event(c));
        match self.phase {
            Phase::Running if self.shutdown_delay > Nanos::ZERO => {
                let until = now.plus(self.shutdown_delay);
                self.state.push_event(events::waiting_for_shutdown_delay(now, self.shutdown_delay, why));
                self.phase = Phase::Delaying { until, why: why.to_owned() };
                vec![TaskStep::WakeAt(until)]
            }
            Phase::Starting | Phase::Running => self.kill(why, now),
            // It was signalled already.
            Phase::Restarting { kill_at, forced } => {
                self.state.push_event(events::killing(now, self.kill_timeout, why));
                self.phase = Phase::Stopping { kill_at, forced };
                if forced { Vec::new() } else { vec![TaskStep::WakeAt(kill_at)] }
            }
            _ => {
                self.state.push_event(events::killed(now));
                self.end(now);
                Vec::new()
            }
        }
    }

    fn kill(&mut self, why: &str, now: Timestamp) -> Vec<TaskStep> {
        let kill_at = now.plus(self.kill_timeout);
        self.phase = Phase::Stopping { kill_at, forced: false };
        self.state.push_event(events::killing(now, self.kill_timeout, why));
        vec![TaskStep::Signal, TaskStep::WakeAt(kill_at)]
    }

    /// Time passed.
    pub fn tick(&mut self, now: Timestamp) -> Vec<TaskStep> {
        match &self.phase {
            Phase::Backoff { until } if *until <= now => {
                self.phase = Phase::Starting;
                vec![TaskStep::Start]
            }
            Phase::Delaying { until, why } if *until <= now => {
                let why = why.clone();
                self.kill(&why, now)
            }
            Phase::Backoff { until } | Phase::Delaying { until, .. } => vec![TaskStep::WakeAt(*until)],
            Phase::Stopping { kill_at, forced: false } if *kill_at <= now => {
                self.phase = Phase::Stopping { kill_at: *kill_at, forced: true };
                vec![TaskStep::Kill]
            }
            Phase::Restarting { kill_at, forced: false } if *kill_at <= now => {
                self.phase = Phase::Restarting { kill_at: *kill_at, forced: true };
                vec![TaskStep::Kill]
            }
            Phase::Stopping { kill_at, forced: false } | Phase::Restarting { kill_at, forced: false } => vec![TaskStep::WakeAt(*kill_at)],
            _ => Vec::new(),
        }
    }
}
