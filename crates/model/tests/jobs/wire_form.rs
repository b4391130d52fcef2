//! The wire form loses nothing.

use crate::generate;
use floe_model::{Job, wire};
use proptest::prelude::*;
use serde_json::Value;

/// Blocks that have no settings at all.
const WITHOUT_FIELDS: &[&str] = &["Mesh"];

/// Paths of values that say nothing: a field could be lost there and no test would see it.
fn silent(path: &str, key: &str, value: &Value, found: &mut Vec<String>) {
    let says_nothing = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && !WITHOUT_FIELDS.contains(&key),
    };
    if says_nothing {
        found.push(path.to_owned());
    }
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| silent(&format!("{path}[{i}]"), key, v, found)),
        Value::Object(map) => map.iter().for_each(|(k, v)| silent(&format!("{path}.{k}"), k, v, found)),
        _ => {}
    }
}

#[test]
fn a_job_with_every_field_comes_back_as_it_was() {
    let full = generate::full();
    let mut found = Vec::new();
    silent("", "", &full, &mut found);
    assert_eq!(found, Vec::<String>::new(), "the fixture must set every field to something");
    let decoded = wire::from_value::<Job>(full.clone()).unwrap();
    assert_eq!(decoded.unknown, Vec::<String>::new());
    // Equal values mean that the fixture has every field: an encoded job writes all of them.
    assert_eq!(serde_json::to_value(&decoded.value).unwrap(), full);
}

#[test]
fn every_leaf_of_the_full_job_is_read() {
    // Were a field dropped on reading and another's default written in its place, equality above could still hold by chance.
    // So each leaf is removed in turn, and the job must change.
    let full = generate::full();
    let whole = wire::from_value::<Job>(full.clone()).unwrap().value;
    let mut leaves = Vec::new();
    collect("", &full, &mut leaves);
    assert!(leaves.len() > 500, "{} leaves", leaves.len());
    for pointer in leaves {
        let mut less = full.clone();
        remove(&mut less, &pointer);
        assert_ne!(wire::from_value::<Job>(less).unwrap().value, whole, "{pointer} is not read");
    }
}

fn remove(document: &mut Value, pointer: &str) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Array(items) => _ = items.remove(key.parse().unwrap()),
        Value::Object(map) => _ = map.remove(&key.replace("~1", "/")).unwrap(),
        other => panic!("{pointer}: {other}"),
    }
}

fn collect(pointer: &str, value: &Value, leaves: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| collect(&format!("{pointer}/{i}"), v, leaves)),
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(k, v)| collect(&format!("{pointer}/{}", k.replace('/', "~1")), v, leaves));
        }
        Value::Object(_) => {}
        _ => leaves.push(pointer.to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn json_and_messagepack_lose_nothing(job in generate::job()) {
        let json = serde_json::to_vec(&job).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<Job>(&json).unwrap(), &job);
        let read = wire::from_slice::<Job>(&json).unwrap();
        prop_assert_eq!(&read.value, &job);
        prop_assert_eq!(read.unknown, Vec::<String>::new());
        let packed = rmp_serde::to_vec_named(&job).unwrap();
        prop_assert_eq!(&rmp_serde::from_slice::<Job>(&packed).unwrap(), &job);
    }
}
