//! The task and what stands in it.

use floe_model::task::{AfterState, ChangeMode, LifecycleHook};
use serde_json::{Value as Json, json};

use super::{
    COUNT, Child, EMPTY, INT, Kind, Schema, attr,
    group::CONSUL,
    labelled, many, named,
    network::RESOURCES,
    one,
    policy::{AFFINITY, CONSTRAINT, RESTART, SCALING},
    service::SERVICE,
    volume::{CSI_PLUGIN, VOLUME_MOUNT},
    word,
};
use crate::convert::{Finish, Output};

pub(super) static TASK: Schema = Schema {
    attrs: &[
        attr("driver", "Driver", Kind::Text),
        attr("user", "User", Kind::Text),
        attr("config", "Config", Kind::Free),
        attr("env", "Env", Kind::TextMap),
        attr("meta", "Meta", Kind::TextMap),
        attr("leader", "Leader", Kind::Bool),
        attr("kill_timeout", "KillTimeout", Kind::Duration),
        attr("kill_signal", "KillSignal", Kind::Text),
        attr("shutdown_delay", "ShutdownDelay", Kind::Duration),
        attr("kind", "Kind", Kind::Text),
    ],
    children: CHILDREN,
    required: &["driver"],
    finish,
};

const CHILDREN: &[Child] = &[
    many("constraint", "Constraints", &CONSTRAINT),
    many("affinity", "Affinities", &AFFINITY),
    one("lifecycle", "Lifecycle", &LIFECYCLE),
    many("after", "After", &AFTER),
    one("resources", "Resources", &RESOURCES),
    one("restart", "RestartPolicy", &RESTART),
    one("logs", "LogConfig", &LOGS),
    many("artifact", "Artifacts", &ARTIFACT),
    many("template", "Templates", &TEMPLATE),
    many("service", "Services", &SERVICE),
    many("volume_mount", "VolumeMounts", &VOLUME_MOUNT),
    many("identity", "~identities", &IDENTITY),
    named("action", "Actions", "Name", &ACTION),
    named("secret", "Secrets", "Name", &SECRET),
    labelled("scaling", "ScalingPolicies", "~resource", &SCALING),
    one("vault", "Vault", &VAULT),
    one("consul", "Consul", &CONSUL),
    one("dispatch_payload", "DispatchPayload", &DISPATCH_PAYLOAD),
    one("csi_plugin", "CSIPluginConfig", &CSI_PLUGIN),
    one("schedule", "Schedule", &SCHEDULE),
];

static LIFECYCLE: Schema = Schema {
    attrs: &[attr("hook", "Hook", Kind::Word(word::<LifecycleHook>)), attr("sidecar", "Sidecar", Kind::Bool)],
    required: &["hook"],
    ..EMPTY
};

static AFTER: Schema = Schema {
    attrs: &[attr("task", "Task", Kind::Text), attr("state", "State", Kind::Word(word::<AfterState>))],
    required: &["task"],
    ..EMPTY
};

pub(super) static LOGS: Schema = Schema {
    attrs: &[
        attr("max_files", "MaxFiles", COUNT),
        attr("max_file_size", "MaxFileSizeMB", COUNT),
        attr("enabled", "Enabled", Kind::Bool),
        attr("disabled", "Disabled", Kind::Bool),
    ],
    ..EMPTY
};

static ARTIFACT: Schema = Schema {
    attrs: &[
        attr("source", "GetterSource", Kind::Text),
        attr("destination", "RelativeDest", Kind::Text),
        attr("mode", "GetterMode", Kind::Text),
        attr("options", "GetterOptions", Kind::TextMap),
        attr("headers", "GetterHeaders", Kind::TextMap),
        attr("insecure", "GetterInsecure", Kind::Bool),
        attr("chown", "Chown", Kind::Bool),
    ],
    required: &["source"],
    ..EMPTY
};

static TEMPLATE: Schema = Schema {
    attrs: &[
        attr("source", "SourcePath", Kind::Text),
        attr("data", "EmbeddedTmpl", Kind::Text),
        attr("destination", "DestPath", Kind::Text),
        attr("change_mode", "ChangeMode", Kind::Word(word::<ChangeMode>)),
        attr("change_signal", "ChangeSignal", Kind::Text),
        attr("once", "Once", Kind::Bool),
        attr("splay", "Splay", Kind::Duration),
        attr("perms", "Perms", Kind::Text),
        attr("uid", "Uid", INT),
        attr("gid", "Gid", INT),
        attr("left_delimiter", "LeftDelim", Kind::Text),
        attr("right_delimiter", "RightDelim", Kind::Text),
        attr("env", "Envvars", Kind::Bool),
        attr("vault_grace", "VaultGrace", Kind::Duration),
        attr("error_on_missing_key", "ErrMissingKey", Kind::Bool),
    ],
    children: &[one("wait", "Wait", &WAIT), one("change_script", "ChangeScript", &CHANGE_SCRIPT)],
    ..EMPTY
};

static WAIT: Schema = Schema { attrs: &[attr("min", "Min", Kind::Duration), attr("max", "Max", Kind::Duration)], ..EMPTY };

static CHANGE_SCRIPT: Schema = Schema {
    attrs: &[
        attr("command", "Command", Kind::Text),
        attr("args", "Args", Kind::Texts),
        attr("timeout", "Timeout", Kind::Duration),
        attr("fail_on_error", "FailOnError", Kind::Bool),
        attr("run_on_first_render", "RunOnFirstRender", Kind::Bool),
    ],
    ..EMPTY
};

pub(super) static VAULT: Schema = Schema {
    attrs: &[
        attr("policies", "Policies", Kind::Texts),
        attr("role", "Role", Kind::Text),
        attr("namespace", "Namespace", Kind::Text),
        attr("cluster", "Cluster", Kind::Text),
        attr("env", "Env", Kind::Bool),
        attr("disable_file", "DisableFile", Kind::Bool),
        attr("change_mode", "ChangeMode", Kind::Word(word::<ChangeMode>)),
        attr("change_signal", "ChangeSignal", Kind::Text),
        attr("allow_token_expiration", "AllowTokenExpiration", Kind::Bool),
    ],
    ..EMPTY
};

pub(super) static SECRET: Schema = Schema {
    attrs: &[
        attr("provider", "Provider", Kind::Text),
        attr("path", "Path", Kind::Text),
        attr("config", "Config", Kind::Free),
        attr("env", "Env", Kind::TextMap),
    ],
    ..EMPTY
};

pub(super) static IDENTITY: Schema = Schema {
    attrs: &[
        attr("name", "Name", Kind::Text),
        attr("aud", "Audience", Kind::Texts),
        attr("change_mode", "ChangeMode", Kind::Text),
        attr("change_signal", "ChangeSignal", Kind::Text),
        attr("env", "Env", Kind::Bool),
        attr("file", "File", Kind::Bool),
        attr("filepath", "Filepath", Kind::Text),
        attr("service_name", "ServiceName", Kind::Text),
        attr("ttl", "TTL", Kind::Duration),
        attr("extra_claims", "ExtraClaims", Kind::Texts),
    ],
    ..EMPTY
};

static ACTION: Schema =
    Schema { attrs: &[attr("command", "Command", Kind::Text), attr("args", "Args", Kind::Texts)], required: &["command"], ..EMPTY };

static DISPATCH_PAYLOAD: Schema = Schema { attrs: &[attr("file", "File", Kind::Text)], ..EMPTY };

static SCHEDULE: Schema = Schema { children: &[one("cron", "Cron", &SCHEDULE_CRON)], ..EMPTY };

static SCHEDULE_CRON: Schema = Schema {
    attrs: &[attr("start", "Start", Kind::Text), attr("end", "End", Kind::Text), attr("timezone", "Timezone", Kind::Text)],
    ..EMPTY
};

/// The identity without a name (or called `default`) is the task's own, the others are further ones.
pub(super) fn split_identities(out: &mut Output, finish: &mut Finish<'_>) {
    let Some(Json::Array(identities)) = out.remove("~identities") else { return };
    for identity in identities {
        let name = identity.get("Name").and_then(Json::as_str).unwrap_or("");
        if !matches!(name, "" | "default") {
            if let Json::Array(list) = out.entry("Identities").or_insert_with(|| json!([])) {
                list.push(identity);
            }
        } else if out.insert("Identity".into(), identity).is_some() {
            finish.fault("only one identity may be without a name: give the others one");
        }
    }
}

fn finish(out: &mut Output, finish: &mut Finish<'_>) {
    split_identities(out, finish);
    let Some(Json::Array(policies)) = out.get_mut("ScalingPolicies") else { return };
    for policy in policies.iter_mut().filter_map(Json::as_object_mut) {
        let resource = policy.remove("~resource");
        let kind = match resource.as_ref().and_then(Json::as_str) {
            Some("cpu") => "vertical_cpu",
            Some("mem") => "vertical_mem",
            _ => {
                finish.fault("a task's scaling has the label \"cpu\" or \"mem\"");
                continue;
            }
        };
        policy.entry("Type").or_insert_with(|| kind.into());
    }
}
