//! The end of a group: what makes it end, and the steps in which its tasks do.

use super::{AllocMachine, Step};
use crate::{events, task::TaskMachine};
use floe_model::{Nanos, TaskEvent, Timestamp};

/// Why the group ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Stopped(String),
    LeaderDead(String),
    Failed(String),
    TooLong(Nanos),
    CutOff(Nanos),
    WorkOver,
}

impl Cause {
    pub(super) fn why(&self) -> String {
        match self {
            Cause::Stopped(reason) => reason.clone(),
            Cause::LeaderDead(leader) => format!("the leader task {leader:?} ended"),
            Cause::Failed(_) => "a sibling failed".to_owned(),
            Cause::TooLong(most) => format!("max_run_duration of {most} has passed"),
            Cause::CutOff(after) => format!("no server was reached for {after}"),
            Cause::WorkOver => "the main tasks ended".to_owned(),
        }
    }
    fn event(&self, now: Timestamp) -> Option<TaskEvent> {
        match self {
            Cause::Stopped(_) => None,
            Cause::LeaderDead(leader) => Some(events::leader_dead(now, leader)),
            Cause::Failed(task) => Some(events::sibling_failed(now, task)),
            Cause::TooLong(most) => Some(events::ran_too_long(now, *most)),
            Cause::CutOff(after) => Some(events::cut_off(now, *after)),
            Cause::WorkOver => Some(events::main_dead(now)),
        }
    }
}

/// The group's end, under way.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) cause: Cause,
    /// Nobody is asked to stop before.
    pub(super) from: Timestamp,
}

impl AllocMachine {
    /// Why the group is to end, as far as the ends of its tasks say so.
    pub(super) fn cause(&self) -> Option<Cause> {
        let dead = || self.tasks.iter().filter(|(n, t)| t.is_dead() && !self.order.is_poststop(n));
        if let Some((leader, _)) = dead().find(|(n, _)| self.order.is_leader(n)) {
            return Some(Cause::LeaderDead(leader.clone()));
        }
        if let Some((failed, _)) = dead().find(|(_, t)| t.has_failed()) {
            return Some(Cause::Failed(failed.clone()));
        }
        self.order.is_work_over(&self.tasks).then_some(Cause::WorkOver)
    }

    pub(super) fn too_long(&self, now: Timestamp) -> Option<Cause> {
        self.max_run.filter(|most| self.began.is_some_and(|b| b.plus(*most) <= now)).map(Cause::TooLong)
    }

    /// Begins the end of a group that ran for as long as it may.
    pub(super) fn end_in_time(&mut self, now: Timestamp) -> Vec<Step> {
        let Some(cause) = self.too_long(now).filter(|_| self.end.is_none()) else { return Vec::new() };
        self.begin_end(cause, now);
        self.go_on_ending(now)
    }

    /// The first cause stays.
    pub(super) fn begin_end(&mut self, cause: Cause, now: Timestamp) {
        if self.end.is_none() {
            let serves = self.order.is_work_running(&self.tasks);
            let delay = if serves { self.shutdown_delay } else { Nanos::ZERO };
            self.end = Some(End { cause, from: now.plus(delay) });
        }
    }

    /// Asks those to stop whose turn it is. When none is left, poststop tasks begin, if anything ran before them.
    pub(super) fn go_on_ending(&mut self, now: Timestamp) -> Vec<Step> {
        let Some(End { cause, from }) = self.end.clone() else { return Vec::new() };
        let mut steps = Vec::new();
        let idle = |(n, t): &(&String, &TaskMachine)| !t.is_dead() && !t.may_have_process() && !self.order.is_poststop(n);
        let idle: Vec<String> = self.tasks.iter().filter(idle).map(|(n, _)| n.clone()).collect();
        steps.extend(self.stop(&idle, &cause, now));
        if from > now && !self.order.next_to_end(&self.tasks).is_empty() {
            steps.push(Step::WakeAt(from));
            return steps;
        }
        let turn = self.order.next_to_end(&self.tasks);
        if !turn.is_empty() {
            steps.extend(self.stop(&turn, &cause, now));
            return steps;
        }
        let ran = self.tasks.values().any(TaskMachine::has_run);
        let waiting: Vec<String> = self.tasks.iter().filter(|(_, t)| t.is_waiting()).map(|(n, _)| n.clone()).collect();
        if !ran {
            steps.extend(self.stop(&waiting, &cause, now));
        } else {
            let begun = waiting.iter().flat_map(|name| self.one(name, TaskMachine::begin));
            steps.extend(begun.map(|s| if let Step::Start(task) = s { Step::StartAfterAll(task) } else { s }).collect::<Vec<_>>());
        }
        steps
    }

    fn stop(&mut self, names: &[String], cause: &Cause, now: Timestamp) -> Vec<Step> {
        names.iter().flat_map(|name| self.one(name, |t| t.stop(&cause.why(), cause.event(now), now))).collect()
    }
}
