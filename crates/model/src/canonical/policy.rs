//! The policies that a group inherits from its job and completes by the job's type.

use crate::{
    JobType, Nanos,
    group::{DelayFunction, HealthCheck, MigrateStrategy, ReschedulePolicy, RestartMode, RestartPolicy, UpdateStrategy},
};

/// How a new version replaces the old where nothing is said.
pub fn default_update() -> UpdateStrategy {
    UpdateStrategy {
        stagger: Some(Nanos::from_secs(30)),
        max_parallel: Some(1),
        health_check: Some(HealthCheck::Checks),
        min_healthy_time: Some(Nanos::from_secs(10)),
        healthy_deadline: Some(Nanos::from_mins(5)),
        progress_deadline: Some(Nanos::from_mins(10)),
        canary: Some(0),
        auto_revert: Some(false),
        auto_promote: Some(false),
    }
}

/// How allocations leave a draining node where nothing is said.
pub fn default_migrate() -> MigrateStrategy {
    MigrateStrategy {
        max_parallel: Some(1),
        health_check: Some(HealthCheck::Checks),
        min_healthy_time: Some(Nanos::from_secs(10)),
        healthy_deadline: Some(Nanos::from_mins(5)),
    }
}

/// How often a task of a job of this type is started again where nothing is said.
pub fn default_restart(job_type: JobType) -> RestartPolicy {
    let (attempts, interval) = if job_type.is_batch() { (3, Nanos::from_hours(24)) } else { (2, Nanos::from_mins(30)) };
    RestartPolicy {
        interval: Some(interval),
        attempts: Some(attempts),
        delay: Some(Nanos::from_secs(15)),
        mode: Some(RestartMode::Fail),
        render_templates: Some(false),
    }
}

/// How a failed allocation of a job of this type is replaced where nothing is said; `None` where it never is.
pub fn default_reschedule(job_type: JobType) -> Option<ReschedulePolicy> {
    match job_type {
        JobType::Service => Some(ReschedulePolicy {
            attempts: Some(0),
            interval: Some(Nanos::ZERO),
            delay: Some(Nanos::from_secs(30)),
            delay_function: Some(DelayFunction::Exponential),
            max_delay: Some(Nanos::from_hours(1)),
            unlimited: Some(true),
        }),
        JobType::Batch => Some(ReschedulePolicy {
            attempts: Some(1),
            interval: Some(Nanos::from_hours(24)),
            delay: Some(Nanos::from_secs(5)),
            delay_function: Some(DelayFunction::Constant),
            max_delay: Some(Nanos::ZERO),
            unlimited: Some(false),
        }),
        JobType::System | JobType::Sysbatch => None,
    }
}

/// The update strategy of a job (`under` is `None`) or of a group whose job says `under`.
///
/// A type that has no updates keeps what was written, so that it can be refused by name.
pub(super) fn update(job_type: JobType, own: Option<&UpdateStrategy>, under: Option<&UpdateStrategy>) -> Option<UpdateStrategy> {
    if own.is_none() && under.is_none() && job_type.is_batch() {
        return None;
    }
    let written = own.cloned().unwrap_or_default().or(&under.cloned().unwrap_or_default());
    Some(written.or(&default_update()))
}

/// The rescheduling policy of a group whose job says `under`.
pub(super) fn reschedule(job_type: JobType, own: Option<&ReschedulePolicy>, under: Option<&ReschedulePolicy>) -> Option<ReschedulePolicy> {
    let default = default_reschedule(job_type);
    if own.is_none() && under.is_none() {
        return default;
    }
    let mut written = own.cloned().unwrap_or_default().or(&under.cloned().unwrap_or_default());
    match (written.unlimited, written.attempts) {
        (Some(true), None) => {
            written.attempts = Some(0);
            written.interval.get_or_insert(Nanos::ZERO);
        }
        (None, Some(1..)) => written.unlimited = Some(false),
        _ => {}
    }
    Some(written.or(&default.unwrap_or_default()))
}

/// The migration strategy of a group whose job says `under`.
pub(super) fn migrate(job_type: JobType, own: Option<&MigrateStrategy>, under: Option<&MigrateStrategy>) -> Option<MigrateStrategy> {
    if own.is_none() && under.is_none() && job_type != JobType::Service {
        return None;
    }
    let written = own.cloned().unwrap_or_default().or(&under.cloned().unwrap_or_default());
    Some(written.or(&default_migrate()))
}

impl UpdateStrategy {
    /// This strategy, with what it leaves open taken from `under`.
    pub(super) fn or(self, under: &UpdateStrategy) -> UpdateStrategy {
        UpdateStrategy {
            stagger: self.stagger.or(under.stagger),
            max_parallel: self.max_parallel.or(under.max_parallel),
            health_check: self.health_check.or(under.health_check),
            min_healthy_time: self.min_healthy_time.or(under.min_healthy_time),
            healthy_deadline: self.healthy_deadline.or(under.healthy_deadline),
            progress_deadline: self.progress_deadline.or(under.progress_deadline),
            canary: self.canary.or(under.canary),
            auto_revert: self.auto_revert.or(under.auto_revert),
            auto_promote: self.auto_promote.or(under.auto_promote),
        }
    }
}

impl MigrateStrategy {
    /// This strategy, with what it leaves open taken from `under`.
    pub(super) fn or(self, under: &MigrateStrategy) -> MigrateStrategy {
        MigrateStrategy {
            max_parallel: self.max_parallel.or(under.max_parallel),
            health_check: self.health_check.or(under.health_check),
            min_healthy_time: self.min_healthy_time.or(under.min_healthy_time),
            healthy_deadline: self.healthy_deadline.or(under.healthy_deadline),
        }
    }
}

impl RestartPolicy {
    /// This policy, with what it leaves open taken from `under`.
    pub(super) fn or(self, under: &RestartPolicy) -> RestartPolicy {
        RestartPolicy {
            interval: self.interval.or(under.interval),
            attempts: self.attempts.or(under.attempts),
            delay: self.delay.or(under.delay),
            mode: self.mode.or(under.mode),
            render_templates: self.render_templates.or(under.render_templates),
        }
    }
}

impl ReschedulePolicy {
    /// This policy, with what it leaves open taken from `under`.
    pub(super) fn or(self, under: &ReschedulePolicy) -> ReschedulePolicy {
        ReschedulePolicy {
            attempts: self.attempts.or(under.attempts),
            interval: self.interval.or(under.interval),
            delay: self.delay.or(under.delay),
            delay_function: self.delay_function.or(under.delay_function),
            max_delay: self.max_delay.or(under.max_delay),
            unlimited: self.unlimited.or(under.unlimited),
        }
    }
}
