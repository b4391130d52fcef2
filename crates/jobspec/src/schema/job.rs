//! The file and the job itself.

use floe_model::JobType;
use serde_json::{Value as Json, json};

use super::{
    Child, EMPTY, INT, Kind, Label, Schema, Shape, attr,
    group::{GROUP, inherit, inherited},
    many, named, one,
    policy::{AFFINITY, CONSTRAINT, MIGRATE, RESCHEDULE, SPREAD, UPDATE},
    task::{SECRET, TASK, VAULT},
    word,
};
use crate::convert::{Finish, Output};

/// A whole job file.
pub(crate) static FILE: Schema = Schema { children: &[named("job", "Jobs", "ID", &JOB)], ..EMPTY };

static JOB: Schema = Schema {
    attrs: &[
        attr("region", "Region", Kind::Text),
        attr("namespace", "Namespace", Kind::Text),
        attr("id", "ID", Kind::Text),
        attr("name", "Name", Kind::Text),
        attr("type", "Type", Kind::Word(word::<JobType>)),
        attr("priority", "Priority", INT),
        attr("all_at_once", "AllAtOnce", Kind::Bool),
        attr("datacenters", "Datacenters", Kind::Texts),
        attr("node_pool", "NodePool", Kind::Text),
        attr("meta", "Meta", Kind::TextMap),
        attr("consul_namespace", "ConsulNamespace", Kind::Text),
        attr("vault_namespace", "VaultNamespace", Kind::Text),
        attr("consul_token", "", Kind::Refused("tokens do not belong into job files; use workload identity")),
        attr("vault_token", "", Kind::Refused("tokens do not belong into job files; use workload identity")),
    ],
    children: CHILDREN,
    required: &[],
    finish,
};

const CHILDREN: &[Child] = &[
    many("constraint", "Constraints", &CONSTRAINT),
    many("affinity", "Affinities", &AFFINITY),
    many("spread", "Spreads", &SPREAD),
    named("group", "TaskGroups", "Name", &GROUP),
    named("task", "~tasks", "Name", &TASK),
    one("update", "Update", &UPDATE),
    one("migrate", "Migrate", &MIGRATE),
    one("reschedule", "Reschedule", &RESCHEDULE),
    one("periodic", "Periodic", &PERIODIC),
    one("parameterized", "ParameterizedJob", &PARAMETERIZED),
    one("multiregion", "Multiregion", &MULTIREGION),
    one("ui", "UI", &UI),
    one("vault", "~vault", &VAULT),
    Child { name: "secret", wire: "~secrets", shape: Shape::Many, label: Label::Unique("Name"), schema: &SECRET },
];

static PERIODIC: Schema = Schema {
    attrs: &[
        attr("enabled", "Enabled", Kind::Bool),
        attr("cron", "Spec", Kind::Text),
        attr("crons", "Specs", Kind::Texts),
        attr("prohibit_overlap", "ProhibitOverlap", Kind::Bool),
        attr("time_zone", "TimeZone", Kind::Text),
    ],
    finish: |out, finish| match (out.contains_key("Spec"), out.contains_key("Specs")) {
        (true, true) => finish.fault("cron and crons exclude each other: put all into crons"),
        (false, false) => finish.fault("cron is missing: write for example cron = \"0 3 * * *\""),
        _ => {
            out.insert("SpecType".into(), "cron".into());
        }
    },
    ..EMPTY
};

static PARAMETERIZED: Schema = Schema {
    attrs: &[
        attr("payload", "Payload", Kind::Text),
        attr("meta_required", "MetaRequired", Kind::Texts),
        attr("meta_optional", "MetaOptional", Kind::Texts),
    ],
    ..EMPTY
};

static MULTIREGION: Schema =
    Schema { children: &[one("strategy", "Strategy", &STRATEGY), named("region", "Regions", "Name", &REGION)], ..EMPTY };

static STRATEGY: Schema =
    Schema { attrs: &[attr("max_parallel", "MaxParallel", INT), attr("on_failure", "OnFailure", Kind::Text)], ..EMPTY };

static REGION: Schema = Schema {
    attrs: &[
        attr("count", "Count", INT),
        attr("datacenters", "Datacenters", Kind::Texts),
        attr("node_pool", "NodePool", Kind::Text),
        attr("meta", "Meta", Kind::TextMap),
    ],
    ..EMPTY
};

static UI: Schema = Schema { attrs: &[attr("description", "Description", Kind::Text)], children: &[many("link", "Links", &LINK)], ..EMPTY };

static LINK: Schema = Schema { attrs: &[attr("label", "Label", Kind::Text), attr("url", "URL", Kind::Text)], ..EMPTY };

/// A lone task becomes a group; `vault` and `secret` go down to the tasks; the name is the id where none is given.
fn finish(out: &mut Output, finish: &mut Finish<'_>) {
    if let Some(id) = out.get("ID").cloned() {
        out.entry("Name").or_insert(id);
    }
    if let Some(Json::Array(tasks)) = out.remove("~tasks") {
        let groups = out.entry("TaskGroups").or_insert_with(|| json!([]));
        if let Json::Array(groups) = groups {
            for task in tasks {
                let name = task.get("Name").cloned().unwrap_or_default();
                if groups.iter().any(|group| group.get("Name") == Some(&name)) {
                    finish.fault(&format!("the task {name} becomes a group of the same name, which exists already: put the task into it"));
                }
                groups.push(json!({ "Name": name, "Count": 1, "Tasks": [task] }));
            }
        }
    }
    let handed_down = inherited(out);
    if let Some(Json::Array(groups)) = out.get_mut("TaskGroups") {
        for group in groups.iter_mut().filter_map(Json::as_object_mut) {
            if let Some(Json::Array(tasks)) = group.get_mut("Tasks") {
                inherit(tasks, &handed_down);
            }
        }
    }
}
