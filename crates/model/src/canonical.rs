//! Fills in every default of a job, so that all that follows reads one form.
//!
//! [`canonicalize`] is idempotent and never removes what a user wrote: a block that a job type does not allow stays, so that
//! `validate` can name it. It never fails; what is wrong is for `validate` to say.
//!
//! Decided here, because the references leave it open:
//! * A service's provider is `nomad`, the cluster's own registry.
//! * A rescheduling policy that sets `unlimited` without `attempts` has no attempts, and one that sets `attempts` without
//!   `unlimited` is limited. Merging the type's defaults into either would give a contradiction.
//! * A template's `uid` or `gid` of -1 means "not set" and is written as such.

mod block;
mod connect;
mod policy;
mod service;
mod task;

pub use policy::{default_migrate, default_reschedule, default_restart, default_update};

use crate::{
    Job, JobType, StringMap, Task, TaskGroup,
    group::{DEFAULT_EPHEMERAL_DISK_MB, EphemeralDisk, MigrateStrategy, ReschedulePolicy, UpdateStrategy},
    ids::{DEFAULT_NAMESPACE, DEFAULT_NODE_POOL, DEFAULT_REGION},
    job::DEFAULT_PRIORITY,
};
use service::Names;

/// The datacenters of a job that names none: all.
pub const ANY_DATACENTER: &str = "*";
/// What stands for a task's name in the services of a group.
pub const GROUP_SERVICE_TASK: &str = "group";

/// What a group takes over from its job.
struct FromJob<'a> {
    name: &'a str,
    job_type: JobType,
    update: Option<&'a UpdateStrategy>,
    reschedule: Option<&'a ReschedulePolicy>,
    migrate: Option<&'a MigrateStrategy>,
}

/// Fills in all defaults of `job`. Doing it twice changes nothing.
pub fn canonicalize(job: &mut Job) {
    fill_text(&mut job.region, DEFAULT_REGION);
    if job.namespace.is_empty() {
        job.namespace = DEFAULT_NAMESPACE.into();
    }
    if job.name.is_empty() {
        job.id.as_str().clone_into(&mut job.name);
    }
    if job.priority.unwrap_or(0) == 0 {
        job.priority = Some(DEFAULT_PRIORITY);
    }
    if job.datacenters.is_empty() {
        job.datacenters.push(ANY_DATACENTER.to_owned());
    }
    fill_text(&mut job.node_pool, DEFAULT_NODE_POOL);
    job.constraints.iter_mut().for_each(block::constraint);
    job.affinities.iter_mut().for_each(block::affinity);
    job.spreads.iter_mut().for_each(block::spread);
    job.update = policy::update(job.job_type, job.update.as_ref(), None);
    job.periodic.iter_mut().for_each(block::periodic);
    job.parameterized_job.iter_mut().for_each(block::parameterized);
    job.multiregion.iter_mut().for_each(block::multiregion);
    let from = FromJob {
        name: &job.name,
        job_type: job.job_type,
        update: job.update.as_ref(),
        reschedule: job.reschedule.as_ref(),
        migrate: job.migrate.as_ref(),
    };
    for group in &mut job.task_groups {
        group_defaults(group, &from);
    }
}

fn group_defaults(group: &mut TaskGroup, from: &FromJob<'_>) {
    let scaled = group.scaling.as_ref().and_then(|s| s.min);
    let count = *group.count.get_or_insert(scaled.unwrap_or(1));
    group.scaling.iter_mut().for_each(|s| block::scaling(s, Some(count)));
    group.constraints.iter_mut().for_each(block::constraint);
    group.affinities.iter_mut().for_each(block::affinity);
    group.spreads.iter_mut().for_each(block::spread);
    for (label, volume) in &mut group.volumes {
        fill_text(&mut volume.name, label);
    }
    group.disconnect.iter_mut().for_each(block::disconnect);
    ephemeral_disk(group.ephemeral_disk.get_or_insert_default());
    group.update = policy::update(from.job_type, group.update.as_ref(), from.update);
    group.reschedule_policy = policy::reschedule(from.job_type, group.reschedule_policy.as_ref(), from.reschedule);
    group.migrate = policy::migrate(from.job_type, group.migrate.as_ref(), from.migrate);
    let restart = group.restart_policy.take().unwrap_or_default().or(&default_restart(from.job_type));
    group.networks.iter_mut().for_each(block::network);
    group.consul.iter_mut().for_each(block::consul);
    let names = Names { job: from.name, group: &group.name, task: GROUP_SERVICE_TASK };
    group.services.iter_mut().for_each(|s| service::service(s, &names));
    for task in &mut group.tasks {
        task::task(task, from.name, &group.name, &restart);
    }
    group.restart_policy = Some(restart);
}

fn ephemeral_disk(disk: &mut EphemeralDisk) {
    let EphemeralDisk { sticky, migrate, size_mb } = disk;
    sticky.get_or_insert(false);
    migrate.get_or_insert(false);
    size_mb.get_or_insert(DEFAULT_EPHEMERAL_DISK_MB);
}

/// The metadata that a task sees: the job's, over it the group's, over it the task's own.
pub fn combined_meta(job: &Job, group: &TaskGroup, task: &Task) -> StringMap {
    let mut meta = job.meta.clone();
    for over in [&group.meta, &task.meta] {
        meta.extend(over.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    meta
}

fn fill_text(slot: &mut String, default: &str) {
    if slot.is_empty() {
        default.clone_into(slot);
    }
}
