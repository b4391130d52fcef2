//! Rules of a group.

use super::{MAX_TASKS, constraint, job::system_preferences, names, network, order, policy, service, task};
use crate::{
    Job, JobType, Nanos, TaskGroup,
    group::EphemeralDisk,
    report::{Report, labelled},
    volume::VolumeRequest,
};

/// The least disk of a group, in mebibytes.
pub(super) const MIN_DISK_MB: i64 = 10;

pub(super) fn group(report: &mut Report, job: &Job, group: &TaskGroup) {
    let TaskGroup {
        name,
        count,
        constraints,
        affinities,
        tasks,
        spreads,
        volumes,
        restart_policy,
        disconnect,
        reschedule_policy,
        ephemeral_disk,
        update,
        migrate,
        networks,
        meta,
        services,
        shutdown_delay,
        max_run_duration,
        scaling,
        // Refused by `support`; replaced by `disconnect`.
        stop_after_client_disconnect: _,
        max_client_disconnect: _,
        prevent_reschedule_on_lost: _,
        // A choice among clusters, without rules of its own.
        consul: _,
    } = group;
    let job_type = job.job_type;
    names::name(report, "name", name);
    counts(report, job_type, count.unwrap_or(1), scaling.as_ref());
    constraint::constraints(report, constraints);
    constraint::affinities(report, affinities);
    constraint::spreads(report, spreads);
    system_preferences(report, job_type, !affinities.is_empty(), !spreads.is_empty());
    restart_policy.iter().for_each(|p| report.within("restart", |r| policy::restart(r, p)));
    reschedule_policy.iter().for_each(|p| report.within("reschedule", |r| policy::reschedule(r, job_type, p)));
    update.iter().for_each(|u| report.within("update", |r| policy::update(r, job_type, u)));
    migrate.iter().for_each(|m| report.within("migrate", |r| policy::migrate(r, job_type, m)));
    disconnect.iter().for_each(|d| report.within("disconnect", |r| policy::disconnect(r, job_type, d)));
    ephemeral_disk.iter().for_each(|d| report.within("ephemeral_disk", |r| disk(r, d)));
    names::environment(report, "meta", meta);
    report.span("shutdown_delay", *shutdown_delay, Nanos::ZERO);
    if let Some(most) = max_run_duration {
        report.span("max_run_duration", Some(*most), Nanos(1));
        if !job_type.is_batch() {
            report.say(format_args!("max_run_duration is only for jobs of type batch and sysbatch (this is {job_type}); remove it"));
        }
    }
    for (i, (label, v)) in volumes.iter().enumerate() {
        report.within(labelled("volume", label, i), |r| volume(r, job_type, v));
    }
    network::group_networks(report, group, networks);
    service::services(report, group, None, services);
    group_tasks(report, job_type, group, tasks);
}

fn counts(report: &mut Report, job_type: JobType, count: i64, scaling: Option<&crate::job::ScalingPolicy>) {
    report.between("count", count, 0, super::MAX_JOB_COUNT, "");
    if job_type.is_system() && count > 1 {
        report.say(format_args!("count must be at most 1 in a job of type {job_type} (it is {count}): each node runs one; remove it"));
    }
    if let Some(s) = scaling {
        let (min, max) = (s.min.unwrap_or(0), s.max.unwrap_or(0));
        report.within("scaling", |r| {
            r.between("min", min, 0, super::MAX_JOB_COUNT, "");
            if s.max.is_none() {
                r.say("max is missing; set it to the most allocations that scaling may ask for");
            } else if max < min || count > max || count < min {
                r.say(format_args!("min ({min}), count ({count}) and max ({max}) must not decrease in this order; change one"));
            }
        });
    }
}

fn disk(report: &mut Report, d: &EphemeralDisk) {
    let EphemeralDisk { sticky: _, migrate: _, size_mb } = d;
    report.between("size", size_mb.unwrap_or(0), MIN_DISK_MB, super::MAX_AMOUNT, " MB");
}

fn volume(report: &mut Report, job_type: JobType, v: &VolumeRequest) {
    let VolumeRequest { name, volume_type, source, read_only: _, sticky: _, access_mode, attachment_mode, mount_options: _, per_alloc } = v;
    names::name(report, "name", name);
    report.required("type", volume_type, "set it to \"host\" or \"csi\"");
    report.word("type", volume_type, &["host", "csi"]);
    report.required("source", source, "name the volume");
    if *per_alloc && job_type.is_system() {
        report.say(format_args!("per_alloc is not for jobs of type {job_type}; remove it"));
    }
    if volume_type == "csi" {
        report.required("access_mode", access_mode, "a CSI volume needs one");
        report.required("attachment_mode", attachment_mode, "a CSI volume needs one");
    }
    report.word("attachment_mode", attachment_mode, &["file-system", "block-device"]);
}

fn group_tasks(report: &mut Report, job_type: JobType, group: &TaskGroup, tasks: &[crate::Task]) {
    if !report.list_of("tasks", tasks.len(), MAX_TASKS) {
        return;
    }
    if tasks.iter().all(|t| t.lifecycle.is_some()) {
        let what = if tasks.is_empty() { "add a task" } else { "remove lifecycle from the task that does the work" };
        report.say(format_args!("a group needs at least one main task; {what}"));
    }
    names::unique(report, "task", tasks.iter().map(|t| t.name.as_str()));
    if tasks.iter().filter(|t| t.leader).count() > 1 {
        report.say("only one task may be the leader; remove leader from the others");
    }
    for (i, t) in tasks.iter().enumerate() {
        report.within(labelled("task", &t.name, i), |r| task::task(r, group, t));
    }
    order::order(report, job_type, group);
}
