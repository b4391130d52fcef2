//! Which changes of a job need a new allocation, and which are changes at all.
//!
//! What a running task was started with (its command, environment, files, network, resources) cannot be changed under it:
//! its allocation is replaced. Everything else (services, policies, counts, constraints that still hold) is taken over in place.
//! Whether the allocation's node still fits (datacenters, node pool, constraints, capacity) is for the scheduler.

use crate::{
    Job, Task, TaskGroup,
    canonical::combined_meta,
    consul::Consul,
    group::RestartPolicy,
    network::{NetworkResource, Port},
    report::labelled,
    resources::Resources,
    service::Service,
    support::asks_consul,
    task::LogConfig,
};

/// Resets what the server writes into a job, so that what the user asked for can be compared and a submission starts clean.
/// `stop` stays: registering a stopped job again must start it.
pub fn clear_server_fields(job: &mut Job) {
    let blank = Job::default();
    job.nomad_token_id = blank.nomad_token_id;
    job.status = blank.status;
    job.status_description = blank.status_description;
    job.stable = blank.stable;
    job.version = blank.version;
    job.submit_time = blank.submit_time;
    job.create_index = blank.create_index;
    job.modify_index = blank.modify_index;
    job.job_modify_index = blank.job_modify_index;
    job.version_tag = blank.version_tag;
}

/// True when `new` asks for something else than `old`; both canonical. An unchanged submission makes no new version.
pub fn spec_changed(old: &Job, new: &Job) -> bool {
    let [mut old, mut new] = [old.clone(), new.clone()];
    clear_server_fields(&mut old);
    clear_server_fields(&mut new);
    old != new
}

/// Why the allocations of `group` must be replaced to go from `old` to `new` (both canonical); `None` when they can stay.
/// The reason names the first field that differs: `task "server": env changed`.
pub fn needs_replacement(old: &Job, new: &Job, group: &str) -> Option<String> {
    match (old.group(group), new.group(group)) {
        (Some(a), Some(b)) => group_change(a, b).or_else(|| tasks_change(old, new, a, b)),
        _ => Some(format!("{} is not in both versions", labelled("group", group, 0))),
    }
}

/// Why a change of `task` replaces the allocations of `group`; `None` when it can be taken over in place, or is not in both versions.
pub fn task_needs_replacement(old: &Job, new: &Job, group: &str, task: &str) -> Option<String> {
    let (old_group, new_group) = (old.group(group)?, new.group(group)?);
    task_pair_change(old, new, (old_group, old_group.task(task)?), (new_group, new_group.task(task)?))
}

/// The first field that differs; fields that are taken over in place are `_`.
fn group_change(old: &TaskGroup, new: &TaskGroup) -> Option<String> {
    let TaskGroup {
        volumes,
        ephemeral_disk,
        networks,
        services,
        consul,
        restart_policy: _,
        tasks: _,
        meta: _,
        // In place.
        name: _,
        count: _,
        constraints: _,
        affinities: _,
        spreads: _,
        disconnect: _,
        reschedule_policy: _,
        update: _,
        migrate: _,
        shutdown_delay: _,
        max_run_duration: _,
        stop_after_client_disconnect: _,
        max_client_disconnect: _,
        scaling: _,
        prevent_reschedule_on_lost: _,
    } = old;
    let same_networks = networks.len() == new.networks.len() && networks.iter().zip(&new.networks).all(|(a, b)| same_network(a, b));
    first_changed(&[
        ("network", same_networks),
        ("ephemeral_disk", *ephemeral_disk == new.ephemeral_disk),
        ("volume", *volumes == new.volumes),
        ("connect", same_connect(services, &new.services)),
        ("consul", same_consul(consul.as_ref(), new.consul.as_ref())),
    ])
}

fn tasks_change(old_job: &Job, new_job: &Job, old: &TaskGroup, new: &TaskGroup) -> Option<String> {
    if old.tasks.len() != new.tasks.len() {
        return Some(format!("the number of tasks changed from {} to {}", old.tasks.len(), new.tasks.len()));
    }
    old.tasks.iter().enumerate().find_map(|(i, a)| {
        let place = labelled("task", &a.name, i);
        let Some(b) = new.task(&a.name) else { return Some(format!("{place} is gone")) };
        task_pair_change(old_job, new_job, (old, a), (new, b)).map(|what| format!("{place}: {what}"))
    })
}

fn task_pair_change(old_job: &Job, new_job: &Job, old: (&TaskGroup, &Task), new: (&TaskGroup, &Task)) -> Option<String> {
    let same_meta = combined_meta(old_job, old.0, old.1) == combined_meta(new_job, new.0, new.1);
    task_change(old.1, new.1, same_meta)
}

fn task_change(old: &Task, new: &Task, same_meta: bool) -> Option<String> {
    let Task {
        driver,
        user,
        config,
        env,
        services,
        resources,
        restart_policy,
        log_config,
        artifacts,
        vault,
        consul,
        templates,
        volume_mounts,
        csi_plugin_config,
        secrets,
        identity,
        identities,
        lifecycle,
        after,
        meta: _,
        // In place.
        name: _,
        constraints: _,
        affinities: _,
        kill_timeout: _,
        dispatch_payload: _,
        leader: _,
        shutdown_delay: _,
        kill_signal: _,
        kind: _,
        scaling_policies: _,
        actions: _,
        schedule: _,
    } = old;
    first_changed(&[
        ("driver", *driver == new.driver),
        ("user", *user == new.user),
        ("config", *config == new.config),
        ("env", *env == new.env),
        ("meta", same_meta),
        ("artifact", *artifacts == new.artifacts),
        ("template", *templates == new.templates),
        ("resources", same_resources(resources.as_ref(), new.resources.as_ref())),
        ("logs disabled", logs_disabled(log_config.as_ref()) == logs_disabled(new.log_config.as_ref())),
        ("restart render_templates", rerenders(restart_policy.as_ref()) == rerenders(new.restart_policy.as_ref())),
        ("vault", *vault == new.vault),
        ("consul", same_consul(consul.as_ref(), new.consul.as_ref())),
        ("secret", *secrets == new.secrets),
        ("identity", *identity == new.identity && *identities == new.identities),
        ("volume_mount", *volume_mounts == new.volume_mounts),
        ("csi_plugin", *csi_plugin_config == new.csi_plugin_config),
        ("connect", same_connect(services, &new.services)),
        // What has run in one order cannot have run in another.
        ("lifecycle", *lifecycle == new.lifecycle),
        ("after", *after == new.after),
    ])
}

fn first_changed(fields: &[(&str, bool)]) -> Option<String> {
    fields.iter().find(|(_, same)| !same).map(|(field, _)| format!("{field} changed"))
}

fn same_resources(old: Option<&Resources>, new: Option<&Resources>) -> bool {
    let (Some(old), Some(new)) = (old, new) else { return old == new };
    // What is deprecated and refused (disk, iops) starts nothing.
    let Resources { cpu, cores, memory_mb, memory_max_mb, networks, devices, numa, secrets_mb, disk_mb: _, iops: _ } = old;
    (cpu, cores, memory_mb, memory_max_mb, secrets_mb) == (&new.cpu, &new.cores, &new.memory_mb, &new.memory_max_mb, &new.secrets_mb)
        && (networks, devices, numa) == (&new.networks, &new.devices, &new.numa)
}

fn same_network(old: &NetworkResource, new: &NetworkResource) -> bool {
    // The others are a node's, or without effect (mbits).
    let NetworkResource { mode, dns, reserved_ports, dynamic_ports, hostname, cni, device: _, cidr: _, ip: _, mbits: _ } = old;
    *mode == new.mode
        && *dns == new.dns
        && *hostname == new.hostname
        && *cni == new.cni
        && same_ports(reserved_ports, &new.reserved_ports)
        && same_ports(dynamic_ports, &new.dynamic_ports)
}

/// Ports in any order: two files that list them differently mean the same.
fn same_ports(old: &[Port], new: &[Port]) -> bool {
    old.len() == new.len() && old.iter().all(|p| new.contains(p)) && new.iter().all(|p| old.contains(p))
}

/// Services come and go in place, but a mesh block starts sidecars.
fn same_connect(old: &[Service], new: &[Service]) -> bool {
    fn meshed(services: &[Service]) -> impl Iterator<Item = &Service> {
        services.iter().filter(|s| s.connect.is_some())
    }
    let same = |a: &Service, b: &Service| a.name == b.name && a.port_label == b.port_label && a.connect == b.connect;
    meshed(old).count() == meshed(new).count() && meshed(old).zip(meshed(new)).all(|(a, b)| same(a, b))
}

/// A block with nothing in it is the same as none.
fn same_consul(old: Option<&Consul>, new: Option<&Consul>) -> bool {
    let asked = |c: Option<&Consul>| c.filter(|c| asks_consul(Some(c))).cloned();
    asked(old) == asked(new)
}

fn logs_disabled(logs: Option<&LogConfig>) -> bool {
    logs.and_then(|l| l.disabled).unwrap_or(false)
}

fn rerenders(policy: Option<&RestartPolicy>) -> bool {
    policy.and_then(|p| p.render_templates).unwrap_or(false)
}
