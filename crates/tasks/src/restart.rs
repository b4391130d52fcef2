//! The restart policy: whether, and after what wait, a task that ended is started again on its node.
//!
//! Attempts are counted within an interval that begins with the first of them. Beyond the allowed number, mode `fail` gives up and mode
//! `delay` waits for the interval's end. The wait before an attempt is the policy's delay plus up to a quarter at random, so that many
//! tasks do not start in step. Defaults are those that `floe_model::canonical` fills in.

use floe_model::{
    JobType, Nanos, Task, Timestamp,
    group::{RestartMode, RestartPolicy},
};

/// The reason that clients match for a restart within the policy.
pub const WITHIN_POLICY: &str = "Restart within policy";

/// What the policy says about an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The task did what it should; it stays ended.
    Done,
    /// Start again after a wait.
    Restart {
        /// The wait.
        delay: Nanos,
        /// Why.
        reason: String,
    },
    /// Give up.
    Fail {
        /// Why.
        reason: String,
    },
}

/// What an end with success means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSuccess {
    /// The work is done.
    Done,
    /// It should run on: it is started again.
    Restart,
}

impl OnSuccess {
    /// What it means for a task of a job of this type.
    pub fn of(task: &Task, job_type: JobType) -> Self {
        if task.ends_by_itself(job_type) { OnSuccess::Done } else { OnSuccess::Restart }
    }
}

/// Counts restarts within the interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracker {
    attempts: i64,
    interval: Nanos,
    delay: Nanos,
    mode: RestartMode,
    on_success: OnSuccess,
    count: i64,
    since: Timestamp,
}

impl Tracker {
    /// A tracker for a canonical policy; a missing field is taken as zero attempts, which gives up at the first failure.
    pub fn new(policy: Option<&RestartPolicy>, on_success: OnSuccess) -> Self {
        let policy = policy.cloned().unwrap_or_default();
        Tracker {
            attempts: policy.attempts.unwrap_or(0),
            interval: policy.interval.unwrap_or_default(),
            delay: policy.delay.unwrap_or_default(),
            mode: policy.mode.unwrap_or_default(),
            on_success,
            count: 0,
            since: Timestamp::NEVER,
        }
    }

    /// The same counts under another policy.
    pub fn under(&self, policy: Option<&RestartPolicy>) -> Self {
        Tracker { count: self.count, since: self.since, ..Tracker::new(policy, self.on_success) }
    }

    /// The task ended. `jitter` is drawn by the caller, from 0 to 1000.
    pub fn ended(&mut self, success: bool, now: Timestamp, jitter: u16) -> Verdict {
        if success && self.on_success == OnSuccess::Done {
            return Verdict::Done;
        }
        if self.since.is_never() || now.since(self.since) > self.interval {
            self.count = 0;
            self.since = now;
        }
        self.count += 1;
        if self.count <= self.attempts {
            let delay = Nanos(self.delay.0.saturating_add(self.delay.0 / 4000 * i64::from(jitter.min(1000))));
            return Verdict::Restart { delay, reason: WITHIN_POLICY.to_owned() };
        }
        match self.mode {
            RestartMode::Fail if self.attempts == 0 => Verdict::Fail { reason: "Policy allows no restarts".to_owned() },
            RestartMode::Fail => Verdict::Fail {
                reason: format!("Exceeded allowed attempts {} in interval {} and mode is \"fail\"", self.attempts, self.interval),
            },
            RestartMode::Delay => {
                let delay = Nanos(self.since.plus(self.interval).since(now).0.max(0));
                Verdict::Restart {
                    delay,
                    reason: format!("Exceeded allowed attempts {} in interval {}, applying a delay", self.attempts, self.interval),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp(1).plus(Nanos::from_secs(s))
    }
    fn policy(attempts: i64, mode: RestartMode) -> RestartPolicy {
        RestartPolicy {
            attempts: Some(attempts),
            interval: Some(Nanos::from_secs(100)),
            delay: Some(Nanos::from_secs(8)),
            mode: Some(mode),
            render_templates: None,
        }
    }
    fn delay(v: Verdict) -> i64 {
        match v {
            Verdict::Restart { delay, .. } => delay.0 / 1_000_000_000,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_gives_up_after_the_attempts_and_starts_over_after_the_interval() {
        let mut t = Tracker::new(Some(&policy(2, RestartMode::Fail)), OnSuccess::Restart);
        assert_eq!(delay(t.ended(false, at(0), 0)), 8);
        assert_eq!(delay(t.ended(true, at(1), 1000)), 10, "a service that ends well is started again; a quarter at random");
        assert_eq!(
            t.ended(false, at(2), 0),
            Verdict::Fail { reason: "Exceeded allowed attempts 2 in interval 1m40s and mode is \"fail\"".to_owned() }
        );
        assert_eq!(delay(t.ended(false, at(101), 0)), 8);
    }

    #[test]
    fn mode_delay_waits_for_the_end_of_the_interval() {
        let mut t = Tracker::new(Some(&policy(1, RestartMode::Delay)), OnSuccess::Restart);
        assert_eq!(delay(t.ended(false, at(0), 0)), 8);
        assert_eq!(delay(t.ended(false, at(30), 0)), 70);
    }

    #[test]
    fn what_ends_by_itself_and_well_is_done() {
        let mut t = Tracker::new(Some(&policy(3, RestartMode::Fail)), OnSuccess::Done);
        assert_eq!(t.ended(true, at(0), 0), Verdict::Done);
        assert_eq!(delay(t.ended(false, at(0), 0)), 8);
    }

    #[test]
    fn no_attempts_means_no_restart() {
        let mut t = Tracker::new(Some(&policy(0, RestartMode::Fail)), OnSuccess::Restart);
        assert_eq!(t.ended(false, at(0), 0), Verdict::Fail { reason: "Policy allows no restarts".to_owned() });
    }
}
