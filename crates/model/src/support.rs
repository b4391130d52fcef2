//! What floe does not act on yet, refused by name, so that nothing in a job file is accepted and then ignored.
//!
//! Each struct of the job model is taken apart field by field: a new field does not compile until someone decides what becomes
//! of it. A field that floe acts on, or that `canonical` has merged into another, is `_`; the others are looked at.

mod group;
mod service;
mod task;

pub(crate) use group::asks_consul;

use crate::{
    Job, JobType,
    canonical::default_update,
    group::{HealthCheck, UpdateStrategy},
    ids::{DEFAULT_NAMESPACE, DEFAULT_REGION},
    report::{Report, labelled},
};

/// How every line begins.
pub const PREFIX: &str = "not supported yet: ";

/// What a canonical job asks for that floe does not do yet: `not supported yet: group "web" -> volume "data": mount ...`.
/// At most 100 lines and a count of the rest; an empty list means that every field of the job is acted on.
pub fn unsupported(job: &Job) -> Vec<String> {
    let mut report = Report::default();
    let Job {
        // Acted on.
        id: _,
        name: _,
        job_type: _,
        priority: _,
        all_at_once: _,
        datacenters: _,
        node_pool: _,
        constraints: _,
        affinities: _,
        spreads: _,
        meta: _,
        ui: _,
        stop: _,
        // Merged into every group.
        update: _,
        reschedule: _,
        migrate: _,
        // Set by the server.
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
        // Looked at.
        region,
        namespace,
        task_groups,
        multiregion,
        periodic,
        parameterized_job,
        payload,
        parent_id,
        dispatched,
        dispatch_idempotency_token,
        consul_namespace,
        vault_namespace,
    } = job;
    let r = &mut report;
    r.refuse_if(region != DEFAULT_REGION, "region", "there is one region, \"global\"; remove it");
    r.refuse_if(*namespace != *DEFAULT_NAMESPACE, "namespace", "there is one namespace, \"default\"; remove it");
    r.refuse_if(multiregion.is_some(), "multiregion", "register the job in each cluster");
    r.refuse_if(periodic.is_some(), "periodic", "register the job from a timer");
    r.refuse_if(parameterized_job.is_some(), "parameterized", "register a job for each run");
    let child = "there are no children of periodic or parameterized jobs; remove it";
    r.refuse_if(payload.is_some(), "payload", child);
    r.refuse_if(!parent_id.is_empty(), "parent_id", child);
    r.refuse_if(*dispatched, "dispatched", child);
    r.refuse_if(!dispatch_idempotency_token.is_empty(), "dispatch_idempotency_token", child);
    r.refuse_if(!consul_namespace.is_empty(), "consul_namespace", "");
    r.refuse_if(!vault_namespace.is_empty(), "vault_namespace", "");
    for (i, g) in task_groups.iter().enumerate() {
        r.within(labelled("group", &g.name, i), |r| group::group(r, job.job_type, g));
    }
    report.into_lines()
}

/// An update strategy after the job's was merged into it.
fn update(report: &mut Report, job_type: JobType, u: &UpdateStrategy) {
    if job_type == JobType::System {
        report.refuse_if(*u != default_update(), "its settings", "jobs of type system are updated node by node; remove the block");
        return;
    }
    let UpdateStrategy {
        max_parallel: _,
        min_healthy_time: _,
        healthy_deadline: _,
        progress_deadline: _,
        stagger,
        health_check,
        canary,
        auto_revert,
        auto_promote,
    } = u;
    report.refuse_if(*stagger != default_update().stagger, "stagger", "max_parallel and min_healthy_time set the pace; remove it");
    report.refuse_if(*health_check == Some(HealthCheck::Manual), "health_check \"manual\"", "use \"checks\" or \"task_states\"");
    report.refuse_if(canary.is_some_and(|c| c != 0), "canary", "set it to 0 or remove it");
    report.refuse_if(*auto_revert == Some(true), "auto_revert", "register the earlier version again");
    report.refuse_if(*auto_promote == Some(true), "auto_promote", "there are no canaries; remove it");
}

impl Report {
    /// Refuses `what` at the present place; `remedy` may be empty.
    fn refuse_if(&mut self, condition: bool, what: &str, remedy: &str) {
        if condition {
            let inside = if self.at_top() { String::new() } else { format!("{} -> ", self.place()) };
            let why = if remedy.is_empty() { String::new() } else { format!(": {remedy}") };
            self.line(format!("{PREFIX}{inside}{what}{why}"));
        }
    }
}
