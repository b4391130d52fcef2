//! Rules of the job itself.

use super::{MAX_GROUPS, MAX_JOB_COUNT, MAX_JOB_ID_BYTES, MAX_UI_DESCRIPTION_CHARS, constraint, group, names, policy};
use crate::{
    Job, JobType,
    job::{JobUiConfig, MAX_PRIORITY, ParameterizedJobConfig, PeriodicConfig},
    report::{Report, labelled, quoted},
};

pub(super) fn job(report: &mut Report, job: &Job) {
    let Job {
        region,
        namespace,
        id,
        name,
        job_type,
        priority,
        all_at_once: _,
        datacenters,
        node_pool,
        constraints,
        affinities,
        task_groups,
        update,
        multiregion: _,
        spreads,
        periodic,
        parameterized_job,
        reschedule,
        migrate,
        meta,
        ui,
        // Set by the server.
        stop: _,
        parent_id: _,
        dispatched: _,
        dispatch_idempotency_token: _,
        payload: _,
        consul_namespace: _,
        vault_namespace: _,
        nomad_token_id: _,
        status: _,
        status_description: _,
        stable: _,
        version: _,
        submit_time: _,
        create_index: _,
        modify_index: _,
        job_modify_index: _,
        version_tag: _,
    } = job;
    job_id(report, id.as_str());
    names::name_of(report, "name", name, MAX_JOB_ID_BYTES);
    names::plain_word(report, "region", region);
    names::plain_word(report, "namespace", namespace.as_str());
    names::plain_word(report, "node_pool", node_pool);
    report.between("priority", priority.unwrap_or(crate::job::DEFAULT_PRIORITY), 1, MAX_PRIORITY, "");
    if report.list("datacenters", datacenters.len()) {
        datacenters.iter().for_each(|d| names::name(report, "a datacenter", d));
    }
    constraint::constraints(report, constraints);
    constraint::affinities(report, affinities);
    constraint::spreads(report, spreads);
    system_preferences(report, *job_type, !affinities.is_empty(), !spreads.is_empty());
    if let Some(update) = update {
        report.within("update", |r| policy::update(r, *job_type, update));
    }
    if migrate.is_some() && *job_type != JobType::Service {
        report.say(format_args!("migrate is only for jobs of type service (this is {job_type}); remove it"));
    }
    if reschedule.is_some() && job_type.is_system() {
        report.say(format_args!("reschedule is not for jobs of type {job_type}: each node runs its own; remove it"));
    }
    periodic.iter().for_each(|p| periodic_config(report, *job_type, p));
    parameterized_job.iter().for_each(|p| parameterized(report, *job_type, p));
    names::environment(report, "meta", meta);
    ui.iter().for_each(|u| report.within("ui", |r| ui_config(r, u)));
    groups(report, job, task_groups);
}

fn groups(report: &mut Report, job: &Job, groups: &[crate::TaskGroup]) {
    if groups.is_empty() {
        report.say("a job needs at least one group; add a group with a task");
    }
    if !report.list_of("groups", groups.len(), MAX_GROUPS) {
        return;
    }
    names::unique(report, "group", groups.iter().map(|g| g.name.as_str()));
    let total = groups.iter().filter_map(|g| g.count).fold(0i64, |sum, c| sum.saturating_add(c.max(0)));
    if total > MAX_JOB_COUNT {
        report.say(format_args!("the counts of all groups must be at most {MAX_JOB_COUNT} together (they are {total}); split the job"));
    }
    for (i, g) in groups.iter().enumerate() {
        report.within(labelled("group", &g.name, i), |r| group::group(r, job, g));
    }
}

/// Spaces are refused because people and scripts split lists of ids at them; slashes are legal.
fn job_id(report: &mut Report, id: &str) {
    names::name_of(report, "id", id, MAX_JOB_ID_BYTES);
    if id.contains(' ') {
        report.say(format_args!("id {} must not hold spaces; write - instead", quoted(id)));
    }
}

/// A job that runs on every node has no node to prefer.
pub(super) fn system_preferences(report: &mut Report, job_type: JobType, affinity: bool, spread: bool) {
    if affinity && job_type == JobType::System {
        report.say("affinity is not for jobs of type system: they run on every node; use constraint");
    }
    if spread && job_type.is_system() {
        report.say(format_args!("spread is not for jobs of type {job_type}: they run on every node; remove it"));
    }
}

fn periodic_config(report: &mut Report, job_type: JobType, p: &PeriodicConfig) {
    let PeriodicConfig { enabled: _, spec, specs, spec_type, prohibit_overlap: _, time_zone: _ } = p;
    report.within("periodic", |r| {
        if !job_type.is_batch() {
            r.say(format_args!("periodic is only for jobs of type batch and sysbatch (this is {job_type}); remove it or set the type"));
        }
        match (spec.is_empty(), specs.is_empty()) {
            (true, true) => r.say("a time is missing; set cron or crons"),
            (false, false) => r.say("cron and crons are both set; keep one of them"),
            _ => {}
        }
        r.word("spec_type", spec_type, &["cron"]);
    });
}

fn parameterized(report: &mut Report, job_type: JobType, p: &ParameterizedJobConfig) {
    let ParameterizedJobConfig { payload, meta_required, meta_optional } = p;
    report.within("parameterized", |r| {
        if !job_type.is_batch() {
            r.say(format_args!(
                "parameterized is only for jobs of type batch and sysbatch (this is {job_type}); remove it or set the type"
            ));
        }
        r.word("payload", payload, &["optional", "required", "forbidden"]);
        names::unique(r, "metadata key", meta_required.iter().chain(meta_optional).map(String::as_str));
    });
}

fn ui_config(report: &mut Report, ui: &JobUiConfig) {
    let JobUiConfig { description, links } = ui;
    let chars = description.chars().count();
    if chars > MAX_UI_DESCRIPTION_CHARS {
        report.say(format_args!("description must be at most {MAX_UI_DESCRIPTION_CHARS} characters (it is {chars}); shorten it"));
    }
    if report.list("links", links.len()) {
        for (i, link) in links.iter().enumerate() {
            report.within(labelled("link", &link.label, i), |r| {
                r.required("label", &link.label, "say what the link shows");
                r.required("url", &link.url, "say where it leads");
            });
        }
    }
}
