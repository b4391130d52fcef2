//! Defaults of tasks and of what they are given.

use super::{
    block, fill_text,
    service::{Names, service},
};
use crate::{
    Nanos, Task,
    group::RestartPolicy,
    task::{
        ChangeMode, ChangeScript, DEFAULT_KILL_TIMEOUT, DEFAULT_LOG_FILE_MB, DEFAULT_LOG_FILES, LogConfig, Secret, TaskArtifact, Template,
    },
    volume::{TaskCsiPluginConfig, VolumeMount},
};

/// The longest random wait before a changed template acts on its task.
const DEFAULT_SPLAY: Nanos = Nanos::from_secs(5);
/// How long a template's script may run.
const DEFAULT_SCRIPT_TIMEOUT: Nanos = Nanos::from_secs(5);
/// The permissions of a rendered file.
const DEFAULT_TEMPLATE_PERMS: &str = "0644";
/// How long a CSI plugin may take to become healthy.
const DEFAULT_PLUGIN_TIMEOUT: Nanos = Nanos::from_secs(30);

/// Completes a task; `restart` is its group's complete policy, which the task's own overrides field by field.
pub(super) fn task(task: &mut Task, job: &str, group: &str, restart: &RestartPolicy) {
    let names = Names { job, group, task: &task.name };
    task.services.iter_mut().for_each(|s| service(s, &names));
    task.constraints.iter_mut().for_each(block::constraint);
    task.affinities.iter_mut().for_each(block::affinity);
    block::resources(task.resources.get_or_insert_default());
    task.restart_policy = Some(task.restart_policy.take().unwrap_or_default().or(restart));
    task.kill_timeout.get_or_insert(DEFAULT_KILL_TIMEOUT);
    task.kill_signal.make_ascii_uppercase();
    log_config(task.log_config.get_or_insert_default());
    task.artifacts.iter_mut().for_each(artifact);
    task.templates.iter_mut().for_each(template);
    task.vault.iter_mut().for_each(block::vault);
    task.consul.iter_mut().for_each(block::consul);
    task.volume_mounts.iter_mut().for_each(volume_mount);
    task.csi_plugin_config.iter_mut().for_each(csi_plugin);
    task.scaling_policies.iter_mut().for_each(|s| block::scaling(s, None));
    task.secrets.iter_mut().for_each(secret);
    task.identity.iter_mut().chain(&mut task.identities).for_each(block::identity);
    if let Some(cron) = task.schedule.as_mut().and_then(|s| s.cron.as_mut()) {
        fill_text(&mut cron.timezone, "Local");
    }
}

/// `enabled` is the older way to write `disabled`; where only the older is given, it becomes the newer.
pub(super) fn log_config(logs: &mut LogConfig) {
    let LogConfig { max_files, max_file_size_mb, enabled, disabled } = logs;
    max_files.get_or_insert(DEFAULT_LOG_FILES);
    max_file_size_mb.get_or_insert(DEFAULT_LOG_FILE_MB);
    if disabled.is_none() {
        *disabled = Some(enabled.take() == Some(false));
    }
}

fn template(t: &mut Template) {
    let mode = *t.change_mode.get_or_insert(ChangeMode::Restart);
    block::change_signal(&mut t.change_signal, mode);
    if let Some(ChangeScript { command: _, args: _, timeout, fail_on_error, run_on_first_render }) = &mut t.change_script {
        timeout.get_or_insert(DEFAULT_SCRIPT_TIMEOUT);
        fail_on_error.get_or_insert(false);
        run_on_first_render.get_or_insert(false);
    }
    t.once.get_or_insert(false);
    t.splay.get_or_insert(DEFAULT_SPLAY);
    fill_text(&mut t.perms, DEFAULT_TEMPLATE_PERMS);
    for owner in [&mut t.uid, &mut t.gid] {
        *owner = owner.filter(|id| *id != -1);
    }
    fill_text(&mut t.left_delim, "{{");
    fill_text(&mut t.right_delim, "}}");
    t.envvars.get_or_insert(false);
    t.vault_grace.get_or_insert(Nanos::ZERO);
    t.err_missing_key.get_or_insert(false);
}

fn artifact(a: &mut TaskArtifact) {
    fill_text(&mut a.getter_mode, "any");
    a.getter_insecure.get_or_insert(false);
    if a.relative_dest.is_empty() {
        let file = a.getter_source.rsplit('/').next().unwrap_or_default();
        a.relative_dest = if a.getter_mode == "file" { format!("local/{file}") } else { "local/".to_owned() };
    }
}

pub(super) fn volume_mount(m: &mut VolumeMount) {
    m.read_only.get_or_insert(false);
    fill_text(&mut m.propagation_mode, "private");
}

fn csi_plugin(p: &mut TaskCsiPluginConfig) {
    fill_text(&mut p.mount_dir, "/csi");
    fill_text(&mut p.stage_publish_base_dir, "/local/csi");
    if p.health_timeout == Nanos::ZERO {
        p.health_timeout = DEFAULT_PLUGIN_TIMEOUT;
    }
}

fn secret(s: &mut Secret) {
    fill_text(&mut s.provider, "nomad");
}
