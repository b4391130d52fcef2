//! What floe does not act on in a task.

use super::{group::asks_consul, service};
use crate::{
    Nanos, Task, Value,
    report::{Report, labelled, quoted},
    resources::Resources,
    task::{ChangeMode, LogConfig, Template},
    validate::runs_images,
};
use std::collections::BTreeMap;

pub(super) fn task(r: &mut Report, task: &Task) {
    let Task {
        // Acted on.
        name: _,
        user: _,
        constraints: _,
        affinities: _,
        env: _,
        meta: _,
        kill_timeout: _,
        kill_signal: _,
        restart_policy: _,
        lifecycle: _,
        after: _,
        leader: _,
        shutdown_delay: _,
        // Looked at.
        driver,
        config,
        services,
        resources: amounts,
        log_config,
        templates,
        artifacts,
        vault,
        consul,
        dispatch_payload,
        volume_mounts,
        csi_plugin_config,
        kind,
        scaling_policies,
        secrets,
        identity,
        identities,
        actions,
        schedule,
    } = task;
    r.within("config", |r| driver_config(r, driver, config));
    for (i, s) in services.iter().enumerate() {
        r.within(labelled("service", &s.name, i), |r| service::service(r, s));
    }
    amounts.iter().for_each(|a| r.within("resources", |r| resources(r, driver, a)));
    log_config.iter().for_each(|l| r.within("logs", |r| logs(r, l)));
    for (i, t) in templates.iter().enumerate() {
        r.within(labelled("template", &t.dest_path, i), |r| template(r, t));
    }
    r.refuse_if(!artifacts.is_empty(), "artifact", "put the file on the node, or let the task fetch it");
    r.refuse_if(vault.is_some(), "vault", "");
    r.refuse_if(asks_consul(consul.as_ref()), "consul", "services go to the cluster's own registry");
    r.refuse_if(dispatch_payload.is_some(), "dispatch_payload", "");
    r.refuse_if(!volume_mounts.is_empty(), "volume_mount", "");
    r.refuse_if(csi_plugin_config.is_some(), "csi_plugin", "");
    r.refuse_if(!kind.is_empty(), "kind", "");
    r.refuse_if(!scaling_policies.is_empty(), "scaling", "set cpu and memory");
    r.refuse_if(!secrets.is_empty(), "secret", "");
    r.refuse_if(identity.is_some() || !identities.is_empty(), "identity", "");
    r.refuse_if(!actions.is_empty(), "action", "");
    r.refuse_if(schedule.is_some(), "schedule", "");
}

/// The keys of a driver that floe ships; placement explains why another driver has no node.
fn driver_config(r: &mut Report, driver: &str, config: &BTreeMap<String, Value>) {
    for (key, value) in config.iter().filter(|(_, v)| !v.is_null()) {
        match (driver, key.as_str()) {
            ("exec" | "raw_exec", "command" | "args" | "work_dir") => {}
            ("exec", "pid_mode" | "ipc_mode") => {
                r.refuse_if(value != "private", key, "each task has its own; set it to \"private\" or remove it");
            }
            ("exec", "cap_add" | "cap_drop") => r.refuse_if(true, key, "tasks run without capabilities; remove it"),
            ("exec" | "raw_exec", _) => r.refuse_if(true, &quoted_key(key), "remove it"),
            (driver, key) if runs_images(driver) => image_config(r, driver, key, value),
            _ => {}
        }
    }
}

/// What floe does with the keys of images. Keys that only one of the drivers has are refused at the others.
fn image_config(r: &mut Report, driver: &str, key: &str, value: &Value) {
    match key {
        "image" | "command" | "args" | "entrypoint" | "hostname" | "readonly_rootfs" | "cap_add" | "cap_drop" | "ulimit" | "shm_size"
        | "sysctl" | "tmpfs" | "volumes" | "dns_servers" | "dns_search_domains" | "dns_options" | "extra_hosts" | "ports" | "auth"
        | "image_pull_timeout" | "force_pull" => {}
        "work_dir" if driver != "podman" => {}
        "working_dir" if driver != "docker" => {}
        "work_dir" => r.refuse_if(true, key, "driver podman calls it working_dir"),
        "working_dir" => r.refuse_if(true, key, "driver docker calls it work_dir"),
        "dns" => r.refuse_if(true, key, "use dns_servers, or the group's network"),
        "labels" => r.refuse_if(true, key, "there is no container engine that shows them; use meta"),
        "mount" | "mounts" => r.refuse_if(true, key, "use volumes for folders, and tmpfs"),
        "network_mode" => r.refuse_if(true, key, "the task is in the network of its group; set its mode there"),
        "privileged" => r.refuse_if(*value != Value::Bool(false), key, "no task has the rights of the node; remove it"),
        "init" => r.refuse_if(
            *value != Value::Bool(true),
            key,
            "a first process that collects orphans is always there; set it to true or remove it",
        ),
        "interactive" | "tty" => r.refuse_if(*value != Value::Bool(false), key, "remove it"),
        "load" => r.refuse_if(true, key, "set image to \"docker-archive:\" and the file's path"),
        "auth_soft_fail" => r.refuse_if(*value != Value::Bool(false), key, "remove auth instead"),
        "port_map" => r.refuse_if(true, key, "set to at the ports of the group's network"),
        key => r.refuse_if(true, &quoted_key(key), "remove it"),
    }
}

/// A key as it is when it is a plain word, otherwise in quotes.
fn quoted_key(key: &str) -> String {
    let plain = key.len() <= 32 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { key.to_owned() } else { quoted(key) }
}

fn resources(r: &mut Report, driver: &str, resources: &Resources) {
    let Resources { cpu: _, memory_mb: _, memory_max_mb: _, cores, disk_mb, networks, devices, numa, secrets_mb, iops } = resources;
    let is_set = |n: &Option<i64>| n.is_some_and(|n| n != 0);
    r.refuse_if(is_set(cores), "cores", "use cpu");
    r.refuse_if(is_set(disk_mb), "disk", "use the group's ephemeral_disk");
    r.refuse_if(!networks.is_empty(), "network", "put it into the group");
    // A plain process has no view of its own into which a device could be put, and none from which it could be kept.
    for (i, d) in devices.iter().enumerate().filter(|_| driver == "raw_exec") {
        r.refuse_if(true, &labelled("device", &d.name, i), "driver raw_exec sees all devices of the node; use exec");
    }
    r.refuse_if(numa.is_some(), "numa", "");
    r.refuse_if(is_set(secrets_mb), "secrets", "remove it");
    r.refuse_if(is_set(iops), "iops", "remove it");
}

fn logs(r: &mut Report, logs: &LogConfig) {
    let LogConfig { max_files: _, max_file_size_mb: _, disabled: _, enabled } = logs;
    r.refuse_if(enabled.is_some(), "enabled", "use disabled");
}

/// What a template may read today does not change while its task runs, so the rules for changes hold without an action.
fn template(r: &mut Report, t: &Template) {
    let Template {
        // Acted on.
        dest_path: _,
        embedded_tmpl: _,
        perms: _,
        uid: _,
        gid: _,
        left_delim: _,
        right_delim: _,
        envvars: _,
        // Nothing changes, so these never come to act.
        change_signal: _,
        once: _,
        splay: _,
        wait: _,
        // Looked at.
        source_path,
        change_mode,
        change_script,
        vault_grace,
        err_missing_key,
    } = t;
    r.refuse_if(!source_path.is_empty(), "source", "write the text into data");
    let script = *change_mode == Some(ChangeMode::Script) || change_script.is_some();
    r.refuse_if(script, "change_script", "use change_mode \"restart\", \"signal\" or \"noop\"");
    r.refuse_if(*err_missing_key == Some(true), "error_on_missing_key", "set it to false or remove it");
    r.refuse_if(vault_grace.is_some_and(|g| g != Nanos::ZERO), "vault_grace", "remove it");
}
