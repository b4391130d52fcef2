//! Rules of a task.

use super::{constraint, driver, names, policy, resources, service, template};
use crate::{
    Nanos, Task, TaskGroup,
    report::{Report, labelled, quoted},
    task::{ChangeMode, LogConfig},
};

/// The name of the directory that all tasks of an allocation share: no task may take it.
pub(super) const SHARED_DIRECTORY: &str = "alloc";
/// Bounds on the number of rotated files: each is looked at when logs are read.
pub(super) const MAX_LOG_FILES: i64 = 1_000;

pub(super) fn task(report: &mut Report, group: &TaskGroup, task: &Task) {
    let Task {
        name,
        driver,
        user,
        config,
        constraints,
        affinities,
        env,
        services,
        resources,
        restart_policy,
        meta,
        kill_timeout,
        log_config,
        templates,
        shutdown_delay,
        kill_signal,
        // Counted in the group.
        lifecycle: _,
        leader: _,
        // Judged with the other tasks of the group.
        after: _,
        // Refused by `support`; the rules come with them.
        artifacts: _,
        vault: _,
        consul: _,
        dispatch_payload: _,
        volume_mounts,
        csi_plugin_config: _,
        kind: _,
        scaling_policies: _,
        secrets: _,
        identity: _,
        identities: _,
        actions,
        schedule: _,
    } = task;
    task_name(report, name);
    report.required("driver", driver, "set it to \"exec\", \"raw_exec\" or \"docker\"");
    if user.contains('\0') {
        report.say(format_args!("user {} must not hold NUL; remove it", quoted(user)));
    }
    driver::config(report, driver, config);
    constraint::task_constraints(report, constraints);
    constraint::affinities(report, affinities);
    names::environment(report, "env", env);
    names::environment(report, "meta", meta);
    resources.iter().for_each(|r| report.within("resources", |report| resources::resources(report, r)));
    // A policy that is the group's own was judged there.
    let own = restart_policy.iter().filter(|p| group.restart_policy.as_ref() != Some(*p));
    own.for_each(|p| report.within("restart", |r| policy::restart(r, p)));
    report.span("shutdown_delay", Some(*shutdown_delay), Nanos::ZERO);
    names::signal(report, "kill_signal", kill_signal);
    timeout(report, group, kill_timeout.unwrap_or_default());
    log_config.iter().for_each(|l| report.within("logs", |r| logs(r, group, l)));
    template::templates(report, templates);
    service::services(report, group, Some(task), services);
    names::unique(report, "action", actions.iter().map(|a| a.name.as_str()));
    for (i, m) in volume_mounts.iter().enumerate() {
        report.within(labelled("volume_mount", &m.volume, i), |r| {
            if !group.volumes.contains_key(&m.volume) {
                r.say(format_args!("the group has no volume {}; add a volume block with this label", quoted(&m.volume)));
            }
            r.required("destination", &m.destination, "say where the task sees the volume");
        });
    }
}

/// The name is a directory and a part of the log files' names.
fn task_name(report: &mut Report, name: &str) {
    names::name(report, "name", name);
    if name.contains(['/', '\\']) {
        report.say(format_args!("name {} must not hold / or \\: it names a directory; write - instead", quoted(name)));
    }
    if matches!(name, SHARED_DIRECTORY | "." | "..") {
        report.say(format_args!("name {name:?} is taken by a directory of the allocation; choose another"));
    }
}

fn timeout(report: &mut Report, group: &TaskGroup, kill_timeout: Nanos) {
    report.span("kill_timeout", Some(kill_timeout), Nanos::ZERO);
    let rolling = group.update.as_ref().filter(|u| u.max_parallel != Some(0));
    let deadline = rolling.and_then(|u| u.progress_deadline).unwrap_or_default();
    if deadline > Nanos::ZERO && kill_timeout > deadline {
        report.say(format_args!(
            "kill_timeout ({kill_timeout}) must be at most the progress_deadline of the group's update ({deadline}); raise that"
        ));
    }
}

fn logs(report: &mut Report, group: &TaskGroup, logs: &LogConfig) {
    let LogConfig { max_files, max_file_size_mb, enabled, disabled } = logs;
    report.between("max_files", max_files.unwrap_or(0), 1, MAX_LOG_FILES, "");
    report.between("max_file_size", max_file_size_mb.unwrap_or(0), 1, super::MAX_AMOUNT, " MB");
    if enabled.is_some() && enabled == disabled {
        report.say("enabled and disabled contradict each other; remove enabled");
    }
    let (used, disk) = (logs.total_mb(), group.disk_mb());
    if *disabled != Some(true) && used >= disk {
        report.say(format_args!(
            "max_files times max_file_size ({used} MB) must be less than the group's ephemeral_disk ({disk} MB); raise its size"
        ));
    }
}

/// A signal that a template may send needs a mode that sends it.
pub(super) fn change(report: &mut Report, mode: Option<ChangeMode>, signal: &str, script: bool) {
    names::signal(report, "change_signal", signal);
    match mode {
        Some(ChangeMode::Signal) => report.required("change_signal", signal, "name one, for example \"SIGHUP\""),
        Some(ChangeMode::Script) if !script => report.say("change_script is missing; add it, or choose another change_mode"),
        _ => {}
    }
}
