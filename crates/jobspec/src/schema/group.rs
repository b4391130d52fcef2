//! The group.

use serde_json::{Value as Json, json};

use super::{
    COUNT, Child, EMPTY, INT, Kind, Schema, attr, by_label, many, named,
    network::NETWORK,
    one,
    policy::{AFFINITY, CONSTRAINT, DISCONNECT, MIGRATE, RESCHEDULE, RESTART, SCALING, SPREAD, UPDATE},
    service::SERVICE,
    task::{SECRET, TASK, VAULT},
    volume::VOLUME,
};
use crate::convert::Output;

pub(super) static GROUP: Schema = Schema {
    attrs: &[
        attr("count", "Count", COUNT),
        attr("meta", "Meta", Kind::TextMap),
        attr("shutdown_delay", "ShutdownDelay", Kind::Duration),
        attr("max_run_duration", "MaxRunDuration", Kind::Duration),
        attr("stop_after_client_disconnect", "StopAfterClientDisconnect", Kind::Duration),
        attr("max_client_disconnect", "MaxClientDisconnect", Kind::Duration),
        attr("prevent_reschedule_on_lost", "PreventRescheduleOnLost", Kind::Bool),
    ],
    children: CHILDREN,
    required: &[],
    finish: |out, _| {
        let handed_down = inherited(out);
        if let Some(Json::Array(tasks)) = out.get_mut("Tasks") {
            inherit(tasks, &handed_down);
        }
        if let Some(Json::Object(scaling)) = out.get_mut("Scaling") {
            scaling.entry("Type").or_insert_with(|| "horizontal".into());
        }
    },
};

const CHILDREN: &[Child] = &[
    many("constraint", "Constraints", &CONSTRAINT),
    many("affinity", "Affinities", &AFFINITY),
    many("spread", "Spreads", &SPREAD),
    named("task", "Tasks", "Name", &TASK),
    by_label("volume", "Volumes", "Name", &VOLUME),
    one("restart", "RestartPolicy", &RESTART),
    one("disconnect", "Disconnect", &DISCONNECT),
    one("reschedule", "ReschedulePolicy", &RESCHEDULE),
    one("ephemeral_disk", "EphemeralDisk", &EPHEMERAL_DISK),
    one("update", "Update", &UPDATE),
    one("migrate", "Migrate", &MIGRATE),
    many("network", "Networks", &NETWORK),
    many("service", "Services", &SERVICE),
    one("scaling", "Scaling", &SCALING),
    one("consul", "Consul", &CONSUL),
    one("vault", "~vault", &VAULT),
    named("secret", "~secrets", "Name", &SECRET),
];

static EPHEMERAL_DISK: Schema =
    Schema { attrs: &[attr("sticky", "Sticky", Kind::Bool), attr("migrate", "Migrate", Kind::Bool), attr("size", "SizeMB", INT)], ..EMPTY };

pub(super) static CONSUL: Schema = Schema {
    attrs: &[
        attr("namespace", "Namespace", Kind::Text),
        attr("cluster", "Cluster", Kind::Text),
        attr("partition", "Partition", Kind::Text),
    ],
    ..EMPTY
};

/// What a job or group hands down to its tasks.
pub(super) struct Inherited {
    vault: Option<Json>,
    secrets: Vec<Json>,
}

/// Takes `vault` and `secret` out of a job or group, where the wire has no place for them.
pub(super) fn inherited(out: &mut Output) -> Inherited {
    let secrets = match out.remove("~secrets") {
        Some(Json::Array(secrets)) => secrets,
        _ => Vec::new(),
    };
    Inherited { vault: out.remove("~vault"), secrets }
}

/// Gives tasks what they do not have themselves; a secret is the same when it has the same name.
pub(super) fn inherit(tasks: &mut [Json], from: &Inherited) {
    for task in tasks.iter_mut().filter_map(Json::as_object_mut) {
        if let Some(vault) = &from.vault {
            task.entry("Vault").or_insert_with(|| vault.clone());
        }
        if from.secrets.is_empty() {
            continue;
        }
        if let Json::Array(own) = task.entry("Secrets").or_insert_with(|| json!([])) {
            for secret in &from.secrets {
                if !own.iter().any(|o| o.get("Name") == secret.get("Name")) {
                    own.push(secret.clone());
                }
            }
        }
    }
}
