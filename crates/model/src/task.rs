//! The task: one process (or container) with what it is given.

use crate::{
    JobType, StringMap, Value,
    consul::Consul,
    group::{Affinity, Constraint, RestartPolicy},
    job::ScalingPolicy,
    resources::Resources,
    service::Service,
    time::Nanos,
    volume::{TaskCsiPluginConfig, VolumeMount},
};
use std::collections::BTreeMap;

/// How long a task has between its signal and its end, where nothing is said.
pub const DEFAULT_KILL_TIMEOUT: Nanos = Nanos::from_secs(5);
/// Rotated files per stream, where nothing is said.
pub const DEFAULT_LOG_FILES: i64 = 10;
/// Mebibytes per rotated file, where nothing is said.
pub const DEFAULT_LOG_FILE_MB: i64 = 10;

words! {
    /// When a task of a lifecycle runs.
    pub enum LifecycleHook { Prestart = "prestart", Poststart = "poststart", Poststop = "poststop" }
    /// What must have become of a task before another one starts (floe's own; Nomad has no such block).
    pub enum AfterState { Healthy = "healthy", Started = "started", Exited = "exited" }
    /// What a changed template does to its task.
    pub enum ChangeMode { Restart = "restart", Signal = "signal", Noop = "noop", Script = "script" }
}

wire! {
    /// A task of a group.
    pub struct Task {
        "Name" name: String,
        "Driver" driver: String,
        "User" user: String,
        "Lifecycle" lifecycle: Option<TaskLifecycle>,
        "Config" config: BTreeMap<String, Value>,
        "Constraints" constraints: Vec<Constraint>,
        "Affinities" affinities: Vec<Affinity>,
        "Env" env: StringMap,
        "Services" services: Vec<Service>,
        "Resources" resources: Option<Resources>,
        "RestartPolicy" restart_policy: Option<RestartPolicy>,
        "Meta" meta: StringMap,
        "KillTimeout" kill_timeout: Option<Nanos>,
        "LogConfig" log_config: Option<LogConfig>,
        "Artifacts" artifacts: Vec<TaskArtifact>,
        "Vault" vault: Option<Vault>,
        "Consul" consul: Option<Consul>,
        "Templates" templates: Vec<Template>,
        "DispatchPayload" dispatch_payload: Option<DispatchPayloadConfig>,
        "VolumeMounts" volume_mounts: Vec<VolumeMount>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "CSIPluginConfig" csi_plugin_config: Option<TaskCsiPluginConfig>,
        "Leader" leader: bool,
        "ShutdownDelay" shutdown_delay: Nanos,
        "KillSignal" kill_signal: String,
        "Kind" kind: String,
        "ScalingPolicies" scaling_policies: Vec<ScalingPolicy>,
        "Secrets" secrets: Vec<Secret>,
        "Identity" identity: Option<WorkloadIdentity>,
        "Identities" identities: Vec<WorkloadIdentity>,
        "Actions" actions: Vec<Action>,
        "Schedule" schedule: Option<TaskSchedule>,
        /// Which tasks of the group this one waits for; absent from the wire where it is empty, for Nomad has no such field.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        "After" after: Vec<TaskAfter>,
    }

    /// When a task runs, relative to the main tasks.
    pub struct TaskLifecycle {
        "Hook" hook: LifecycleHook,
        "Sidecar" sidecar: bool,
    }

    /// A wait for another task of the group.
    pub struct TaskAfter {
        "Task" task: String,
        "State" state: AfterState,
    }

    /// Rotation of a task's output.
    pub struct LogConfig {
        "MaxFiles" max_files: Option<i64>,
        "MaxFileSizeMB" max_file_size_mb: Option<i64>,
        "Enabled" enabled: Option<bool>,
        "Disabled" disabled: Option<bool>,
    }

    /// Something to download before the task starts.
    pub struct TaskArtifact {
        "GetterSource" getter_source: String,
        "GetterOptions" getter_options: StringMap,
        "GetterHeaders" getter_headers: StringMap,
        "GetterMode" getter_mode: String,
        "GetterInsecure" getter_insecure: Option<bool>,
        "RelativeDest" relative_dest: String,
        "Chown" chown: bool,
    }

    /// A file rendered into the task's directory.
    pub struct Template {
        "SourcePath" source_path: String,
        "DestPath" dest_path: String,
        "EmbeddedTmpl" embedded_tmpl: String,
        "ChangeMode" change_mode: Option<ChangeMode>,
        "ChangeScript" change_script: Option<ChangeScript>,
        "ChangeSignal" change_signal: String,
        "Once" once: Option<bool>,
        "Splay" splay: Option<Nanos>,
        "Perms" perms: String,
        "Uid" uid: Option<i64>,
        "Gid" gid: Option<i64>,
        "LeftDelim" left_delim: String,
        "RightDelim" right_delim: String,
        "Envvars" envvars: Option<bool>,
        "VaultGrace" vault_grace: Option<Nanos>,
        "Wait" wait: Option<WaitConfig>,
        "ErrMissingKey" err_missing_key: Option<bool>,
    }

    /// What runs inside the task when a template changed.
    pub struct ChangeScript {
        "Command" command: String,
        "Args" args: Vec<String>,
        "Timeout" timeout: Option<Nanos>,
        "FailOnError" fail_on_error: Option<bool>,
        "RunOnFirstRender" run_on_first_render: Option<bool>,
    }

    /// How long values must rest before a template is rendered again.
    pub struct WaitConfig {
        "Min" min: Option<Nanos>,
        "Max" max: Option<Nanos>,
    }

    /// Access to Vault.
    pub struct Vault {
        "Policies" policies: Vec<String>,
        "Role" role: String,
        "Namespace" namespace: String,
        "Cluster" cluster: String,
        "Env" env: Option<bool>,
        "DisableFile" disable_file: Option<bool>,
        "ChangeMode" change_mode: Option<ChangeMode>,
        "ChangeSignal" change_signal: String,
        "AllowTokenExpiration" allow_token_expiration: Option<bool>,
    }

    /// A secret fetched for the task.
    pub struct Secret {
        "Name" name: String,
        "Provider" provider: String,
        "Path" path: String,
        "Config" config: BTreeMap<String, Value>,
        "Env" env: StringMap,
    }

    /// Where the payload of a dispatched job is written.
    pub struct DispatchPayloadConfig {
        "File" file: String,
    }

    /// A signed identity that the task can show to others.
    pub struct WorkloadIdentity {
        "Name" name: String,
        "Audience" audience: Vec<String>,
        "ChangeMode" change_mode: String,
        "ChangeSignal" change_signal: String,
        "Env" env: bool,
        "File" file: bool,
        "Filepath" filepath: String,
        "ServiceName" service_name: String,
        "TTL" ttl: Nanos,
        "ExtraClaims" extra_claims: Vec<String>,
    }

    /// A command that users may run inside the task.
    pub struct Action {
        "Name" name: String,
        "Command" command: String,
        "Args" args: Vec<String>,
    }

    /// When the task is paused and resumed.
    pub struct TaskSchedule {
        "Cron" cron: Option<TaskScheduleCron>,
    }

    /// The window of a [`TaskSchedule`].
    pub struct TaskScheduleCron {
        "Start" start: String,
        "End" end: String,
        "Timezone" timezone: String,
    }
}

impl Task {
    /// The time between the kill signal and the end by force.
    pub fn kill_timeout(&self) -> Nanos {
        self.kill_timeout.unwrap_or(DEFAULT_KILL_TIMEOUT)
    }
    /// When it runs relative to the main tasks; `None` for a main task.
    pub fn hook(&self) -> Option<LifecycleHook> {
        self.lifecycle.as_ref().map(|l| l.hook)
    }
    /// True when it runs beside the main tasks for as long as they do.
    pub fn is_sidecar(&self) -> bool {
        self.lifecycle.as_ref().is_some_and(|l| l.sidecar)
    }
    /// True when its end with success is the end of its work; otherwise it is started again however it ends.
    pub fn ends_by_itself(&self, job_type: JobType) -> bool {
        if self.lifecycle.is_some() { !self.is_sidecar() } else { job_type.is_batch() }
    }
    /// What the task asks of its node.
    pub fn resources(&self) -> Resources {
        self.resources.clone().unwrap_or_default()
    }
}

impl LogConfig {
    /// Mebibytes that both streams of a task may use together.
    pub fn total_mb(&self) -> i64 {
        self.max_files.unwrap_or(DEFAULT_LOG_FILES).saturating_mul(self.max_file_size_mb.unwrap_or(DEFAULT_LOG_FILE_MB))
    }
}
