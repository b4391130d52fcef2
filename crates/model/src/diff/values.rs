//! Compares two JSON values: scalars are fields, sets are objects, lists are matched by what their items are called.

use super::{
    pairs::{identity, pairs, partners},
    types::{DiffType, FieldDiff, ObjectDiff},
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Maps from names that users choose: each entry is a field of what they stand in, `Env[PATH]`.
const MAPS: &[&str] = &["Meta", "Env", "CanaryMeta", "TaggedAddresses", "GetterOptions", "GetterHeaders", "Target"];
/// Sets whose form only a driver or a plugin knows: each value at any depth is a field, `args[0]`, `mount[target]`.
const OPAQUE: &[&str] = &["Config", "Policy"];
/// Sets of blocks by their labels.
const LABELLED: &[&str] = &["Volumes"];
/// Lists of blocks that have no name, so that one is the same as the one in its place.
const BY_POSITION: &[&str] = &["Networks"];
/// What one block of a list is called.
const SINGULAR: &[(&str, &str)] = &[
    ("Constraints", "Constraint"),
    ("Affinities", "Affinity"),
    ("Spreads", "Spread"),
    ("Services", "Service"),
    ("Checks", "Check"),
    ("Networks", "Network"),
    ("DynamicPorts", "Dynamic Port"),
    ("ReservedPorts", "Static Port"),
    ("Templates", "Template"),
    ("Artifacts", "Artifact"),
    ("Volumes", "Volume"),
    ("VolumeMounts", "VolumeMount"),
    ("Devices", "Device"),
    ("Identities", "Identity"),
    ("Secrets", "Secret"),
    ("Actions", "Action"),
    ("ScalingPolicies", "ScalingPolicy"),
    ("Regions", "Region"),
    ("Links", "Link"),
    ("Upstreams", "Upstream"),
];

/// What becomes of fields that stay.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// They are left out.
    Leave,
    /// They are there, with the type `None`.
    Show,
    /// There are none, for one side is not there at all. What is empty on the other is left out, too.
    Whole,
}

#[derive(Default)]
pub(super) struct Differences {
    pub(super) fields: Vec<FieldDiff>,
    pub(super) objects: Vec<ObjectDiff>,
}

impl Differences {
    /// Whether nothing differs; what is there for context does not count.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.fields.iter().all(|f| f.diff_type == DiffType::None)
    }
}

/// Compares two sets, key by key.
pub(super) fn members(old: &Map<String, Value>, new: &Map<String, Value>, context: Context) -> Differences {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut out = Differences::default();
    for key in keys {
        let [a, b] = [old, new].map(|map| map.get(key).unwrap_or(&Value::Null));
        if a == b && (context != Context::Show || !is_scalar(a)) {
            continue;
        }
        let mut own = Differences::default();
        value(&mut own, key, a, b, context);
        if a != b && own.is_empty() && context != Context::Whole {
            // Whatever escapes the rules above is said as a whole: no difference goes unsaid.
            own.fields = vec![field(DiffType::Edited, key, a.to_string(), b.to_string())];
        }
        out.fields.extend(own.fields);
        out.objects.extend(own.objects);
    }
    out
}

fn value(out: &mut Differences, key: &str, old: &Value, new: &Value, context: Context) {
    match (old, new) {
        (Value::Object(_) | Value::Null, Value::Object(_) | Value::Null) if old.is_object() || new.is_object() => {
            set(out, key, old.as_object(), new.as_object(), context);
        }
        (Value::Array(_) | Value::Null, Value::Array(_) | Value::Null) if old.is_array() || new.is_array() => {
            let [a, b] = [old, new].map(|v| v.as_array().map(Vec::as_slice).unwrap_or_default());
            if a.iter().chain(b).any(|item| item.is_object() || item.is_array()) { blocks(out, key, a, b) } else { words(out, key, a, b) }
        }
        _ if is_scalar(old) && is_scalar(new) => out.fields.extend(scalar(key, old, new, context)),
        // Of another kind than it was: it goes, and another one comes.
        _ => {
            value(out, key, old, &Value::Null, context);
            value(out, key, &Value::Null, new, context);
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// A field of two scalars.
fn scalar(name: &str, old: &Value, new: &Value, context: Context) -> Option<FieldDiff> {
    let [a, b] = [old, new].map(text);
    let diff_type = match (a.is_empty(), b.is_empty()) {
        _ if old == new => DiffType::None,
        (true, true) if context == Context::Whole => return None,
        (true, false) => DiffType::Added,
        (true, true) if old.is_null() => DiffType::Added,
        (_, true) => DiffType::Deleted,
        (false, false) => DiffType::Edited,
    };
    let shown = diff_type != DiffType::None || (context == Context::Show && !a.is_empty());
    shown.then(|| field(diff_type, name, a, b))
}

fn field(diff_type: DiffType, name: &str, old: String, new: String) -> FieldDiff {
    FieldDiff { diff_type, name: name.to_owned(), old, new, annotations: Vec::new() }
}

/// A scalar as text; nothing for `null`.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn singular(key: &str) -> &str {
    SINGULAR.iter().find(|(many, _)| *many == key).map_or(key, |(_, one)| one)
}

fn set(out: &mut Differences, key: &str, old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>, context: Context) {
    let nothing = Map::new();
    let [a, b] = [old, new].map(|map| map.unwrap_or(&nothing));
    if MAPS.contains(&key) {
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let [x, y] = [a, b].map(|map| map.get(name).unwrap_or(&Value::Null));
            value(out, &format!("{key}[{name}]"), x, y, context);
        }
    } else if LABELLED.contains(&key) {
        for label in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            out.objects.extend(object(singular(key), a.get(label), b.get(label)));
        }
    } else {
        let [a, b] = [old, new].map(|map| map.cloned().map(Value::Object));
        out.objects.extend(object(key, a.as_ref(), b.as_ref()));
    }
}

/// A block in both versions, or in one of them; `None` when it stays as it is.
fn object(name: &str, old: Option<&Value>, new: Option<&Value>) -> Option<ObjectDiff> {
    let (diff_type, context) = match (old, new) {
        (a, b) if a == b => return None,
        (None, _) => (DiffType::Added, Context::Whole),
        (_, None) => (DiffType::Deleted, Context::Whole),
        _ => (DiffType::Edited, Context::Show),
    };
    let map = |value: Option<&Value>| match value {
        Some(Value::Object(map)) if OPAQUE.contains(&name) => flat(map),
        Some(Value::Object(map)) => map.clone(),
        Some(other) => Map::from_iter([(name.to_owned(), other.clone())]),
        None => Map::new(),
    };
    let mut own = members(&map(old), &map(new), context);
    if diff_type == DiffType::Edited && own.is_empty() {
        let [a, b] = [old, new].map(|v| v.map(Value::to_string).unwrap_or_default());
        own.fields.push(field(DiffType::Edited, name, a, b));
    }
    Some(ObjectDiff { diff_type, name: name.to_owned(), fields: own.fields, objects: own.objects })
}

/// A set of any depth as one of scalars, by their paths. What is empty is a text.
fn flat(map: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    map.iter().for_each(|(key, value)| flatten(&mut out, key.clone(), value));
    out
}

fn flatten(out: &mut Map<String, Value>, path: String, value: &Value) {
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().for_each(|(key, value)| flatten(out, format!("{path}[{key}]"), value)),
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(i, item)| flatten(out, format!("{path}[{i}]"), item))
        }
        Value::Object(_) | Value::Array(_) | Value::Null => _ = out.insert(path, Value::String(value.to_string())),
        scalar => _ = out.insert(path, scalar.clone()),
    }
}

/// Lists of scalars: an object with a field for each item that comes or goes. When only their order differs, for each place.
fn words(out: &mut Differences, key: &str, old: &[Value], new: &[Value]) {
    if old == new {
        return;
    }
    let mut more: BTreeMap<String, i64> = BTreeMap::new();
    new.iter().for_each(|item| *more.entry(text(item)).or_default() += 1);
    old.iter().for_each(|item| *more.entry(text(item)).or_default() -= 1);
    let mut fields = Vec::new();
    for (item, more) in &more {
        let times = usize::try_from(more.unsigned_abs()).unwrap_or(usize::MAX);
        let gone = || field(DiffType::Deleted, key, item.clone(), String::new());
        let come = || field(DiffType::Added, key, String::new(), item.clone());
        fields.extend(std::iter::repeat_with(|| if *more < 0 { gone() } else { come() }).take(times));
    }
    if fields.is_empty() {
        let places = old.iter().zip(new).enumerate().filter(|(_, (a, b))| a != b);
        fields.extend(places.map(|(i, (a, b))| field(DiffType::Edited, &format!("{key}[{i}]"), text(a), text(b))));
    }
    let diff_type = match (old.is_empty(), new.is_empty()) {
        (true, _) => DiffType::Added,
        (_, true) => DiffType::Deleted,
        _ => DiffType::Edited,
    };
    out.objects.push(ObjectDiff { diff_type, name: key.to_owned(), fields, objects: Vec::new() });
}

/// Lists of blocks.
fn blocks(out: &mut Differences, key: &str, old: &[Value], new: &[Value]) {
    let name = singular(key);
    if BY_POSITION.contains(&key) {
        for i in 0..old.len().max(new.len()) {
            out.objects.extend(object(name, old.get(i), new.get(i)));
        }
        return;
    }
    out.objects.extend(pairs("", old, new).filter_map(|(a, b)| object(name, a, b)));
    out.fields.extend(order(key, old, new));
}

/// A field that says that the items which both lists have stand in another order.
pub(super) fn order(key: &str, old: &[Value], new: &[Value]) -> Option<FieldDiff> {
    let places: Vec<usize> = partners("", old, new).into_iter().flatten().collect();
    if places.is_sorted() {
        return None;
    }
    let names = |items: &[Value]| {
        let each = items.iter().enumerate().map(|(i, item)| identity("", item).map_or_else(|| format!("#{}", i + 1), str::to_owned));
        each.collect::<Vec<_>>().join(", ")
    };
    Some(field(DiffType::Edited, &format!("{key}[order]"), names(old), names(new)))
}
