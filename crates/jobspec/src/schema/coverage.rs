//! Checks the tables against the model: whatever they produce is known to it, and whatever it has can be written.
#![allow(clippy::unwrap_used, clippy::panic)]

use floe_model::{Job, wire};
use serde_json::Value as Json;

use super::{Attr, FILE, Kind, Label, Schema};
use crate::{
    budget::Budget,
    convert::{Converter, Syntax},
    diagnostic::{At, Faults, Sources},
    limits::Limits,
    tree::{self, Attribute, Block, Body},
    value::{Number, Value},
};

const AT: At = At::File(0);

/// A value that is not the default of anything.
fn sample(kind: Kind, budget: &Budget) -> Value {
    let text = |text: &str| Value::text(text, budget).unwrap();
    let int = |n: i64| Value::Number(Number::Int(n));
    let list = |item: Value| Value::list(vec![item], budget).unwrap();
    let map = |item: Value| Value::map([("key".into(), item)].into(), budget).unwrap();
    match kind {
        Kind::Text => text("x"),
        Kind::Int(min, max) => int(7.clamp(min, max)),
        Kind::Bool => Value::Bool(true),
        Kind::Duration => text("7s"),
        Kind::Texts => list(text("x")),
        Kind::Ints(min, max) => list(int(7.clamp(min, max))),
        Kind::TextMap => map(text("x")),
        Kind::TextsMap => map(list(text("x"))),
        Kind::Free => map(int(7)),
        Kind::Word(check) => {
            let words = ["batch", "delay", "fibonacci", "task_states", "poststop", "signal", "exited"];
            text(words.into_iter().find(|w| check(w).is_ok()).unwrap())
        }
        Kind::Refused(_) => Value::Null,
    }
}

/// A body with everything that the schema has, shortcuts and their rivals left out.
fn full(schema: &Schema, budget: &Budget) -> Body {
    let rival = |a: &&Attr| a.wire.starts_with('~') || a.name == "crons";
    let mut body = Body::new(AT);
    for attr in schema.attrs.iter().filter(|a| !rival(a)) {
        let value = sample(attr.kind, budget);
        body.attributes.push(Attribute { name: attr.name.into(), name_at: AT, value, value_at: AT });
    }
    for child in schema.children {
        let labels = match child.label {
            Label::None => Vec::new(),
            Label::Key(_) | Label::Unique(_) => vec![tree::Label { text: "cpu".into(), at: AT }],
        };
        // The lone task would become a group that is there already.
        if child.wire != "~tasks" {
            body.blocks.push(Block { kind: child.name.into(), kind_at: AT, labels, body: full(child.schema, budget) });
        }
    }
    body
}

fn job_of(body: &Body) -> wire::Decoded<Job> {
    let mut faults = Faults::default();
    let mut out = Converter { syntax: Syntax::Data, faults: &mut faults }.body(&FILE, body);
    assert!(faults.is_empty(), "{}", faults.report(&Sources::default()));
    let job = out.remove("Jobs").unwrap().as_array().unwrap().first().cloned().unwrap();
    wire::from_value(job).unwrap_or_else(|e| panic!("{e}"))
}

fn unset(value: &Json, path: &str, out: &mut Vec<String>) {
    match value {
        Json::Object(map) if !map.is_empty() => map.iter().for_each(|(key, v)| unset(v, &format!("{path}.{key}"), out)),
        Json::Array(items) if !items.is_empty() => items.iter().for_each(|v| unset(v, path, out)),
        Json::Null | Json::Bool(false) | Json::Object(_) | Json::Array(_) => out.push(path.to_owned()),
        Json::String(s) if s.is_empty() => out.push(path.to_owned()),
        Json::Number(n) if n.as_i64() == Some(0) => out.push(path.to_owned()),
        _ => {}
    }
}

/// Set by servers and agents, or only old spellings of something that is set.
const NOT_IN_FILES: &[&str] = &[
    ".CreateIndex",
    ".DispatchIdempotencyToken",
    ".Dispatched",
    ".JobModifyIndex",
    ".ModifyIndex",
    ".NomadTokenID",
    ".ParentID",
    ".Payload",
    ".Periodic.Specs",
    ".Stable",
    ".StatusDescription",
    ".Stop",
    ".SubmitTime",
    ".Version",
    ".VersionTag",
    ".Connect.SidecarService.Proxy.Expose.Path",
    ".Connect.SidecarService.Proxy.ExposeConfig",
    ".Connect.Gateway.Mesh",
    ".Scaling.ID",
    ".Scaling.Namespace",
    ".Scaling.Target",
    ".Scaling.CreateIndex",
    ".Scaling.ModifyIndex",
    ".ScalingPolicies.ID",
    ".ScalingPolicies.Namespace",
    ".ScalingPolicies.Target",
    ".ScalingPolicies.CreateIndex",
    ".ScalingPolicies.ModifyIndex",
    // A port is reserved or dynamic, an identity has a name or not: one sample cannot be both.
    ".DynamicPorts",
    ".Tasks.Identity",
];

#[test]
fn the_whole_model_can_be_written() {
    let budget = Budget::new(Limits::default());
    let decoded = job_of(&full(&FILE, &budget));
    assert_eq!(decoded.unknown, Vec::<String>::new());
    let mut missing = Vec::new();
    unset(&serde_json::to_value(&decoded.value).unwrap(), "", &mut missing);
    missing.retain(|path| {
        !NOT_IN_FILES.iter().any(|known| {
            path == known
                || (path.ends_with(known) && known.matches('.').count() > 1)
                || (*known == ".DynamicPorts" && path.ends_with(known))
        })
    });
    missing.sort();
    missing.dedup();
    assert_eq!(missing, Vec::<String>::new(), "not writable in a job file");
}

#[test]
fn names_are_unique() {
    fn check(schema: &Schema) {
        let mut names: Vec<&str> = schema.names().collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
        schema.required.iter().for_each(|r| assert!(schema.attr(r).is_some(), "{r}"));
        schema.children.iter().for_each(|c| check(c.schema));
    }
    check(&FILE);
}
