//! Blocks that govern how and where things run: constraints, update, restart and their like.

use floe_model::group::{DelayFunction, HealthCheck, RestartMode};
use serde_json::Value as Json;

use super::{Attr, COUNT, Child, EMPTY, Kind, Schema, WEIGHT, attr, labelled, word};
use crate::convert::{Finish, Output};

pub(super) const UPDATE: Schema = Schema {
    attrs: &[
        attr("stagger", "Stagger", Kind::Duration),
        attr("max_parallel", "MaxParallel", COUNT),
        attr("health_check", "HealthCheck", Kind::Word(word::<HealthCheck>)),
        attr("min_healthy_time", "MinHealthyTime", Kind::Duration),
        attr("healthy_deadline", "HealthyDeadline", Kind::Duration),
        attr("progress_deadline", "ProgressDeadline", Kind::Duration),
        attr("canary", "Canary", COUNT),
        attr("auto_revert", "AutoRevert", Kind::Bool),
        attr("auto_promote", "AutoPromote", Kind::Bool),
    ],
    ..EMPTY
};

pub(super) const MIGRATE: Schema = Schema {
    attrs: &[
        attr("max_parallel", "MaxParallel", COUNT),
        attr("health_check", "HealthCheck", Kind::Word(word::<HealthCheck>)),
        attr("min_healthy_time", "MinHealthyTime", Kind::Duration),
        attr("healthy_deadline", "HealthyDeadline", Kind::Duration),
    ],
    ..EMPTY
};

pub(super) const RESCHEDULE: Schema = Schema {
    attrs: &[
        attr("attempts", "Attempts", COUNT),
        attr("interval", "Interval", Kind::Duration),
        attr("delay", "Delay", Kind::Duration),
        attr("delay_function", "DelayFunction", Kind::Word(word::<DelayFunction>)),
        attr("max_delay", "MaxDelay", Kind::Duration),
        attr("unlimited", "Unlimited", Kind::Bool),
    ],
    ..EMPTY
};

pub(super) const RESTART: Schema = Schema {
    attrs: &[
        attr("attempts", "Attempts", COUNT),
        attr("interval", "Interval", Kind::Duration),
        attr("delay", "Delay", Kind::Duration),
        attr("mode", "Mode", Kind::Word(word::<RestartMode>)),
        attr("render_templates", "RenderTemplates", Kind::Bool),
    ],
    ..EMPTY
};

pub(super) const DISCONNECT: Schema = Schema {
    attrs: &[
        attr("lost_after", "LostAfter", Kind::Duration),
        attr("stop_on_client_after", "StopOnClientAfter", Kind::Duration),
        attr("replace", "Replace", Kind::Bool),
        attr("reconcile", "Reconcile", Kind::Text),
    ],
    ..EMPTY
};

pub(super) const SCALING: Schema = Schema {
    attrs: &[
        attr("type", "Type", Kind::Text),
        attr("min", "Min", COUNT),
        attr("max", "Max", COUNT),
        attr("enabled", "Enabled", Kind::Bool),
        attr("policy", "Policy", Kind::Free),
    ],
    ..EMPTY
};

/// Shortcuts of a constraint, under keys that the wire does not have.
const SUGAR: &[(&str, &str)] = &[
    ("~version", "version"),
    ("~semver", "semver"),
    ("~regexp", "regexp"),
    ("~set_contains", "set_contains"),
    ("~set_contains_all", "set_contains_all"),
    ("~set_contains_any", "set_contains_any"),
];

const CONDITION: &[Attr] = &[
    attr("attribute", "LTarget", Kind::Text),
    attr("operator", "Operand", Kind::Text),
    attr("value", "RTarget", Kind::Text),
    attr("version", "~version", Kind::Text),
    attr("semver", "~semver", Kind::Text),
    attr("regexp", "~regexp", Kind::Text),
    attr("set_contains", "~set_contains", Kind::Text),
    attr("set_contains_all", "~set_contains_all", Kind::Text),
    attr("set_contains_any", "~set_contains_any", Kind::Text),
    attr("is_set", "~is_set", Kind::Bool),
    attr("is_not_set", "~is_not_set", Kind::Bool),
    attr("distinct_property", "~distinct_property", Kind::Text),
    attr("distinct_hosts", "~distinct_hosts", Kind::Bool),
];

pub(super) const CONSTRAINT: Schema = Schema { attrs: CONDITION, finish: condition, ..EMPTY };

pub(super) const AFFINITY: Schema = Schema {
    attrs: &[
        attr("attribute", "LTarget", Kind::Text),
        attr("operator", "Operand", Kind::Text),
        attr("value", "RTarget", Kind::Text),
        attr("version", "~version", Kind::Text),
        attr("semver", "~semver", Kind::Text),
        attr("regexp", "~regexp", Kind::Text),
        attr("set_contains", "~set_contains", Kind::Text),
        attr("set_contains_all", "~set_contains_all", Kind::Text),
        attr("set_contains_any", "~set_contains_any", Kind::Text),
        attr("weight", "Weight", WEIGHT),
    ],
    finish: condition,
    ..EMPTY
};

pub(super) const SPREAD: Schema =
    Schema { attrs: &[attr("attribute", "Attribute", Kind::Text), attr("weight", "Weight", WEIGHT)], children: SPREAD_CHILDREN, ..EMPTY };

const SPREAD_CHILDREN: &[Child] = &[labelled("target", "SpreadTarget", "Value", &SPREAD_TARGET)];
static SPREAD_TARGET: Schema =
    Schema { attrs: &[attr("value", "Value", Kind::Text), attr("percent", "Percent", Kind::Int(0, 100))], ..EMPTY };

/// `attribute`, `operator` and `value` from their shortcuts.
fn condition(out: &mut Output, finish: &mut Finish<'_>) {
    let mut shortcuts = 0;
    for (key, operator) in SUGAR {
        if let Some(value) = out.remove(*key) {
            shortcuts += 1;
            out.insert("Operand".into(), (*operator).into());
            out.insert("RTarget".into(), value);
        }
    }
    for (key, operator) in [("~is_set", "is_set"), ("~is_not_set", "is_not_set")] {
        match out.remove(key) {
            Some(Json::Bool(true)) => {
                shortcuts += 1;
                out.insert("Operand".into(), operator.into());
            }
            Some(_) => finish.fault(&format!("{operator} = false says nothing: remove it, or use the opposite")),
            None => {}
        }
    }
    if let Some(property) = out.remove("~distinct_property") {
        shortcuts += 1;
        out.insert("Operand".into(), "distinct_property".into());
        out.insert("LTarget".into(), property);
    }
    if let Some(Json::Bool(distinct)) = out.remove("~distinct_hosts") {
        shortcuts += 1;
        out.insert("Operand".into(), "distinct_hosts".into());
        out.insert("RTarget".into(), distinct.to_string().into());
    }
    if shortcuts > 1 {
        finish.fault("only one of the shortcuts (version, regexp, distinct_hosts, ...) fits into one block: write several blocks");
    }
    if shortcuts > 0 && finish.has("operator") {
        finish.fault("operator and a shortcut like version or regexp exclude each other: remove one");
    }
    let operand = out.entry("Operand").or_insert_with(|| "=".into());
    if operand.as_str() == Some("distinct_hosts") {
        out.entry("RTarget").or_insert_with(|| "true".into());
    } else if !out.contains_key("LTarget") {
        finish.fault("attribute is missing: write for example attribute = \"${attr.kernel.name}\"");
    }
}
