//! Rules of the policies: update, migrate, restart, reschedule, disconnect.

use crate::{
    JobType, Nanos,
    group::{
        DelayFunction, DisconnectStrategy, HealthCheck, MigrateStrategy, ReschedulePolicy, RestartMode, RestartPolicy, UpdateStrategy,
    },
    report::Report,
};

/// The shortest interval in which restarts are counted.
pub(super) const MIN_RESTART_INTERVAL: Nanos = Nanos::from_secs(5);
/// The shortest delay before an allocation is replaced elsewhere.
pub(super) const MIN_RESCHEDULE_DELAY: Nanos = Nanos::from_secs(5);
/// The shortest interval in which replacements are counted.
pub(super) const MIN_RESCHEDULE_INTERVAL: Nanos = Nanos::from_secs(15);
/// The most attempts that a policy may count.
pub(super) const MAX_ATTEMPTS: i64 = 1_000_000;

pub(super) fn update(report: &mut Report, job_type: JobType, u: &UpdateStrategy) {
    let UpdateStrategy {
        stagger,
        max_parallel,
        health_check: _,
        min_healthy_time,
        healthy_deadline,
        progress_deadline,
        canary,
        auto_revert: _,
        auto_promote,
    } = u;
    if job_type.is_batch() {
        report.say(format_args!("update is only for jobs of type service and system (this is {job_type}); remove it"));
        return;
    }
    let parallel = max_parallel.unwrap_or(1);
    report.between("max_parallel", parallel, 0, super::MAX_JOB_COUNT, "");
    report.between("canary", canary.unwrap_or(0), 0, super::MAX_JOB_COUNT, "");
    if parallel == 0 {
        // All at once and without a deployment: nothing below has a meaning.
        return;
    }
    if *auto_promote == Some(true) && canary.unwrap_or(0) == 0 {
        report.say("auto_promote needs canaries; set canary to at least 1, or remove auto_promote");
    }
    report.span("stagger", *stagger, Nanos(1));
    health_times(report, *min_healthy_time, *healthy_deadline);
    report.span("progress_deadline", *progress_deadline, Nanos::ZERO);
    let (healthy, progress) = (healthy_deadline.unwrap_or_default(), progress_deadline.unwrap_or_default());
    if progress > Nanos::ZERO && healthy >= progress {
        report.say(format_args!("healthy_deadline ({healthy}) must be less than progress_deadline ({progress}); raise progress_deadline"));
    }
}

fn health_times(report: &mut Report, min_healthy_time: Option<Nanos>, healthy_deadline: Option<Nanos>) {
    report.span("min_healthy_time", min_healthy_time, Nanos::ZERO);
    report.span("healthy_deadline", healthy_deadline, Nanos(1));
    let (least, most) = (min_healthy_time.unwrap_or_default(), healthy_deadline.unwrap_or_default());
    if least >= most && most > Nanos::ZERO {
        report.say(format_args!("min_healthy_time ({least}) must be less than healthy_deadline ({most}); raise healthy_deadline"));
    }
}

pub(super) fn migrate(report: &mut Report, job_type: JobType, m: &MigrateStrategy) {
    let MigrateStrategy { max_parallel, health_check, min_healthy_time, healthy_deadline } = m;
    if job_type != JobType::Service {
        report.say(format_args!("migrate is only for jobs of type service (this is {job_type}); remove it"));
        return;
    }
    report.between("max_parallel", max_parallel.unwrap_or(1), 0, super::MAX_JOB_COUNT, "");
    if *health_check == Some(HealthCheck::Manual) {
        report.say("health_check \"manual\" is not for migrate; use \"checks\" or \"task_states\"");
    }
    health_times(report, *min_healthy_time, *healthy_deadline);
}

pub(super) fn restart(report: &mut Report, p: &RestartPolicy) {
    let RestartPolicy { interval, attempts, delay, mode, render_templates: _ } = p;
    let attempts = attempts.unwrap_or(0);
    report.between("attempts", attempts, 0, MAX_ATTEMPTS, "");
    report.span("interval", *interval, MIN_RESTART_INTERVAL);
    report.span("delay", *delay, Nanos::ZERO);
    if attempts == 0 && *mode == Some(RestartMode::Delay) {
        report.say("mode \"delay\" with 0 attempts never restarts and never fails; set attempts to at least 1, or mode to \"fail\"");
    }
    fits(report, attempts, delay.unwrap_or_default(), interval.unwrap_or_default());
}

/// The attempts with their delays must fit into the interval, or the bound could never be reached.
fn fits(report: &mut Report, attempts: i64, delay: Nanos, interval: Nanos) {
    let needed = Nanos(delay.0.saturating_mul(attempts));
    if attempts > 0 && needed > interval {
        report.say(format_args!(
            "{attempts} attempts with a delay of {delay} take {needed}, more than the interval of {interval}; \
             raise interval or lower attempts"
        ));
    }
}

pub(super) fn reschedule(report: &mut Report, job_type: JobType, p: &ReschedulePolicy) {
    let ReschedulePolicy { attempts, interval, delay, delay_function, max_delay, unlimited } = p;
    if job_type.is_system() {
        report.say(format_args!("reschedule is not for jobs of type {job_type}: each node runs its own; remove it"));
        return;
    }
    let (attempts, unlimited) = (attempts.unwrap_or(0), unlimited.unwrap_or(false));
    report.between("attempts", attempts, 0, MAX_ATTEMPTS, "");
    if attempts <= 0 && !unlimited {
        return;
    }
    if attempts > 0 && unlimited {
        report.say(format_args!("unlimited and {attempts} attempts contradict each other; set attempts to 0, or unlimited to false"));
    }
    report.span("delay", *delay, MIN_RESCHEDULE_DELAY);
    let (delay, limit) = (delay.unwrap_or_default(), max_delay.unwrap_or_default());
    let grows = *delay_function != Some(DelayFunction::Constant);
    if grows && limit < delay {
        report.say(format_args!("max_delay ({limit}) must be at least the delay ({delay}); raise max_delay"));
    }
    if !unlimited {
        report.span("interval", Some(interval.unwrap_or_default()), MIN_RESCHEDULE_INTERVAL);
        if !grows {
            fits(report, attempts, delay, interval.unwrap_or_default());
        } else {
            grown_delays_fit(report, attempts, p);
        }
    }
}

/// As [`fits`], for delays that grow until they reach `max_delay`: their sum is what counts.
fn grown_delays_fit(report: &mut Report, attempts: i64, p: &ReschedulePolicy) {
    let (interval, limit) = (p.interval.unwrap_or_default(), p.max_delay.unwrap_or_default());
    let (mut before, mut present, mut sum) = (Nanos::ZERO, p.delay.unwrap_or_default(), Nanos::ZERO);
    let mut left = attempts;
    // A delay that grows reaches any limit within 92 steps, so this ends soon whatever the number of attempts.
    while left > 0 && present > Nanos::ZERO && present < limit && sum <= interval {
        sum = sum.saturating_add(present);
        let grown = if p.delay_function == Some(DelayFunction::Fibonacci) { before } else { present };
        (before, present) = (present, present.saturating_add(grown));
        left -= 1;
    }
    let rest = Nanos(limit.0.saturating_mul(left));
    if sum.saturating_add(if present > Nanos::ZERO { rest } else { Nanos::ZERO }) > interval {
        report.say(format_args!("{attempts} attempts do not fit into the interval of {interval}; raise interval or lower attempts"));
    }
}

pub(super) fn disconnect(report: &mut Report, job_type: JobType, d: &DisconnectStrategy) {
    let DisconnectStrategy { lost_after, stop_on_client_after, replace: _, reconcile } = d;
    report.span("lost_after", *lost_after, Nanos::ZERO);
    report.span("stop_on_client_after", *stop_on_client_after, Nanos::ZERO);
    if lost_after.is_some() && stop_on_client_after.is_some() {
        report.say("lost_after and stop_on_client_after exclude each other; keep one of them");
    }
    if stop_on_client_after.is_some() && job_type.is_system() {
        report.say(format_args!("stop_on_client_after is only for jobs of type service and batch (this is {job_type}); remove it"));
    }
    report.word("reconcile", reconcile, &["best_score", "longest_running", "keep_original", "keep_replacement"]);
}
