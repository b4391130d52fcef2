//! A task of which an earlier agent kept records: what was reported last, and what its shim left.

use super::{Exit, Phase, TaskMachine, TaskStep};
use crate::events;
use floe_model::{
    JobType, Nanos, Task, TaskState, Timestamp,
    alloc::{TaskPhase, event},
};

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

impl TaskMachine {
    /// A task as it was reported last; [`TaskMachine::recover`] says what became of it since. The restart count starts over.
    pub fn restore(task: &Task, job_type: JobType, saved: Option<TaskState>, now: Timestamp) -> Self {
        let mut machine = TaskMachine::new(task, job_type, now);
        if let Some(saved) = saved {
            if saved.state == TaskPhase::Dead {
                machine.phase = Phase::Dead;
            }
            machine.state = saved;
        }
        machine
    }

    /// Takes note of what was found. `unwanted` says why it is to end, when it is: then its end is what was asked for, and it is not started
    /// again. One that runs on is left running: its allocation knows whose turn it is to stop.
    pub fn recover(&mut self, found: Recovered, unwanted: Option<&str>, now: Timestamp, jitter: u16) -> Vec<TaskStep> {
        if self.is_dead() {
            return Vec::new();
        }
        // Of a task that ran there is a record; where it is gone, nobody knows how the task ended.
        let found = match found {
            Recovered::NotStarted if self.has_run() => Recovered::Lost("its records are gone".to_owned()),
            found => found,
        };
        let waits_until = self.restart_at(&found);
        if let Some(until) = waits_until {
            self.phase = Phase::Backoff { until };
        } else if found != Recovered::NotStarted {
            self.phase = Phase::Running;
        }
        match found {
            // Not before all tasks were looked at: the group may be ending.
            _ if waits_until.is_some() => waits_until.map(TaskStep::WakeAt).into_iter().collect(),
            Recovered::Running => {
                self.has_started(now);
                Vec::new()
            }
            Recovered::Exited(exit) => {
                self.has_started(exit.at);
                self.was_asked(unwanted, now);
                self.exited(&exit, now, jitter)
            }
            Recovered::Lost(reason) => {
                self.was_asked(unwanted, now);
                self.state.push_event(events::restore_failed(now, &reason));
                self.gone(now, jitter)
            }
            Recovered::NotStarted => Vec::new(),
        }
    }

    /// Its process has ended already: nothing is signalled, but the end that follows is an end that was wanted.
    pub fn was_asked(&mut self, unwanted: Option<&str>, now: Timestamp) {
        if let Some(why) = unwanted.filter(|_| matches!(self.phase, Phase::Starting | Phase::Running | Phase::Restarting { .. })) {
            self.kill(why, now);
        }
    }

    /// Until when the task waited for its next start when it was saved: nothing of it ran then, and what was found is its last life, which
    /// was judged already.
    fn restart_at(&self, found: &Recovered) -> Option<Timestamp> {
        // What the driver told of a start that came to nothing is no start.
        let last = self.state.events.iter().rev().find(|e| e.event_type != event::DRIVER).filter(|e| e.event_type == event::RESTARTING)?;
        let until = Timestamp(last.time).plus(Nanos(last.start_delay));
        match found {
            Recovered::Running => None,
            Recovered::Lost(_) | Recovered::NotStarted => Some(until),
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
}
