//! `docs/reference/jobs.md` is made from the code: types by decoding, defaults by `canonical`, status by `support`.

use crate::generate::{self, canonical, set};
use floe_model::{
    Job, JobType, Nanos, canonical::canonicalize, change::clear_server_fields, support::unsupported, validate::validate, wire,
};
use serde_json::{Value, json};
use std::{fmt::Write, path::PathBuf};

const INTRODUCTION: &str = "\
# Jobs, field by field

What a job may say in JSON (names match in any case), what each field is worth when it is absent, and whether floe acts on it.
Nothing is accepted and then ignored: a field that floe does not act on is refused at registration, by name.

This page is made from the code; a test fails when it is stale. To make it anew:
`ACCEPT=1 cargo test -p floe-model --test jobs reference`.

Where types of jobs differ, the default names them. A duration is written as text (`\"30s\"`) or in nanoseconds.
";

/// Objects with keys of the user's choice.
const MAPS: &[&str] = &["Config", "Meta", "Env", "CanaryMeta", "TaggedAddresses"];

/// Defaults that depend on the rest of the job.
const DEFAULTS: &[(&str, &str)] =
    &[("Name", "the id"), ("TaskGroups[].Services[].Name", "`${JOB}-${TASKGROUP}-${TASK}`, with `group` for the task")];

/// What follows the status: for fields of which floe acts on some values, or that need a word.
const NOTES: &[(&str, &str)] = &[
    ("Namespace", "other than `default`"),
    ("Region", "other than `global`"),
    ("ID", "(required)"),
    ("Reschedule", "(merged into every group)"),
    ("Update", "(merged into every group; jobs of type system: only the default)"),
    ("Migrate", "(only the default)"),
    ("TaskGroups", "(at least one)"),
    ("TaskGroups[].Consul", "unless empty"),
    ("TaskGroups[].Tasks[].Consul", "unless empty"),
    ("TaskGroups[].Migrate", "(only the default)"),
    ("TaskGroups[].Networks", "(at most one)"),
    ("TaskGroups[].Networks[].Mode", "(`host`, `bridge` or `none`)"),
    ("TaskGroups[].Networks[].DNS", "(not in mode `host`)"),
    ("TaskGroups[].Networks[].Hostname", "(not in mode `host`)"),
    ("TaskGroups[].Networks[].ReservedPorts", "(not in mode `none`)"),
    ("TaskGroups[].Networks[].DynamicPorts", "(not in mode `none`)"),
    ("TaskGroups[].Networks[].DynamicPorts[].Value", "(must be 0)"),
    ("TaskGroups[].Services[].AddressMode", "(`auto`, `host` or `alloc`)"),
    ("TaskGroups[].Services[].OnUpdate", "other than `require_healthy`"),
    ("TaskGroups[].Services[].Provider", "other than `nomad`"),
    ("TaskGroups[].Tasks", "(at least one)"),
    ("TaskGroups[].Tasks[].Driver", "(required; placement says where no node has it)"),
    (
        "TaskGroups[].Tasks[].Config",
        "(`exec` and `raw_exec`: `command`, `args`, `work_dir`; images: docs/guide/images.md; other keys are refused)",
    ),
    ("TaskGroups[].Tasks[].Services", "(as `TaskGroups[].Services`)"),
    ("TaskGroups[].Tasks[].Constraints", "(as `Constraints`, without `distinct_hosts` and `distinct_property`)"),
    ("TaskGroups[].Tasks[].Resources.MemoryMaxMB", "(0: none, -1: all of the node's)"),
    ("TaskGroups[].Tasks[].Templates[].ChangeMode", "(not `script`; nothing that a template may read changes while its task runs)"),
    ("TaskGroups[].Tasks[].Templates[].ChangeSignal", "(as `ChangeMode`)"),
    ("TaskGroups[].Tasks[].Templates[].Once", "(as `ChangeMode`)"),
    ("TaskGroups[].Tasks[].Templates[].Splay", "(as `ChangeMode`)"),
    ("TaskGroups[].Tasks[].Templates[].Wait", "(as `ChangeMode`)"),
];

/// Blocks that are written once and referred to.
const ELSEWHERE: &[&str] = &[
    "TaskGroups[].Constraints",
    "TaskGroups[].Affinities",
    "TaskGroups[].Spreads",
    "TaskGroups[].Update",
    "TaskGroups[].Migrate",
    "TaskGroups[].Tasks[].Constraints",
    "TaskGroups[].Tasks[].Affinities",
    "TaskGroups[].Tasks[].Services",
    "TaskGroups[].Tasks[].RestartPolicy",
];

/// Values that show a field's status better than the full job's, or than an empty block.
const PROBES: &[(&str, &str)] = &[
    ("Type", r#""service""#),
    ("Update.HealthCheck", r#""task_states""#),
    ("TaskGroups[].Consul", r#"{"Cluster": "second"}"#),
    ("TaskGroups[].Networks[].Mode", r#""bridge""#),
    ("TaskGroups[].Tasks[].Config", r#"{"command": "/bin/true"}"#),
    ("TaskGroups[].Tasks[].Consul", r#"{"Cluster": "second"}"#),
    ("TaskGroups[].Tasks[].Templates[].ChangeMode", r#""signal""#),
];

struct Page {
    text: String,
    /// Blocks still to be written: name, pointer, value.
    blocks: Vec<(String, String, Value)>,
    server: Vec<String>,
}

/// The job in which fields are tried: ordinary, of the type that allows the most.
fn tried(pointer: &str, value: Value) -> Result<Job, String> {
    let mut json = generate::ordinary(JobType::Service);
    set(&mut json, pointer, value);
    let mut job = wire::from_value::<Job>(json).map_err(|e| e.to_string())?.value;
    canonicalize(&mut job);
    Ok(job)
}

fn kind(pointer: &str, sample: &Value) -> String {
    match sample {
        Value::Bool(_) => "boolean".into(),
        Value::Number(_) if tried(pointer, json!("1s")).is_ok() => "duration".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => match tried(pointer, json!("?")) {
            Err(e) => e.split("expected one of: ").nth(1).map(|words| format!("`{}`", words.replace(", ", "`, `"))).unwrap_or(e),
            Ok(_) => "text".into(),
        },
        Value::Array(items) if items[0].is_object() => "list of blocks".into(),
        Value::Array(_) => "list of texts".into(),
        Value::Object(_) if MAPS.iter().any(|m| pointer.rsplit('/').next() == Some(*m)) => "map".into(),
        Value::Object(_) => "block".into(),
        Value::Null => panic!("{pointer}: the full job says nothing"),
    }
}

fn shown(kind: &str, value: &Value) -> String {
    match value {
        Value::Number(n) if kind == "duration" => format!("`{}`", Nanos(n.as_i64().unwrap())),
        Value::Null => String::new(),
        Value::String(s) if s.is_empty() => String::new(),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Object(map) if map.is_empty() || !kind.starts_with("map") => String::new(),
        Value::Array(items) if items[0].is_object() => String::new(),
        other => format!("`{}`", other.to_string().trim_matches('"')),
    }
}

/// The default of a field whose blocks are there but empty, for each type of job.
fn default(pointer: &str, kind: &str) -> String {
    let (block, field) = pointer.rsplit_once('/').unwrap();
    let of = |job_type: JobType| {
        let mut json = generate::ordinary(job_type);
        set(&mut json, &format!("{block}/{field}"), Value::Null);
        let job = serde_json::to_value(canonical(json)).unwrap();
        shown(kind, job.pointer(pointer).unwrap_or(&Value::Null))
    };
    let all: Vec<(String, JobType)> = JobType::ALL.iter().map(|t| (of(*t), *t)).collect();
    if all.iter().all(|(d, _)| *d == all[0].0) {
        return all[0].0.clone();
    }
    let mut parts: Vec<(String, Vec<&str>)> = Vec::new();
    for (d, t) in &all {
        match parts.iter_mut().find(|(known, _)| known == d) {
            Some((_, types)) => types.push(t.as_str()),
            None => parts.push((d.clone(), vec![t.as_str()])),
        }
    }
    let said = parts.iter().filter(|(d, _)| !d.is_empty());
    said.map(|(d, types)| format!("{d} ({})", types.join(", "))).collect::<Vec<_>>().join("; ")
}

/// What `support` says of the job, without the path.
fn refusal(job: &Job) -> Option<String> {
    let lines = unsupported(job);
    let line = lines.first()?;
    Some(line.trim_start_matches("not supported yet: ").split_once(": ").map(|(_, why)| why.to_owned()).unwrap_or_default())
}

impl Page {
    fn block(&mut self, name: &str, pointer: &str, sample: &Value) {
        let title = if name.is_empty() { "The job".to_owned() } else { format!("`{name}`") };
        _ = write!(self.text, "\n## {title}\n\n| field | type | default | status |\n|---|---|---|---|\n");
        for (field, value) in sample.as_object().unwrap() {
            let inside = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
            self.field(&inside, &format!("{pointer}/{field}"), field, value);
        }
    }

    fn field(&mut self, name: &str, pointer: &str, field: &str, sample: &Value) {
        let kind = kind(pointer, sample);
        let is_block = kind == "block" || kind == "list of blocks";
        let probe = match (kind.as_str(), PROBES.iter().find(|(n, _)| *n == name)) {
            (_, Some((_, json))) => serde_json::from_str(json).unwrap(),
            // What an ordinary job has is known to be acted on.
            ("block" | "list of blocks", _) if generate::ordinary(JobType::Service).pointer(pointer).is_some() => Value::Null,
            ("block", _) if field == "Volumes" => json!({"data": {}}),
            ("block", _) => json!({}),
            ("list of blocks", _) => json!([{}]),
            _ => sample.clone(),
        };
        let tried = (!probe.is_null()).then(|| tried(pointer, probe).unwrap());
        let refused = tried.as_ref().and_then(refusal);
        let warned = tried.and_then(|job| validate(&job).ok()?.0.into_iter().next());
        let note = NOTES.iter().find(|(n, _)| *n == name).map(|(_, note)| format!(" {note}")).unwrap_or_default();
        let status = match refused.as_deref() {
            _ if self.server.iter().any(|f| f == name) => "set by the server".to_owned(),
            None if warned.is_some() => "accepted with a warning: it has no effect in the job language itself".to_owned(),
            None => format!("acts{note}"),
            Some(why) if why.is_empty() || !note.is_empty() => format!("refused{note}"),
            Some(why) => format!("refused: {}", why.replace('|', "\\|")),
        };
        let default = match DEFAULTS.iter().find(|(n, _)| *n == name) {
            Some((_, default)) => (*default).to_owned(),
            None if is_block => String::new(),
            None => default(pointer, &kind),
        };
        _ = writeln!(self.text, "| `{field}` | {kind} | {default} | {status} |");
        if is_block && refused.is_none() && !ELSEWHERE.contains(&name) && !self.server.iter().any(|f| f == name) {
            let block = match sample {
                Value::Array(items) => (format!("{name}[]"), format!("{pointer}/0"), items[0].clone()),
                other => (name.to_owned(), pointer.to_owned(), other.clone()),
            };
            self.blocks.push(block);
        }
    }
}

fn server_fields() -> Vec<String> {
    let full = canonical(generate::full());
    let mut cleared = full.clone();
    clear_server_fields(&mut cleared);
    let (before, after) = (serde_json::to_value(full).unwrap(), serde_json::to_value(cleared).unwrap());
    before.as_object().unwrap().iter().filter(|(k, v)| after[k.as_str()] != **v).map(|(k, _)| k.clone()).collect()
}

fn page() -> String {
    let mut page =
        Page { text: INTRODUCTION.to_owned(), blocks: vec![(String::new(), String::new(), generate::full())], server: server_fields() };
    while !page.blocks.is_empty() {
        let (name, pointer, sample) = page.blocks.remove(0);
        page.block(&name, &pointer, &sample);
    }
    page.text
}

#[test]
fn the_page_is_what_the_code_does() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/jobs.md");
    let made = page();
    if std::env::var_os("ACCEPT").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == made, "docs/reference/jobs.md is stale; run: ACCEPT=1 cargo test -p floe-model --test jobs reference");
}
