//! Jobs to test with: an ordinary one, one with every field set, and arbitrary ones.

use floe_model::{Job, JobType, canonical::canonicalize, wire};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

/// A job with every field of the model set to something that is not its default.
pub(crate) fn full() -> Value {
    serde_json::from_str(include_str!("fixtures/full.json")).unwrap()
}

/// An ordinary job: valid and supported.
pub(crate) fn ordinary(job_type: JobType) -> Value {
    json!({"ID": "web", "Type": job_type.as_str(), "TaskGroups": [{
        "Name": "front",
        "Networks": [{
            "Mode": "bridge",
            "DynamicPorts": [{"Label": "http", "To": 80}],
            "ReservedPorts": [{"Label": "admin", "Value": 9000}],
        }],
        "Services": [{"Name": "front", "PortLabel": "http"}],
        "Tasks": [{
            "Name": "server", "Driver": "exec", "Config": {"command": "/bin/sleep", "args": ["60"]},
            "Resources": {"MemoryMB": 64},
            "Templates": [{"DestPath": "local/a.conf", "EmbeddedTmpl": "x"}],
        }],
    }]})
}

/// The job that some JSON means, with its defaults.
pub(crate) fn canonical(json: Value) -> Job {
    let decoded = wire::from_value::<Job>(json).unwrap();
    assert_eq!(decoded.unknown, Vec::<String>::new(), "a key of the test's job is unknown");
    let mut job = decoded.value;
    canonicalize(&mut job);
    job
}

/// Sets the value at a JSON pointer; what is missing on the way is made.
pub(crate) fn set(job: &mut Value, pointer: &str, value: Value) {
    let mut at = job;
    for key in pointer.trim_start_matches('/').split('/') {
        let key = key.replace("~1", "/");
        at = match key.parse::<usize>() {
            Ok(i) => {
                if !at.is_array() {
                    *at = json!([]);
                }
                let items = at.as_array_mut().unwrap();
                while items.len() <= i {
                    items.push(json!({}));
                }
                &mut items[i]
            }
            Err(_) => {
                if !at.is_object() {
                    *at = json!({});
                }
                at.as_object_mut().unwrap().entry(key).or_insert(Value::Null)
            }
        };
    }
    *at = value;
}

/// An ordinary service job with these changes, with its defaults.
pub(crate) fn changed(changes: &[(&str, Value)]) -> Job {
    let mut job = ordinary(JobType::Service);
    changes.iter().for_each(|(pointer, value)| set(&mut job, pointer, value.clone()));
    canonical(job)
}

/// One change somewhere in a document. A scalar mostly keeps its kind, so that most documents stay decodable.
#[derive(Clone, Debug)]
struct Edit {
    place: Index,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    /// Nothing: `null`, or no entries.
    Nothing,
    /// A list's items twice; a scalar of its kind elsewhere.
    More(bool, i64, String),
    /// This text, whatever was there.
    Text(String),
}

/// Texts that mean something to some rule.
const TELLING: &[&str] = &[
    "",
    "..",
    "/",
    "local/x",
    "${JOB}",
    "${BASE}-${TASK",
    "${NOMAD_TASK_DIR}/a",
    "exec",
    "raw_exec",
    "signal",
    "script",
    "sighup",
    "batch",
    "system",
    "sysbatch",
    "service",
    "bridge",
    "cni/",
    "version",
    "regexp",
    "distinct_property",
    "~> 1.2",
    "(",
    "0999",
    "nomad",
    "manual",
    "delay",
    "1h",
    "\u{0}",
    "é",
];

fn change() -> impl Strategy<Value = Change> {
    let text = || prop_oneof![proptest::sample::select(TELLING).prop_map(str::to_owned), "\\PC{0,8}"];
    let number = prop_oneof![any::<i64>(), -2i64..70_000];
    prop_oneof![
        2 => Just(Change::Nothing),
        6 => (any::<bool>(), number, text()).prop_map(|(b, n, t)| Change::More(b, n, t)),
        1 => text().prop_map(Change::Text),
    ]
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(map) => map.values().map(nodes).sum(),
        _ => 0,
    }
}

/// Applies `change` to the node that comes `n`th, from the outside in.
fn apply(value: &mut Value, n: &mut usize, change: &Change) {
    if *n == 0 {
        match (change, &mut *value) {
            (Change::Nothing, Value::Array(items)) => items.clear(),
            (Change::Nothing, Value::Object(map)) => map.clear(),
            (Change::Nothing, v) => *v = Value::Null,
            (Change::More(..), Value::Array(items)) => items.extend(items.clone()),
            (Change::More(..), Value::Object(_)) => {}
            (Change::More(b, ..), v @ Value::Bool(_)) => *v = json!(b),
            (Change::More(_, n, _), v @ Value::Number(_)) => *v = json!(n),
            (Change::More(_, _, t) | Change::Text(t), v) => *v = json!(t),
        }
    }
    *n = n.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|v| apply(v, n, change)),
        Value::Object(map) => map.values_mut().for_each(|v| apply(v, n, change)),
        _ => {}
    }
}

/// Any job that JSON can say: a document with every field, or an ordinary one, changed in up to 24 places.
pub(crate) fn job() -> impl Strategy<Value = Job> {
    let kind = proptest::sample::select(vec![
        None,
        None,
        Some(JobType::Service),
        Some(JobType::Batch),
        Some(JobType::System),
        Some(JobType::Sysbatch),
    ]);
    let edits = proptest::collection::vec((any::<Index>(), change()).prop_map(|(place, change)| Edit { place, change }), 0..24);
    (kind, edits).prop_map(|(kind, edits)| decodable(kind.map_or_else(full, ordinary), &edits))
}

/// The document after the edits, less those that make it undecodable.
fn decodable(document: Value, edits: &[Edit]) -> Job {
    let mut edited = document.clone();
    for Edit { place, change } in edits {
        let n = nodes(&edited);
        apply(&mut edited, &mut place.index(n), change);
    }
    match (wire::from_value::<Job>(edited), edits) {
        (Ok(decoded), _) => decoded.value,
        (Err(_), [rest @ .., _]) => decodable(document, rest),
        (Err(e), []) => panic!("the document itself is undecodable: {e}"),
    }
}
