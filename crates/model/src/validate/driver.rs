//! Rules of the `config` block of the drivers that floe ships. Other drivers judge their own.

use super::{MAX_ARGUMENT_BYTES, MAX_LIST};
use crate::{
    Value,
    report::{Report, quoted},
    wire::nearest,
};
use std::collections::BTreeMap;

/// What a key of `config` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Texts,
    Integer,
    TextMap,
}

const EXEC: &[(&str, Kind)] = &[
    ("command", Kind::Text),
    ("args", Kind::Texts),
    ("work_dir", Kind::Text),
    ("pid_mode", Kind::Text),
    ("ipc_mode", Kind::Text),
    ("cap_add", Kind::Texts),
    ("cap_drop", Kind::Texts),
];

const RAW_EXEC: &[(&str, Kind)] = &[
    ("command", Kind::Text),
    ("args", Kind::Texts),
    ("work_dir", Kind::Text),
    ("cgroup_v2_override", Kind::Text),
    ("cgroup_v1_override", Kind::TextMap),
    ("oom_score_adj", Kind::Integer),
    ("denied_envvars", Kind::Texts),
];

pub(super) fn config(report: &mut Report, driver: &str, config: &BTreeMap<String, Value>) {
    let known = match driver {
        "exec" => EXEC,
        "raw_exec" => RAW_EXEC,
        _ => return,
    };
    report.within("config", |r| {
        for (key, value) in config {
            match known.iter().find(|(name, _)| name == key) {
                Some((_, kind)) => typed(r, key, *kind, value),
                None => unknown(r, driver, key, known),
            }
        }
        command(r, config.get("command"));
        for (field, words) in [("pid_mode", &["private", "host"]), ("ipc_mode", &["private", "host"])] {
            if let Some(Value::String(word)) = config.get(field).filter(|_| driver == "exec") {
                r.word(field, word, words);
            }
        }
    });
}

fn unknown(report: &mut Report, driver: &str, key: &str, known: &[(&str, Kind)]) {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    match nearest(key, &names) {
        Some(near) => report.say(format_args!("{} is unknown to driver {driver:?}; did you mean {near:?}?", quoted(key))),
        None => report.say(format_args!("{} is unknown to driver {driver:?}; use one of: {}", quoted(key), names.join(", "))),
    }
}

fn command(report: &mut Report, value: Option<&Value>) {
    match value {
        None | Some(Value::Null) => report.say("command is missing; name the program to run, for example \"/bin/sleep\""),
        Some(Value::String(s)) if s.is_empty() => report.say("command is empty; name the program to run, for example \"/bin/sleep\""),
        Some(_) => {}
    }
}

/// `null` is the same as absent.
fn typed(report: &mut Report, key: &str, kind: Kind, value: &Value) {
    match (kind, value) {
        (_, Value::Null) => {}
        (Kind::Text, Value::String(s)) => argument(report, key, s),
        (Kind::Texts, Value::Array(items)) if items.len() > MAX_LIST => {
            report.say(format_args!("{key} may have at most {MAX_LIST} items (there are {}); pass a file instead", items.len()));
        }
        (Kind::Texts, Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                match item {
                    Value::String(s) => argument(report, key, s),
                    other => report.say(format_args!("{key}: item {} must be text ({}); put it in quotes", i + 1, found(other))),
                }
            }
        }
        (Kind::Integer, Value::Number(n)) if n.is_i64() => {}
        (Kind::TextMap, Value::Object(map)) => {
            for (k, item) in map.iter().filter(|(_, v)| !v.is_string()) {
                report.say(format_args!("{key}: {} must be text ({}); put it in quotes", quoted(k), found(item)));
            }
        }
        (kind, other) => {
            let wanted = match kind {
                Kind::Text => "text",
                Kind::Texts => "a list of texts",
                Kind::Integer => "a whole number",
                Kind::TextMap => "a map of texts",
            };
            report.say(format_args!("{key} must be {wanted} ({}); rewrite it", found(other)));
        }
    }
}

fn argument(report: &mut Report, key: &str, text: &str) {
    if text.contains('\0') {
        report.say(format_args!("{key}: {} must not hold NUL; remove it", quoted(text)));
    }
    if text.len() > MAX_ARGUMENT_BYTES {
        report.say(format_args!("{key} must be at most {MAX_ARGUMENT_BYTES} bytes an item (it is {}); pass a file instead", text.len()));
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "it is null",
        Value::Bool(_) => "it is true or false",
        Value::Number(_) => "it is a number",
        Value::String(_) => "it is text",
        Value::Array(_) => "it is a list",
        Value::Object(_) => "it is a block",
    }
}
